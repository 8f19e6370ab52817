"""Several processes on one lake, and processes that are killed or stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from lakes import NOW, POSTGRES, Place, T, change, drop_schema, load, make_place, put, rows
from writer import write

from headwater.errors import CommitConflict, CommitUnknown, Fenced, LakeUnavailable
from headwater.spec.names import TableName
from headwater.storage import Lake, Position, boundaries, commit, core
from headwater.storage.locks import WriteLock

WRITER = Path(__file__).with_name("writer.py")


def where(place: Place) -> tuple[str, str]:
    """A writer's catalog and data."""
    catalog = str(place.folder / "lake.sqlite") if place.schema is None else f"{POSTGRES}?schema={place.schema}"
    return catalog, str(place.folder / "data")


def start_writer(place: Place, table: str, *, token: int = 1, count: int = 5, kill_at: str | None = None) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if key != boundaries.VARIABLE}
    if kill_at is not None:
        environment[boundaries.VARIABLE] = kill_at
    return subprocess.Popen(
        [sys.executable, str(WRITER), *where(place), table, str(token), str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=place.folder,
    )


def finish(process: subprocess.Popen[str]) -> list[str]:
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    return out.splitlines()


def sound(lake: Lake, table: TableName) -> int:
    """Checks that the table holds 0 .. n once each and its position says n; returns how many rows there are."""
    state = lake.state().find(table)
    if state is None:
        return 0
    found = sorted(row[0] for row in rows(lake, table))
    assert found == list(range(len(found)))
    assert state.position == {"n": len(found) - 1}
    assert lake.check_consistency() == []
    return len(found)


def test_processes_that_create_and_write_one_lake_at_once_all_succeed(both_places: Place) -> None:
    writers = [start_writer(both_places, f"t{number}", count=4) for number in range(3)]
    for writer in writers:
        lines = finish(writer)
        assert [line.split()[0] for line in lines] == ["open"] + ["committed"] * 4
    lake = both_places.open()
    assert [sound(lake, TableName("shop", f"t{number}")) for number in range(3)] == [4, 4, 4]


def test_of_two_writers_of_one_table_the_one_with_the_older_token_is_fenced(both_places: Place) -> None:
    lake = both_places.open()
    put(lake, "SELECT 1 AS id", T, token=1)
    late = change(lake, "SELECT 2 AS id", T, token=1)
    put(lake, "SELECT 3 AS id", T, token=2)
    with pytest.raises(Fenced):
        lake.commit([late])
    assert rows(lake) == [(1,), (3,)]


KILL_POINTS = [name for name in boundaries.NAMES if name.startswith("commit.") and name != "commit.prepared"]


@pytest.mark.parametrize("name", ["lake.create", "lake.staged", *KILL_POINTS])
def test_a_process_killed_at_a_boundary_loses_and_doubles_nothing(place: Place, name: str) -> None:
    _kill_and_go_on(place, name)


@pytest.mark.parametrize("name", ["lake.create", "commit.inserted", "commit.before", "commit.after"])
def test_a_process_killed_beside_a_postgres_catalog_loses_and_doubles_nothing(tmp_path: Path, name: str) -> None:
    with make_place(tmp_path, "postgres") as place:
        _kill_and_go_on(place, name)


def _kill_and_go_on(place: Place, name: str) -> None:
    killed = start_writer(place, "t", kill_at=f"{name}:{1 if name == 'lake.create' else 2}")
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    *_, last = write(*where(place), "t", token=2, count=2)
    assert last.startswith("committed")
    lake = place.open()
    assert sound(lake, TableName("shop", "t")) >= 2


def test_a_writer_stopped_past_its_lease_and_woken_is_fenced(both_places: Place) -> None:
    stopped = start_writer(both_places, "t", kill_at="commit.locked:2:stop")
    _wait_until_stopped(stopped.pid)
    other = write(*where(both_places), "t", token=2, count=2)
    assert [line.split()[0] for line in other] == ["open", "committed", "committed"]
    os.kill(stopped.pid, signal.SIGCONT)
    assert finish(stopped)[-1] == "fenced 1"
    assert sound(both_places.open(), TableName("shop", "t")) == 3


def test_a_writer_stopped_inside_its_transaction_is_fenced_when_woken(both_places: Place) -> None:
    stopped = start_writer(both_places, "t", kill_at="commit.before:2:stop")
    _wait_until_stopped(stopped.pid)
    assert len(list(write(*where(both_places), "t", token=2, count=2))) == 3
    os.kill(stopped.pid, signal.SIGCONT)
    assert finish(stopped)[-1] == "fenced 1"
    assert sound(both_places.open(), TableName("shop", "t")) == 3


def _wait_until_stopped(pid: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        _, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if status and os.WIFSTOPPED(status):
            return
        time.sleep(0.02)
    raise AssertionError("the writer never came to the boundary")


def test_threads_of_one_process_commit_side_by_side(both_places: Place) -> None:
    lake = both_places.open()
    failures: list[BaseException] = []

    def work(number: int) -> None:
        table = TableName("shop", f"t{number}")
        try:
            for value in range(4):
                put(lake, f"SELECT {value} AS v", table)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(len(rows(lake, TableName("shop", f"t{number}"))) == 4 for number in range(4))


def test_readers_never_fail_beside_a_writer(both_places: Place) -> None:
    lake = both_places.open()
    put(lake, "SELECT 0 AS n, 1 AS token", TableName("shop", "t"), position=Position({"n": 0}))
    writer = start_writer(both_places, "t", count=8)
    reads = 0
    while writer.poll() is None:
        found = sorted(row[0] for row in rows(lake, TableName("shop", "t")))
        assert found == list(range(len(found)))
        reads += 1
    assert finish(writer)[-1].startswith("committed 8")
    assert reads > 0
    assert sound(lake, TableName("shop", "t")) == 9


BLOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("blocking", flush=True)
sys.stdin.readline()
"""


def test_who_held_the_lock_last_is_named_when_the_catalog_stays_locked(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program that keeps the catalog itself locked, which nobody can go around."""
    lake = place.open()
    put(lake, "SELECT 1 AS id")
    waiting = change(lake, "SELECT 2 AS id")
    monkeypatch.setattr(core, "COMMIT_PATIENCE_SECONDS", 1.0)
    blocker = subprocess.Popen(
        [sys.executable, "-c", BLOCKER, str(lake.address.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=place.folder
    )
    assert blocker.stdout is not None
    assert blocker.stdout.readline() == "blocking\n"
    try:
        with pytest.raises(CommitConflict) as caught:
            lake.commit([waiting])
        assert f"process {os.getpid()}" in (caught.value.found or "")
    finally:
        blocker.communicate("go\n", timeout=120)
    lake.commit([waiting])
    assert rows(lake) == [(1,), (2,)]


def test_a_lock_whose_holder_is_stopped_is_passed_by(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = place.open()
    monkeypatch.setattr(core, "LOCK_PATIENCE_SECONDS", 0.2)
    assert lake.address.path is not None
    with WriteLock(lake.address.path).held(1.0) as is_ours:
        assert is_ours
        put(lake, "SELECT 1 AS id")
    assert rows(lake) == [(1,)]


TERMINATE = """
    SELECT pg_terminate_backend(a.pid)
    FROM pg_stat_activity a
    JOIN pg_locks l ON l.pid = a.pid
    JOIN pg_class c ON c.oid = l.relation
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND a.pid <> pg_backend_pid()
"""


def test_a_connection_lost_inside_a_commit_is_looked_into(tmp_path: Path) -> None:
    """The server ends our connections between the rows and the COMMIT; the commit is done again and happens once."""
    import psycopg

    with make_place(tmp_path, "postgres") as place:
        lake = place.open()
        put(lake, "SELECT 1 AS id")
        real, cut = boundaries.reached, []

        def cutting(name: str) -> None:
            real(name)
            if name == "commit.before" and not cut:
                cut.append(name)
                with psycopg.connect(POSTGRES, autocommit=True) as admin:
                    admin.execute(TERMINATE, [place.schema])

        commit.boundaries = type("Cutting", (), {"reached": staticmethod(cutting)})  # type: ignore[assignment]
        try:
            put(lake, "SELECT 2 AS id", load=load(load_id="once"))
        except LakeUnavailable:
            put(lake, "SELECT 2 AS id", load=load(load_id="once"))
        finally:
            commit.boundaries = boundaries
        assert cut
        assert rows(lake) == [(1,), (2,)]


def test_the_started_time_of_loads_is_kept(lake: Lake) -> None:
    put(lake, "SELECT 1 AS id")
    record = lake.table_state(T).load
    assert record is not None
    assert record.started_at == NOW


def test_a_commit_whose_answer_was_lost_is_recognised_by_its_mark(both_places: Place) -> None:
    lake = both_places.open()
    put(lake, "SELECT 1 AS id")
    found = lake.read_as_system("SELECT commit_extra_info FROM lake.snapshots() ORDER BY snapshot_id DESC LIMIT 1").scalar()
    mark = json.loads(found)["commit"]
    lost = LakeUnavailable("reading or writing failed", found="server closed the connection unexpectedly")
    commit.look(lake._core, lake.head() - 1, mark, lost)
    with pytest.raises(CommitConflict):
        commit.look(lake._core, lake.head() - 1, "another", lost)


def test_when_nobody_can_say_how_a_commit_ended_it_is_called_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "LOOK_SECONDS", 0.2)
    with make_place(tmp_path, "postgres") as place:
        lake = place.open()
        head = lake.head()
        assert place.schema is not None
        drop_schema(place.schema)
        with pytest.raises(CommitUnknown) as caught:
            commit.look(lake._core, head, "mark", LakeUnavailable("reading or writing failed", found="connection lost"))
        assert caught.value.retry == "unknown"
