"""The lake: the one face of this room.

What only some of its methods need is imported in them: opening a lake to find that nothing changed takes none of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from headwater.engine import Connection, Engine, Result
from headwater.errors import TableNotFound
from headwater.spec.names import TableName
from headwater.spec.project import LakeConfig
from headwater.storage.catalog import CatalogAddress
from headwater.storage.changes import Commit, LoadRecord, RowChanges, Staged, TableChange, TableState
from headwater.storage.core import Core
from headwater.storage.opening import open_core
from headwater.storage.relations import is_visible, published_columns, select_at, select_changes, select_coming_changes, select_future
from headwater.storage.state import LakeState

if TYPE_CHECKING:
    import pyarrow as pa

    from headwater.security.audited import AuditHead
    from headwater.spec.policies import Action
    from headwater.storage.backup import BackupReport
    from headwater.storage.consistency import Inconsistency
    from headwater.storage.exported import DeadLetter, Exported
    from headwater.storage.gate import Access, Described, Door, HotReport, LimitedDoors, VisibleTable, WrittenOut
    from headwater.storage.history import TableDiff, TableVersion
    from headwater.storage.maintenance import MaintenanceReport, Pin
    from headwater.storage.quarantine import QuarantinedRow
    from headwater.storage.reading import Reading

#: Snapshots younger than this stay whatever is asked: somebody may be reading them.
READER_GRACE: Final = timedelta(hours=1)
#: Files nobody owns stay this long: a run may have staged them and not committed yet.
ORPHAN_GRACE: Final = timedelta(days=1)


class Lake:
    """One environment's view of one lake, attached to an engine. Thread-safe; several processes may have the same lake open.

    Made by `Lake.open`. `database` is the attached name, for SQL of our own.
    """

    def __init__(self, core: Core, reopen: Callable[[Engine], Core]) -> None:
        """`reopen` attaches the same lake to another engine, to be read."""
        self._core = core
        self._reopen = reopen
        self._lock = threading.Lock()
        self._opened_door: Door | None = None
        self._opened_limited: LimitedDoors | None = None

    @classmethod
    def open(
        cls,
        config: LakeConfig,
        engine: Engine,
        *,
        project_dir: Path,
        environment: str,
        read_only: bool = False,
        create: bool = True,
        database: str = "lake",
    ) -> Lake:
        """Attaches the lake of `config` (references resolved) to `engine`, making it when it isn't there and `create`.

        Waits for other processes that create or write it at the same moment. A lake whose files can't be written is opened read-only. Raises
        LakeUnavailable, LakeReadOnly (nothing can be made here), LakeFormatError (newer than this code, or of another DuckLake), NetworkFileSystem.
        """

        def reopen(engine: Engine) -> Core:
            return open_core(config, engine, project_dir, environment, database, read_only=True, create=False)

        return cls(open_core(config, engine, project_dir, environment, database, read_only=read_only, create=create), reopen)

    @property
    def _door(self) -> Door:
        from headwater.storage.gate import Door

        with self._lock:
            if self._opened_door is None:
                self._opened_door = Door(self._core)
            return self._opened_door

    @property
    def _limited(self) -> LimitedDoors:
        from headwater.storage.gate import LimitedDoors

        door = self._door
        with self._lock:
            if self._opened_limited is None:
                self._opened_limited = LimitedDoors(door, lambda memory: _reopened(self.engine.sibling(memory), self._reopen))
            return self._opened_limited

    @property
    def database(self) -> str:
        return self._core.database

    @property
    def environment(self) -> str:
        return self._core.environment

    @property
    def engine(self) -> Engine:
        return self._core.engine

    @property
    def read_only(self) -> bool:
        """Whether commits are refused with LakeReadOnly."""
        return self._core.read_only

    @property
    def address(self) -> CatalogAddress:
        """Where catalog and data are."""
        return self._core.address

    def close(self) -> None:
        """Detaches the lake, so that its catalog is free at once. Staged rows are gone with it."""
        if self._opened_limited is not None:
            self._opened_limited.close()
        if self._opened_door is not None:
            self._opened_door.close()
        self._core.close()

    def __enter__(self) -> Lake:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- what there is -----------------------------------------------------------------------------------------------

    def head(self) -> int:
        """The newest snapshot's id."""
        return self._core.head()

    def state(self) -> LakeState:
        """All tables of this environment at the newest snapshot; quick when nothing was committed since the last call."""
        return self._core.state()

    def table_state(self, table: TableName) -> TableState:
        """One table's state. Raises TableNotFound."""
        found = self.state().find(table)
        if found is None:
            raise TableNotFound(f"there is no table {table} in the lake", hint="headwater ls shows all tables")
        return found

    # -- staging and committing --------------------------------------------------------------------------------------

    def stage(self, connection: Connection, table: TableName, query: str, *, as_files: bool | None = None, sort_by: Sequence[str] = ()) -> Staged:
        """Runs `query` on `connection` and keeps its rows outside the lake, with the types the lake stores.

        `as_files` True writes them as the table's Parquet files at once (right for loads and anything big; ignored where the lake can't take files
        over), False keeps them in scratch memory, None decides by the number of rows. Raises ModelOutputInvalid for columns without a name or with
        equal ones.
        """
        return self._core.staging.stage(connection, table, query, as_files=as_files, sort_by=sort_by, folder=self._core.folder_of(table))

    def stage_batches(self, connection: Connection, table: TableName, reader: pa.RecordBatchReader) -> Staged:
        """Keeps all batches of `reader` outside the lake; written as they come, never all in memory."""
        return self._core.staging.stage_batches(connection, table, reader, self._core.folder_of(table))

    def drop_staged(self, *staged: Staged) -> None:
        """Frees what was staged; files that a commit took over stay. Idempotent. Call it when nobody reads `staged.relation` any more."""
        self._core.staging.drop(*staged)

    def commit(self, changes: Sequence[TableChange], *, author: str = "", message: str = "") -> Commit:
        """Commits all changes in one transaction: all of it happens, or nothing.

        While others commit first it is done again on the newer lake, up to a minute. A group whose loads are already the newest of their tables (an
        earlier try that got through) is not done twice. Raises Fenced (a higher token or another position is committed), EvolutionRefused,
        CommitConflict, CommitUnknown, StorageFull, LakeReadOnly. Staged rows stay for another try: `drop_staged` is the caller's.
        """
        from headwater.storage.commit import CommitWriter

        return CommitWriter(self._core, tuple(changes), author, message).run()

    # -- publication -------------------------------------------------------------------------------------------------

    def publish(self, tables: Sequence[TableName], *, reason: str = "", author: str = "", tokens: Mapping[TableName, int] | None = None) -> Commit:
        """Readers see the head of `tables` from now on, whatever pinned them, all at once; the verb `publish`. Idempotent.

        Judging the checks first is the caller's. `tokens` of leases are compared with the newest the lake has seen. Raises TableNotFound, Fenced,
        CommitConflict.
        """
        from headwater.storage.publishing import publish

        return publish(self._core, tables, reason, author, tokens or {})

    def pin(
        self,
        tables: Sequence[TableName],
        snapshot: int,
        *,
        reason: str = "",
        author: str = "",
        tokens: Mapping[TableName, int] | None = None,
    ) -> Commit:
        """Readers see `tables` as they were at `snapshot`, until somebody publishes them: the verb `rollback`. Rows and positions stay.

        Raises SnapshotNotFound when that has expired or the table wasn't there yet, TableNotFound, Fenced, CommitConflict.
        """
        from headwater.storage.publishing import pin

        return pin(self._core, tables, snapshot, reason, author, tokens or {})

    def restore_change(self, connection: Connection, table: TableName, load: LoadRecord, *, token: int, snapshot: int | None = None) -> TableChange:
        """The change that brings the head back to what readers see (or to `snapshot`): rows, columns and definition; the verb `discard`.

        Its rows are staged: drop them after the commit. The position is left alone; set one with `dataclasses.replace`. Raises TableNotFound,
        SnapshotNotFound.
        """
        from headwater.storage.publishing import make_restore_change

        return make_restore_change(self._core, connection, self.table_state(table), load, token, snapshot)

    # -- SQL that stands for a table ---------------------------------------------------------------------------------

    def published_sql(self, state: TableState, *, snapshot: int | None = None) -> str:
        """SELECT text for a table as readers see it: at its pin, else at `snapshot` (default: the newest one now).

        For a physical table; a view's own SQL is in its definition. Raises TableNotFound when nothing of it is published.
        """
        if not is_visible(state):
            raise TableNotFound(f"{state.table} is not published", found=state.publication, hint=f"headwater publish {state.table}")
        at = state.published_snapshot if state.published_snapshot is not None else snapshot
        return select_at(self.database, state.table, published_columns(state), self.head() if at is None else at)

    def head_sql(self, table: TableName) -> str:
        """SELECT text for the table's rows at head, whatever is published. It moves with the head."""
        state = self.state().find(table)
        return select_at(self.database, table, state.columns if state else (), None)

    def at_sql(self, table: TableName, snapshot: int) -> str:
        """SELECT text for the table's rows and columns at a snapshot."""
        return select_at(self.database, table, (), snapshot)

    def future_sql(self, change: TableChange) -> str:
        """SELECT text for the table as `change` will leave it, for checks before the commit. Raises EvolutionRefused."""
        state = self._core.recent_state()
        return select_future(self.database, change, state.find(change.table), state.snapshot_id)

    def changes_sql(self, table: TableName, after: int, upto: int) -> RowChanges:
        """What came and went of the table's rows from one snapshot to another (which may be the older one), in the columns of the newer.

        Reading it raises QueryError where the snapshots between them have expired.
        """
        older, newer = sorted((after, upto))
        deleted = self.read_as_system(
            f"""
            SELECT coalesce(sum(rows_deleted), 0)
            FROM {self._core.system}.loads
            WHERE environment = ? AND lower(schema_name) = ? AND lower(table_name) = ? AND snapshot_id > ? AND snapshot_id <= ?
            """,
            [self.environment, *table.key, older, newer],
        ).scalar()
        are_additions = not deleted and after < upto
        sign = 1 if after < upto else -1
        return RowChanges(select_changes(self.database, table, older + 1, newer, sign=sign, are_additions=not deleted), are_additions)

    def coming_changes_sql(self, change: TableChange) -> RowChanges:
        """What `change` will do to the table's rows, for as long as its staged rows are kept."""
        state = self._core.recent_state()
        return RowChanges(select_coming_changes(self.database, change, state.find(change.table), state.snapshot_id), change.delete is None)

    # -- reading back ------------------------------------------------------------------------------------------------

    def read_as(
        self,
        access: Access,
        sql: str,
        *,
        parameters: Sequence[Any] | Mapping[str, Any] = (),
        at: int | datetime | None = None,
        head: bool = False,
        macros: Iterable[str] = (),
        started: Callable[[Callable[[], None]], None] | None = None,
    ) -> Reading:
        """Runs one query over what is published, as far as `access` lets it be seen, consistent across all tables it names.

        The one way by which rows reach anybody. `parameters` are bound to `?` and `$1`, or by name. `at` gives what was published at a snapshot or
        time (aware). `head`, the owner's alone, reads the raw lake instead. `macros` are CREATE MACRO statements the query may use. System tables
        are read as `headwater.loads` and so on. It may compute for long before it returns: `started` is called before that with the function that
        interrupts it from another thread. Written to the audit before it returns. Raises StatementRefused (not one query, or more than
        reading tables), TableNotFound (also for what may not be seen), SnapshotNotFound, LimitExceeded, and the engine's QueryErrors; to anybody but
        the owner without values and names, which only the audit is told.
        """

        def read(door: Door) -> Reading:
            return door.read(access, sql, parameters, at, head, macros, started)

        memory = access.limits.memory
        return read(self._door) if memory is None else self._limited.read(access, memory, sql, read)

    def detokenize(self, access: Access, tokens: Sequence[str]) -> list[str | None]:
        """The values that tokens stand for, in their order; None for what is no token, or one that `access` has no right to turn back.

        `access.principal` states the purpose. Written to the audit before and after: who, for what, how many, never which. Raises StatementRefused
        without any right to it, or without a purpose.
        """
        return self._door.detokenize(access, tokens)

    def describe_as(
        self, access: Access, sql: str, parameter_types: Sequence[str | None] = (), *, macros: Iterable[str] = ()
    ) -> Described:  # fmt: skip
        """Columns and parameters of a query; runs nothing. `parameter_types` are those known, in order; None where one isn't. Raises as `read_as`."""
        return self._door.describe(access, sql, parameter_types, macros)

    def written_out_as(self, access: Access, sql: str, *, macros: Iterable[str] = ()) -> WrittenOut | None:
        """What would run for `access` in place of a query, views and policies written out; None where that isn't all that its answer goes by. Runs
        nothing, and isn't audited: it is for us, not to be shown. Raises as `read_as`, with all that is known."""
        return self._door.written_out(access, sql, macros)

    def tables_as(self, access: Access, *, macros: Iterable[str] = ()) -> list[VisibleTable]:
        """The tables that `access` may select from, each with the columns it shows, by name."""
        return self._door.tables(access, macros)

    def keep_connections(self) -> None:
        """For whoever answers many small queries: connections that stand at the newest snapshot are kept for the next one, some seconds at most, and
        which files a table's rows lie in."""
        self._door.standing.is_used = True
        self._door.files.is_used = True

    def choose_hot(self, tables: Collection[TableName], budget_bytes: int) -> None:
        """Which tables' published rows `refresh_hot` keeps in memory, as far as they fit in the budget together. What readers see stays the same."""
        self._door.hot.choose(tables, budget_bytes)

    def refresh_hot(self) -> HotReport:
        """Makes what is kept in memory what is published now; whoever serves calls it again and again. Raises LakeUnavailable."""
        return self._door.hot.refresh()

    def wait_hot(self, seconds: float) -> None:
        """Until `refresh_hot` is wanted, since a query didn't find in memory what should be there, or `seconds` are over."""
        self._door.hot.is_missed.wait(seconds)

    def wake_hot(self) -> None:
        """Ends `wait_hot`."""
        self._door.hot.is_missed.set()

    def hot_report(self) -> HotReport:
        """What is kept in memory, and what isn't though it should be."""
        return self._door.hot.report()

    def position_at(self, table: TableName, snapshot: int) -> Mapping[str, Any]:
        """The table's position as of a snapshot; empty when it had none."""
        return self._core.load_position(table, snapshot)

    def exported(self, name: str) -> Exported:
        """What the export of that name has acknowledged in this environment."""
        from headwater.storage.exported import Exported

        return Exported(self._core, name)

    def dead_letters_as(self, access: Access, name: str, table: TableName) -> list[DeadLetter]:
        """Rows of a table that an export's destination refused, by their keys. Audited; `access` must see the whole table. Raises TableNotFound."""
        self._door.vouch(access, table, "export", f"export dead list {name}")
        return self.exported(name).dead_letters()

    def snapshots(self, table: TableName) -> list[TableVersion]:
        """The commits that changed the table, newest first, with the snapshot at which each can still be read. Raises TableNotFound."""
        from headwater.storage.history import list_versions

        return list_versions(self._core, self.table_state(table))

    def diff(
        self, table: TableName, first: int, second: int, *, key: Sequence[str] | None = None, limit: int = 20, access: Access | None = None
    ) -> TableDiff:
        """What changed in a table from snapshot `first` to `second`, with up to `limit` rows.

        Rows are matched by `key`, else by the key of the table's definition, else as whole rows. `access` is who asks (None: Headwater itself): they
        must see the whole table. Raises TableNotFound, SnapshotNotFound, UsageError.
        """
        if access is not None:
            self._door.vouch(access, table, "select", f"diff {table} {first} {second}", (first, second))
        from headwater.storage.history import diff_table

        return diff_table(self._core, self.table_state(table), first, second, None if key is None else tuple(key), limit)

    def quarantine(
        self, table: TableName | None = None, *, state: str | None = "waiting", ids: Sequence[str] | None = None, access: Access | None = None
    ) -> list[QuarantinedRow]:
        """Rows that broke their contract, oldest first; `state` None gives those done with too.

        `access` is who asks (None: Headwater itself): what they may not see whole, by the right `quarantine`, is left out.
        """
        from headwater.storage.quarantine import read_quarantine

        found = read_quarantine(self._core, table, state, ids)
        if access is None:
            return found
        shown = {name for name in sorted({row.table for row in found}) if self.is_open_to(access, name, "quarantine", f"quarantine {name}")}
        return [row for row in found if row.table in shown]

    def is_open_to(self, access: Access, table: TableName, action: Action, what: str) -> bool:
        """Whether `access` sees the whole table by the right to `action`; audited, with `what` is done."""
        try:
            self._door.vouch(access, table, action, what)
        except TableNotFound:
            return False
        return True

    def quarantine_counts(self) -> dict[TableName, int]:
        """How many rows of each table wait."""
        from headwater.storage.quarantine import count_quarantine

        return count_quarantine(self._core)

    # -- the audit's heads -------------------------------------------------------------------------------------------

    def anchor_audit(self, head: AuditHead, *, author: str = "") -> int | None:
        """Puts the head of the audit's chain into the lake, in a commit of its own; gives its snapshot, None where it stands there already.

        Raises LakeReadOnly, CommitConflict.
        """
        from headwater.storage.anchors import anchor

        return anchor(self._core, head, author)

    def audit_anchors(self) -> list[AuditHead]:
        """All heads that were put into the lake, the oldest first."""
        from headwater.storage.anchors import read_anchors

        return read_anchors(self._core)

    # -- keeping -----------------------------------------------------------------------------------------------------

    def maintain(
        self,
        *,
        keep: timedelta = timedelta(days=7),
        reader_grace: timedelta = READER_GRACE,
        orphan_grace: timedelta = ORPHAN_GRACE,
        live_since: datetime | None = None,
        dry_run: bool = False,
    ) -> MaintenanceReport:
        """Merges small files, rewrites tables of mostly deleted rows, expires history older than `keep`, removes files nobody needs.

        Safe while others read and write: what is pinned in any environment stays, and so does whatever is younger than `reader_grace`; files that no
        commit owns stay for `orphan_grace`, and none younger than `live_since` (the start of the oldest live run) is touched. Idempotent; may be
        killed at any time. Raises LakeReadOnly, CommitConflict.
        """
        from headwater.storage.maintenance import Maintenance

        return Maintenance(self._core, keep, reader_grace, orphan_grace, live_since, dry_run).run()

    def pins(self) -> list[Pin]:
        """Every publication, of all environments, that keeps an older snapshot, and the bytes that it keeps."""
        from headwater.storage.maintenance import list_pins

        return list_pins(self._core)

    def check_consistency(self, *, files: bool = True) -> list[Inconsistency]:
        """What doesn't fit together between catalog, system tables and (with `files`) the files themselves; empty in a sound lake."""
        from headwater.storage.consistency import check_consistency

        return check_consistency(self._core, files=files)

    def backup(self, directory: Path, *, state_backup: Callable[[Path], None] | None = None, hard_links: bool = False) -> BackupReport:
        """Copies catalog, pins and data of one instant into the new or empty folder `directory`, beside writers.

        `state_backup` is called with the folder first, to put the control plane's state there: a lake newer than its state is noticed and mended,
        the reverse isn't needed. `hard_links` links local files instead of copying them. Raises LakeUnavailable, StorageFull, UsageError.
        """
        from headwater.storage.backup import backup_lake

        return backup_lake(self._core, directory, state_backup, hard_links)

    def read_as_system(self, sql: str, parameters: Sequence[object] | None = None) -> Result:
        """Runs SQL of our own, any statement, with no policy; tables of the lake are `lake.schema.table`."""
        return self._core.engine.connection().execute(sql, list(parameters) if parameters is not None else None)


def _reopened(engine: Engine, reopen: Callable[[Engine], Core]) -> Core:
    try:
        return reopen(engine)
    except BaseException:
        engine.close()
        raise
