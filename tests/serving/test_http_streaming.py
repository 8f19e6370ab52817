"""How an HTTP answer is made ahead of its reader: in order, to its end, no further than a few batches."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import anyio
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import Interrupted, SqlDataError
from headwater.serving.http.formats import ArrowFormat
from headwater.serving.http.streaming import Streaming, gathered
from headwater.serving.http.texts import Style
from headwater.serving.jobs import BATCH_ROWS, LEFT, Job

SCHEMA = pa.schema([("a", pa.int64())])


def batch_of(rows: int, start: int = 0) -> pa.RecordBatch:
    return pa.record_batch([pa.array(range(start, start + rows), pa.int64())], schema=SCHEMA)


class Source:
    """Stands for a job: gives batches, raises the exceptions among them, and notes what is asked of it."""

    def __init__(self, given: Iterator[pa.RecordBatch | Exception]) -> None:
        self.types = ["BIGINT"]
        self.given = given
        self.asked = 0
        self.working = 0
        self.stopped: list[str] = []
        self.closed = 0

    def start(self) -> pa.Schema:
        return SCHEMA

    def next(self) -> pa.RecordBatch | None:
        self.asked += 1
        self.working += 1
        assert self.working == 1, "a job is asked by one thread at a time"
        try:
            found = next(self.given, None)
        finally:
            self.working -= 1
        if isinstance(found, Exception):
            raise found
        return found

    def stop(self, why: str = LEFT) -> None:
        self.stopped.append(why)

    def close(self) -> None:
        self.closed += 1


def run(source: Source, use: Callable[[Streaming], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        streaming = Streaming(cast(Job, source), cast(Any, None), ArrowFormat, Style(), anyio.CapacityLimiter(1), anyio.CapacityLimiter(1))
        try:
            return await asyncio.wait_for(use(streaming), 60)
        finally:
            await streaming.stop()
            await streaming.stop()
            assert source.working == 0
            streaming.close()

    found = asyncio.run(go())
    assert source.closed == 1
    return found


async def whole(streaming: Streaming) -> bytes:
    parts = await streaming.begin()
    while (more := await streaming.next()) is not None:
        parts += more
    return b"".join(parts)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([1, 7, BATCH_ROWS - 1, BATCH_ROWS]), max_size=6))
def test_all_rows_come_in_order_however_they_are_cut(sizes: list[int]) -> None:
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    source = Source(batch_of(rows, start) for rows, start in zip(sizes, starts, strict=True))
    table = pa.ipc.open_stream(run(source, whole)).read_all()
    assert table.column("a").to_pylist() == list(range(sum(sizes)))
    assert source.asked == len(sizes) + 1
    assert not source.stopped


@pytest.mark.parametrize("batches", [[], [batch_of(3)]])
def test_a_short_answer_is_complete_when_it_begins(batches: list[pa.RecordBatch]) -> None:
    async def use(streaming: Streaming) -> bytes:
        parts = await streaming.begin()
        assert not streaming._steps
        assert await streaming.next() is None
        return b"".join(parts)

    assert pa.ipc.open_stream(run(Source(iter(batches)), use)).read_all().num_rows == sum(batch.num_rows for batch in batches)


def test_what_fails_by_the_first_bytes_is_raised_before_them() -> None:
    before: list[list[pa.RecordBatch | Exception]] = [[], [batch_of(3)]]
    for batches in before:
        with pytest.raises(SqlDataError):
            run(Source(iter([*batches, SqlDataError("no")])), lambda streaming: streaming.begin())


def test_what_fails_later_comes_after_all_rows_before_it() -> None:
    source = Source(iter([*(batch_of(BATCH_ROWS, place * BATCH_ROWS) for place in range(4)), SqlDataError("no")]))
    parts: list[bytes] = []

    async def use(streaming: Streaming) -> None:
        parts.extend(await streaming.begin())
        while (more := await streaming.next()) is not None:
            parts.extend(more)

    with pytest.raises(SqlDataError):
        run(source, use)
    reader = pa.ipc.open_stream(b"".join(parts))
    assert [reader.read_next_batch().num_rows for _ in range(4)] == [BATCH_ROWS] * 4


@pytest.mark.parametrize(("bytes_of_a_row", "most"), [(8, 5), (400, 3)])
def test_no_more_is_read_than_a_slow_reader_leaves_room_for(bytes_of_a_row: int, most: int) -> None:
    batch = batch_of(BATCH_ROWS)
    if bytes_of_a_row > 8:
        batch = pa.record_batch([pa.array(["x" * bytes_of_a_row] * BATCH_ROWS)], names=["a"])
    source = Source(iter([batch] * 20))
    source.start = lambda: batch.schema  # type: ignore[method-assign]

    async def use(streaming: Streaming) -> list[int]:
        found = []
        await streaming.begin()
        for sent in range(1, 4):
            before = -1
            while before < source.asked:  # until nothing moves any more
                before = source.asked
                await asyncio.sleep(0.5)
            found.append(source.asked - (sent - 1))
            await streaming.next()
        return found

    assert all(count <= most for count in run(source, use))
    assert source.asked < 12


def test_whoever_stops_waits_for_the_read_that_is_under_way() -> None:
    release = threading.Event()

    def given() -> Iterator[pa.RecordBatch | Exception]:
        yield batch_of(BATCH_ROWS)
        release.wait(60)
        yield Interrupted("stopped")

    source = Source(given())
    stopped = source.stop

    def stop(why: str = LEFT) -> None:
        stopped(why)
        threading.Timer(0.3, release.set).start()  # as an engine that notices after a while

    source.stop = stop  # type: ignore[method-assign]
    started = time.monotonic()
    run(source, lambda streaming: streaming.begin())
    assert source.stopped == [LEFT]
    assert 0.25 < time.monotonic() - started < 50


def test_the_first_bytes_do_not_wait_for_the_second_batch() -> None:
    """With one thread to read there is none to spare while the second batch is read."""
    release = threading.Event()

    def given() -> Iterator[pa.RecordBatch | Exception]:
        yield batch_of(BATCH_ROWS)
        assert release.wait(30), "the first bytes didn't come"
        yield batch_of(3)

    source = Source(given())
    source.stop = lambda why=LEFT: (source.stopped.append(why), release.set())[0]  # type: ignore[method-assign, misc]

    async def use(streaming: Streaming) -> bytes:
        parts = await asyncio.wait_for(streaming.begin(), 10)
        assert sum(map(len, parts)) > BATCH_ROWS
        assert not release.is_set()
        release.set()
        while (more := await streaming.next()) is not None:
            parts += more
        return b"".join(parts)

    assert pa.ipc.open_stream(run(source, use)).read_all().num_rows == BATCH_ROWS + 3


def test_a_request_cancelled_as_it_begins_stops_its_query() -> None:
    release = threading.Event()

    def given() -> Iterator[pa.RecordBatch | Exception]:
        release.wait(60)
        yield Interrupted("stopped")

    source = Source(given())
    source.stop = lambda why=LEFT: (source.stopped.append(why), release.set())[0]  # type: ignore[method-assign, misc]

    async def use(streaming: Streaming) -> None:
        beginning = asyncio.ensure_future(streaming.begin())
        while not source.working:
            await asyncio.sleep(0.01)
        beginning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await beginning
        assert source.working == 0

    run(source, use)
    assert source.stopped == [LEFT]


def test_short_parts_leave_as_one_and_long_ones_as_they_are() -> None:
    assert gathered([b"a", b"", b"b"]) == [b"ab"]
    assert gathered([b"", b""]) == []
    long = b"x" * 2**16
    assert gathered([long, b"", b"y"]) == [long, b"y"]
    assert gathered([long, b"", b"y"])[0] is long
