"""Readers whose roles limit the memory of one query: it ends, spills or does well; nobody else is touched, and the gate is the same."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lakes import Place, T, make_place, put

from headwater.errors import LakeUnavailable, LimitExceeded, QueryFailed, StatementRefused, TableNotFound
from headwater.security import MaskKeys, Principal
from headwater.security.audited import Audited
from headwater.spec.names import TableName
from headwater.spec.policies import LEAST_MEMORY, Limits, Policies
from headwater.storage import Access, Lake

SMALL = 64 * 2**20
#: Holds all its groups at once.
LARGE = "SELECT count(*) FROM (SELECT i, list(i * 10) AS l FROM range(1000000) t(i) GROUP BY i)"
#: Doesn't spill: the aggregate is one value.
ONE_VALUE = "SELECT length(string_agg(repeat('x', 1000), '')) FROM range(100000)"


def reader(memory: int | None = SMALL, audit: list[Audited] | None = None, **grant: str) -> Access:
    policies = Policies.model_validate({"roles": {"r": {"grants": [{"select": "shop.*", **grant}]}}, "version": repr(grant)})
    keys, at = MaskKeys("a", "b", "c"), datetime(2026, 1, 1, tzinfo=UTC)
    write = None if audit is None else audit.append
    return Access(Principal("ada", roles=frozenset({"r"})), policies, keys, at, limits=Limits(memory=memory), audit=write)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """On SQLite and plain, unless a test asks for others."""
    catalog, encrypted = getattr(request, "param", ("sqlite", False))
    with make_place(tmp_path, catalog, encrypted=encrypted) as found:
        yield found


@pytest.fixture
def lake(place: Place) -> Lake:
    lake = place.open()
    put(lake, "SELECT i AS id FROM range(1000) t(i)")
    return lake


def test_a_query_ends_where_it_needs_more_than_its_reader_may_take(lake: Lake) -> None:
    audit: list[Audited] = []
    with pytest.raises(LimitExceeded, match="more memory than its reader's roles allow"):
        lake.read_as(reader(audit=audit), ONE_VALUE).fetchall()
    assert [row.decision for row in audit] == ["failed"]
    assert lake.read_as(reader(None), ONE_VALUE).scalar() == 100_000_000


def test_what_can_spill_does(lake: Lake) -> None:
    assert lake.read_as(reader(), LARGE).scalar() == 1_000_000


@pytest.mark.parametrize("place", [("sqlite", False), ("sqlite", True), ("postgres", False)], indirect=True)
def test_the_gate_is_the_same_and_each_commit_is_seen(lake: Lake) -> None:
    few = reader(where="id < 3")
    sql = f"SELECT id FROM {T.sql} ORDER BY id"
    assert lake.read_as(few, sql).fetchall() == [(0,), (1,), (2,)]
    put(lake, "SELECT i AS id FROM range(2, 1000) t(i)")
    assert lake.read_as(few, sql).fetchall() == [(0,), (1,), (2,), (2,)]
    assert lake.read_as(reader(LEAST_MEMORY), f"SELECT count(*) FROM {T.sql} WHERE id > ?", parameters=[500]).scalar() == 998
    with pytest.raises(TableNotFound):
        lake.read_as(few, f"SELECT * FROM {TableName('other', 'hidden').sql}")
    with pytest.raises(StatementRefused):
        lake.read_as(few, f"SELECT error(id::VARCHAR) FROM {T.sql}")


def test_engines_are_used_again_one_query_at_a_time(lake: Lake) -> None:
    access = reader()
    sql = f"SELECT count(*) FROM {T.sql}"
    for _ in range(3):
        assert lake.read_as(access, sql).scalar() == 1000
    assert len(lake._limited._kept) == 1
    with lake.read_as(access, sql) as first, lake.read_as(access, sql) as second:
        assert lake._limited._kept == []
        assert (first.scalar(), second.scalar()) == (1000, 1000)
    assert len(lake._limited._kept) == 2

    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(lake.read_as(access, sql).scalar())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1000] * 4
    assert len(lake._limited._kept) <= 4


def test_a_query_that_outlives_its_lake_ends_its_engine(place: Place) -> None:
    lake = place.open()
    put(lake, "SELECT 1 AS id")
    reading = lake.read_as(reader(), f"SELECT id FROM {T.sql}")
    lake._limited.close()
    assert reading.fetchall() == [(1,)]
    assert lake._limited._kept == []


def test_an_engine_that_cannot_begin_tells_no_more_than_any_failure(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(memory: int) -> None:
        raise LakeUnavailable("the catalog can't be reached", found="/some/secret/path")

    monkeypatch.setattr(lake._limited, "_reopen", fail)
    audit: list[Audited] = []
    with pytest.raises(QueryFailed) as raised:
        lake.read_as(reader(audit=audit), f"SELECT id FROM {T.sql}")
    assert "secret" not in str(raised.value)
    assert "secret" in (audit[0].error or "")
