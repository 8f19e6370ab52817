"""A workspace: an in-memory database in which every table's name stands for a view on where its rows are just now.

SQL written by people runs in it unchanged: DuckDB itself resolves `staging.orders` to whatever the workspace says it is: a snapshot of the lake,
a staged result, or the given rows of a unit test. Nothing of their SQL is rewritten.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable
from datetime import datetime
from types import TracebackType

from headwater.engine.connection import Connection, Engine
from headwater.spec.names import TableName, quote, quote_literal

_numbers = itertools.count(1)

#: Functions of the clock, each as an expression over the bound instant `{at}` (a TIMESTAMPTZ literal).
_CLOCK_MACROS = {
    "now": "{at}",
    "get_current_timestamp": "{at}",
    "current_timestamp": "{at}",
    "transaction_timestamp": "{at}",
    "current_localtimestamp": "{at}::TIMESTAMP",
    "current_date": "{at}::DATE",
    "today": "{at}::DATE",
    "current_time": "{at}::TIMETZ",
    "get_current_time": "{at}::TIMETZ",
    "current_localtime": "{at}::TIMESTAMP::TIME",
}
CLOCK_FUNCTIONS = frozenset(_CLOCK_MACROS) | {"localtime", "localtimestamp"}


class Workspace:
    """Thread-safe: each thread takes a `connection()` of its own; a definition is seen by statements that begin after it."""

    def __init__(self, engine: Engine, *, clock: datetime | None = None, macros: Iterable[str] = ()) -> None:
        """`clock` (aware) is what `now()`, `current_date` and the like give; None leaves the real clock. `macros` are CREATE MACRO statements."""
        self._engine = engine
        self._schemas: set[str] = set()
        self._lock = threading.Lock()
        self.name = f"hw_workspace_{next(_numbers)}"
        engine.attach_memory(self.name)
        with self.connection() as connection:
            if clock is not None:
                at = f"TIMESTAMPTZ {quote_literal(clock.isoformat())}"
                for function, expression in _CLOCK_MACROS.items():
                    connection.execute(f"CREATE OR REPLACE MACRO {function}() AS {expression.format(at=at)}")
                # of one argument it counts from today's midnight
                connection.execute(f"CREATE OR REPLACE MACRO age(a) AS system.main.age({at}::DATE::TIMESTAMP, a), (a, b) AS system.main.age(a, b)")
            for statement in macros:
                connection.execute(statement)

    def define(self, table: TableName, sql: str, connection: Connection | None = None) -> None:
        """From now on `table` stands for the query `sql` (bound at once: raises SqlBindError). Replaces an earlier definition."""
        own = connection or self.connection()
        try:
            with self._lock:  # DuckDB lets concurrent catalog changes of one name fail
                if table.schema.lower() not in self._schemas:
                    own.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(self.name)}.{quote(table.schema)}")
                    self._schemas.add(table.schema.lower())
                own.execute(f"CREATE OR REPLACE VIEW {quote(self.name)}.{table.sql} AS {sql}")
        finally:
            if connection is None:
                own.close()

    def connection(self) -> Connection:
        """A connection for which unqualified and two-part names mean this workspace's tables."""
        connection = self._engine.connection()
        connection.execute(f"USE {quote(self.name)}")
        return connection

    def close(self) -> None:
        self._engine.detach(self.name)

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
