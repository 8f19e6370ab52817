"""Delimited files read a second time, to tell the lines of rows that broke their contract. Python reads them, one file at a time, as a stream."""

# paths of files are text here, as in the listing
# ruff: noqa: PTH116, PTH202

from __future__ import annotations

import io
import itertools
import os
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import IO

from headwater.errors import SourceReadFailed
from headwater.sources.connector import Reread
from headwater.sources.files.listing import local_stamp, s3_stamp
from headwater.sources.files.plan import MAX_LINE_BYTES, FilePlan
from headwater.sources.files.records import Allowance, Dialect, Record, lines_of, records
from headwater.sources.files.unpacking import ReadableFile, open_unpacked
from headwater.spec.names import quote_literal

#: Unpacked bytes of one place that are looked through again, all its files in all portions of a read together.
MOST_BYTES = 1 << 28
#: The longest object in a bucket that is fetched a second time.
MOST_FETCHED_BYTES = 64 << 20
_ROWS_AT_ONCE = 10_000
Row = tuple[str, int, tuple[str | None, ...] | str]


@dataclass(frozen=True)
class Again:
    """The files of one portion. `columns` are all of theirs, `chosen` those that are read, `expressions` what SQL makes of some of them.

    `allowances`, of each place, are shared by the portions of a read.
    """

    plan: FilePlan
    dialect: Dialect
    files: tuple[ReadableFile, ...]
    columns: tuple[str, ...]
    chosen: tuple[str, ...]
    nulls: frozenset[str]
    expressions: Mapping[str, str]
    allowances: Mapping[str | None, Allowance]

    def reread(self, place: str | None) -> Reread | None:
        """See `Scan.reread`. A place is a file's label, or its key, which all members of an archive share."""
        files = self.files if place is None else self._by_place.get(place)
        return Reread(self.chosen, self._rows(files, self.allowances[place])) if files else None

    @cached_property
    def _by_place(self) -> Mapping[str, Sequence[ReadableFile]]:
        found: dict[str, list[ReadableFile]] = defaultdict(list)
        for file in self.files:
            for place in {file.label, file.key}:
                found[place].append(file)
        return found

    def _rows(self, files: Sequence[ReadableFile], allowance: Allowance) -> Iterator[Row]:
        try:
            if sum(_size(file) for file in files) > allowance.left:
                raise SourceReadFailed("the files are too long to be looked through again", expected=f"at most {MOST_BYTES:,} bytes")
            for file in files:
                with self._opened(file) as raw:
                    lines = lines_of(raw, file.encoding, longest=MAX_LINE_BYTES, allowance=allowance)
                    yield from self._values(file.label, records(lines, self.dialect, longest=MAX_LINE_BYTES))
                if not file.is_remote and file.stamp is not None and dict(file.stamp) != local_stamp(os.stat(file.address)):
                    raise _changed(file)
        except (OSError, EOFError, zlib.error) as error:
            raise SourceReadFailed("a file can't be read again", found=type(error).__name__) from None

    def _opened(self, file: ReadableFile) -> IO[bytes]:
        """The unpacked bytes. An object elsewhere is fetched into memory, if it is small and still what it was."""
        if not file.is_remote:
            return open_unpacked(file)
        if _size(file) > MOST_FETCHED_BYTES:
            raise SourceReadFailed(f"{file.label} is too long to be fetched again", expected=f"at most {MOST_FETCHED_BYTES:,} bytes")
        found = self.plan.run(f"SELECT content, size, epoch_us(last_modified) FROM read_blob({quote_literal(file.address)})").fetchall()
        if len(found) != 1 or s3_stamp(*found[0][1:]) != dict(file.stamp or {}):
            raise _changed(file)
        return io.BytesIO(found[0][0])

    def _values(self, label: str, found: Iterator[Record]) -> Iterator[Row]:
        """The records with their values as the scan gives them: nulls, chosen columns, what SQL makes of them."""
        nulls = self.nulls
        places = [self.columns.index(name) for name in self.chosen]
        is_whole = len(places) == len(self.columns)
        rows: Iterator[Row] = (
            (label, line, got)
            if isinstance(got, str)
            else (label, line, tuple([None if field in nulls else field for field in (got if is_whole else [got[place] for place in places])]))
            for line, got in found
        )
        return self._expressed(rows) if self.expressions else rows

    def _expressed(self, rows: Iterator[Row]) -> Iterator[Row]:
        import pyarrow as pa  # heavy, and rarely needed here

        places = {self.chosen.index(name): sql for name, sql in self.expressions.items() if name in self.chosen}
        names = [self.chosen[place] for place in places]
        while some := list(itertools.islice(rows, _ROWS_AT_ONCE)):
            whole = [values for _, _, values in some if not isinstance(values, str)]
            try:
                table = pa.table(
                    {name: pa.array([values[place] for values in whole], pa.string()) for name, place in zip(names, places, strict=True)}
                )
            except UnicodeError:
                raise SourceReadFailed("some bytes aren't the encoding") from None
            made = iter(self.plan.evaluate(table, list(places.values()))) if names else iter(())
            for label, line, values in some:
                if isinstance(values, str) or not names:
                    yield label, line, values
                else:
                    new = dict(zip(places, next(made), strict=True))
                    yield label, line, tuple(new.get(place, value) for place, value in enumerate(values))


def new_allowances() -> Mapping[str | None, Allowance]:
    """What may be looked through again of each place of one read."""
    return defaultdict(lambda: Allowance(MOST_BYTES))


def _size(file: ReadableFile) -> int:
    return int((file.stamp or {}).get("size", 0)) if file.is_remote else os.path.getsize(file.address)


def _changed(file: ReadableFile) -> SourceReadFailed:
    return SourceReadFailed(f"{file.label} has changed since it was found")
