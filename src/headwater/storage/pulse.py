"""Whether anything was committed to a SQLite catalog, told by its own mark of the newest commit: SQLite, asked, would read its whole schema first.

While anybody has a catalog in WAL mode open, a file of shared memory lies beside it that begins with two equal copies of a header; every commit
changes it, as the very act by which others see the commit.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

_HEADER_BYTES: Final = 48
#: Within the header: whether it holds anything yet.
_IS_SET: Final = 12

#: Files once opened stay open for as long as they have a name: closing a file gives up all locks that this process has on it, SQLite's own too.
_open: dict[Path, tuple[int, int, int]] = {}
_lock: Final = threading.Lock()


class Pulse:
    """The mark of one catalog. Thread-safe."""

    def __init__(self, catalog: Path) -> None:
        self._path = catalog.with_name(f"{catalog.name}-shm")

    def read(self) -> bytes | None:
        """The same as before: nothing was committed in between. None where that can't be told, since nobody has the catalog open just now."""
        try:
            there = self._path.stat()
            known = _open.get(self._path)
            if known is None or known[1:] != (there.st_dev, there.st_ino):
                known = self._reopen()
            header = os.pread(known[0], 2 * _HEADER_BYTES, 0)
        except OSError:
            return None
        first = header[:_HEADER_BYTES]
        if len(header) < 2 * _HEADER_BYTES or first != header[_HEADER_BYTES:] or not first[_IS_SET]:
            return None
        return first + known[2].to_bytes(8, "little")

    def _reopen(self) -> tuple[int, int, int]:
        with _lock:
            for path, (file, _, _) in list(_open.items()):
                if not os.fstat(file).st_nlink:
                    del _open[path]
                    os.close(file)
            there = self._path.stat()
            known = _open.get(self._path)
            if known is None or known[1:] != (there.st_dev, there.st_ino):
                file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
                at = os.fstat(file)
                known = _open[self._path] = (file, at.st_dev, at.st_ino)
            return known
