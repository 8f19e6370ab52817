"""Parquet, which brings its types, and Excel, whose cells each have one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from headwater.errors import SourceDataInvalid
from headwater.sources.connector import Portion
from headwater.sources.files.plan import ADDRESS_COLUMN, FilePlan, Planned, batches_of, describe_files, file_list, merged_columns, unique_columns
from headwater.sources.files.unpacking import ReadableFile
from headwater.sources.text import SAMPLE_ROWS, suggested_types
from headwater.spec.names import quote, quote_literal

_FOOTERS_PER_QUERY = 2000


def plan_parquet(plan: FilePlan, files: Sequence[ReadableFile]) -> Planned:
    """One portion for each set of columns and types, so that the engine never unites two types silently."""
    groups: list[tuple[Sequence[str], dict[str, str]]] = []
    portions = []
    for members in _by_schema(plan, files):
        source = f"read_parquet({file_list(members[:1])}, union_by_name = false)"
        described = {row[0]: row[1] for row in plan.run(f"DESCRIBE SELECT * FROM {source}").fetchall()}
        chosen = plan.chosen(list(described))
        renamed = dict(zip(described, unique_columns(list(described)), strict=True))
        groups.append(([renamed[name] for name in chosen], {renamed[name]: described[name] for name in chosen}))
        for batch in batches_of(members):
            items = [quote(name) if renamed[name] == name else f"{quote(name)} AS {quote(renamed[name])}" for name in chosen]
            items += plan.technical(batch, quote(ADDRESS_COLUMN))
            sql = f"SELECT {', '.join(items)}\nFROM read_parquet({file_list(batch)}, filename = {quote_literal(ADDRESS_COLUMN)})"
            portions.append(Portion(plan.scan(sql), describe_files(batch), tuple(file.key for file in batch)))
    if groups:
        plan.check_selection([name for columns, _ in groups for name in columns])
    return Planned(tuple(portions), merged_columns(groups))


def _by_schema(plan: FilePlan, files: Sequence[ReadableFile]) -> list[list[ReadableFile]]:
    if len(files) == 1:
        return [list(files)]
    groups: dict[str, list[ReadableFile]] = defaultdict(list)
    for batch in batches_of(files, _FOOTERS_PER_QUERY):
        rows = plan.run(f"""
            SELECT
                file_name,
                md5(string_agg(
                    concat_ws('|', name, type, type_length, repetition_type, num_children, converted_type, scale, precision, logical_type),
                    ';' ORDER BY column_id
                ))
            FROM parquet_schema({file_list(batch)})
            GROUP BY file_name""").fetchall()
        schemas = dict(rows)
        for file in batch:
            groups[schemas.get(file.address, "")].append(file)
    return list(groups.values())


def plan_excel(plan: FilePlan, files: Sequence[ReadableFile]) -> Planned:
    """One portion a workbook. Cells are read as text, so that a column whose first cell is a number may hold words further down.

    Dates, which lie there as numbers of days, are written out where the first row says that the column holds dates.
    """
    arguments = [f"header = {'true' if plan.options.get('header', True) else 'false'}"]
    for name in ("sheet", "range"):
        if name in plan.options:
            arguments.append(f"{name} = {quote_literal(str(plan.options[name]))}")
    more = ", ".join(arguments)
    groups: list[tuple[Sequence[str], dict[str, str]]] = []
    portions = []
    for file in files:
        try:
            typed = {row[0]: row[1] for row in plan.run(f"DESCRIBE SELECT * FROM read_xlsx({quote_literal(file.address)}, {more})").fetchall()}
        except SourceDataInvalid as error:
            raise SourceDataInvalid(
                f"{file.label} can't be read as Excel", found=error.found, hint="only xlsx can be read; check options: {sheet: .., range: ..}"
            ) from None
        stop = "true" if plan.options.get("stop_at_empty", False) else "false"
        source = f"read_xlsx({quote_literal(file.address)}, {more}, all_varchar = true, stop_at_empty = {stop})"
        chosen = plan.chosen(list(typed))
        renamed = dict(zip(typed, unique_columns(list(typed)), strict=True))
        items = [f"{_cell(quote(name), typed[name])} AS {quote(renamed[name])}" for name in chosen]
        inner = f"SELECT {', '.join(items)} FROM {source}"
        if not any(plan.run(f"SELECT 1 FROM {source} LIMIT 1").fetchall()):
            types: dict[str, str] = {}
        else:
            names = [renamed[name] for name in chosen]
            types = suggested_types(plan.sample_forms(inner, names, {}, SAMPLE_ROWS))
        groups.append(([renamed[name] for name in chosen], types))
        sql = f"SELECT *, {', '.join(plan.technical([file], quote_literal(file.address)))}\nFROM ({inner})"
        portions.append(Portion(plan.scan(sql, suggested=types), file.label, (file.key,)))
    if groups:
        plan.check_selection([name for columns, _ in groups for name in columns])
    return Planned(tuple(portions), merged_columns(groups))


def _cell(column: str, type_name: str) -> str:
    """Text of a cell of a column whose first cell has this type; days are counted from 1899-12-30."""
    days = f"TRY_CAST({column} AS DOUBLE)"
    if type_name == "DATE":
        written = f"strftime(DATE '1899-12-30' + {days}::INTEGER, '%Y-%m-%d')"
    elif type_name == "TIMESTAMP":
        written = f"strftime(TIMESTAMP '1899-12-30' + to_milliseconds(round({days} * 86400000)::BIGINT), '%Y-%m-%d %H:%M:%S.%g')"
    elif type_name == "BOOLEAN":
        return f"CASE {column} WHEN '1' THEN 'true' WHEN '0' THEN 'false' ELSE {column} END"
    else:
        return column
    return f"CASE WHEN {days} BETWEEN 0 AND 2958466 THEN {written} ELSE {column} END"
