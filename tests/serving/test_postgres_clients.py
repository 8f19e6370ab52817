"""Clients that people use, unmodified: queries, types, cursors, introspection."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import uuid
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import adbc_driver_postgresql.dbapi
import asyncpg
import pandas as pd
import pg8000.dbapi
import psycopg
import psycopg2
import pytest
import sqlalchemy as sa

from headwater.engine import Engine
from headwater.serving.postgres import Server
from services import require_postgres, require_program

RECORDED = Path(__file__).parent / "recorded"
JDBC = Path.home() / ".m2/repository/org/postgresql/postgresql/42.7.13/postgresql-42.7.13.jar"
ROW = (3, 1, Decimal("3.75"), datetime(2024, 1, 1, 3), ["t3", None], {"a": 3})


def _recorded() -> Iterator[tuple[str, str, list[Any]]]:
    """Tool, statement, and the parameters of its extended query."""
    for file in sorted(RECORDED.glob("*.sql")):
        for part in re.split(r"^@@ ", file.read_text(), flags=re.MULTILINE)[1:]:
            tool, _, rest = part.partition("\n")
            for asked in re.split(r"^@q", rest, flags=re.MULTILINE)[1:]:
                parameters, _, query = asked.partition("\n")
                yield tool, query.strip().rstrip(";"), json.loads(parameters or "[]")


def _asked(connection: psycopg.Connection[Any], tool: str, word: str) -> list[tuple[Any, ...]]:
    """What the first recorded statement of a tool with `word` in it gives."""
    query, values = next((query, values) for asker, query, values in _recorded() if asker == tool and word in query)
    return psycopg.RawCursor(connection).execute(query.encode(), values or None).fetchall()


def _psql(server: Server, *commands: str) -> str:
    arguments = [part for command in commands for part in ("-c", command)]
    environment = {"PGPASSWORD": "pencil", "PATH": os.environ["PATH"]}
    command = [require_program("psql"), "-X", "-h", "127.0.0.1", "-p", str(server.port), "-U", "robot", "shop", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def test_psql_is_told_where_passwords_are_changed(server: Server) -> None:
    environment = {"PGPASSWORD": "pencil", "PATH": os.environ["PATH"]}
    command = [require_program("psql"), "-X", "-h", "127.0.0.1", "-p", str(server.port), "-U", "robot", "shop", "-c", r"\password"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, input="n3w\nn3w\n", start_new_session=True)
    assert "passwords and roles aren't changed in SQL" in done.stderr
    assert "headwater user passwd" in done.stderr


def test_psql_lists_and_describes_what_there_is(server: Server) -> None:
    shown = _psql(server, r"\dt", r"\dv", r"\dn", r"\l", r"\du", r"\d shop.orders", r"\d+ customers", r"\di", r"\dp", r"\df", r"\dx")
    for line in (
        " shop   | orders    | table | robot",
        " shop   | totals | view | robot",
        " shop   | robot",
        " amount      | numeric(12,2)               |           |          | ",
        '    "orders_pkey" PRIMARY KEY, btree (id)',
        '    "orders_customer_id_fkey" FOREIGN KEY (customer_id) REFERENCES shop.customers(id)',
        "the customer's number",
    ):
        assert line in shown


def test_psql_copies_out_and_walks_cursors(server: Server, tmp_path: Path) -> None:
    _psql(server, rf"\copy (SELECT * FROM shop.customers ORDER BY id) TO '{tmp_path}/out.csv' CSV HEADER")
    assert (tmp_path / "out.csv").read_text().splitlines()[:2] == ["id,email,country,born,Odd Name", "1,ada@x.no,NO,1815-12-10,a"]
    shown = _psql(
        server, "BEGIN", "DECLARE c CURSOR FOR SELECT id FROM shop.many ORDER BY id", "FETCH 2 FROM c", "FETCH FORWARD 1 IN c", "CLOSE c", "COMMIT"
    )
    assert [line.strip() for line in shown.splitlines() if line.strip().isdigit()] == ["0", "1", "2"]
    assert "300000" in _psql(server, r"\set FETCH_COUNT 1000", "SELECT count(*) FROM shop.many")


def test_questions_of_tools_to_the_catalog_are_answered(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        failed = []
        for tool, query, values in _recorded():
            try:
                psycopg.RawCursor(connection).execute(query.encode(), values or None)
            except psycopg.Error as error:
                failed.append(f"{tool}: {error}\n{query}")
    assert not failed, "\n\n".join(failed)


def test_metabase_finds_columns_and_keys(url: str) -> None:
    with psycopg.connect(url) as connection:
        tables = _asked(connection, "Metabase", "estimated_row_count")
        assert [row[1:4] for row in tables] == [
            ("customers", "TABLE", "who buys"),
            ("many", "TABLE", None),
            ("orders", "TABLE", None),
            ("totals", "VIEW", None),
        ]
        columns = _asked(connection, "Metabase", "database-position")
        assert ("id", "int4", 0, "shop", "customers", True, "the customer's number", True, False) in columns
        assert ("tags", "_text", 4, "shop", "orders", False, None, False, False) in columns
        assert _asked(connection, "Metabase", "fk-table-schema") == [("shop", "orders", "customer_id", "shop", "customers", "id")]
        assert _asked(connection, "Metabase", "_PG_EXPANDARRAY") == [("shop", "customers", "id"), ("shop", "orders", "id")]
        assert (None, "shop", "orders", False, True, False, False) in _asked(connection, "Metabase", "with rights")


def test_dbeaver_finds_columns_keys_and_names(url: str) -> None:
    with psycopg.connect(url) as connection:
        (found,) = _asked(connection, "DBeaver", "relname = $2")
        assert found[0] == 144815346
        cursor = psycopg.RawCursor(connection)
        columns = _asked(connection, "DBeaver", "row_number()")
        assert [row[:2] for row in columns] == [("orders", place) for place in range(1, 7)]
        assert [row[3] for row in columns] == ["id", "customer_id", "amount", "placed_at", "tags", "extra"]
        assert _asked(connection, "DBeaver", "SELECT pg_catalog.pg_get_indexdef($1, $2") == [(None,)]
        keys = {row[2]: (row[4], row[-4], row[-3]) for row in _asked(connection, "DBeaver", "AS refnamespace")}
        assert keys == {"orders_pkey": ("p", "orders", None), "orders_customer_id_fkey": ("f", "orders", 767628650)}
        assert [row[1] for row in _asked(connection, "DBeaver", "obj_description(cl.oid")] == ["orders"]
        assert [row[0] for row in _asked(connection, "DBeaver", "col_description(cl.oid")] == ["amount"]
        assert cursor.execute("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1", ["orders_pkey"]).fetchall() == [
            ("PRIMARY KEY (id)",)
        ]


def test_grafana_finds_tables_and_columns(url: str) -> None:
    with psycopg.connect(url) as connection:
        assert _asked(connection, "Grafana", "server_version_num") == [(1500,)]
        assert [row[0] for row in _asked(connection, "Grafana", "THEN 0 ELSE 1")] == ["shop.customers", "shop.many", "shop.orders", "shop.totals"]
        columns = _asked(connection, "Grafana", "parse_ident")
        assert columns[:4] == [("id", "bigint"), ("customer_id", "integer"), ("amount", "numeric"), ("placed_at", "timestamp without time zone")]
        assert _asked(connection, "Grafana", "numeric_scale")[2] == ("amount", "numeric", "numeric", 12, 2)


def test_superset_finds_columns_and_keys(url: str) -> None:
    with psycopg.connect(url) as connection:
        columns = _asked(connection, "Superset", "a.attnotnull")
        assert [(row[0], row[1], row[3]) for row in columns[:3]] == [
            ("id", "bigint", True),
            ("customer_id", "integer", False),
            ("amount", "numeric(12,2)", False),
        ]
        assert _asked(connection, "Superset", "generate_subscripts") == [("id",)]
        (key,) = _asked(connection, "Superset", "condef")
        assert key == ("orders_customer_id_fkey", "FOREIGN KEY (customer_id) REFERENCES shop.customers(id)", "shop")


#: The tables of the service, as PostgreSQL itself would hold them.
_SAME: Final = """
CREATE SCHEMA shop;
CREATE TABLE shop.customers (id integer PRIMARY KEY, email text, country text, born date, "Odd Name" text);
COMMENT ON TABLE shop.customers IS 'who buys';
COMMENT ON COLUMN shop.customers.id IS 'the customer''s number';
CREATE TABLE shop.orders (id bigint PRIMARY KEY, customer_id integer REFERENCES shop.customers (id), amount numeric(12,2), placed_at timestamp,
  tags text[], extra json);
CREATE VIEW shop.totals AS SELECT customer_id, sum(amount)::numeric(38,2) AS total FROM shop.orders GROUP BY customer_id;
CREATE TABLE shop.many (id bigint, name text, half numeric(21,1), at timestamp);
"""


@pytest.fixture
def real() -> Iterator[str]:
    """The URL of a database of a real PostgreSQL with the same tables."""
    server, name = require_postgres(), f"hw_tools_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            url = server.rsplit("/", 1)[0] + f"/{name}"
            with psycopg.connect(url, autocommit=True) as inside:
                inside.execute(_SAME)
            yield url
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize(
    ("tool", "word"),
    [
        ("Metabase", "database-position"),
        ("Metabase", "fk-table-schema"),
        ("Metabase", "_PG_EXPANDARRAY"),
        ("Grafana", "extversion"),
        ("Grafana", "AS i,"),
        ("Grafana", "parse_ident"),
        ("Grafana", "numeric_scale"),
        ("Grafana", "table_type IN"),
        ("Superset", "c.relkind = 'f'"),
        ("Superset", "c.relkind in ('r', 'p')"),
        ("DBeaver", "typcategory FROM"),
    ],
)
def test_tools_learn_the_same_of_a_real_postgres(url: str, real: str, tool: str, word: str) -> None:
    with psycopg.connect(url) as ours, psycopg.connect(real) as theirs:
        assert _asked(ours, tool, word) == _asked(theirs, tool, word)


def test_reflection_learns_the_same_of_a_real_postgres(url: str, real: str) -> None:
    found = []
    for address in (url, real):
        engine = sa.create_engine(address.replace("postgresql://", "postgresql+psycopg://"))
        inspector = sa.inspect(engine)
        read: list[dict[str, Any]] = []
        for table in ("customers", "orders", "totals", "many"):
            columns = [
                (column["name"], str(column["type"]), column["nullable"], column["comment"]) for column in inspector.get_columns(table, "shop")
            ]
            read.append(
                {
                    "columns": columns,
                    "key": inspector.get_pk_constraint(table, "shop"),
                    "links": inspector.get_foreign_keys(table, "shop"),
                    "indexes": inspector.get_indexes(table, "shop"),
                    "unique": inspector.get_unique_constraints(table, "shop"),
                    "checks": inspector.get_check_constraints(table, "shop"),
                    "comment": inspector.get_table_comment(table, "shop"),
                }
            )
        found.append((read, sorted(inspector.get_table_names("shop")), inspector.get_view_names("shop"), inspector.get_enums("shop")))
        engine.dispose()
    assert found[0] == found[1]


def test_psycopg_text_binary_parameters_and_server_side_cursors(url: str) -> None:
    with psycopg.connect(url) as connection:
        for binary in (False, True):
            assert connection.cursor(binary=binary).execute("SELECT * FROM shop.orders WHERE id = %s", (3,)).fetchall() == [ROW]
        found = connection.execute(
            "SELECT count(*) FROM shop.orders WHERE placed_at > %s AND amount < %s", (datetime(2024, 1, 2), Decimal("50.5"))
        ).fetchone()
        assert found == (16,)
        assert connection.execute("SELECT id FROM shop.customers WHERE id = ANY(%s) ORDER BY 1", ([1, 3],)).fetchall() == [(1,), (3,)]
        with connection.cursor("named") as cursor:
            cursor.execute("SELECT id FROM shop.many")
            assert len(cursor.fetchmany(10)) == 10
            assert len(cursor.fetchall()) == 299_990
        for _ in range(8):  # prepared on the server from the fifth time on
            assert connection.execute("SELECT email FROM shop.customers WHERE id = %s", (1,)).fetchone() == ("ada@x.no",)
        with connection.cursor().copy("COPY (SELECT * FROM shop.customers ORDER BY id) TO STDOUT") as copy:
            assert list(copy.rows())[1] == ("2", "bob@x.se", "SE", None, None)
        with connection.cursor().copy("COPY (SELECT id, born FROM shop.customers ORDER BY id) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int4", "date"])
            assert list(copy.rows()) == [(1, date(1815, 12, 10)), (2, None), (3, date(2000, 2, 29))]
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int", (number,)) for number in range(5)]
            assert [cursor.fetchone() for cursor in cursors] == [(0,), (1,), (2,), (3,), (4,)]


def test_psycopg2(server: Server) -> None:
    connection = psycopg2.connect(host="127.0.0.1", port=server.port, user="robot", password="pencil", dbname="shop")
    cursor = connection.cursor()
    cursor.execute("SELECT * FROM shop.orders WHERE id = %s", (3,))
    assert cursor.fetchall() == [ROW]
    named = connection.cursor("walks")
    named.execute("SELECT id FROM shop.many")
    assert len(named.fetchall()) == 300_000
    connection.close()


def test_pg8000(server: Server) -> None:
    connection = pg8000.dbapi.connect(host="127.0.0.1", port=server.port, user="robot", password="pencil", database="shop")
    cursor = connection.cursor()
    cursor.execute("SELECT * FROM shop.orders WHERE id = %s", (3,))
    assert tuple(cursor.fetchall()[0]) == ROW
    connection.close()


def test_asyncpg_trusts_the_types_of_parameters(url: str) -> None:
    async def ask() -> None:
        connection = await asyncpg.connect(url)
        rows = await connection.fetch(
            "SELECT * FROM shop.orders WHERE id = $1 AND amount < $2 AND placed_at > $3", 3, Decimal(100), datetime(2020, 1, 1)
        )
        assert tuple(rows[0])[:5] == ROW[:5]
        assert len(await connection.fetch("SELECT * FROM shop.customers WHERE id = ANY($1) AND country = $2", [1, 2, 3], "NO")) == 2
        async with connection.transaction():
            assert len([row async for row in connection.cursor("SELECT id FROM shop.many LIMIT 1000")]) == 1000
            assert await connection.fetchval("SELECT count(*) FROM shop.many LIMIT $1", 1) == 300_000
        await connection.close()
        pool = await asyncpg.create_pool(url, min_size=1, max_size=2)
        for _ in range(3):
            async with pool.acquire() as one:
                assert await one.fetchval("SELECT 1") == 1
        await pool.close()

    asyncio.run(ask())


def test_asyncpg_is_told_of_each_failure_and_goes_on(url: str) -> None:
    wrong = (
        ("SELECT nope FROM shop.orders WHERE id = $1", asyncpg.UndefinedColumnError),
        ("SELECT * FROM shop.hidden", asyncpg.UndefinedTableError),
        ("SELEC 1", asyncpg.PostgresError),
        ("SELECT 1 +", asyncpg.PostgresSyntaxError),
        ("SELECT list_sort(tags) FROM shop.orders", asyncpg.FeatureNotSupportedError),
        ("DELETE FROM shop.orders", asyncpg.ReadOnlySQLTransactionError),
    )

    async def ask() -> None:
        connection = await asyncpg.connect(url)
        for sql, error in wrong:
            for call in (connection.fetch, connection.prepare):
                with pytest.raises(error):
                    await asyncio.wait_for(call(sql, *([1] if "$1" in sql and call == connection.fetch else [])), 20)
                assert await asyncio.wait_for(connection.fetchval("SELECT count(*) FROM shop.customers WHERE id > $1", 0), 20) == 3
        with pytest.raises(asyncpg.DataError):
            await asyncio.wait_for(connection.fetch("SELECT 1 / $1::int", 0), 20)
        async with connection.transaction():
            with pytest.raises(asyncpg.UndefinedTableError):
                async with connection.transaction():
                    await asyncio.wait_for(connection.fetch("SELECT * FROM shop.hidden"), 20)
            assert await connection.fetchval("SELECT 1") == 1
        await connection.close()

    asyncio.run(ask())


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pg8000"])
def test_sqlalchemy_reflects_and_asks(url: str, driver: str) -> None:
    engine = sa.create_engine(url.replace("postgresql://", f"postgresql+{driver}://"))
    inspector = sa.inspect(engine)
    assert "shop" in inspector.get_schema_names()
    assert sorted(inspector.get_table_names(schema="shop")) == ["customers", "many", "orders"]
    assert inspector.get_view_names(schema="shop") == ["totals"]
    assert [(one["name"], str(one["type"]), one["nullable"]) for one in inspector.get_columns("orders", schema="shop")][:3] == [
        ("id", "BIGINT", False),
        ("customer_id", "INTEGER", True),
        ("amount", "NUMERIC(12, 2)", True),
    ]
    assert inspector.get_pk_constraint("orders", schema="shop")["constrained_columns"] == ["id"]
    assert inspector.get_foreign_keys("orders", schema="shop")[0]["referred_table"] == "customers"
    assert inspector.get_table_comment("customers", schema="shop") == {"text": "who buys"}
    metadata = sa.MetaData()
    metadata.reflect(engine, schema="shop")
    orders = metadata.tables["shop.orders"]
    with engine.connect() as connection:
        asked = sa.select(sa.func.count(), sa.func.sum(orders.c.amount)).where(orders.c.id > 5)
        assert tuple(connection.execute(asked).one()) == (94, Decimal("6168.75"))
        with connection.begin_nested():
            assert connection.execute(sa.text("SELECT 1")).scalar() == 1
    engine.dispose()


def test_pandas(url: str) -> None:
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    frame = pd.read_sql("SELECT * FROM shop.orders ORDER BY id LIMIT 3", engine)
    assert list(frame["amount"]) == [0.0, 1.25, 2.5]
    assert len(pd.read_sql_table("customers", engine, schema="shop")) == 3
    engine.dispose()


def test_adbc(url: str) -> None:
    with adbc_driver_postgresql.dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM shop.orders ORDER BY id LIMIT 3")
        rows = cursor.fetch_arrow_table().to_pylist()
        assert rows[1]["placed_at"] == datetime(2024, 1, 1, 1)
        assert rows[1]["tags"] == ["t1", None]
        cursor.execute("SELECT email FROM shop.customers WHERE id = $1", (1,))
        assert cursor.fetchall() == [("ada@x.no",)]
        assert "amount" in connection.adbc_get_table_schema("orders", db_schema_filter="shop").names
        assert connection.adbc_get_objects(depth="all", db_schema_filter="shop").read_all().num_rows == 1


def test_duckdb_attaches_it(server: Server) -> None:
    with Engine(extensions=["postgres_scanner"]) as engine, engine.connection() as connection:
        connection.execute(f"ATTACH 'host=127.0.0.1 port={server.port} user=robot password=pencil dbname=shop' AS pg (TYPE postgres, READ_ONLY)")
        assert connection.execute("SELECT count(*), sum(amount) FROM pg.shop.orders").fetchall() == [(100, Decimal("6187.50"))]
        assert connection.execute("SELECT count(*), max(name) FROM pg.shop.many").fetchall() == [(300_000, "name 99999")]
        assert connection.execute("SELECT email FROM pg.shop.customers WHERE id = 2").fetchall() == [("bob@x.se",)]


@pytest.mark.skipif(not JDBC.exists(), reason=f"no JDBC driver at {JDBC}")
def test_jdbc_metadata_statements_and_fetch_size(server: Server) -> None:
    program = Path(__file__).parent / "java" / "Introspection.java"
    done = subprocess.run(["java", "-cp", str(JDBC), str(program), f"jdbc:postgresql://127.0.0.1:{server.port}/shop"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for line in (
        "schema|shop",
        "table|shop|customers|TABLE|who buys",
        "table|shop|totals|VIEW|null",
        "column|orders|amount|numeric|12|2|YES|3",
        "primary|orders|id|1|orders_pkey",
        "imported|customers|id|orders|customer_id|orders_customer_id_fkey",
        "privilege|orders|SELECT",
        "prepared|10|12.50|2024-01-01 10:00:00",
        "fetched|300000|44999850000",
        "error|42703",
        "error|25006",
    ):
        assert line in lines, done.stdout


@pytest.mark.skipif(not JDBC.exists(), reason=f"no JDBC driver at {JDBC}")
def test_jdbc_learns_the_same_of_a_real_postgres(server: Server, real: str) -> None:
    program = Path(__file__).parent / "java" / "Facts.java"
    place = urlsplit(real)
    found = []
    for address, user, password in (
        (f"127.0.0.1:{server.port}/shop", "robot", "pencil"),
        (f"{place.hostname}:{place.port or 5432}{place.path}", place.username or "postgres", place.password or "none"),
    ):
        command = ["java", "-cp", str(JDBC), str(program), f"jdbc:postgresql://{address}", user, password]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.splitlines())
    assert len(found[0]) > 50
    assert found[0] == found[1]


def test_a_catalog_shows_nothing_but_its_own(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for query in (
            "SELECT * FROM pg_catalog.pg_class, shop.customers",
            "SELECT * FROM pg_catalog.pg_class, read_csv('/etc/passwd')",
            "SELECT pg_catalog.version(), * FROM duckdb_settings()",
            "SELECT * FROM pg_class, information_schema.pg_class",
            "SELECT * FROM pg_class, '/etc/passwd'",
            "SELECT * FROM pg_class, query('SELECT 1')",
        ):
            with pytest.raises(psycopg.Error):
                connection.execute(query.encode())
        assert connection.execute("SELECT count(*) FROM pg_catalog.pg_class WHERE relname = 'duckdb_tables'").fetchone() == (0,)
