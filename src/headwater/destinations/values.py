"""Rows as JSON, from the text that every value comes as: no number loses a digit on the way."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from headwater.destinations.destination import Batch, Column

_BARE: Final = frozenset(
    {"BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT", "UHUGEINT"}
)


def json_rows(batch: Batch) -> list[str]:
    """Each row as a JSON object. Whole numbers and doubles are numbers, decimals with digits behind the point texts, instants ISO 8601 in UTC, bytes
    base64, what isn't finite the texts `NaN`, `Infinity` and `-Infinity`."""
    names = [json.dumps(column.name, ensure_ascii=False) for column in batch.columns]
    shown = [_shown(column.type) for column in batch.columns]
    return [
        "{" + ", ".join(f"{name}: {'null' if value is None else show(value)}" for name, value, show in zip(names, row, shown, strict=True)) + "}"
        for row in batch.tuples()
    ]


def json_changes(batch: Batch) -> list[str]:
    """Each change as a JSON object: `id`, `operation`, and the `row` (of a delete its `key`)."""
    part = "key" if batch.is_delete else "row"
    return [
        f'{{"id": "{row_id}", "operation": "{operation}", "{part}": {row}}}'
        for row_id, operation, row in zip(batch.row_ids, batch.operations, json_rows(batch), strict=True)
    ]


def key_of(columns: Sequence[Column], key: Sequence[str], row: Sequence[Any]) -> str:
    """The key of a row as JSON: the value alone where it is one column's."""
    values = [row[index] for index, column in enumerate(columns) if column.name in key]
    return json.dumps(values[0] if len(values) == 1 else values, ensure_ascii=False)


def _shown(type_name: str) -> Callable[[str], str]:
    if type_name in _BARE or (type_name.startswith("DECIMAL(") and type_name.endswith(",0)")):
        return str
    if type_name in ("FLOAT", "DOUBLE"):
        return _number
    if type_name == "BLOB":
        return lambda value: f'"{base64.b64encode(bytes.fromhex(value)).decode()}"'
    if type_name == "TIMESTAMP WITH TIME ZONE":
        return lambda value: json.dumps(value.replace(" ", "T", 1).replace("+00", "Z"))
    if type_name.startswith("TIMESTAMP"):
        return lambda value: json.dumps(value.replace(" ", "T", 1))
    if type_name == "JSON" or type_name.endswith("]") or type_name.startswith(("STRUCT", "MAP", "UNION")):
        return str
    return lambda value: json.dumps(value, ensure_ascii=False)


def _number(text: str) -> str:
    return {"nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}.get(text, text)
