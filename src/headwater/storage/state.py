"""What the lake says of its tables: read from the system tables, and carried forward commit by commit.

`read_state` reads it whole; `advance` is pure and gives the state after one commit from the state before it and the rows that commit wrote.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headwater.engine import Connection
from headwater.spec.names import SYSTEM_SCHEMA, TableName, quote
from headwater.spec.tables import Column
from headwater.storage.changes import NEVER_PUBLISHED, Definition, LoadRecord, TableState
from headwater.storage.system import Row, SystemRows

#: Operations that don't say how a table's rows came about.
SIDE_OPERATIONS = ("publish", "rollback", "retire", "drop")


class PositionValue(Mapping[str, Any]):
    """A committed position, read from the lake when it is first looked into: it may list 100,000 files.

    `snapshot_id` is that of the newest commit that moved it: two with the same number are the same position.
    """

    def __init__(self, snapshot_id: int, load: Callable[[], Mapping[str, Any]]) -> None:
        self.snapshot_id = snapshot_id
        self._load: Callable[[], Mapping[str, Any]] | None = load
        self._value: Mapping[str, Any] = {}

    def _get(self) -> Mapping[str, Any]:
        if self._load is not None:
            self._value = self._load()
            self._load = None
        return self._value

    def __getitem__(self, key: str) -> Any:
        return self._get()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._get())

    def __len__(self) -> int:
        return len(self._get())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and (other is self or dict(self._get()) == dict(other))

    def __repr__(self) -> str:
        return f"PositionValue(snapshot_id={self.snapshot_id})"

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class LakeState:
    """All tables of one environment at one snapshot. Names are found whatever their case by `find`."""

    snapshot_id: int
    environment: str
    tables: Mapping[TableName, TableState]
    _by_key: Mapping[tuple[str, str], TableName] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, snapshot_id: int, environment: str, tables: Mapping[TableName, TableState]) -> LakeState:
        return cls(snapshot_id, environment, tables, {name.key: name for name in tables})

    def find(self, table: TableName) -> TableState | None:
        """The table's state, or None for a table the lake doesn't have."""
        name = self._by_key.get(table.key)
        return None if name is None else self.tables[name]


# -- rows <-> words --------------------------------------------------------------------------------------------------


def definition_of(row: Row) -> Definition:
    return Definition(
        kind=row["kind"],
        fingerprint=row["fingerprint"],
        sql=row["sql"],
        description=row["description"],
        inputs=tuple(TableName(*item) for item in json.loads(row["inputs"])),
        body=json.loads(row["body"]),
    )


def column_of(row: Row) -> Column:
    return Column(row["name"], row["type"], row["nullable"], row["description"], tuple(row["labels"] or ()))


def load_of(row: Row) -> LoadRecord:
    interval = (row["interval_start"], row["interval_end"]) if row["interval_start"] is not None else None
    return LoadRecord(
        load_id=row["load_id"],
        operation=row["operation"],
        run_id=row["run_id"],
        started_at=row["started_at"],
        rows_read=row["rows_read"],
        rows_written=row["rows_written"],
        rows_deleted=row["rows_deleted"],
        rows_rejected=row["rows_rejected"],
        size_bytes=row["size_bytes"],
        inputs=json.loads(row["inputs"]),
        fingerprint=row["fingerprint"],
        clock=row["clock"],
        interval=interval,
        note=row["note"],
    )


def _name(row: Row) -> TableName:
    return TableName(row["schema_name"], row["table_name"])


def empty_table(table: TableName, definition: Definition) -> TableState:
    return TableState(
        table=table,
        definition=definition,
        columns=(),
        changed_snapshot=0,
        published_snapshot=None,
        published_changed_snapshot=0,
        is_held=False,
        reason="",
        load=None,
        committed_at=None,
        position=None,
        token=0,
    )


# -- one commit further ----------------------------------------------------------------------------------------------


def advance(state: LakeState, snapshot_id: int, rows: SystemRows) -> LakeState | None:
    """The state after the commit `snapshot_id` that wrote `rows`. None where that needs older rows (a rollback): read it whole then."""
    tables = dict(state.tables)
    before = {name.key: tables[name] for name in tables}
    current = dict(before)

    def put(new: TableState) -> None:
        current[new.table.key] = new

    for row in rows.of("definitions"):
        table = _name(row)
        old = current.get(table.key)
        definition = definition_of(row)
        new = replace(old, definition=definition) if old else empty_table(table, definition)
        put(replace(new, is_retired=row["is_retired"], partition_by=tuple(row["partition_by"] or ()), sort_by=tuple(row["sort_by"] or ())))
    columns: dict[tuple[str, str], list[Row]] = {}
    for row in rows.of("columns"):
        columns.setdefault(_name(row).key, []).append(row)
    for key, found in columns.items():
        put(replace(current[key], columns=tuple(column_of(row) for row in sorted(found, key=lambda row: row["position"]))))
    for row in rows.of("loads"):
        put(_with_load(current[_name(row).key], row, snapshot_id))
    for row in rows.of("positions"):
        put(_with_position(current[_name(row).key], row, snapshot_id))
    for row in rows.of("publications"):
        old = before.get(_name(row).key)
        pinned = _with_publication(current[_name(row).key], old, row, snapshot_id)
        if pinned is None:
            return None
        put(pinned)
    for key, table_state in current.items():
        if table_state is not before.get(key):
            put(_follow(table_state))
    tables.update({table_state.table: table_state for table_state in current.values()})
    return LakeState.of(snapshot_id, state.environment, tables)


def _follow(state: TableState) -> TableState:
    if state.published_snapshot is None and state.published_changed_snapshot != state.changed_snapshot:
        return replace(state, published_changed_snapshot=state.changed_snapshot)
    return state


def _with_load(state: TableState, row: Row, snapshot_id: int) -> TableState:
    token = max(state.token, row["token"])
    changed = snapshot_id if row["has_changed"] else state.changed_snapshot
    if row["operation"] in SIDE_OPERATIONS:
        return replace(state, token=token, changed_snapshot=changed)
    return replace(
        state,
        load=load_of(row),
        committed_at=row["committed_at"],
        token=token,
        changed_snapshot=changed,
        failed_checks=tuple(row["failed_checks"] or ()),
    )


def _with_position(state: TableState, row: Row, snapshot_id: int) -> TableState:
    value: Mapping[str, Any] = json.loads(row["value"])
    before = state.position
    if row["is_delta"] and before is not None:
        position = PositionValue(snapshot_id, lambda: {**before, **value})
    else:
        position = PositionValue(snapshot_id, lambda: value)
    return replace(state, position=position, position_snapshot=snapshot_id, token=max(state.token, row["token"]))


def _with_publication(state: TableState, before: TableState | None, row: Row, snapshot_id: int) -> TableState | None:
    pin: int | None = row["published_snapshot"]
    published_definition: Definition | None = None
    published_columns: tuple[Column, ...] | None = None
    if pin is not None and pin != NEVER_PUBLISHED:
        if before is None:
            return None
        if before.published_snapshot == pin:
            published_definition, published_columns = before.published_definition, before.published_columns
        elif before.published_snapshot is None and pin == snapshot_id - 1:
            published_definition, published_columns = before.definition, before.columns
        else:
            return None
    return replace(
        state,
        published_snapshot=pin,
        published_changed_snapshot=state.changed_snapshot if pin is None else row["changed_snapshot"],
        publication=row["mode"],
        is_held=row["mode"] == "held",
        reason=row["reason"],
        published_definition=published_definition,
        published_columns=published_columns,
    )


# -- reading ---------------------------------------------------------------------------------------------------------


class StateReader:
    """Reads system tables of one environment on a connection, as they were up to any snapshot (they are insert-only)."""

    def __init__(self, connection: Connection, database: str, environment: str, empty: frozenset[str] = frozenset()) -> None:
        """`empty` are system tables known to hold no row: scanning an empty table is the slowest scan there is (some 40 ms)."""
        self._empty = empty
        self._connection = connection
        self._schema = f"{quote(database)}.{quote(SYSTEM_SCHEMA)}"
        self._environment = environment

    def rows(self, sql: str, *parameters: Any) -> list[Row]:
        """Rows of `sql` as dicts; `{schema}` in it is the system schema."""
        result = self._connection.execute(sql.replace("{schema}", self._schema), list(parameters))
        names = result.columns
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def has_rows(self, table: str) -> bool:
        """Whether the system table may hold rows."""
        return table not in self._empty

    def newest(self, table: str, upto: int) -> list[Row]:
        """The newest row of each table of the lake in one system table."""
        if not self.has_rows(table):
            return []
        return self.rows(
            f"""
            SELECT unnest(max_by(t, snapshot_id))
            FROM {{schema}}.{table} t
            WHERE environment = ? AND snapshot_id <= ?
            GROUP BY schema_name, table_name
            """,
            self._environment,
            upto,
        )

    def since(self, after: int, upto: int) -> dict[int, SystemRows]:
        """All rows of the commits in (after, upto], by snapshot."""
        commits: dict[int, SystemRows] = {}
        for table in filter(self.has_rows, ("definitions", "columns", "loads", "positions", "publications")):
            sql = f"SELECT * FROM {{schema}}.{table} WHERE environment = ? AND snapshot_id > ? AND snapshot_id <= ?"
            for row in self.rows(sql, self._environment, after, upto):
                commits.setdefault(row["snapshot_id"], SystemRows()).add(table, row)
        return commits


def read_state(reader: StateReader, environment: str, upto: int, load_position: Callable[[TableName, int], Mapping[str, Any]]) -> LakeState:
    """The whole state as of snapshot `upto`. `load_position` reads one table's merged position as of a snapshot, when somebody looks at it."""
    definitions = reader.newest("definitions", upto)
    if not definitions:
        return LakeState.of(upto, environment, {})
    columns = _columns_as_of(reader, environment, upto)
    loads = _newest_loads(reader, environment, upto)
    tables = {_name(row).key: _table_of(row, columns.get(_name(row).key, ()), loads.get(_name(row).key)) for row in definitions}
    _read_positions(reader, environment, upto, tables, load_position)
    _read_publications(reader, environment, upto, tables)
    return LakeState.of(upto, environment, {state.table: state for state in tables.values()})


def _table_of(row: Row, columns: tuple[Column, ...], newest: Row | None) -> TableState:
    """A table by the rows of its definition and its newest load, without a position, and published as it is."""
    load = newest if newest is not None and newest["load_id"] is not None else None
    changed_snapshot = (newest["changed"] or 0) if newest is not None else 0
    return TableState(
        table=_name(row),
        definition=definition_of(row),
        columns=columns,
        changed_snapshot=changed_snapshot,
        published_snapshot=None,
        published_changed_snapshot=changed_snapshot,
        is_held=False,
        reason="",
        load=load_of(load) if load is not None else None,
        committed_at=load["committed_at"] if load is not None else None,
        position=None,
        token=newest["newest_token"] if newest is not None else 0,
        is_retired=row["is_retired"],
        failed_checks=tuple(load["failed_checks"] or ()) if load is not None else (),
        partition_by=tuple(row["partition_by"] or ()),
        sort_by=tuple(row["sort_by"] or ()),
    )


def _read_positions(
    reader: StateReader,
    environment: str,
    upto: int,
    tables: dict[tuple[str, str], TableState],
    load_position: Callable[[TableName, int], Mapping[str, Any]],
) -> None:
    if not reader.has_rows("positions"):
        return
    for row in reader.rows(
        "SELECT schema_name, table_name, max(snapshot_id) AS newest, max(token) AS token FROM {schema}.positions "
        "WHERE environment = ? AND snapshot_id <= ? GROUP BY ALL",
        environment,
        upto,
    ):
        state = tables[_name(row).key]
        position = PositionValue(row["newest"], _loader(load_position, state.table, row["newest"]))
        tables[state.table.key] = replace(state, position=position, position_snapshot=row["newest"], token=max(state.token, row["token"]))


def _loader(load_position: Callable[[TableName, int], Mapping[str, Any]], table: TableName, snapshot_id: int) -> Callable[[], Mapping[str, Any]]:
    return lambda: load_position(table, snapshot_id)


def _columns_as_of(reader: StateReader, environment: str, upto: int) -> dict[tuple[str, str], tuple[Column, ...]]:
    found: dict[tuple[str, str], list[Column]] = {}
    for row in reader.rows(
        """
        WITH known AS MATERIALIZED ( -- a second scan would take as long again
            SELECT schema_name, table_name, snapshot_id, position, name, type, nullable, description, labels
            FROM {schema}.columns
            WHERE environment = ? AND snapshot_id <= ?
        ), newest AS (
            SELECT schema_name, table_name, max(snapshot_id) AS snapshot_id
            FROM known
            GROUP BY ALL
        )
        SELECT schema_name, table_name, name, type, nullable, description, labels
        FROM known
        SEMI JOIN newest USING (schema_name, table_name, snapshot_id)
        ORDER BY schema_name, table_name, position
        """,
        environment,
        upto,
    ):
        found.setdefault(_name(row).key, []).append(column_of(row))
    return {key: tuple(columns) for key, columns in found.items()}


def _newest_loads(reader: StateReader, environment: str, upto: int) -> dict[tuple[str, str], Row]:
    """By table the newest load that wasn't a side operation (all null where there is none), with `changed` and `newest_token` of all loads."""
    side = ", ".join(f"'{operation}'" for operation in SIDE_OPERATIONS)
    rows = reader.rows(
        f"""
        SELECT unnest(max_by(t, snapshot_id) FILTER (operation NOT IN ({side}))), schema_name AS s, table_name AS t,
            max(snapshot_id) FILTER (has_changed) AS changed, max(token) AS newest_token
        FROM {{schema}}.loads t
        WHERE environment = ? AND snapshot_id <= ?
        GROUP BY schema_name, table_name
        """,
        environment,
        upto,
    )
    return {TableName(row["s"], row["t"]).key: row for row in rows}


def _read_publications(reader: StateReader, environment: str, upto: int, tables: dict[tuple[str, str], TableState]) -> None:
    pins: set[int] = set()
    for row in reader.newest("publications", upto):
        key = _name(row).key
        pin = row["published_snapshot"]
        tables[key] = replace(
            tables[key],
            published_snapshot=pin,
            published_changed_snapshot=tables[key].changed_snapshot if pin is None else row["changed_snapshot"],
            publication=row["mode"],
            is_held=row["mode"] == "held",
            reason=row["reason"],
        )
        if pin is not None and pin != NEVER_PUBLISHED:
            pins.add(pin)
    for pin in pins:
        definitions = {_name(row).key: definition_of(row) for row in reader.newest("definitions", pin)}
        columns = _columns_as_of(reader, environment, pin)
        for key, state in tables.items():
            if state.published_snapshot == pin:
                tables[key] = replace(state, published_definition=definitions.get(key), published_columns=columns.get(key, ()))
