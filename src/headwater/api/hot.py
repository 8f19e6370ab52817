"""What keeps the tables marked hot in memory while doors are open: a thread that follows what is published."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from headwater.errors import HeadwaterError

if TYPE_CHECKING:
    from headwater.spec.names import TableName
    from headwater.storage import Lake

log = logging.getLogger("headwater.serving")

#: How often what is published is looked at; queries that find nothing in memory make it sooner.
_LOOK_SECONDS: Final = 1.0
#: The least time between two looks.
_PAUSE_SECONDS: Final = 0.1


class HotKeeper:
    """Refreshes a lake's tables in memory until closed; does nothing while none is chosen. Thread-safe."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._closed = threading.Event()
        self._chosen: tuple[frozenset[TableName], int] = (frozenset(), 0)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._failure = ""

    def choose(self, tables: Collection[TableName], budget_bytes: int) -> None:
        """These tables, and no others, from now on."""
        chosen = (frozenset(tables), budget_bytes)
        with self._lock:
            if chosen == self._chosen or self._closed.is_set():
                return
            self._chosen = chosen
            self._lake.choose_hot(tables, budget_bytes)
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name="headwater-hot", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Idempotent; waits for a copy that is being made."""
        self._closed.set()
        self._lake.wake_hot()
        if self._thread is not None:
            self._thread.join()

    def _keep(self) -> None:
        while not self._closed.is_set():
            try:
                self._lake.refresh_hot()
                self._failure = ""
            except HeadwaterError as error:  # queries read the lake's files meanwhile, and say it louder if they can't
                if error.what != self._failure:
                    self._failure = error.what
                    log.warning("tables in memory can't be renewed: %s (%s)", error.what, error.code)
            self._closed.wait(_PAUSE_SECONDS)
            self._lake.wait_hot(_LOOK_SECONDS)
