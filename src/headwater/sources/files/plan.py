"""What the formats share: the files to read, the options of the stream, and the SQL they all need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headwater.errors import HeadwaterError, SourceDataInvalid
from headwater.sources.connector import DiscoveredColumn, Portion, Reread, Scan
from headwater.sources.files.unpacking import ReadableFile
from headwater.spec.names import FILE_COLUMN, TECHNICAL_COLUMNS, quote, quote_literal

if TYPE_CHECKING:
    import pyarrow as pa

#: Files of one portion: enough to keep the engine busy, few enough for the SQL to stay readable.
FILES_PER_PORTION = 1000
#: The longest line or object, and with it the longest field.
MAX_LINE_BYTES = 64 * 1024 * 1024
#: Options of read_csv that give whole lines: this control character never stands in text that people deliver.
ONE_COLUMN = "delim = '\x01', quote = '', escape = '', header = false"
POSITION_COLUMN = "_hw_position"
ADDRESS_COLUMN = "_hw_address"
#: Names that a file's own columns may not have; they get a number, as the second of two columns of one name does.
RESERVED = frozenset({*TECHNICAL_COLUMNS, POSITION_COLUMN, ADDRESS_COLUMN})


@dataclass(frozen=True, slots=True)
class FilePlan:
    """Everything a format needs to plan its portions.

    `run`, `sample_forms` and `evaluate` (SQL expressions over the rows of a table, in order) work on the connector's own engine and explain its
    errors.
    """

    subject: str
    options: Mapping[str, Any]
    run: Callable[[str], Any]
    sample_forms: Callable[[str, Sequence[str], Mapping[str, str], int], dict[str, int]]
    explain: Callable[[HeadwaterError], HeadwaterError]
    evaluate: Callable[[pa.Table, Sequence[str]], Sequence[tuple[Any, ...]]]
    select: Sequence[str] = ()
    exclude: Sequence[str] = ()
    column_types: Mapping[str, str] = field(default_factory=dict)
    with_file_column: bool = True
    limit: int | None = None
    setup: tuple[str, ...] = ()
    teardown: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    local_prefix: str = ""

    def chosen(self, columns: Sequence[str]) -> list[str]:
        """The columns `select` and `exclude` leave, in the order of the file. Case doesn't matter."""
        if self.select:
            wanted = {name.lower() for name in self.select}
            return [name for name in columns if name.lower() in wanted]
        dropped = {name.lower() for name in self.exclude}
        return [name for name in columns if name.lower() not in dropped]

    def check_selection(self, seen: Sequence[str]) -> None:
        """Raises SourceDataInvalid when `select` names a column that no file has."""
        known = {name.lower() for name in seen}
        missing = [name for name in self.select if name.lower() not in known]
        if missing:
            raise SourceDataInvalid(
                f"{self.subject} has no column {', '.join(missing)}", expected="what select names", found=", ".join(sorted(seen)[:50])
            )

    def declared(self, column: str) -> str | None:
        """The type the contract gives a column; None when it gives none."""
        return next((type_name for name, type_name in self.column_types.items() if name.lower() == column.lower()), None)

    def technical(self, files: Sequence[ReadableFile], address: str) -> list[str]:
        """The SELECT items for `_hw_file` and `_hw_position`, from the SQL expression that gives a file's address."""
        items = [f"{self._renamed({f.address: f.label for f in files}, address)} AS {quote(POSITION_COLUMN)}"]
        if self.with_file_column:
            items.insert(0, f"{self._renamed({f.address: f.key for f in files}, address)} AS {quote(FILE_COLUMN)}")
        return items

    def _renamed(self, names: Mapping[str, str], address: str) -> str:
        if all(key == value for key, value in names.items()):
            return address
        if self.local_prefix and all(key == self.local_prefix + value for key, value in names.items()):
            return f"substr({address}, {len(self.local_prefix) + 1})"
        if len(names) == 1:
            return quote_literal(next(iter(names.values())))
        entries = ", ".join(f"{quote_literal(key)}: {quote_literal(value)}" for key, value in names.items())
        return f"MAP {{{entries}}}[{address}]"

    def scan(
        self,
        sql: str,
        *,
        suggested: Mapping[str, str] | None = None,
        rejects_sql: str | None = None,
        teardown: Sequence[str] = (),
        reread: Callable[[str | None], Reread | None] | None = None,
    ) -> Scan:
        limited = sql if self.limit is None else f"SELECT *\nFROM ({sql})\nLIMIT {self.limit}"
        return Scan(
            sql=limited,
            setup=self.setup,
            teardown=(*teardown, *self.teardown),
            extensions=self.extensions,
            suggested_types=suggested or {},
            rejects_sql=rejects_sql,
            explain=self.explain,
            reread=reread,
        )


@dataclass(frozen=True, slots=True)
class Planned:
    """The portions of one read, and the columns (with the types they seem to have) that were seen in planning it."""

    portions: tuple[Portion, ...]
    columns: tuple[DiscoveredColumn, ...]


def batches_of(files: Sequence[ReadableFile], size: int = FILES_PER_PORTION) -> Iterator[Sequence[ReadableFile]]:
    for start in range(0, len(files), size):
        yield files[start : start + size]


def file_list(files: Sequence[ReadableFile]) -> str:
    """The files' addresses as a SQL list."""
    return "[" + ", ".join(quote_literal(file.address) for file in files) + "]"


def describe_files(files: Sequence[ReadableFile]) -> str:
    return files[0].label if len(files) == 1 else f"{files[0].label} and {len(files) - 1} more"


def unique_columns(names: Sequence[str], *, empty: str = "column{}") -> list[str]:
    """Column names no two of which differ by case alone: an empty one is `column3` (counted from 0), the second `a` is `a_1`."""
    taken: set[str] = {name.lower() for name in RESERVED}
    result = []
    for index, name in enumerate(names):
        bare = name.strip() or empty.format(index)
        candidate, number = bare, 0
        while candidate.lower() in taken:
            number += 1
            candidate = f"{bare}_{number}"
        taken.add(candidate.lower())
        result.append(candidate)
    return result


def merged_columns(groups: Sequence[tuple[Sequence[str], Mapping[str, str]]]) -> tuple[DiscoveredColumn, ...]:
    """The columns of several groups united by name, in order of first appearance; a column without a type is text."""
    names: dict[str, str] = {}
    for columns, types in groups:
        for name in columns:
            if name.lower() not in {known.lower() for known in names}:
                names[name] = types.get(name, "VARCHAR")
    return tuple(DiscoveredColumn(name, type_name) for name, type_name in names.items())
