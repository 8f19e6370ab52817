"""Tables kept in memory for those who read often: copies of what is published, within a budget.

A copy is of one version of a table's published rows and never changes. A query takes it only where the state it reads says just that version is
published, so what anybody sees is the same with it and without; a copy that is behind is read by nobody new, and dropped with its last reader.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from headwater.engine import Connection
from headwater.errors import HeadwaterError
from headwater.spec.names import TableName, quote
from headwater.spec.tables import Column
from headwater.storage.changes import TableState
from headwater.storage.core import Core, rollback
from headwater.storage.history import default_key
from headwater.storage.relations import is_visible, published_columns, published_definition, select_at

log = logging.getLogger("headwater.serving")

#: Bytes of a value in memory, by its type; of other types the text's length is taken, and `_OVERHEAD`.
_WIDTHS: Final[Mapping[str, int]] = {
    "BOOLEAN": 1,
    "TINYINT": 1,
    "UTINYINT": 1,
    "SMALLINT": 2,
    "USMALLINT": 2,
    "INTEGER": 4,
    "UINTEGER": 4,
    "FLOAT": 4,
    "DATE": 4,
    "BIGINT": 8,
    "UBIGINT": 8,
    "DOUBLE": 8,
    "TIME": 8,
    "TIMESTAMP": 8,
    "TIMESTAMP_S": 8,
    "TIMESTAMP_MS": 8,
    "TIMESTAMP_NS": 8,
    "TIMESTAMP WITH TIME ZONE": 8,
    "DECIMAL": 16,
    "HUGEINT": 16,
    "UHUGEINT": 16,
    "UUID": 16,
    "INTERVAL": 16,
}
_OVERHEAD: Final = 8
#: What blocks that aren't full come to; marks of nulls and counters, of each value; an index's share of a row.
_SLACK: Final = 1.3
_MARK_BYTES: Final = 5
_INDEX_BYTES: Final = 48


@dataclass(frozen=True, slots=True)
class HotCopy:
    """The rows of one version of a table. `relation` is SQL usable in FROM on any connection of the engine."""

    table: TableName
    version: int
    columns: tuple[tuple[str, str], ...]
    relation: str
    size_bytes: int
    #: Later ones have higher numbers.
    number: int

    def is_of(self, state: TableState) -> bool:
        """Whether these are the rows and columns that are published by `state`."""
        return is_visible(state) and self.version == state.published_changed_snapshot and self.columns == _shape(published_columns(state))


@dataclass(frozen=True, slots=True)
class HotReport:
    """What is kept, in bytes, and what isn't though it should be, and why."""

    kept: Mapping[TableName, int] = field(default_factory=dict)
    left_out: Mapping[TableName, str] = field(default_factory=dict)


class HotTables:
    """The copies of one lake. Thread-safe; `refresh` makes them what they should be, and whoever serves calls it."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._database = f"hw_hot_{core.database}"
        self._is_attached = False
        self._chosen: Mapping[tuple[str, str], TableName] = {}
        self._budget = 0
        self._current: dict[tuple[str, str], HotCopy] = {}
        self._readers: dict[str, int] = {}
        self._retired: dict[str, HotCopy] = {}
        self._left_out: dict[TableName, tuple[int, int, str]] = {}
        self._newest = 0
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        #: Set when somebody wanted a copy that isn't there, or is of an older version.
        self.is_missed = threading.Event()

    @property
    def is_used(self) -> bool:
        return bool(self._chosen)

    def choose(self, tables: Collection[TableName], budget_bytes: int) -> None:
        """Which tables are to be kept from the next `refresh` on, and how much they may take together."""
        with self._lock:
            self._chosen = {table.key: table for table in tables}
            self._budget = budget_bytes
            self._left_out.clear()
        self.is_missed.set()

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def newest(self) -> int:
        """The number of the newest copy that queries may take."""
        return self._newest

    def take(self, state: TableState, upto: int) -> HotCopy | None:
        """The copy for `state`, not dropped before it is given back."""
        with self._lock:
            if state.table.key not in self._chosen:
                return None
            copy = self._current.get(state.table.key)
            if copy is None or not copy.is_of(state):
                is_behind = copy is None or copy.version < (state.published_changed_snapshot or 0)
                if is_behind and state.table not in self._left_out:
                    self.is_missed.set()
                return None
            if copy.number > upto:
                return None
            self._readers[copy.relation] = self._readers.get(copy.relation, 0) + 1
            return copy

    def give_back(self, copy: HotCopy) -> None:
        with self._lock:
            self._readers[copy.relation] -= 1
        # dropping takes a connection: it is left to the next refresh, where readers don't wait for it

    def report(self) -> HotReport:
        with self._lock:
            kept = {copy.table: copy.size_bytes for copy in self._current.values()}
            return HotReport(kept, {table: why for table, (_, _, why) in self._left_out.items()})

    # -- keeping -----------------------------------------------------------------------------------------------------

    def refresh(self) -> HotReport:
        """Drops copies that are behind, and makes those that are missing and fit. Raises what asking for the lake's state raises."""
        with self._refreshing:
            self.is_missed.clear()
            if self._chosen or self._current or self._retired:
                state = self._core.state()
                self._retire(copy for copy in self._all() if not self._is_wanted(copy, state.find(copy.table)))
                self._drop_unread()
                for table in sorted(self._chosen.values()):
                    found = state.find(table)
                    if found is not None and self._is_kept_somewhere(found) and not self._has(found):
                        self._keep(found)
            return self.report()

    def close(self) -> None:
        """Forgets all copies. Idempotent."""
        with self._refreshing:
            self._chosen = {}
            with self._lock:
                self._current.clear()
                self._retired.clear()
            if self._is_attached:
                self._is_attached = False
                self._core.engine.detach(self._database)

    def _all(self) -> list[HotCopy]:
        with self._lock:
            return list(self._current.values())

    def _is_wanted(self, copy: HotCopy, state: TableState | None) -> bool:
        return copy.table.key in self._chosen and state is not None and copy.is_of(state) and self._used_bytes() <= self._budget

    @staticmethod
    def _is_kept_somewhere(state: TableState) -> bool:
        """Whether there are rows to keep: a view has none of its own."""
        return is_visible(state) and published_definition(state).kind != "view" and bool(published_columns(state))

    def _has(self, state: TableState) -> bool:
        with self._lock:
            return state.table.key in self._current

    def _used_bytes(self) -> int:
        with self._lock:
            return sum(copy.size_bytes for copy in (*self._current.values(), *self._retired.values()))

    def _retire(self, copies: Iterator[HotCopy]) -> None:
        for copy in copies:
            with self._lock:
                del self._current[copy.table.key]
                self._retired[copy.relation] = copy

    def _drop_unread(self) -> None:
        with self._lock:
            unread = [copy for relation, copy in self._retired.items() if not self._readers.get(relation)]
        for copy in unread:
            with self._core.engine.connection() as connection:
                connection.execute(f"DROP TABLE IF EXISTS {copy.relation}")
            with self._lock:
                self._retired.pop(copy.relation, None)
                self._readers.pop(copy.relation, None)

    def _keep(self, state: TableState) -> None:
        """Makes a copy, or notes why there is none. One that was too large, or failed, is tried again when it or the room there is has changed."""
        free = self._budget - self._used_bytes()
        version = state.published_changed_snapshot or 0
        before = self._left_out.get(state.table)
        if before is not None and before[:2] == (version, free):
            return
        try:
            why = self._copy(state.table, free)
        except HeadwaterError as error:
            why = f"it can't be read into memory: {error.what}"
        if why is None:
            self._left_out.pop(state.table, None)
            return
        if before is None or before[2] != why:
            log.warning("%s is marked hot and isn't kept in memory: %s", state.table, why)
        self._left_out[state.table] = (version, free, why)

    def _copy(self, table: TableName, free_bytes: int) -> str | None:
        """A copy of what is published now becomes the current one; else the reason."""
        if not self._is_attached:
            self._core.engine.attach_memory(self._database)
            self._is_attached = True
        with self._core.engine.connection() as connection:
            base = self._core.begin(connection)
            try:
                state = self._core.state_on(connection, base).find(table)
                if state is None or not self._is_kept_somewhere(state) or not state.published_changed_snapshot:
                    return None
                columns = published_columns(state)
                select = select_at(self._core.database, table, columns, state.published_snapshot)
                key = _index_column(state, columns)
                size = estimate_bytes(connection, select, columns, has_index=key is not None, most=free_bytes)
                if size > free_bytes:
                    needed, left = _in_words(size), _in_words(max(free_bytes, 0))
                    return f"it needs about {needed}, and {left} are left of serve: hot: memory"
                number = self._newest + 1
                relation = f"{quote(self._database)}.main.{quote(f't{number}')}"
                connection.execute(f"CREATE TABLE {relation} AS {select}")
                connection.execute("COMMIT")
            except BaseException:
                rollback(connection)
                raise
            if key is not None:
                try:
                    connection.execute(f"CREATE INDEX {quote(f't{number}_key')} ON {relation} ({quote(key)})")
                except BaseException:
                    connection.execute(f"DROP TABLE {relation}")
                    raise
        copy = HotCopy(table, state.published_changed_snapshot, _shape(columns), relation, size, number)
        with self._lock:
            self._newest = number
            self._current[table.key] = copy
        return None


def estimate_bytes(connection: Connection, select: str, columns: tuple[Column, ...], *, has_index: bool, most: int) -> int:
    """About how many bytes the rows of `select` take in memory, rather too many than too few. What is over `most` by its fixed parts isn't read."""
    fixed = sum(_WIDTHS.get(_base(column.type), _OVERHEAD) for column in columns)
    rows = int(connection.execute(f"SELECT count(*) FROM ({select})").scalar())
    size = int(rows * (fixed * _SLACK + len(columns) * _MARK_BYTES + (_INDEX_BYTES if has_index else 0)))
    varying = [column for column in columns if _base(column.type) not in _WIDTHS]
    if not varying or size > most:
        return size
    lengths = " + ".join(f"coalesce(sum(strlen(CAST({quote(column.name)} AS VARCHAR))), 0)" for column in varying)
    return size + int(float(connection.execute(f"SELECT {lengths} FROM ({select})").scalar()) * _SLACK)


def _index_column(state: TableState, columns: tuple[Column, ...]) -> str | None:
    """The column by which rows are looked up one by one: a key of one column of a type that is no list and no struct."""
    key = default_key(state)
    if len(key) != 1:
        return None
    return next((column.name for column in columns if column.name.lower() == key[0].lower() and _base(column.type) in {*_WIDTHS, "VARCHAR"}), None)


def _base(type_name: str) -> str:
    text = type_name.upper().strip()
    return text if text.endswith("]") else text.partition("(")[0].strip()


def _shape(columns: tuple[Column, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((column.name, column.type) for column in columns)


def _in_words(size_bytes: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6)):
        if size_bytes >= size:
            return f"{size_bytes / size:.1f} {unit}"
    return f"{size_bytes / 1000:.0f} KB"
