"""The key behind keyed masks and the hashes of exported rows: one a project, in a file beside it that only its owner reads."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from headwater.errors import UsageError
from headwater.security.masks import MaskKeys

_FILE = Path(".headwater") / "keys" / "masks"
_BYTES = 32


def mask_keys(directory: Path) -> MaskKeys:
    """The keys of a project's masks, from `.headwater/keys/masks`, which is made where it is missing.

    With another key, hashes and tokens come out otherwise: servers of one project share the file. Raises UsageError for a file that is none.
    """
    key = _read(directory)
    return MaskKeys(*(_derived(key, f"mask {purpose}") for purpose in ("hash", "token", "noise")))


def export_key(directory: Path) -> str:
    """The key behind the hashes of exported rows, from the same file. With another one, every row counts as changed. Raises UsageError."""
    return _derived(_read(directory), "export")


def _derived(key: bytes, purpose: str) -> str:
    return hmac.digest(key, f"headwater {purpose}".encode(), "sha256").hex()


def _read(directory: Path) -> bytes:
    file = directory / _FILE
    try:
        key = bytes.fromhex(file.read_text().strip())
    except FileNotFoundError:
        key = _made(file)
    except (OSError, ValueError) as error:
        raise UsageError(f"{_FILE} can't be read as a key", found=type(error).__name__, expected="64 hexadecimal digits") from None
    if len(key) < _BYTES:
        raise UsageError(f"{_FILE} can't be read as a key", expected="64 hexadecimal digits", found=f"{len(key)} bytes")
    return key


def _made(file: Path) -> bytes:
    """A new key; where another process makes one at the same moment, that one's."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.with_name(f"masks.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(secrets.token_bytes(_BYTES).hex() + "\n")
    try:
        os.link(draft, file)  # unlike a rename, this never replaces a key that others use already
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return bytes.fromhex(file.read_text().strip())
