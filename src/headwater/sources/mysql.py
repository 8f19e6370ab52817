"""MySQL and MariaDB, by DuckDB's reader and their own SQL.

Dates come as text: a server may hold dates that are none (`0000-00-00`, `2024-00-15`), which would break off the whole read or become null; as text
they are rows for the contract to judge.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from urllib.parse import quote as percent

from headwater.errors import HeadwaterError, SourceReadFailed, UsageError
from headwater.sources.connector import DiscoveredStream
from headwater.sources.relational import DatabaseConnector, SourceColumn
from headwater.spec.addresses import is_this_machine
from headwater.spec.counting import plural
from headwater.spec.names import quote, quote_literal
from headwater.spec.sources import Stream

#: Whole numbers by name; unsigned ones have their own.
_INTEGERS: Final = {"tinyint": "TINYINT", "smallint": "SMALLINT", "mediumint": "INTEGER", "int": "INTEGER", "bigint": "BIGINT"}
_UNSIGNED: Final = {"tinyint": "UTINYINT", "smallint": "USMALLINT", "mediumint": "UINTEGER", "int": "UINTEGER", "bigint": "UBIGINT"}
_TEXTS: Final = frozenset(["char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "time"])
_BINARIES: Final = frozenset(["binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"])
_GEOMETRIES: Final = frozenset(
    ["geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection"]
)
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")
_MAX_DIGITS = 38
_SYSTEM_SCHEMAS = ("information_schema", "mysql", "performance_schema", "sys")

_COLUMNS_SQL = """
    SELECT
        c.TABLE_SCHEMA, c.TABLE_NAME, c.COLUMN_NAME, LOWER(c.DATA_TYPE), CAST(c.COLUMN_TYPE AS CHAR), c.IS_NULLABLE, CAST(c.COLUMN_KEY AS CHAR),
        t.TABLE_ROWS, c.COLLATION_NAME
    FROM information_schema.COLUMNS c
    JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME
    WHERE {condition}
    ORDER BY c.TABLE_SCHEMA, c.TABLE_NAME, c.ORDINAL_POSITION"""


class MySqlConnector(DatabaseConnector):
    """`connection` is a URL (`mysql://user:password@host:3306/database`) or a mapping (`host`, `port`, `user`, `password`, `database`,
    `ssl_mode`, `ssl_ca`, `ssl_cert`, `ssl_key`). A server that isn't this machine is spoken to over TLS and its certificate verified, unless
    `ssl_mode` says otherwise.

    The session's time zone is UTC, so a TIMESTAMP is an instant; a DATETIME has no zone. `tinyint(1)` is a number, since it holds numbers.
    """

    type: ClassVar[str] = "mysql"
    quotation: ClassVar[str] = "`"
    query_function: ClassVar[str] = "mysql_query"
    extension: ClassVar[str] = "mysql_scanner"

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._is_mariadb: bool | None = None

    def attach(self, alias: str, stream: Stream | None = None) -> tuple[str, ...]:
        return (
            "SET mysql_tinyint1_as_boolean = false",
            "SET mysql_session_time_zone = '+00:00'",
            "SET mysql_query_timeout_enabled = false",  # it would end every query after five minutes
            f"ATTACH {quote_literal(self._connection_text())} AS {quote(alias)} (TYPE mysql, READ_ONLY)",
        )

    def check(self) -> str:
        version = str(self.ask("SELECT version() AS v")[0][0])
        hidden = ", ".join(quote_literal(name) for name in _SYSTEM_SCHEMAS)
        count = self.ask(f"SELECT count(*) AS n FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN ({hidden})")[0][0]
        return f"{'MariaDB' if 'mariadb' in version.lower() else 'MySQL'} {version.split('-')[0]}, {plural(count, 'table')} readable"

    def discover(self) -> list[DiscoveredStream]:
        database = self.ask("SELECT database() AS d")[0][0]
        hidden = ", ".join(quote_literal(name) for name in _SYSTEM_SCHEMAS)
        condition = f"c.TABLE_SCHEMA = {quote_literal(database)}" if database else f"c.TABLE_SCHEMA NOT IN ({hidden})"
        tables: dict[tuple[str, str], list[tuple[Any, ...]]] = defaultdict(list)
        for row in self.ask(_COLUMNS_SQL.format(condition=condition)):
            tables[row[0], row[1]].append(row)
        found = []
        for (schema, table), rows in tables.items():
            key = tuple(row[2] for row in rows if row[6] == "PRI")
            parts = [table] if schema == database else [schema, table]
            definition: dict[str, Any] = {"table": ".".join(f'"{part}"' if "." in part else part for part in parts)}
            if key:
                definition["primary_key"] = list(key)
            columns = tuple(map_column(row[2], row[3], row[4], row[5] == "YES", row[8]).discovered for row in rows)
            found.append(DiscoveredStream("_".join(parts), definition, columns, key, None if rows[0][7] is None else int(rows[0][7])))
        return found

    def describe_table(self, schema: str | None, table: str) -> list[SourceColumn]:
        place = "database()" if schema is None else quote_literal(schema)
        rows = self.ask(_COLUMNS_SQL.format(condition=f"c.TABLE_SCHEMA = {place} AND c.TABLE_NAME = {quote_literal(table)}"))
        return [map_column(row[2], row[3], row[4], row[5] == "YES", row[8]) for row in rows]

    def describe_query(self, query: str) -> list[SourceColumn]:
        """By what the engine says of it.

        It can't tell JSON from bytes, nor a decimal of more than 38 digits from a double: the query should CAST those to CHAR.
        """
        described = self.run(
            f"DESCRIBE FROM mysql_query({quote_literal(self.own_alias())}, {quote_literal(query)})", "the query of a stream"
        ).fetchall()
        columns = []
        for name, arrived, *_ in described:
            column = SourceColumn(name, arrived, arrived.lower())
            if arrived in ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"):
                column = replace(column, type="VARCHAR", server="CAST({} AS CHAR)", suggested="DATE" if arrived == "DATE" else "TIMESTAMP")
            columns.append(column)
        return columns

    def limited(self, query: str) -> str:
        timeout = self.context.statement_timeout
        if timeout is None:
            return query
        seconds = timeout.total_seconds()
        if self._is_mariadb is None:
            self._is_mariadb = "mariadb" in str(self.ask("SELECT version() AS v")[0][0]).lower()
        if self._is_mariadb:
            return f"SET STATEMENT max_statement_time = {seconds:g} FOR {query}"
        return re.sub(r"^SELECT\b", f"SELECT /*+ MAX_EXECUTION_TIME({int(seconds * 1000)}) */", query, count=1, flags=re.IGNORECASE)

    def explain(self, error: HeadwaterError, subject: str) -> HeadwaterError:
        found = (error.found or "").rstrip()
        if self.context.statement_timeout is not None and "Failed to fetch result row" in found and found.endswith('":'):
            return SourceReadFailed(f"{subject} took longer than the statement timeout", hint="raise statement_timeout of the source")
        if found:  # the reader repeats the whole statement, which may carry max_statement_time
            error = type(error)(error.what, found=re.sub(r'MySQL query ".*": ', "", found, flags=re.DOTALL))
        return super().explain(error, subject)

    def _connection_text(self) -> str:
        connection = self.context.connection or ""
        if isinstance(connection, Mapping):
            user, password = str(connection.get("user", "")), connection.get("password")
            login = percent(user, safe="") + (f":{percent(str(password), safe='')}" if password else "")
            host = f"{connection.get('host', 'localhost')}:{connection.get('port', 3306)}"
            given = {name.replace("_", "-"): str(connection[name]) for name in _TLS_SETTINGS if connection.get(name) is not None}
            attributes = f"?{urlencode(given, quote_via=percent, safe='')}" if given else ""
            connection = f"mysql://{login + '@' if login else ''}{host}/{connection.get('database', '')}{attributes}"
        return _verified(re.sub(r"^mariadb://", "mysql://", connection))


_TLS_SETTINGS: Final = ("ssl_mode", "ssl_ca", "ssl_cert", "ssl_key")


def _verified(url: str) -> str:
    """The URL with what makes the reader verify a server elsewhere, where nobody has said otherwise.

    It verifies nothing without a list of authorities, whatever the mode: so the system's is named. Raises UsageError where there is none.
    """
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    mode = given.get("ssl-mode", "").upper()
    if is_this_machine(parts.hostname or "") and not mode.startswith("VERIFY"):
        return url
    if mode and not mode.startswith("VERIFY"):
        return url
    if "ssl-ca" not in given and "ssl-capath" not in given:
        given["ssl-ca"] = _system_authorities()
    return urlunsplit(parts._replace(query=urlencode({"ssl-mode": "VERIFY_IDENTITY", **given}, quote_via=percent, safe="")))


def _system_authorities() -> str:
    import ssl

    paths = ssl.get_default_verify_paths()
    found = next((path for path in (paths.cafile, paths.openssl_cafile) if path and Path(path).is_file()), None)
    if found is None:
        raise UsageError(
            "the server's certificate can't be verified: this machine has no list of authorities",
            expected="ssl_ca: FILE in the source's connection",
            hint="or ssl_mode: required, which verifies nothing",
        )
    return found


def map_column(name: str, data_type: str, column_type: str, nullable: bool, collation: str | None = None) -> SourceColumn:
    """How a MySQL or MariaDB type arrives; the table in docs/connectors.md says the same."""
    full = column_type.lower()
    if data_type in _INTEGERS:
        duck = (_UNSIGNED if "unsigned" in full else _INTEGERS)[data_type]
        return SourceColumn(name, duck, column_type, nullable, client=f"CAST({{}} AS {duck})")
    if data_type == "decimal":
        digits = _DECIMAL.search(full)
        if digits and int(digits[1]) <= _MAX_DIGITS:
            return SourceColumn(name, f"DECIMAL({digits[1]},{digits[2]})", column_type, nullable)
        return SourceColumn(name, "VARCHAR", column_type, nullable, "CAST({} AS CHAR)")
    if data_type in ("float", "double"):
        return SourceColumn(name, data_type.upper(), column_type, nullable)
    if data_type == "date":
        return SourceColumn(name, "VARCHAR", column_type, nullable, "CAST({} AS CHAR)", suggested="DATE")
    if data_type == "datetime":
        return SourceColumn(name, "VARCHAR", column_type, nullable, "CAST({} AS CHAR)", suggested="TIMESTAMP")
    if data_type == "timestamp":
        return SourceColumn(name, "VARCHAR", column_type, nullable, "CONCAT(CAST({} AS CHAR), '+00')", suggested="TIMESTAMP WITH TIME ZONE")
    if data_type == "year":
        return SourceColumn(name, "INTEGER", column_type, nullable, client="CAST({} AS INTEGER)")
    if data_type == "bit":
        if full == "bit(1)":
            return SourceColumn(name, "BOOLEAN", column_type, nullable)
        return SourceColumn(name, "UBIGINT", column_type, nullable, "{} + 0", client="CAST({} AS UBIGINT)")
    if data_type in _BINARIES:
        return SourceColumn(name, "BLOB", column_type, nullable)
    if data_type in _GEOMETRIES:
        return SourceColumn(name, "VARCHAR", column_type, nullable, "ST_AsText({})")
    if data_type in _TEXTS and not (collation or "").endswith("_bin"):  # those would come as bytes
        return SourceColumn(name, "VARCHAR", column_type, nullable)
    return SourceColumn(name, "VARCHAR", column_type, nullable, "CAST({} AS CHAR)")
