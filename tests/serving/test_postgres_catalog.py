"""What is computed in questions to the catalog, beside a real PostgreSQL; and which queries are such questions."""

from __future__ import annotations

import psycopg
import pytest
from beside_postgres import Both, ask

from headwater.serving.postgres.dialect.belonging import is_catalog_query


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 7/2, -7/2, 7/-2, 7%2, -7%2, 7 % -2 FROM pg_class LIMIT 1",
        "SELECT oid::int / 3, oid::int % 3, nspname FROM pg_namespace WHERE nspname = 'pg_catalog'",
        "SELECT (count(*) - count(*)) / 2 AS none, count(*) * 0 / 3, sum(0) FROM pg_catalog.pg_class",
        "SELECT current_setting('server_version_num')::int / 100 / 100 > 9 FROM pg_namespace LIMIT 1",
        "SELECT upper('straße'), upper(nspname) FROM pg_namespace WHERE nspname = 'pg_catalog'",
        r"SELECT nspname FROM pg_namespace WHERE nspname LIKE 'pg\_cat%' OR nspname LIKE 'pg\acatalog'",
        r"SELECT nspname FROM pg_namespace WHERE nspname ILIKE 'PG\_CAT%' AND nspname NOT LIKE 'pg#%' ESCAPE '#'",
        "SELECT substring(nspname from 4), substring(nspname from 0 for 3), substr(nspname, length(nspname) - 2) AS end FROM pg_namespace "
        "WHERE nspname = 'pg_catalog'",
        "SELECT oid::int::numeric, 3::numeric, '42'::int FROM pg_namespace WHERE nspname = 'pg_catalog'",
        "SELECT nspname, 1.5 + 1 FROM pg_namespace WHERE nspname = 'pg_catalog' ORDER BY nspname DESC NULLS LAST",
    ],
)
def test_what_is_computed_of_the_catalog_is_the_same(both: Both, sql: str) -> None:
    expected, got = (ask(connection, sql) for connection in both)
    assert not isinstance(expected, psycopg.Error)
    assert got == expected


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT 7/0 FROM pg_class", "division by zero"),
        ("SELECT 7%0 FROM pg_class", "division by zero"),
        ("SELECT 7/2.0 FROM pg_class", "divides integers alone"),
        ("SELECT 7.5 % 2 FROM pg_class", "divides integers alone"),
        ("SELECT 1.5::numeric FROM pg_class", "of integers alone"),
        ("SELECT round(2.5) FROM pg_class", "function round isn't known in questions to the catalog"),
        ("SELECT to_char(5, '99') FROM pg_class", "function to_char does not exist|function to_char isn't known"),
        ("SELECT avg(relpages) FROM pg_class", "function avg isn't known"),
        ("SELECT substring(relname from '[a-z]+') FROM pg_class", "by a regular expression"),
        ("SELECT substring('abc' from -1 for 3) FROM pg_class", "before the beginning"),
        ("SELECT '1.5'::int FROM pg_class", "invalid input syntax"),
        ("SELECT damerau_levenshtein(relname, 'a') FROM pg_class", "does not exist"),
    ],
)
def test_what_is_computed_otherwise_is_refused(both: Both, sql: str, reason: str) -> None:
    with pytest.raises(psycopg.Error, match=reason):
        both[1].execute(sql.encode()).fetchall()


@pytest.mark.parametrize(
    ("sql", "is_one"),
    [
        ("SELECT 7//2 AS version", False),
        ("SELECT list_transform([1, 2], lambda pg_x: pg_x + 1)", False),
        ("FROM range(3) t(pg_n) SELECT pg_n", False),
        ("WITH pg_recent AS (FROM range(3)) FROM pg_recent", False),
        ("SELECT * EXCLUDE (pg_a) FROM shop.orders", False),
        ("SELECT * FROM pg_class", True),
        ("FROM information_schema.tables SELECT table_name", True),
        ("SELECT c.relname FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.~) '^a'", True),
        ("SELECT pg_backend_pid()", True),
        ("SELECT version()", True),
    ],
)
def test_in_duckdbs_dialect_duckdb_reads_what_a_query_reads(sql: str, is_one: bool) -> None:
    assert is_catalog_query(sql, [], "duckdb") == is_one
