"""Threads for the work of statements: few begin at once, what is done is told to the loop in one go, and one clock watches all that takes longer."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

#: Pieces of work that run at once; more wait. Their work is DuckDB's, which has threads of its own.
_MOST_THREADS: Final = 64
#: Of these, how many may begin at once; what takes longer than `_BEGIN_SECONDS` makes room for the next. Fewer threads hinder each other less:
#: many small queries are answered sooner, and slow ones hold nobody up.
_BEGINNING: Final = 8
_BEGIN_SECONDS: Final = 0.05
_LOOK_SECONDS: Final = 0.04


class Job(Generic[T]):
    """One piece of work. All but `run` is for the loop's thread."""

    def __init__(self, work: Callable[[], T], look: Callable[[], None] | None) -> None:
        self._work = work
        self.look = look
        self.began_at = 0.0
        self.has_turn = False
        self.is_done = False
        self._result: Any = None
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    def run(self) -> None:
        """In a thread. Raises nothing."""
        try:
            self._result = self._work()
        except BaseException as error:  # whoever waits for it raises it
            self._error = error

    def done(self) -> None:
        self.is_done = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> T:
        """What the work gave; raises what it raised. One who is cancelled meanwhile may wait again: the work goes on."""
        if not self.is_done:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[no-any-return]


class Workers:
    """Belongs to one loop, in whose thread everything is called."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._threads = 0
        self._waiting: deque[Job[Any]] = deque()
        self._running: set[Job[Any]] = set()
        self._turns = _BEGINNING
        self._done: deque[Job[Any]] = deque()
        self._is_called = False
        self._clock: asyncio.TimerHandle | None = None
        self._is_closed = False

    def begin(self, work: Callable[[], T], look: Callable[[], None] | None = None) -> Job[T]:
        """Has `work` done in a thread as soon as it is its turn. `look` is called in the loop again and again until then, and until it is over."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        job = Job(work, look)
        self._waiting.append(job)
        self._start()
        if self._clock is None:
            self._clock = self._loop.call_later(_LOOK_SECONDS, self._look)
        return job

    def close(self) -> None:
        """What hasn't begun isn't begun any more; nobody waits for what runs. Idempotent."""
        self._is_closed = True
        self._waiting.clear()
        for _ in range(self._threads):
            self._queue.put(None)
        self._threads = 0
        if self._clock is not None:
            self._clock.cancel()

    def _start(self) -> None:
        assert self._loop is not None
        while self._waiting and self._turns and not self._is_closed:
            job = self._waiting.popleft()
            self._turns -= 1
            job.has_turn = True
            job.began_at = self._loop.time()
            self._running.add(job)
            if self._threads < min(len(self._running), _MOST_THREADS):
                self._threads += 1
                threading.Thread(target=self._serve, name=f"postgres-wire_{self._threads}", daemon=True).start()
            self._queue.put(job)

    def _serve(self) -> None:
        """In a thread of ours."""
        loop = self._loop
        assert loop is not None
        while (job := self._queue.get()) is not None:
            job.run()
            self._done.append(job)
            del job
            if not self._is_called:
                self._is_called = True
                with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                    loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        self._is_called = False  # first: whoever is done from here on calls again
        while self._done:
            job = self._done.popleft()
            self._running.discard(job)
            self._give_turn(job)
            job.done()
        self._start()

    def _give_turn(self, job: Job[Any]) -> None:
        if job.has_turn:
            job.has_turn = False
            self._turns += 1

    def _look(self) -> None:
        assert self._loop is not None
        self._clock = None
        if self._is_closed or not (self._running or self._waiting):
            return
        late = self._loop.time() - _BEGIN_SECONDS
        for job in [*self._running, *self._waiting]:
            if job.has_turn and job.began_at < late:
                self._give_turn(job)
            if job.look is not None:
                job.look()
        self._start()
        self._clock = self._loop.call_later(_LOOK_SECONDS, self._look)
