"""What can be said of a declaration before any row is read: types, patterns, column names, the layout of files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from headwater.errors import HeadwaterError, Location
from headwater.project.problems import Locate, Report, nearest
from headwater.spec.checks import Check, Matches
from headwater.spec.models import Model
from headwater.spec.sources import Stream
from headwater.spec.tables import split_type_arguments

#: DuckDB's names of types, and the first words of those of several words.
_TYPE_NAMES = """
    bigint bignum binary bit bitstring blob bool boolean bpchar bytea char character date datetime dec decimal double enum float float4 float8
    geometry guid hugeint int int1 int128 int16 int2 int32 int4 int64 int8 integer integral interval json logical long map national nchar null
    numeric nvarchar oid real row short signed smallint string struct text time time_ns timestamp timestamp_ms timestamp_ns timestamp_s
    timestamp_us timestamptz timetz tinyint ubigint uhugeint uint128 uint16 uint32 uint64 uint8 uinteger union usmallint utinyint uuid varbinary
    varchar variant varint
"""
_TYPES = frozenset(_TYPE_NAMES.split())
_NESTED = ("struct", "row", "map", "union")
_TRANSFORMS = ("year", "month", "day", "hour", "bucket", "identity")
_TRANSFORM = re.compile(r'\s*(?:(?:year|month|day|hour|identity)\s*\(|bucket\s*\(\s*\d+\s*,)\s*(?:"[^"]+"|[^\s",()]+)\s*\)\s*', re.IGNORECASE)
#: Patterns of these parts alone mean the same to Python and to the engine, so that Python may judge them.
_PLAIN_PATTERN = re.compile(r"(?:\\[dDwWsSbB.\-/+*?$^|(){}\[\]\\@]|\((?!\?)|\{\d{1,3}(?:,\d{0,3})?\}(?!\+)|[*+?](?!\+)|[^\\(*+?{])*")


def check_declared(resource: Model | Stream, locate: Locate, place_of_check: Callable[[Check], Location], report: Report) -> None:
    """Tells unknown types, patterns that are no regular expressions, columns that differ by case alone, and impossible partitions."""
    spelt: dict[str, str] = {}
    for name, column in resource.columns.items():
        other = spelt.setdefault(name.lower(), name)
        if other != name:
            message = f"the columns {other!r} and {name!r} differ by case alone"
            report.add("duplicate-column", message, locate(["columns", name], True), expected="one of the two: they are one column")
        if column.type is not None:
            unknown = next(_unknown_types(column.type), None)
            if unknown is not None:
                place = locate(["columns", name, "type"], False)
                report.add("unknown-type", f"there is no type {unknown!r}", place, did_you_mean=nearest(unknown, _TYPES))
    for index, item in enumerate(resource.partition_by):
        function, found, _ = item.partition("(")
        if found and not _TRANSFORM.fullmatch(item):
            guess = nearest(function.strip(), _TRANSFORMS)
            place = locate(["partition_by", index], False)
            known = "a column, or year, month, day, hour or identity of one, or bucket(NUMBER, COLUMN)"
            report.add("bad-partition", f"{item!r} is no partition", place, expected=known, did_you_mean=guess if guess != function.strip() else None)
    for check in (*resource.checks, *(check for column in resource.columns.values() for check in column.checks)):
        if isinstance(check, Matches):
            wrong = _wrong_pattern(check.pattern)
            if wrong is not None:
                report.add("bad-pattern", f"{check.pattern!r} is no regular expression: {wrong}", place_of_check(check), expected="one as RE2 has it")


def _unknown_types(text: str) -> Iterator[str]:
    """The names in a type that aren't DuckDB's."""
    text = re.sub(r"(?:\s*\[\d*\])+$", "", text.strip())
    head, has_arguments, rest = text.partition("(")
    words = head.lower().split()
    if not words or head.startswith('"'):
        return
    if words[0] not in _TYPES:
        yield head.strip()
    elif has_arguments and words[0] in _NESTED:
        for part in split_type_arguments(rest.rpartition(")")[0]):
            if words[0] == "map":
                yield from _unknown_types(part)
            elif not part.startswith('"'):
                yield from _unknown_types(part.partition(" ")[2])


def _wrong_pattern(pattern: str) -> str | None:
    """What the engine would say against a pattern; it is asked only where Python can't tell."""
    if _PLAIN_PATTERN.fullmatch(pattern):
        try:
            re.compile(pattern)
            return None
        except re.error:
            pass
    from headwater.engine import Engine  # heavy, and seldom needed

    with Engine(threads=1) as engine, engine.connection() as connection:
        try:
            connection.execute("SELECT regexp_matches('', ?)", [pattern])
        except HeadwaterError as error:
            return (error.found or error.what).splitlines()[0]
    return None


def unknown_vars(given: Mapping[str, object], declared: Mapping[str, object], used: Iterator[str]) -> list[str]:
    """The vars that were given and that nothing declares or uses."""
    missing = [name for name in given if name not in declared]
    return [name for name in missing if name not in set(used)] if missing else []
