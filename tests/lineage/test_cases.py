"""Every statement of `cases/*.sql` gives the edges written below it, and DuckDB gives it the very columns they name.

A case is a title (`-- ..`), one statement, and what is expected: `name <- columns` for each output column in order, `rows <- columns` for what
decided the rows, `reads tables` where no edge tells, `columns aren't known`, `incomplete: reason`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from headwater.engine import Connection, Engine, describe_query
from headwater.project.lineage import derive_lineage
from headwater.project.lineage.relations import distinct_names
from headwater.spec.lineage import Lineage
from headwater.spec.names import ColumnName, TableName, quote

FOLDER = Path(__file__).parent
MACROS = tuple((FOLDER / "macros" / "macros.sql").read_text(encoding="utf-8").split(";\n"))
TABLES = {
    "s.t": {"a": "INTEGER", "b": "INTEGER", "c": "INTEGER", "d": "INTEGER"},
    "s.u": {"a": "INTEGER", "b": "INTEGER", "e": "INTEGER", "f": "INTEGER"},
    "s.k": {"id": "INTEGER", "l": "INTEGER[]", "st": "STRUCT(p INTEGER, q INTEGER)", "j": "JSON", "Größe": "INTEGER", "Select": "VARCHAR"},
}


@dataclass
class Case:
    title: str
    sql: str
    expected: list[str]


def read_cases() -> Iterator[tuple[str, Case]]:
    for path in sorted((FOLDER / "cases").glob("*.sql")):
        for block in path.read_text(encoding="utf-8").strip().split("\n\n"):
            lines = block.splitlines()
            expected = [line.removeprefix("--   ") for line in lines if line.startswith("--   ")]
            sql = "\n".join(line for line in lines if not line.startswith("--")).rstrip(";")
            title = lines[0].removeprefix("-- ")
            yield f"{path.stem}: {title}", Case(title, sql, expected)


CASES = dict(read_cases())


def columns_of(table: TableName) -> list[str] | None:
    columns = TABLES.get(str(table).lower())
    return None if columns is None else list(columns)


def in_words(lineage: Lineage) -> list[str]:
    def words(columns: Iterable[ColumnName]) -> str:
        return ", ".join(sorted(map(str, columns))) or "nothing"

    edges = [*lineage.value.values(), lineage.influence]
    lines = []
    if lineage.tables != {column.table for columns in edges for column in columns}:
        lines.append("reads " + ", ".join(sorted(map(str, lineage.tables))))
    lines += [f"{name} <- {words(columns)}" for name, columns in lineage.value.items()]
    if lineage.influence:
        lines.append(f"rows <- {words(lineage.influence)}")
    if not lineage.columns_known:
        lines.append("columns aren't known")
    if not lineage.is_complete:
        lines.append(f"incomplete: {lineage.reason}")
    return lines


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    with Engine(threads=1) as engine, engine.connection() as connection:
        connection.execute("CREATE SCHEMA s")
        for table, columns in TABLES.items():
            connection.execute(f"CREATE TABLE {table} ({', '.join(f'{quote(name)} {kind}' for name, kind in columns.items())})")
        for macro in MACROS:
            connection.execute(macro)
        yield connection


@pytest.mark.parametrize("name", CASES)
def test_a_case_has_the_edges_written_below_it(name: str) -> None:
    assert in_words(derive_lineage(CASES[name].sql, columns_of, macros=MACROS)) == CASES[name].expected


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("functions:")])
def test_duckdb_gives_a_case_the_columns_that_lineage_names(connection: Connection, name: str) -> None:
    lineage = derive_lineage(CASES[name].sql, columns_of, macros=MACROS)
    if lineage.columns_known:
        assert lineage.columns == tuple(distinct_names(column.name for column in describe_query(connection, CASES[name].sql)))


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith(("functions:", "pivots:"))])
def test_with_types_the_columns_of_every_case_are_known(connection: Connection, name: str) -> None:
    lineage = derive_lineage(CASES[name].sql, lambda table: TABLES.get(str(table).lower()), macros=MACROS)
    assert lineage.columns_known
    assert lineage.columns == tuple(distinct_names(column.name for column in describe_query(connection, CASES[name].sql)))


@pytest.mark.parametrize("columns", [None, ["zz"], []], ids=["unknown", "others", "none"])
def test_no_case_raises_when_its_tables_have_other_columns(columns: list[str] | None) -> None:
    for case in CASES.values():
        complete = derive_lineage(case.sql, columns_of, macros=MACROS)
        lineage = derive_lineage(case.sql, lambda table: columns if columns_of(table) else None, macros=MACROS)
        if "query" not in case.sql:  # a text that names a table is one only where such a table is known
            assert lineage.tables == complete.tables, case.title
