"""A `Service` on a plain DuckDB database, with two users, for the tests of the doors."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from headwater.engine import Connection, Engine, describe_query, parse_statements
from headwater.errors import AuthenticationFailed, StatementRefused
from headwater.security.principals import Principal
from headwater.security.scram import ScramSecret
from headwater.spec.policies import Door


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    nullable: bool = True
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Relationship:
    column: str
    to: str
    field: str


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    kind: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    relationships: tuple[Relationship, ...] = ()
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Description:
    columns: tuple[Column, ...]
    parameters: tuple[str, ...]


class PlainAnswer:
    def __init__(self, connection: Connection, sql: str, parameters: Sequence[Any], log: PlainService) -> None:
        self._connection = connection
        self._log = log
        self._is_open = True
        log.opened += 1
        try:
            self._result = connection.execute(sql, _bound(sql, parameters))
        except BaseException:
            self.close()
            raise

    @property
    def columns(self) -> list[str]:
        return self._result.columns

    @property
    def types(self) -> list[str]:
        return self._result.types

    def batches(self, rows: int = 100_000) -> pa.RecordBatchReader:
        return self._result.batches(rows)

    def interrupt(self) -> None:
        self._log.interrupts += 1
        self._connection.interrupt()

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._connection.close()
            self._log.closed += 1


def _bound(sql: str, parameters: Sequence[Any]) -> list[Any] | dict[str, Any] | None:
    if not parameters:
        return None
    return {str(place): value for place, value in enumerate(parameters, 1)} if "$1" in sql else list(parameters)


@dataclass
class PlainService:
    """Users: ada with the password `correct horse`, bob with the token in `bobs_token`. Counts what it gave and got back."""

    name: str = "shop"
    engine: Engine = field(default_factory=Engine)
    bobs_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    tables_seen: tuple[Table, ...] = ()
    opened: int = 0
    closed: int = 0
    interrupts: int = 0
    logins: list[tuple[str, str, str | None]] = field(default_factory=list)
    principals: list[Principal] = field(default_factory=list)
    published: str = "1"
    failure: Exception | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def execute(self, sql: str) -> None:
        with self.engine.connection() as connection:
            connection.execute(sql)

    def login_password(self, user: str, password: str, *, door: Door, address: str | None) -> Principal:
        self.logins.append((user, door, address))
        if (user, password) != ("ada", "correct horse"):
            raise AuthenticationFailed("the login failed")
        return Principal("ada", door=door, address=address)

    def login_token(self, token: str, *, door: Door, address: str | None) -> Principal:
        self.logins.append(("?", door, address))
        if token != self.bobs_token:
            raise AuthenticationFailed("the login failed")
        return Principal("bob", "service", door=door, address=address)

    def scram_secret(self, user: str, *, may_ask: bool) -> ScramSecret | None:
        return None

    def scram_failed(self, user: str, *, door: Door, address: str | None) -> None:
        self.logins.append((user, door, address))

    def login_scram(self, user: str, credential: str, *, door: Door, address: str | None) -> Principal:
        raise AuthenticationFailed("the login failed")

    def describe(self, principal: Principal, sql: str, parameter_types: Sequence[str], *, asked: str | None = None) -> Description:
        self._refuse(sql)
        with self.engine.connection() as connection:
            columns = describe_query(connection, re.sub(r"\?|\$\d+", "NULL", sql))
        count = len(set(re.findall(r"\$\d+", sql))) or sql.count("?")
        return Description(tuple(Column(one.name, one.type) for one in columns), ("UNKNOWN",) * count)

    def run(
        self,
        principal: Principal,
        sql: str,
        parameters: Sequence[Any],
        *,
        asked: str | None = None,
        started: Callable[[Callable[[], None]], None] | None = None,
    ) -> PlainAnswer:  # fmt: skip
        self.principals.append(principal)
        if self.failure is not None:
            raise self.failure
        self._refuse(sql)
        connection = self.engine.connection()
        if started is not None:
            started(connection.interrupt)
        return PlainAnswer(connection, sql, parameters, self)

    def tables(self, principal: Principal) -> tuple[Table, ...]:
        return self.tables_seen

    def version(self, principal: Principal) -> str:
        return self.published

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        self.engine.close()

    @staticmethod
    def _refuse(sql: str) -> None:
        statements = parse_statements(sql)
        if len(statements) != 1 or statements[0].type not in ("SELECT",):
            raise StatementRefused("only one query can be run here", expected="one SELECT")
