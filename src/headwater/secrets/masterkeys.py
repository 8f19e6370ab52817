"""Master keys: what wraps the keys of a project's keyring. Each kind is a provider; the built-in ones hold the key in a file or a variable.

A package brings another (a key service) by an entry point of the group `headwater.keys`: a callable that takes the settings' `options`, the project's
folder and the environment, and gives a `KeyProvider`.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from headwater.errors import HeadwaterError, KeyMissing, KeyProviderUnavailable, KeyRefused, MissingDependency, UsageError
from headwater.spec.project import KeysConfig

GROUP: Final = "headwater.keys"
_KEY: Final = re.compile(r"[0-9a-fA-F]{64}")
_NONCE_BYTES: Final = 12
_MARK_BYTES: Final = 4


@runtime_checkable
class KeyProvider(Protocol):
    """Wraps and unwraps keys of 32 bytes. `context` says what the key is for; what was wrapped with one context can't be unwrapped with another.

    Both raise KeyRefused for what they can't take apart, KeyProviderUnavailable where the service doesn't answer. Thread-safe.
    """

    def wrap(self, key: bytes, context: str) -> bytes: ...

    def unwrap(self, wrapped: bytes, context: str) -> bytes: ...


class LocalKeys:
    """Master keys at hand, the newest first: it wraps, the others still unwrap. AES-256-GCM, led by four bytes that say which key it was."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_mark(key): key for key in reversed(keys)}
        self._newest = keys[0]

    def wrap(self, key: bytes, context: str) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed: bytes = aes(self._newest).encrypt(nonce, key, context.encode())
        return _mark(self._newest) + nonce + sealed

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        mark, nonce, rest = wrapped[:_MARK_BYTES], wrapped[_MARK_BYTES : _MARK_BYTES + _NONCE_BYTES], wrapped[_MARK_BYTES + _NONCE_BYTES :]
        key = self._keys.get(mark)
        if key is None:
            raise KeyMissing(
                "the keyring was wrapped with another master key",
                expected=f"the master key {mark.hex()}",
                found=", ".join(found.hex() for found in self._keys),
                hint="give the master key that the project had; docs/keys.md says where",
            )
        return opened(key, nonce, rest, context)


def aes(key: bytes) -> Any:
    """AES-GCM with a key of 32 bytes. Raises MissingDependency."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise MissingDependency("encryption needs the package cryptography", found=str(error), hint="pip install 'headwater[keys]'") from error
    return AESGCM(key)


def opened(key: bytes, nonce: bytes, sealed: bytes, context: str) -> bytes:
    """The reverse of AES-GCM's encryption. Raises KeyRefused for what was changed, or sealed for something else."""
    cipher = aes(key)
    from cryptography.exceptions import InvalidTag

    try:
        plain: bytes = cipher.decrypt(nonce, sealed, context.encode())
    except (InvalidTag, ValueError):
        raise KeyRefused(
            "what was encrypted can't be opened",
            expected=f"what was sealed for {context}",
            found="something that was changed, or sealed for something else",
            state="nothing was changed",
            hint="bring it back from a backup",
        ) from None
    return plain


def _mark(key: bytes) -> bytes:
    return hashlib.sha256(b"headwater master " + key).digest()[:_MARK_BYTES]


# -- where they come from --------------------------------------------------------------------------------------------


def open_provider(config: KeysConfig, *, project_dir: Path, environ: Mapping[str, str], create: bool = False) -> KeyProvider:
    """The provider that the settings name. With `create`, a master key that isn't there yet is made, where it is a file.

    Raises KeyMissing, KeyRefused, KeyProviderUnavailable, UsageError (no such provider), MissingDependency.
    """
    match config.provider:
        case "file":
            return LocalKeys(_from_file(master_file(config, project_dir), create=create))
        case "env":
            return LocalKeys(_from_variable(config.variable, environ))
        case _:
            return _installed(config, project_dir, environ)


def master_file(config: KeysConfig, project_dir: Path) -> Path:
    return project_dir / Path(config.file).expanduser()


def add_master_key(path: Path) -> None:
    """Puts a new key before those in the file."""
    kept = path.read_text().split()
    write_private(path, "\n".join([secrets.token_bytes(32).hex(), *kept]) + "\n")


def forget_older_master_keys(path: Path) -> None:
    write_private(path, path.read_text().split()[0] + "\n")


def _from_file(path: Path, *, create: bool) -> list[bytes]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        if not create:
            raise KeyMissing(
                "the master key isn't there",
                expected=str(path),
                hint="bring the file back from where you keep it; without it nothing that was encrypted can be opened",
            ) from None
        text = _made(path)
    except (OSError, UnicodeDecodeError) as error:
        raise KeyRefused("the master key can't be read", expected=str(path), found=type(error).__name__, hint="check that you may read it") from None
    return _parsed(text.split(), str(path))


def _from_variable(name: str, environ: Mapping[str, str]) -> list[bytes]:
    text = environ.get(name, "")
    if not text.strip():
        raise KeyMissing(
            "the master key isn't there", expected=f"the environment variable {name}", hint="headwater keys init --print makes one for you to set"
        )
    return _parsed(text.replace(",", " ").split(), name)


def _parsed(words: Sequence[str], where: str) -> list[bytes]:
    if not words or not all(_KEY.fullmatch(word) for word in words):
        raise KeyRefused(f"{where} can't be read as a master key", expected="64 hexadecimal digits, the newest key first")
    return [bytes.fromhex(word) for word in words]


def _installed(config: KeysConfig, project_dir: Path, environ: Mapping[str, str]) -> KeyProvider:
    found = {point.name: point for point in entry_points(group=GROUP)}
    if config.provider not in found:
        raise UsageError(
            f"no provider of keys is called {config.provider!r}",
            expected=", ".join(["file", "env", *sorted(found)]),
            hint="install the package that brings it",
        )
    try:
        factory: Callable[[Mapping[str, Any], Path, Mapping[str, str]], KeyProvider] = found[config.provider].load()
    except ImportError as error:
        raise MissingDependency(f"the provider of keys {config.provider} can't be imported", found=str(error)) from error
    try:
        return _Careful(config.provider, factory(config.options, project_dir, environ))
    except HeadwaterError:
        raise
    except Exception as error:
        raise _unavailable(config.provider, error) from None


class _Careful:
    """Somebody else's provider: what it raises tells no more than its kind, since it may hold what it was given."""

    def __init__(self, name: str, provider: KeyProvider) -> None:
        self._name = name
        self._provider = provider

    def wrap(self, key: bytes, context: str) -> bytes:
        return self._asked(lambda: self._provider.wrap(key, context))

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        return self._asked(lambda: self._provider.unwrap(wrapped, context))

    def _asked(self, ask: Callable[[], bytes]) -> bytes:
        try:
            return ask()
        except HeadwaterError:
            raise
        except Exception as error:
            raise _unavailable(self._name, error) from None


def _unavailable(name: str, error: Exception) -> KeyProviderUnavailable:
    return KeyProviderUnavailable(f"the provider of keys {name} failed", found=type(error).__name__, hint="check that its service answers")


# -- files that are their owner's alone ------------------------------------------------------------------------------


def write_private(path: Path, text: str) -> None:
    """Writes a file whole or not at all; nobody but its owner may read it."""
    draft = _draft(path, text)
    draft.replace(path)


def _made(path: Path) -> str:
    """A new key; where another process makes one at the same moment, that one's."""
    draft = _draft(path, secrets.token_bytes(32).hex() + "\n")
    try:
        os.link(draft, path)  # unlike a rename, this never replaces a key that others use already
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text()


def _draft(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    return draft
