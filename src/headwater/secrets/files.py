"""Files sealed with the keyring, in pieces: each file has a key of its own, sealed for what it is, and no piece can be left out, put in or moved."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from headwater.errors import KeyRefused
from headwater.secrets.keyring import Keyring, Purpose
from headwater.secrets.masterkeys import aes, opened

_MARK: Final = b"headwater sealed 1\n"
_PIECE_BYTES: Final = 1 << 20
_TAG_BYTES: Final = 16
_LONGEST_SEAL: Final = 1000


def seal_file(source: Path, target: Path, keyring: Keyring, purpose: Purpose, context: str) -> None:
    """Writes `source`, sealed, to `target`, which is its owner's alone; the source stays. Raises OSError, and as `Keyring.seal`."""
    key = secrets.token_bytes(32)
    cipher = aes(key)
    with source.open("rb") as plain, os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(_MARK + keyring.seal(purpose, context, key).encode() + b"\n")
        number, piece = 0, plain.read(_PIECE_BYTES)
        while True:
            following = plain.read(_PIECE_BYTES)
            out.write(cipher.encrypt(_nonce(number), piece, _place(is_last=not following).encode()))
            if not following:
                break
            number, piece = number + 1, following
        out.flush()
        os.fsync(out.fileno())


def unseal_file(source: Path, target: Path, keyring: Keyring, context: str) -> None:
    """Writes what was sealed to `target`, which is its owner's alone. Raises KeyRefused for what was changed or cut off, KeyMissing, OSError."""
    with source.open("rb") as sealed, os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        head = sealed.read(len(_MARK))
        seal = sealed.readline(_LONGEST_SEAL)
        if head != _MARK or not seal.endswith(b"\n"):
            raise KeyRefused(f"{source.name} isn't a sealed file", hint="take another copy of the backup")
        key = keyring.unseal(seal.decode("ascii", "replace").strip(), context)
        number, piece = 0, sealed.read(_PIECE_BYTES + _TAG_BYTES)
        while True:
            following = sealed.read(_PIECE_BYTES + _TAG_BYTES)
            out.write(opened(key, _nonce(number), piece, _place(is_last=not following)))
            if not following:
                return
            number, piece = number + 1, following


def _nonce(number: int) -> bytes:
    """The key is the file's alone, so counting is enough."""
    return number.to_bytes(12)


def _place(*, is_last: bool) -> str:
    return "last" if is_last else "more"
