# ruff: noqa: E501 -- a statement stands on one line
"""Who sees everything gets what DuckDB gives: the gate takes statements apart and puts them together again without changing what they say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlglot
from lakes import change, definition, keep_hot, load, make_place
from sqlglot import exp

from headwater.engine import Connection, Engine, extension_available
from headwater.errors import HeadwaterError, StatementRefused
from headwater.security import MaskKeys, Principal
from headwater.spec.names import TableName
from headwater.spec.policies import Policies
from headwater.spec.tables import Column
from headwater.storage import Access, Lake
from headwater.storage.gate.parameters import with_typed_nulls
from headwater.storage.gate.tree import query_of

EVERYTHING = Policies.model_validate({"roles": {"all": {"grants": [{"select": "*"}]}}, "version": "all"})
READER = Access(Principal("ada", roles=frozenset({"all"})), EVERYTHING, MaskKeys("a", "b", "c"), datetime(2026, 1, 1, tzinfo=UTC))
MACROS = (
    "CREATE MACRO twice(x) AS x * 2",
    "CREATE MACRO thrice(x, y := 1) AS twice(x) + x + y - 1",
    "CREATE MACRO upto(n) AS TABLE SELECT * FROM range(n) t(i)",
)

SHOP = {
    "orders": "SELECT i AS id, i % 4 AS customer, (i * 7) % 13 AS amount, 'k' || i % 3 AS k, DATE '2020-01-01' + i::INTEGER AS day FROM range(30) t(i)",
    "customers": "SELECT i AS id, 'name' || i AS name, {'city': 'c' || i, 'zip': [i, i + 1]} AS place FROM range(5) t(i)",
}
OLD = {"orders": "SELECT i AS id, i % 4 AS customer, i AS amount, 'k' || i % 2 AS k, DATE '2019-01-01' + i::INTEGER AS day FROM range(10) t(i)"}

QUERIES = [
    "SELECT * FROM shop.orders ORDER BY id",
    "SELECT id, (amount > 5) IS TRUE AS a, (k = 'k1') IS NOT TRUE AS b FROM shop.orders WHERE (amount > 3) IS FALSE OR (id > 20) IS NOT FALSE ORDER BY id",
    "SELECT id, amount * 1e-3 AS a, 1e5 AS b, -2.5E2 AS c FROM shop.orders WHERE amount < 1e1 ORDER BY id",
    "FROM shop.orders ORDER BY ALL",
    "SELECT shop.orders.id, orders.amount, day FROM shop.orders ORDER BY shop.orders.id DESC LIMIT 5",
    "SELECT o.* EXCLUDE (k) REPLACE (amount + 1 AS amount) FROM shop.orders o ORDER BY id",
    "SELECT * RENAME (k AS kk) FROM shop.orders ORDER BY id",
    "SELECT COLUMNS('a.*') FROM shop.orders ORDER BY ALL",
    "SELECT COLUMNS(c -> c LIKE 'a%') FROM shop.orders ORDER BY ALL",
    "SELECT max(COLUMNS(* EXCLUDE day)) FROM shop.orders",
    "SELECT shop.orders.id, old.orders.id FROM shop.orders JOIN old.orders ON shop.orders.id = old.orders.id ORDER BY ALL",
    "SELECT shop.orders.id, old.orders.amount FROM shop.orders JOIN old.orders USING (id) ORDER BY ALL",
    "SELECT id FROM shop.orders WHERE EXISTS (SELECT 1 FROM old.orders WHERE old.orders.id = shop.orders.id AND orders.amount > 3) ORDER BY id",
    "SELECT name, (SELECT sum(amount) FROM shop.orders WHERE customer = customers.id) FROM shop.customers ORDER BY 1",
    "SELECT name, place.city, place['zip'][1], customers.place.city, shop.customers.place.city FROM shop.customers ORDER BY 1",
    "SELECT c.place.zip[1:2], (c.place).city FROM shop.customers c ORDER BY ALL",
    "SELECT customers FROM shop.customers ORDER BY 1",
    "SELECT name, l.s FROM shop.customers c, LATERAL (SELECT sum(amount) AS s FROM shop.orders o WHERE o.customer = c.id) l ORDER BY 1",
    "SELECT name, s FROM shop.customers, LATERAL (SELECT sum(amount) AS s FROM shop.orders WHERE customer = shop.customers.id) ORDER BY 1",
    "WITH orders AS (SELECT 1 AS id) SELECT * FROM orders",
    "WITH orders AS (SELECT * FROM shop.orders WHERE id < 3) SELECT orders.id FROM orders ORDER BY 1",
    "WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS x FROM a) SELECT a.x, b.x FROM a, b",
    "WITH a AS (SELECT 1 AS x) SELECT * FROM (WITH a AS (SELECT 2 AS x) SELECT * FROM a) i, a",
    "WITH a AS MATERIALIZED (FROM shop.orders), b AS NOT MATERIALIZED (FROM a) SELECT count(*) FROM b JOIN a USING (id)",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r",
    "WITH RECURSIVE r AS (SELECT id, 0 AS d FROM shop.customers WHERE id = 0 UNION SELECT c.id, d + 1 FROM r JOIN shop.customers c ON c.id = r.id + 1) FROM r ORDER BY 1",
    "WITH RECURSIVE t(a, b) USING KEY (a) AS (SELECT 1, 2 UNION SELECT a, b + 1 FROM recurring.t WHERE b < 5) FROM t",
    "PIVOT shop.orders ON k IN ('k0', 'k1') USING sum(amount) GROUP BY customer ORDER BY customer",
    "FROM shop.orders PIVOT (sum(amount) AS s, count(*) AS n FOR k IN ('k0', 'k2') GROUP BY customer) ORDER BY customer",
    "UNPIVOT (SELECT id, amount, customer FROM shop.orders) ON amount, customer INTO NAME n VALUE v ORDER BY ALL",
    "SELECT * FROM shop.orders UNPIVOT INCLUDE NULLS (v FOR n IN (amount, customer)) ORDER BY ALL",
    "UNPIVOT (SELECT id, amount FROM shop.orders) ON COLUMNS(* EXCLUDE id) INTO NAME n VALUE v ORDER BY ALL",
    "SELECT o.id, p.id FROM shop.orders o ASOF JOIN old.orders p ON o.customer = p.customer AND o.day >= p.day ORDER BY ALL",
    "SELECT * FROM shop.customers POSITIONAL JOIN (SELECT id AS i FROM shop.orders ORDER BY id LIMIT 5) ORDER BY ALL",
    "SELECT * FROM shop.orders NATURAL JOIN old.orders ORDER BY ALL",
    "SELECT * FROM shop.customers c SEMI JOIN shop.orders o ON o.customer = c.id ORDER BY id",
    "SELECT * FROM shop.customers c ANTI JOIN shop.orders o ON o.customer = c.id ORDER BY id",
    "SELECT id, row_number() OVER (PARTITION BY k ORDER BY amount, id) AS n FROM shop.orders QUALIFY n <= 2 ORDER BY ALL",
    "SELECT sum(amount) OVER w, lag(id, 2, -1) OVER w FROM shop.orders WINDOW w AS (PARTITION BY k ORDER BY id ROWS 3 PRECEDING EXCLUDE TIES) ORDER BY ALL",
    "SELECT k, count(*), string_agg(id::VARCHAR, ',' ORDER BY id DESC) FILTER (WHERE id < 9) FROM shop.orders GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL",
    "SELECT k, customer, GROUPING(k), count(DISTINCT amount) FROM shop.orders GROUP BY CUBE (k, customer) ORDER BY ALL",
    "SELECT k, count(*) FROM shop.orders GROUP BY GROUPING SETS ((k), ()) ORDER BY ALL",
    "SELECT DISTINCT ON (k) k, id FROM shop.orders ORDER BY k, id",
    "SELECT list_transform([1, 2], lambda x: x + 1), list_filter([1, 2, 3], x -> x > 1), [x * 2 for x in [1, 2, 3] if x > 1], list_reduce([1, 2, 3], (a, b) -> a + b)",
    "SELECT id, list_transform([1, 2], x -> x + o.amount) FROM shop.orders o ORDER BY id",
    "SELECT 1e10, 1.5e-3, 1.50, -5, 0.1::FLOAT, 'it''s', 170141183460469231731687303715884105727, '\\x41'::BLOB, NULL, true",
    "SELECT {'a': 1, 'b': [1, 2]}, MAP {'k': 1}, [1, 2][1], 'abc'[2:], INTERVAL 3 DAY, DATE '2020-01-01', TIMESTAMPTZ '2020-01-01 00:00:00+02'",
    "SELECT CAST('1' AS DECIMAL(10, 2)), '[1]'::JSON, 'x'::ENUM ('x', 'y'), {'x': 1}::STRUCT(x BIGINT), [1, 2, 3]::INTEGER[3], MAP {1: 'a'}::MAP(BIGINT, VARCHAR), TRY_CAST('a' AS INTEGER)",
    "SELECT 'a' || 'b', 5 // 2, 5 % 2, 2 ** 3, 'abc' LIKE 'a%', 'abc' ILIKE 'A_C', 'abc' SIMILAR TO 'a.*', 'a!b' LIKE 'a!!b' ESCAPE '!', 'abc' GLOB 'a*', 'abc' ~ 'a.*', ~5, 5 & 3, 1 << 3, 5!",
    "SELECT 1 IN (1, 2), 1 IN (SELECT customer FROM shop.orders), 1 = ANY (SELECT 1), 2 > ALL (SELECT 1), ARRAY(SELECT id FROM shop.customers ORDER BY id), 1 BETWEEN 0 AND 2, NOT true, 1 IS DISTINCT FROM 2",
    "SELECT CASE WHEN 1 = 1 THEN 'a' ELSE 'b' END, CASE 1 WHEN 2 THEN 3 END, coalesce(NULL, 1), nullif(1, 1), ifnull(NULL, 2), if(true, 1, 2), try(1 / 0), extract(year FROM DATE '2020-05-06')",
    "SELECT '{\"a\": {\"b\": [1]}}'::JSON->'a'->>'b', '[1]'::JSON->0, x.a FROM (SELECT {'a': 1} AS x)",
    "SELECT 'a' COLLATE NOCASE = 'A', TIMESTAMP '2020-01-01' AT TIME ZONE 'UTC'",
    "VALUES (1, 'a'), (2, 'b')",
    "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) t(x, y) ORDER BY x",
    "SELECT i FROM range(3) t(i), generate_series(1, 2) g(j) ORDER BY ALL",
    "SELECT * FROM generate_series(1, 3) WITH ORDINALITY",
    "SELECT unnest([1, 2, 3]), unnest({'a': 1, 'b': 2})",
    "SELECT id, u FROM shop.customers, unnest(place.zip) z(u) ORDER BY ALL",
    "SELECT 1 AS a UNION BY NAME SELECT 2 AS b ORDER BY ALL",
    "(SELECT id FROM shop.orders ORDER BY id LIMIT 2) UNION ALL (SELECT id FROM old.orders ORDER BY id DESC LIMIT 1) ORDER BY 1",
    "SELECT id FROM shop.orders EXCEPT SELECT id FROM old.orders INTERSECT SELECT customer FROM shop.orders ORDER BY 1",
    "SELECT count(*) FROM shop.orders LIMIT 10%",
    "SELECT id FROM shop.orders ORDER BY id LIMIT (SELECT 3) OFFSET 1",
    "SELECT x: 1, y: k FROM shop.orders ORDER BY ALL LIMIT 2",
    'SELECT id AS "a ""b""" FROM shop.orders AS "o p" ("id") WHERE "o p".id < 2 ORDER BY 1',
    "SELECT twice(id), thrice(id), thrice(id, y := 5) FROM shop.orders ORDER BY id LIMIT 3",
    "SELECT * FROM upto(3)",
    "SELECT * FROM shop.big ORDER BY id",
    "SELECT big.id, shop.big.twice FROM shop.big WHERE twice > 4 ORDER BY 1",
    "SELECT column_name, column_type FROM (DESCRIBE shop.orders)",
    "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM shop.customers)",
    "SELECT column_name, min, max, count FROM (SUMMARIZE shop.orders)",
    "SELECT #1 FROM shop.customers ORDER BY 1",
    "SELECT count(*) FROM (SELECT * FROM shop.orders USING SAMPLE 100%)",
    "SELECT count(*) FROM shop.orders TABLESAMPLE 100%",
    "SELECT u.id FROM (SELECT id, name FROM shop.customers) u(id, name) ORDER BY 1",
    "SELECT a FROM shop.customers AS c(a, b) ORDER BY 1",
    "SELECT arg_max(name, id), median(id), quantile_cont(id, 0.5), list(id ORDER BY id), histogram(id) FROM shop.customers",
    "TABLE shop.customers ORDER BY id",
]


def _fill_bare(connection: Connection) -> None:
    for schema, tables in (("shop", SHOP), ("old", OLD)):
        connection.execute(f"CREATE SCHEMA {schema}")
        for name, sql in tables.items():
            connection.execute(f"CREATE TABLE {schema}.{name} AS {sql}")
    for macro in MACROS:
        connection.execute(macro)
    connection.execute("CREATE VIEW shop.big AS SELECT id, amount * 2 AS twice FROM shop.orders o WHERE amount > 5")


@pytest.fixture(scope="module", params=["files", "memory"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lake, Connection]]:
    with make_place(tmp_path_factory.mktemp("gate"), "sqlite") as place, Engine(threads=2) as engine, engine.connection() as bare:
        lake = place.open()
        changes = [change(lake, sql, TableName(schema, name)) for schema, tables in (("shop", SHOP), ("old", OLD)) for name, sql in tables.items()]
        view = definition("view", sql="SELECT id, twice(amount) AS twice FROM shop.orders o WHERE amount > 5", inputs=(TableName("shop", "orders"),))
        columns = (Column("id", "BIGINT"), Column("twice", "BIGINT"))
        lake.commit([*changes, change(lake, None, TableName("shop", "big"), definition=view, load=load("view"), columns=columns)])
        _fill_bare(bare)
        if request.param == "memory":
            keep_hot(lake)
        yield lake, bare


def _both_ways(both: tuple[Lake, Connection], sql: str, access: Access, **how: Any) -> None:
    lake, bare = both
    expected = bare.execute(sql)
    rows = expected.fetchall()
    with lake.read_as(access, sql, macros=MACROS, **how) as reading:
        assert reading.types == expected.types
        # an expression without a name is called by its text, and DuckDB writes some in several ways: "DATE" for DATE
        assert list(map(_plain_name, reading.columns)) == list(map(_plain_name, expected.columns))
        assert reading.fetchall() == rows


def _plain_name(name: str) -> str:
    return name if name.isidentifier() else "?"


@pytest.mark.parametrize("sql", QUERIES)
def test_a_query_says_the_same_behind_the_gate(both: tuple[Lake, Connection], sql: str) -> None:
    _both_ways(both, sql, READER)
    _both_ways(both, sql, Access.owner())


@pytest.mark.skipif(not extension_available("tpch"), reason="the wheel of tpch isn't installed")
def test_the_queries_of_tpch_give_the_same_rows(tmp_path_factory: pytest.TempPathFactory) -> None:
    with make_place(tmp_path_factory.mktemp("tpch"), "sqlite") as place:
        lake = place.open()
        lake.engine.load("tpch")
        with lake.engine.connection() as bare:
            bare.execute("CALL dbgen(sf = 0.01)")
            tables = [row[0] for row in bare.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'memory'").fetchall()]
            lake.commit([change(lake, f"SELECT * FROM memory.main.{name}", TableName("tpch", name)) for name in tables])
            queries = bare.execute("SELECT query FROM tpch_queries() ORDER BY query_nr").fetchall()
            assert len(queries) == 22
            for (sql,) in queries:
                assert lake.read_as(READER, _in_schema(sql, tables)).fetchall() == bare.execute(sql).fetchall(), sql


def _in_schema(sql: str, tables: list[str]) -> str:
    tree = sqlglot.parse_one(sql, read="duckdb")
    for table in tree.find_all(exp.Table):
        if table.name in tables:
            table.set("db", exp.to_identifier("tpch"))
    return tree.sql(dialect="duckdb")


def test_parameters_are_bound_by_place_and_by_name(both: tuple[Lake, Connection]) -> None:
    lake, _ = both
    sql = "SELECT id + ? FROM shop.orders WHERE id = ? AND k = ?"
    assert lake.read_as(READER, sql, parameters=[10, 3, "k0"]).fetchall() == [(13,)]
    assert lake.read_as(READER, "SELECT $2 - $1, $1", parameters=[1, 5]).fetchall() == [(4, 1)]
    assert lake.read_as(READER, "SELECT $b - $a", parameters={"a": 1, "b": 5}).fetchall() == [(4,)]
    assert lake.read_as(READER, "SELECT $1", parameters=[None]).fetchall() == [(None,)]
    for wrong in ([], [1], [1, 2, 3, 4]):
        with pytest.raises(HeadwaterError, match="a value for each"):
            lake.read_as(READER, sql, parameters=wrong)


def test_a_query_is_described_with_the_types_of_its_parameters(both: tuple[Lake, Connection]) -> None:
    lake, _ = both
    described = lake.describe_as(READER, "SELECT id + $1 AS n, name FROM shop.customers WHERE id = $2 AND name LIKE $3 AND id IN ($4, 5) LIMIT $5")
    assert described.columns == (("n", "BIGINT"), ("name", "VARCHAR"))
    assert described.parameters == ("BIGINT", "BIGINT", "VARCHAR", "BIGINT", "BIGINT")
    described = lake.describe_as(
        READER, "WITH o AS (SELECT day FROM shop.orders) SELECT $1, $2::DATE FROM o WHERE day BETWEEN $3 AND $4", ["INTEGER"]
    )
    assert described.parameters == ("INTEGER", "DATE", "DATE", "DATE")
    assert [type_name for _, type_name in described.columns] == ["INTEGER", "DATE"]
    assert lake.describe_as(READER, "SELECT $1").parameters == ("VARCHAR",)


OF_NULLS = {
    "price + $1": "DECIMAL(11,2)",
    "price * $1": "DECIMAL(18,4)",
    "price % $1": "DECIMAL(10,2)",
    "coalesce(price - $1, 0)": "DECIMAL(12,2)",
    "CASE WHEN id >= 0 THEN price + $1 END": "DECIMAL(11,2)",
    "$1 * 1.5": "DECIMAL(4,2)",
    "abs($1::DECIMAL(10, 2))": "DECIMAL(10,2)",
    "sum(price * $1)": "DECIMAL(38,4)",
    "max(price + $1) OVER (PARTITION BY id)": "DECIMAL(11,2)",
    "(SELECT max(price + $1) FROM t)": "DECIMAL(11,2)",
    "list_transform([price], x -> x * CAST($1 AS DECIMAL(3, 1)))": "DECIMAL(13,3)[]",
    "name || $1": "VARCHAR",
    "id + $1": "BIGINT",
}
#: Each takes a query that gives `price + $1` as its one column `n`.
AROUND = [
    "{} ORDER BY n LIMIT $1",
    "SELECT n FROM ({})",
    "WITH c AS ({}) SELECT n FROM c WHERE n IS NOT DISTINCT FROM $1 - 1.5",
    "{} UNION ALL SELECT 1",
    "{} GROUP BY price + $1 HAVING price + $1 > 1 OR $1 IS NULL",
    "SELECT DISTINCT n FROM ({}) ORDER BY n",
    "SELECT b.n FROM ({}) a JOIN ({}) b ON a.n IS NOT DISTINCT FROM b.n + $1",
]


@pytest.mark.parametrize("expression", OF_NULLS)
def test_what_is_computed_of_a_null_is_of_the_type_that_was_described(both: tuple[Lake, Connection], expression: str) -> None:
    lake, _ = both
    table = "(SELECT id, name, CAST(id AS DECIMAL(10, 2)) AS price FROM shop.customers) t"
    sql = f"WITH t AS (FROM {table}) SELECT {expression} AS n FROM t"
    assert lake.describe_as(READER, sql).columns == (("n", OF_NULLS[expression]),)
    for _ in range(2):
        with lake.read_as(READER, sql, parameters=[None]) as reading:
            assert reading.types == [OF_NULLS[expression]]
            found = {str(value) for (value,) in reading.fetchall()}
        assert found <= {"None", "0.00", "[None]"}
    with lake.read_as(READER, sql, parameters=[2]) as reading:
        assert reading.types[0].partition("(")[0] == OF_NULLS[expression].partition("(")[0]


@pytest.mark.parametrize("around", AROUND)
def test_a_null_has_its_type_wherever_columns_come_from(both: tuple[Lake, Connection], around: str) -> None:
    lake, _ = both
    sql = around.replace("{}", "SELECT price + $1 AS n FROM (SELECT CAST(id AS DECIMAL(10, 2)) AS price FROM shop.customers)")
    ((_, described),) = lake.describe_as(READER, sql).columns
    assert described.startswith("DECIMAL")
    with lake.read_as(READER, sql, parameters=[None]) as reading:
        assert reading.types == [described]
        assert (None,) in reading.fetchall()


def test_nulls_stand_beside_values_and_where_no_type_is_known(both: tuple[Lake, Connection]) -> None:
    lake, _ = both
    sql = "SELECT CAST(id AS DECIMAL(10, 2)) * $1 AS a, id + $2 AS b FROM shop.customers WHERE id = $2 OR $1 > 5 ORDER BY 1"
    for parameters in ([None, 3], {"1": None, "2": 3}):
        with lake.read_as(READER, sql, parameters=parameters) as reading:
            assert (reading.types, reading.fetchall()) == (["DECIMAL(18,4)", "BIGINT"], [(None, 6)])
    assert lake.read_as(READER, sql, parameters=[6, None]).types == ["DECIMAL(18,2)", "BIGINT"]
    assert lake.read_as(READER, "SELECT abs($a), $b", parameters={"a": None, "b": 1}).fetchall() == [(None, 1)]
    assert lake.read_as(READER, "SELECT string_agg(name, $1) FROM shop.customers WHERE id = 1", parameters=[None]).fetchall() in (
        [(None,)],
        [("name1",)],
    )
    with pytest.raises(HeadwaterError):
        lake.read_as(READER, "SELECT nothing + $1 FROM shop.customers", parameters=[None])


def test_nulls_among_conditions_leave_the_query_as_it_is(both: tuple[Lake, Connection]) -> None:
    _, connection = both
    node = query_of(
        "SELECT id, CASE WHEN id = $1 THEN 'x' END, id IN ($1), id BETWEEN $1 AND 2, count(*) FILTER (id > $1) FROM t JOIN u ON t.a = $1 LIMIT $1"
    )
    assert with_typed_nulls(node, ["1"], {"1"}, connection) is None


def test_the_name_of_the_lake_may_stand_in_front(both: tuple[Lake, Connection]) -> None:
    lake, _ = both
    access = replace(READER, database="shopdb")
    sql = "SELECT shopdb.shop.customers.name FROM shopdb.shop.customers ORDER BY 1 LIMIT 1"
    assert lake.read_as(access, sql).fetchall() == [("name0",)]
    with pytest.raises(StatementRefused):
        lake.read_as(access, "SELECT * FROM lake.shop.customers")


def test_the_catalog_shows_what_may_be_read(both: tuple[Lake, Connection]) -> None:
    lake, _ = both
    tables = {str(table.name): [column.name for column in table.columns] for table in lake.tables_as(READER, macros=MACROS)}
    assert tables == {
        "old.orders": ["id", "customer", "amount", "k", "day"],
        "shop.big": ["id", "twice"],
        "shop.customers": ["id", "name", "place"],
        "shop.orders": ["id", "customer", "amount", "k", "day"],
    }
    nobody = replace(READER, principal=Principal("eve"))
    assert lake.tables_as(nobody) == []
