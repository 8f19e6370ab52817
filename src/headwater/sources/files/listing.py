"""Which files a stream's paths name, and what tells whether one has changed."""

# names are kept as text: a hundred thousand Path objects take longer than listing the files
# ruff: noqa: PTH110, PTH111, PTH112, PTH113, PTH116, PTH118, PTH119, PTH206, PTH207

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwater.errors import SourceUnreachable, StreamNotFound
from headwater.spec.names import quote_literal

_GLOB_MARKS = ("*", "?", "[")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """`key` names it in the position and in `_hw_file`; `address` is what the engine opens; `stamp` changes when the file does."""

    key: str
    address: str
    stamp: Mapping[str, Any]

    @property
    def size(self) -> int:
        return int(self.stamp.get("size") or 0)

    @property
    def is_local(self) -> bool:
        return "://" not in self.address


def local_stamp(status: os.stat_result) -> dict[str, Any]:
    return {"size": status.st_size, "mtime": status.st_mtime_ns}


def s3_stamp(size: int, changed_us: int) -> dict[str, Any]:
    return {"size": size, "mtime": changed_us}


def is_web(path: str) -> bool:
    return path.startswith(("http://", "https://"))


def is_s3(path: str) -> bool:
    return path.startswith("s3://")


def has_glob(path: str) -> bool:
    return not is_web(path) and any(mark in path for mark in _GLOB_MARKS)


def list_local(pattern: str, project_dir: Path) -> list[FoundFile]:
    """The files a local path or glob names, in order of name; `**` means any depth. Raises StreamNotFound when the place isn't there at all."""
    root = project_dir.resolve()
    full = os.path.join(root, os.path.expanduser(pattern))
    if not has_glob(pattern):
        if not os.path.exists(full):
            raise StreamNotFound(
                f"there is no file {pattern}", expected=f"a file, a folder or a glob, relative to {root.name}/", hint="check the stream's path"
            )
        if os.path.isdir(full):
            full = os.path.join(glob.escape(full), "*")
    else:
        folder = _folder_before_glob(full)
        if not os.path.isdir(folder):
            raise StreamNotFound(f"there is no folder for {pattern}", expected=f"a folder {folder}", hint="check the stream's path")
    prefix = str(root) + os.sep
    found = []
    for path in glob.iglob(full, recursive=True) if has_glob(full) else iter((full,)):
        try:
            status = os.stat(path)
        except FileNotFoundError:
            continue  # taken away since it was listed
        if not os.path.isfile(path):
            continue
        if not os.access(path, os.R_OK):
            raise SourceUnreachable(
                f"{pattern}: {os.path.basename(path)} may not be read", expected="the right to read it", hint="check the file's rights"
            )
        address = os.path.normpath(path)
        key = address.removeprefix(prefix).replace(os.sep, "/")
        found.append(FoundFile(key, address, local_stamp(status)))
    return sorted(found, key=lambda file: file.key)


def _folder_before_glob(path: str) -> str:
    parts = []
    for part in path.split(os.sep):
        if has_glob(part):
            break
        parts.append(part)
    return os.sep.join(parts) or os.sep


def list_s3(pattern: str, rows: Callable[[str], Sequence[tuple[Any, ...]]]) -> list[FoundFile]:
    """The objects an `s3://` path or glob names. `rows` runs SQL where the credentials are known."""
    listed = rows(f"SELECT filename, size, epoch_us(last_modified) FROM read_blob({quote_literal(pattern)}) ORDER BY ALL")
    return [FoundFile(name, name, s3_stamp(size, changed)) for name, size, changed in listed if not name.endswith("/")]


def without_query(url: str) -> str:
    """A URL as messages may show it: signatures and tokens stand behind the question mark, or before the @."""
    head = url.split("?", 1)[0]
    scheme, mark, rest = head.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


def changed_since(files: Sequence[FoundFile], position: Mapping[str, Any] | None) -> Iterator[tuple[FoundFile, bool]]:
    """The files that are new or differ from what the position says of them; True with those that were loaded before."""
    known = position or {}
    for file in files:
        before = known.get(file.key)
        if before is None:
            yield file, False
        elif dict(before) != dict(file.stamp):
            yield file, True
