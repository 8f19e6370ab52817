"""What the database destinations share: names, and which columns can hold what comes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from headwater.destinations.destination import Column, Shape
from headwater.errors import DestinationRefused

_DECIMAL: Final = re.compile(r"DECIMAL\((\d+),(\d+)\)")
#: Bits of whole numbers by DuckDB type, signed ones.
INTEGERS: Final = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64}
UNSIGNED: Final = {"UTINYINT": 8, "USMALLINT": 16, "UINTEGER": 32, "UBIGINT": 64}
TIMESTAMPS: Final = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS")
TEXTS: Final = ("VARCHAR", "JSON", "UUID")


def decimal_of(type_name: str) -> tuple[int, int] | None:
    """Digits and digits behind the point; of whole numbers, too."""
    match = _DECIMAL.fullmatch(type_name)
    if match is not None:
        return int(match[1]), int(match[2])
    whole = {8: 3, 16: 5, 32: 10, 64: 20}
    bits = INTEGERS.get(type_name) or UNSIGNED.get(type_name)
    return (whole[bits], 0) if bits is not None else None


def split_table(text: str) -> list[str]:
    """`public."my.table"` at its dots."""
    parts = re.findall(r'"((?:[^"]|"")+)"|([^".]+)', text)
    return [quoted.replace('""', '"') or plain for quoted, plain in parts]


def refuse_type(column: Column, where: str, found: str | None = None) -> DestinationRefused:
    said = f"{where} can't hold the column {column.name}, of type {column.type}"
    hint = "cast it in a model, to text or to a type that holds all of its values"
    return DestinationRefused(said, found=found, state="nothing was sent", hint=hint)


def refuse_missing(shape: Shape, known: Sequence[str], where: str) -> None:
    """Raises DestinationRefused for the columns that the table there hasn't."""
    missing = [column.name for column in shape.columns if column.name not in known]
    if missing:
        raise DestinationRefused(
            f"{where} has no column {', '.join(missing)}",
            expected=f"one of {', '.join(known)}",
            state="nothing was sent",
            hint="add it there, or map it under `columns:` of the export",
        )
