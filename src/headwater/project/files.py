"""Walking a project's folders, and the rules for names that files give to tables."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headwater.errors import Location
from headwater.project.documents import read_text
from headwater.project.problems import Report
from headwater.spec.names import RESERVED_SCHEMAS, TableName


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A file of the project, read. `path` is relative to the project, with forward slashes."""

    path: str
    text: str
    is_readable: bool = True

    @property
    def stem(self) -> str:
        """Its name without the ending, in Unicode's composed form (some file systems give the other one)."""
        return unicodedata.normalize("NFC", self.path.rpartition("/")[2].rpartition(".")[0])

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders it lies in, from the project's root, composed likewise."""
        return tuple(unicodedata.normalize("NFC", self.path).split("/")[:-1])


def walk(directory: Path, folder: str, endings: tuple[str, ...], report: Report) -> Iterator[str]:
    """Relative paths of the files under a folder with one of the endings, sorted; hidden ones and `__pycache__` left out.

    Links to folders aren't followed: they may lead in a circle.
    """
    found: list[str] = []
    pending = [folder]
    while pending:
        current = pending.pop()
        try:
            with os.scandir(directory / current) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.name == "__pycache__":
                        continue
                    path = f"{current}/{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(path)
                    elif entry.name.endswith(endings) and entry.is_file():
                        found.append(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            report.add("unreadable-file", f"the folder can't be read: {error.strerror or error}", Location(current))
    return iter(sorted(found))


def read_files(directory: Path, folder: str, endings: tuple[str, ...], report: Report) -> Iterator[ProjectFile]:
    """The files under a folder, read; those that can't be go to the report, and come without text."""
    for path in walk(directory, folder, endings, report):
        text = read_text(directory / path, path, report)
        yield ProjectFile(path, text or "", text is not None)


def check_schema_name(schema: str, location: Location, report: Report, subject: str) -> None:
    """Reserved and impossible schema names."""
    if schema.lower() in RESERVED_SCHEMAS:
        report.add("reserved-name", f"{subject} would make the schema {schema!r}, which is reserved", location, expected="another name")
    elif not schema.strip():
        report.add("bad-name", f"{subject} has no name", location)


def check_table_name(table: TableName, location: Location, report: Report) -> None:
    """Names that can't be a table's."""
    for part in (table.schema, table.name):
        if part != part.strip() or not part:
            report.add("bad-name", f"{part!r} can't be a name: it begins or ends with a space, or is empty", location)
        elif not part.isprintable():
            report.add("bad-name", f"{part!r} can't be a name: it holds characters that can't be shown", location)


def read_stamp(directory: Path) -> str:
    """A word that differs when a file of the project's definitions was added, changed or removed: by their names, sizes and times of change."""
    digest = hashlib.sha256()
    tops = [directory / name for name in ("headwater.yaml", "headwater.local.yaml", ".env")]
    folders = [directory / name for name in ("sources", "models", "macros", "policies")]
    for path in sorted([*tops, *(file for folder in folders for file in folder.rglob("*"))]):
        try:
            found = path.stat()
        except OSError:
            continue
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
