"""What beats beside a run: its leases are renewed, its events written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from headwater.errors import StateError
from headwater.orchestration.events import Recorder
from headwater.spec.names import TableName

if TYPE_CHECKING:
    from headwater.state import Lease, StateStore

_LONGEST_PAUSE_SECONDS = 5.0


class Heart:
    """A thread that renews `lease` three times within its time to live, and flushes the recorder. Runs inside `with`.

    It waits on the monotonic clock, so a wall clock that jumps neither hastens nor stops it. A store that can't be reached for a while is
    asked again: what guards the lake is the token, not the lease.
    """

    def __init__(self, store: StateStore, lease: Lease, recorder: Recorder, on_lost: Callable[[tuple[TableName, ...]], None]) -> None:
        self._store = store
        self._lease = lease
        self._recorder = recorder
        self._on_lost = on_lost
        self._stop = threading.Event()
        self._told: set[TableName] = set()
        self._thread = threading.Thread(target=self._beat, name="headwater-heart", daemon=True)

    def __enter__(self) -> Heart:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        pause = min(self._lease.ttl_seconds / 3, _LONGEST_PAUSE_SECONDS)
        while not self._stop.wait(pause):
            self.beat()

    def beat(self) -> None:
        """Once: renews, flushes, and tells `on_lost` of tables another run has taken over since."""
        try:
            lost = tuple(table for table in self._store.renew(self._lease) if table not in self._told)
            if lost:
                self._told.update(lost)
                self._on_lost(lost)
            self._recorder.flush()
        except StateError:
            return  # tried again at the next beat
