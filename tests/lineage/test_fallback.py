from __future__ import annotations

from collections.abc import Sequence

import pytest

from headwater.errors import SqlSyntaxError
from headwater.project.lineage import derive_lineage, reconcile, respell
from headwater.spec.lineage import Lineage
from headwater.spec.names import ColumnName, TableName

T, U = TableName("s", "t"), TableName("s", "u")
COLUMNS = {T: ("a", "b", "c"), U: ("a", "e")}


def columns_of(table: TableName) -> Sequence[str] | None:
    return COLUMNS.get(table)


def everything(*tables: TableName) -> frozenset[ColumnName]:
    return frozenset(ColumnName(table, "*") for table in tables)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT nosuch FROM s.t",
        "SELECT x.y.z FROM s.t",
        "SELECT * EXCLUDE (t.a) FROM s.t JOIN s.u USING (a)",
        "SELECT a FROM s.t UNION SELECT a, e FROM s.u",
        "SELECT COLUMNS(nosuch -> wrong(nosuch)) FROM s.t",
        "SELECT COLUMNS('a') + COLUMNS('b|c') FROM s.t",
        "PIVOT x.unknown ON b IN (1) USING sum(c)",
        "DESCRIBE s.t",
        "SELECT * FROM query_table('s.' || 't')",
        "FROM histogram_values('s.t', 'a')",
        "PIVOT s.t ON b USING sum(c)",
    ],
)
def test_what_cannot_be_told_is_conservative_and_says_why(sql: str) -> None:
    lineage = derive_lineage(sql, columns_of)
    assert not lineage.is_complete or not lineage.columns_known
    if not lineage.is_complete:
        assert lineage.reason
        assert lineage.influence == everything(*lineage.tables)


def test_a_conservative_lineage_has_the_tables_and_the_columns_that_duckdb_binds() -> None:
    lineage = derive_lineage("SELECT * EXCLUDE (t.a) FROM s.t JOIN s.u USING (a)", columns_of)
    assert lineage == Lineage.conservative(frozenset({T, U}), "EXCLUDE of one side of a USING column", ("b", "c", "a", "e"))


def test_a_pivot_without_values_knows_its_tables_alone() -> None:
    lineage = derive_lineage("WITH p AS (PIVOT s.t ON b USING sum(c)) SELECT * FROM p JOIN s.u USING (a)", columns_of)
    assert (lineage.tables, lineage.columns_known, lineage.is_complete) == ({T, U}, False, False)


def test_a_macro_that_cannot_be_read_makes_its_callers_conservative() -> None:
    macros = ["CREATE MACRO odd(x) AS TABLE SELECT 1 AS one FROM", "CREATE MACRO reads(x) AS (SELECT max(e) + nosuch FROM s.u)"]
    assert not derive_lineage("SELECT odd(a) AS x FROM s.t", columns_of, macros=macros).is_complete
    lineage = derive_lineage("SELECT reads(a) AS x FROM s.t", columns_of, macros=macros)
    assert (lineage.is_complete, lineage.tables) == (False, {T, U})


@pytest.mark.parametrize("sql", ["SELECT untold(a) AS x FROM s.t", "SELECT x FROM s.t, untold(1) AS m(x)"])
def test_a_function_that_is_not_known_may_read_anything_and_says_so(sql: str) -> None:
    lineage = derive_lineage(sql, columns_of)
    assert not lineage.is_complete
    assert "untold isn't known" in str(lineage.reason)


def test_a_macro_calling_itself_ends() -> None:
    assert not derive_lineage("SELECT f(a) AS x FROM s.t", columns_of, macros=["CREATE MACRO f(x) AS f(x) + 1"]).is_complete


def test_a_very_deep_expression_is_derived() -> None:
    sql = "SELECT " + " + ".join(["a", *["b"] * 900]) + " AS x FROM s.t"
    assert derive_lineage(sql, columns_of).value == {"x": frozenset({ColumnName(T, "a"), ColumnName(T, "b")})}


@pytest.mark.parametrize(
    "sql", ["INSERT INTO s.t SELECT 1", "SET threads = 1", "CREATE TABLE s.x AS FROM s.t", "EXPLAIN FROM s.t", "COPY s.t TO 'x.csv'"]
)
def test_what_is_not_a_query_says_so(sql: str) -> None:
    assert derive_lineage(sql, columns_of) == Lineage.conservative(frozenset(), "it is not a query")


@pytest.mark.parametrize("sql", ["", "-- nothing", "SELECT 1; SELECT 2"])
def test_what_is_not_one_query_says_so(sql: str) -> None:
    assert derive_lineage(sql, columns_of).reason == "it is not one query"


def test_what_duckdb_does_not_parse_is_a_syntax_error() -> None:
    with pytest.raises(SqlSyntaxError):
        derive_lineage("SELEC a FROM s.t", columns_of)


def test_reconcile_feeds_unforeseen_columns_with_everything() -> None:
    lineage = derive_lineage("PIVOT s.t ON b USING sum(c)", columns_of)
    settled = reconcile(lineage, ["a", "1", "2"])
    assert settled.columns_known
    assert settled.value == dict.fromkeys(("a", "1", "2"), everything(T))
    foreseen = derive_lineage("SELECT a, e FROM s.t JOIN s.u USING (a)", columns_of)
    assert reconcile(foreseen, ["a", "e"]) == foreseen
    widened = reconcile(foreseen, ["a", "e", "extra"])
    assert widened.value["extra"] == everything(T, U)
    assert not widened.is_complete
    assert widened.reason


def test_reconcile_keeps_edges_when_only_the_order_differs() -> None:
    lineage = derive_lineage("SELECT a, b FROM s.t", columns_of)
    settled = reconcile(lineage, ["b", "A"])
    assert list(settled.value) == ["b", "A"]
    assert settled.value["A"] == {ColumnName(T, "a")}
    assert settled.is_complete


def test_respell_gives_tables_their_own_spelling() -> None:
    lineage = respell(derive_lineage("SELECT A FROM S.T WHERE b = 1", lambda table: ("a", "b")), {TableName("S", "T"): T}.get)
    assert (lineage.tables, lineage.value["a"], lineage.influence) == ({T}, {ColumnName(T, "a")}, {ColumnName(T, "b")})


def test_one_table_spelled_in_two_ways_is_one_table() -> None:
    lineage = derive_lineage("SELECT x.a, y.b FROM s.t AS x, S.T AS y", lambda table: COLUMNS[T])
    assert lineage.tables == {T}
    assert lineage.value["b"] == {ColumnName(T, "b")}
