"""Where a query finds a table's rows without asking the lake for them: a copy in memory, else the table's plain files."""

from __future__ import annotations

from typing import TypeAlias

from headwater.storage.changes import TableState
from headwater.storage.gate.files import FileLists, PlainFiles
from headwater.storage.gate.hot import HotCopy, HotTables

#: Each is of one version of a table's published rows, and never changes.
Apart: TypeAlias = HotCopy | PlainFiles


class Lease:
    """What one query reads so, there until it is closed. For one thread at a time."""

    def __init__(self, hot: HotTables, files: FileLists, upto: int, base: int) -> None:
        """For a query whose transaction stands at the snapshot `base`, and sees copies up to the number `upto`."""
        self._hot = hot
        self._files = files
        self._upto = upto
        self._base = base
        self._held: dict[tuple[str, str], Apart] = {}

    def of(self, state: TableState) -> Apart | None:
        """The rows of what `state` publishes of its table; None where the lake has to be asked for them."""
        held = self._held.get(state.table.key)
        if held is None:
            held = self._hot.take(state, self._upto) if self._hot.is_used else None
            held = held or self._files.of(state, self._base)
            if held is not None:
                self._held[state.table.key] = held
        return held if held is not None and held.is_of(state) else None

    def close(self) -> None:
        """Idempotent."""
        held, self._held = self._held, {}
        for one in held.values():
            if isinstance(one, HotCopy):
                self._hot.give_back(one)
