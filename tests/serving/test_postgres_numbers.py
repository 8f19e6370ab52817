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
    "expression",
    [
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


@pytest.mark.parametrize("value", [None, "3"])
def test_what_is_added_to_a_date_says_what_it_is(both: Both, value: str | None) -> None:
    for one in both:
        with pytest.raises(psycopg.errors.AmbiguousFunction, match="not unique: date"):
            one.execute(f"SELECT day + %s FROM {SCHEMA}.facts", [value])


@pytest.mark.parametrize("kind", ["cont", "disc"])
def test_a_percentile_is_written_out(both: Both, kind: str) -> None:
    with pytest.raises(psycopg.errors.FeatureNotSupported, match=f"percentile_{kind} of a parameter"):
        both[1].execute(f"SELECT percentile_{kind}(%s) WITHIN GROUP (ORDER BY id) FROM {SCHEMA}.facts", [0.5])
