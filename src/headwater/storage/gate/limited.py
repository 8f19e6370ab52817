"""Readers whose roles limit the memory of one query: each query runs on an engine of its own, which no other uses meanwhile.

DuckDB limits the memory of an instance, not that of a statement.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from headwater.errors import HeadwaterError
from headwater.storage.core import Core
from headwater.storage.gate.access import Access
from headwater.storage.gate.door import Door
from headwater.storage.reading import Reading

#: Engines that wait for the next query; those over it are closed when their query is over.
_MOST_KEPT: Final = 4


@dataclass(frozen=True, slots=True)
class _Limited:
    """A door over the same lake, attached to an engine with `memory` bytes."""

    memory: int
    core: Core
    door: Door

    def close(self) -> None:
        self.door.close()
        self.core.close()
        self.core.engine.close()


class LimitedDoors:
    """Doors for those with `limits.memory`. Thread-safe."""

    def __init__(self, door: Door, reopen: Callable[[int], Core]) -> None:
        """`door` is everybody else's; `reopen` attaches the same lake, to be read, to a new engine with so many bytes of memory."""
        self._door = door
        self._reopen = reopen
        self._kept: list[_Limited] = []
        self._lock = threading.Lock()
        self._is_closed = False

    def read(self, access: Access, memory: int, sql: str, read: Callable[[Door], Reading]) -> Reading:
        """What `read` reads at a door that has `memory` bytes, for itself until the reading is closed. `sql` is what the audit is told where there is
        none to be had. Raises what `read` raises."""
        limited = self._borrow(access, memory, sql)
        try:
            reading = read(limited.door)
        except BaseException:
            self._give_back(limited)
            raise
        reading.then(lambda: self._give_back(limited))
        return reading

    def close(self) -> None:
        """Ends all that wait; those in use end with their query."""
        with self._lock:
            self._is_closed = True
            kept, self._kept = self._kept, []
        for one in kept:
            one.close()

    def _borrow(self, access: Access, memory: int, sql: str) -> _Limited:
        with self._lock:
            found = next((one for one in self._kept if one.memory == memory), None)
            if found is not None:
                self._kept.remove(found)
                return found
        failure: HeadwaterError
        try:
            core = self._reopen(memory)
            return _Limited(memory, core, Door(core))
        except HeadwaterError as error:
            failure = error
        raise self._door.told(access, sql, failure)

    def _give_back(self, limited: _Limited) -> None:
        ended: list[_Limited] = []
        with self._lock:
            if self._is_closed:
                ended.append(limited)
            else:
                self._kept.append(limited)
            if len(self._kept) > _MOST_KEPT:
                ended.append(self._kept.pop(0))
        for one in ended:
            one.close()
