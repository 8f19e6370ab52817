"""The audit as DuckDB reads it: the columns and the time that a query asks for, a few thousand rows at once, never all of it.

DuckDB gives an Arrow dataset the columns it wants and the conditions it knows each time that it scans it. Which stretch of time can meet the
conditions is found by Arrow's own rule for leaving out files: each of many stretches stands for a file that holds its rows, and none is ever opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
import sqlalchemy as sa

from headwater.state import StateStore
from headwater.state import tables as t

#: Into how many stretches the whole time is cut.
_STRETCHES: Final = 256
#: Rows that are in memory at once.
_BATCH: Final = 10_000
_TICK: Final = timedelta(microseconds=1)

#: Rows with these columns of the times in [start, end), in the order they were written; for None, of all times.
Read = Callable[[Sequence[str], tuple[datetime, datetime] | None], Iterator[pa.RecordBatch]]


class AuditTable(ds.Dataset):
    """A dataset whose rows `read` gives anew for each scan. `time` names its column of times; `span` are the first and the last there are."""

    def __init__(self, schema: pa.Schema, read: Read, time: str, span: tuple[datetime, datetime] | None) -> None:
        # without the base's own, which makes datasets of files; nothing but what follows is asked of it
        self._columns = schema
        self._read = read
        self._time = time
        self._span = span

    @property
    def schema(self) -> pa.Schema:
        return self._columns

    def scanner(self, columns: list[str] | None = None, filter: ds.Expression | None = None, *others: Any, **options: Any) -> ds.Scanner:
        """What DuckDB calls. The conditions are all applied, whatever the stretch of time left out."""
        names = self._columns.names if columns is None else list(columns)
        rows = self._read(names, None if filter is None else self._stretch(filter))
        return ds.Scanner.from_batches(rows, schema=pa.schema([self._columns.field(name) for name in names]), columns=columns, filter=filter)

    def _stretch(self, filter: ds.Expression) -> tuple[datetime, datetime] | None:
        """All times at which a row may meet the conditions lie in it; None where that may be any."""
        if self._span is None:
            return None
        first, last = self._span
        step = (last - first) / _STRETCHES + _TICK
        starts = [first + step * number for number in range(_STRETCHES)]
        type = self._columns.field(self._time).type
        field, format, nowhere = ds.field(self._time), ds.ParquetFileFormat(), pyarrow.fs.LocalFileSystem()
        stretches = [
            format.make_fragment(str(number), nowhere, (field >= pa.scalar(start, type)) & (field < pa.scalar(start + step, type)))
            for number, start in enumerate(starts)
        ]
        met = [int(one.path) for one in ds.FileSystemDataset(stretches, self._columns, format, nowhere).get_fragments(filter)]
        if len(met) == _STRETCHES:
            return None
        return (starts[min(met)], starts[max(met)] + step) if met else (first, first)


def read_batches(
    state: StateStore, columns: Sequence[sa.Column[Any]], conditions: Sequence[sa.ColumnElement[bool]], schema: pa.Schema, begin: int
) -> Iterator[pa.RecordBatch]:
    """Columns of the rows that meet the conditions, from the number `begin` on, the oldest first; `schema` is what they become."""
    seq, last = t.audit.c.seq, begin - 1
    while True:
        query = sa.select(seq.label("number"), *(column.label(f"hw_{column.name}") for column in columns))
        rows = _fetched(state, query.where(*conditions, seq > last).order_by(seq).limit(_BATCH))
        if rows:
            last = rows[-1][0]
            values = list(zip(*rows, strict=True))[1:]
            yield pa.RecordBatch.from_arrays([pa.array(*one) for one in zip(values, schema.types, strict=True)], schema=schema)
        if len(rows) < _BATCH:
            return


def _fetched(state: StateStore, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
    return state.read(lambda connection: connection.execute(query).all())
