"""What each table's name stands for while a run goes on: the views of the run's workspace."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from headwater.engine import Connection, Workspace
from headwater.spec.names import TableName
from headwater.storage import Lake
from headwater.storage.changes import NEVER_PUBLISHED, Definition, RowChanges, TableChange, TableState


@dataclass(frozen=True, slots=True)
class _Meaning:
    """A view's text, and the tables whose views it needs to stand on."""

    sql: str
    needs: tuple[TableName, ...] = ()


class Readings:
    """Defines tables in the workspace when they are first read, and again when what they stand for moved. Thread-safe.

    A table built in this run stands for its rows as they will be after its commit; after the commit (and once its staged rows are to go) for the
    lake at that commit. All others stand for what is published; those taken over, for their newest rows though unpublished.
    """

    def __init__(
        self,
        lake: Lake,
        workspace: Workspace,
        deployed: Mapping[TableName, TableState],
        snapshot_id: int,
        find: Callable[[TableName], TableName | None],
    ) -> None:
        """`find` gives the project's spelling of a table's name. `snapshot_id` is where the lake stood when `deployed` was read."""
        self._lake = lake
        self.workspace = workspace
        self._deployed = deployed
        self._snapshot_id = snapshot_id
        self._find = find
        self._taken_over: set[TableName] = set()
        self._moved: dict[TableName, _Meaning] = {}
        self._defined: dict[TableName, str] = {}
        self._changes: dict[TableName, TableChange] = {}
        self._row_changes: dict[TableName, RowChanges] = {}
        self._macros: set[str] = set()
        self._lock = threading.RLock()
        self._connection = workspace.connection()

    def close(self) -> None:
        self._connection.close()

    def take_over(self, table: TableName) -> None:
        """From now on the table's newest rows are what is read of it, published or not."""
        with self._lock:
            self._taken_over.add(table)

    def moved(self, change: TableChange) -> None:
        """The table has new rows, staged: whoever reads it from now on reads them."""
        with self._lock:
            self._moved[change.table] = self._after(change)
            self._changes[change.table] = change
            if change.definition.kind != "view":
                self._row_changes[change.table] = self._lake.coming_changes_sql(change)

    def committed(self, table: TableName, snapshot_id: int) -> None:
        """The table's new rows are in the lake at `snapshot_id`: the view is moved there, so that staged rows can be dropped."""
        with self._lock:
            meaning = self._moved.get(table)
            if meaning is None or meaning.needs:
                return
            self._moved[table] = _Meaning(self._lake.at_sql(table, snapshot_id))
            self._row_changes[table] = self._lake.changes_sql(table, snapshot_id - 1, snapshot_id)
            if table in self._defined:
                self._define(table)

    def forget(self, table: TableName) -> None:
        """The table's new rows came to nothing: it stands for what is published again."""
        with self._lock:
            self._moved.pop(table, None)
            self._changes.pop(table, None)
            self._row_changes.pop(table, None)
            if table in self._defined:
                self._define(table)

    def define(self, tables: tuple[TableName, ...]) -> None:
        """Makes sure that these names (and what views among them read) can be read. Names without rows anywhere are left undefined."""
        with self._lock:
            for table in tables:
                self._define(table)

    def create_macros(self, statements: Sequence[str]) -> None:
        """Creates table macros, which bind what they read: to be called when that is defined."""
        with self._lock:
            new = [statement for statement in statements if statement not in self._macros]
            if new:
                for statement in new:
                    self._connection.execute(statement)
                self._macros.update(new)

    def columns(self, table: TableName) -> dict[str, str] | None:
        """Names and types of what is read of a table now, as far as known without asking the lake."""
        table = self._find(table) or table
        with self._lock:
            change = self._changes.get(table)
            if change is not None:
                return {column.name: column.type for column in change.columns}
            state = self._deployed.get(table)
            if state is None or state.is_retired:
                return None
            columns = state.columns if table in self._taken_over or state.published_columns is None else state.published_columns
            return {column.name: column.type for column in columns}

    def definition(self, table: TableName) -> Definition | None:
        """What is read of a table now, as it is defined."""
        table = self._find(table) or table
        with self._lock:
            change, state = self._changes.get(table), self._deployed.get(table)
            if change is not None or state is None:
                return change.definition if change is not None else None
            return state.definition if table in self._taken_over else state.published_definition or state.definition

    def changes_since(self, table: TableName, version: int) -> RowChanges | None:
        """What came and went of a table's rows between an older version and what is read of it now; None for a view."""
        with self._lock:
            coming, state = self._row_changes.get(table), self._deployed.get(table)
            if coming is None and (state is None or state.definition.kind == "view"):
                return None
            is_newest = coming is not None or table in self._taken_over
            now = version if state is None else state.changed_snapshot if is_newest else state.published_changed_snapshot
            if now is None or now == version:
                return coming
            committed = self._lake.changes_sql(table, version, now)
            if coming is None:
                return committed
            return RowChanges(f"FROM ({committed.sql}) UNION ALL BY NAME FROM ({coming.sql})", committed.are_additions and coming.are_additions)

    def relation(self, table: TableName) -> str | None:
        """SQL to read a table with, for a check that names it; None when there is nothing to read."""
        table = self._find(table) or table
        with self._lock:
            return self._workspace_name(table) if self._define(table) else None

    def connection(self) -> Connection:
        return self.workspace.connection()

    def _workspace_name(self, table: TableName) -> str:
        return f'"{self.workspace.name}".{table.sql}'

    def _define(self, table: TableName) -> bool:
        meaning = self._moved.get(table) or self._published(table)
        if meaning is None:
            return False
        for name in meaning.needs:
            self._define(name)
        if self._defined.get(table) != meaning.sql:
            self.workspace.define(table, meaning.sql, self._connection)
            self._defined[table] = meaning.sql
        return True

    def _published(self, table: TableName) -> _Meaning | None:
        state = self._deployed.get(table)
        if state is None or state.is_retired:
            return None
        if table in self._taken_over:
            if state.definition.kind == "view":
                return self._view(state.definition)
            return _Meaning(self._lake.at_sql(table, self._snapshot_id))
        if state.published_snapshot == NEVER_PUBLISHED:
            return None
        if state.definition.kind == "view":
            return self._view(state.published_definition or state.definition)
        return _Meaning(self._lake.published_sql(state, snapshot=self._snapshot_id))

    def _after(self, change: TableChange) -> _Meaning:
        return self._view(change.definition) if change.definition.kind == "view" else _Meaning(self._lake.future_sql(change))

    def _view(self, definition: Definition) -> _Meaning:
        return _Meaning(definition.sql, tuple(self._find(table) or table for table in definition.inputs))
