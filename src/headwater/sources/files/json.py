"""JSON: each top-level key is a column, read as text, nested values as JSON text; types are suggested.

`ndjson` is one object a line, and a line that is no object is a reject. `json` is a document: an array of objects, or objects one after another; a
document that isn't well-formed can't be read in part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from headwater.sources.base import unique_name
from headwater.sources.connector import Portion
from headwater.sources.files.plan import (
    ADDRESS_COLUMN,
    MAX_LINE_BYTES,
    ONE_COLUMN,
    FilePlan,
    Planned,
    batches_of,
    describe_files,
    file_list,
    merged_columns,
    unique_columns,
)
from headwater.sources.files.unpacking import ReadableFile
from headwater.sources.text import SAMPLE_ROWS, suggested_types
from headwater.spec.names import quote, quote_literal

_LINE = "_hw_line"
#: Asked in this order: the type of what isn't JSON is an error.
_IS_OBJECT = f"CASE WHEN json_valid({_LINE}) THEN json_type({_LINE}) = 'OBJECT' ELSE false END"
#: Objects whose keys decide the order of the columns.
_OBJECTS_FOR_ORDER = 2048


def plan_json(plan: FilePlan, files: Sequence[ReadableFile], *, is_lines: bool) -> Planned:
    """The portions that read `files`. Their keys are collected in a pass over all of them, so that a key that comes late isn't lost."""
    groups: dict[tuple[str, str], list[ReadableFile]] = defaultdict(list)
    for file in files:
        groups[(file.compression, file.encoding)].append(file)
    batches = [batch for members in groups.values() for batch in batches_of(members)]
    keys: dict[str, None] = {}
    has_rejects = []
    for batch in batches:
        found, has_odd = _keys(plan, batch, is_lines)
        keys.update(dict.fromkeys(found))
        has_rejects.append(has_odd)
    names = unique_columns(list(keys), empty="column{}")
    pointers = {name: "/" + key.replace("~", "~0").replace("/", "~1") for name, key in zip(names, keys, strict=True)}
    chosen = plan.chosen(names)
    forms: dict[str, int] = defaultdict(int)
    for batch in batches[:3]:
        sample = _objects_sql(plan, batch, is_lines, chosen, pointers, "ignore_errors = true", with_technical=False)
        for name, bits in plan.sample_forms(sample, chosen, {}, SAMPLE_ROWS).items():
            forms[name] |= bits
    types = suggested_types(forms)
    if keys:
        plan.check_selection(names)
    portions = [
        _portion(plan, batch, is_lines, chosen, pointers, types, rejects)
        for batch, rejects in zip(batches, has_rejects, strict=True)
        if keys or rejects
    ]
    return Planned(tuple(portions), merged_columns([(chosen, types)]))


def _portion(
    plan: FilePlan,
    files: Sequence[ReadableFile],
    is_lines: bool,
    chosen: Sequence[str],
    pointers: dict[str, str],
    types: dict[str, str],
    has_rejects: bool,
) -> Portion:
    errors, scans = unique_name("rejects"), unique_name("rejects_scan")
    stored = f"store_rejects = true, rejects_table = {quote_literal(errors)}, rejects_scan = {quote_literal(scans)}"
    sql = _objects_sql(plan, files, is_lines, chosen, pointers, stored, with_technical=True)
    place = plan.technical(files, quote(ADDRESS_COLUMN))[-1].rpartition(" AS ")[0]
    rejects = f"""
        SELECT {_LINE} AS raw, 'not a JSON object' AS reason, {place} AS position
        FROM {_read(files, is_lines, "ignore_errors = true")}
        WHERE {_LINE} IS NOT NULL AND NOT ({_IS_OBJECT})"""
    if is_lines:
        place = plan.technical(files, "s.file_path")[-1].rpartition(" AS ")[0]
        rejects += f"""
        UNION ALL
        SELECT e.csv_line, lower(e.error_type::VARCHAR) || ': ' || e.error_message, {place} || ':' || e.line
        FROM {quote(errors)} e
        JOIN {quote(scans)} s ON s.scan_id = e.scan_id AND s.file_id = e.file_id"""
    scan = plan.scan(
        sql,
        suggested={name: types[name] for name in chosen if name in types},
        rejects_sql=rejects if has_rejects else None,
        teardown=tuple(f"DROP TABLE IF EXISTS {quote(table)}" for table in (errors, scans)),
    )
    return Portion(scan, describe_files(files), tuple(file.key for file in files))


def _objects_sql(
    plan: FilePlan, files: Sequence[ReadableFile], is_lines: bool, chosen: Sequence[str], pointers: dict[str, str], more: str, *, with_technical: bool
) -> str:
    wanted = ", ".join(quote_literal(pointers[name]) for name in chosen)
    items = [f"_hw_values[{index}] AS {quote(name)}" for index, name in enumerate(chosen, 1)]
    if with_technical:
        items += plan.technical(files, quote(ADDRESS_COLUMN))
    return f"""
        SELECT {", ".join(items) or "NULL::VARCHAR AS _hw_nothing"}
        FROM (
            SELECT json_extract_string({_LINE}, [{wanted}]::VARCHAR[]) AS _hw_values, {quote(ADDRESS_COLUMN)}
            FROM {_read(files, is_lines, more)}
            WHERE {_LINE} IS NOT NULL AND {_IS_OBJECT}
        )"""


def _read(files: Sequence[ReadableFile], is_lines: bool, more: str) -> str:
    """Objects as text in the column `_hw_line`, one a row."""
    packing = files[0].compression
    if not is_lines:
        # a document is read whole or not at all: nothing is passed over
        return f"""(
            SELECT json::VARCHAR AS {_LINE}, filename AS {quote(ADDRESS_COLUMN)}
            FROM read_json_objects(
                {file_list(files)}, format = 'auto', filename = true, maximum_object_size = {MAX_LINE_BYTES},
                compression = {quote_literal("uncompressed" if packing == "none" else packing)}
            )
        )"""
    # a control character can't stand in JSON unescaped, so it never splits a line
    return (
        f"read_csv({file_list(files)}, auto_detect = false, columns = {{'{_LINE}': 'VARCHAR'}}, {ONE_COLUMN}, "
        f"encoding = {quote_literal(files[0].encoding)}, compression = {quote_literal(packing)}, max_line_size = {MAX_LINE_BYTES}, "
        f"filename = {quote_literal(ADDRESS_COLUMN)}, {more})"
    )


def _keys(plan: FilePlan, files: Sequence[ReadableFile], is_lines: bool) -> tuple[list[str], bool]:
    """All keys of the objects in `files`, those of the first objects in their order; and whether there are lines that are no objects."""
    source = _read(files, is_lines, "ignore_errors = true")
    first = f"SELECT {_LINE} FROM {source} WHERE {_LINE} IS NOT NULL AND {_IS_OBJECT} LIMIT {_OBJECTS_FOR_ORDER}"
    keys: dict[str, None] = {}
    for (names,) in plan.run(f"SELECT json_keys({_LINE}) FROM ({first})").fetchall():
        keys.update(dict.fromkeys(names))
    errors, scans = unique_name("rejects"), unique_name("rejects_scan")
    whole = _read(files, is_lines, f"store_rejects = true, rejects_table = {quote_literal(errors)}, rejects_scan = {quote_literal(scans)}")
    found = plan.run(f"""
        SELECT DISTINCT unnest(CASE WHEN {_IS_OBJECT} THEN json_keys({_LINE}) ELSE [NULL] END)
        FROM {whole}
        WHERE {_LINE} IS NOT NULL""").fetchall()
    has_odd = any(key is None for (key,) in found)
    if is_lines:
        has_odd = has_odd or bool(plan.run(f"SELECT count(*) FROM {quote(errors)}").scalar())
        plan.run(f"DROP TABLE {quote(errors)}")
        plan.run(f"DROP TABLE {quote(scans)}")
    return [*keys, *sorted(key for (key,) in found if key is not None and key not in keys)], has_odd
