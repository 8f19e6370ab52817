"""SQLite files.

A SQLite column may hold values of any type whatever it was declared as. So a column all of whose values fit its declaration is read as that type, and
one that holds others comes as text (bytes in it as `x'..'`), each value in full: what doesn't cast is for the contract to judge.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote as percent

from headwater.errors import SourceDataInvalid, SourceReadFailed, SourceUnreachable
from headwater.sources.connector import DiscoveredStream, ReadRequest, Scan
from headwater.sources.relational import DatabaseConnector, SourceColumn
from headwater.sources.text import sample_forms, suggested_types
from headwater.spec.counting import plural
from headwater.spec.names import quote, quote_literal
from headwater.spec.sources import Stream

#: A value as text that gives it back: doubles with all their digits, bytes as a literal.
_AS_TEXT = (
    "CASE typeof({0}) WHEN 'real' THEN CASE WHEN CAST(printf('%!.15g', {0}) AS REAL) = {0} THEN printf('%!.15g', {0}) ELSE printf('%!.17g', {0}) END"
    " WHEN 'blob' THEN quote({0}) ELSE CAST({0} AS TEXT) END"
)
_AS_HEX = "CASE WHEN {0} IS NULL THEN NULL ELSE hex(CAST({0} AS BLOB)) END"
_DECIMAL = re.compile(r"(?:decimal|numeric)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)", re.IGNORECASE)


class SqliteConnector(DatabaseConnector):
    """`connection` is the file, relative to the project (or a mapping with `path`)."""

    type: ClassVar[str] = "sqlite"
    query_function: ClassVar[str] = "sqlite_query"
    extension: ClassVar[str] = "sqlite_scanner"

    @property
    def path(self) -> Path:
        connection = self.context.connection
        text = connection if isinstance(connection, str) else str((connection or {}).get("path", ""))
        return self.context.project_dir / Path(text.removeprefix("sqlite:///")).expanduser()

    @property
    def secrets(self) -> tuple[str, ...]:
        return ()  # a file has none, and its name belongs in messages

    def attach(self, alias: str, stream: Stream | None = None) -> tuple[str, ...]:
        return (f"ATTACH {quote_literal(str(self.path))} AS {quote(alias)} (TYPE sqlite, READ_ONLY)",)

    @contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        """SQLite itself, read-only, for what it says of its tables."""
        if not self.path.is_file():
            raise SourceUnreachable(
                f"source {self.context.name}: there is no file {self.path.name}", expected="a SQLite database", hint="check the connection"
            )
        connection = sqlite3.connect(f"file:{percent(str(self.path))}?mode=ro", uri=True, timeout=15)
        try:
            yield connection
        except sqlite3.DatabaseError as error:
            text = str(error)
            if "not a database" in text or "malformed" in text:
                raise SourceDataInvalid(f"{self.path.name} is no SQLite database, or damaged", found=text) from None
            if isinstance(error, sqlite3.OperationalError) and "locked" not in text:
                raise SourceDataInvalid(f"source {self.context.name} refused a statement", found=text) from None
            raise SourceReadFailed(f"source {self.context.name} failed while being read", found=text, hint="run again") from None
        finally:
            connection.close()

    def check(self) -> str:
        with self.opened() as connection:
            (count,) = connection.execute(
                "SELECT count(*) FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
            ).fetchone()
        return f"SQLite {sqlite3.sqlite_version}, {plural(count, 'table')} readable"

    def discover(self) -> list[DiscoveredStream]:
        found = []
        with self.opened() as connection:
            names = connection.execute(
                "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY name"
            ).fetchall()
            for name, kind in names:
                rows = connection.execute(f"PRAGMA table_info({quote(name)})").fetchall()
                key = tuple(row[1] for row in sorted((row for row in rows if row[5]), key=lambda row: row[5]))
                definition: dict[str, Any] = {"table": f'"{name}"' if "." in name else name}
                if key:
                    definition["primary_key"] = list(key)
                estimate = (
                    connection.execute(f"SELECT max(rowid) FROM {quote(name)}").fetchone()[0]
                    if kind == "table" and _has_rowid(connection, name)
                    else None
                )
                columns = tuple(map_column(row[1], row[2], not row[3]).discovered for row in rows)
                found.append(DiscoveredStream(name, definition, columns, key, estimate))
        return found

    def describe_table(self, schema: str | None, table: str) -> list[SourceColumn]:
        with self.opened() as connection:
            return [map_column(row[1], row[2], not row[3]) for row in connection.execute(f"PRAGMA table_info({quote(table)})").fetchall()]

    def describe_query(self, query: str) -> list[SourceColumn]:
        with self.opened() as connection:
            described = connection.execute(f"SELECT * FROM (\n{query}\n) LIMIT 0").description
        return [SourceColumn(item[0], "VARCHAR", "", server=_AS_TEXT) for item in described]

    def plan_scan(self, request: ReadRequest, columns: Sequence[SourceColumn]) -> Scan:
        stream = request.stream
        if stream.query is None:
            columns = self._fitted(request, columns)
        else:
            columns = self._sampled(request, columns)
        # one file has one reader: ranges would only read it several times
        return super().plan_scan(replace(request, stream=request.stream.model_copy(update={"parallel": None})), columns)

    def _fitted(self, request: ReadRequest, columns: Sequence[SourceColumn]) -> list[SourceColumn]:
        """Each column as its declared type where all its values are of that storage class; one pass of SQLite over the rows to be read."""
        checks = ", ".join(f"group_concat(DISTINCT typeof({self.quoted(column.name)}))" for column in columns)
        with self.opened() as connection:
            row = connection.execute(f"SELECT {checks} {self.server_from(request)}").fetchone()
        return [fitted(column, set((classes or "null").split(",")) - {"null"}) for column, classes in zip(columns, row, strict=True)]

    def _sampled(self, request: ReadRequest, columns: Sequence[SourceColumn]) -> list[SourceColumn]:
        """A query's columns have no declared types: what their text looks like is suggested."""
        names = [column.name for column in columns]
        select = self.server_select(request, columns)
        sql = f"FROM sqlite_query({quote_literal(self.own_alias())}, {quote_literal(select)})"
        self.run(f"SELECT 1 FROM ({sql}) LIMIT 1", f"{self.context.name}.{request.name}")
        types = suggested_types(sample_forms(self.connection, sql, names))
        return [replace(column, suggested=types.get(column.name)) for column in columns]


def _has_rowid(connection: sqlite3.Connection, table: str) -> bool:
    try:
        connection.execute(f"SELECT rowid FROM {quote(table)} LIMIT 0")
    except sqlite3.OperationalError:
        return False
    return True


def map_column(name: str, declared: str, nullable: bool) -> SourceColumn:
    """The type a declaration means, by SQLite's rules of affinity, with dates and booleans told by their names."""
    low = (declared or "").lower()
    decimal = _DECIMAL.search(low)
    if decimal and int(decimal[1]) <= 38:
        suggested: str | None = f"DECIMAL({decimal[1]},{decimal[2] or 0})"
    elif "bool" in low:
        suggested = "BOOLEAN"
    elif "int" in low:
        suggested = "BIGINT"
    elif low.startswith(("datetime", "timestamp")):
        suggested = "TIMESTAMP"
    elif low.startswith("date"):
        suggested = "DATE"
    elif any(mark in low for mark in ("real", "floa", "doub")):
        suggested = "DOUBLE"
    elif low == "blob":
        return SourceColumn(name, "BLOB", declared, nullable, suggested="BLOB")
    else:
        suggested = None
    return SourceColumn(name, "VARCHAR", declared, nullable, suggested=suggested)


def fitted(column: SourceColumn, classes: set[str]) -> SourceColumn:
    """The column as it is read when its values are of these storage classes (`integer`, `real`, `text`, `blob`)."""
    wanted = column.suggested
    if wanted == "BLOB" and classes <= {"blob"}:
        return replace(column, server=_AS_HEX, client="unhex({})", suggested=None)
    if (wanted == "BIGINT" and classes <= {"integer"}) or (wanted == "DOUBLE" and classes <= {"real", "integer"}):
        assert wanted is not None
        return replace(column, type=wanted, server=_AS_TEXT, client=f"CAST({{}} AS {wanted})", suggested=None)
    if wanted is None and classes <= {"text"}:
        return column
    return replace(column, type="VARCHAR", server=_AS_TEXT, suggested=None if wanted == "BLOB" else wanted)
