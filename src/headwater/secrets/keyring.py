"""The keyring: every key of a project, by purpose and version, each wrapped by the master key. The file without the master key opens nothing.

What is sealed says which key sealed it, so that older versions open what they sealed for as long as they are kept: rotation only ever adds.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args

from headwater.errors import KeyMissing, KeyRefused
from headwater.secrets.masterkeys import KeyProvider, add_master_key, aes, forget_older_master_keys, master_file, open_provider, opened, write_private
from headwater.spec.counting import plural
from headwater.spec.project import KeysConfig

Purpose = Literal["masks", "tokens", "state", "secrets", "backups", "audit"]
PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)
#: Those whose rotation changes nothing that anybody sees.
QUIET_PURPOSES: Final[tuple[Purpose, ...]] = ("state", "secrets", "backups", "audit")

_FORMAT: Final = 1
_SEAL: Final = "hw1"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
#: The key of masks as it was kept before there was a keyring: taken over by the first version.
_FORMER_MASKS: Final = Path(".headwater") / "keys" / "masks"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key as lists show it. `is_newest`: it is used for what is new; older ones open what they sealed."""

    purpose: Purpose
    version: int
    id: str
    created_at: str
    is_newest: bool


@dataclass(frozen=True, slots=True, repr=False)
class DataKey:
    """A key in clear: never printed, never stored."""

    id: str
    version: int
    key: bytes

    def __repr__(self) -> str:
        return f"DataKey({self.id}, version={self.version})"


class Keyring:
    """The keyring of a project. Read when first needed; a key that isn't there yet is made when first asked for. Thread-safe, and safe beside other
    processes."""

    def __init__(self, config: KeysConfig, *, project_dir: Path, environ: Mapping[str, str]) -> None:
        self._config = config
        self._project_dir = project_dir
        self._environ = environ
        self.path = project_dir / Path(config.keyring).expanduser()
        self._open: dict[str, DataKey] = {}
        self._provider: KeyProvider | None = None
        self._lock = threading.RLock()

    # -- looking -----------------------------------------------------------------------------------------------------

    def entries(self) -> list[KeyInfo]:
        """Every key, by purpose and version; none where there is no keyring yet. Raises KeyRefused."""
        rows = self._rows()
        newest = {row["purpose"]: row["version"] for row in rows}
        found = [KeyInfo(row["purpose"], row["version"], row["id"], row["created_at"], row["version"] == newest[row["purpose"]]) for row in rows]
        return sorted(found, key=lambda one: (one.purpose, one.version))

    def newest(self, purpose: Purpose) -> DataKey:
        """The key for what is new. Raises KeyMissing, KeyRefused, KeyProviderUnavailable."""
        rows = self._of(purpose)
        if not rows:
            return self._changed(lambda rows: self._added(rows, purpose, only_first=True))
        return self._opened(rows[-1])

    def versions(self, purpose: Purpose) -> list[DataKey]:
        """All keys of a purpose, the newest first; at least one."""
        self.newest(purpose)
        return [self._opened(row) for row in reversed(self._of(purpose))]

    # -- sealing -----------------------------------------------------------------------------------------------------

    def seal(self, purpose: Purpose, context: str, plain: bytes) -> str:
        """Text that `unseal` opens with the same `context`, and nobody without the key."""
        key = self.newest(purpose)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return f"{_SEAL}:{key.id}:{base64.b64encode(nonce + aes(key.key).encrypt(nonce, plain, context.encode())).decode()}"

    def unseal(self, sealed: str, context: str) -> bytes:
        """Raises KeyMissing for a key that isn't in the keyring, KeyRefused for what was changed or sealed for something else."""
        _, id, text = sealed.split(":", 2) if is_sealed(sealed) else ("", "", "")
        row = next((row for row in self._rows() if row["id"] == id), None)
        if row is None:
            raise KeyMissing(
                "the key that sealed this isn't in the keyring",
                expected=f"the key {id or 'of a seal'}",
                found=str(self.path),
                hint="bring back the keyring that was used; servers of one project share it, and its master key",
            )
        try:
            raw = base64.b64decode(text, validate=True)
        except binascii.Error:
            raw = b""
        return opened(self._opened(row).key, raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], context)

    # -- changing ----------------------------------------------------------------------------------------------------

    def rotate(self, purpose: Purpose) -> DataKey:
        """A new version, in use from now on; older ones stay. Sealing anew what they sealed is the caller's."""
        return self._changed(lambda rows: self._added(rows, purpose, only_first=False))

    def rewrap(self) -> int:
        """Wraps every key anew with the newest master key, and gives how many. A master key in a file is replaced by a new one first.

        May be killed at any moment: the older master key goes last.
        """

        def work(rows: list[dict[str, Any]]) -> int:
            path = master_file(self._config, self._project_dir)
            plain = [(row, self._opened(row)) for row in rows]
            if self._config.provider == "file" and rows:
                add_master_key(path)
            self._provider = None
            provider = self._wrapping()
            for row, key in plain:
                row["wrapped"] = base64.b64encode(provider.wrap(key.key, _context(row))).decode()
            return len(rows)

        done = self._changed(work)
        if self._config.provider == "file" and done:
            forget_older_master_keys(master_file(self._config, self._project_dir))
            self._provider = None
        return done

    def _added(self, rows: list[dict[str, Any]], purpose: Purpose, *, only_first: bool) -> DataKey:
        mine = [row for row in rows if row["purpose"] == purpose]
        if mine and only_first:  # another process was quicker
            return self._opened(mine[-1])
        former = _former_masks(self._project_dir) if purpose == "masks" and not mine else None
        key = DataKey(secrets.token_hex(4), (mine[-1]["version"] if mine else 0) + 1, former or secrets.token_bytes(_KEY_BYTES))
        row = {"purpose": purpose, "version": key.version, "id": key.id, "created_at": datetime.now(UTC).isoformat(timespec="seconds")}
        row["wrapped"] = base64.b64encode(self._wrapping(create=not rows).wrap(key.key, _context(row))).decode()
        rows.append(row)
        self._open[key.id] = key
        return key

    def _changed(self, change: Callable[[list[dict[str, Any]]], T]) -> T:
        """Changes the file's rows under a lock that all processes heed."""
        from filelock import FileLock

        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock, FileLock(self.path.with_name(self.path.name + ".lock"), mode=0o600):
            rows = self._rows()
            done = change(rows)
            write_private(self.path, json.dumps({"format": _FORMAT, "keys": rows}, indent=1) + "\n")
            if any(row["purpose"] == "masks" for row in rows):
                (self._project_dir / _FORMER_MASKS).unlink(missing_ok=True)
            return done

    # -- parts -------------------------------------------------------------------------------------------------------

    def _wrapping(self, *, create: bool = False) -> KeyProvider:
        with self._lock:
            if self._provider is None:
                self._provider = open_provider(self._config, project_dir=self._project_dir, environ=self._environ, create=create)
            return self._provider

    def _opened(self, row: Mapping[str, Any]) -> DataKey:
        with self._lock:
            known = self._open.get(row["id"])
            if known is None:
                try:
                    wrapped = base64.b64decode(row["wrapped"], validate=True)
                except binascii.Error:
                    wrapped = b""
                key = self._wrapping().unwrap(wrapped, _context(row))
                known = self._open[row["id"]] = DataKey(row["id"], row["version"], key)
            return known

    def _of(self, purpose: Purpose) -> list[dict[str, Any]]:
        return [row for row in self._rows() if row["purpose"] == purpose]

    def _rows(self) -> list[dict[str, Any]]:
        """The file's rows, oldest version first."""
        try:
            found = json.loads(self.path.read_text())
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise _broken(self.path, type(error).__name__) from None
        names = {"purpose": str, "version": int, "id": str, "created_at": str, "wrapped": str}
        rows = found.get("keys") if isinstance(found, dict) and found.get("format") == _FORMAT else None
        if not isinstance(rows, list) or not all(
            isinstance(row, dict) and all(isinstance(row.get(name), kind) for name, kind in names.items()) and row["purpose"] in PURPOSES
            for row in rows
        ):
            raise _broken(self.path, "something else")
        return sorted(rows, key=lambda row: int(row["version"]))


def is_sealed(text: str) -> bool:
    """Whether it is what `Keyring.seal` gives."""
    return text.startswith(f"{_SEAL}:") and text.count(":") == 2


def _context(row: Mapping[str, Any]) -> str:
    return f"headwater key {row['purpose']} {row['version']} {row['id']}"


def _broken(path: Path, found: str) -> KeyRefused:
    return KeyRefused("the keyring can't be read", expected=str(path), found=found, hint="bring it back from a backup; without it nothing opens")


def _former_masks(project_dir: Path) -> bytes | None:
    try:
        key = bytes.fromhex((project_dir / _FORMER_MASKS).read_text().strip())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise KeyRefused(f"{_FORMER_MASKS} can't be read as a key", found=type(error).__name__, expected="64 hexadecimal digits") from None
    if len(key) < _KEY_BYTES:
        raise KeyRefused(f"{_FORMER_MASKS} can't be read as a key", expected="64 hexadecimal digits", found=plural(len(key), "byte"))
    return key
