"""Connections that stand at the newest snapshot, handed from one reader to the next.

Beginning a transaction on a lake takes longer than many a query.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from headwater.engine import Connection
from headwater.errors import HeadwaterError
from headwater.state.sharing import SharedReads
from headwater.storage.core import Core, rollback
from headwater.storage.pulse import Pulse

#: How old a transaction may become, in seconds: while it is open, the catalog's log can't be cut behind it.
_MOST_SECONDS: Final = 1.0
#: Of a Postgres catalog, each has a connection of its own.
_MOST_KEPT: Final = 16
_SWEEP_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Stand:
    """A connection in a transaction that sees the lake at the snapshot `base`, and the copies in memory up to the number `copies`."""

    connection: Connection
    base: int
    copies: int
    began_at: float


class Handle:
    """Interrupts what runs on a connection, for as long as it is its reader's. Any thread may call `interrupt` at any time."""

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self._lock = threading.Lock()

    def interrupt(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.interrupt()

    def release(self) -> None:
        """From now on it interrupts nothing."""
        with self._lock:
            self._connection = None


class Standing:
    """The connections of one lake that wait for their next reader; none while `is_used` is False. Thread-safe."""

    def __init__(self, core: Core, newest_copy: Callable[[], int]) -> None:
        """`newest_copy` gives the number of the newest copy in memory: older transactions don't see it."""
        self._core = core
        self._newest_copy = newest_copy
        self._kept: list[Stand] = []
        self._lock = threading.Lock()
        self._heads: SharedReads[int] = SharedReads()
        self._pulse = None if core.address.path is None or core.is_copy else Pulse(core.address.path)
        #: The newest snapshot, and the catalog's mark as it was before that was asked for.
        self._newest: tuple[bytes, int] | None = None
        self._is_swept = False
        self.is_used = False

    def take(self) -> Stand:
        """A connection at the newest snapshot there is. Raises LakeUnavailable."""
        copies = self._newest_copy()
        found = self._find(copies) if self._kept else None
        if found is not None:
            return found
        connection = self._core.engine.connection()
        try:
            began_at = time.monotonic()
            return Stand(connection, self._core.begin(connection), copies, began_at)
        except BaseException:
            connection.close()
            raise

    def give_back(self, stand: Stand, *, is_clean: bool) -> None:
        """Keeps it for the next reader, or closes it: where something went wrong on it (`is_clean` False), or it is old."""
        with self._lock:
            is_kept = self.is_used and is_clean and len(self._kept) < _MOST_KEPT and _is_young(stand)
            if is_kept:
                self._kept.append(stand)
            must_sweep = is_kept and not self._is_swept
            self._is_swept = self._is_swept or must_sweep
        if not is_kept:
            _end(stand)
        if must_sweep:
            threading.Thread(target=self._sweep, name="headwater-standing", daemon=True).start()

    def close(self) -> None:
        """Ends all that are kept, and keeps none from now on."""
        with self._lock:
            self.is_used = False
            kept, self._kept = self._kept, []
        for stand in kept:
            _end(stand)

    def _find(self, copies: int) -> Stand | None:
        try:
            head = self._head()
        except HeadwaterError:
            return None  # beginning a transaction says what is wrong, or waits until it is over
        behind: list[Stand] = []
        found: Stand | None = None
        with self._lock:
            while self._kept and found is None:
                stand = self._kept.pop()
                if stand.base == head and stand.copies == copies and _is_young(stand):
                    found = stand
                else:
                    behind.append(stand)
        for stand in behind:
            _end(stand)
        return found

    def _head(self) -> int:
        """The newest snapshot; where the catalog's mark is as it was, the one known."""
        mark = None if self._pulse is None else self._pulse.read()
        known = self._newest
        if mark is not None and known is not None and known[0] == mark:
            return known[1]
        head = self._heads.get("head", self._core.head)
        if mark is not None:
            self._newest = (mark, head)
        return head

    def _sweep(self) -> None:
        """Ends those that nobody took in time; this thread is gone when none is left."""
        while True:
            time.sleep(_SWEEP_SECONDS)
            with self._lock:
                old = [stand for stand in self._kept if not _is_young(stand)]
                self._kept = [stand for stand in self._kept if _is_young(stand)]
                self._is_swept = is_needed = bool(self._kept)
            for stand in old:
                _end(stand)
            if not is_needed:
                return


def _is_young(stand: Stand) -> bool:
    return time.monotonic() - stand.began_at < _MOST_SECONDS


def _end(stand: Stand) -> None:
    with contextlib.suppress(HeadwaterError):
        rollback(stand.connection)
    stand.connection.close()
