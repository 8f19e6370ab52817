"""Secrets of a project in a file: names in clear, values sealed with the keyring, each for its name alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from headwater.errors import KeyRefused, UsageError
from headwater.secrets.keyring import Keyring
from headwater.secrets.masterkeys import write_private

_FORMAT: Final = 1
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@/-]{0,127}", re.ASCII)


class SecretFile:
    """The file provider of `${secret:NAME}`. Safe beside other processes."""

    def __init__(self, path: Path, keyring: Keyring) -> None:
        self._path = path
        self._keyring = keyring

    def names(self) -> list[str]:
        """All names, sorted. Raises KeyRefused for a file that is none of ours."""
        return sorted(self._read())

    def get(self, name: str) -> str | None:
        """None for a name that isn't there. Raises KeyMissing, KeyRefused, KeyProviderUnavailable."""
        sealed = self._read().get(name)
        return None if sealed is None else self._keyring.unseal(sealed, _context(name)).decode()

    def set(self, name: str, value: str) -> bool:
        """Keeps a value; says whether there was one of that name. Raises UsageError for what can't be a name, or for no value."""
        if not _NAME.fullmatch(name):
            raise UsageError("a secret can't be called that", expected="up to 128 letters, digits and . _ - / @, the first a letter, digit or _")
        if not value:
            raise UsageError("a secret needs a value", expected="a line on stdin")
        sealed = self._keyring.seal("secrets", _context(name), value.encode())

        def work(secrets: dict[str, str]) -> bool:
            was_there = name in secrets
            secrets[name] = sealed
            return was_there

        return self._changed(work)

    def remove(self, name: str) -> None:
        """Raises UsageError when there is none of that name."""

        def work(secrets: dict[str, str]) -> bool:
            if secrets.pop(name, None) is None:
                raise UsageError(f"there is no secret {name!r}", hint="headwater secrets list shows all names")
            return True

        self._changed(work)

    def reseal(self) -> int:
        """Seals every value anew with the newest key, and gives how many."""

        def work(secrets: dict[str, str]) -> bool:
            for name, sealed in secrets.items():
                secrets[name] = self._keyring.seal("secrets", _context(name), self._keyring.unseal(sealed, _context(name)))
            return True

        if not self._read():
            return 0
        self._changed(work)
        return len(self._read())

    def _changed(self, change: Callable[[dict[str, str]], bool]) -> bool:
        from filelock import FileLock

        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(self._path.with_name(self._path.name + ".lock"), mode=0o600):
            secrets = self._read()
            done = change(secrets)
            write_private(self._path, json.dumps({"format": _FORMAT, "secrets": dict(sorted(secrets.items()))}, indent=1) + "\n")
            return done

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise self._broken(type(error).__name__) from None
        secrets = found.get("secrets") if isinstance(found, dict) and found.get("format") == _FORMAT else None
        if not isinstance(secrets, dict) or not all(isinstance(value, str) for value in secrets.values()):
            raise self._broken("something else")
        return secrets

    def _broken(self, found: str) -> KeyRefused:
        return KeyRefused("the file of secrets can't be read", expected=str(self._path), found=found, hint="bring it back, or begin anew without it")


def _context(name: str) -> str:
    return f"headwater secret {name}"
