"""Functions that are called otherwise in DuckDB, beside a real PostgreSQL: equal, or refused in words that its users know."""

from __future__ import annotations

import psycopg
import pytest
from beside_postgres import SCHEMA, Both, ask, assert_answered_alike


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT concat_ws('-', 'a', NULL, 'b', 1), cast(NULL AS int)",
        "SELECT concat_ws(',', name, kind, id) FROM {s}.facts ORDER BY id",
        "SELECT make_date(2024, 2, 29), make_date(id + 2000, 1, 1) FROM {s}.facts ORDER BY id",
        "SELECT array_to_string(ARRAY['a', NULL, 'b'], ','), (ARRAY[1, 2])[1], (ARRAY[1, 2])[5]",
        "SELECT (ARRAY[ARRAY[1, 2], ARRAY[3, 4]])[2][1], (ARRAY[ARRAY[1, 2], ARRAY[3, 4]])[3][1]",
        "SELECT array_to_string(array_agg(kind ORDER BY id), ','), array_to_string(array_agg(id ORDER BY id), ', ') FROM {s}.facts WHERE id < 9",
        "SELECT translate(name, 'ape', 'x'), translate('12345', '143', 'ax') FROM {s}.facts ORDER BY id",
        "SELECT kind, every(flag), every(id > 0) FILTER (WHERE id < 3) FROM {s}.facts GROUP BY kind ORDER BY kind",
        "SELECT to_timestamp(0), to_timestamp(id) FROM {s}.facts ORDER BY id",
        "SELECT timestamptz '2024-01-01 00:00+02', timestamptz '2024-01-01 00:00+00' AT TIME ZONE 'Europe/Oslo'",
        "SELECT '1'::int + '2', 2 * '3', '4' + 1::bigint",
        "SELECT d::date FROM generate_series(date '2024-01-01', date '2024-01-03', interval '1 day') d",
        "SELECT * FROM generate_series(date '2024-01-01', date '2024-01-03', interval '1 day')",
        "SELECT generate_series(date '2024-01-01', date '2024-01-03', interval '1 day')",
        "SELECT d FROM generate_series(timestamp '2024-01-01', timestamp '2024-01-03', interval '1 day') AS x(d) ORDER BY d DESC",
        "SELECT d FROM generate_series(1, 3) d ORDER BY d DESC",
        "SELECT upper(name), upper('straße'), upper(name || 'ß') FROM {s}.facts ORDER BY id",
        "SELECT upper(kind), count(*) FROM {s}.facts GROUP BY upper(kind) ORDER BY upper(kind)",
        "SELECT kind, upper(max(name)) FROM {s}.facts GROUP BY kind HAVING upper(kind) > 'A' AND upper(min(name)) > 'A' ORDER BY kind",
        "SELECT id, upper(NULL), upper(upper(name)) FROM {s}.facts ORDER BY id",
        "SELECT ratio, ratio::text, max(ratio)::double precision::text FROM {s}.facts GROUP BY ratio HAVING ratio::text <> '7' ORDER BY 1",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY price), percentile_disc(0.5) WITHIN GROUP (ORDER BY price) FROM {s}.facts",
        "SELECT id FROM {s}.facts WHERE random() < 1 ORDER BY id",
        "SELECT localtimestamp - now()::timestamp < interval '1 hour', random() < 1",
        "SELECT pg_size_pretty(100::bigint), pg_backend_pid() > 0",
        "SELECT 7 / 2 AS version, current_user = '', round(2.5::float8), upper('ß')",
        # what is long is bound to a name
        "SELECT id, initcap(initcap(lower(name) || ' of the house of ' || upper(name) || ' and more')) FROM {s}.facts ORDER BY id",
        "SELECT regexp_replace(regexp_replace(name || ' and ' || name, '\\w+', 'x'), '[a-z] and', 'é', 'g') FROM {s}.facts ORDER BY id",
        "SELECT substring(substring(lower(name) || ' ' || name || ' ' || upper(name) from '[a-z ]+') from '\\w(\\w)') FROM {s}.facts ORDER BY id",
        "SELECT id FROM {s}.facts WHERE initcap(name || ' or something else of a name') ~ '^\\w+ or' ORDER BY id",
        "SELECT make_date((extract(year from day) + extract(month from day) * 0)::int, (id / 30 + 1)::int, 1) FROM {s}.facts ORDER BY id",
        "SELECT age(timezone('America/New_York', date_trunc('hour', \"at\") AT TIME ZONE 'Europe/Oslo'), day::timestamp) FROM {s}.facts ORDER BY id",
        "SELECT extract(epoch from age(date_trunc('month', \"at\"), date_trunc('day', \"at\"))) FROM {s}.facts ORDER BY id",
        "SELECT kind, initcap(max(name) || ' of the longer names of all that there are') FROM {s}.facts GROUP BY kind "
        "HAVING initcap(max(name) || ' of the longer names of all that there are') > 'A' ORDER BY kind",
    ],
)
def test_what_is_called_otherwise_is_the_same(both: Both, sql: str) -> None:
    assert_answered_alike(both, sql)


@pytest.mark.parametrize("of", ["id", "day", "flag", "price", "ratio", "(id || 'a')::varchar", "trim(name)", "NULL", "'a'", "1.5", "7"])
def test_functions_of_texts_take_texts_alone(both: Both, of: str) -> None:
    for call in (f"upper({of})", f"lower({of})", f"reverse({of})", f"replace({of}, '1', '2')", f"starts_with({of}, '1')"):
        expected, got = (ask(connection, f"SELECT {call} FROM {SCHEMA}.facts ORDER BY id") for connection in both)
        if isinstance(expected, psycopg.Error):
            assert isinstance(got, psycopg.Error)
            assert got.sqlstate == expected.sqlstate == "42883"
        else:
            assert got == expected


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT (price / 3)::text FROM {s}.facts GROUP BY (price / 3)::text ORDER BY 1",
        "SELECT 'x' || (price / 3), count(*) FROM {s}.facts GROUP BY 1 ORDER BY 1",
        "SELECT price, (price / 3)::text FROM {s}.facts GROUP BY price ORDER BY 1",
        "SELECT id / 2, (id / 2)::text, (price * 2)::text FROM {s}.facts GROUP BY id / 2, price * 2 ORDER BY 1, 2, 3",
    ],
)
def test_rows_are_grouped_by_texts_of_quotients(both: Both, sql: str) -> None:
    expected, got = (ask(connection, sql.replace("{s}", SCHEMA)) for connection in both)
    assert not isinstance(expected, psycopg.Error)
    assert not isinstance(got, psycopg.Error)
    assert got[1] == expected[1]


def test_a_row_may_have_many_quotients(both: Both) -> None:
    """As a wide dashboard's has."""
    columns = ", ".join(f"sum(price) / {number} AS share_{number}" for number in range(2, 80))
    expected, got = (ask(connection, f"SELECT {columns} FROM {SCHEMA}.facts") for connection in both)
    assert not isinstance(expected, psycopg.Error)
    assert got == expected


@pytest.mark.parametrize(
    "pattern", [r"x{1", r"x{1,y}", r"^*a", r"$+", r"(+a)", r"a{256}", r"a{2,1000}", r"a{1}{2}", r"[\w-z]", r"[a-\d]", r"[a-b-c]"]
)
@pytest.mark.parametrize("sql", ["SELECT 'a' ~ '{}'", "SELECT regexp_replace('a', '{}', 'b')", "SELECT substring('a' from '{}')"])
def test_a_regular_expression_that_is_an_error_is_one_here(both: Both, sql: str, pattern: str) -> None:
    for connection in both:
        assert isinstance(ask(connection, sql.replace("{}", pattern)), psycopg.Error)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\w+@\w+\.com$",
        r"^[A-Za-z0-9._%+-]+@[a-z.-]+$",
        r"^\d{4}-\d{2}$",
        r"(^|,)a(,|$)",
        r"[\w.\-]+",
        r"^$",
        r"a{2,255}",
        r"\$\d",
        r"[-\w]{1,}",
        r"x{y",
    ],
)
def test_a_regular_expression_finds_the_same(both: Both, pattern: str) -> None:
    texts = ", ".join(f"('{text}')" for text in ("", "a", "aa", "a@b.com", "2024-01", "a,b", "$1", "x{y", "-", "."))
    expected, got = (ask(connection, f"SELECT t, t ~ '{pattern}' FROM (VALUES {texts}) v(t) ORDER BY t") for connection in both)
    assert not isinstance(expected, psycopg.Error)
    assert got == expected


def test_a_query_of_a_table_may_ask_who_asks(both: Both) -> None:
    sql = f"SELECT current_user, user, session_user, current_role, current_catalog, id FROM {SCHEMA}.facts WHERE current_user = user AND id = 1"
    real, ours = (ask(connection, sql) for connection in both)
    assert not isinstance(real, psycopg.Error)
    assert ours == (real[0], [("robot", "robot", "robot", "robot", "shop", 1)])


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT name FROM {s}.facts WHERE name SIMILAR TO 'a%'", "SIMILAR TO"),
        ("SELECT json_agg(id) FROM {s}.facts", "function json_agg isn't known here"),
        ("SELECT unnest(ARRAY[1, 2])", "function unnest isn't known here"),
        ("SELECT array_to_string(ARRAY['a'], ',', '*')", "array_to_string with null"),
        ("SELECT ARRAY[1, 2][1]", "without parentheses"),
        ("SELECT (ARRAY[ARRAY[1, 2], ARRAY[3, 4]])[1]", "an array of arrays"),
        ("SELECT (array_agg(ARRAY[id]))[1] FROM {s}.facts", "an array of arrays"),
        ("SELECT name FROM {s}.facts WHERE name ~ '[^[:alpha:]]'", "signs that mean something else"),
        ("SELECT regexp_replace(name, '[0-9[:space:]]', '', 'g') FROM {s}.facts", "signs that mean something else"),
        ("SELECT substring(name from '[_[:upper:]]+') FROM {s}.facts", "signs that mean something else"),
        ("SELECT ARRAY[ARRAY[1, 2], ARRAY[3]]", "each as long as the others"),
        ("SELECT ARRAY[ARRAY[1, 2]::bigint[], (ARRAY[3])]", "each as long as the others"),
        ("SELECT ARRAY[ARRAY[ARRAY[1]], ARRAY[ARRAY[2, 3]]]", "each as long as the others"),
        ("SELECT ARRAY[ARRAY[1, 2], NULL]", "each as long as the others"),
        ("SELECT ARRAY[ARRAY[id], a] FROM (SELECT id, ARRAY[id, 2] AS a FROM {s}.facts) t", "each as long as the others"),
        ("SELECT name FROM {s}.facts WHERE name ~ 'a^b'", "something is amiss"),
        ("SELECT name FROM {s}.facts WHERE name ~ 'a$b'", "something is amiss"),
        ("SELECT E'a'", "a string with escapes"),
        ("SELECT id FROM {s}.facts WHERE price = 'NaN'", "a text beside a numeric"),
        ("SELECT to_timestamp(1.5)", "to_timestamp of what isn't known to be an integer"),
        ("SELECT translate(name, 'aa', 'x') FROM {s}.facts", "translate of a character that stands there twice"),
        ("SELECT make_date(0, 1, 1)", "a value doesn't fit"),
        ("SELECT (price / 3)::text FROM {s}.facts GROUP BY price / 3", "group by the text"),
        ("SELECT price / 3 AS q, 'x' || (price / 3) FROM {s}.facts GROUP BY q", "group by the text"),
        ("SELECT price / 3, (price / 3)::varchar FROM {s}.facts GROUP BY 1", "group by the text"),
        ("SELECT pg_typeof(1.5)", "function pg_typeof isn't known here"),
        ("SELECT pg_typeof(id) FROM {s}.facts", "function pg_typeof isn't known here"),
        ("SELECT pg_size_pretty(20000::bigint)", "sizes below 10240"),
        ("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY n) FROM (SELECT nullif(NULL, NULL) AS n) t", "percentile_cont"),
    ],
)
def test_what_is_refused_is_called_as_postgres_calls_it(both: Both, sql: str, reason: str) -> None:
    got = ask(both[1], sql.replace("{s}", SCHEMA))
    assert isinstance(got, psycopg.Error)
    assert reason in str(got)
