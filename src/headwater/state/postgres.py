"""The store in Postgres: plain SQL through SQLAlchemy's pool."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from headwater.state.opening import postgres_engine
from headwater.state.statements import PlainRow, Statements

_PARAMETER = re.compile(r":([a-z_0-9]+)")


class PostgresDatabase:
    """A schema in Postgres, reached through SQLAlchemy's pool."""

    def __init__(self, url: str) -> None:
        """`url` as `postgres_engine` takes it. Raises MissingDependency."""
        self.engine = postgres_engine(url)

    @contextmanager
    def transaction(self, *, only_reads: bool = False) -> Iterator[Statements]:
        with self.engine.execution_options(only_reads=only_reads).begin() as connection:
            yield _PostgresStatements(connection)

    def close(self) -> None:
        self.engine.dispose()


class _PostgresStatements:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Mapping[str, Any]) -> int:
        return self._connection.exec_driver_sql(_for_driver(sql), dict(parameters)).rowcount

    def execute_each(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            self._connection.exec_driver_sql(_for_driver(sql), [dict(row) for row in rows])

    def select(self, sql: str, parameters: Mapping[str, Any]) -> list[PlainRow]:
        return [dict(row) for row in self._connection.exec_driver_sql(_for_driver(sql), dict(parameters)).mappings()]

    def take_turn(self, number: int) -> None:
        self._connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": number})


def _for_driver(sql: str) -> str:
    return _PARAMETER.sub(r"%(\1)s", sql)
