"""The kit that others test with keeps its own promises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from headwater.errors import SourceReadFailed, SourceUnreachable
from headwater.sources import Batches, ReadRequest
from headwater.spec.sources import Stream
from headwater.testing import FakeClock, FakeSource, read_rows


def test_a_fake_source_dies_after_so_many_rows_and_lives_again() -> None:
    source = FakeSource(tables={"t": [{"id": number} for number in range(10)]})
    source.batch_rows = 3
    source.dies_after = 7
    request = ReadRequest("t", Stream())
    [portion] = source.read(request).portions
    got = []
    assert isinstance(portion.data, Batches)
    batches = portion.data.open()
    for _ in range(3):
        got += next(batches).to_pylist()
    with pytest.raises(SourceReadFailed, match="midway"):
        next(batches)
    assert len(got) == 7
    with pytest.raises(SourceReadFailed):
        read_rows(source.read(request))
    source.dies_after = None
    assert len(read_rows(source.read(request))) == 10
    assert source.reads == 3


def test_a_fake_source_can_be_away() -> None:
    source = FakeSource(tables={"t": []})
    source.is_reachable = False
    for attempt in (source.check, source.discover, lambda: source.read(ReadRequest("t", Stream()))):
        with pytest.raises(SourceUnreachable):
            attempt()


def test_a_fake_source_remembers_what_was_acknowledged() -> None:
    source = FakeSource(tables={})
    source.acknowledge("t", {"cursor": "1"})
    source.close()
    assert source.acknowledged == [("t", {"cursor": "1"})]
    assert source.is_closed


def test_a_fake_clock_stands_until_it_is_moved_even_back() -> None:
    clock = FakeClock()
    assert clock() == clock() == datetime(2024, 1, 1, tzinfo=UTC)
    assert clock.advance(timedelta(hours=-1)) == datetime(2023, 12, 31, 23, tzinfo=UTC)
    clock.set(datetime(2025, 1, 1, tzinfo=UTC))
    assert clock().year == 2025
    with pytest.raises(ValueError, match="aware"):
        FakeClock(datetime(2024, 1, 1))
