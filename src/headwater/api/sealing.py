"""What a backup of an encrypted lake must not show: its catalog, which holds the keys of the data files, and the state."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from headwater.errors import LakeError
from headwater.secrets import Keyring, seal_file, unseal_file

#: What the name of a sealed file ends with.
SUFFIX: Final = ".sealed"
#: The keyring's copy in a backup: with the master key it opens the rest.
KEYRING_FILE: Final = "keyring.json"
_CATALOG: Final = ("catalog.sqlite", "catalog")


def seal_backup(directory: Path, lake_id: str, state_file: str, keyring: Keyring) -> None:
    """Puts sealed files in the place of catalog and state, and the keyring beside them. Raises KeyMissing, KeyRefused, LakeError."""
    try:
        for path in _parts(directory, state_file):
            name = path.relative_to(directory).as_posix()
            seal_file(path, path.with_name(path.name + SUFFIX), keyring, "backups", _context(lake_id, name))
            path.unlink()
        shutil.copyfile(keyring.path, directory / KEYRING_FILE)
    except OSError as error:
        raise LakeError(
            "the backup can't be sealed", found=error.strerror, state="it is incomplete; remove it, since parts may be readable"
        ) from error


def is_sealed_backup(directory: Path) -> bool:
    """Whether its catalog is sealed."""
    return (directory / f"catalog.sqlite{SUFFIX}").exists() or any((directory / "catalog").glob(f"*{SUFFIX}"))


def unseal_backup(directory: Path, lake_id: str, target: Path, keyring: Keyring) -> None:
    """Writes catalog and state, opened, into the folder `target`. A project without a keyring gets the backup's.

    Raises KeyMissing, KeyRefused, LakeError.
    """
    try:
        if not keyring.path.exists() and (directory / KEYRING_FILE).exists():
            keyring.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copyfile(directory / KEYRING_FILE, keyring.path)
            keyring.path.chmod(0o600)
        for path in sorted([*directory.glob(f"*{SUFFIX}"), *(directory / "catalog").glob(f"*{SUFFIX}")]):
            name = path.relative_to(directory).as_posix().removesuffix(SUFFIX)
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            unseal_file(path, target / name, keyring, _context(lake_id, name))
    except OSError as error:
        raise LakeError("the backup can't be opened", found=error.strerror, state="nothing was changed") from error


def _parts(directory: Path, state_file: str) -> list[Path]:
    folders = [path for name in _CATALOG if (path := directory / name).exists()]
    found = [one for path in folders for one in (sorted(path.iterdir()) if path.is_dir() else [path])]
    return [*found, *([directory / state_file] if (directory / state_file).exists() else [])]


def _context(lake_id: str, name: str) -> str:
    return f"headwater backup {lake_id} {name}"
