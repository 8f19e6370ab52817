"""Cursors that were DECLAREd, and how FETCH and MOVE ask for their rows."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from headwater.serving.postgres.failures import WireError
from headwater.serving.postgres.statements import Words
from headwater.serving.postgres.values import Rows


class Cursor:
    """DECLAREd: rows are taken as FETCH asks for them."""

    def __init__(self, rows: Rows, is_held: bool, rights: str | None) -> None:
        """`rights` are those by which it was declared."""
        self.rows = rows
        self.is_held = is_held
        self.rights = rights
        self._left: pa.RecordBatch | None = None

    def take(self, count: int | None) -> Iterator[pa.RecordBatch]:
        while count is None or count > 0:
            batch = self._left if self._left is not None else next(self.rows.batches, None)
            self._left = None
            if batch is None:
                return
            if count is not None and batch.num_rows > count:
                self._left = batch.slice(count)
                batch = batch.slice(0, count)
            if count is not None:
                count -= batch.num_rows
            if batch.num_rows:
                yield batch


def read_fetch(sql: str) -> tuple[str, int | None]:
    """Cursor and number of rows (None: all) of FETCH and MOVE, which go forward only."""
    words = Words(sql)
    if not words.accept("fetch"):
        words.expect("move")
    count: int | None = 1
    words.accept("forward")
    if words.accept("next") or words.peek() in ("from", "in"):
        pass
    elif words.accept("all"):
        count = None
    elif words.peek() in ("prior", "first", "last", "absolute", "relative", "backward") or words.peek().startswith("-"):
        raise WireError("55000", "a cursor goes forward only here")
    elif words.peek().isdecimal():
        count = int(words.value())
    if not words.accept("from"):
        words.accept("in")
    name = words.name()
    words.end()
    return name, count
