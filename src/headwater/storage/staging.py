"""Rows computed outside the lake: in scratch memory, or as Parquet files already lying where the lake will keep them."""

from __future__ import annotations

import os
import re
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headwater.engine import Connection, Engine, describe_query
from headwater.errors import ModelOutputInvalid
from headwater.spec.names import TableName, exclusion_of, quote, quote_literal
from headwater.spec.tables import Column, storage_type
from headwater.storage import boundaries
from headwater.storage.changes import Staged

if TYPE_CHECKING:
    import pyarrow as pa

#: Results with more rows than this are written as files of the table; fewer are copied by the commit.
FILES_FROM_ROWS: Final = 100_000
FILE_SIZE: Final = "512MB"
#: DuckLake keeps a table in the folder of its name when the name is made of these; otherwise in one named by a UUID.
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


class Staging:
    """Makes and drops staged rows of one lake. Thread-safe."""

    def __init__(self, engine: Engine, name: str, *, may_write_files: bool) -> None:
        """`name` is the lake's. `may_write_files` is False where the lake can't take over plain files (encrypted)."""
        self._engine = engine
        self._scratch = f"hw_scratch_{name}"
        self._may_write_files = may_write_files
        self._lock = threading.Lock()
        self._committed: set[str] = set()
        engine.attach_memory(self._scratch)

    def close(self) -> None:
        self._engine.detach(self._scratch)

    def stage(
        self, connection: Connection, table: TableName, query: str, *, as_files: bool | None, sort_by: Sequence[str], folder: str | None
    ) -> Staged:
        """Runs `query` on `connection`. `folder` is where the lake keeps (or will keep) the table's files; None when that isn't known."""
        found = describe_query(connection, query)
        columns = tuple(Column(column.name, storage_type(column.type)) for column in found)
        _refuse_odd_columns(table, columns)
        select = f"SELECT {_casts(found, columns)} FROM (\n{query}\n)"
        if sort_by:
            select += f" ORDER BY {', '.join(sort_by)}"
        if folder is None or not self._may_write_files:
            as_files = False
        if as_files:
            return self._copy(connection, table, select, columns, folder or "")
        staged = self._create(connection, table, select, columns)
        if as_files is None and staged.rows > FILES_FROM_ROWS:
            try:
                return self._copy(connection, table, f"SELECT * FROM {staged.relation}", columns, folder or "")
            finally:
                self.drop(staged)
        return staged

    def stage_batches(self, connection: Connection, table: TableName, reader: pa.RecordBatchReader, folder: str | None) -> Staged:
        """All batches of `reader`, as files where the lake can take files over."""
        name = f"hw_batches_{uuid.uuid4().hex}"
        connection.register(name, reader)
        try:
            return self.stage(connection, table, f"SELECT * FROM {name}", as_files=True, sort_by=(), folder=folder)
        finally:
            connection.unregister(name)

    def mark_committed(self, staged: Staged) -> None:
        """The lake owns the files now: dropping must leave them."""
        with self._lock:
            self._committed.update(staged.files)

    def drop(self, *staged: Staged) -> None:
        """Frees the memory, deletes files that no commit took over. Does nothing the second time."""
        in_memory = [item.relation for item in staged if not item.files and item.relation.startswith(quote(self._scratch))]
        if in_memory:
            with self._engine.connection() as connection:
                connection.execute(";\n".join(f"DROP TABLE IF EXISTS {relation}" for relation in in_memory))
        for file in (file for item in staged for file in item.files):
            with self._lock:
                if file in self._committed:
                    continue
            if "://" not in file:  # files in an object store wait for `maintain` to find that nobody owns them
                Path(file).unlink(missing_ok=True)

    def _create(self, connection: Connection, table: TableName, select: str, columns: tuple[Column, ...]) -> Staged:
        relation = f"{quote(self._scratch)}.main.{quote('s' + uuid.uuid4().hex)}"
        rows = connection.execute(f"CREATE TABLE {relation} AS {select}").scalar()
        if rows is None:  # DuckDB makes several statements of a PIVOT without IN, and counts nothing
            rows = connection.execute(f"SELECT count(*) FROM {relation}").scalar()
        boundaries.reached("lake.staged")
        return Staged(table, relation, columns, int(rows or 0))

    def _copy(self, connection: Connection, table: TableName, select: str, columns: tuple[Column, ...], folder: str) -> Staged:
        if "://" not in folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
        name = f"hw-{uuid.uuid4().hex}"
        try:
            written = connection.execute(
                f"""
                COPY ({select}) TO {quote_literal(folder.rstrip("/"))}
                (FORMAT parquet, APPEND, FILENAME_PATTERN '{name}-{{uuid}}', FILE_SIZE_BYTES {quote_literal(FILE_SIZE)}, RETURN_STATS)
                """
            ).fetchall()
        except BaseException:
            if "://" not in folder:
                for part in Path(folder).glob(f"{name}-*"):
                    part.unlink(missing_ok=True)
            raise
        files = tuple(row[0] for row in written if row[1])
        for row in written:
            if not row[1] and "://" not in row[0]:
                Path(row[0]).unlink(missing_ok=True)
        for file in files:
            if "://" not in file:
                _sync(file)
        boundaries.reached("lake.staged")
        return Staged(table, _relation_of(files, columns), columns, sum(row[1] for row in written), sum(row[2] for row in written if row[1]), files)


def table_folder(data: str, table: TableName) -> str | None:
    """Where DuckLake will keep a table that doesn't exist yet; None for names it doesn't use as they are."""
    if _PLAIN.fullmatch(table.schema) and _PLAIN.fullmatch(table.name):
        return f"{data}{table.schema}/{table.name}/"
    return None


def _relation_of(files: tuple[str, ...], columns: tuple[Column, ...]) -> str:
    if not files:
        empty = ", ".join(f"CAST(NULL AS {column.type}) AS {quote(column.name)}" for column in columns)
        return f"(SELECT {empty} WHERE false)"
    listed = ", ".join(quote_literal(file) for file in files)
    cast = ", ".join(f"CAST({quote(column.name)} AS {column.type}) AS {quote(column.name)}" for column in columns)
    return f"(SELECT {cast} FROM read_parquet([{listed}]))"


def _casts(found: Sequence[Column], columns: Sequence[Column]) -> str:
    if all(old.type == new.type for old, new in zip(found, columns, strict=True)):
        return "*"
    parts = []
    for old, new in zip(found, columns, strict=True):
        name = quote(new.name)
        parts.append(name if old.type == new.type else f"CAST({name} AS {new.type}) AS {name}")
    return ", ".join(parts)


def _refuse_odd_columns(table: TableName, columns: Sequence[Column]) -> None:
    seen: set[str] = set()
    for column in columns:
        if not column.name.strip():
            raise ModelOutputInvalid(f"{table} has a column without a name", hint="name it with AS")
        if column.name.lower().startswith("_ducklake_internal_"):
            raise ModelOutputInvalid(f"{table} has a column {column.name}, a name that the lake keeps to itself", hint="rename it with AS")
        if column.name.lower() in seen:
            raise ModelOutputInvalid(
                f"{table} has two columns named {column.name!r}",
                expected="names that differ by more than case",
                hint=f"rename one with AS, or leave it out with {exclusion_of(column.name)}",
            )
        seen.add(column.name.lower())


def _sync(file: str) -> None:
    """Onto the disk before a commit names it."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
