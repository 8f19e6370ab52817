"""One answer for all who ask at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Round(Generic[T]):
    """One call, for all who wait for it."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.value: T | None = None
        self.is_good = False


class SharedReads(Generic[T]):
    """Calls that many threads make at once are made once for all of them. Thread-safe.

    Nobody is given what was read before they asked: who comes while a call runs waits for the next one, together with all others who do.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[Hashable, _Round[T]] = {}
        self._next: dict[Hashable, _Round[T]] = {}

    def get(self, key: Hashable, read: Callable[[], T]) -> T:
        """What `read` gives, called by this thread or by another that asked for the same `key` meanwhile. Raises what it raises."""
        with self._lock:
            before = self._running.get(key)
            if before is None:
                mine = self._running[key] = _Round()
                is_leader = True
            else:
                is_leader = key not in self._next
                mine = self._next.setdefault(key, _Round())
        if not is_leader:
            mine.done.wait()
            # what went wrong for the one who called isn't told to others: each finds out for itself
            return mine.value if mine.is_good else read()  # type: ignore[return-value]
        if before is not None:
            before.done.wait()
            with self._lock:
                self._running[key] = self._next.pop(key)
        try:
            mine.value = read()
            mine.is_good = True
            return mine.value
        finally:
            with self._lock:
                if key not in self._next:
                    del self._running[key]
            mine.done.set()
