"""DuckDB files: read by an engine of the connector's own, which hands over Arrow batches.

(Two streams read side by side would both attach the file, and one engine attaches a file once only.)
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headwater.engine import Connection
from headwater.errors import HeadwaterError, Interrupted, SourceDataInvalid, SourceReadFailed, SourceUnreachable, StreamNotFound
from headwater.sources.base import ConnectorBase
from headwater.sources.connector import Batches, Capabilities, DiscoveredColumn, DiscoveredStream, Portion, Reading, ReadRequest
from headwater.sources.relational import checked_query, cursor_conditions, split_name
from headwater.spec.counting import plural
from headwater.spec.names import quote, quote_literal
from headwater.spec.tables import storage_type

if TYPE_CHECKING:
    import pyarrow as pa

_SOURCE = "hw_source"


class DuckDbConnector(ConnectorBase):
    """`connection` is the file, relative to the project (or a mapping with `path`, and `encryption_key` for an encrypted one)."""

    type: ClassVar[str] = "duckdb"
    capabilities: ClassVar[Capabilities] = Capabilities(cursor=True, query=True)

    @property
    def path(self) -> Path:
        connection = self.context.connection
        text = connection if isinstance(connection, str) else str((connection or {}).get("path", ""))
        return self.context.project_dir / Path(text.removeprefix("duckdb:///")).expanduser()

    @property
    def secrets(self) -> tuple[str, ...]:
        key = self.settings.get("encryption_key")
        return (str(key),) if key else ()

    @property
    def connection(self) -> Connection:
        is_new = self._connection is None
        connection = super().connection
        if is_new:
            if not self.path.is_file():
                self.close()
                raise SourceUnreachable(
                    f"source {self.context.name}: there is no file {self.path.name}", expected="a DuckDB database", hint="check the connection"
                )
            key = self.settings.get("encryption_key")
            options = "READ_ONLY" + (f", ENCRYPTION_KEY {quote_literal(str(key))}" if key else "")
            try:
                connection.execute(f"ATTACH {quote_literal(str(self.path))} AS {_SOURCE} ({options})")
                connection.execute(f"USE {_SOURCE}")
                connection.execute("SET arrow_lossless_conversion = true")  # else a UUID is text, and a time loses its zone
            except HeadwaterError as error:
                self.close()
                if any(mark in (error.found or "") for mark in ("read-only mode", "not a valid DuckDB", "is not a")):
                    raise SourceDataInvalid(f"{self.path.name} is no DuckDB database", hint="check the connection") from None
                raise self.explain(error, f"source {self.context.name}") from None
        return connection

    def check(self) -> str:
        count = self.run(f"SELECT count(*) FROM duckdb_tables() WHERE database_name = '{_SOURCE}' AND NOT internal").scalar()
        return f"DuckDB file {self.path.name}, {plural(count, 'table')} readable"

    def discover(self) -> list[DiscoveredStream]:
        keys: dict[tuple[str, str], tuple[str, ...]] = {
            (schema, table): tuple(columns)
            for schema, table, columns in self.run(
                f"""
                SELECT schema_name, table_name, constraint_column_names
                FROM duckdb_constraints()
                WHERE database_name = '{_SOURCE}' AND constraint_type = 'PRIMARY KEY'"""
            ).fetchall()
        }
        estimates = {
            (schema, table): rows
            for schema, table, rows in self.run(
                f"SELECT schema_name, table_name, estimated_size FROM duckdb_tables() WHERE database_name = '{_SOURCE}'"
            ).fetchall()
        }
        tables: dict[tuple[str, str], list[DiscoveredColumn]] = defaultdict(list)
        for schema, table, name, type_name, nullable in self.run(
            f"""
            SELECT schema_name, table_name, column_name, data_type, is_nullable
            FROM duckdb_columns()
            WHERE database_name = '{_SOURCE}' AND NOT internal
            ORDER BY schema_name, table_name, column_index"""
        ).fetchall():
            tables[schema, table].append(DiscoveredColumn(name, storage_type(type_name), nullable, type_name))
        found = []
        for (schema, table), columns in tables.items():
            parts = [table] if schema == "main" else [schema, table]
            definition: dict[str, Any] = {"table": ".".join(f'"{part}"' if "." in part else part for part in parts)}
            key = keys.get((schema, table), ())
            if key:
                definition["primary_key"] = list(key)
            found.append(DiscoveredStream("_".join(parts), definition, tuple(columns), key, estimates.get((schema, table))))
        return found

    def columns(self, request: ReadRequest) -> tuple[DiscoveredColumn, ...]:
        stream = request.stream
        described = self.run(f"DESCRIBE SELECT * FROM {self._relation(request)}", f"{self.context.name}.{request.name}").fetchall()
        columns = [DiscoveredColumn(row[0], storage_type(row[1]), row[2] == "YES", row[1]) for row in described]
        known = {column.name.lower() for column in columns}
        missing = [name for name in (*stream.select, *((request.cursor.column,) if request.cursor else ())) if name.lower() not in known]
        if missing:
            raise SourceDataInvalid(f"{self.context.name}.{request.name} has no column {', '.join(missing)}", found=", ".join(sorted(known)[:50]))
        wanted = {name.lower() for name in stream.select} or known
        dropped = {name.lower() for name in stream.exclude}
        return tuple(column for column in columns if column.name.lower() in wanted - dropped)

    def read(self, request: ReadRequest) -> Reading:
        columns = self.columns(request)
        items = ", ".join(quote(c.name) if c.type == c.source_type else f"CAST({quote(c.name)} AS {c.type}) AS {quote(c.name)}" for c in columns)
        conditions = cursor_conditions(request.cursor, quote)
        sql = f"SELECT {items}\nFROM {self._relation(request)}" + (f"\nWHERE {' AND '.join(conditions)}" if conditions else "")
        if request.limit is not None:
            sql += f"\nLIMIT {request.limit}"
        subject = f"{self.context.name}.{request.name}"
        return Reading((Portion(Batches(lambda: self._batches(sql, subject)), subject),))

    def _batches(self, sql: str, subject: str) -> Iterator[pa.RecordBatch]:
        assert self._engine is not None, "columns() has opened it"
        seconds = self.context.statement_timeout.total_seconds() if self.context.statement_timeout else None
        connection = self._engine.connection()
        started = time.monotonic()
        try:
            connection.execute(f"USE {_SOURCE}")
            with connection.time_limit(seconds):
                yield from connection.execute(sql).batches()
        except Interrupted:
            if seconds is None or time.monotonic() - started < seconds:
                raise
            raise SourceReadFailed(f"{subject} took longer than the statement timeout", hint="raise statement_timeout of the source") from None
        except HeadwaterError as error:
            raise self.explain(error, subject) from None
        finally:
            connection.close()

    def _relation(self, request: ReadRequest) -> str:
        stream = request.stream
        if stream.query is not None:
            return f"(\n{checked_query(stream.query)}\n) AS hw_rows"
        if stream.table is None:
            raise StreamNotFound(f"a stream of {self.context.name} names no table", expected="table: or query:")
        return ".".join(quote(part) for part in split_name(stream.table)) + " AS hw_rows"
