"""Writes `schema.sql`, the tables of a new SQLite store: `python -m headwater.state.migrations.make_schema`, after a change of them.

So that making a store takes no SQLAlchemy, as opening one doesn't.
"""

from __future__ import annotations

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable, DDLElement

from headwater.state import tables as t
from headwater.state.statements import SCHEMA_FILE


def schema_sql() -> str:
    """One statement after the other, each ending with a semicolon and a line's end."""
    statements: list[DDLElement] = []
    for table in (*t.metadata.sorted_tables, t.version):
        statements += [CreateTable(table), *(CreateIndex(index) for index in sorted(table.indexes, key=lambda one: str(one.name)))]
    lines = [str(one.compile(dialect=sqlite.dialect())).strip().replace("\t", "    ").replace(", \n", ",\n") for one in statements]
    return "-- Made by headwater.state.migrations.make_schema of the tables in tables.py.\n" + "".join(f"{line};\n" for line in lines)


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_sql())
