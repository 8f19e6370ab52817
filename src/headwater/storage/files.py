"""The data files that a catalog names, and moving bytes between a lake's data and a folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from headwater.engine import Connection
from headwater.errors import HeadwaterError, LakeError, StorageFull
from headwater.spec.names import quote_literal

#: Data and delete files with the folders of their tables; `{meta}` is where the catalog's tables are.
FILES_SQL: Final = """
    SELECT s.path, s.path_is_relative, t.path, t.path_is_relative, f.path, f.path_is_relative, f.file_size_bytes, f.encryption_key
    FROM (
        SELECT table_id, path, path_is_relative, file_size_bytes, encryption_key FROM {meta}ducklake_data_file
        UNION ALL
        SELECT table_id, path, path_is_relative, file_size_bytes, encryption_key FROM {meta}ducklake_delete_file
    ) f
    JOIN (SELECT DISTINCT table_id, schema_id, path, path_is_relative FROM {meta}ducklake_table) t ON t.table_id = f.table_id
    JOIN (SELECT DISTINCT schema_id, path, path_is_relative FROM {meta}ducklake_schema) s ON s.schema_id = t.schema_id
"""


@dataclass(frozen=True, slots=True)
class LakeFile:
    """A file of the lake; `path` is relative to the data folder, or absolute where `is_relative` is False (not written by us)."""

    path: str
    size_bytes: int
    is_relative: bool
    is_encrypted: bool


def files_of(rows: Iterable[tuple[Any, ...]]) -> list[LakeFile]:
    """From the rows of FILES_SQL."""
    found = []
    for schema_path, schema_relative, table_path, table_relative, path, relative, size, key in rows:
        prefix = ""
        if relative:
            prefix = table_path if not table_relative else schema_path + table_path
        is_relative = bool(relative) and bool(table_relative) and bool(schema_relative)
        found.append(LakeFile(prefix + path, int(size or 0), is_relative, key is not None))
    return found


def copy_file(source: str, target: str, connection: Connection, *, hard_link: bool = False) -> None:
    """One file, from and to a local path or an object store. Raises LakeError, StorageFull."""
    if "://" in source or "://" in target:
        if "://" not in target:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
        connection.execute(f"COPY (SELECT content FROM read_blob({quote_literal(source)})) TO {quote_literal(target)} (FORMAT blob)")
        return
    place = Path(target)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if hard_link:
            try:
                os.link(source, place)
                return
            except OSError:
                pass  # another file system: copied instead
        shutil.copyfile(source, place)
    except OSError as error:
        raise copy_failed(error, place.name) from error


def copy_failed(error: OSError, name: str) -> HeadwaterError:
    """The error for a file that couldn't be copied."""
    if error.errno in (28, 122):  # ENOSPC, EDQUOT
        return StorageFull(
            "no space is left to copy to", found=error.strerror, state="what was copied so far is incomplete", hint="free space, begin anew"
        )
    return LakeError(f"{name} can't be copied", found=error.strerror, state="what was copied so far is incomplete")
