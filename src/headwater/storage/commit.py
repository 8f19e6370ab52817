"""The one commit: rows, positions, load records, verdicts and definitions of several tables, all in one short lake transaction.

It is a compare-and-swap on the snapshot id. What the transaction reads at its start (tokens, positions, columns) stays true until its COMMIT, because
any commit by anybody in between makes that COMMIT fail; then the transaction is done again from the start. So the transaction knows its own snapshot:
base + 1.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from headwater.engine import Connection
from headwater.engine.literals import bind_parameters
from headwater.errors import (
    CommitConflict,
    CommitUnknown,
    DataFileGone,
    Fenced,
    HeadwaterError,
    Interrupted,
    LakeReadOnly,
    StorageFull,
    UsageError,
)
from headwater.spec.counting import plural
from headwater.spec.names import TableName, quote, quote_literal
from headwater.spec.tables import Column
from headwater.storage import boundaries
from headwater.storage.changes import Commit, DeleteAll, DeleteKeys, DeleteWhere, Staged, TableChange, TableState
from headwater.storage.core import Core, rollback
from headwater.storage.evolution import Evolution, RenameColumn, WidenColumn, plan_evolution, statements_for
from headwater.storage.records import changed_version, column_rows, definition_row, record_rows
from headwater.storage.state import SIDE_OPERATIONS, LakeState, PositionValue, advance
from headwater.storage.system import SystemRows, to_json

#: How long a COMMIT whose connection broke is looked for.
LOOK_SECONDS = 30.0


@dataclass(slots=True)
class _Planned:
    """One change, decided against the state it is applied to."""

    change: TableChange
    state: TableState | None
    columns: tuple[Column, ...]
    evolution: Evolution | None
    is_new: bool
    rows_deleted: int = 0
    is_filled: bool = False
    taken_over: Staged | None = None

    @property
    def widenings(self) -> tuple[WidenColumn, ...]:
        return self.evolution.widenings if self.evolution else ()

    @property
    def needs_arranging(self) -> bool:
        """Whether an existing table is to be partitioned or sorted otherwise."""
        if self.is_new or self.state is None or self.evolution is None or self.change.staged is None:
            return False
        return (self.change.partition_by, self.change.sort_by) != (self.state.partition_by, self.state.sort_by)

    @property
    def needs_preparing(self) -> bool:
        return bool(self.widenings) or self.needs_arranging


@dataclass(slots=True)
class CommitWriter:
    """Commits one group of changes; made for one call of `Lake.commit`."""

    core: Core
    changes: Sequence[TableChange]
    author: str
    message: str
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    #: A file of a table to be rebuilt is gone. The engine reads a file to delete its rows: such tables are made anew instead.
    is_file_gone: bool = False

    def run(self) -> Commit:
        """See `Lake.commit`."""
        _refuse_twice(self.changes)
        started = time.monotonic()
        what = f"the commit of {_named([change.table for change in self.changes])}"
        try:
            commit = self.core.write(self._attempt, what)
        except DataFileGone:
            if not any(isinstance(change.delete, DeleteAll) for change in self.changes):
                raise
            self.is_file_gone = True
            commit = self.core.write(self._attempt, what)
        return replace(commit, seconds=time.monotonic() - started)

    def _attempt(self) -> Commit:
        boundaries.reached("commit.locked")
        with self.core.engine.connection() as connection:
            self._prepare(connection)
            base = self.core.begin(connection)
            try:
                return self._transact(connection, base)
            except BaseException:
                rollback(connection)
                raise

    def _prepare(self, connection: Connection) -> None:
        """Commits by themselves the changes of tables that DuckLake can't take together with rows. Most commits have none, and begin nothing here.

        Widening: see `evolution.Evolution`. Partitioning: a plain file added in the same transaction is a fatal error that ends the whole engine.
        """
        if not any(planned.needs_preparing for planned in self._plan(self.core.state())):
            return
        base = self.core.begin(connection)
        try:
            state = self.core.state_on(connection, base)
            planned_all = [planned for planned in self._plan(state) if planned.needs_preparing]
            if not planned_all:
                rollback(connection)
                return
            self._fence(state, [planned.change for planned in planned_all])
            rows = SystemRows()
            for planned in planned_all:
                self._prepare_table(connection, planned, base + 1, rows)
            rows.write(connection, self.core.database)
            self._commit(connection, base, [planned.change for planned in planned_all], "columns and files arranged")
            self._carry_on(state, base + 1, rows)
        except BaseException:
            rollback(connection)
            raise
        boundaries.reached("commit.prepared")

    def _prepare_table(self, connection: Connection, planned: _Planned, snapshot_id: int, rows: SystemRows) -> None:
        known = planned.state
        assert known is not None
        target = self._target(planned.change.table)
        if planned.widenings:
            assert planned.evolution is not None
            steps = [step for step in planned.evolution.steps if isinstance(step, RenameColumn | WidenColumn)]
            for statement in statements_for(target, steps):
                connection.execute(statement)
            renamed = {step.old: step.new for step in steps if isinstance(step, RenameColumn)}
            wide = {step.name: step.type for step in planned.widenings}
            columns = tuple(replace(column, name=renamed.get(column.name, column.name)) for column in known.columns)
            columns = tuple(replace(column, type=wide.get(column.name, column.type)) for column in columns)
            rows.extend("columns", column_rows(self.core.environment, known.table, snapshot_id, columns))
        if planned.needs_arranging:
            arrange(connection, target, planned.change, known.columns, known.partition_by, known.sort_by)
            arrangement = (planned.change.partition_by, planned.change.sort_by)
            rows.add("definitions", definition_row(self.core.environment, known.table, snapshot_id, known.definition, arrangement, known.is_retired))

    def _transact(self, connection: Connection, base: int) -> Commit:
        boundaries.reached("commit.begun")
        state = self.core.state_on(connection, base)
        done = self._done_before(connection, state)
        if done is not None:
            rollback(connection)
            found = [(change.table, state.find(change.table)) for change in self.changes]
            return Commit(
                done, done - 1, tuple(table for table, _ in found), 0.0, {}, {table: known.changed_snapshot for table, known in found if known}
            )
        self._fence(state, self.changes)
        boundaries.reached("commit.fenced")
        planned_all = self._plan(state)
        if any(planned.needs_preparing for planned in planned_all):
            raise CommitConflict("another writer changed columns at the same moment", found="serialize again", state="nothing was committed")
        self._create(connection, planned_all)
        for planned in planned_all:
            self._write_table(connection, planned)
        boundaries.reached("commit.inserted")
        now = datetime.now(UTC)
        rows = SystemRows()
        versions = {
            planned.change.table.key: changed_version(planned.change, planned.state, planned.columns, planned.rows_deleted, base + 1)
            for planned in planned_all
        }
        for planned in planned_all:
            change = planned.change
            record_rows(rows, self.core.environment, change, planned.state, planned.columns, base, now, self.author, planned.rows_deleted, versions)
            if change.rejected is not None:
                self._insert_rejected(connection, change, base + 1, now)
        rows.write(connection, self.core.database)
        boundaries.reached("commit.recorded")
        self._commit(connection, base, self.changes, self.message)
        boundaries.reached("commit.after")
        if self.is_file_gone or any(planned.is_new for planned in planned_all):
            self.core.forget_folders()
        for planned in planned_all:
            if planned.taken_over is not None:
                self.core.staging.mark_committed(planned.taken_over)
        self._carry_on(state, base + 1, rows)
        deleted = {planned.change.table: planned.rows_deleted for planned in planned_all if planned.rows_deleted}
        tables = tuple(change.table for change in self.changes)
        return Commit(base + 1, base, tables, 0.0, deleted, {table: versions[table.key] for table in tables})

    # -- deciding ----------------------------------------------------------------------------------------------------

    def _done_before(self, connection: Connection, state: LakeState) -> int | None:
        """The snapshot of an earlier try of this very commit that got through after all."""
        with_rows = [change for change in self.changes if change.load.operation not in SIDE_OPERATIONS]
        for change in with_rows:
            known = state.find(change.table)
            if known is None or known.load is None or known.load.load_id != change.load.load_id:
                return None
        if not with_rows:
            return None
        found = connection.execute(
            f"SELECT max(snapshot_id) FROM {self.core.system}.loads WHERE environment = ? AND load_id = ?",
            [self.core.environment, with_rows[0].load.load_id],
        ).scalar()
        return None if found is None else int(found)

    def _fence(self, state: LakeState, changes: Sequence[TableChange]) -> None:
        for change in changes:
            known = state.find(change.table)
            if change.computed_from is not None and change.computed_from != (known.changed_snapshot if known else 0):
                raise Fenced(
                    f"another run has changed {change.table} since this task read it",
                    expected=f"its newest change in snapshot {change.computed_from}",
                    found=f"snapshot {known.changed_snapshot if known else 0}",
                    state="nothing was committed; what the other run committed stands",
                    hint="run again: the task then begins from the newer rows",
                )
            if known is None:
                continue
            if change.token < known.token:
                raise Fenced(
                    f"another run has taken over {change.table}",
                    expected=f"fencing token {known.token} or higher",
                    found=f"token {change.token}",
                    state="nothing was committed; the other run's data stands",
                    hint="nothing needs doing: the run that took over goes on",
                )
            if change.position is not None and not _same_position(known.position, change.previous_position):
                raise Fenced(
                    f"the position of {change.table} moved since this load read it",
                    expected="the position the load began from",
                    found=f"the position of snapshot {known.position_snapshot}",
                    state="nothing was committed; what the other load committed stands",
                    hint="run again: the load then begins from the newer position",
                )

    def _plan(self, state: LakeState) -> list[_Planned]:
        return [self._plan_one(change, state.find(change.table)) for change in self.changes]

    def _plan_one(self, change: TableChange, known: TableState | None) -> _Planned:
        wanted = change.columns or (change.staged.columns if change.staged else ()) or (known.columns if known else ())
        is_physical = change.definition.kind != "view"
        had_table = known is not None and known.definition.kind != "view" and bool(known.columns)
        if not is_physical or not wanted or change.retire:
            return _Planned(change, known, tuple(wanted), None, False)
        if known is None or not had_table:
            new = plan_evolution(change.table, (), wanted, renames={}, is_rebuild=True, allow_drop=False)
            return _Planned(change, known, new.columns, None, True)
        evolution = plan_evolution(
            change.table,
            known.columns,
            wanted,
            renames=change.renames,
            is_rebuild=isinstance(change.delete, DeleteAll),
            allow_drop=change.allow_drop,
        )
        return _Planned(change, known, evolution.columns, evolution, False)

    # -- carrying out ------------------------------------------------------------------------------------------------

    def _target(self, table: TableName) -> str:
        return f"{quote(self.core.database)}.{table.sql}"

    def _create(self, connection: Connection, planned_all: Sequence[_Planned]) -> None:
        new = [planned for planned in planned_all if planned.is_new]
        for schema in sorted({planned.change.table.schema for planned in new}):
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(self.core.database)}.{quote(schema)}")
        for planned in new:
            target = self._target(planned.change.table)
            if self._can_be_made_from_rows(planned):
                assert planned.change.staged is not None
                connection.execute(f"CREATE TABLE {target} AS FROM {planned.change.staged.relation}")
                planned.is_filled = True
                continue
            columns = ", ".join(f"{quote(column.name)} {column.type}" for column in planned.columns)
            connection.execute(f"CREATE TABLE {target} ({columns})")
            arrange(connection, target, planned.change, planned.columns, (), ())

    def _can_be_made_from_rows(self, planned: _Planned) -> bool:
        """Whether the new table is its rows in scratch memory, column by column: one statement then does what else takes two."""
        change, staged = planned.change, planned.change.staged
        if staged is None or not staged.rows or staged.files or change.partition_by or change.sort_by:
            return False
        return [(column.name, column.type) for column in staged.columns] == [(column.name, column.type) for column in planned.columns]

    def _write_table(self, connection: Connection, planned: _Planned) -> None:
        change, target = planned.change, self._target(planned.change.table)
        if isinstance(change.delete, DeleteAll) and self.is_file_gone and not planned.is_new:
            connection.execute(f"DROP TABLE {target}")
            made = replace(planned, is_new=True)
            self._create(connection, [made])
            planned.is_filled, planned.evolution = made.is_filled, None
        elif isinstance(change.delete, DeleteAll) and not planned.is_new:
            planned.rows_deleted = int(connection.execute(f"DELETE FROM {target}").scalar() or 0)
        if planned.evolution is not None:
            for statement in statements_for(target, planned.evolution.steps):
                connection.execute(statement)
            boundaries.reached("commit.evolved")
        if change.delete is not None and not isinstance(change.delete, DeleteAll) and not planned.is_new:
            planned.rows_deleted = int(connection.execute(delete_statement(target, change.delete)).scalar() or 0)
            _refuse_other_rows(change, planned.rows_deleted)
        boundaries.reached("commit.deleted")
        if change.staged is not None and change.staged.rows and planned.columns and not planned.is_filled:
            self._insert(connection, planned, change.staged)

    def _insert(self, connection: Connection, planned: _Planned, staged: Staged) -> None:
        change = planned.change
        if self._can_take_over(planned, staged):
            missing = ", allow_missing => true" if len(staged.columns) < len(planned.columns) else ""
            for file in staged.files:
                connection.execute(
                    f"CALL ducklake_add_data_files({quote_literal(self.core.database)}, {quote_literal(change.table.name)}, {quote_literal(file)}, "
                    f"schema => {quote_literal(change.table.schema)}{missing})"
                )
            planned.taken_over = staged
            return
        names = ", ".join(quote(column.name) for column in staged.columns)
        order = f" ORDER BY {', '.join(change.sort_by)}" if change.sort_by else ""
        connection.execute(f"INSERT INTO {self._target(change.table)} ({names}) SELECT {names} FROM {staged.relation}{order}")

    def _can_take_over(self, planned: _Planned, staged: Staged) -> bool:
        """Whether the lake may own the staged files as they are: plain, in the table's folder, unpartitioned, with the very types of the table."""
        if not staged.files or self.core.is_encrypted or planned.change.partition_by or self.is_file_gone:
            return False
        folder = self.core.folder_of(planned.change.table)
        if folder is None or not all(file.startswith(folder) for file in staged.files):
            return False
        types = {column.name.lower(): column.type for column in planned.columns}
        return all(types.get(column.name.lower()) == column.type for column in staged.columns)

    def _insert_rejected(self, connection: Connection, change: TableChange, snapshot_id: int, now: datetime) -> None:
        assert change.rejected is not None
        connection.execute(
            f"""
            INSERT INTO {self.core.system}.quarantine
                (environment, schema_name, table_name, snapshot_id, id, load_id, state, position, reason, column_name, raw, recorded_at)
            SELECT ?, ?, ?, ?, uuid()::VARCHAR, ?, 'waiting', position, reason, column_name, raw, ?
            FROM {change.rejected.staged.relation}
            """,
            [self.core.environment, change.table.schema, change.table.name, snapshot_id, change.load.load_id, now],
        )

    def _commit(self, connection: Connection, base: int, changes: Sequence[TableChange], message: str) -> None:
        extra = to_json(
            {
                "headwater": 1,
                "commit": self.mark,
                "environment": self.core.environment,
                "loads": sorted({change.load.load_id for change in changes})[:50],
                "tables": [str(change.table) for change in changes][:50],
            }
        )
        text = message or f"{changes[0].load.operation} {_named([change.table for change in changes])}"
        connection.execute(f"CALL {quote(self.core.database)}.set_commit_message(?, ?, extra_info => ?)", [self.author, text, extra])
        boundaries.reached("commit.before")
        finish_commit(self.core, connection, base, self.mark)

    def _carry_on(self, state: LakeState, snapshot_id: int, rows: SystemRows) -> None:
        newer = advance(state, snapshot_id, rows)
        if newer is None:
            self.core.forget()
        else:
            self.core.remember(newer)


def finish_commit(core: Core, connection: Connection, base: int, mark: str) -> None:
    """COMMIT; when it can't be told from the answer whether it happened, finds out by looking.

    Raises CommitConflict, CommitUnknown or what the engine says.
    """
    try:
        connection.execute("COMMIT")
    except (CommitConflict, StorageFull, LakeReadOnly) as error:
        if not _is_connection_lost(error):
            raise
        look(core, base, mark, error)
    except Interrupted:
        raise
    except HeadwaterError as error:
        look(core, base, mark, error)


def look(core: Core, base: int, mark: str, error: HeadwaterError) -> None:
    """Returns when snapshot base + 1 is ours; raises the error when it isn't; CommitUnknown when nobody answers."""
    deadline = time.monotonic() + LOOK_SECONDS
    pause = 0.05
    while True:
        try:
            if core.find_commit(base + 1, mark):
                return
        except HeadwaterError as failure:
            if time.monotonic() > deadline:
                raise CommitUnknown(
                    "the connection to the catalog was lost inside a commit, and it can't be asked how it ended",
                    found=failure.found or failure.what,
                    state=f"all of it is committed as snapshot {base + 1}, or nothing is",
                    hint="when the catalog answers again, run again: what was committed is found and not done twice",
                ) from error
            time.sleep(pause)
            pause = min(pause * 2, 1.0)
            continue
        if isinstance(error, CommitConflict):
            raise error
        if _is_connection_lost(error):
            raise CommitConflict(
                "the connection to the catalog was lost before a commit", found="busy: " + (error.found or ""), state="nothing was committed"
            ) from error
        raise error


_LOST = ("connection", "server closed", "terminating", "eof detected", "broken pipe", "timed out", "timeout expired")


def _is_connection_lost(error: HeadwaterError) -> bool:
    text = (error.found or "").lower()
    return any(mark in text for mark in _LOST)


def _refuse_other_rows(change: TableChange, deleted: int) -> None:
    """Raises Fenced where the rows that make room aren't those that were counted: what comes in their place would lose or double some."""
    counted = change.delete.rows if isinstance(change.delete, DeleteKeys) else None
    if counted is not None and counted != deleted:
        raise Fenced(
            f"the rows of {change.table} aren't those that this load counted",
            expected=f"{plural(counted, 'row')} to replace",
            found=f"{deleted:,}",
            state="nothing was committed",
            hint="run again: the load then begins from the rows as they are",
        )


def delete_statement(target: str, delete: DeleteKeys | DeleteWhere) -> str:
    """The DELETE for rows of `target` (quoted, qualified)."""
    match delete:
        case DeleteKeys(columns, keys):
            same = " AND ".join(f"t.{quote(column)} IS NOT DISTINCT FROM k.{quote(column)}" for column in columns)
            listed = ", ".join(quote(column) for column in columns)
            return f"DELETE FROM {target} t USING (SELECT DISTINCT {listed} FROM {keys.relation}) k WHERE {same}"
        case DeleteWhere(condition, parameters):
            return f"DELETE FROM {target} WHERE ({bind_parameters(condition, parameters)})"


def arrange(
    connection: Connection, target: str, change: TableChange, columns: Sequence[Column], partition_by: tuple[str, ...], sort_by: tuple[str, ...]
) -> None:
    """Sets partitioning and sorting of `target` where the change's differ from those given, which it has."""
    for verb, wanted, has in (("PARTITIONED", change.partition_by, partition_by), ("SORTED", change.sort_by, sort_by)):
        if wanted != has:
            keys = ", ".join(_expression(item, columns) for item in wanted)
            connection.execute(f"ALTER TABLE {target} SET {verb} BY ({keys})" if keys else f"ALTER TABLE {target} RESET {verb} BY")


def _expression(item: str, columns: Sequence[Column]) -> str:
    """A partition or sort expression; a bare column name is quoted."""
    return quote(item) if any(column.name.lower() == item.lower() for column in columns) else item


def _same_position(known: Mapping[str, object] | None, previous: Mapping[str, object] | None) -> bool:
    if known is None or previous is None:
        return known is None and previous is None
    if isinstance(known, PositionValue) and isinstance(previous, PositionValue) and known.snapshot_id == previous.snapshot_id:
        return True
    return to_json(dict(known)) == to_json(dict(previous))


def _refuse_twice(changes: Sequence[TableChange]) -> None:
    if not changes:
        raise UsageError("a commit needs at least one change")
    keys = [change.table.key for change in changes]
    if len(set(keys)) != len(keys):
        raise UsageError("one commit changes each table once", found=_named([change.table for change in changes]))


def _named(tables: Sequence[TableName]) -> str:
    shown = ", ".join(str(table) for table in tables[:3])
    return shown if len(tables) <= 3 else f"{shown} and {plural(len(tables) - 3, 'more table')}"
