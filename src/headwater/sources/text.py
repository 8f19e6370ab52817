"""What types columns of text seem to have, from a sample of their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headwater.engine import Connection
from headwater.spec.names import quote, quote_literal

#: One bit for each form a value can have, tried in this order. A number with a leading zero is text (a postcode); only ISO dates are dates,
#: since 03/04/2024 can be read in two ways.
_FORMS: tuple[tuple[int, str], ...] = (
    (1, r"[+-]?(0|[1-9]\d{0,17})"),
    (2, r"[+-]?(0|[1-9]\d*)?\.\d+([eE][+-]?\d{1,3})?|[+-]?(0|[1-9]\d*)\.?([eE][+-]?\d{1,3})|[+-]?(0|[1-9]\d*)\."),
    (4, r"(?i:true|false)"),
    (8, r"\d{4}-\d{2}-\d{2}"),
    (16, r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?"),
    (32, r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)? ?(Z|[+-]\d{2}(:?\d{2})?)"),
)
_TEXT = 64
_SUGGESTED = {1: "BIGINT", 2: "DOUBLE", 3: "DOUBLE", 4: "BOOLEAN", 8: "DATE", 16: "TIMESTAMP", 24: "TIMESTAMP", 32: "TIMESTAMP WITH TIME ZONE"}
_CASTS = {8: "DATE", 16: "TIMESTAMP", 32: "TIMESTAMPTZ"}
#: Rows looked at for the forms of their values.
SAMPLE_ROWS = 20_480
#: Values looked at in all: a wide table's sample has fewer rows.
_SAMPLE_VALUES = 2_000_000
NUMERIC_TYPES = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "FLOAT",
    "DOUBLE",
    "REAL",
    "DECIMAL",
)


def sample_forms(
    connection: Connection, sample_sql: str, columns: Sequence[str], expressions: Mapping[str, str] | None = None, *, rows: int = SAMPLE_ROWS
) -> dict[str, int]:
    """The forms that the values of each text column have in the first `rows` rows of `sample_sql`, as bits; 0 when all are null.

    `expressions` gives, by column, the SQL to look at instead of the bare column. Samples of several parts are joined with `|`.
    """
    if not columns:
        return {}
    values = [(expressions or {}).get(name, quote(name)) for name in columns]
    branches = ["WHEN value IS NULL OR value = '' THEN 0"]
    for bit, pattern in _FORMS:
        cast = f" AND TRY_CAST(value AS {_CASTS[bit]}) IS NOT NULL" if bit in _CASTS else ""
        branches.append(f"WHEN regexp_full_match(value, {quote_literal(pattern)}){cast} THEN {bit}")
    # one expression over all values, not one a column: a table may have thousands
    found = connection.execute(f"""
        SELECT place, bit_or(CASE {" ".join(branches)} ELSE {_TEXT} END)
        FROM (
            SELECT unnest([{", ".join(values)}]) AS value, unnest(range({len(columns)})) AS place
            FROM (SELECT * FROM ({sample_sql}) LIMIT {min(rows, max(1, _SAMPLE_VALUES // len(columns)))})
        )
        GROUP BY place""").fetchall()
    forms = dict(found)
    return {name: forms.get(place, 0) or 0 for place, name in enumerate(columns)}


def suggested_types(forms: Mapping[str, int]) -> dict[str, str]:
    """A DuckDB type for each column whose values all have one form, or forms that go together; the others are left out (they are text)."""
    return {name: _SUGGESTED[bits] for name, bits in forms.items() if bits in _SUGGESTED}


def is_numeric(type_name: str | None) -> bool:
    """Whether a type as people or DuckDB write it is a number."""
    return type_name is not None and type_name.upper().split("(")[0].strip() in (
        *NUMERIC_TYPES,
        "INT",
        "NUMERIC",
        "DEC",
        "FLOAT4",
        "FLOAT8",
        "LONG",
        "SHORT",
    )
