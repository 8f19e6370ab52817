"""Where rejected rows stand: a source that told only their file is asked to read that file again, and the rows are looked for in it.

Nothing is asked while nothing is rejected. A line is told only when the file holds as many rows equal to the rejected ones as were rejected; else
the position stays what it was.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from headwater.engine import Connection
from headwater.errors import HeadwaterError, Interrupted
from headwater.ingestion.applying import Bench
from headwater.ingestion.reading import OpenPortion
from headwater.sources import Reread, Scan
from headwater.storage.changes import Staged

#: Of a place with more rejects than this, or more bytes of them, none is looked for; nor are more than this in one load.
MOST_REJECTS = 100_000
MOST_REJECT_BYTES = 16 * 1024 * 1024
_ROWS_AT_ONCE = 10_000
#: A line the reader couldn't take apart (a JSON string) has its own line behind its file.
_PLACE = """
    CASE WHEN json_type(raw) = 'VARCHAR' THEN regexp_replace(json_extract_string(position, '$.at'), ':\\d+$', '')
    ELSE coalesce(json_extract_string(position, '$.at'), json_extract_string(position, '$.file')) END"""


#: The values that aren't null with the columns' names in lower case; of a line that couldn't be taken apart, its text.
_Row = frozenset[tuple[str, str]] | str


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A reject to be found: its number, how often it was rejected in its place, its row as it came."""

    number: int
    times: int
    raw: str


@dataclass(slots=True)
class _Alike:
    """Rejects that are one another's equals: their numbers; how often each way of writing them was rejected; where such rows stand."""

    numbers: list[int] = field(default_factory=list)
    times: dict[str, int] = field(default_factory=dict)
    stand: list[tuple[str, int]] = field(default_factory=list)

    def add(self, place: str, line: int) -> None:
        if len(self.stand) <= sum(self.times.values()):  # one too many is enough to know
            self.stand.append((place, line))

    def told(self) -> Iterator[tuple[int, str]]:
        if len(self.stand) == sum(self.times.values()):
            for number, (place, line) in zip(self.numbers, self.stand[-len(self.numbers) :], strict=True):
                yield number, f"{place}:{line}"


def with_lines(bench: Bench, ready: Sequence[OpenPortion], rejects: str, fresh: Staged, is_cancelled: Callable[[], bool]) -> Staged:
    """`fresh` (of all `rejects`) with the lines that could be told. Of equal rows those that are fresh get the last lines. Raises Interrupted."""
    rereads = [m.portion.data.reread for m in ready if isinstance(m.portion.data, Scan) and m.portion.data.reread is not None]
    if not rereads:
        return fresh
    numbered = bench.stage(f"SELECT row_number() OVER () AS hw_number, {_PLACE} AS hw_place, * FROM {fresh.relation}", as_files=False)
    told: list[tuple[int, str]] = []
    for place, wanted in _by_place(bench.connection, numbered.relation, rejects):
        parts = [part for part in (reread(place) for reread in rereads) if part is not None]
        try:
            told += list(_found(parts, wanted, is_cancelled))
        except Interrupted:
            raise
        except HeadwaterError:
            pass  # gone or changed since, too much: the file alone is told
    if not told:
        return fresh
    import pyarrow as pa

    name = "hw_told_lines"
    bench.connection.register(name, pa.table({"hw_number": [number for number, _ in told], "hw_at": [at for _, at in told]}))
    try:
        return bench.stage(
            f"""
            SELECT raw, reason, column_name,
              CASE WHEN hw_at IS NULL THEN position
              ELSE json_merge_patch(coalesce(position, '{{}}')::JSON, json_object('at', hw_at))::VARCHAR END AS position
            FROM {numbered.relation}
            LEFT JOIN {name} USING (hw_number)
            """,
            as_files=False,
        )
    finally:
        bench.connection.unregister(name)


def _by_place(connection: Connection, numbered: str, rejects: str) -> Iterator[tuple[str | None, list[_Wanted]]]:
    """The fresh rejects of each place that hasn't too many, until with a place there are too many in all; one place in memory at a time."""
    result = connection.execute(f"""
        WITH few AS (
            SELECT f.hw_place, f.hw_number, r.hw_times, f.raw
            FROM {numbered} AS f
            JOIN (SELECT {_PLACE} AS hw_place, raw, count(*) AS hw_times FROM {rejects} GROUP BY ALL) AS r
              ON r.raw = f.raw AND r.hw_place IS NOT DISTINCT FROM f.hw_place
            QUALIFY count(*) OVER (PARTITION BY f.hw_place) <= {MOST_REJECTS}
              AND sum(strlen(f.raw)) OVER (PARTITION BY f.hw_place) <= {MOST_REJECT_BYTES}
        )
        SELECT hw_place, hw_number, hw_times, raw
        FROM few
        WINDOW up_to_this_place AS (ORDER BY hw_place)
        QUALIFY count(*) OVER up_to_this_place <= {MOST_REJECTS} AND sum(strlen(raw)) OVER up_to_this_place <= {MOST_REJECT_BYTES}
        ORDER BY hw_place, hw_number
    """)
    rows = itertools.chain.from_iterable(iter(lambda: result.fetchmany(_ROWS_AT_ONCE), []))
    for place, members in itertools.groupby(rows, key=lambda row: row[0]):
        yield place, [_Wanted(number, times, raw) for _, number, times, raw in members]


def _row(raw: str) -> _Row:
    value = json.loads(raw)
    if not isinstance(value, dict):
        return _text(str(value))
    given = {sys.intern(name.lower()): text for name, text in value.items() if text is not None}
    return frozenset((name, text if isinstance(text, str) else json.dumps(text)) for name, text in given.items())


def _text(line: str) -> str:
    """A line as the engine and the second look both give it: less its end, and less the blank ones that the engine puts before it."""
    return line.strip("\r\n")


def _found(parts: Sequence[Reread], wanted: Sequence[_Wanted], is_cancelled: Callable[[], bool]) -> Iterator[tuple[int, str]]:
    """The number and the place (`orders.csv:3`) of each that stands there as often as it was rejected. Raises what rereading does, Interrupted."""
    alike: dict[_Row, _Alike] = {}
    for member in wanted:
        same = alike.setdefault(_row(member.raw), _Alike())
        same.times[member.raw] = member.times
        same.numbers.append(member.number)
    for part in parts:
        names = [name.lower() for name in part.columns]
        lookup: dict[tuple[str | None, ...] | str, _Alike] = {}
        for row, same in alike.items():
            if isinstance(row, str):
                lookup[row] = same
            elif (values := dict(row)).keys() <= set(names):
                lookup[tuple(values.get(name) for name in names)] = same
        for count, (place, line, read) in enumerate(part.rows):
            if count % _ROWS_AT_ONCE == 0 and is_cancelled():
                raise Interrupted("the load was cancelled")
            standing = lookup.get(_text(read) if isinstance(read, str) else read)
            if standing is not None:
                standing.add(place, line)
    for same in alike.values():
        yield from same.told()
