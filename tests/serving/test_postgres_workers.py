"""Threads for statements: a few begin at once, slow ones make room, and whoever waits hears of the end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from headwater.serving.postgres import workers as workers_module
from headwater.serving.postgres.workers import Workers


@contextmanager
def working() -> Iterator[Workers]:
    workers = Workers()
    try:
        yield workers
    finally:
        workers.close()


def test_results_and_errors_come_back() -> None:
    async def go() -> None:
        def wrong() -> None:
            raise KeyError("no")

        with working() as workers:
            jobs = [workers.begin(lambda number=number: number * 2) for number in range(200)]  # type: ignore[misc]
            assert [await job.wait() for job in jobs] == [number * 2 for number in range(200)]
            with pytest.raises(KeyError):
                await workers.begin(wrong).wait()
            assert await workers.begin(lambda: 7).wait() == 7

    asyncio.run(go())


def test_slow_work_holds_up_nobody() -> None:
    async def go() -> None:
        release = threading.Event()
        with working() as workers:
            slow = [workers.begin(release.wait) for _ in range(30)]
            assert await asyncio.wait_for(workers.begin(lambda: 1).wait(), 10) == 1
            release.set()
            for job in slow:
                await job.wait()

    asyncio.run(go())


def test_few_begin_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "_BEGIN_SECONDS", 60.0)

    async def go() -> None:
        now = most = 0
        lock = threading.Lock()

        def work() -> None:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.001)
            with lock:
                now -= 1

        with working() as workers:
            for job in [workers.begin(work) for _ in range(100)]:
                await job.wait()
        assert 1 < most <= 8

    asyncio.run(go())


def test_work_is_looked_after_while_it_waits_and_runs() -> None:
    async def go() -> None:
        stopped = threading.Event()
        looks = 0

        def look() -> None:
            nonlocal looks
            looks += 1
            if looks == 3:
                stopped.set()

        with working() as workers:
            assert await workers.begin(lambda: stopped.wait(10), look).wait()
        assert looks >= 3

    asyncio.run(go())


def test_who_was_cancelled_may_wait_again() -> None:
    async def go() -> None:
        release = threading.Event()
        with working() as workers:
            job = workers.begin(lambda: release.wait(10))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(job.wait(), 0.05)
            release.set()
            assert await job.wait()

    asyncio.run(go())
