"""Telling what happens: to whoever listens, and, batched, to the state store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from headwater.spec.names import TableName
from headwater.spec.runs import Event, TaskResult

if TYPE_CHECKING:
    from headwater.state import StateStore

#: Called with each event as it happens, from any thread, one at a time. What it raises ends the run.
Listener = Callable[[Event], None]
Clock = Callable[[], datetime]

#: Told to listeners only: there may be thousands of them in a long load.
_PASSING = frozenset({"task_progressed"})


class Recorder:
    """Collects a run's events and task results. Thread-safe. Nothing is lost when writing fails: it stays for the next `flush`."""

    def __init__(self, run_id: str, store: StateStore, clock: Clock, listener: Listener | None = None) -> None:
        self._run_id = run_id
        self._store = store
        self._clock = clock
        self._listener = listener
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._events: list[Event] = []
        self._tasks: list[tuple[int, TaskResult]] = []

    def event(self, name: str, table: TableName | None = None, **data: Any) -> None:
        """Tells one event. `data` is JSON-compatible and holds no values of rows."""
        event = Event(name, self._clock(), self._run_id, table, data)
        with self._lock:
            if name not in _PASSING and data.get("status") != "skipped":  # a skip's result stands among the tasks; thousands of them are common
                self._events.append(event)
            if self._listener is not None:
                self._listener(event)

    def task(self, ordinal: int, result: TaskResult) -> None:
        """Keeps the final result of one task, and tells it as `task_finished`."""
        with self._lock:
            self._tasks.append((ordinal, result))
        self.event(
            "task_finished",
            result.table,
            status=result.status,
            operation=result.operation,
            rows_written=result.rows_written,
            rows_deleted=result.rows_deleted,
            rows_rejected=result.rows_rejected,
            size_bytes=result.size_bytes,
            seconds=round(result.seconds, 3),
            attempts=result.attempts,
            reason=result.reason,
            error=result.error_text,
            code=result.error_code,
        )

    def flush(self) -> None:
        """Writes what has come together, in one transaction. Raises StateError kinds."""
        with self._flushing:
            with self._lock:
                events, tasks = self._events, self._tasks
                self._events, self._tasks = [], []
            if not events and not tasks:
                return
            try:
                self._store.record(self._run_id, events=events, tasks=tasks)
            except BaseException:
                with self._lock:
                    self._events[:0] = events
                    self._tasks[:0] = tasks
                raise
