"""Arithmetic of numerics, integers and doubles in a real PostgreSQL and over the wire: the same numbers, to the last digit."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from beside_postgres import SCHEMA, Both, ask

#: Numbers that end in a half, or whose doubles lie beside what is written.
_TIED = (
    *("2.5", "-2.5", "120.50", "1.005", "-1.005", "0.285", "0.57", "4.35", "8.7", "0.7", "0.1", "1e2", "2.5e-1", "57.5", "0.5", ".5"),
    *("1", "3", "7", "40", "100.0", "9999", "10000.0", "-0.335", "99.995"),
)
_COLUMNS = ("id", "small", "big", "price", "ratio", "price * 0.5", "id * 0.5", "price * price", "abs(price)", "coalesce(price, 0)", "(id + 0.5)")
_DIVISORS = ("3", "7.0", "0.01", "0.19", "0.1", "id", "(id * 0.25)", "300", "9999.99", "-0.7", "1.005")
_AROUND = (
    *("{}", "round({})", "round({}, 2)", "round({}, 1)", "floor({})", "ceil({})", "trunc({})", "trunc({}, 1)", "({})::int", "({})::bigint"),
    *("({})::numeric(12,2)", "({})::double precision", "sign({})", "abs({})", "-({})", "mod({}, 7)", "({}) * 3", "({}) - 0.5", "({}) >= 2.5"),
    *("case when ({}) > 3 then 1.5 else ({}) end", "greatest({}, 2.5)", "round(({})::numeric, 2)", "({}) = round({}, 2)"),
)


def _numbers() -> list[str]:
    """Expressions, tied ones among them."""
    pick = random.Random(17)
    made = [around.replace("{}", one) for one in _TIED for around in pick.sample(_AROUND, 5)]
    for _ in range(220):
        left, right = pick.choice((*_TIED, *_COLUMNS, *_COLUMNS)), pick.choice((*_TIED, *_DIVISORS, *_DIVISORS))
        inner = pick.choice(
            (f"({left}) / ({right})", f"({left}) / ({right})", f"({left}) * ({right})", f"({left}) - ({right})", f"100.0 * ({left}) / ({right})")
        )
        made.append(pick.choice(_AROUND).replace("{}", inner))
    return made


def _is_same(expected: Any, got: Any) -> bool:
    """A numeric equals a numeric exactly, of one less than 0.001 as far as twenty digits go; a double another up to its last digit."""
    if isinstance(expected, float) and isinstance(got, float):
        return math.isclose(expected, got, rel_tol=1e-15) or (math.isnan(expected) and math.isnan(got))
    if isinstance(expected, Decimal) and isinstance(got, Decimal):
        return expected == got or (abs(expected) < Decimal("0.001") and abs(expected - got) <= Decimal("1e-20"))
    return type(expected) is type(got) and bool(expected == got)


def _difference(both: Both, sql: str) -> tuple[str | None, bool]:
    """What differs, and whether it was answered."""
    expected, got = (ask(one, sql) for one in both)
    if isinstance(got, psycopg.Error):
        is_known = got.sqlstate not in (None, "XX000")
        return (None if is_known else f"{sql}\n  {got}"), isinstance(expected, psycopg.Error)
    if isinstance(expected, psycopg.Error):
        return f"{sql}\n  Postgres: {expected}\n  here: {got[1][:2]}", True
    pairs = [(one, other) for row, ours in zip(expected[1], got[1], strict=False) for one, other in zip(row, ours, strict=True)]
    wrong = [pair for pair in pairs if not _is_same(*pair)]
    if wrong or len(expected[1]) != len(got[1]):
        return f"{sql}\n  {wrong[:1] or (len(expected[1]), len(got[1]))}", True
    return None, True


def test_numbers_are_computed_to_the_last_digit_as_postgres_does(both: Both) -> None:
    pick = random.Random(23)
    wrong, refused, asked = [], [], 0
    for number in _numbers():
        where = pick.choice(
            [
                "SELECT id, {} FROM {s}.facts WHERE id <> 0 ORDER BY id LIMIT 12",
                "SELECT id, {} FROM {s}.facts WHERE id <> 0 ORDER BY id LIMIT 12",
                "SELECT id FROM {s}.facts WHERE {} IS NOT NULL ORDER BY {} DESC NULLS LAST, id LIMIT 12",
                "SELECT {}, count(*) FROM {s}.facts GROUP BY 1 ORDER BY 1, 2 LIMIT 12",
            ]
        )
        found, is_answered = _difference(both, where.replace("{}", number).replace("{s}", SCHEMA))
        asked += 1
        wrong += [found] if found else []
        refused += [] if is_answered else [number]
    assert not wrong, f"{len(wrong)} of {asked} differ:\n" + "\n".join(wrong[:30])
    assert len(refused) < asked / 5, refused


_SUMS = (
    "sum(price)",
    "sum(big)",
    "sum(id)",
    "sum(small)",
    "max(price)",
    "avg(price)",
    "min(ratio)",
    "count(*)",
    "sum(price * 0.125)",
    "sum(id)::numeric",
)
_SINGLES = (
    "rate",
    "other",
    "id",
    "small",
    "big",
    "price",
    "price::real",
    "rate + 1",
    "small * 3",
    "rate * other",
    "price * 0.125",
    "id::double precision",
)
_BESIDE = (
    "0.001",
    "0.5",
    "7",
    "2.54",
    "353.19",
    "0.1",
    "0",
    "-3",
    "40000",
    "12.3456",
    "0.1::real",
    "3::smallint",
    "1.005::numeric(38,3)",
    "null::integer",
)
_TOGETHER = (
    *("coalesce({a}, {b})", "coalesce(nullif({a}, {a}), {b}, {c})", "greatest({a}, {b})", "least({a}, {b}, {c})", "nullif({a}, {b})"),
    *(
        "case when {a} > {b} then {a} else {b} end",
        "case {a} when {b} then {c} else {a} end",
        "(array[{a}, {b}])[2]",
        "case when false then {a} else {b} end",
    ),
    *(
        "{a} = {b}",
        "{a} < {b}",
        "{a} in ({b}, {c})",
        "{a} not in ({b})",
        "{a} between {b} and {c}",
        "{a} is distinct from {b}",
        "{a} = any(array[{b}, {c}])",
    ),
    *("({a}, {b}) = ({c}, {b})", "({a}, {b}) < ({c}, {a})", "({a}, {b}) >= ({a}, {c})", "({a}, {b}) in (({b}, {b}), ({a}, {c}))"),
    *("({a}) + ({b})", "({a}) - ({b})", "({a}) * ({b})", "({a}) / nullif({b}, 0)", "({a}) % nullif({b}, 0)", "coalesce({a}, {b}) * ({c})"),
    *("{a} in (select {b} union all select {c})", "{a} > all (select {b})", "(select max(x) from (values ({b}), ({c})) as v (x)) + {a}"),
)


def _mixtures() -> list[str]:
    """Queries with numbers of several types beside each other."""
    pick = random.Random(29)
    made = []
    for around in _TOGETHER * 6:
        values, query = pick.choice(
            (
                (_SUMS, "SELECT kind, {} FROM {s}.facts GROUP BY kind ORDER BY 1"),
                (_SUMS, "SELECT {} FROM {s}.facts WHERE id < 0"),
                (_SINGLES, "SELECT id, {} FROM {s}.singles ORDER BY 1"),
                (_SINGLES, "SELECT id, {} FROM {s}.singles ORDER BY 1"),
            )
        )
        one, other, third = pick.choice(values), pick.choice((*values, *_BESIDE, *_BESIDE)), pick.choice((*values, *_BESIDE, *_BESIDE))
        made.append(query.replace("{}", around.replace("{a}", one).replace("{b}", other).replace("{c}", third)))
    return made


def test_numbers_of_several_types_are_the_same_beside_each_other(both: Both) -> None:
    wrong, refused = [], []
    for sql in _mixtures():
        found, is_answered = _difference(both, sql.replace("{s}", SCHEMA))
        wrong += [found] if found else []
        refused += [] if is_answered else [sql]
    assert not wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong[:30])
    assert len(refused) < len(_mixtures()) / 5, refused


@pytest.mark.parametrize(
    "expressions",
    [
        "round(2.5), round(-2.5), round(120.50), round(1 * 0.5), (5.0/2)::int, (1/2.0)::int, 1e2, 1.5e-3 * 2",
        "floor(0.7/0.1), trunc(8.7/0.1), floor(4.35/0.01), 0.57/0.01 = 57, 0.57/0.19 >= 3, floor(30/7.0*7)",
        "round((1.005/1)::numeric, 2), (1.005/1)::numeric(10,2), (1.005::double precision)::numeric(10,2), 99999999999999999.99/1",
        "(40.00/3)::text, 40.00/4 || ' kr', (1/3.0)::text, (2.50)::text || 'x', 0 / 3.0, -7 / 2.0, 1.5::numeric",
    ],
)
def test_constants_are_numerics(both: Both, expressions: str) -> None:
    assert _difference(both, f"SELECT {expressions}") == (None, True)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id, round(100.0*price/sum(price) over (), 1), round(price / sum(id) over (partition by kind), 3) FROM {s}.facts ORDER BY id",
        "SELECT id, round(price::numeric / id, 2), round(big / 7.0, 2), floor(price / 0.01) FROM {s}.facts ORDER BY id",
        "SELECT kind, avg(price), avg(id), avg(big), round(avg(price), 2), round(avg(id), 1), round(sum(price) / count(*), 2), avg(distinct small) "
        "FROM {s}.facts GROUP BY kind ORDER BY kind",
        "SELECT id, avg(price) over (order by id), avg(id) over (partition by kind), sum(big) over (order by id) / 3 FROM {s}.facts ORDER BY id",
        "SELECT avg(price) filter (where flag), avg(price) filter (where id < 0), avg(round(price / 3, 6)), sum(price / 3) FROM {s}.facts",
        "SELECT round(stddev(price), 2), round(var_pop(id), 1), floor(variance(small) * 10) FROM {s}.facts",
        "SELECT f.kind, round(sum(f.id) * 0.5), sum(f.price) / 3 FROM {s}.facts f "
        "GROUP BY f.kind HAVING sum(f.price) / count(*) > 0.5 ORDER BY avg(f.price), 1",
        "SELECT round(x / n, 2), x / n FROM (SELECT kind, sum(price) AS x, count(*) AS n FROM {s}.facts GROUP BY kind) t ORDER BY kind",
        "SELECT price / id, count(*) FROM {s}.facts GROUP BY price / id ORDER BY price / id",
        "SELECT id FROM {s}.facts WHERE price / 0.01 = 100 * price AND price / id >= 0.5 ORDER BY id",
        "SELECT round(avg(price), 2) AS r FROM {s}.facts WHERE id IN (SELECT customer FROM {s}.facts WHERE price / 3 > 1.5)",
    ],
)
def test_shares_and_averages_are_the_same(both: Both, sql: str) -> None:
    assert _difference(both, sql.replace("{s}", SCHEMA)) == (None, True)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sum(big) % 0.7, (sum(price) % 0.007)::text, (1.555 % 1::numeric(38,2))::text, mod(sum(price), 0.07), sum(big) % 7 FROM {s}.facts",
        "SELECT id, price % 0.7, price % 7, big % 0.7, id % 2.5, price % id, (price * 0.001) % 0.0007, -price % 0.3 FROM {s}.facts ORDER BY id",
        "SELECT id, (price * 2.50) % 7, (price * price) % 0.001, (big::numeric * 1000) % 0.0003, price / 3 % 0.5 FROM {s}.facts ORDER BY id",
        "SELECT sum(price) % sum(id), sum(price) % nullif(sum(id), 0), -sum(price) % 0.3 FROM {s}.facts",
        "SELECT sum(price) % (sum(id) - sum(id)) FROM {s}.facts",
    ],
)
def test_remainders_have_all_digits(both: Both, sql: str) -> None:
    difference, is_answered = _difference(both, sql.replace("{s}", SCHEMA))
    assert difference is None
    assert is_answered


@pytest.mark.parametrize(
    "expression",
    [
        "stddev(id) / 3",
        "(var_pop(price) / 3)::text",
        "(price / 3 + 1)::text",
        "avg(price)::text || 'x' || coalesce(avg(price), 0)::text",
        "(price / 3) * (price / 7)",
        "sqrt(price)",
        "power(1.05, 2)",
        "(array[id, 2.50])[1]::text",
        "1 / (1 / 3.0)",
        "extract(epoch from at) / 60 / 60",
        "big / 7.0 / 3",
        "price / (price / 3 + 1)",
        "avg(price / 3)",
        "avg(price) / 3",
        "(select 1 union select 2.50 order by 1 limit 1)::text",
    ],
)
def test_what_has_other_digits_is_refused(both: Both, expression: str) -> None:
    got = ask(both[1], f"SELECT {expression} FROM {SCHEMA}.facts")
    assert isinstance(got, psycopg.Error)
    assert got.sqlstate == "0A000"


_MIXED = (
    "SELECT 1 AS x UNION ALL SELECT 2 UNION ALL SELECT 2.50",
    "SELECT 2.50 AS x INTERSECT SELECT 2.5",
    "SELECT 1.0 AS x EXCEPT (SELECT 2.50 UNION SELECT 3)",
    "SELECT price AS x FROM {s}.facts UNION ALL SELECT id FROM {s}.facts",
    "SELECT price AS x FROM {s}.facts UNION ALL SELECT price / 3 FROM {s}.facts",
    "SELECT x FROM (VALUES (1), (2.50)) AS v (x)",
)
_ALIKE = (
    "SELECT 1.25 AS x UNION ALL SELECT 2.50 UNION ALL SELECT NULL",
    "SELECT price AS x FROM {s}.facts UNION ALL SELECT sum(price) FROM {s}.facts",
    "SELECT x FROM (VALUES (1.25), (NULL), (2.50)) AS v (x)",
    "SELECT (ARRAY[1.5, 2.5])[1] AS x",
)


@pytest.mark.parametrize("rows", _MIXED)
def test_numbers_of_several_scales_in_one_column_have_no_text(both: Both, rows: str) -> None:
    for sql in ("SELECT x::text FROM ({q}) t", "WITH t AS ({q}) SELECT x || '' FROM t", "SELECT string_agg(x::text, ',') FROM ({q}) t"):
        got = ask(both[1], sql.replace("{q}", rows).replace("{s}", SCHEMA))
        assert isinstance(got, psycopg.Error)
        assert got.sqlstate == "0A000", sql
    assert _difference(both, f"SELECT x + 1, x * 2.5 FROM ({rows}) t ORDER BY 1".replace("{s}", SCHEMA)) == (None, True)


@pytest.mark.parametrize("rows", _ALIKE)
def test_numbers_of_one_scale_in_a_column_have_its_digits(both: Both, rows: str) -> None:
    assert _difference(both, f"SELECT x::text, x || '' FROM ({rows}) t ORDER BY 1".replace("{s}", SCHEMA)) == (None, True)


def test_a_quotient_that_is_rounded_or_cast_is_divided_further(both: Both) -> None:
    sql = "SELECT round(price / 3, 4) / 7, (price / id)::numeric(18,6) / 3, (price / 3)::double precision / 7, price / id * 3 FROM {s}.facts"
    assert _difference(both, sql.replace("{s}", SCHEMA)) == (None, True)


def test_a_column_is_divided_with_the_digits_of_all_its_rows(both: Both) -> None:
    sql = "SELECT x / 3 FROM (SELECT 1.5 AS x UNION ALL SELECT 2.55) t UNION ALL SELECT (ARRAY[1.5, 2.55])[2] / 7 ORDER BY 1"
    assert _difference(both, sql) == (None, True)


@pytest.mark.parametrize("is_binary", [False, True])
@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT id FROM {s}.facts WHERE price < %s ORDER BY id", [Decimal("12.345")]),
        ("SELECT id FROM {s}.facts WHERE price > %s - 0.001 AND price <= ANY(%s) ORDER BY id", [Decimal("3.0005"), [Decimal("300.001")]]),
        ("SELECT id, price + %s, price * %s, price - %s, %s + price FROM {s}.facts ORDER BY id", [Decimal("0.001"), Decimal("1.255"), 2, Decimal(7)]),
        ("SELECT id, price / %s, id / %s, round(price / %s, 2), ratio / %s FROM {s}.facts ORDER BY id", [3, 2, 70_000, Decimal("0.3")]),
        ("SELECT id, price / %s::numeric(12,4), round(price * %s, 1) FROM {s}.facts ORDER BY id", [Decimal("7.0071"), 3]),
        ("SELECT id, id + %s, big * %s, ratio * %s FROM {s}.facts ORDER BY id", [2, 3, 2.5]),
        (
            "SELECT %s::text, %s::text, %s::text, 'x' || %s::text, %s::varchar(3), %s::text, %s::numeric",
            [2.0, 1e20, 0.1, 2.5, 123.5, Decimal("2.50"), 2],
        ),
        ("SELECT id, greatest(id, %s), least(price, %s), ARRAY[%s, 1], ARRAY[%s, %s] FROM {s}.facts ORDER BY id", [None, None, None, 2, None]),
        ("SELECT id, CASE WHEN id = 1 THEN %s ELSE small END AS n, CASE WHEN flag THEN id ELSE %s END AS m FROM {s}.facts ORDER BY id", [None, 4]),
        ('SELECT day + %s, day - %s, day - %s, "at" - %s FROM {s}.facts ORDER BY id', [3, 4, "2024-01-01", "2024-01-01"]),
        ("SELECT id, name || %s, day + %s::int, coalesce(price, %s), abs(%s::int) FROM {s}.facts ORDER BY id", ["x", 3, Decimal("0.001"), -4]),
    ],
)
def test_parameters_keep_their_value_and_the_type_of_what_is_computed_of_them(both: Both, sql: str, parameters: list[Any], is_binary: bool) -> None:
    expected, got = (one.cursor(binary=is_binary).execute(sql.replace("{s}", SCHEMA), parameters).fetchall() for one in both)
    assert len(expected) == len(got)
    for row, ours in zip(expected, got, strict=True):
        assert all(map(_is_same, row, ours)), (row, ours)


@pytest.mark.parametrize("sql", ["SELECT price / %s FROM {s}.facts", "SELECT id / %s FROM {s}.facts", "SELECT %s / sum(big) FROM {s}.facts"])
def test_a_division_with_a_numeric_of_any_scale_is_refused(both: Both, sql: str) -> None:
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="scale isn't known"):
        both[1].execute(sql.replace("{s}", SCHEMA), [Decimal("7.001")])


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT coalesce(sum(price), 0.001), coalesce(sum(big), 0.5), greatest(sum(price), 0.001) FROM {s}.facts WHERE id < 0",
        "SELECT coalesce(sum(price), 0), coalesce(sum(big), 0), coalesce(sum(id), 0) * 2, coalesce(sum(price), 0.0) FROM {s}.facts",
        "SELECT CASE WHEN true THEN 0.5 ELSE sum(big) END, least(sum(big), 0.5), coalesce(1::numeric, 0.5), array[sum(price), 0.001] FROM {s}.facts",
        "SELECT sum(big) AS x FROM {s}.facts WHERE id < 0 UNION ALL SELECT 0.5 UNION ALL SELECT 1",
        "SELECT x FROM (VALUES (1::numeric(38,2)), (NULL), (1.001)) AS v (x)",
        "SELECT coalesce((SELECT sum(price) FROM {s}.facts WHERE id < 0), 0.001), coalesce(avg(price), sum(big), 0.5) FROM {s}.facts",
        "SELECT id, coalesce(price / 3, big), lag(id, 1, 0.5) OVER (ORDER BY id), lead(price, 1, 0.555) OVER (ORDER BY id) FROM {s}.facts",
        "SELECT 1::numeric(38,2) IN (SELECT 1.001), 1::numeric(38,2) = ANY (array[1.001]), 1::numeric(38,2) > ALL (SELECT 0.999 UNION SELECT 0)",
        "SELECT sum(price) IN (SELECT price FROM {s}.facts), sum(price) = ANY (array[1, 2.5]), sum(price) > 0.001, sum(id) = 1830.4 FROM {s}.facts",
        "WITH t AS (SELECT kind, sum(price) FROM {s}.facts GROUP BY 1) SELECT * FROM t UNION SELECT 'all', sum(id) FROM {s}.facts ORDER BY 1, 2",
        "SELECT * FROM (SELECT id, price FROM {s}.facts) t UNION ALL SELECT 1, 4.555 ORDER BY 1, 2",
        "SELECT price IN (SELECT 0.5 UNION ALL SELECT price) FROM {s}.facts",
        "SELECT price FROM (SELECT price FROM {s}.facts UNION ALL SELECT sum(big) FROM {s}.facts UNION ALL SELECT 0.125) t ORDER BY price",
        "SELECT sum(coalesce(price, 0.001)), sum(CASE WHEN id > 3 THEN price ELSE 0.001 END) FROM {s}.facts",
        "SELECT sum(price * 0) IN (SELECT * FROM (SELECT 0.001) t), sum(price * 0) IN (SELECT * FROM (SELECT 0.000) t) FROM {s}.facts",
    ],
)
def test_numerics_of_several_scales_keep_their_digits_together(both: Both, sql: str) -> None:
    assert _difference(both, sql.replace("{s}", SCHEMA)) == (None, True)


@pytest.mark.parametrize(
    "sql",
    [
        "WITH t AS (SELECT sum(price) AS p FROM {s}.facts) SELECT * FROM t UNION ALL SELECT 0.001",
        "SELECT 0.001 AS p UNION ALL SELECT * FROM (SELECT sum(price) FROM {s}.facts) t",
        "SELECT sum(price * 0.001) IN (SELECT * FROM (SELECT sum(price) FROM {s}.facts) t) FROM {s}.facts",
    ],
)
def test_sums_beside_a_star_of_other_numbers_are_refused(both: Both, sql: str) -> None:
    got = ask(both[1], sql.replace("{s}", SCHEMA))
    assert isinstance(got, psycopg.Error)
    assert got.sqlstate == "0A000"


def test_a_numeric_with_too_many_digits_beside_others_fails(both: Both) -> None:
    got = ask(both[1], "SELECT coalesce(1e37, 0.0000000001)")  # a DECIMAL can't hold both
    assert isinstance(got, psycopg.Error)


@pytest.mark.parametrize("is_binary", [False, True])
@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        (
            "SELECT coalesce(sum(price), %s), greatest(sum(price), %s, %s) FROM {s}.facts WHERE id < 0",
            [Decimal("1.5555"), Decimal("0.1"), Decimal(2)],
        ),
        ("SELECT coalesce(sum(price), %s), coalesce(sum(price), %s) FROM {s}.facts WHERE id < 0", [0, None]),
        ("SELECT sum(price) > %s, coalesce(price, %s) FROM {s}.facts GROUP BY price ORDER BY 2", [Decimal("1.5555"), Decimal("1e-30")]),
        ("SELECT 3600 * %s, 7 / %s, id * %s, coalesce(%s, 1) * 20000, small * %s FROM {s}.facts ORDER BY id", [24, 2, 30_000, 3, 70_000]),
        ("SELECT rate = %s, rate IN (%s, %s), rate + %s, rate * %s FROM {s}.singles ORDER BY id", [0.1, 0.1, 3, 1, Decimal("0.1")]),
        ("SELECT rate = %s, rate > %s, nullif(rate, %s), rate = ANY(%s) FROM {s}.singles ORDER BY id", [Decimal("0.1"), 2, 0.1, [0.1, 2.5]]),
    ],
)
def test_parameters_beside_others_keep_their_digits(both: Both, sql: str, parameters: list[Any], is_binary: bool) -> None:
    expected, got = (one.cursor(binary=is_binary).execute(sql.replace("{s}", SCHEMA), parameters).fetchall() for one in both)
    assert len(expected) == len(got)
    for row, ours in zip(expected, got, strict=True):
        assert all(map(_is_same, row, ours)), (row, ours)


@pytest.mark.parametrize(
    "expressions",
    [
        "rate = 0.1, 0.1 = rate, rate <> 0.1, rate < 0.1, rate = price, rate < id, rate = other, rate = rate::double precision, rate = '0.1'",
        "rate IN (0.1), rate IN (0.1, 0.2), rate IN ('0.1', '3'), rate IN (1, 0.1, price), rate NOT IN (price, 0.1), price IN (rate, other)",
        "rate BETWEEN 0.1 AND 353.19, rate BETWEEN '0.1' AND '353.19', CASE rate WHEN 0.1 THEN 1 ELSE 0 END, rate IS DISTINCT FROM 0.1",
        "rate IN (SELECT 0.1), rate IN (SELECT other FROM {s}.singles), rate = ANY (array[0.1, 2]), rate = ANY (SELECT 0.1::real)",
        "rate + other, rate * other, other / 3::real, rate - 1, rate * 2.0, rate + id, rate / 2, rate + 1::double precision, rate + '0.1', -rate",
        "coalesce(rate, 0.1), coalesce(0.1, rate), coalesce(rate, 1), greatest(rate, 0.1), least(rate, price), array[rate, 0.1]",
        "CASE WHEN id > 3 THEN rate ELSE 0.1 END, CASE WHEN id > 3 THEN 0.1 ELSE rate END, coalesce(rate, 1::double precision)",
        "nullif(rate, 0.1), nullif(1, rate), nullif(price, rate), nullif(rate, other), nullif(id, 1.5), nullif(id, big) / 2, nullif(id, rate) / 2",
        "abs(rate), round(rate), floor(rate), ceil(rate), trunc(rate), sign(rate), sqrt(abs(rate)), ln(1 + abs(rate)), power(rate, 2)",
        "round(rate::numeric, 2), rate::numeric(18,6), rate::bigint, rate::double precision, price::real, 16777217::real = 16777217",
        "lag(rate, 1, 0.1) OVER (ORDER BY id), lag(id, 1, rate) OVER (ORDER BY id), lag(price, 1, rate) OVER (ORDER BY id)",
    ],
)
def test_real_is_computed_with_and_compared_as_in_postgres(both: Both, expressions: str) -> None:
    assert _difference(both, f"SELECT id, {expressions} FROM {{s}}.singles ORDER BY id".replace("{s}", SCHEMA)) == (None, True)
    types = [
        [column.type_code for column in one.execute(f"SELECT {expressions} FROM {SCHEMA}.singles".replace("{s}", SCHEMA)).description] for one in both
    ]
    assert types[0] == types[1]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT min(rate), max(rate), avg(rate), sum(rate::double precision), count(DISTINCT rate), round(stddev(rate)) FROM {s}.singles",
        "SELECT rate, count(*) FROM {s}.singles GROUP BY rate HAVING rate > 0.1 ORDER BY rate",
        "SELECT s.id, t.id FROM {s}.singles s JOIN {s}.singles t ON s.rate = t.price ORDER BY 1, 2",
        "SELECT rate FROM {s}.singles UNION ALL SELECT 0.1 UNION ALL SELECT price FROM {s}.singles ORDER BY 1",
        "SELECT x FROM (VALUES (0.1), (0.1::real), (1)) AS v (x) ORDER BY x",
    ],
)
def test_real_in_whole_queries_is_the_same(both: Both, sql: str) -> None:
    assert _difference(both, sql.replace("{s}", SCHEMA)) == (None, True)


@pytest.mark.parametrize("expression", ["sum(rate)", "rate::text", "rate IN (SELECT * FROM (SELECT 0.1) t)"])
def test_real_that_would_have_other_digits_is_refused(both: Both, expression: str) -> None:
    got = ask(both[1], f"SELECT {expression} FROM {SCHEMA}.singles")
    assert isinstance(got, psycopg.Error)
    assert got.sqlstate == "0A000"


@pytest.mark.parametrize(
    "expressions",
    [
        "small * 20000, 32767::smallint + 1, small / 2, small % 7, -small * 20000, 20000 * small, small - 40000, small + id",
        "coalesce(small, 0) * 20000, greatest(small, 1) * 20000, nullif(small, 0) * 20000, (CASE WHEN id >= 0 THEN small ELSE 0 END) * 20000",
        "(array[small, 1])[1] * 20000, lag(small, 1, 0) OVER (ORDER BY id) * 20000, lag(small, 1, 100000000000) OVER (ORDER BY id)",
        "small = 70000, small IN (1, 70000), small BETWEEN -70000 AND 70000, CASE small WHEN 70000 THEN 1 ELSE 0 END, small / 2::smallint + 1",
        "small + small / 2::smallint",
        "(SELECT max(x * 20000) FROM (SELECT small AS x FROM {s}.singles UNION ALL SELECT 1) t)",
        "(SELECT max(x * 20000) FROM (VALUES (32767::smallint), (1)) AS t (x))",
        "small + small",
    ],
)
def test_smallint_beside_an_integer_is_one(both: Both, expressions: str) -> None:
    difference, is_answered = _difference(both, f"SELECT id, {expressions} FROM {{s}}.singles ORDER BY id".replace("{s}", SCHEMA))
    assert difference is None
    assert is_answered


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE t (x) AS (SELECT 1.50 UNION ALL SELECT x + 1 FROM t WHERE x < 200) SELECT count(*), max(x), max(x)::text FROM t",
        "WITH RECURSIVE t (x) AS (SELECT 1::numeric UNION ALL SELECT x * 2 FROM t WHERE x < 5000) SELECT x, x::text FROM t",
        "WITH RECURSIVE t (x) AS (SELECT 1::numeric(18,6) UNION ALL SELECT (x * 1.5)::numeric(18,6) FROM t WHERE x < 50) SELECT x, x::text FROM t",
        "WITH RECURSIVE t (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 100) SELECT sum(n), sum(n / 2) FROM t",
        "WITH RECURSIVE t (n, m) AS (VALUES (1, 2.5), (2, 3.55) UNION ALL SELECT n + 1, m * 1 FROM t WHERE n < 5) SELECT n, m FROM t ORDER BY 1, 2",
        "WITH RECURSIVE t (x, y) AS (SELECT 1::float8, 0.1::real UNION ALL SELECT x * 1.5, y FROM t WHERE x < 50) SELECT x, y FROM t",
        "WITH RECURSIVE t AS (SELECT id, customer, 0 AS level, price FROM {s}.facts WHERE id = 2 UNION ALL "
        "SELECT f.id, f.customer, t.level + 1, f.price FROM {s}.facts f JOIN t ON f.customer = t.id WHERE t.level < 2) SELECT * FROM t ORDER BY 1, 3",
        "WITH RECURSIVE t (n, b) AS (SELECT id, price FROM {s}.facts UNION ALL SELECT n + 10, b FROM t WHERE n < 25) SELECT * FROM t ORDER BY 1, 2",
        "WITH RECURSIVE t (n) AS (SELECT 1), u AS (SELECT n FROM t UNION ALL SELECT 2.5) SELECT n FROM u",
        "WITH t (k, n) AS (SELECT kind, sum(id) FROM {s}.facts GROUP BY kind HAVING sum(id) > 3) SELECT n / 2.0, n / 2 FROM t ORDER BY 1",
        "WITH t (a, b) AS (SELECT id AS b, small FROM {s}.facts ORDER BY b LIMIT 4) SELECT a, b FROM t ORDER BY 1",
        "WITH t (n) AS (VALUES (1), (3)) SELECT n / 2.0 FROM t",
    ],
)
def test_columns_that_with_names_have_their_type(both: Both, sql: str) -> None:
    assert _difference(both, sql.replace("{s}", SCHEMA)) == (None, True)


@pytest.mark.parametrize(
    ("terms", "sqlstate"),
    [
        ("SELECT 1 UNION ALL SELECT x * 1.5 FROM t WHERE x < 5", "42804"),
        ("SELECT 1::smallint UNION ALL SELECT x + 1 FROM t WHERE x < 5", "42804"),
        ("SELECT 1::real UNION ALL SELECT x * 1.5 FROM t WHERE x < 5", "42804"),
        ("SELECT price FROM {s}.facts UNION ALL SELECT x + 1 FROM t WHERE x < 5", "42804"),
        ("SELECT 1.5 UNION ALL SELECT x * 1.5 FROM t WHERE x < 5", None),
        ("SELECT 1::numeric UNION ALL SELECT x / 3 FROM t WHERE x > 0.5", None),
    ],
)
def test_a_recursive_query_of_other_numbers_than_it_begins_with_is_refused(both: Both, terms: str, sqlstate: str | None) -> None:
    expected, got = (ask(one, f"WITH RECURSIVE t (x) AS ({terms}) SELECT x FROM t".replace("{s}", SCHEMA)) for one in both)
    assert isinstance(got, psycopg.Error)
    assert got.sqlstate == (sqlstate or "0A000")
    assert (expected.sqlstate if isinstance(expected, psycopg.Error) else None) == sqlstate


@pytest.mark.parametrize("value", [None, "3"])
def test_what_is_added_to_a_date_says_what_it_is(both: Both, value: str | None) -> None:
    for one in both:
        with pytest.raises(psycopg.errors.AmbiguousFunction, match="not unique: date"):
            one.execute(f"SELECT day + %s FROM {SCHEMA}.facts", [value])


@pytest.mark.parametrize("kind", ["cont", "disc"])
def test_a_percentile_is_written_out(both: Both, kind: str) -> None:
    with pytest.raises(psycopg.errors.FeatureNotSupported, match=f"percentile_{kind} of a parameter"):
        both[1].execute(f"SELECT percentile_{kind}(%s) WITHIN GROUP (ORDER BY id) FROM {SCHEMA}.facts", [0.5])
