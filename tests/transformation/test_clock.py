from __future__ import annotations

from datetime import UTC, datetime

import pytest

from headwater.engine import Engine, Workspace
from headwater.errors import SqlSyntaxError
from headwater.transformation import clock_used, clock_value, is_volatile


@pytest.mark.parametrize(
    ("sql", "use"),
    [
        ("SELECT 1", ""),
        ("SELECT 'now()' AS current_day -- today()", ""),
        ("SELECT current_date", "date"),
        ("SELECT today()", "date"),
        ("SELECT now()::DATE", "date"),
        ("SELECT CAST(current_timestamp AS DATE)", "date"),
        ("SELECT date_trunc('month', now())", "date"),
        ("SELECT date_trunc('hour', now())", "timestamp"),
        ("SELECT now()", "timestamp"),
        ("SELECT current_date, localtimestamp", "timestamp"),
        ("SELECT (now() - INTERVAL 1 DAY)::DATE", "timestamp"),
        ("WITH a AS (SELECT 1 AS x WHERE current_timestamp > '2024-01-01') SELECT * FROM a", "timestamp"),
        ("FROM a.b WHERE x > (SELECT max(y) FROM c.d WHERE z < CURRENT_DATE)", "date"),
        ("SELECT age(born) FROM a.b", "date"),
        ("SELECT age(died, born) FROM a.b", ""),
        ("PIVOT a.b ON current_date USING sum(x)", "date"),
    ],
)
def test_whether_a_query_uses_the_clock_and_how_finely(sql: str, use: str) -> None:
    assert clock_used(sql) == use


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", False),
        ("SELECT random_value, uuid FROM a.b", False),
        ("SELECT random()", True),
        ("SELECT gen_random_uuid()", True),
        ("SELECT * FROM a.b ORDER BY uuid()", True),
        ("SELECT * FROM a.b USING SAMPLE 10%", True),
        ("SELECT * FROM a.b TABLESAMPLE reservoir(10)", True),
        ("SELECT * FROM a.b TABLESAMPLE reservoir(10 ROWS) REPEATABLE (42)", False),
    ],
)
def test_whether_a_query_draws_at_random(sql: str, expected: bool) -> None:
    assert is_volatile(sql) is expected


def test_macros_count_when_they_are_called_through_others_too() -> None:
    macros = [
        "CREATE MACRO days_since(x) AS current_date - x",
        "CREATE OR REPLACE MACRO is_old(x) AS days_since(x) > 30",
        "CREATE MACRO pick() AS random()",
    ]
    assert clock_used("SELECT is_old(d) FROM a.b", macros) == "date"
    assert clock_used("SELECT d FROM a.b", macros) == ""
    assert is_volatile("SELECT pick()", macros)
    assert not is_volatile("SELECT is_old(d) FROM a.b", macros)


def test_the_value_as_used_is_the_projects_own_day_or_instant() -> None:
    at = datetime(2024, 6, 1, 23, 30, tzinfo=UTC)
    assert clock_value("", at, "UTC") == ""
    assert clock_value("date", at, "UTC") == "2024-06-01"
    assert clock_value("date", at, "Europe/Oslo") == "2024-06-02"
    assert clock_value("timestamp", at, "Europe/Oslo") == "2024-06-02T01:30:00+02:00"


def test_sql_that_cannot_be_parsed_is_an_error() -> None:
    with pytest.raises(SqlSyntaxError):
        clock_used("SELECT FROM WHERE")


def test_age_of_one_argument_counts_from_the_runs_day() -> None:
    with (
        Engine(threads=1) as engine,
        Workspace(engine, clock=datetime(2024, 6, 1, 10, tzinfo=UTC)) as workspace,
        workspace.connection() as connection,
    ):
        row = connection.execute(
            "SELECT age(TIMESTAMP '2024-05-30')::VARCHAR, age(DATE '2024-05-30')::VARCHAR, age(DATE '2024-01-02', DATE '2024-01-01')::VARCHAR"
        ).fetchone()
        assert row == ("2 days", "2 days", "1 day")
