"""Rows, `(a, b)`, in a real PostgreSQL and over the wire: compared column by column, nulls as there, or refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import psycopg
import pytest
from beside_postgres import SCHEMA, Both, ask


def _is_same(both: Both, sql: str, parameters: list[Any] | None = None) -> bool:
    expected, got = (one.execute(sql.replace("{s}", SCHEMA), parameters).fetchall() for one in both)
    assert got == expected
    return True


@pytest.mark.parametrize(
    "expressions",
    [
        "(price, id) = (353.189, 2), (id, 1) = (2.4, 1), (price, id) < (353.194, 2), (id, small) <> (2, -1), (id, small) >= (2, -1)",
        "(id, small) <= (11, 0), (id, small) < (11, 5), (id, kind, price) > (20, 'new', 0), (id, day) > (20, '2015-01-01')",
        "(1, null) = (1, 2), (1, null) = (2, 2), (1, null) < (1, 2), (1, null) < (2, 2), (null, 1) < (2, 1), (1, null) <> (1, 2)",
        "(1, 2, 3) < (1, 2, 4), (1, 2, 3) >= (1, 2, 4), (2, null, 1) > (1, 1, 1), ((1, 2), 3) = ((1, 2), 3), (1, null) <> (2, 2), ((1, 2)) = (1, id)",
        "(id, small) IS DISTINCT FROM (11, null), (id, small) IS NOT DISTINCT FROM (11, null), NOT (id, small) = (11, 1)",
        "(id, 1) IN ((2.4, 1)), (id, 1) IN ((2, 1), (3, 1)), (id, small) IN ((11, 1), (12, null)), (id, small) NOT IN ((11, 1), (2, -1), (3, 0))",
        "(id + 1, price * 2) < (3, 706.381), (id % 7, 353.19) < (id % 7, price * 1)",
        "(id, small) BETWEEN (2, -1) AND (11, 0), (id, small) NOT BETWEEN (2, null) AND (11, null), (id, '3') = ('3', '3')",
    ],
)
def test_rows_are_compared_column_by_column(both: Both, expressions: str) -> None:
    assert _is_same(both, f"SELECT id, {expressions} FROM {{s}}.facts ORDER BY id")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM {s}.facts WHERE (id, small) IN (SELECT id, small FROM {s}.facts WHERE id < 12) ORDER BY id",
        "SELECT id FROM {s}.facts WHERE id > 1 AND ((price, id) IN (SELECT 353.19, 2 UNION SELECT 1.5, 3) OR id = 4) ORDER BY id",
        "SELECT id FROM {s}.facts GROUP BY id HAVING (sum(price), id) IN (SELECT 353.191, 2) OR (sum(price), id) IN (SELECT 353.190, 2)",
        "SELECT id FROM {s}.facts WHERE (id, kind) IN ((1, 'new'), (2, 'odd'), (3, null)) ORDER BY id",
        "SELECT f.id FROM {s}.facts f JOIN {s}.customers c ON (f.customer, true) = (c.id, true) ORDER BY 1",
        "SELECT rate FROM {s}.singles WHERE (rate, id) = (0.1, 0) OR (rate, id) IN ((2.5, 1), (0.1, 8)) ORDER BY id",
        "SELECT id FROM {s}.facts GROUP BY (id, small) ORDER BY (id, small) DESC LIMIT 3",
        "SELECT count(DISTINCT (kind, flag)) FROM {s}.facts",
    ],
)
def test_queries_with_rows_are_the_same(both: Both, sql: str) -> None:
    assert _is_same(both, sql)


@pytest.mark.parametrize(
    ("condition", "parameters"),
    [
        ("(id, price) IN ((%s, %s), (%s, %s))", [2, Decimal("353.19"), 3, Decimal("1.5")]),
        ("(id, price) < (%s, %s)", [2, Decimal("353.194")]),
        ("(name, id) > (%s, %s)", ["apple", 30]),
        ("(day, id) > (%s, %s)", ["2015-01-01", "30"]),
        ("(day, -id) IN ((%s, -5), (%s, %s))", ["2015-06-06", "2012-03-03", "-2"]),
    ],
)
def test_rows_of_parameters_are_compared(both: Both, condition: str, parameters: list[Any]) -> None:
    assert _is_same(both, f"SELECT id FROM {{s}}.facts WHERE {condition} ORDER BY id", parameters)


def test_thousands_of_rows_are_looked_for(both: Both) -> None:
    rows = ", ".join(f"({number % 70}, {number % 9 - 4})" for number in range(3000))
    assert _is_same(both, f"SELECT id FROM {{s}}.facts WHERE (id, small) IN ({rows}) ORDER BY id")


@pytest.mark.parametrize(
    "expression",
    [
        "(id, small) NOT IN (SELECT 1, 2)",
        "(id, small) IN (SELECT 1, 2) IS NULL",
        "(id, small) = (SELECT 1, 2)",
        "(id, small) = ANY (SELECT 1, 2)",
        "(id, small) IS NULL",
        "(id, random()) < (1, 0.5)",
        "(sum(price) OVER (), id) IN (SELECT * FROM (SELECT 0.001, 1) t)",
        "(id, small)",
        "id IN ((1, 2))",
    ],
)
def test_other_uses_of_rows_are_refused(both: Both, expression: str) -> None:
    got = ask(both[1], f"SELECT {expression} FROM {SCHEMA}.facts")
    assert isinstance(got, psycopg.Error)
    assert got.sqlstate == "0A000"


def test_rows_of_other_lengths_fail_as_in_postgres(both: Both) -> None:
    for one in both:
        with pytest.raises(psycopg.errors.SyntaxError, match="unequal number of entries"):
            one.execute("SELECT (1, 2) = (1, 2, 3)")
