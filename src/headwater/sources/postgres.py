"""PostgreSQL, by DuckDB's reader.

A table is read by the engine's own scan, in parallel over its pages and from one snapshot. Where a column would lose something that way (numeric
without precision comes as a double), the rows are asked for by SQL instead, with that column as text.
"""

from __future__ import annotations

import os
import re
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit
from urllib.parse import quote as percent

from headwater.engine import Overtime
from headwater.errors import HeadwaterError, Interrupted
from headwater.sources.base import unique_name
from headwater.sources.connector import ConnectorContext, DiscoveredStream, Portion, Reading, ReadRequest, Scan
from headwater.sources.relational import DatabaseConnector, SourceColumn, cursor_conditions, literal
from headwater.spec.addresses import postgres_tls
from headwater.spec.counting import plural
from headwater.spec.names import quote, quote_literal
from headwater.spec.sources import Stream

#: Types that arrive as they are, by Postgres' name without its modifier.
_DIRECT: Final = {
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "real": "FLOAT",
    "double precision": "DOUBLE",
    "boolean": "BOOLEAN",
    "text": "VARCHAR",
    "character varying": "VARCHAR",
    "character": "VARCHAR",
    "name": "VARCHAR",
    "uuid": "UUID",
    "date": "DATE",
    "timestamp without time zone": "TIMESTAMP",
    "timestamp with time zone": "TIMESTAMP WITH TIME ZONE",
    "time without time zone": "TIME",
    "time with time zone": "TIME WITH TIME ZONE",
    "interval": "INTERVAL",
    "bytea": "BLOB",
    "json": "VARCHAR",
    "jsonb": "VARCHAR",
    "inet": "VARCHAR",
    "cidr": "VARCHAR",
    "macaddr": "VARCHAR",
    "xml": "VARCHAR",
}
#: Those of them whose arrays arrive whole too.
_IN_ARRAYS: Final = frozenset(
    ["smallint", "integer", "bigint", "real", "boolean", "text", "uuid", "date"]
    + ["double precision", "character varying", "timestamp without time zone", "timestamp with time zone"]
)
_NUMERIC = re.compile(r"numeric\((\d+),(-?\d+)\)")
_MAX_DIGITS = 38
#: How often a load that waits for the look is asked whether it is cancelled.
_CANCELLED_SECONDS: Final = 0.2
_MODIFIER = re.compile(r"\(.*?\)")

_COLUMNS_SQL = """
    SELECT
        n.nspname::text AS schema_name,
        c.relname::text AS table_name,
        a.attname::text AS column_name,
        format_type(a.atttypid, a.atttypmod) AS type_name,
        t.typtype::text AS kind,
        coalesce(e.typtype::text, '') AS element_kind,
        CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) ELSE '' END AS base_type,
        a.attndims::int AS dimensions,
        a.attnotnull AS is_not_null,
        coalesce(
            (SELECT array_position(i.indkey::int[], a.attnum::int) FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary), -1
        )::int AS key_place,
        c.reltuples::bigint AS row_estimate
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
    WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND has_table_privilege(c.oid, 'SELECT') AND {condition}
    ORDER BY n.nspname, c.relname, a.attnum"""


class PostgresConnector(DatabaseConnector):
    """`connection` is a URL, a libpq string, or a mapping (`host`, `port`, `user`, `password`, `database`, and any other libpq parameter).

    A server that isn't this machine is spoken to over TLS and its certificate verified, unless `sslmode` says otherwise.

    Options: `schemas` (those that `discover` lists), `session_settings: false` where a pooler refuses settings at connect (then read-only and the
    statement timeout aren't set at the server). Of the source or a stream: `nan: unchecked` leaves out the look for NaN in numeric columns, which the
    engine would read as 0.
    """

    type: ClassVar[str] = "postgres"
    query_function: ClassVar[str] = "postgres_query"
    extension: ClassVar[str] = "postgres_scanner"
    default_schema: ClassVar[str | None] = "public"

    def __init__(self, context: ConnectorContext) -> None:
        super().__init__(context)
        self._nan_found: set[str] = set()
        self._looking: ThreadPoolExecutor | None = None
        self._looks: list[Future[bool]] = []
        self._look_mark = f"headwater looks for NaN {uuid.uuid4().hex}"

    def attach(self, alias: str, stream: Stream | None = None) -> tuple[str, ...]:
        options = "TYPE postgres, READ_ONLY"
        if stream is not None and stream.query is None:
            options += f", SCHEMA {quote_literal(str(self.table_parts(stream)[0]))}"  # else the whole catalog is read
        return (f"ATTACH {quote_literal(self._connection_text())} AS {quote(alias)} ({options})",)

    def check(self) -> str:
        version = self.ask("SELECT current_setting('server_version') AS version")[0][0]
        rows = self.ask("SELECT count(*) AS n FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema')")
        return f"PostgreSQL {version.split()[0]}, {plural(rows[0][0], 'table')} readable"

    def discover(self) -> list[DiscoveredStream]:
        schemas = self.settings.get("schemas")
        condition = "n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"
        if schemas:
            names = [schemas] if isinstance(schemas, str) else list(schemas)
            condition = f"n.nspname IN ({', '.join(quote_literal(str(name)) for name in names)})"
        tables: dict[tuple[str, str], list[tuple[Any, ...]]] = defaultdict(list)
        for row in self.ask(_COLUMNS_SQL.format(condition=condition)):
            tables[row[0], row[1]].append(row)
        return [self._discovered(schema, table, rows) for (schema, table), rows in tables.items()]

    def describe_table(self, schema: str | None, table: str) -> list[SourceColumn]:
        condition = f"n.nspname = {quote_literal(str(schema))} AND c.relname = {quote_literal(table)}"
        return [_column_of(row) for row in self.ask(_COLUMNS_SQL.format(condition=condition))]

    def describe_query(self, query: str) -> list[SourceColumn]:
        alias = self.own_alias()
        subject = f"the query of a stream of {self.context.name}"
        described = self.run(f"DESCRIBE FROM {self.query_function}({quote_literal(alias)}, {quote_literal(query)})", subject).fetchall()
        items = ", ".join(f"pg_typeof(hw_rows.{self.quoted(row[0])})::text AS t{index}" for index, row in enumerate(described))
        names = self.ask(
            f"SELECT {items} FROM (SELECT 1 AS one) AS hw_one LEFT JOIN (SELECT * FROM ({query}) AS hw_q LIMIT 0) AS hw_rows ON true", subject
        )[0]
        columns = []
        for (name, arrived, *_), type_name in zip(described, names, strict=True):
            decimal = re.fullmatch(r"DECIMAL\((\d+),\s*(\d+)\)", arrived)
            full = f"numeric({decimal[1]},{decimal[2]})" if decimal and type_name == "numeric" else type_name
            column = map_column(name, full, "b", "b", "", 1, False)
            # a user's own type isn't told from others here: what the engine doesn't know comes as text
            columns.append(column if column.type == arrived or column.server else replace(column, type="VARCHAR", server="{}::text"))
        return columns

    def read(self, request: ReadRequest) -> Reading:
        """The engine reads NaN in a numeric as 0. So where there is one, these columns come as text, and the rows are the contract's to judge.

        To look for it takes a scan at the server, which goes on beside the reading where that may be repeated.
        """
        columns = self._chosen(request)
        numeric = [column for column in columns if column.type.startswith("DECIMAL(")]
        if {**self.settings, **request.stream.options}.get("nan") == "unchecked":
            numeric = []
        is_looked_for = bool(numeric) and request.name not in self._nan_found
        if is_looked_for and not request.may_repeat:
            is_looked_for = False
            if self._has_nan(request, numeric):
                self._nan_found.add(request.name)
        if request.name in self._nan_found:
            columns = [_as_text(column) if column in numeric else column for column in columns]
        scan = self.plan_scan(request, columns)
        look = self._look(request, numeric) if is_looked_for else None
        return Reading((Portion(scan, f"{self.context.name}.{request.name}"),), must_repeat=look)

    def plan_scan(self, request: ReadRequest, columns: Sequence[SourceColumn]) -> Scan:
        if request.stream.query is not None or any(column.needs_query for column in columns):
            return super().plan_scan(request, columns)
        alias = unique_name(self.type)
        schema, table = self.table_parts(request.stream)
        conditions = []
        if request.cursor is not None:
            of = next(column for column in self.describe_table(schema, table) if column.name.lower() == request.cursor.column.lower())
            for operator, value in ((">=", request.cursor.start), ("<", request.cursor.end)):
                if value is not None:
                    conditions.append(f"{quote(of.name)} {operator} CAST({literal(value)} AS {of.type})")
            if of.needs_query or of.client:
                return super().plan_scan(request, columns)  # the engine can't compare as the source does
        where = f"\nWHERE {' AND '.join(conditions)}" if conditions else ""
        sql = f"SELECT {self.client_items(columns)}\nFROM {quote(alias)}.{quote(str(schema))}.{quote(table)}{where}"
        return self.scan(request, sql, self.attach(alias, request.stream), [alias], columns)

    def explain(self, error: HeadwaterError, subject: str) -> HeadwaterError:
        explained = super().explain(error, subject)
        if explained.found and "dimensions" in explained.found and explained.hint is None:
            explained.hint = "read that column by a query, as to_json(column): arrays of several dimensions stand in it"
        return explained

    def _look(self, request: ReadRequest, numeric: Sequence[SourceColumn]) -> Callable[[Callable[[], bool]], bool]:
        """Begins to look for NaN, on the connector's own connection; what is returned waits for what was found."""
        if self._looking is None:
            self._looking = ThreadPoolExecutor(1, thread_name_prefix="headwater-nan")
        has_nan = self._looking.submit(self._has_nan, request, numeric)
        self._looks.append(has_nan)

        def must_repeat(is_cancelled: Callable[[], bool]) -> bool:
            while not wait([has_nan], _CANCELLED_SECONDS).done:
                if is_cancelled():
                    raise Interrupted("the load was cancelled")
            if has_nan.result():
                self._nan_found.add(request.name)
            return has_nan.result()

        return must_repeat

    def _has_nan(self, request: ReadRequest, numeric: Sequence[SourceColumn]) -> bool:
        found = " OR ".join(f"{self.quoted(column.name)} = 'NaN'" for column in numeric)
        where = " AND ".join([f"({found})", *cursor_conditions(request.cursor, self.quoted)])
        count = self.ask(
            f"/* {self._look_mark} */ SELECT count(*) AS n FROM {self.relation(request.stream)} WHERE {where}", f"{self.context.name}.{request.name}"
        )
        return bool(count[0][0])

    def close(self) -> None:
        looking, self._looking = self._looking, None
        looks, self._looks = self._looks, []
        if looking is not None:
            looking.shutdown(wait=False, cancel_futures=True)
            if not all(look.done() for look in looks):
                overtime = Overtime(0, self._stop_look)
                wait(looks)
                overtime.close()
            looking.shutdown()
        super().close()

    def _stop_look(self) -> None:
        """Ends the look that is under way, where it has got so far; else it is to be asked again.

        The engine notices an interrupt only between two answers of the server, which may scan for hours: so the server is told too, by another
        connection, as anybody may who is logged in as the same user.
        """
        if self._connection is None or self._engine is None:
            return
        self._connection.interrupt()
        if self._alias is None:
            return
        stop = f"""
            SELECT count(pg_cancel_backend(pid)) AS n
            FROM pg_stat_activity
            WHERE pid <> pg_backend_pid() AND state = 'active' AND query LIKE '%{self._look_mark}%'"""
        with suppress(HeadwaterError), self._engine.connection() as connection:
            connection.execute(f"FROM {self.query_function}({quote_literal(self._alias)}, {quote_literal(stop)})").fetchall()

    def _discovered(self, schema: str, table: str, rows: Sequence[tuple[Any, ...]]) -> DiscoveredStream:
        columns = [_column_of(row) for row in rows]
        key = tuple(row[2] for row in sorted((row for row in rows if row[9] >= 0), key=lambda row: row[9]))
        definition: dict[str, Any] = {"table": _written(schema, table)}
        if key:
            definition["primary_key"] = list(key)
        unbounded = [column.name for column in columns if column.source_type == "numeric"]
        if unbounded:
            types = self._sampled_decimals(schema, table, unbounded)
            if types:
                definition["columns"] = types
        estimate = int(rows[0][10])
        name = table if schema == self.default_schema else f"{schema}_{table}"
        return DiscoveredStream(name, definition, tuple(column.discovered for column in columns), key, estimate if estimate >= 0 else None)

    def _sampled_decimals(self, schema: str, table: str, columns: Sequence[str]) -> dict[str, str]:
        """A decimal that holds what stands in the first rows of numeric columns without precision, for a person to look at."""
        items = ", ".join(
            f"max(scale({self.quoted(c)})) AS s{i}, max(length(trunc(abs({self.quoted(c)}))::text)) AS d{i}" for i, c in enumerate(columns)
        )
        chosen = ", ".join(self.quoted(c) for c in columns)
        row = self.ask(f"SELECT {items} FROM (SELECT {chosen} FROM {self.quoted(schema)}.{self.quoted(table)} LIMIT 10000) AS hw_sample")[0]
        found = {}
        for index, name in enumerate(columns):
            scale, digits = row[2 * index], row[2 * index + 1]
            if scale is not None and scale + digits <= _MAX_DIGITS:
                found[name] = f"decimal({_MAX_DIGITS},{min(max(scale, 2), _MAX_DIGITS - digits)})"
        return found

    # -- connecting ---------------------------------------------------------------------------------------------------------

    def _connection_text(self) -> str:
        connection = self.context.connection or ""
        session = ["-c default_transaction_read_only=on"]
        if self.context.statement_timeout is not None:
            session.append(f"-c statement_timeout={int(self.context.statement_timeout.total_seconds() * 1000)}")
        settings = " ".join(session) if self.settings.get("session_settings", True) else ""
        if isinstance(connection, Mapping):
            given = {
                ("dbname" if key == "database" else key): str(value)
                for key, value in connection.items()
                if key not in _OWN_SETTINGS and value is not None
            }
            connection = " ".join(f"{key}={_libpq(value)}" for key, value in given.items())
        if "://" in connection:
            return _with_url_parameters(connection, settings)
        tls = postgres_tls(dict(_PARAMETER.findall(connection)), os.environ)
        parts = [connection, *(f"{key}={value}" for key, value in tls.items())]
        if settings and " options=" not in f" {connection}":
            parts.append(f"options={_libpq(settings)}")
        for key, value in _CONNECT_DEFAULTS.items():
            if f"{key}=" not in connection:
                parts.append(f"{key}={value}")
        return " ".join(part for part in parts if part)


#: A parameter of a libpq string; its value without quotes is enough to tell a host.
_PARAMETER: Final = re.compile(r"(\w+)\s*=\s*'?((?:[^'\\\s]|\\.)*)")
_OWN_SETTINGS = frozenset({"schemas", "session_settings", "nan"})
_CONNECT_DEFAULTS = {"connect_timeout": "15", "application_name": "headwater"}


def _with_url_parameters(url: str, settings: str) -> str:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if settings:
        query["options"] = f"{query['options']} {settings}" if "options" in query else settings
    hosts = ",".join(host.rpartition(":")[0] if re.search(r":\d*$", host) else host for host in parts.netloc.rpartition("@")[2].split(","))
    merged = {**_CONNECT_DEFAULTS, **postgres_tls({"host": unquote(hosts), **query}, os.environ), **query}
    return urlunsplit(parts._replace(query=urlencode(merged, quote_via=percent)))


def _libpq(value: str) -> str:
    """A value of a libpq connection string."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _written(schema: str, table: str) -> str:
    return ".".join(f'"{part}"' if "." in part else part for part in (schema, table))


def _as_text(column: SourceColumn) -> SourceColumn:
    return replace(column, type="VARCHAR", server="{}::text", client=None, suggested=column.type, needs_query=True)


def _column_of(row: tuple[Any, ...]) -> SourceColumn:
    _, _, name, type_name, kind, element_kind, base_type, dimensions, is_not_null, *_ = row
    return map_column(name, type_name, kind, element_kind, base_type, dimensions, bool(is_not_null))


def map_column(name: str, type_name: str, kind: str, element_kind: str, base_type: str, dimensions: int, is_not_null: bool) -> SourceColumn:
    """How a Postgres type arrives; the table in docs/connectors.md says the same.

    `kind` is pg_type.typtype (b base, d domain, e enum, c composite, r range).
    """
    nullable = not is_not_null
    bare = _MODIFIER.sub("", type_name).strip()
    if kind == "d":
        base = map_column(name, base_type, "b", "b", "", 0, is_not_null)
        if base.server or base.type == "BLOB" or base.type.endswith("[]"):
            return replace(base, source_type=type_name, needs_query=True)
        if base.type.startswith("DECIMAL("):
            return SourceColumn(name, "VARCHAR", type_name, nullable, "{}::text", suggested=base.type, needs_query=True)
        # a domain arrives as text by one route and as its base type by the other
        return replace(base, source_type=type_name, client=f"CAST({{}} AS {base.type})")
    if kind == "e":
        return SourceColumn(name, "VARCHAR", type_name, nullable, client="CAST({} AS VARCHAR)")
    if bare.endswith("[]"):
        element = bare[:-2]
        if dimensions <= 1 and element in _IN_ARRAYS:
            return SourceColumn(name, _DIRECT[element] + "[]", type_name, nullable)
        return SourceColumn(name, "VARCHAR", type_name, nullable, "to_json({})::text", needs_query=True)
    if kind == "c":
        return SourceColumn(name, "VARCHAR", type_name, nullable, "to_json({})::text", needs_query=True)
    if bare in _DIRECT:
        return SourceColumn(name, _DIRECT[bare], type_name, nullable)
    numeric = _NUMERIC.fullmatch(type_name)
    if numeric and int(numeric[1]) <= _MAX_DIGITS and 0 <= int(numeric[2]) <= int(numeric[1]):
        return SourceColumn(name, f"DECIMAL({numeric[1]},{numeric[2]})", type_name, nullable)
    if bare == "oid":
        return SourceColumn(name, "BIGINT", type_name, nullable, "{}::bigint", needs_query=True)
    if bare == "money":
        return SourceColumn(name, "VARCHAR", type_name, nullable, "{}::numeric::text", needs_query=True)
    return SourceColumn(name, "VARCHAR", type_name, nullable, "{}::text", needs_query=True)
