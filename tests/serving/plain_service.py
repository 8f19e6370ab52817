"""A `Service` over a plain DuckDB: real queries, real rows, no lake and no policies. And a server of it on a thread of its own."""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from headwater.engine import Connection, Engine, Result, parse_tree
from headwater.errors import QueryError, StatementRefused
from headwater.security.principals import Principal
from headwater.security.scram import ScramSecret, make_keys
from headwater.serving.postgres import Server, serve_postgres
from headwater.spec.names import TableName
from headwater.spec.policies import Door
from headwater.spec.tables import Column
from headwater.storage.gate.parameters import described_columns, infer_types, with_typed_nulls
from headwater.storage.gate.tree import Node


@dataclass(frozen=True)
class Link:
    column: str
    to: str
    field: str


@dataclass(frozen=True)
class Table:
    name: TableName
    kind: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    relationships: tuple[Link, ...] = ()
    description: str | None = None


@dataclass(frozen=True)
class Described:
    columns: tuple[Column, ...]
    parameters: tuple[str, ...]


class Answer:
    def __init__(self, result: Result, connection: Connection) -> None:
        self._result = result
        self._connection = connection
        self.columns = result.columns
        self.types = result.types
        self.is_closed = False

    def batches(self, rows: int = 100_000) -> pa.RecordBatchReader:
        return self._result.batches(rows)

    def interrupt(self) -> None:
        self._connection.interrupt()

    def close(self) -> None:
        self.is_closed = True
        self._connection.close()


def scram(password: str, salt: bytes = b"0123456789abcdef") -> ScramSecret:
    return ScramSecret(salt, (make_keys("password", password, salt),))


@dataclass
class PlainService:
    """Users: `robot` with a generated password (SCRAM), `ada` with one of her own."""

    engine: Engine
    shown: list[Table] = field(default_factory=list)
    purposes: list[str | None] = field(default_factory=list)
    name: str = "shop"

    def login_password(self, user: str, password: str, *, door: Door, address: str | None) -> Principal:
        if (user, password) != ("ada", "lovelace"):
            raise QueryError("wrong")
        return Principal(user, door=door, address=address)

    def login_token(self, token: str, *, door: Door, address: str | None) -> Principal:
        raise QueryError("no tokens here")

    def scram_secret(self, user: str, *, may_ask: bool) -> ScramSecret | None:
        return None if may_ask and user == "ada" else scram("pencil" if user == "robot" else "unprovable")

    def scram_failed(self, user: str, *, door: Door, address: str | None) -> None:
        pass

    def login_scram(self, user: str, credential: str, *, door: Door, address: str | None) -> Principal:
        return Principal(user, "service", door=door, address=address)

    def describe(self, principal: Principal, sql: str, parameter_types: Sequence[str], *, asked: str | None = None) -> Described:
        with self.engine.connection() as connection:
            if sql.lower().startswith("explain"):
                return Described((), tuple(parameter_types))
            node, names = _query(sql)
            given = [None if one == "UNKNOWN" else one for one in parameter_types]
            types = infer_types(node, names, dict(zip(names, given, strict=False)), connection)
            columns = described_columns(node, types, connection)
        assert columns is not None
        return Described(tuple(columns), tuple(types[name] for name in names))

    def run(
        self,
        principal: Principal,
        sql: str,
        parameters: Sequence[Any],
        *,
        asked: str | None = None,
        started: Callable[[Callable[[], None]], None] | None = None,
    ) -> Answer:
        self.purposes.append(principal.purpose)
        if not re.match(r"\s*(select|with|from|values|explain|\()", sql, re.IGNORECASE):
            raise StatementRefused("only one query can be run here", expected="one SELECT")
        connection = self.engine.connection()
        try:
            if started is not None:
                started(connection.interrupt)
            values = {str(place): value for place, value in enumerate(parameters, 1)}
            nulls = {name for name, value in values.items() if value is None}
            typed = with_typed_nulls(*_query(sql), nulls, connection) if nulls else None
            if typed is not None:
                sql, values = typed.sql, {name: value for name, value in values.items() if name in typed.parameters}
            return Answer(connection.execute(sql, values or None), connection)
        except BaseException:
            connection.close()
            raise

    def tables(self, principal: Principal) -> Sequence[Table]:
        if self.shown:
            return self.shown
        with self.engine.connection() as connection:
            rows = connection.execute(
                "SELECT table_schema, table_name, column_name, data_type, is_nullable FROM information_schema.columns ORDER BY ALL"
            ).fetchall()
            ordered = connection.execute("SELECT schema_name, table_name, column_name FROM duckdb_columns() ORDER BY column_index").fetchall()
        places = {tuple(row): place for place, row in enumerate(ordered)}
        found: dict[TableName, list[tuple[int, Column]]] = {}
        for schema, name, column, type, nullable in rows:
            found.setdefault(TableName(schema, name), []).append((places[schema, name, column], Column(column, type, nullable == "YES")))
        return [Table(name, "table", tuple(column for _, column in sorted(columns, key=lambda pair: pair[0]))) for name, columns in found.items()]


def _query(sql: str) -> tuple[Node, list[str]]:
    """The tree of a query and the names of its parameters, in order."""
    tree = parse_tree(sql)
    assert tree is not None
    found = tree["statements"][0]
    return found["node"], sorted((item["key"] for item in found["named_param_map"]), key=int)


@contextmanager
def serving(service: PlainService, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """The server, listening on a free port of 127.0.0.1."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(serve_postgres(service, "127.0.0.1", 0, tls), loop).result(10)
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(server.close(), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
