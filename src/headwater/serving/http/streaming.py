"""An answer on its way: batches are read, made bytes and sent at the same time, each step a little ahead of the one after it and no further."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

import anyio
import anyio.to_thread
import pyarrow as pa

from headwater.engine import Engine
from headwater.serving.http.formats import Format
from headwater.serving.http.texts import Style
from headwater.serving.jobs import BATCH_ROWS, LEFT, Job, portions

#: Bytes beyond which a batch is waited for, rather than the next one begun.
_LARGE: Final = 16 * 2**20
#: Bytes that are put together so that they leave as one.
_AT_ONCE: Final = 2**16

T = TypeVar("T")


class Streaming:
    """One query's answer as bytes. `begin`, then `next` until it gives None, by one task; then, whatever happened, `stop` and `close`.

    While a batch is sent another waits as bytes, one is made bytes, one waits, and one is read: five at most are in memory, and of large
    ones three, since the step before waits for the one after it to take them. `readers` and `encoders` are the threads for either, apart, so that
    what was read never waits for a thread that reads on.
    """

    def __init__(
        self, job: Job, engine: Engine, format: type[Format], style: Style, readers: anyio.CapacityLimiter, encoders: anyio.CapacityLimiter
    ) -> None:
        self._job = job
        self._engine = engine
        self._kind = format
        self._style = style
        self._readers = readers
        self._encoders = encoders
        self._format: Format | None = None
        self._steps: list[asyncio.Task[None]] = []
        self._read: asyncio.Queue[pa.RecordBatch | Exception | None] = asyncio.Queue(1)
        self._made: asyncio.Queue[list[bytes] | Exception | None] = asyncio.Queue(1)

    async def begin(self) -> list[bytes]:
        """Runs the query to its first batch, a short answer to its end, and gives the first bytes. Whatever fails by then can be told by a status."""
        parts, batch = await self._in_thread(self._start, self._readers)
        if batch is None:
            self._made.put_nowait(None)
            return parts
        self._read.put_nowait(batch)
        self._steps = [asyncio.ensure_future(self._read_on()), asyncio.ensure_future(self._make())]
        return [*parts, *(await self.next() or [])]

    async def next(self) -> list[bytes] | None:
        """The next bytes; None after the last. Raises what reading or making them raised."""
        made = await self._made.get()
        self._made.task_done()
        if isinstance(made, Exception):
            raise made
        return made

    async def stop(self) -> None:
        """Ends what still works, and waits for it. Idempotent."""
        for step in self._steps:
            step.cancel()
        if self._steps:
            await asyncio.wait(self._steps)

    def close(self) -> None:
        """Gives everything back, the job too. Idempotent."""
        self._job.close()
        if self._format is not None:
            self._format.close()

    def _start(self) -> tuple[list[bytes], pa.RecordBatch | None]:
        """The first bytes, and the first batch that isn't among them; None when the answer is complete."""
        schema = self._job.start()
        made = self._format = self._kind(self._engine, schema, self._job.types, self._style)
        parts = [made.head()]
        batch = self._job.next()
        if batch is not None and batch.num_rows < BATCH_ROWS:  # most likely the last one: it is quicker to look now than to come back
            parts += _encoded(made, batch)
            batch = self._job.next()
        if batch is None:
            parts += _encoded(made, None)
        return parts, batch

    async def _read_on(self) -> None:
        try:
            while True:
                batch = await self._in_thread(self._job.next, self._readers)
                await self._read.put(batch)
                if batch is None:
                    return
                if batch.nbytes > _LARGE:
                    await self._read.join()
        except Exception as error:
            await self._read.put(error)

    async def _make(self) -> None:
        assert self._format is not None, "begin comes first"
        try:
            while True:
                batch = await self._read.get()
                self._read.task_done()
                if isinstance(batch, Exception):
                    raise batch
                parts = await self._in_thread(partial(_encoded, self._format, batch), self._encoders)
                await self._made.put(parts)
                if batch is None:
                    await self._made.put(None)
                    return
                if max(batch.nbytes, sum(map(len, parts))) > _LARGE:
                    await self._made.join()
        except Exception as error:
            await self._made.put(error)

    async def _in_thread(self, work: Callable[[], T], threads: anyio.CapacityLimiter) -> T:
        """What the work gives. Who is cancelled meanwhile stops the job and waits: a thread can't be left alone with it."""
        running = asyncio.ensure_future(anyio.to_thread.run_sync(work, limiter=threads))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self._job.stop(LEFT)
            await asyncio.wait([running])
            if not running.cancelled():
                running.exception()  # that it was stopped
            raise


def gathered(parts: Sequence[bytes]) -> Sequence[bytes]:
    """The parts as they are best sent: those of a short answer at once, and none that are empty."""
    if sum(map(len, parts)) <= _AT_ONCE:
        parts = [b"".join(parts)]
    return [part for part in parts if part]


def _encoded(format: Format, batch: pa.RecordBatch | None) -> list[bytes]:
    """A batch as bytes; the end of the answer for None."""
    if batch is None:
        return [format.tail()]
    return [format.rows(part) for part in portions(batch)]
