"""What Postgres holds arrives in full, by both ways of reading, with the types that docs/connectors.md names."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headwater.engine import Engine, describe_query
from headwater.errors import Interrupted, SourceDataInvalid, SourceReadFailed, StreamNotFound
from headwater.sources import ConnectorContext, CursorBound, ReadRequest, Scan, scan_ready
from headwater.sources.postgres import PostgresConnector
from headwater.sources.relational import cut_range
from headwater.spec.sources import Parallel, Stream
from headwater.testing import read_rows
from services import require_postgres

#: Type in Postgres, a literal, the type it arrives as, and the value as text (None: as the literal).
VALUES = [
    ("smallint", "-32768", "SMALLINT", None),
    ("integer", "2147483647", "INTEGER", None),
    ("bigint", "9223372036854775807", "BIGINT", None),
    ("real", "1.5", "FLOAT", None),
    ("double precision", "0.1", "DOUBLE", None),
    ("double precision", "NaN", "DOUBLE", "nan"),
    ("numeric(10,2)", "-12345678.91", "DECIMAL(10,2)", None),
    ("numeric(38,10)", "1234567890123456789012345678.0123456789", "DECIMAL(38,10)", None),
    ("numeric", "12345678901234567890.123456789012345678901", "VARCHAR", None),
    ("numeric", "NaN", "VARCHAR", None),
    ("numeric(50,10)", "1234567890123456789012345678901234567890.0123456789", "VARCHAR", None),
    ("numeric(3,-2)", "12300", "VARCHAR", None),
    ("boolean", "true", "BOOLEAN", None),
    ("text", "größe 漢字 🙂", "VARCHAR", None),
    ("varchar(20)", "v", "VARCHAR", None),
    ("char(5)", "ab", "VARCHAR", None),
    ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "UUID", None),
    ("date", "2024-02-29", "DATE", None),
    ("date", "infinity", "DATE", None),
    ("timestamp", "2024-01-01 12:00:00.123456", "TIMESTAMP", None),
    ("timestamp", "-infinity", "TIMESTAMP", None),
    ("timestamptz", "2024-06-01 12:00:00+02", "TIMESTAMP WITH TIME ZONE", "2024-06-01 10:00:00+00"),
    ("time", "12:34:56.789123", "TIME", None),
    ("time", "24:00:00", "TIME", None),
    ("timetz", "12:34:56+02", "TIME WITH TIME ZONE", None),
    ("interval", "1 year 2 mons 3 days 04:05:06.789", "INTERVAL", "1 year 2 months 3 days 04:05:06.789"),
    ("bytea", "\\xdeadbeef", "BLOB", "\\xDE\\xAD\\xBE\\xEF"),
    ("json", '{"a": 1}', "VARCHAR", None),
    ("jsonb", '{"a": 1}', "VARCHAR", None),
    ("inet", "10.1.2.3/24", "VARCHAR", None),
    ("macaddr", "08:00:2b:01:02:03", "VARCHAR", None),
    ("xml", "<a>1</a>", "VARCHAR", None),
    ("money", "12.34", "VARCHAR", None),
    ("bit(4)", "1010", "VARCHAR", None),
    ("int4range", "[1,5)", "VARCHAR", None),
    ("point", "(1,2)", "VARCHAR", None),
    ("tsvector", "'a' 'b'", "VARCHAR", None),
    ("oid", "42", "BIGINT", None),
    ("integer[]", "{1,2,NULL}", "INTEGER[]", "[1, 2, NULL]"),
    ("text[]", '{a,"b,c"}', "VARCHAR[]", "[a, 'b,c']"),
    ("integer[][]", "{{1,2},{3,4}}", "VARCHAR", "[[1,2],[3,4]]"),
    ("numeric[]", "{1.5,2.123456789012345678901}", "VARCHAR", "[1.5,2.123456789012345678901]"),
    ("jsonb[]", '{"{\\"a\\": 1}"}', "VARCHAR", '[{"a": 1}]'),
    ("{s}.mood", "ok", "VARCHAR", None),
    ("{s}.mood[]", "{ok,sad}", "VARCHAR", '["ok","sad"]'),
    ("{s}.pair", "(1,x)", "VARCHAR", '{"a":1,"b":"x"}'),
    ("{s}.positive", "5", "INTEGER", None),
    ("{s}.exact", "1.23456789012345678901234567890", "VARCHAR", None),
    ("{s}.price", "1.25", "VARCHAR", None),
]


@pytest.fixture(scope="module")
def schema() -> Iterator[str]:
    name = f"hw_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(require_postgres(), autocommit=True) as connection:
        connection.execute(f"""
            CREATE SCHEMA {name};
            CREATE TYPE {name}.mood AS ENUM ('sad', 'ok');
            CREATE TYPE {name}.pair AS (a int, b text);
            CREATE DOMAIN {name}.positive AS int CHECK (value > 0);
            CREATE DOMAIN {name}.exact AS numeric;
            CREATE DOMAIN {name}.price AS numeric(10,2);""")
        columns = ", ".join(f"v{number} {value[0].format(s=name)}" for number, value in enumerate(VALUES))
        connection.execute(f"CREATE TABLE {name}.every (id int, {columns})")  # type: ignore[arg-type]
        casts = ", ".join(f"%s::text::{'numeric::' if value[0] == 'money' else ''}{value[0].format(s=name)}" for value in VALUES)
        connection.execute(f"INSERT INTO {name}.every (id) VALUES (1)")  # type: ignore[arg-type]
        connection.execute(f"INSERT INTO {name}.every VALUES (2, {casts})", [value[1] for value in VALUES])  # type: ignore[arg-type]
        yield name
        connection.execute(f"DROP SCHEMA {name} CASCADE")


@pytest.fixture
def postgres(tmp_path: Path, schema: str) -> Iterator[PostgresConnector]:
    connector = PostgresConnector(ConnectorContext("shop", tmp_path, connection=require_postgres(), options={"schemas": schema}))
    yield connector
    connector.close()


def request(cursor: CursorBound | None = None, **stream: Any) -> ReadRequest:
    return ReadRequest("things", Stream.model_validate(stream), cursor=cursor)


def texts(connector: PostgresConnector, wanted: ReadRequest) -> tuple[str, dict[str, tuple[Any, Any]]]:
    """The SQL of a read, and by column its type and its value, as text, in the row that has values; the other row must be all null."""
    [portion] = connector.read(wanted).portions
    assert isinstance(portion.data, Scan)
    with Engine(extensions=["postgres_scanner"]) as engine, engine.connection() as connection, scan_ready(connection, portion.data) as sql:
        types = {column.name: column.type for column in describe_query(connection, sql)}
        result = connection.execute(f"SELECT COLUMNS(* EXCLUDE id)::VARCHAR FROM ({sql}) ORDER BY id")
        names = result.columns
        nulls, values = result.fetchall()
    assert set(nulls) == {None}
    return sql, {name: (types[name], value) for name, value in zip(names, values, strict=True)}


def test_every_type_arrives_in_full_by_both_ways(postgres: PostgresConnector, schema: str) -> None:
    expected = {f"v{number}": (type_name, literal if text is None else text) for number, (_, literal, type_name, text) in enumerate(VALUES)}
    sql, found = texts(postgres, request(table=f"{schema}.every"))
    assert "postgres_query" in sql
    assert found == expected
    direct = [column.name for column in postgres.describe_table(schema, "every") if not column.needs_query]
    assert len(direct) > 25
    sql, found = texts(postgres, request(table=f"{schema}.every", select=direct))
    assert "postgres_query" not in sql
    assert found == {name: expected[name] for name in direct if name != "id"}


def test_columns_name_the_types_they_arrive_as(postgres: PostgresConnector, schema: str) -> None:
    columns = postgres.columns(request(table=f"{schema}.every"))[1:]
    assert [column.type for column in columns if column.source_type != f"{schema}.price"] == [
        type_name for source, _, type_name, _ in VALUES if source != "{s}.price"
    ]
    assert {column.source_type for column in columns} >= {"numeric", "numeric(10,2)", "timestamp with time zone", f"{schema}.mood"}


def test_the_reader_alone_would_make_a_double_of_numeric_and_zero_of_nan(schema: str) -> None:
    """When this fails the reader has changed, and these columns can be read by it."""
    name = f"v{[value[:2] for value in VALUES].index(('numeric', 'NaN'))}"
    with Engine(extensions=["postgres_scanner"]) as engine, engine.connection() as connection:
        connection.load("postgres_scanner")
        connection.execute(f"ATTACH '{require_postgres()}' AS bare (TYPE postgres, READ_ONLY)")
        assert connection.execute(f"SELECT {name}, typeof({name}) FROM bare.{schema}.every ORDER BY id").fetchall() == [
            (None, "DOUBLE"),
            (0.0, "DOUBLE"),
        ]


def test_nan_in_a_numeric_comes_as_text_for_the_contract_to_judge(postgres: PostgresConnector, schema: str) -> None:
    with psycopg.connect(require_postgres(), autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {schema}.nans (id int, v numeric(10,2))")
        connection.execute(f"INSERT INTO {schema}.nans VALUES (1, 1.25), (2, 'NaN')")
    reading = postgres.read(request(table=f"{schema}.nans"))
    [portion] = reading.portions
    assert isinstance(portion.data, Scan)
    assert portion.data.suggested_types == {"v": "DECIMAL(10,2)"}
    assert [row["v"] for row in read_rows(reading, cast=False)] == ["1.25", "NaN"]
    before = postgres.read(request(table=f"{schema}.nans", cursor=CursorBound("id", start=0, end=2)))
    assert [row["v"] for row in read_rows(before)] == [Decimal("1.25")]


def test_a_query_has_its_types_too(postgres: PostgresConnector, schema: str) -> None:
    query = f"""
        SELECT 1::smallint AS s, 1.5::numeric(10,2) AS d, 1.5::numeric AS n, 'ok'::{schema}.mood AS m, '{{"a":1}}'::jsonb AS j, ARRAY[1.5] AS a,
            'NaN'::float8 AS f, now() AS t, '5'::{schema}.positive AS p, NULL AS u"""
    types = {column.name: column.type for column in postgres.columns(request(query=query))}
    assert types == {
        "s": "SMALLINT",
        "d": "DECIMAL(10,2)",
        "n": "VARCHAR",
        "m": "VARCHAR",
        "j": "VARCHAR",
        "a": "VARCHAR",
        "f": "DOUBLE",
        "t": "TIMESTAMP WITH TIME ZONE",
        "p": "VARCHAR",
        "u": "VARCHAR",
    }
    [row] = read_rows(postgres.read(request(query=query)))
    assert (row["s"], row["d"], row["n"], row["a"], row["m"]) == (1, Decimal("1.50"), "1.5", "[1.5]", "ok")
    assert math.isnan(row["f"])


def test_an_array_of_more_dimensions_than_declared_is_told_with_the_way_out(postgres: PostgresConnector, schema: str) -> None:
    with psycopg.connect(require_postgres(), autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {schema}.deep (v int[])")
        connection.execute(f"INSERT INTO {schema}.deep VALUES ('{{{{1,2}},{{3,4}}}}')")
    with pytest.raises(SourceDataInvalid) as caught:
        read_rows(postgres.read(request(table=f"{schema}.deep")))
    assert "to_json" in str(caught.value.hint)
    assert read_rows(postgres.read(request(query=f"SELECT to_json(v)::text AS v FROM {schema}.deep"))) == [{"v": "[[1,2],[3,4]]"}]


@pytest.mark.parametrize(
    "query", ["DELETE FROM {s}.every", "UPDATE {s}.every SET id = 5", "WITH x AS (DELETE FROM {s}.every RETURNING *) SELECT * FROM x", ""]
)
def test_a_query_that_writes_is_refused(postgres: PostgresConnector, schema: str, query: str) -> None:
    with pytest.raises((SourceDataInvalid, SourceReadFailed)):
        read_rows(postgres.read(request(query=query.format(s=schema))))
    assert len(read_rows(postgres.read(request(table=f"{schema}.every")))) == 2


def test_the_session_is_read_only(postgres: PostgresConnector, schema: str) -> None:
    with psycopg.connect(require_postgres(), autocommit=True) as connection:
        connection.execute(f"CREATE SEQUENCE {schema}.counter")
    with pytest.raises((SourceReadFailed, SourceDataInvalid, StreamNotFound)) as caught:
        read_rows(postgres.read(request(query=f"SELECT nextval('{schema}.counter') AS n")))
    assert "read-only" in str(caught.value)


def test_a_statement_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    connector = PostgresConnector(ConnectorContext("shop", tmp_path, connection=require_postgres(), statement_timeout=timedelta(milliseconds=200)))
    with pytest.raises(SourceReadFailed, match="statement timeout") as caught:
        read_rows(connector.read(request(query="SELECT pg_sleep(5)::text AS s")))
    assert caught.value.hint == "raise statement_timeout of the source"
    connector.close()


def test_the_session_is_read_only_for_a_mapping_too_and_its_password_may_hold_anything(tmp_path: Path) -> None:
    from urllib.parse import urlsplit

    parts = urlsplit(require_postgres())
    connection = {
        "host": parts.hostname,
        "port": parts.port,
        "user": parts.username,
        "password": parts.password or r"it's \ odd",
        "database": parts.path[1:],
    }
    connector = PostgresConnector(ConnectorContext("shop", tmp_path, connection=connection))
    [row] = read_rows(
        connector.read(request(query="SELECT current_setting('default_transaction_read_only') AS r, current_setting('application_name') AS a"))
    )
    assert row == {"r": "on", "a": "headwater"}
    connector.close()


def test_a_cursor_over_a_column_that_only_sql_can_compare_is_pushed_as_sql(postgres: PostgresConnector, schema: str) -> None:
    with psycopg.connect(require_postgres(), autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {schema}.versions (id int, v numeric)")
        connection.execute(f"INSERT INTO {schema}.versions VALUES (1, 9), (2, 10), (3, NULL), (4, 10.5)")
    rows = read_rows(postgres.read(request(table=f"{schema}.versions", cursor=CursorBound("v", start="10"), select=["id"])))
    assert sorted(row["id"] for row in rows) == [2, 4]


def test_ranges_leave_no_row_out_and_read_none_twice(postgres: PostgresConnector, schema: str) -> None:
    with psycopg.connect(require_postgres(), autocommit=True) as connection:
        connection.execute(
            f"CREATE TABLE {schema}.ranged AS SELECT CASE WHEN i % 50 = 0 THEN NULL ELSE i END AS k, i::numeric AS v FROM generate_series(1, 500) i"
        )
    for parts in (2, 3, 7):
        rows = read_rows(postgres.read(request(table=f"{schema}.ranged", parallel={"column": "k", "parts": parts})))
        assert sorted(int(row["v"]) for row in rows) == list(range(1, 501))


def test_ranges_of_a_text_column_are_refused(postgres: PostgresConnector, schema: str) -> None:
    query = "SELECT 'a' AS k UNION ALL SELECT 'b'"
    with pytest.raises(SourceDataInvalid, match="can't be cut into ranges"):
        postgres.read(request(query=query, parallel={"column": "k", "parts": 2}))


@pytest.mark.parametrize(
    ("lowest", "highest", "parts", "bounds"),
    [(1, 9, 2, [5]), (1, 2, 8, []), (5, 5, 4, []), (None, None, 4, []), (0, 3, 8, [1, 2]), (0.0, 1.0, 4, [0.25, 0.5, 0.75]), (-4, 4, 4, [-2, 0, 2])],
)
def test_a_range_is_cut_into_whole_parts(lowest: Any, highest: Any, parts: int, bounds: list[Any]) -> None:
    assert cut_range(lowest, highest, Parallel(column="k", parts=parts)) == bounds


def test_discovery_gives_keys_in_order_estimates_and_decimals_that_fit(postgres: PostgresConnector, schema: str) -> None:
    with psycopg.connect(require_postgres(), autocommit=True) as connection:
        connection.execute(f'CREATE TABLE {schema}."Odd.Name" (b int, a int, price numeric, PRIMARY KEY (a, b))')
        connection.execute(f"""INSERT INTO {schema}."Odd.Name" VALUES (1, 2, 123.4567), (1, 3, 'NaN'); ANALYZE {schema}."Odd.Name" """)
    found = next(stream for stream in postgres.discover() if stream.name.endswith("Odd.Name"))
    assert found.primary_key == ("a", "b")
    assert found.rows == 2
    assert found.definition == {"table": f'{schema}."Odd.Name"', "primary_key": ["a", "b"], "columns": {"price": "decimal(38,4)"}}
    assert len(read_rows(postgres.read(ReadRequest("odd", Stream.model_validate(dict(found.definition)))))) == 2


def test_nan_found_beside_the_reading_makes_it_be_repeated(postgres: PostgresConnector, schema: str) -> None:
    with psycopg.connect(require_postgres(), autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {schema}.beside AS SELECT 1 AS id, 1.5::numeric(10,2) AS v")
        asked = replace(request(table=f"{schema}.beside"), may_repeat=True)
        sound = postgres.read(asked)
        assert [row["v"] for row in read_rows(sound)] == [Decimal("1.50")]
        assert sound.must_repeat is not None
        assert not sound.must_repeat(lambda: False)
        connection.execute(f"INSERT INTO {schema}.beside VALUES (2, 'NaN')")
    first = postgres.read(asked)
    assert [row["v"] for row in read_rows(first)] == [Decimal("1.50"), Decimal("0.00")]
    assert first.must_repeat is not None
    assert first.must_repeat(lambda: False)
    second = postgres.read(asked)
    assert second.must_repeat is None
    assert [row["v"] for row in read_rows(second, cast=False)] == ["1.50", "NaN"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("head_start", [0.0, 0.5])
def test_a_look_for_nan_ends_with_its_load_whatever_the_server_has_still_to_scan(tmp_path: Path, schema: str, head_start: float) -> None:
    with psycopg.connect(require_postgres(), autocommit=True) as connection:
        connection.execute(f"""
            CREATE OR REPLACE VIEW {schema}.endless AS
            SELECT 1 AS id, CASE WHEN pg_sleep(600) IS NULL THEN 2 ELSE 1 END::numeric(10,2) AS v""")
        connector = PostgresConnector(ConnectorContext("shop", tmp_path, connection=require_postgres()))
        reading = connector.read(replace(request(table=f"{schema}.endless"), may_repeat=True))
        time.sleep(head_start)
        assert reading.must_repeat is not None
        with pytest.raises(Interrupted):
            reading.must_repeat(lambda: True)
        started = time.monotonic()
        connector.close()
        assert time.monotonic() - started < 20
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND query LIKE %s", [f"%{schema}%endless%"]
        ).fetchone()
        assert found == (0,)


def test_the_look_for_nan_can_be_left_out(postgres: PostgresConnector, schema: str) -> None:
    with psycopg.connect(require_postgres(), autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {schema}.unchecked (id int, v numeric(10,2))")
        connection.execute(f"INSERT INTO {schema}.unchecked VALUES (2, 'NaN')")
    assert read_rows(postgres.read(request(table=f"{schema}.unchecked", options={"nan": "unchecked"}))) == [{"id": 2, "v": Decimal("0.00")}]
