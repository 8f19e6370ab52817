"""Ending what takes too long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

#: Between two statements an interrupt isn't noticed: it comes again and again.
_AGAIN_SECONDS: Final = 0.2


class Overtime:
    """From `seconds` on, `interrupt` is called on a thread of its own, until this is closed; `is_late` says whether it came to that."""

    def __init__(self, seconds: float, interrupt: Callable[[], None]) -> None:
        self._interrupt = interrupt
        self._is_over = threading.Event()
        self.is_late = False
        self._thread = threading.Thread(target=self._watch, args=(seconds,), name="headwater-overtime", daemon=True)
        self._thread.start()

    def _watch(self, seconds: float) -> None:
        while not self._is_over.wait(seconds):
            self.is_late = True
            self._interrupt()
            seconds = _AGAIN_SECONDS

    def close(self) -> None:
        """Nothing is interrupted any more once this returns. Idempotent."""
        self._is_over.set()
        self._thread.join()
