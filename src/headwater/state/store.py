"""The state store: runs, their tasks and events, and the leases of tables."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from headwater.errors import LeaseHeld, StateError
from headwater.spec.names import TableName
from headwater.spec.runs import Event, RunStatus, RunSummary, TaskResult
from headwater.state.address import KNOWN_VERSIONS, VERSION, is_postgres, sqlite_path
from headwater.state.clock import Clock, utc_now
from headwater.state.leases import HolderInfo, Lease, is_free, table_key
from headwater.state.processes import current_process, is_alive
from headwater.state.rows import (
    EVENT_COLUMNS,
    INSERT_EVENT,
    INSERT_RUN,
    INSERT_TASK,
    LAST_RESULTS,
    RUN_COLUMNS,
    TASK_COLUMNS,
    event_row,
    read_event,
    read_results,
    read_run,
    read_task,
    read_time,
    task_row,
    written,
    written_time,
)
from headwater.state.statements import Database, PlainRow, SqliteDatabase, Statements, translated

if TYPE_CHECKING:
    import sqlalchemy as sa

T = TypeVar("T")
#: A running run whose heart hasn't beaten for so long is dead, when its process can't be looked at.
HEARTBEAT_LIMIT_SECONDS = 120.0
_ACQUIRING = 7_203_418
_MOST_NAMED = 500


class StateStore:
    """One store, shared by all runs of a project; safe from several threads and processes. Every write is one transaction.

    Losing it loses history and leases, never data: fencing tokens start above the lake's own (`floor`), and positions live in the lake.
    """

    def __init__(self, database: Database, where: str, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.where = where

    @classmethod
    def open(cls, url: str | Path, project_dir: Path, *, clock: Clock = utc_now) -> StateStore:
        """Opens the store, creating or upgrading it where needed.

        `url` is a path (relative to the project), `sqlite:///path` or `postgresql://user@host/db?schema=..` with references resolved.
        Raises StateUnavailable, StateError (damaged, not writable, or written by newer code), MissingDependency.
        """
        text = str(url)
        database: Database
        if is_postgres(text):
            from headwater.state.postgres import PostgresDatabase

            where = "in Postgres"
            database = PostgresDatabase(text)
        else:
            path = sqlite_path(text, project_dir)
            where = str(path)
            with translated(where):
                database = SqliteDatabase(path)
        try:
            with translated(where):
                _ensure_version(database, where)
        except BaseException:
            database.close()
            raise
        return cls(database, where, clock)

    def close(self) -> None:
        self._database.close()

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
        principal: str | None = None,
    ) -> None:
        """Writes down that a run of this very process began. `author` is who git says it is, `principal` who it was by their token, or the owner."""
        process = current_process()
        row = {
            "id": run_id,
            "environment": environment,
            "command": command,
            "selection": json.dumps(list(selection)),
            "status": "running",
            "started_at": written_time(started_at),
            "heartbeat_at": written_time(self._clock()),
            "finished_at": None,
            "host": process.host,
            "pid": process.pid,
            "process": process.identity,
            "git_commit": git_commit,
            "git_dirty": git_dirty,
            "author": author,
            "principal": principal,
            "snapshot_id": None,
        }
        self._change(lambda statements: statements.execute(INSERT_RUN, row))

    def finish_run(self, run_id: str, status: RunStatus, *, finished_at: datetime, snapshot_id: int | None = None) -> None:
        """Writes how a run ended and lets go of its leases, in one transaction."""
        values = {"id": run_id, "status": status, "finished_at": written_time(finished_at), "snapshot_id": snapshot_id}

        def work(statements: Statements) -> None:
            statements.execute("UPDATE runs SET status = :status, finished_at = :finished_at, snapshot_id = :snapshot_id WHERE id = :id", values)
            _release(statements, run_id)

        self._change(work)

    def mark_crashed(self, environment: str) -> tuple[str, ...]:
        """Finds runs that say they run and don't, marks them `crashed`, and frees their leases; gives their ids.

        A run is gone when its process is, or, where that can't be looked at, when its heart hasn't beaten for `HEARTBEAT_LIMIT_SECONDS`.
        """
        running = "SELECT id, process, heartbeat_at FROM runs WHERE environment = :environment AND status = 'running'"
        here = {"environment": environment}

        def work(statements: Statements) -> tuple[str, ...]:
            now = self._clock()
            oldest = now - timedelta(seconds=HEARTBEAT_LIMIT_SECONDS)
            rows = statements.select(running, here)
            dead = [row["id"] for row in rows if _is_gone(row["process"], datetime.fromisoformat(row["heartbeat_at"]), oldest)]
            for run_id in dead:
                values = {"id": run_id, "finished_at": written_time(now)}
                statements.execute("UPDATE runs SET status = 'crashed', finished_at = :finished_at WHERE id = :id", values)
                _release(statements, run_id)
            return tuple(dead)

        return self._change(work) if self.select(running + " LIMIT 1", here) else ()

    def rebuild_run(self, run_id: str, *, environment: str, started_at: datetime, finished_at: datetime, snapshot_id: int) -> None:
        """Writes down a finished run that only the lake knows of (the store was lost or is older). Does nothing when it is known."""
        row = {
            "id": run_id,
            "environment": environment,
            "command": "rebuilt from the lake",
            "selection": "[]",
            "status": "succeeded",
            "started_at": written_time(started_at),
            "heartbeat_at": written_time(finished_at),
            "finished_at": written_time(finished_at),
            "host": "",
            "pid": 0,
            "process": "",
            "git_commit": None,
            "git_dirty": None,
            "author": None,
            "principal": None,
            "snapshot_id": snapshot_id,
        }

        def work(statements: Statements) -> None:
            if not statements.select("SELECT 1 FROM runs WHERE id = :id", {"id": run_id}):
                statements.execute(INSERT_RUN, row)

        self._change(work)

    def known_runs(self, run_ids: Iterable[str]) -> set[str]:
        """Which of the runs this store knows."""
        wanted = sorted(set(run_ids))
        found: set[str] = set()
        with translated(self.where), self._database.transaction(only_reads=True) as statements:
            for start in range(0, len(wanted), _MOST_NAMED):
                found.update(row["id"] for row in _runs_among(statements, "id", wanted[start : start + _MOST_NAMED]))
        return found

    def newest_snapshot(self, environment: str) -> int | None:
        """The highest snapshot of the lake that a finished run noted."""
        rows = self.select("SELECT max(snapshot_id) AS newest FROM runs WHERE environment = :environment", {"environment": environment})
        return None if rows[0]["newest"] is None else int(rows[0]["newest"])

    def runs(self, *, environment: str | None = None, limit: int = 20) -> list[RunSummary]:
        """The newest runs, newest first, without their tasks."""
        only, which = ("", {}) if environment is None else ("WHERE environment = :environment", {"environment": environment})
        sql = f"SELECT {RUN_COLUMNS} FROM runs {only} ORDER BY started_at DESC, id DESC LIMIT :limit"
        return [read_run(row, ()) for row in self.select(sql, {**which, "limit": limit})]

    def run(self, run_id: str) -> RunSummary:
        """One run with its tasks, by its id or the beginning of it. Raises StateError when there is none, or several begin so."""
        with translated(self.where), self._database.transaction(only_reads=True) as statements:
            begins = f"SELECT {RUN_COLUMNS} FROM runs WHERE substr(id, 1, :length) = :beginning LIMIT 2"
            found = statements.select(f"SELECT {RUN_COLUMNS} FROM runs WHERE id = :id", {"id": run_id})
            found = found or statements.select(begins, {"beginning": run_id, "length": len(run_id)})
            if len(found) != 1:
                raise StateError(
                    f"no run {run_id!r}" if not found else f"several runs begin with {run_id!r}", hint="`headwater history` lists the runs"
                )
            rows = statements.select(f"SELECT {TASK_COLUMNS} FROM tasks WHERE run_id = :id ORDER BY ordinal", {"id": found[0]["id"]})
            return read_run(found[0], tuple(read_task(row) for row in rows))

    def last_results(self, environment: str) -> dict[TableName, tuple[str, TaskResult]]:
        """For each table the id of the last run that did more than skip it, and how that went."""
        return read_results(self.select(LAST_RESULTS, {"environment": environment}))

    # -- tasks and events --------------------------------------------------------------------------------------------

    def record(self, run_id: str, *, events: Sequence[Event] = (), tasks: Sequence[tuple[int, TaskResult]] = ()) -> None:
        """Writes events and finished tasks, and beats the run's heart, in one transaction. A task's number within the run is its key."""
        event_rows = [event_row(event) for event in events]
        task_rows = [task_row(run_id, ordinal, result) for ordinal, result in tasks]

        def work(statements: Statements) -> None:
            statements.execute_each(INSERT_EVENT, event_rows)
            statements.execute_each(INSERT_TASK, task_rows)
            self._beat(statements, run_id, self._clock())

        self._change(work)

    def events(self, run_id: str, table: TableName | None = None) -> list[Event]:
        """What happened in a run, in order; of one table where given."""
        which = {"id": run_id} if table is None else {"id": run_id, "table": written(table)}
        only = "" if table is None else "AND table_name = :table"
        return [read_event(row) for row in self.select(f"SELECT {EVENT_COLUMNS} FROM events WHERE run_id = :id {only} ORDER BY id", which)]

    # -- leases ------------------------------------------------------------------------------------------------------

    def acquire(self, environment: str, tables: Iterable[TableName], holder: str, ttl_seconds: float, floor: Mapping[TableName, int]) -> Lease:
        """Takes the leases of all `tables` or of none, in one transaction.

        `holder` is a run's id. `floor` holds the newest token the lake has seen for a table: ours is higher, whatever this store remembers.
        A lease whose holder is dead, or whose time is over, is taken over. Raises LeaseHeld, naming the run that holds one of them.
        """
        keys = {table_key(table): table for table in tables}

        def work(statements: Statements) -> Lease:
            statements.take_turn(_ACQUIRING)
            now = self._clock()
            known = statements.select(
                "SELECT table_key, token, holder, ttl_seconds, expires_at FROM leases WHERE environment = :environment", {"environment": environment}
            )
            rows = {row["table_key"]: row for row in known if row["table_key"] in keys}
            holders = _holders(statements, {row["holder"] for row in rows.values() if row["holder"] is not None and row["holder"] != holder})
            taken_over: list[TableName] = []
            for key, row in rows.items():
                if row["holder"] is None or row["holder"] == holder:
                    continue
                info, expires = holders[row["holder"]], read_time(row["expires_at"])
                if not is_free(holder=row["holder"], expires_at=expires, ttl_seconds=row["ttl_seconds"], holder_alive=info.is_alive, now=now):
                    raise _held(keys[key], info, expires)
                if info.is_alive is not False:
                    taken_over.append(keys[key])
            tokens = {table: max(rows[key]["token"] if key in rows else 0, floor.get(table, 0)) + 1 for key, table in keys.items()}
            common = {"environment": environment, "holder": holder, "ttl": ttl_seconds, "expires_at": _until(now, ttl_seconds)}
            statements.execute_each(_TAKE, [common | {"table_key": key, "token": tokens[table]} for key, table in keys.items()])
            return Lease(environment, holder, tokens, ttl_seconds, tuple(taken_over))

        return self._change(work)

    def renew(self, lease: Lease) -> tuple[TableName, ...]:
        """Prolongs a lease by its time to live; gives the tables another holder has taken over (empty: all are still ours)."""
        ours = {"environment": lease.environment, "holder": lease.holder}

        def work(statements: Statements) -> tuple[TableName, ...]:
            now = self._clock()
            renewing = "UPDATE leases SET expires_at = :expires_at WHERE environment = :environment AND holder = :holder"
            renewed = statements.execute(renewing, {**ours, "expires_at": _until(now, lease.ttl_seconds)})
            self._beat(statements, lease.holder, now)
            if renewed >= len(lease.tokens):
                return ()
            rows = statements.select("SELECT table_key FROM leases WHERE environment = :environment AND holder = :holder", ours)
            kept = {row["table_key"] for row in rows}
            return tuple(table for table in lease.tokens if table_key(table) not in kept)

        return self._change(work)

    def release(self, lease: Lease) -> None:
        """Lets go of what is still ours; tokens are remembered. Idempotent."""
        self._change(lambda statements: _release(statements, lease.holder))

    def held_leases(self, environment: str) -> dict[str, HolderInfo]:
        """Tables that are leased just now (by their key `schema.table` in lower case), and by whom."""
        sql = "SELECT table_key, holder FROM leases WHERE environment = :environment AND holder IS NOT NULL"
        with translated(self.where), self._database.transaction(only_reads=True) as statements:
            rows = statements.select(sql, {"environment": environment})
            holders = _holders(statements, {row["holder"] for row in rows})
            return {row["table_key"]: holders[row["holder"]] for row in rows}

    def _beat(self, statements: Statements, run_id: str, now: datetime) -> None:
        statements.execute("UPDATE runs SET heartbeat_at = :now WHERE id = :id", {"id": run_id, "now": written_time(now)})

    # -- copies ------------------------------------------------------------------------------------------------------

    def backup_to(self, path: Path) -> None:
        """Writes all of one instant into a new SQLite file, whatever the store itself is. Safe beside writers."""
        from headwater.state.copying import copy_all

        with translated(str(path)):
            path.unlink(missing_ok=True)
        with StateStore.open(path, path.parent, clock=self._clock) as copy:
            copy_all(self._database.engine, copy._database.engine, self.where)
        with translated(str(path)), closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it

    def restore_from(self, path: Path) -> None:
        """Replaces all that is in this store by what `backup_to` wrote, in one transaction. Leases come back released."""
        from headwater.state.copying import copy_all

        with StateStore.open(path, path.parent, clock=self._clock) as copy:
            copy_all(copy._database.engine, self._database.engine, copy.where)
        self._change(lambda statements: statements.execute("UPDATE leases SET holder = NULL, expires_at = NULL", {}))

    # -- for the rooms above that keep tables of their own here -------------------------------------------------------

    @property
    def clock(self) -> Clock:
        """The clock that the store's times come from."""
        return self._clock

    def has_users(self) -> bool:
        """Whether anybody but the owner may come in."""
        return bool(self.select("SELECT 1 FROM users LIMIT 1", {}))

    def select(self, sql: str, parameters: Mapping[str, Any]) -> list[PlainRow]:
        """Rows by plain SQL with parameters `:name`, without SQLAlchemy on a SQLite store. Raises StateError kinds."""
        with translated(self.where), self._database.transaction(only_reads=True) as statements:
            return statements.select(sql, parameters)

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """What `work` gives inside one transaction that only reads. Raises StateError kinds."""
        with translated(self.where), self._database.engine.execution_options(only_reads=True).begin() as connection:
            return work(connection)

    def write(self, work: Callable[[sa.Connection], T], *, turn: int | None = None) -> T:
        """What `work` gives inside one transaction. Raises StateError kinds; then nothing is written.

        Writers of a SQLite store wait for each other anyway; with `turn`, a number of its own for each purpose, those of a Postgres store do too.
        """
        with translated(self.where), self._database.engine.begin() as connection:
            if turn is not None and connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (turn,))
            return work(connection)

    def make_durable(self) -> None:
        """Brings all that was committed to the disk, so that it outlives the machine's power."""
        if isinstance(self._database, SqliteDatabase):
            with translated(self.where):
                self._database.make_durable()

    def _change(self, work: Callable[[Statements], T]) -> T:
        with translated(self.where), self._database.transaction() as statements:
            return work(statements)


#: Takes one lease, known or new.
_TAKE = """
    INSERT INTO leases (environment, table_key, token, holder, ttl_seconds, expires_at)
    VALUES (:environment, :table_key, :token, :holder, :ttl, :expires_at)
    ON CONFLICT (environment, table_key) DO UPDATE
    SET token = excluded.token, holder = excluded.holder, ttl_seconds = excluded.ttl_seconds, expires_at = excluded.expires_at
"""


def _ensure_version(database: Database, where: str) -> None:
    """Brings the store to this code's version; one query when it is there already. Raises StateError for a newer one."""
    found = _found_version(database)
    if found is None and isinstance(database, SqliteDatabase):
        database.create(VERSION)
        found = _found_version(database)
    if found == VERSION:
        return
    if found is not None and found not in KNOWN_VERSIONS:
        raise StateError(
            f"the state store {where} was written by a newer Headwater",
            expected=f"version {VERSION} or older",
            found=f"version {found}",
            state="nothing was changed",
            hint="upgrade Headwater, or point `state:` at another store",
        )
    from headwater.state.opening import bring_up

    bring_up(database.engine)


def _found_version(database: Database) -> str | None:
    try:
        with database.transaction(only_reads=True) as statements:
            rows = statements.select("SELECT version_num FROM alembic_version", {})
    except Exception as error:  # the drivers' own differ; what it is, they say alike
        text = str(error).lower()
        if "no such table" in text or "does not exist" in text:
            return None
        raise
    return str(rows[0]["version_num"]) if rows else None


def _is_gone(process: str, heartbeat_at: datetime, oldest: datetime) -> bool:
    alive = is_alive(process)
    return alive is False or (alive is None and heartbeat_at < oldest)


def _held(table: TableName, holder: HolderInfo, expires_at: datetime | None) -> LeaseHeld:
    return LeaseHeld(
        f"{table} is being written by another run",
        found=f"{holder}, started {holder.started_at:%Y-%m-%d %H:%M:%S %Z}" if holder.started_at else str(holder),
        state="nothing was changed by this run",
        hint=f"wait for it to end; if its machine is gone, its lease ends by itself at {expires_at:%Y-%m-%d %H:%M:%S %Z}",
    )


def _until(now: datetime, seconds: float) -> str:
    return written_time(now + timedelta(seconds=seconds))


def _holders(statements: Statements, run_ids: set[str]) -> dict[str, HolderInfo]:
    found: dict[str, HolderInfo] = {}
    for row in _runs_among(statements, "id, host, pid, started_at, process", sorted(run_ids)):
        started_at = datetime.fromisoformat(row["started_at"])
        found[row["id"]] = HolderInfo(row["id"], row["host"], row["pid"], started_at, is_alive(row["process"]))
    return {run_id: found.get(run_id) or HolderInfo(run_id, "", None, None, None) for run_id in run_ids}


def _runs_among(statements: Statements, columns: str, run_ids: Sequence[str]) -> list[PlainRow]:
    if not run_ids:
        return []
    named = {f"id_{number}": run_id for number, run_id in enumerate(run_ids)}
    return statements.select(f"SELECT {columns} FROM runs WHERE id IN ({', '.join(f':{name}' for name in named)})", named)


def _release(statements: Statements, holder: str) -> None:
    statements.execute("UPDATE leases SET holder = NULL, expires_at = NULL WHERE holder = :holder", {"holder": holder})
