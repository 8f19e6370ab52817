"""The verbs that change what readers see and leave the rows alone."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from headwater.engine import Connection
from headwater.errors import Fenced, TableNotFound, UsageError
from headwater.spec.names import TableName, quote
from headwater.storage import boundaries
from headwater.storage.changes import NEVER_PUBLISHED, Commit, DeleteAll, LoadRecord, TableChange, TableState
from headwater.storage.commit import finish_commit
from headwater.storage.core import Core, rollback
from headwater.storage.history import readable_snapshot
from headwater.storage.records import pin_row
from headwater.storage.relations import published_columns, published_definition, select_at
from headwater.storage.state import LakeState, StateReader, advance, read_state
from headwater.storage.system import Row, SystemRows, to_json


def publish(core: Core, tables: Sequence[TableName], reason: str, author: str, tokens: Mapping[TableName, int]) -> Commit:
    """See `Lake.publish`."""

    def rows_for(_: Connection, state: LakeState, base: int, now: datetime) -> list[Row]:
        rows = []
        for table in tables:
            known = _known(state, table)
            if known.is_retired:
                raise TableNotFound(f"{table} is retired", hint="bring its file back and run it")
            if known.published_snapshot is not None or known.publication != "follows":
                rows.append(pin_row(core.environment, known.table, base + 1, "follows", None, None, reason, author, now))
        return rows

    return _commit_rows(core, tables, rows_for, f"publish {_named(tables)}", author, reason, tokens)


def pin(core: Core, tables: Sequence[TableName], snapshot: int, reason: str, author: str, tokens: Mapping[TableName, int]) -> Commit:
    """See `Lake.pin`."""

    def rows_for(connection: Connection, state: LakeState, base: int, now: datetime) -> list[Row]:
        rows = []
        for table in tables:
            known = _known(state, table)
            at, version = readable_snapshot(core, connection, known, snapshot, base)
            rows.append(pin_row(core.environment, known.table, base + 1, "rolled_back", at, version, reason, author, now))
        return rows

    with core.history_kept():
        return _commit_rows(core, tables, rows_for, f"rollback {_named(tables)} to snapshot {snapshot}", author, reason, tokens)


def make_restore_change(core: Core, connection: Connection, state: TableState, load: LoadRecord, token: int, snapshot: int | None) -> TableChange:
    """See `Lake.restore_change`."""
    if snapshot is not None:
        with core.reading() as (reader, base):
            at, _ = readable_snapshot(core, reader, state, snapshot, base)
            then = read_state(StateReader(reader, core.database, core.environment), core.environment, at, core.load_position).find(state.table)
        definition, columns = (then.definition, then.columns) if then is not None else (state.definition, state.columns)
    elif state.published_snapshot is None:
        raise UsageError(f"{state.table} has nothing to discard: readers see its newest rows")
    elif state.published_snapshot == NEVER_PUBLISHED:
        return TableChange(state.table, state.definition, load, token, delete=DeleteAll(), publish="keep", columns=state.columns)
    else:
        at, definition, columns = state.published_snapshot, published_definition(state), published_columns(state)
    change = TableChange(state.table, definition, load, token, publish="release", columns=columns, allow_drop=True)
    if definition.kind == "view":
        return change
    sql = select_at(core.database, state.table, columns, at)
    staged = core.staging.stage(connection, state.table, sql, as_files=None, sort_by=(), folder=core.folder_of(state.table))
    return replace(change, staged=staged, delete=DeleteAll(), partition_by=state.partition_by, sort_by=state.sort_by)


def _commit_rows(
    core: Core,
    tables: Sequence[TableName],
    rows_for: Callable[[Connection, LakeState, int, datetime], list[Row]],
    what: str,
    author: str,
    reason: str,
    tokens: Mapping[TableName, int],
) -> Commit:
    mark = uuid.uuid4().hex
    started = time.monotonic()

    def attempt() -> Commit:
        with core.engine.connection() as connection:
            base = core.begin(connection)
            try:
                state = core.state_on(connection, base)
                _fence(state, tokens)
                rows = SystemRows()
                rows.extend("publications", rows_for(connection, state, base, datetime.now(UTC)))
                versions = {table: _known(state, table).changed_snapshot for table in tables}
                if not rows.of("publications"):
                    rollback(connection)
                    return Commit(base, base - 1, tuple(tables), time.monotonic() - started, {}, versions)
                rows.write(connection, core.database)
                extra = to_json({"headwater": 1, "commit": mark, "environment": core.environment, "tables": [str(t) for t in tables][:50]})
                message = f"{what}: {reason}" if reason else what
                connection.execute(f"CALL {quote(core.database)}.set_commit_message(?, ?, extra_info => ?)", [author, message, extra])
                boundaries.reached("publish.before")
                finish_commit(core, connection, base, mark)
            except BaseException:
                rollback(connection)
                raise
        boundaries.reached("publish.after")
        newer = advance(state, base + 1, rows)
        if newer is None:
            core.forget()
        else:
            core.remember(newer)
        return Commit(base + 1, base, tuple(tables), time.monotonic() - started, {}, versions)

    return core.write(attempt, what)


def _fence(state: LakeState, tokens: Mapping[TableName, int]) -> None:
    for table, token in tokens.items():
        known = state.find(table)
        if known is not None and token < known.token:
            raise Fenced(
                f"another run has taken over {table}",
                expected=f"fencing token {known.token} or higher",
                found=f"token {token}",
                state="nothing was committed; what readers see is as it was",
            )


def _known(state: LakeState, table: TableName) -> TableState:
    known = state.find(table)
    if known is None:
        raise TableNotFound(f"there is no table {table} in the lake", hint="headwater ls shows all tables")
    return known


def _named(tables: Sequence[TableName]) -> str:
    shown = ", ".join(str(table) for table in tables[:3])
    return shown if len(tables) <= 3 else f"{shown} and {len(tables) - 3} more"
