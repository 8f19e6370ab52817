"""The state store, on SQLite and Postgres: the same behaviour."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from headwater.errors import LeaseHeld, StateError, StateUnavailable
from headwater.spec.checks import Verdict
from headwater.spec.names import TableName
from headwater.spec.runs import Event, TaskResult
from headwater.state import StateStore, new_run_id
from headwater.state.address import VERSION, is_postgres
from headwater.state.postgres import PostgresDatabase
from headwater.state.processes import current_process, is_alive
from headwater.state.statements import Database, SqliteDatabase

POSTGRES = os.environ.get("HEADWATER_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")
ORDERS, ITEMS = TableName("shop", "orders"), TableName("shop", "items")


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield "state.sqlite"
        return
    schema = f"state_{uuid.uuid4().hex[:10]}"
    try:
        psycopg.connect(POSTGRES, connect_timeout=3).close()
    except psycopg.OperationalError:
        pytest.skip("no Postgres here")
    yield f"{POSTGRES}?schema={schema}"
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')


@pytest.fixture
def store(url: str, tmp_path: Path, clock: Clock) -> Iterator[StateStore]:
    with StateStore.open(url, tmp_path, clock=clock) as opened:
        yield opened


def begin(store: StateStore, clock: Clock, environment: str = "prod") -> str:
    run_id = new_run_id(clock())
    store.start_run(run_id, environment=environment, command="run", selection=["+x"], started_at=clock())
    return run_id


def dead_process() -> str:
    """The identity of a process that has been."""
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    us = current_process()
    identity = us.identity.replace(f"|{us.pid}|", f"|{child.pid}|")
    child.communicate()
    return identity


def make_dead(store: StateStore, run_id: str) -> None:
    with store._database.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE runs SET process = '{dead_process()}' WHERE id = '{run_id}'")


def test_a_run_reads_back_as_it_was_written(store: StateStore, clock: Clock) -> None:
    run_id = new_run_id(clock())
    git = {"git_commit": "abc123", "git_dirty": True, "author": "ada"}
    store.start_run(run_id, environment="prod", command="run", selection=["+x"], started_at=clock(), **git)  # type: ignore[arg-type]
    verdict = Verdict("unique(id)", "unique", "error", False, 2, 10, sample=('{"id": 1}',))
    result = TaskResult(ORDERS, "held", "load", 10, 1, 2, 300, 0.5, 2, "unique(id) failed", None, None, (verdict,), "l1", 7)
    store.record(run_id, events=[Event("task_finished", clock(), run_id, ORDERS, {"rows": 10})], tasks=[(0, result)])
    store.finish_run(run_id, "failed", finished_at=clock(), snapshot_id=7)
    summary = store.run(run_id[:-3])
    assert (summary.git_commit, summary.git_dirty, summary.author) == ("abc123", True, "ada")
    assert (summary.status, summary.snapshot_id, summary.selection, summary.started_at) == ("failed", 7, ("+x",), clock())
    (read,) = summary.tasks
    assert read.verdicts[0].sample == (), "samples hold rows: they stay in the lake"
    assert read.verdicts[0].check == "unique(id)"
    assert (read.rows_written, read.snapshot_id, read.reason) == (10, 7, "unique(id) failed")
    assert store.events(run_id, ORDERS) == [Event("task_finished", clock(), run_id, ORDERS, {"rows": 10})]
    assert store.events(run_id, ITEMS) == []


def test_the_last_result_of_a_table_is_the_last_that_was_no_skip(store: StateStore, clock: Clock) -> None:
    first = begin(store, clock)
    store.record(first, tasks=[(0, TaskResult(ORDERS, "failed")), (1, TaskResult(ITEMS, "succeeded"))])
    clock.move(minutes=1)
    second = begin(store, clock)
    store.record(second, tasks=[(0, TaskResult(ORDERS, "skipped")), (1, TaskResult(ITEMS, "failed"))])
    results = store.last_results("prod")
    assert {table: (run, result.status) for table, (run, result) in results.items()} == {ORDERS: (first, "failed"), ITEMS: (second, "failed")}
    assert store.last_results("dev") == {}


def test_runs_of_odd_table_names_read_back(store: StateStore, clock: Clock) -> None:
    odd = TableName("my schema", 'a.b "c"')
    run_id = begin(store, clock)
    store.record(run_id, events=[Event("task_started", clock(), run_id, odd)], tasks=[(0, TaskResult(odd, "succeeded"))])
    assert store.run(run_id).tasks[0].table == odd
    assert len(store.events(run_id, odd)) == 1


def test_an_unknown_run_is_an_error_with_a_hint(store: StateStore, clock: Clock) -> None:
    begin(store, clock)
    begin(store, clock)
    with pytest.raises(StateError, match="no run 'x'"):
        store.run("x")
    with pytest.raises(StateError, match="several runs begin"):
        store.run("2026")


def test_tokens_only_rise_whatever_happened_to_the_store(store: StateStore, clock: Clock) -> None:
    run_id = begin(store, clock)
    first = store.acquire("prod", [ORDERS, ITEMS], run_id, 60, {})
    store.release(first)
    second = store.acquire("prod", [ORDERS, ITEMS], run_id, 60, {ORDERS: 40})
    assert second.tokens[ORDERS] == 41, "the lake has seen 40"
    assert second.tokens[ITEMS] == first.tokens[ITEMS] + 1


def test_a_held_lease_names_its_run_and_takes_none_of_the_others(store: StateStore, clock: Clock) -> None:
    one, two = begin(store, clock), begin(store, clock)
    store.acquire("prod", [ORDERS], one, 60, {})
    with pytest.raises(LeaseHeld, match=r"shop\.orders") as caught:
        store.acquire("prod", [ITEMS, ORDERS], two, 60, {})
    assert one in str(caught.value)
    assert str(os.getpid()) in str(caught.value)
    assert set(store.held_leases("prod")) == {"shop.orders"}
    store.acquire("dev", [ORDERS], two, 60, {})


def test_names_that_differ_by_case_share_a_lease(store: StateStore, clock: Clock) -> None:
    one, two = begin(store, clock), begin(store, clock)
    store.acquire("prod", [ORDERS], one, 60, {})
    with pytest.raises(LeaseHeld):
        store.acquire("prod", [TableName("Shop", "ORDERS")], two, 60, {})


def test_an_expired_lease_is_taken_over_and_its_holder_learns_of_it(store: StateStore, clock: Clock) -> None:
    one, two = begin(store, clock), begin(store, clock)
    slept = store.acquire("prod", [ORDERS, ITEMS], one, 60, {})
    clock.move(seconds=61)
    taken = store.acquire("prod", [ORDERS], two, 60, {})
    assert taken.taken_over == (ORDERS,)
    assert taken.tokens[ORDERS] > slept.tokens[ORDERS]
    assert store.renew(slept) == (ORDERS,)
    store.release(slept)
    assert set(store.held_leases("prod")) == {"shop.orders"}, "a release leaves another's lease alone"


def test_renewing_keeps_a_lease_alive(store: StateStore, clock: Clock) -> None:
    one, two = begin(store, clock), begin(store, clock)
    lease = store.acquire("prod", [ORDERS], one, 60, {})
    for _ in range(5):
        clock.move(seconds=50)
        assert store.renew(lease) == ()
    with pytest.raises(LeaseHeld):
        store.acquire("prod", [ORDERS], two, 60, {})


def test_a_dead_process_loses_its_lease_at_once(store: StateStore, clock: Clock) -> None:
    one, two = begin(store, clock), begin(store, clock)
    store.acquire("prod", [ORDERS], one, 3600, {})
    make_dead(store, one)
    assert store.acquire("prod", [ORDERS], two, 60, {}).taken_over == ()


def test_a_lease_from_a_clock_that_jumped_back_ends_when_nobody_can_vouch_for_its_holder(store: StateStore, clock: Clock) -> None:
    one, two = begin(store, clock), begin(store, clock)
    store.acquire("prod", [ORDERS], one, 60, {})
    clock.move(hours=-2)
    with pytest.raises(LeaseHeld):
        store.acquire("prod", [ORDERS], two, 60, {})
    with store._database.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE runs SET process = 'elsewhere/x/y|1|1' WHERE id = '{one}'")
    assert store.acquire("prod", [ORDERS], two, 60, {}).taken_over == (ORDERS,)


def test_two_runs_at_once_never_share_a_lease(store: StateStore, clock: Clock) -> None:
    runs = [begin(store, clock) for _ in range(6)]

    def attempt(run_id: str) -> int | None:
        try:
            return store.acquire("prod", [ORDERS, ITEMS], run_id, 60, {}).tokens[ORDERS]
        except LeaseHeld:
            return None

    with ThreadPoolExecutor(6) as pool:
        tokens = [token for token in pool.map(attempt, runs) if token is not None]
    assert len(tokens) == 1


def test_two_thousand_leases_are_taken_quickly(store: StateStore, clock: Clock) -> None:
    run_id = begin(store, clock)
    tables = [TableName("marts", f"model_{i}") for i in range(2_000)]
    store.acquire("prod", tables, run_id, 60, {})
    started = time.process_time()
    lease = store.acquire("prod", tables, run_id, 60, {})
    assert store.renew(lease) == ()
    store.release(lease)
    assert time.process_time() - started < 2.0


def test_crashed_runs_are_found_and_their_leases_freed(store: StateStore, clock: Clock) -> None:
    crashed, elsewhere, alive = begin(store, clock), begin(store, clock), begin(store, clock)
    store.acquire("prod", [ORDERS], crashed, 3600, {})
    make_dead(store, crashed)
    with store._database.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE runs SET process = 'elsewhere/x/y|1|1' WHERE id = '{elsewhere}'")
    assert store.mark_crashed("prod") == (crashed,)
    assert store.held_leases("prod") == {}
    clock.move(seconds=1000)
    assert store.mark_crashed("prod") == (elsewhere,)
    assert store.run(alive).status == "running"
    assert store.mark_crashed("prod") == ()


def test_a_copy_holds_all_of_the_store_and_restores_it(store: StateStore, clock: Clock, tmp_path: Path) -> None:
    run_id = begin(store, clock)
    store.record(run_id, events=[Event("a", clock(), run_id), Event("b", clock(), run_id)], tasks=[(0, TaskResult(ORDERS, "succeeded"))])
    lease = store.acquire("prod", [ORDERS], run_id, 60, {})
    store.backup_to(tmp_path / "copy.sqlite")
    later = begin(store, clock)
    store.restore_from(tmp_path / "copy.sqlite")
    assert [run.run_id for run in store.runs()] == [run_id]
    assert [event.name for event in store.events(run_id)] == ["a", "b"]
    assert store.held_leases("prod") == {}
    assert store.acquire("prod", [ORDERS], later, 60, {}).tokens[ORDERS] == lease.tokens[ORDERS] + 1
    store.record(run_id, events=[Event("c", clock(), run_id)])


def test_a_store_by_newer_code_is_refused(url: str, tmp_path: Path) -> None:
    with StateStore.open(url, tmp_path) as store, store._database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StateError, match="newer Headwater") as caught:
        StateStore.open(url, tmp_path)
    assert "9999" in str(caught.value)


def test_several_openers_migrate_once(url: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        for store in pool.map(lambda _: StateStore.open(url, tmp_path), range(4)):
            store.close()
    with StateStore.open(url, tmp_path) as store:
        assert store.runs() == []


def test_a_new_store_and_a_migrated_one_have_the_tables_the_code_expects(url: str, tmp_path: Path) -> None:
    import sqlalchemy as sa
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from headwater.state import tables
    from headwater.state.opening import migrate

    def differences(connection: sa.Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection), tables.metadata)

    with StateStore.open(url, tmp_path) as store:
        with store._database.engine.connect() as connection:
            assert differences(connection) == []
            assert connection.execute(sa.select(tables.version.c.version_num)).scalars().all() == [VERSION]
        with store._database.engine.begin() as connection:
            tables.metadata.drop_all(connection)
            tables.version.drop(connection)
            migrate(connection)
        with store._database.engine.connect() as connection:
            assert differences(connection) == []
            assert connection.execute(sa.select(tables.version.c.version_num)).scalars().all() == [VERSION]


def test_the_schema_of_a_new_sqlite_store_is_that_of_its_tables() -> None:
    from headwater.state.migrations.make_schema import schema_sql
    from headwater.state.statements import SCHEMA_FILE

    assert SCHEMA_FILE.read_text() == schema_sql(), "python -m headwater.state.migrations.make_schema"


def test_a_store_of_the_first_version_is_brought_up_with_all_its_rows(url: str, tmp_path: Path, clock: Clock) -> None:
    import sqlalchemy as sa
    from alembic.command import upgrade
    from alembic.config import Config
    from sqlalchemy.engine import Engine

    import headwater.state.opening as opening
    from headwater.state import tables

    def at_0001(engine: Engine) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(opening.__file__).parent / "migrations"))
        config.set_main_option("version_path_separator", "os")
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            upgrade(config, "0001")

    database: Database = PostgresDatabase(url) if is_postgres(url) else SqliteDatabase(tmp_path / url)
    at_0001(database.engine)
    assert not sa.inspect(database.engine).has_table("users")
    old, run_id, process = StateStore(database, "old", clock), new_run_id(clock()), current_process()
    written = {"at": clock().isoformat(timespec="microseconds"), "id": run_id, "host": process.host, "pid": process.pid, "process": process.identity}
    with database.engine.begin() as connection:
        sql = "INSERT INTO runs (id, environment, command, selection, status, started_at, heartbeat_at, host, pid, process)"
        connection.execute(sa.text(f"{sql} VALUES (:id, 'prod', 'run', '[]', 'running', :at, :at, :host, :pid, :process)"), written)
    old.record(run_id, events=[Event("a", clock(), run_id, ORDERS)], tasks=[(0, TaskResult(ORDERS, "succeeded"))])
    lease = old.acquire("prod", [ORDERS], run_id, 60, {})
    old.close()
    with ThreadPoolExecutor(4) as pool:
        for opened in pool.map(lambda _: StateStore.open(url, tmp_path, clock=clock), range(4)):
            opened.close()
    with StateStore.open(url, tmp_path, clock=clock) as store:
        assert (store.run(run_id).tasks[0].table, store.run(run_id).principal) == (ORDERS, None)
        assert [event.name for event in store.events(run_id)] == ["a"]
        assert set(store.held_leases("prod")) == {"shop.orders"}
        assert lease.tokens[ORDERS] == 1
        with store._database.engine.connect() as connection:
            assert connection.execute(sa.select(tables.version.c.version_num)).scalars().all() == [VERSION]
            assert connection.execute(sa.select(sa.func.count()).select_from(tables.users)).scalar() == 0


def test_the_last_results_read_back_whole(store: StateStore, clock: Clock) -> None:
    verdict = Verdict("rows", "rows", "error", False, None, 3, message="too few")
    first = begin(store, clock)
    failed = TaskResult(ORDERS, "failed", error_code="HW-1", error_text="no", verdicts=(verdict,))
    store.record(first, tasks=[(0, failed), (1, TaskResult(ITEMS, "succeeded"))])
    clock.move(seconds=1)
    second = begin(store, clock)
    held = TaskResult(ITEMS, "held", rows_written=7)
    store.record(second, tasks=[(0, TaskResult(ORDERS, "skipped")), (1, held)])
    assert store.last_results("prod") == {ORDERS: (first, failed), ITEMS: (second, held)}


def test_a_damaged_file_says_that_the_data_is_safe(tmp_path: Path) -> None:
    (tmp_path / "state.sqlite").write_bytes(b"no database" * 500)
    with pytest.raises(StateError, match="damaged") as caught:
        StateStore.open("state.sqlite", tmp_path)
    assert "live in the lake" in str(caught.value)


def test_an_unreachable_store_can_be_tried_again_and_shows_no_password(tmp_path: Path) -> None:
    with pytest.raises(StateUnavailable) as caught:
        StateStore.open("postgresql://someone:sesame@127.0.0.1:1/x", tmp_path)
    assert caught.value.retry == "yes"
    assert "sesame" not in str(caught.value)


def test_opening_a_new_or_current_store_imports_neither_migrations_nor_sqlalchemy(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from headwater.state import StateStore; StateStore.open('state.sqlite', Path('.')).close()"
    for _ in ("new", "current"):
        done = subprocess.run(
            [sys.executable, "-c", code + "; print({'alembic', 'sqlalchemy'} & set(sys.modules))"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == "set()"


def test_a_writer_waits_for_another(tmp_path: Path, clock: Clock) -> None:
    with StateStore.open("state.sqlite", tmp_path, clock=clock) as store:
        other = sqlite3.connect(tmp_path / "state.sqlite", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(begin, store, clock)
            other.execute("COMMIT")
            assert waiting.result()
        other.close()


def test_a_process_is_told_from_a_later_one_with_its_number() -> None:
    us = current_process()
    assert is_alive(us.identity) is True
    assert is_alive(us.identity[:-1] + ("1" if us.identity[-1] != "1" else "2")) is False
    assert is_alive("another-host/boot/ns|1|1") is None
    assert is_alive(dead_process()) is False


def test_a_store_that_can_not_be_written_can_still_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    StateStore.open("state.sqlite", tmp_path).close()
    before = {file.name for file in tmp_path.iterdir()}
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))  # modes don't bind root
    store = StateStore.open("state.sqlite", tmp_path)
    try:
        assert store.runs(environment="prod", limit=1) == []
        with pytest.raises(StateError, match="can't be written"):
            store.record("r", events=[Event("x", datetime.now(UTC), "r")], tasks=[])
    finally:
        store.close()
    assert {file.name for file in tmp_path.iterdir()} == before
