"""CSV and its kin: every value is read as text, and what types the columns seem to have is only suggested.

Files are grouped by header, each group with its columns spelled out: so nothing about a file is guessed by the engine, lines that don't fit are
kept as rejects, and a header that changed shows as columns that are new or missing.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.errors import SourceDataInvalid
from headwater.sources.base import unique_name
from headwater.sources.connector import Portion
from headwater.sources.files.again import Again, new_allowances
from headwater.sources.files.plan import (
    ADDRESS_COLUMN,
    MAX_LINE_BYTES,
    FilePlan,
    Planned,
    batches_of,
    describe_files,
    file_list,
    merged_columns,
    unique_columns,
)
from headwater.sources.files.records import Allowance, Dialect
from headwater.sources.files.unpacking import ReadableFile, open_unpacked
from headwater.sources.text import SAMPLE_ROWS, is_numeric, suggested_types
from headwater.spec.names import quote, quote_literal

_HEAD_BYTES = 256 * 1024
_DELIMITERS = (",", ";", "\t", "|")
#: Files whose values are looked at for types, of each header.
_SAMPLED_FILES = 3


@dataclass(frozen=True, slots=True)
class _Layout:
    """What decides whether two files can be read by one statement."""

    columns: tuple[str, ...]
    delimiter: str
    skip: int
    encoding: str
    compression: str


@dataclass(frozen=True, slots=True)
class _Group:
    layout: _Layout
    files: list[ReadableFile]


def plan_delimited(plan: FilePlan, files: Sequence[ReadableFile], delimiter: str | None, remote_head: Callable[[ReadableFile], str]) -> Planned:
    """The portions that read `files`. `remote_head` gives the first lines of one that isn't local. Empty files give nothing."""
    grouped: dict[_Layout, list[ReadableFile]] = defaultdict(list)
    for file in files:
        layout = _layout_of(plan, file, delimiter, remote_head)
        if layout is not None:
            grouped[layout].append(file)
    groups = [_Group(layout, members) for layout, members in grouped.items()]
    plan.check_selection([name for group in groups for name in group.layout.columns]) if groups else None
    expressions, types = _types(plan, groups)
    portions = []
    allowances = new_allowances()
    for group in groups:
        for batch in batches_of(group.files):
            portions.append(_portion(plan, group.layout, batch, expressions, types, allowances))
    return Planned(tuple(portions), merged_columns([(plan.chosen(group.layout.columns), types) for group in groups]))


def _portion(
    plan: FilePlan,
    layout: _Layout,
    files: Sequence[ReadableFile],
    expressions: Mapping[str, str],
    types: Mapping[str, str],
    allowances: Mapping[str | None, Allowance],
) -> Portion:
    chosen = plan.chosen(layout.columns)
    errors, scans = unique_name("rejects"), unique_name("rejects_scan")
    source = _read_csv(plan, layout, files, f"store_rejects = true, rejects_table = {quote_literal(errors)}, rejects_scan = {quote_literal(scans)}")
    items = [f"{expressions[name]} AS {quote(name)}" if name in expressions else quote(name) for name in chosen]
    items += plan.technical(files, quote(ADDRESS_COLUMN))
    sql = f"SELECT {', '.join(items)}\nFROM {source}"
    place = plan.technical(files, "s.file_path")[-1].rpartition(" AS ")[0]
    rejects = f"""
        SELECT
            any_value(e.csv_line) AS raw,
            string_agg(DISTINCT lower(e.error_type::VARCHAR) || ': ' || e.error_message, '; ') AS reason,
            {place} || ':' || e.line AS position
        FROM {quote(errors)} e
        JOIN {quote(scans)} s ON s.scan_id = e.scan_id AND s.file_id = e.file_id
        GROUP BY s.file_path, e.line"""
    suggested = {name: types[name] for name in chosen if name in types}
    teardown = tuple(f"DROP TABLE IF EXISTS {quote(table)}" for table in (errors, scans))
    nulls = frozenset(_null_texts(plan.options))
    again = Again(plan, _dialect(plan, layout), tuple(files), layout.columns, tuple(chosen), nulls, expressions, allowances)
    scan = plan.scan(sql, suggested=suggested, rejects_sql=rejects, teardown=teardown, reread=again.reread)
    return Portion(scan, describe_files(files), tuple(file.key for file in files))


def _dialect(plan: FilePlan, layout: _Layout) -> Dialect:
    options = plan.options
    quote_mark = str(options.get("quote", '"'))
    return Dialect(
        len(layout.columns),
        layout.delimiter,
        quote_mark,
        str(options.get("escape", quote_mark)),
        str(options.get("comment", "")),
        layout.skip,
        has_header=bool(options.get("header", True)),
        pads=bool(options.get("null_padding", False)),
    )


def _null_texts(options: Mapping[str, Any]) -> list[str]:
    given = options.get("nullstr", "")
    return [str(text) for text in given] if isinstance(given, (list, tuple)) else [str(given)]


def _read_csv(plan: FilePlan, layout: _Layout, files: Sequence[ReadableFile], more: str) -> str:
    options = plan.options
    columns = ", ".join(f"{quote_literal(name)}: 'VARCHAR'" for name in layout.columns)
    parts = [
        file_list(files),
        "auto_detect = false",
        f"columns = {{{columns}}}",
        f"header = {'true' if options.get('header', True) else 'false'}",
        f"delim = {quote_literal(layout.delimiter)}",
        f"quote = {quote_literal(str(options.get('quote', chr(34))))}",
        f"escape = {quote_literal(str(options.get('escape', options.get('quote', chr(34)))))}",
        f"compression = {quote_literal(layout.compression)}",
        f"encoding = {quote_literal(layout.encoding)}",
        f"max_line_size = {int(options.get('max_line_size', MAX_LINE_BYTES))}",
        f"filename = {quote_literal(ADDRESS_COLUMN)}",
    ]
    if layout.skip:
        parts.append(f"skip = {layout.skip}")
    if "comment" in options:
        parts.append(f"comment = {quote_literal(str(options['comment']))}")
    if "new_line" in options:
        parts.append(f"new_line = {quote_literal(str(options['new_line']))}")
    if "nullstr" in options:
        parts.append(f"nullstr = [{', '.join(quote_literal(text) for text in _null_texts(options))}]")
    parts += [f"{name} = {'true' if options[name] else 'false'}" for name in ("null_padding", "strict_mode") if name in options]
    return f"read_csv({', '.join(parts)}, {more})"


def _types(plan: FilePlan, groups: Sequence[_Group]) -> tuple[dict[str, str], dict[str, str]]:
    """SQL by column that brings a local way of writing numbers and dates into the common one; suggested types by column."""
    names = list(dict.fromkeys(name for group in groups for name in plan.chosen(group.layout.columns)))
    candidates = {name: _common_form(plan.options, quote(name)) for name in names} if _local_forms(plan.options) else {}
    forms: dict[str, int] = defaultdict(int)
    for group in groups:
        sample = f"SELECT * FROM {_read_csv(plan, group.layout, group.files[:_SAMPLED_FILES], 'ignore_errors = true')}"
        chosen = plan.chosen(group.layout.columns)
        rows = int(plan.options.get("sample_size", SAMPLE_ROWS))
        for name, bits in plan.sample_forms(sample, chosen, candidates, rows).items():
            forms[name] |= bits
    types = suggested_types(forms)
    expressions = {}
    for name, candidate in candidates.items():
        aim = plan.declared(name) or types.get(name)
        if is_numeric(aim) or (aim is not None and aim.upper().startswith(("DATE", "TIMESTAMP"))):
            expressions[name] = candidate
    return expressions, types


def _local_forms(options: Mapping[str, Any]) -> bool:
    return any(name in options for name in ("decimal_separator", "thousands", "dateformat", "timestampformat"))


def _common_form(options: Mapping[str, Any], column: str) -> str:
    """The value as the engine's casts understand it; what doesn't fit the given format stays as it is, and fails its cast there."""
    tries = []
    if "timestampformat" in options:
        tries.append(f"strftime(try_strptime({column}, {quote_literal(str(options['timestampformat']))}), '%Y-%m-%d %H:%M:%S.%f')")
    if "dateformat" in options:
        tries.append(f"strftime(try_strptime({column}, {quote_literal(str(options['dateformat']))}), '%Y-%m-%d')")
    decimal, thousands = str(options.get("decimal_separator", ".")), str(options.get("thousands", ""))
    if decimal != "." or thousands:
        bare = f"replace({column}, {quote_literal(thousands)}, '')" if thousands else column
        number = f"replace({bare}, {quote_literal(decimal)}, '.')"
        tries.append(f"CASE WHEN regexp_full_match({number}, '[+-]?\\d*\\.?\\d+([eE][+-]?\\d+)?') THEN {number} END")
    return f"coalesce({', '.join([*tries, column])})"


def _layout_of(plan: FilePlan, file: ReadableFile, delimiter: str | None, remote_head: Callable[[ReadableFile], str]) -> _Layout | None:
    options = plan.options
    text = remote_head(file) if file.is_remote else _head(file)
    comment, skip = options.get("comment"), int(options.get("skip", 0))
    lines = text.lstrip("\ufeff").splitlines(keepends=True)
    if comment:
        lines = [line for line in lines if not line.startswith(str(comment))]
    while skip < len(lines) and not lines[skip].strip("\r\n"):
        skip += 1
    lines = lines[skip:]
    if not lines:
        return None
    mark = str(options.get("delim") or delimiter or _most_frequent(lines[0], str(options.get("quote", '"'))))
    quote_mark = str(options.get("quote", '"'))
    try:
        reader = csv.reader(
            io.StringIO("".join(lines), newline=""),
            delimiter=mark,
            quotechar=quote_mark or None,
            quoting=csv.QUOTE_MINIMAL if quote_mark else csv.QUOTE_NONE,
        )
        first = next(reader)
    except (csv.Error, TypeError) as error:
        raise SourceDataInvalid(
            f"the header of {file.label} can't be read", found=str(error), hint="set options: {delim: .., quote: ..} of the stream"
        ) from None
    if "names" in options:
        names = [str(name) for name in options["names"]]
    elif options.get("header", True):
        names = first
    else:
        names = [""] * len(first)
    return _Layout(tuple(unique_columns(names)), mark, skip, file.encoding, file.compression)


def _head(file: ReadableFile) -> str:
    """The first lines of a local file, as text; a header longer than the usual is read whole. Bytes that can't be decoded become a mark."""
    with open_unpacked(file) as raw:
        data = raw.read(_HEAD_BYTES)
        while b"\n" not in data and b"\r" not in data and len(data) < MAX_LINE_BYTES:
            more = raw.read(_HEAD_BYTES)
            if not more:
                break
            data += more
    decoder = codecs.getincrementaldecoder(file.encoding)(errors="replace")
    return decoder.decode(data)


def _most_frequent(line: str, quote_mark: str) -> str:
    """The delimiter that stands most often in the header, outside quotes; a comma when none does."""
    counts = dict.fromkeys(_DELIMITERS, 0)
    is_quoted = False
    for character in line:
        if character == quote_mark:
            is_quoted = not is_quoted
        elif not is_quoted and character in counts:
            counts[character] += 1
    return max(_DELIMITERS, key=lambda mark: counts[mark]) if any(counts.values()) else ","
