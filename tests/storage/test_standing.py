"""Connections handed from one reader to the next: nobody sees an older lake, another's settings, or another's interrupt."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from lakes import Place, T, keep_hot, make_place, put

from headwater.engine import Connection
from headwater.errors import HeadwaterError, Interrupted
from headwater.security import MaskKeys, Principal
from headwater.spec.names import TableName
from headwater.spec.policies import Limits, Policies
from headwater.storage import Access, Lake
from headwater.storage.gate import standing

OTHER = TableName("shop", "other")


def reader(**grant: str) -> Access:
    policies = Policies.model_validate({"roles": {"r": {"grants": [{"select": "*", **grant}]}}, "version": repr(grant)})
    return Access(Principal("ada", roles=frozenset({"r"})), policies, MaskKeys("a", "b", "c"), datetime(2026, 1, 1, tzinfo=UTC))


READER = reader()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with make_place(tmp_path_factory.mktemp("standing"), request.param) as found:
        yield found


@pytest.fixture
def lake(place: Place) -> Lake:
    lake = place.open()
    lake.keep_connections()
    put(lake, "SELECT i AS id FROM range(3) t(i)")
    return lake


def ids(lake: Lake, access: Access = READER, sql: str = f"SELECT id FROM {T.sql}") -> list[int]:
    return sorted(row[0] for row in lake.read_as(access, sql).fetchall())


def kept(lake: Lake) -> list[Connection]:
    return [stand.connection for stand in lake._door.standing._kept]


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is closed for its age, however slow the machine."""
    monkeypatch.setattr(standing, "_MOST_SECONDS", 600.0)


@pytest.mark.usefixtures("unhurried")
def test_a_connection_is_used_again_and_sees_each_commit(lake: Lake, place: Place) -> None:
    theirs = place.open()
    assert ids(lake) == [0, 1, 2]
    mine = kept(lake)
    assert len(mine) == 1
    assert ids(lake) == [0, 1, 2]
    assert kept(lake) == mine
    for number, writer in ((7, lake), (8, theirs)):
        put(writer, f"SELECT {number} AS id")
        assert number in ids(lake)
    assert kept(lake) != mine


def test_a_policy_is_in_force_on_a_connection_that_another_reader_had(lake: Lake) -> None:
    assert ids(lake) == [0, 1, 2]
    assert ids(lake, reader(where="id = 1")) == [1]
    assert ids(lake) == [0, 1, 2]


@pytest.mark.usefixtures("unhurried")
def test_the_order_of_rows_is_kept_after_a_filtered_reader_had_the_connection(lake: Lake) -> None:
    setting = "SELECT value FROM duckdb_settings() WHERE name = 'preserve_insertion_order'"
    ids(lake, reader(where="id = 1"))
    (connection,) = kept(lake)
    assert connection.execute(setting).scalar() == "true"


def test_what_ended_badly_early_or_with_macros_is_not_handed_on(lake: Lake) -> None:
    with pytest.raises(HeadwaterError):
        lake.read_as(READER, f"SELECT error('x') FROM {T.sql}").fetchall()
    assert kept(lake) == []
    with lake.read_as(READER, f"SELECT * FROM {T.sql}, range(100000)") as reading:
        reading.fetchmany(1)
    assert kept(lake) == []
    macros = ["CREATE MACRO twice(x) AS x * 2"]
    assert lake.read_as(READER, f"SELECT twice(id) FROM {T.sql}", macros=macros).fetchall()
    assert kept(lake) == []


def test_an_interrupt_that_comes_late_stops_nobody_else(lake: Lake) -> None:
    reading = lake.read_as(READER, f"SELECT id FROM {T.sql}")
    reading.fetchall()
    stop = threading.Event()

    def interrupt() -> None:
        while not stop.is_set():
            reading.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        assert kept(lake)
        assert ids(lake, sql=f"SELECT count(*) FROM {T.sql}, range(3000000)") == [9_000_000]
    finally:
        stop.set()
        thread.join()


def test_a_query_on_a_connection_that_was_handed_on_can_be_stopped(lake: Lake) -> None:
    ids(lake)
    taken: list[object] = []

    def started(interrupt: object) -> None:
        taken.append(interrupt)
        threading.Timer(0.3, interrupt).start()  # type: ignore[arg-type]

    with pytest.raises(Interrupted):
        lake.read_as(READER, f"SELECT count(*) FROM {T.sql}, range(100000) a, range(1000000) b", started=started).fetchall()
    assert kept(lake) == []


def test_limits_hold_on_a_connection_that_was_handed_on(lake: Lake) -> None:
    ids(lake)
    limited = Access(READER.principal, READER.policies, READER.keys, READER.at, limits=Limits(rows=1))
    with pytest.raises(HeadwaterError, match="more rows"):
        ids(lake, limited)
    assert ids(lake) == [0, 1, 2]


def test_a_copy_that_came_into_memory_meanwhile_is_seen_or_left_alone(lake: Lake) -> None:
    """A transaction that began reading memory before doesn't see it: such a connection isn't used for it."""
    put(lake, "SELECT 5 AS id", OTHER)
    lake.choose_hot([T], 10**9)
    lake.refresh_hot()
    assert ids(lake) == [0, 1, 2]
    keep_hot(lake)
    assert ids(lake, sql=f"SELECT id FROM {OTHER.sql}") == [5]
    assert ids(lake) == [0, 1, 2]


def test_none_is_left_open_for_long(lake: Lake) -> None:
    ids(lake)
    deadline = time.monotonic() + 60
    while kept(lake):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_readers_beside_a_writer_and_a_refresh_see_whole_commits_in_order(lake: Lake) -> None:
    stop = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        last = 0
        while not stop.is_set():
            try:
                found = len(ids(lake))
            except HeadwaterError as error:
                wrong.append(error)
                return
            if found < last or found % 3:
                wrong.append((last, found))
            last = found

    def refresh() -> None:
        while not stop.is_set():
            lake.refresh_hot()

    lake.choose_hot([T], 10**9)
    threads = [threading.Thread(target=work) for work in (read, read, read, read, refresh)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, 8):
            put(lake, f"SELECT {number} * 3 + i AS id FROM range(3) t(i)")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert len(ids(lake)) == 24
