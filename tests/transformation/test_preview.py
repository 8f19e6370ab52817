from __future__ import annotations

from datetime import timedelta

import pytest
from lakehouse import NOON, House, python_model, sql_model

from headwater.errors import SqlBindError, UsageError
from headwater.spec.models import Model
from headwater.transformation import compile_model, pushdown_reaches_scan, show

WITH = """
WITH base AS (
  SELECT id, v FROM staging.rows WHERE id < 50 -- half
), "Odd ones" (id, doubled) AS (
  SELECT id, v * 2 FROM base WHERE id % 2 = 1
), unused AS (
  SELECT nothing FROM nowhere.at_all
)
SELECT count(*) AS n FROM "Odd ones"
"""
INCREMENTAL = {"incremental": {"time_column": "day", "lookback": "2 days"}}
DAILY = "SELECT day, sum(v) AS total FROM staging.rows GROUP BY ALL"


def shown(house: House, model: Model, **more: object) -> list[tuple[object, ...]]:
    with house.workspace() as workspace, show(workspace, model, project_dir=house.directory, **more) as result:  # type: ignore[arg-type]
        return result.fetchall()


def test_show_gives_the_first_rows_and_stores_nothing(house: House) -> None:
    model = sql_model("SELECT id, v, now() AS at FROM staging.rows ORDER BY id -- last")
    assert shown(house, model, limit=2) == [(0, 0, NOON), (1, 2, NOON)]
    assert len(shown(house, model)) == 20
    assert len(shown(house, model, limit=None)) == 100
    assert house.lake.state().find(model.name) is None


def test_show_casts_to_declared_types_and_knows_python(house: House) -> None:
    assert shown(house, sql_model("SELECT 1.5 AS x", columns={"x": {"type": "VARCHAR"}})) == [("1.5",)]
    house.write(
        "models/marts/scores.py", 'from headwater import model, table\n@model()\ndef scores(rows=table("staging.rows")):\n    return rows.limit(3)\n'
    )
    assert len(shown(house, python_model("scores"))) == 3
    with pytest.raises(UsageError, match="Python model and has no CTEs"):
        shown(house, python_model("scores"), cte="x")


def test_show_gives_one_cte_with_what_it_reads(house: House) -> None:
    model = sql_model(WITH.replace("nothing FROM nowhere.at_all", "1"))
    assert len(shown(house, model, cte="base", limit=100)) == 50
    assert shown(house, model, cte="odd ones", limit=1) == [(1, 4)]
    assert len(shown(house, sql_model(WITH), cte="BASE")) == 20, "later CTEs need not even work"
    recursive = sql_model("WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT 1")
    assert len(shown(house, recursive, cte="r")) == 5


def test_a_cte_that_is_not_there_gets_a_guess(house: House) -> None:
    with pytest.raises(UsageError, match=r"has no CTE 'bse'\n.*base, Odd ones, unused\n.*did you mean 'base'"):
        shown(house, sql_model(WITH), cte="bse")
    with pytest.raises(UsageError, match="a WITH clause"):
        shown(house, sql_model(DAILY), cte="x")


def test_errors_while_showing_name_the_file(house: House) -> None:
    with pytest.raises(SqlBindError, match=r"models/marts/result\.sql:1"):
        shown(house, sql_model("SELECT nothing FROM staging.rows"))


def compiled(house: House, model: Model) -> str:
    with house.workspace() as workspace:
        return compile_model(house.lake, workspace, model, house.context(model, started_at=NOON + timedelta(days=1)))


def test_compile_gives_the_sql_of_each_kind_with_what_happens_to_its_rows(house: House) -> None:
    assert compiled(house, sql_model(DAILY)).splitlines() == [
        "-- marts.result: table, models/marts/result.sql",
        "-- reads staging.rows at snapshot 1",
        "-- all rows are replaced",
        DAILY,
    ]
    assert "expanded where it is read" in compiled(house, sql_model(DAILY, kind="view"))
    assert "where changed_at moved on, the version of the same day ends" in compiled(
        house, sql_model("SELECT day, now() AS changed_at FROM staging.rows", kind={"snapshot": {"key": "day", "updated_at": "changed_at"}})
    )
    assert "calls scores(rows=staging.rows)" in compiled(house, python_model("scores"))


def test_compile_shows_the_condition_an_incremental_would_get(house: House) -> None:
    model = sql_model(DAILY, kind=INCREMENTAL)
    assert "the first build: all rows" in compiled(house, model)
    house.build(model)
    text = compiled(house, model)
    assert """-- replaces the rows where ("day" >= CAST('2024-01-08' AS DATE) OR "day" IS NULL)""" in text
    with house.connection() as connection, house.workspace() as workspace, workspace.connection() as inside:
        assert connection is not inside
        assert len(inside.execute(text).fetchall()) == 3
    by_key = sql_model("SELECT * FROM staging.rows", "marts.keyed", kind={"incremental": {"time_column": "day", "unique_key": "id"}})
    house.build(by_key)
    assert "-- replaces the rows of the same id" in compiled(house, by_key)


@pytest.mark.parametrize(
    ("sql", "kind", "expected"),
    [
        (DAILY, "table", True),
        (DAILY, INCREMENTAL, True),
        ("SELECT * FROM staging.rows", {"incremental": {"time_column": "id", "lookback": 3}}, True),
        ("SELECT day + 1 AS day, v FROM staging.rows", INCREMENTAL, True),
        ("SELECT max(day) AS day, v FROM staging.rows GROUP BY v", INCREMENTAL, "an aggregate that doesn't group by the time column"),
        (
            "SELECT *, row_number() OVER (ORDER BY v) AS n FROM staging.rows",
            INCREMENTAL,
            "a window function that isn't partitioned by the time column",
        ),
        ("SELECT *, row_number() OVER (PARTITION BY day ORDER BY v) AS n FROM staging.rows", INCREMENTAL, True),
        ("SELECT * FROM staging.rows ORDER BY v LIMIT 5", INCREMENTAL, "LIMIT"),
    ],
)
def test_whether_the_condition_reaches_a_scan(shared_house: House, sql: str, kind: object, expected: bool | str) -> None:
    with shared_house.connection() as connection:
        connection.execute("ATTACH IF NOT EXISTS ':memory:' AS empty")
        connection.execute("CREATE OR REPLACE TABLE empty.rows (id BIGINT, day DATE, v BIGINT)")
    shared_house.inputs["staging.rows"] = "SELECT * FROM empty.main.rows"
    with shared_house.workspace() as workspace:
        found = pushdown_reaches_scan(workspace, sql_model(sql, kind=kind))
    if isinstance(expected, str):
        assert isinstance(found, str)
        assert expected in found
    else:
        assert found is expected


def test_statistics_that_show_that_no_row_is_late_enough_do_not_pass_for_a_condition_that_arrived(shared_house: House) -> None:
    with shared_house.connection() as connection:
        connection.execute("ATTACH IF NOT EXISTS ':memory:' AS empty")
        connection.execute("CREATE OR REPLACE TABLE empty.rows AS SELECT range AS id, DATE '2024-01-01' AS day, range AS v FROM range(9)")
    shared_house.inputs["staging.rows"] = "SELECT * FROM empty.main.rows"
    with shared_house.workspace() as workspace:
        over_all = sql_model("SELECT *, row_number() OVER (ORDER BY v) AS n FROM staging.rows", kind=INCREMENTAL)
        assert "window" in str(pushdown_reaches_scan(workspace, over_all))
        assert pushdown_reaches_scan(workspace, sql_model(DAILY, kind=INCREMENTAL)) is True


def test_a_python_model_computes_all_rows_first(house: House) -> None:
    with house.workspace() as workspace:
        assert "Python" in str(pushdown_reaches_scan(workspace, python_model("scores", kind=INCREMENTAL)))
