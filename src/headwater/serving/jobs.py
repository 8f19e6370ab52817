"""One query of a door: run and read in whatever thread, stopped from any other, by its client's leaving or by the clock."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from headwater.engine import Engine
from headwater.errors import HeadwaterError, Interrupted, LakeUnavailable, MemoryExceeded, QueryError, SqlDataError, StatementRefused
from headwater.security.principals import Principal
from headwater.serving.session import Answer, Service

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows of a batch as it is read. Smaller ones cost speed, larger ones memory.
BATCH_ROWS: Final = 65_536
#: Bytes of a batch as it leaves, if it has more than one row: gRPC clients take 16 MiB in one message.
BATCH_BYTES: Final = 8 * 2**20
#: How often the monitor looks, in seconds.
TICK: Final = 0.1

#: Types that lose their meaning in Arrow as DuckDB writes it: bits become bytes, an offset is dropped, the upper half turns negative.
_LOSSY: Final = re.compile(r"\b(BIT|TIME WITH TIME ZONE|TIMETZ|UHUGEINT)\b")
#: Why a job was stopped whose client is gone.
LEFT: Final = "the client went away"


def closed_engine() -> Engine:
    """An engine of a door's own, for what only DuckDB knows of its types; it reads nothing from outside."""
    engine = Engine()
    with engine.connection() as connection:
        connection.execute("SET GLOBAL enable_external_access = false")
        connection.execute("SET GLOBAL lock_configuration = true")
    return engine


class Monitor:
    """Watches the jobs of all doors: stops those whose time is up or whose client is gone, and interrupts what was stopped until it notices."""

    def __init__(self) -> None:
        self._jobs: set[Job] = set()
        self._changed = threading.Condition()
        self._is_closed = False
        self._chores: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._watch, name="headwater-monitor", daemon=True)
        self._thread.start()

    def every_second(self, chore: Callable[[], None]) -> None:
        """Calls `chore` about once a second until closed; it must not raise."""
        with self._changed:
            self._chores.append(chore)
            self._changed.notify()

    def add(self, job: Job) -> None:
        with self._changed:
            if self._is_closed:
                raise Interrupted("the server is stopping")
            self._jobs.add(job)
            self._changed.notify()

    def remove(self, job: Job) -> None:
        with self._changed:
            self._jobs.discard(job)
            self._changed.notify_all()

    @property
    def count(self) -> int:
        """How many jobs are open."""
        with self._changed:
            return len(self._jobs)

    def close(self, grace: float = 0.0) -> None:
        """Waits up to `grace` seconds for open jobs, stops what is left, and ends."""
        until = time.monotonic() + grace
        with self._changed:
            while self._jobs and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            jobs = list(self._jobs)
        for job in jobs:
            job.stop("the server is stopping")
        with self._changed:
            until = time.monotonic() + 5
            while self._jobs and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()

    def _watch(self) -> None:
        chores_at = time.monotonic()
        while True:
            with self._changed:
                while not self._jobs and not self._chores and not self._is_closed:
                    self._changed.wait()
                if self._is_closed:
                    return
                self._changed.wait(TICK)
                jobs = list(self._jobs)
            for job in jobs:
                job.look()
            if time.monotonic() - chores_at > 1:
                chores_at = time.monotonic()
                for chore in list(self._chores):
                    chore()


class Job:
    """One query from its start to its last row. `start`, `next` and `close` are called one after the other, by any threads; `stop` at any time.

    It may work for `seconds` in all; after `idle` seconds in which nobody asked for more, it is closed. `is_gone` is asked now and then, by the
    monitor, whether the client has left; `on_close` is called once. Errors are HeadwaterErrors without values of rows, but for faults of our own.
    """

    def __init__(
        self,
        service: Service,
        monitor: Monitor,
        principal: Principal,
        sql: str,
        parameters: Sequence[Any] = (),
        *,
        seconds: float | None = None,
        idle: float | None = None,
        is_gone: Callable[[], bool] | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self._service = service
        self._monitor = monitor
        self.principal = principal
        self._sql = sql
        self._parameters = parameters
        self._seconds = seconds
        self._idle = idle
        self._is_gone = is_gone
        self._on_close = on_close
        self._worked = 0.0
        self._since = time.monotonic()
        self._lock = threading.Lock()
        self._why: str | None = None
        self._is_busy = False
        self._is_closed = False
        self._interrupt: Callable[[], None] | None = None
        self._answer: Answer | None = None
        self._reader: Iterator[pa.RecordBatch] | None = None
        #: DuckDB type names of the columns, in order; set by `start`.
        self.types: list[str] = []

    def watch(self, is_gone: Callable[[], bool] | None) -> None:
        """From now on `is_gone` says whether the client has left; None when nobody can say."""
        with self._lock:
            self._is_gone = is_gone

    def start(self) -> pa.Schema:
        """Runs the query as far as its first rows."""
        try:
            self._monitor.add(self)
            with _Busy(self, is_reading=False):
                self._answer = self._service.run(self.principal, self._sql, self._parameters, started=self._on_start)
                with self._lock:
                    self._interrupt = self._answer.interrupt
                self.types = list(self._answer.types)
                refuse_lossy(self._answer.columns, self.types)
                reader = self._answer.batches(BATCH_ROWS)
                self._reader = iter(reader)
                return reader.schema
        except BaseException:
            self.close()
            raise

    def next(self) -> pa.RecordBatch | None:
        """The next batch that has rows; None after the last."""
        with _Busy(self, is_reading=True):
            assert self._reader is not None, "start comes first"
            for batch in self._reader:
                if batch.num_rows:
                    return batch
        return None

    def stop(self, why: str = LEFT) -> None:
        """Ends the query: what it is doing, or does next, raises Interrupted, which says why."""
        with self._lock:
            if self._why is None:
                self._why = why
        self.look()

    def look(self) -> None:
        """For the monitor: stops what is due, interrupts what was stopped and still works."""
        is_abandoned = False
        with self._lock:
            if self._is_closed:
                return
            spent = time.monotonic() - self._since
            if self._why is None:
                if self._is_busy and self._seconds is not None and self._worked + spent > self._seconds:
                    self._why = f"the query took longer than {self._seconds:g} seconds"
                elif not self._is_busy and self._idle is not None and spent > self._idle:
                    self._why, is_abandoned = "nobody asked for its rows for too long", True
                elif self._is_gone is not None and self._is_gone():
                    self._why = LEFT
            if self._why is not None and self._is_busy and self._interrupt is not None:
                self._interrupt()
        if is_abandoned:
            self.close()

    @property
    def stopped(self) -> str | None:
        """Why it was stopped; None while it wasn't."""
        return self._why

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        """Gives everything back. Idempotent; nothing is done while the job works."""
        with self._lock:
            if self._is_closed or self._is_busy:
                return
            self._is_closed = True
            self._interrupt = None
            self._is_gone = None
        try:
            self._reader = None
            if self._answer is not None:
                self._answer.close()
        finally:
            self._monitor.remove(self)
            if self._on_close is not None:
                self._on_close()

    def _on_start(self, interrupt: Callable[[], None]) -> None:
        with self._lock:
            self._interrupt = interrupt
        self._check()

    def _check(self) -> None:
        if self._is_closed and self._why is None:
            raise Interrupted("the query has ended")
        if self._why is not None:
            raise Interrupted(self._why, hint=None if self._why == LEFT else "ask for less, or raise serve: limits: in headwater.yaml")


class _Busy:
    """While it is entered the job works. With `is_reading`, what breaks inside leaves as a HeadwaterError: Arrow says it in its own errors."""

    def __init__(self, job: Job, *, is_reading: bool) -> None:
        self._job = job
        self._is_reading = is_reading

    def __enter__(self) -> None:
        with self._job._lock:
            self._job._check()
            self._job._is_busy = True
            self._job._since = time.monotonic()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        with self._job._lock:
            now = time.monotonic()
            self._job._worked += now - self._job._since
            self._job._since = now
            self._job._is_busy = False
        if error is None or not isinstance(error, Exception):
            return
        if isinstance(error, Interrupted) or not isinstance(error, HeadwaterError):
            self._job._check()
        if self._is_reading and not isinstance(error, HeadwaterError):
            raise broken(error) from error


def broken(error: Exception) -> HeadwaterError:
    """What the engine said while rows were being read, which comes through Arrow as text. None of the text is kept: it may hold values."""
    text = str(error)
    if "INTERRUPT" in text or "interrupt" in text[:80]:
        return Interrupted("the statement was interrupted")
    if re.search(r"\b(Conversion|Out of Range|Invalid Input|Constraint) Error", text):
        return SqlDataError("a value doesn't fit", hint="TRY_CAST finds the rows")
    if "Out of Memory Error" in text:
        return MemoryExceeded("the statement needs more memory than allowed")
    if re.search(r"\b(IO|HTTP) Error", text):
        return LakeUnavailable("reading the lake failed")
    return QueryError("the query failed while its rows were read")


def refuse_lossy(names: Sequence[str], types: Sequence[str]) -> None:
    """Raises StatementRefused where a column's type can't be told in Arrow without loss."""
    for name, type in zip(names, types, strict=True):
        found = _LOSSY.search(type)
        if found is not None:
            raise StatementRefused(
                f"the column {name} can't be sent without loss", found=type, hint=f"write it as text: CAST({name} AS VARCHAR)"
            )  # fmt: skip


def portions(batch: pa.RecordBatch, most: int = BATCH_BYTES) -> Iterator[pa.RecordBatch]:
    """The batch in pieces of at most `most` bytes, or of one row."""
    if batch.num_rows <= 1 or batch.nbytes <= most:
        yield batch
        return
    half = batch.num_rows // 2
    yield from portions(batch.slice(0, half), most)
    yield from portions(batch.slice(half), most)
