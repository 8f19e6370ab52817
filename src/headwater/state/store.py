"""The state store: runs, their tasks and events, and the leases of tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import sqlalchemy as sa

from headwater.errors import LeaseHeld, StateError
from headwater.spec.names import TableName
from headwater.spec.runs import Event, RunStatus, RunSummary, TaskResult
from headwater.state import tables as t
from headwater.state.address import is_postgres, sqlite_path
from headwater.state.clock import Clock, utc_now
from headwater.state.leases import HolderInfo, Lease, is_free, table_key
from headwater.state.opening import ensure_version, open_postgres, open_sqlite, translated
from headwater.state.processes import current_process, is_alive
from headwater.state.rows import LAST_RESULTS, event_row, read_event, read_results, read_run, read_task, task_row, written

T = TypeVar("T")
#: A running run whose heart hasn't beaten for so long is dead, when its process can't be looked at.
HEARTBEAT_LIMIT_SECONDS = 120.0
_ACQUIRING = 7_203_418


class StateStore:
    """One store, shared by all runs of a project; safe from several threads and processes. Every write is one transaction.

    Losing it loses history and leases, never data: fencing tokens start above the lake's own (`floor`), and positions live in the lake.
    """

    def __init__(self, engine: sa.Engine, where: str, clock: Clock) -> None:
        self._engine = engine
        self._reader = engine.execution_options(only_reads=True)
        self._clock = clock
        self.where = where

    @classmethod
    def open(cls, url: str | Path, project_dir: Path, *, clock: Clock = utc_now) -> StateStore:
        """Opens the store, creating or upgrading it where needed.

        `url` is a path (relative to the project), `sqlite:///path` or `postgresql://user@host/db?schema=..` with references resolved.
        Raises StateUnavailable, StateError (damaged, not writable, or written by newer code), MissingDependency.
        """
        text = str(url)
        if is_postgres(text):
            where = "in Postgres"
            engine = open_postgres(text)
        else:
            path = sqlite_path(text, project_dir)
            where = str(path)
            with translated(where):
                engine = open_sqlite(path)
        try:
            with translated(where):
                ensure_version(engine, where)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, where, clock)

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> StateStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- runs --------------------------------------------------------------------------------------------------------

    def start_run(
        self,
        run_id: str,
        *,
        environment: str,
        command: str,
        selection: Sequence[str] = (),
        started_at: datetime,
        git_commit: str | None = None,
        git_dirty: bool | None = None,
        author: str | None = None,
    ) -> None:
        """Writes down that a run of this very process began."""
        process = current_process()
        row = {
            "id": run_id,
            "environment": environment,
            "command": command,
            "selection": list(selection),
            "status": "running",
            "started_at": started_at,
            "heartbeat_at": self._clock(),
            "host": process.host,
            "pid": process.pid,
            "process": process.identity,
            "git_commit": git_commit,
            "git_dirty": git_dirty,
            "author": author,
        }
        self._write(lambda connection: connection.execute(sa.insert(t.runs), row))

    def finish_run(self, run_id: str, status: RunStatus, *, finished_at: datetime, snapshot_id: int | None = None) -> None:
        """Writes how a run ended and lets go of its leases, in one transaction."""

        def work(connection: sa.Connection) -> None:
            values = {"status": status, "finished_at": finished_at, "snapshot_id": snapshot_id}
            connection.execute(sa.update(t.runs).where(t.runs.c.id == run_id).values(values))
            _release(connection, run_id)

        self._write(work)

    def note_git(self, run_id: str, commit: str | None, is_dirty: bool | None, author: str | None) -> None:
        values = {"git_commit": commit, "git_dirty": is_dirty, "author": author}
        self._write(lambda connection: connection.execute(sa.update(t.runs).where(t.runs.c.id == run_id).values(values)))

    def mark_crashed(self, environment: str) -> tuple[str, ...]:
        """Finds runs that say they run and don't, marks them `crashed`, and frees their leases; gives their ids.

        A run is gone when its process is, or, where that can't be looked at, when its heart hasn't beaten for `HEARTBEAT_LIMIT_SECONDS`.
        """
        running = sa.select(t.runs.c.id, t.runs.c.process, t.runs.c.heartbeat_at)
        running = running.where(t.runs.c.environment == environment, t.runs.c.status == "running")

        def work(connection: sa.Connection) -> tuple[str, ...]:
            oldest = self._clock() - timedelta(seconds=HEARTBEAT_LIMIT_SECONDS)
            dead = [row.id for row in connection.execute(running) if _is_gone(row.process, row.heartbeat_at, oldest)]
            for run_id in dead:
                connection.execute(sa.update(t.runs).where(t.runs.c.id == run_id).values(status="crashed", finished_at=self._clock()))
                _release(connection, run_id)
            return tuple(dead)

        with translated(self.where), self._reader.begin() as connection:
            if connection.execute(running.limit(1)).first() is None:
                return ()
        return self._write(work)

    def rebuild_run(self, run_id: str, *, environment: str, started_at: datetime, finished_at: datetime, snapshot_id: int) -> None:
        """Writes down a finished run that only the lake knows of (the store was lost or is older). Does nothing when it is known."""

        def work(connection: sa.Connection) -> None:
            if connection.execute(sa.select(t.runs.c.id).where(t.runs.c.id == run_id)).first() is None:
                row: dict[str, Any] = {
                    "id": run_id,
                    "environment": environment,
                    "command": "rebuilt from the lake",
                    "selection": [],
                    "status": "succeeded",
                }
                row |= {"started_at": started_at, "heartbeat_at": finished_at, "finished_at": finished_at, "snapshot_id": snapshot_id}
                connection.execute(sa.insert(t.runs), row | {"host": "", "pid": 0, "process": ""})

        self._write(work)

    def known_runs(self, run_ids: Iterable[str]) -> set[str]:
        """Which of the runs this store knows."""
        wanted = sorted(set(run_ids))
        found: set[str] = set()
        with translated(self.where), self._reader.begin() as connection:
            for start in range(0, len(wanted), 500):
                found.update(connection.execute(sa.select(t.runs.c.id).where(t.runs.c.id.in_(wanted[start : start + 500]))).scalars())
        return found

    def newest_snapshot(self, environment: str) -> int | None:
        """The highest snapshot of the lake that a finished run noted."""
        query = sa.select(sa.func.max(t.runs.c.snapshot_id)).where(t.runs.c.environment == environment)
        with translated(self.where), self._reader.begin() as connection:
            found = connection.execute(query).scalar()
            return None if found is None else int(found)

    def runs(self, *, environment: str | None = None, limit: int = 20) -> list[RunSummary]:
        """The newest runs, newest first, without their tasks."""
        query = sa.select(t.runs).order_by(t.runs.c.started_at.desc(), t.runs.c.id.desc()).limit(limit)
        if environment is not None:
            query = query.where(t.runs.c.environment == environment)
        with translated(self.where), self._reader.begin() as connection:
            return [read_run(row, ()) for row in connection.execute(query).mappings()]

    def run(self, run_id: str) -> RunSummary:
        """One run with its tasks, by its id or the beginning of it. Raises StateError when there is none, or several begin so."""
        with translated(self.where), self._reader.begin() as connection:
            exact = connection.execute(sa.select(t.runs).where(t.runs.c.id == run_id)).mappings().all()
            found = exact or connection.execute(sa.select(t.runs).where(t.runs.c.id.startswith(run_id, autoescape=True)).limit(2)).mappings().all()
            if len(found) != 1:
                raise StateError(
                    f"no run {run_id!r}" if not found else f"several runs begin with {run_id!r}", hint="`headwater history` lists the runs"
                )
            rows = connection.execute(sa.select(t.tasks).where(t.tasks.c.run_id == found[0]["id"]).order_by(t.tasks.c.ordinal)).mappings()
            return read_run(found[0], tuple(read_task(row) for row in rows))

    def last_results(self, environment: str) -> dict[TableName, tuple[str, TaskResult]]:
        """For each table the id of the last run that did more than skip it, and how that went."""
        query = sa.text(LAST_RESULTS).columns(*t.tasks.c)
        with translated(self.where), self._reader.begin() as connection:
            return read_results(connection.execute(query, {"environment": environment}).mappings())

    # -- tasks and events --------------------------------------------------------------------------------------------

    def record(self, run_id: str, *, events: Sequence[Event] = (), tasks: Sequence[tuple[int, TaskResult]] = ()) -> None:
        """Writes events and finished tasks, and beats the run's heart, in one transaction. A task's number within the run is its key."""
        event_rows = [event_row(event) for event in events]
        task_rows = [task_row(run_id, ordinal, result) for ordinal, result in tasks]

        def work(connection: sa.Connection) -> None:
            if event_rows:
                connection.execute(sa.insert(t.events), event_rows)
            if task_rows:
                connection.execute(sa.insert(t.tasks), task_rows)
            connection.execute(sa.update(t.runs).where(t.runs.c.id == run_id).values(heartbeat_at=self._clock()))

        self._write(work)

    def events(self, run_id: str, table: TableName | None = None) -> list[Event]:
        """What happened in a run, in order; of one table where given."""
        query = sa.select(t.events).where(t.events.c.run_id == run_id).order_by(t.events.c.id)
        if table is not None:
            query = query.where(t.events.c.table_name == written(table))
        with translated(self.where), self._reader.begin() as connection:
            return [read_event(row) for row in connection.execute(query).mappings()]

    # -- leases ------------------------------------------------------------------------------------------------------

    def acquire(self, environment: str, tables: Iterable[TableName], holder: str, ttl_seconds: float, floor: Mapping[TableName, int]) -> Lease:
        """Takes the leases of all `tables` or of none, in one transaction.

        `holder` is a run's id. `floor` holds the newest token the lake has seen for a table: ours is higher, whatever this store remembers.
        A lease whose holder is dead, or whose time is over, is taken over. Raises LeaseHeld, naming the run that holds one of them.
        """
        keys = {table_key(table): table for table in tables}

        def work(connection: sa.Connection) -> Lease:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ACQUIRING})
            now = self._clock()
            known = connection.execute(sa.select(t.leases).where(t.leases.c.environment == environment))
            rows = {row.table_key: row for row in known if row.table_key in keys}
            holders = self._holders(connection, {row.holder for row in rows.values() if row.holder is not None and row.holder != holder})
            taken_over: list[TableName] = []
            for key, row in rows.items():
                if row.holder is None or row.holder == holder:
                    continue
                info = holders[row.holder]
                if not is_free(holder=row.holder, expires_at=row.expires_at, ttl_seconds=row.ttl_seconds, holder_alive=info.is_alive, now=now):
                    raise _held(keys[key], info, row.expires_at)
                if info.is_alive is not False:
                    taken_over.append(keys[key])
            tokens = {table: max(rows[key].token if key in rows else 0, floor.get(table, 0)) + 1 for key, table in keys.items()}
            expires_at = now + timedelta(seconds=ttl_seconds)
            common = {"environment": environment, "holder": holder, "ttl_seconds": ttl_seconds, "expires_at": expires_at}
            values = [common | {"table_key": key, "token": tokens[table]} for key, table in keys.items()]
            _upsert(connection, [v for v in values if v["table_key"] in rows], [v for v in values if v["table_key"] not in rows])
            return Lease(environment, holder, tokens, ttl_seconds, tuple(taken_over))

        return self._write(work)

    def renew(self, lease: Lease) -> tuple[TableName, ...]:
        """Prolongs a lease by its time to live; gives the tables another holder has taken over (empty: all are still ours)."""

        def work(connection: sa.Connection) -> tuple[TableName, ...]:
            now = self._clock()
            ours = (t.leases.c.environment == lease.environment) & (t.leases.c.holder == lease.holder)
            renewed = connection.execute(sa.update(t.leases).where(ours).values(expires_at=now + timedelta(seconds=lease.ttl_seconds))).rowcount
            connection.execute(sa.update(t.runs).where(t.runs.c.id == lease.holder).values(heartbeat_at=now))
            if renewed >= len(lease.tokens):
                return ()
            kept = set(connection.execute(sa.select(t.leases.c.table_key).where(ours)).scalars())
            return tuple(table for table in lease.tokens if table_key(table) not in kept)

        return self._write(work)

    def release(self, lease: Lease) -> None:
        """Lets go of what is still ours; tokens are remembered. Idempotent."""
        self._write(lambda connection: _release(connection, lease.holder))

    def held_leases(self, environment: str) -> dict[str, HolderInfo]:
        """Tables that are leased just now (by their key `schema.table` in lower case), and by whom."""
        with translated(self.where), self._reader.begin() as connection:
            query = sa.select(t.leases.c.table_key, t.leases.c.holder).where(t.leases.c.environment == environment, t.leases.c.holder.is_not(None))
            rows = connection.execute(query).all()
            holders = self._holders(connection, {row.holder for row in rows})
            return {row.table_key: holders[row.holder] for row in rows}

    def _holders(self, connection: sa.Connection, run_ids: set[str]) -> dict[str, HolderInfo]:
        if not run_ids:
            return {}
        found: dict[str, HolderInfo] = {}
        for row in connection.execute(sa.select(t.runs).where(t.runs.c.id.in_(sorted(run_ids)))):
            found[row.id] = HolderInfo(row.id, row.host, row.pid, row.started_at, is_alive(row.process))
        return {run_id: found.get(run_id) or HolderInfo(run_id, "", None, None, None) for run_id in run_ids}

    # -- copies ------------------------------------------------------------------------------------------------------

    def backup_to(self, path: Path) -> None:
        """Writes all of one instant into a new SQLite file, whatever the store itself is. Safe beside writers."""
        with translated(str(path)):
            path.unlink(missing_ok=True)
        with StateStore.open(path, path.parent, clock=self._clock) as copy:
            _copy(self, copy)
            with translated(str(path)), copy._engine.connect() as connection:
                connection.connection.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
                connection.connection.driver_connection.execute("PRAGMA journal_mode = DELETE")  # type: ignore[union-attr]

    def restore_from(self, path: Path) -> None:
        """Replaces all that is in this store by what `backup_to` wrote, in one transaction. Leases come back released."""
        with StateStore.open(path, path.parent, clock=self._clock) as copy:
            _copy(copy, self)
        self._write(lambda connection: connection.execute(sa.update(t.leases).values(holder=None, expires_at=None)))

    # -- for the rooms above that keep tables of their own here -------------------------------------------------------

    @property
    def clock(self) -> Clock:
        """The clock that the store's times come from."""
        return self._clock

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """What `work` gives inside one transaction that only reads. Raises StateError kinds."""
        with translated(self.where), self._reader.begin() as connection:
            return work(connection)

    def write(self, work: Callable[[sa.Connection], T], *, turn: int | None = None) -> T:
        """What `work` gives inside one transaction. Raises StateError kinds; then nothing is written.

        Writers of a SQLite store wait for each other anyway; with `turn`, a number of its own for each purpose, those of a Postgres store do too.
        """

        def in_turn(connection: sa.Connection) -> T:
            if turn is not None and connection.dialect.name == "postgresql":
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": turn})
            return work(connection)

        return self._write(in_turn)

    def make_durable(self) -> None:
        """Brings all that was committed to the disk, so that it outlives the machine's power."""
        if self._engine.dialect.name == "sqlite":
            with translated(self.where), self._engine.connect() as connection:
                connection.connection.driver_connection.execute("PRAGMA wal_checkpoint(FULL)")  # type: ignore[union-attr]

    def _write(self, work: Callable[[sa.Connection], T]) -> T:
        with translated(self.where), self._engine.begin() as connection:
            return work(connection)


def _copy(source: StateStore, target: StateStore) -> None:
    reader = source._reader if source._engine.dialect.name == "sqlite" else source._engine.execution_options(isolation_level="REPEATABLE READ")
    with translated(source.where), reader.begin() as old, target._engine.begin() as new:
        for table in t.metadata.sorted_tables:
            new.execute(sa.delete(table))
            columns = [column for column in table.c if not (table is t.events and column.name == "id")]
            order = [t.events.c.id] if table is t.events else list(table.primary_key.columns)
            for chunk in old.execute(sa.select(*columns).order_by(*order)).mappings().partitions(5_000):
                new.execute(sa.insert(table), [dict(row) for row in chunk])


def _is_gone(process: str, heartbeat_at: datetime, oldest: datetime) -> bool:
    alive = is_alive(process)
    return alive is False or (alive is None and heartbeat_at < oldest)


def _held(table: TableName, holder: HolderInfo, expires_at: datetime) -> LeaseHeld:
    return LeaseHeld(
        f"{table} is being written by another run",
        found=f"{holder}, started {holder.started_at:%Y-%m-%d %H:%M:%S %Z}" if holder.started_at else str(holder),
        state="nothing was changed by this run",
        hint=f"wait for it to end; if its machine is gone, its lease ends by itself at {expires_at:%Y-%m-%d %H:%M:%S %Z}",
    )


def _release(connection: sa.Connection, holder: str) -> None:
    connection.execute(sa.update(t.leases).where(t.leases.c.holder == holder).values(holder=None, expires_at=None))


def _upsert(connection: sa.Connection, known: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    if known:
        which = (t.leases.c.environment == sa.bindparam("key_1")) & (t.leases.c.table_key == sa.bindparam("key_2"))
        values: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in ("token", "holder", "ttl_seconds", "expires_at")}
        rows = [{"key_1": row["environment"], "key_2": row["table_key"], **{f"new_{name}": row[name] for name in values}} for row in known]
        connection.execute(sa.update(t.leases).where(which).values(values), rows)
    if new:
        connection.execute(sa.insert(t.leases), new)
