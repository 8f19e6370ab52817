from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from lakehouse import NOON, House, open_house, sql_model

from headwater.engine import Connection
from headwater.errors import Interrupted, ModelOutputInvalid, SqlBindError, SqlDataError
from headwater.spec.checks import Unique
from headwater.spec.lineage import Lineage
from headwater.spec.names import ColumnName, TableName
from headwater.spec.runs import Interval
from headwater.storage import DeleteAll, DeleteKeys, DeleteWhere

ROWS = TableName("staging", "rows")
DAILY = "SELECT day, count(*) AS n, sum(v) AS total FROM staging.rows GROUP BY ALL"


def test_a_table_is_replaced_whole(house: House) -> None:
    model = sql_model(DAILY)
    house.build(model)
    assert len(house.rows()) == 10
    house.inputs["staging.rows"] = "SELECT 1 AS id, DATE '2024-01-01' AS day, 5 AS v"
    change = house.build(model)
    assert change.delete == DeleteAll()
    assert house.rows() == [(date(2024, 1, 1), 1, 5)]


@pytest.mark.parametrize(("layout", "role"), [({"sort_by": ["dya DESC"]}, "sort_by"), ({"partition_by": ["dya"]}, "partition_by")])
def test_a_layout_by_a_column_that_is_not_there_is_refused_by_name(house: House, layout: dict[str, list[str]], role: str) -> None:
    with pytest.raises(ModelOutputInvalid) as caught:
        house.build(sql_model(DAILY, **layout))
    assert role in caught.value.what
    assert caught.value.hint == "did you mean 'day'?"


@pytest.mark.parametrize("kind", ["table", {"incremental": {"time_column": "day"}}])
def test_technical_columns_that_come_twice_are_offered_their_exclusion(house: House, kind: object) -> None:
    house.inputs["staging.other"] = "SELECT 1 AS other, 'x' AS _hw_load_id, 'y' AS _hw_loaded_at"
    house.inputs["staging.rows"] = "SELECT 1 AS id, DATE '2024-01-01' AS day, 'x' AS _hw_load_id, 'y' AS _hw_loaded_at"
    with pytest.raises(ModelOutputInvalid) as caught:
        house.build(sql_model("SELECT * FROM staging.rows, staging.other", kind=kind))
    assert "* EXCLUDE (_hw_load_id, _hw_loaded_at)" in str(caught.value.hint)


def test_a_change_carries_definition_load_and_layout(house: House) -> None:
    model = sql_model(
        DAILY,
        description="Per day",
        owner="finance",
        tags=["daily"],
        sort_by=["day"],
        checks=[{"unique": "day"}],
        columns={"TOTAL": {"description": "In EUR", "labels": ["money"]}},
    )
    lineage = Lineage(
        frozenset({ROWS}), {"day": frozenset({ColumnName(ROWS, "day")}), "n": frozenset(), "total": frozenset({ColumnName(ROWS, "v")})}, frozenset()
    )
    change = house.build(model, lineage=lineage, clock="2024-06-01")
    assert (change.definition.kind, change.definition.sql, change.definition.inputs) == ("table", DAILY, (ROWS,))
    assert change.definition.body["lineage"]["value"]["total"] == [["staging", "rows", "v"]]
    assert change.definition.body["lineage"]["is_complete"]
    assert change.definition.body["checks"] == [{"unique": {"columns": ["day"]}}]
    assert (change.load.operation, change.load.rows_written, change.load.inputs, change.load.clock) == (
        "build",
        10,
        {"staging.rows": 1},
        "2024-06-01",
    )
    assert [(c.name, c.type, c.description, c.labels) for c in change.columns][2] == ("total", "DECIMAL(38,0)", "In EUR", ("money",))
    state = house.lake.table_state(model.name)
    assert (state.definition.body["owner"], state.columns[2].labels) == ("finance", ("money",))
    assert Unique(columns=("day",)) in model.table_checks


def test_a_view_stages_nothing_and_knows_its_columns(house: House) -> None:
    change = house.change(sql_model("SELECT id, v + 1 AS w FROM staging.rows", kind="view", columns={"w": {"type": "DOUBLE"}}))
    assert (change.staged, change.delete, change.load.operation) == (None, None, "view")
    assert [(c.name, c.type) for c in change.columns] == [("id", "BIGINT"), ("w", "DOUBLE")]
    assert "CAST" in change.definition.sql


def test_declared_types_are_cast_to_and_undeclared_columns_kept(house: House) -> None:
    house.build(sql_model(DAILY, columns={"total": {"type": "DECIMAL(10,2)"}, "n": {"type": "INTEGER"}}))
    assert [c.type for c in house.lake.table_state(TableName("marts", "result")).columns] == ["DATE", "INTEGER", "DECIMAL(10,2)"]


@pytest.mark.parametrize("kind", ["table", "view", {"incremental": {"time_column": "day"}}, {"snapshot": {"key": "day", "check": "*"}}])
def test_a_declared_column_that_is_not_produced_is_an_error(shared_house: House, kind: object) -> None:
    with pytest.raises(ModelOutputInvalid, match=r"models/marts/result\.sql.*gives no column 'totl'[^$]*did you mean 'total'"):
        shared_house.change(sql_model(DAILY, kind=kind, columns={"totl": "In EUR"}))


@pytest.mark.parametrize("kind", ["table", "view", {"incremental": {"time_column": "id"}}])
def test_two_columns_of_one_name_are_an_error(shared_house: House, kind: object) -> None:
    with pytest.raises(ModelOutputInvalid, match=r"two columns named 'ID'"):
        shared_house.change(sql_model("SELECT id, v AS ID FROM staging.rows", kind=kind))


def test_unnamed_and_odd_columns_work(house: House) -> None:
    house.build(sql_model("""SELECT count(*), 1 AS "a ""b"" c", 2 AS "SELECT", 3 AS "æ ø å" FROM staging.rows"""))
    assert house.rows() == [(100, 1, 2, 3)]
    assert house.rows(columns='"count_star()", "a ""b"" c"') == [(100, 1)]


def test_everything_duckdb_calls_a_query_can_be_a_model(house: House) -> None:
    for number, sql in enumerate(
        [
            "FROM staging.rows -- a comment at the end",
            "VALUES (1, 2), (3, 4)",
            "PIVOT (SELECT day, id % 2 AS odd, v FROM staging.rows) ON odd USING sum(v)",
            "SUMMARIZE staging.rows",
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r",
            "SELECT 170141183460469231731687303715884105727::HUGEINT // 10 AS big, [1, 2]::INTEGER[2] AS pair, 'a'::ENUM('a') AS e",
        ]
    ):
        change = house.build(sql_model(sql, f"marts.m{number}"))
        assert change.staged is not None
        assert len(house.rows(f"marts.m{number}")) == change.staged.rows > 0


def test_errors_of_sql_name_the_models_file(house: House) -> None:
    with pytest.raises(SqlBindError) as caught:
        house.change(sql_model("SELECT nothing FROM staging.rows", sql_line=4))
    assert str(caught.value.location) == "models/marts/result.sql:4"
    with pytest.raises(SqlDataError, match=r"models/marts/result\.sql:1"):
        house.change(sql_model("SELECT ('x' || id)::INTEGER AS n FROM staging.rows"))


def test_a_cancelled_build_stops_and_its_connection_is_handed_out(house: House) -> None:
    seen: list[Connection] = []
    with pytest.raises(Interrupted):
        house.change(sql_model(DAILY), is_cancelled=lambda: True, on_connection=seen.append)
    assert len(seen) == 1


INCREMENTAL = {"incremental": {"time_column": "day", "lookback": "1 day"}}


def test_an_incremental_goes_on_in_the_lake(house: House) -> None:
    model = sql_model(DAILY, kind=INCREMENTAL)
    first = house.build(model)
    assert isinstance(first.delete, DeleteAll)
    house.inputs["staging.rows"] += (
        " UNION ALL SELECT 200, DATE '2024-01-10', 0 UNION ALL SELECT 201, DATE '2024-01-12', 7 UNION ALL SELECT 202, DATE '2024-01-01', 9"
    )
    change = house.build(model, started_at=NOON + timedelta(hours=1))
    assert isinstance(change.delete, DeleteWhere)
    assert change.load.interval == ("2024-01-09", "")
    assert change.staged is not None
    assert change.staged.rows == 3
    rows = {row[0]: row[1] for row in house.rows()}
    assert rows[date(2024, 1, 10)] == 11
    assert rows[date(2024, 1, 12)] == 1
    assert rows[date(2024, 1, 1)] == 10, "older than the lookback: until a full refresh"
    house.build(model, full_refresh=True)
    assert {row[0]: row[1] for row in house.rows()}[date(2024, 1, 1)] == 11


def test_an_incremental_whose_code_changed_is_built_whole(house: House) -> None:
    house.build(sql_model(DAILY, kind=INCREMENTAL))
    assert isinstance(house.change(sql_model(DAILY.replace("sum", "max"), kind=INCREMENTAL)).delete, DeleteAll)


def test_an_interval_is_restated_in_the_lake(house: House) -> None:
    model = sql_model(DAILY, kind=INCREMENTAL)
    house.build(model)
    house.inputs["staging.rows"] = house.inputs["staging.rows"].replace("i * 2", "i * 3")
    change = house.build(model, interval=Interval(datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 4, tzinfo=UTC)))
    assert change.load.interval == ("2024-01-02", "2024-01-04")
    totals = {row[0].day: int(row[2]) for row in house.rows()}
    assert totals[1] == sum(i * 2 for i in range(0, 100, 10))
    assert totals[2] == sum(i * 3 for i in range(1, 100, 10))


def test_a_unique_key_replaces_in_the_lake_and_doubled_keys_are_an_error(house: House) -> None:
    model = sql_model("SELECT * FROM staging.rows", kind={"incremental": {"time_column": "day", "unique_key": ["id"]}})
    house.build(model)
    house.inputs["staging.rows"] = "SELECT 3 AS id, DATE '2024-02-01' AS day, 0 AS v"
    change = house.build(model)
    assert isinstance(change.delete, DeleteKeys)
    assert len(house.rows()) == 100
    assert (3, date(2024, 2, 1), 0) in house.rows()
    house.inputs["staging.rows"] = "SELECT 3 AS id, DATE '2024-02-02' AS day, i AS v FROM range(2) t(i)"
    with pytest.raises(ModelOutputInvalid, match=r"several rows for one unique_key \(id\)"):
        house.build(model)


def test_a_snapshot_keeps_history_in_the_lake(house: House) -> None:
    model = sql_model(
        "SELECT id, v, day::TIMESTAMP AS changed FROM staging.rows WHERE id < 3", kind={"snapshot": {"key": "id", "updated_at": "changed"}}
    )
    house.build(model)
    unchanged = house.build(model, started_at=NOON + timedelta(hours=1))
    assert (unchanged.staged, unchanged.delete) == (None, None)
    house.inputs["staging.rows"] = "SELECT i AS id, DATE '2024-03-01' AS day, 9 AS v FROM range(2) t(i)"
    change = house.build(model, started_at=NOON + timedelta(hours=2), full_refresh=True)
    assert isinstance(change.delete, DeleteKeys)
    rows = house.rows(columns="id, v, valid_from, valid_to")
    gone = (NOON + timedelta(hours=2)).replace(tzinfo=None)
    assert rows == [
        (0, 0, datetime(2024, 1, 1), datetime(2024, 3, 1)),
        (0, 9, datetime(2024, 3, 1), None),
        (1, 2, datetime(2024, 1, 2), datetime(2024, 3, 1)),
        (1, 9, datetime(2024, 3, 1), None),
        (2, 4, datetime(2024, 1, 3), gone),
    ]


def test_a_snapshot_begins_though_its_input_is_empty(house: House) -> None:
    house.build(sql_model("SELECT * FROM staging.rows WHERE false", kind={"snapshot": {"key": "id", "check": "*"}}))
    assert house.rows() == []
    assert [c.name for c in house.lake.table_state(TableName("marts", "result")).columns][-2:] == ["valid_from", "valid_to"]


def test_a_renamed_column_keeps_its_values_in_a_snapshot(house: House) -> None:
    kind = {"snapshot": {"key": "id", "check": "*"}}
    house.build(sql_model("SELECT id, v FROM staging.rows WHERE id < 2", kind=kind))
    renamed = sql_model("SELECT id, v AS value FROM staging.rows WHERE id < 2", kind=kind, columns={"value": {"renamed_from": "v"}})
    change = house.build(renamed, started_at=NOON + timedelta(hours=1))
    assert change.renames == {"v": "value"}
    assert house.rows(columns="id, value, valid_to") == [(0, 0, None), (1, 2, None)]


def test_a_kind_can_change(house: House) -> None:
    for kind in ("table", INCREMENTAL, {"snapshot": {"key": "day", "check": "*"}}, "table"):
        house.build(sql_model(DAILY, kind=kind), fingerprint=str(kind))
        assert len(house.rows()) == 10


@pytest.mark.parametrize(
    "kind", ["table", INCREMENTAL, {"incremental": {"time_column": "day", "unique_key": "id"}}, {"snapshot": {"key": "id", "check": "*"}}]
)
def test_each_kind_works_in_an_encrypted_lake_with_partitions(tmp_path: Path, kind: object) -> None:
    with open_house(tmp_path, encrypted=True) as house:
        model = sql_model("SELECT * FROM staging.rows", kind=kind, partition_by=["month(day)"], sort_by=["id"])
        house.build(model)
        house.inputs["staging.rows"] += " UNION ALL SELECT 100, DATE '2024-02-01', 1"
        house.build(model, started_at=NOON + timedelta(hours=1))
        assert len(house.rows(columns="id")) == 101
