"""Texts beside numbers, in a real PostgreSQL and over the wire: read as numbers of the same type, or refused alike."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import psycopg
import pytest
from beside_postgres import SCHEMA, Both, ask


def _asked(both: Both, sql: str) -> tuple[Any, Any]:
    expected, got = (ask(one, sql.replace("{s}", SCHEMA)) for one in both)
    return expected, got


_READ = (
    "SELECT id FROM {s}.facts WHERE price < '12.345' ORDER BY id",
    "SELECT id FROM {s}.facts WHERE price = (SELECT max(price) FROM {s}.facts) AND price < ' 999999.999 ' ORDER BY id",
    "SELECT id FROM {s}.facts WHERE '0.005' > price OR price IN ('-12.354', '3') ORDER BY id",
    "SELECT id FROM {s}.facts WHERE price BETWEEN '-12.355' AND '.5' OR price IN (1.5, '-75.550', id) ORDER BY id",
    "SELECT id, coalesce(price, '0.001'), greatest(price, '12.345'), nullif(price, '1.001') FROM {s}.facts ORDER BY id",
    "SELECT id, price + '0.001', '2' * price, 1.5 + '2', price - '-5', -('2' + price), price + '1.50e1' FROM {s}.facts ORDER BY id",
    "SELECT id FROM {s}.facts WHERE id = '3' OR small < ' -1 ' OR ratio > '1.5' ORDER BY id",
    "SELECT id FROM {s}.facts WHERE price IS DISTINCT FROM '57.001' ORDER BY id",
    # what is computed of a text is as the number that it is
    "SELECT id, ('1.555' + price) / 3, ('1.555' * price) / 3, 10 / nullif('1.555', price), coalesce('1.555', price) / 3 FROM {s}.facts ORDER BY id",
    "SELECT avg(coalesce(price, '1.555')), sum(CASE WHEN flag THEN '1.555' ELSE price END) FROM {s}.facts",
    "SELECT kind, sum(price + '0.005') FROM {s}.facts GROUP BY kind HAVING sum(price) > '12.005' ORDER BY sum(price) + '0.001'",
    "SELECT 12345678901234567.89::numeric(38,2) - '0.01', '12345678901234567890123456789012345678' - 1.",
    "SELECT '0.00000000000000000000000000000000000001' + 0.5, price * '-2.5E-1', least('1.5', price, id, NULL) FROM {s}.facts ORDER BY id",
    "SELECT sum(big) - '3', sum(price) - '3.5' FROM {s}.facts",
    "SELECT id, price / '7', '2.5' % 0.10, '-5' % 3, mod('7', 3), mod(id, '3'), id / '3', 5 / '2', nullif('5', id) / 2 FROM {s}.facts ORDER BY id",
    # of one type with all beside it
    "SELECT id, CASE WHEN id = 13 THEN '1.555' ELSE price END, CASE price WHEN '353.189' THEN 1 END, CASE WHEN flag THEN '3' ELSE id END AS x "
    "FROM {s}.facts ORDER BY id",
    "SELECT id, lag(price, 1, '7.12345') OVER (ORDER BY id), lead('5', 1, id) OVER (ORDER BY id), lag(ratio, 1, '2.5') OVER (ORDER BY id) "
    "FROM {s}.facts ORDER BY id",
    "SELECT lag(small, 1, id) OVER (ORDER BY id), lag(id, 1, 2.5) OVER (ORDER BY id), lag(price, 1, ratio) OVER (ORDER BY id), "
    "lag(id, 1, big) OVER (ORDER BY id), lag(price, 1, 5) OVER (ORDER BY id), lag(name, 1, '5') OVER (ORDER BY id) FROM {s}.facts ORDER BY id",
    "VALUES (1.5), ('2.555')",
    "SELECT x + '1', x / 3 FROM (VALUES (1.5, 'a'), ('2.555', 'b')) t (x, y) ORDER BY 1",
    "SELECT ARRAY[1.5, '2.555'], (ARRAY['1.5', price])[1] / 7 FROM {s}.facts ORDER BY id",
    "SELECT '7' AS a, 1.5 AS b UNION ALL SELECT 3, '2.555' ORDER BY 1",
    "SELECT NULL UNION SELECT '2.5' UNION SELECT 'x' ORDER BY 1",
    "WITH t AS (SELECT '5' AS x UNION SELECT 6) SELECT x * 2, x / 4 FROM t ORDER BY 1",
    "SELECT greatest(id, 2.5, '7.5'), greatest(ratio, '1.5', price) FROM {s}.facts ORDER BY id",
    "SELECT id FROM {s}.facts WHERE id IN (1.5, '2.5', '3') OR '2.5' IN (2.5, 3) OR '5' BETWEEN id AND id ORDER BY id",
    "SELECT id FROM {s}.facts WHERE '3' IN (SELECT id FROM {s}.customers) AND '3' = ANY(ARRAY[1, 3]) AND id = ANY(ARRAY['3', 4]) ORDER BY id",
    "SELECT id FROM {s}.facts WHERE (price, id) = ('353.189', 2) OR (id, price) IN (('1', '-75.551'), ('2', '353.19')) ORDER BY id",
    "SELECT id + ('3'), (('2.5')) * price FROM {s}.facts WHERE ('5') < id OR id = (('2')) ORDER BY id",
    "SELECT id, small + '5', big * '5', coalesce(small, '5'), 1::smallint + '32766', 1 + '-2147483648', 1::bigint + '9223372036854775806' "
    "FROM {s}.facts ORDER BY id",
    "SELECT id FROM {s}.facts WHERE ratio = 'NaN' OR ratio < 'Infinity' AND ratio > ' -INF' AND ratio < '+1e2' OR ratio = '5.' ORDER BY id",
    "SELECT id::real + '0.1', id::real < '0.1', day - day < '5' FROM {s}.facts ORDER BY id",
    "SELECT corr(id, small) > '0.05', covar_pop(id, price) > '0.5' FROM {s}.facts",
    "SELECT count(*) FROM {s}.facts WHERE name = '1.5' OR kind IN ('1', '2') OR flag = 'true' OR day < '2015-01-01' OR '2' || id = '25'",
    "SELECT d FROM generate_series(date '2024-01-01', date '2024-01-03', interval '1 day') d WHERE d > '2024-01-02'",
)


@pytest.mark.parametrize("sql", _READ)
def test_a_text_beside_a_number_is_the_number_that_it_says(both: Both, sql: str) -> None:
    expected, got = _asked(both, sql)
    assert not isinstance(expected, psycopg.Error)
    if isinstance(got, psycopg.Error):
        raise got
    assert len(expected[1]) == len(got[1])
    for row, ours in zip(expected[1], got[1], strict=True):
        assert [type(one) for one in row] == [type(one) for one in ours]
        assert all(_is_same(one, other) for one, other in zip(row, ours, strict=True)), (row, ours)


def _is_same(expected: Any, got: Any) -> bool:
    """Of a quotient below 0.001 Postgres has more digits than there are here."""
    if isinstance(expected, Decimal) and isinstance(got, Decimal):
        return expected == got or (abs(expected) < Decimal("0.001") and abs(expected - got) <= Decimal("1e-20"))
    return bool(expected == got)


@pytest.mark.parametrize(
    "condition",
    [
        *("id - '2.5' > 0", "id = '3.4'", "id IN (1, 'x')", "id = '0x10'", "id = '1_0'", "id = ''", "nullif(id, '2.5') = 1", "mod(id, '2.5') = 1"),
        *("CASE WHEN id = 13 THEN '1.555' ELSE id END = 1", "id BETWEEN 1.5 AND '3.5'", "'3.5' = ANY(ARRAY[1, 3])", "day - day > '2.5'"),
        *("id = (SELECT '1' UNION SELECT 2.5 UNION SELECT 'x')", "(SELECT max(id) FROM {s}.facts) = '2.5'", "'3.5' IN (SELECT id FROM {s}.facts)"),
        *("price = 'x'", "price = '1_0'", "price = '1.5.5'", "price < '1e'", "price + ' ' = 1", "ratio < '1_0'", "ratio < '1.5x'", "ratio < ''"),
        *("id = '99999999999'", "small = '32768'", "ratio < '1e400'", "ratio > '1e-400'", "id::real = '1e39'", "id::real = '1e-60'"),
        *("CASE '5' WHEN id THEN true END", "name = 5", "CASE WHEN flag THEN '1.5' ELSE '2.5' END > price", "price IN (SELECT '353.189')"),
        "EXISTS (SELECT '2.5' UNION SELECT '1' UNION SELECT 1.5)",
        "EXISTS (SELECT 1 UNION SELECT name FROM {s}.facts)",
    ],
)
def test_a_text_that_is_no_such_number_fails_as_in_postgres(both: Both, condition: str) -> None:
    expected, got = _asked(both, f"SELECT count(*) FROM {{s}}.facts WHERE {condition}")
    assert isinstance(expected, psycopg.Error)
    assert isinstance(got, psycopg.Error)
    assert got.sqlstate == expected.sqlstate


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("coalesce(price, '7.5')::text", "another number of zeros"),
        ("coalesce(price, '7.12345') || 'x'", "written otherwise"),
        ("ratio > '0x10'", "isn't digits"),
        ("price > 'Infinity'", "isn't a finite number"),
        ("'2.5' BETWEEN 1 AND 3.5", "several types"),
        ("'2.5' IN (price, id)", "several types"),
        ("generate_series(1, 3) = '2.5'", "type isn't known"),
    ],
)
def test_a_text_that_may_be_read_otherwise_is_refused(both: Both, expression: str, reason: str) -> None:
    got = ask(both[1], f"SELECT {expression} FROM {SCHEMA}.facts")
    assert isinstance(got, psycopg.Error)
    assert got.sqlstate == "0A000"
    assert reason in str(got)
