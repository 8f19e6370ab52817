"""DuckDB's types as Postgres has them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

BOOL, BYTEA, CHAR, NAME, INT8, INT2, INT4, REGPROC, TEXT, OID = 16, 17, 18, 19, 20, 21, 23, 24, 25, 26
JSON, FLOAT4, FLOAT8, UNKNOWN, BPCHAR, VARCHAR = 114, 700, 701, 705, 1042, 1043
DATE, TIME, TIMESTAMP, TIMESTAMPTZ, INTERVAL, TIMETZ, VARBIT, NUMERIC, UUID, JSONB = 1082, 1083, 1114, 1184, 1186, 1266, 1562, 1700, 2950, 3802


@dataclass(frozen=True, slots=True)
class PgType:
    """A type of pg_type. `size` in bytes, -1 for what varies; `array` is the OID of its array type (0: none)."""

    oid: int
    name: str
    size: int
    array: int
    category: str
    sql_name: str


_ROWS: Final = (
    (BOOL, "bool", 1, 1000, "B", "boolean"),
    (BYTEA, "bytea", -1, 1001, "U", "bytea"),
    (CHAR, "char", 1, 1002, "Z", '"char"'),
    (NAME, "name", 64, 1003, "S", "name"),
    (INT8, "int8", 8, 1016, "N", "bigint"),
    (INT2, "int2", 2, 1005, "N", "smallint"),
    (INT4, "int4", 4, 1007, "N", "integer"),
    (REGPROC, "regproc", 4, 1008, "N", "regproc"),
    (TEXT, "text", -1, 1009, "S", "text"),
    (OID, "oid", 4, 1028, "N", "oid"),
    (JSON, "json", -1, 199, "U", "json"),
    (FLOAT4, "float4", 4, 1021, "N", "real"),
    (FLOAT8, "float8", 8, 1022, "N", "double precision"),
    (UNKNOWN, "unknown", -2, 0, "X", "unknown"),
    (BPCHAR, "bpchar", -1, 1014, "S", "character"),
    (VARCHAR, "varchar", -1, 1015, "S", "character varying"),
    (DATE, "date", 4, 1182, "D", "date"),
    (TIME, "time", 8, 1183, "D", "time without time zone"),
    (TIMESTAMP, "timestamp", 8, 1115, "D", "timestamp without time zone"),
    (TIMESTAMPTZ, "timestamptz", 8, 1185, "D", "timestamp with time zone"),
    (INTERVAL, "interval", 16, 1187, "T", "interval"),
    (TIMETZ, "timetz", 12, 1270, "D", "time with time zone"),
    (VARBIT, "varbit", -1, 1563, "V", "bit varying"),
    (NUMERIC, "numeric", -1, 1231, "N", "numeric"),
    (UUID, "uuid", 16, 2951, "U", "uuid"),
    (JSONB, "jsonb", -1, 3807, "U", "jsonb"),
)
TYPES: Final = {row[0]: PgType(*row) for row in _ROWS}
ELEMENT_OF: Final = {one.array: one.oid for one in TYPES.values() if one.array}

_PLAIN: Final = {
    "BOOLEAN": BOOL,
    "TINYINT": INT2,
    "SMALLINT": INT2,
    "UTINYINT": INT2,
    "INTEGER": INT4,
    "USMALLINT": INT4,
    "BIGINT": INT8,
    "UINTEGER": INT8,
    "OID": OID,  # the catalog's own; no column of the lake is of it
    "UBIGINT": NUMERIC,
    "HUGEINT": NUMERIC,
    "UHUGEINT": NUMERIC,
    "DECIMAL": NUMERIC,  # of any digits
    "FLOAT": FLOAT4,
    "DOUBLE": FLOAT8,
    "VARCHAR": TEXT,
    "BLOB": BYTEA,
    "DATE": DATE,
    "TIME": TIME,
    "TIME_NS": TIME,
    "TIME WITH TIME ZONE": TIME,  # Arrow, which rows come in, keeps no zone beside a time
    "TIMESTAMP": TIMESTAMP,
    "TIMESTAMP_S": TIMESTAMP,
    "TIMESTAMP_MS": TIMESTAMP,
    "TIMESTAMP_NS": TIMESTAMP,
    "TIMESTAMP WITH TIME ZONE": TIMESTAMPTZ,
    "INTERVAL": INTERVAL,
    "UUID": UUID,
    "JSON": JSON,
    "BIT": VARBIT,
}
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)$")
_WIDEST = re.compile(r"DECIMAL\(38,\s*\d+\)")
_LIST = re.compile(r"(.*)\[\d*\]$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class WireType:
    """How a column of a DuckDB type goes over the wire. `element` is the DuckDB type of a list's elements, None for what is no array."""

    oid: int
    modifier: int
    size: int
    element: str | None = None


@lru_cache(1024)
def wire_type(duckdb_type: str) -> WireType:
    """HUGEINT and UBIGINT are `numeric`, a list is an array, a STRUCT, MAP, UNION and a list of lists are `json`; what else there is, `text`."""
    oid = _PLAIN.get(duckdb_type)
    if oid is not None:
        return WireType(oid, -1, TYPES[oid].size)
    decimal = _DECIMAL.match(duckdb_type)
    if decimal:
        return WireType(NUMERIC, ((int(decimal[1]) << 16) | int(decimal[2])) + 4, -1)
    if duckdb_type.startswith("ENUM("):
        return WireType(TEXT, -1, -1)
    element = element_type(duckdb_type)
    if element is not None:
        inner = wire_type(element)
        if inner.element is None and inner.oid not in (JSON, INTERVAL, VARBIT):
            return WireType(TYPES[inner.oid].array, inner.modifier, -1, element)
        return WireType(JSON, -1, -1)
    if duckdb_type.startswith(("STRUCT(", "MAP(", "UNION(")):
        return WireType(JSON, -1, -1)
    return WireType(TEXT, -1, -1)


def element_type(duckdb_type: str) -> str | None:
    """The type of a list's (or fixed array's) elements; None for anything else."""
    if duckdb_type.startswith("ENUM(") and duckdb_type.endswith(")"):
        return None
    match = _LIST.match(duckdb_type)
    return match[1] if match else None


_NAMED: Final = {
    BOOL: "BOOLEAN",
    BYTEA: "BLOB",
    CHAR: "VARCHAR",
    NAME: "VARCHAR",
    INT8: "BIGINT",
    INT2: "SMALLINT",
    INT4: "INTEGER",
    TEXT: "VARCHAR",
    OID: "BIGINT",
    JSON: "JSON",
    JSONB: "JSON",
    FLOAT4: "FLOAT",
    FLOAT8: "DOUBLE",
    BPCHAR: "VARCHAR",
    VARCHAR: "VARCHAR",
    DATE: "DATE",
    TIME: "TIME",
    TIMESTAMP: "TIMESTAMP",
    TIMESTAMPTZ: "TIMESTAMP WITH TIME ZONE",
    INTERVAL: "INTERVAL",
    NUMERIC: "DECIMAL(38,10)",
    UUID: "UUID",
}


def of_any_digits(duckdb_type: str) -> str:
    """The type without its digits where it is a decimal of the most, as all are that are computed of one whose digits aren't known."""
    return _WIDEST.sub("DECIMAL", duckdb_type)


def duckdb_type(oid: int) -> str:
    """The DuckDB type of a parameter that a client says is of the type `oid`; `UNKNOWN` for 0 and what there is no other for."""
    if oid in ELEMENT_OF:
        element = _NAMED.get(ELEMENT_OF[oid])
        return f"{element}[]" if element else "UNKNOWN"
    return _NAMED.get(oid, "UNKNOWN")
