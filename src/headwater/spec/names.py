"""Names of tables and columns, how they are quoted in SQL, and names with a meaning."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Schemas no project may define tables in: the lake's system tables and the databases' own.
RESERVED_SCHEMAS = frozenset({"headwater", "headwater_exports", "information_schema", "pg_catalog", "main", "temp", "system"})
#: Columns Headwater adds to every stream's table; no contract may name them.
LOAD_ID_COLUMN = "_hw_load_id"
LOADED_AT_COLUMN = "_hw_loaded_at"
#: On streams of files that are appended: which file a row came from, so that a changed file replaces its former rows.
FILE_COLUMN = "_hw_file"
TECHNICAL_COLUMNS = (LOAD_ID_COLUMN, LOADED_AT_COLUMN, FILE_COLUMN)
SYSTEM_SCHEMA = "headwater"
#: Where the lake keeps what each export has acknowledged.
EXPORTS_SCHEMA = "headwater_exports"
#: What the owner of the lake is called where a principal is named.
OWNER_NAME = "owner"


def exclusion_of(column: str) -> str:
    """How a column that comes twice is left out of `SELECT *`; those that every stream has, together."""
    return f"* EXCLUDE ({LOAD_ID_COLUMN}, {LOADED_AT_COLUMN})" if column.lower() in TECHNICAL_COLUMNS else "* EXCLUDE (..)"


_PART = re.compile(r'"((?:[^"]|"")+)"|([^".\s]+)')


def quote(identifier: str) -> str:
    """The identifier in double quotes, as DuckDB, Postgres and SQLite read it."""
    return '"' + identifier.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """The text as a SQL string literal. For places where a parameter can't be bound (DDL, ATTACH, COPY .. TO)."""
    return "'" + text.replace("'", "''") + "'"


def _split(text: str, count: int, form: str) -> list[str]:
    """The parts of a dotted name, quotes taken off. Raises ValueError."""
    parts: list[str] = []
    position = 0
    while True:
        match = _PART.match(text, position)
        if match is None:
            raise ValueError(f"{text!r} is not {form}")
        parts.append(match[1].replace('""', '"') if match[1] is not None else match[2])
        position = match.end()
        if position == len(text):
            break
        if text[position] != ".":
            raise ValueError(f"{text!r} is not {form}")
        position += 1
    if len(parts) != count:
        raise ValueError(f"{text!r} is not {form}")
    return parts


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """`schema.name`. Case is kept as written; two names that differ by case alone are the same table to DuckDB: compare `key`."""

    schema: str
    name: str

    @classmethod
    def parse(cls, text: str) -> TableName:
        """From `schema.name`, each part optionally in double quotes. Raises ValueError for anything else."""
        return cls(*_split(text, 2, "a table name of the form schema.table"))

    @property
    def key(self) -> tuple[str, str]:
        """What decides whether two names are one table: both parts in lower case."""
        return (self.schema.lower(), self.name.lower())

    @property
    def sql(self) -> str:
        """Quoted, for use in SQL."""
        return f"{quote(self.schema)}.{quote(self.name)}"

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class ColumnName:
    """One column of one table. `column == "*"` stands for all columns of a table whose columns aren't known one by one."""

    table: TableName
    column: str

    @classmethod
    def parse(cls, text: str) -> ColumnName:
        """From `schema.table.column`, each part optionally in double quotes. Raises ValueError for anything else."""
        schema, table, column = _split(text, 3, "a column's name of the form schema.table.column")
        return cls(TableName(schema, table), column)

    @property
    def key(self) -> tuple[str, str, str]:
        """What decides whether two names are one column: all parts in lower case."""
        return (*self.table.key, self.column.lower())

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"
