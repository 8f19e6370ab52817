"""What `headwater.open` gives does all that the command line does, and touches no more than it must."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

import headwater as hw
from headwater import errors
from headwater.spec.names import TableName
from headwater.spec.runs import Event

FILES = {
    "headwater.yaml": "name: shop\nthreads: 1\nvars: {factor: 2}\n"
    "environments: {dev: {lake: {catalog: .headwater/dev.sqlite, data: .headwater/dev}}}\n",
    "sources/shop.yaml": """\
type: files
streams:
  orders:
    path: orders.csv
    primary_key: [id]
    columns: {id: bigint, day: date, amount: {type: "decimal(12,2)", not_null: true}}
""",
    "models/marts/daily.sql": """\
-- headwater
-- kind: {incremental: {time_column: day, lookback: 1 day}}
-- checks: [unique: day]
SELECT day, sum(amount) * ${var:factor} AS revenue FROM shop.orders GROUP BY day
""",
    "models/marts/total.py": """\
from headwater import model, table


@model(description="The sum of all days")
def total(daily=table("marts.daily", as_="polars")):
    return daily.select(daily["revenue"].sum())
""",
    "macros/money.sql": "CREATE MACRO with_tax(x) AS x * 1.25;\n",
    "orders.csv": "id,day,amount\n1,2024-01-01,10\n2,2024-01-01,5\n3,2024-01-02,7\n4,2024-01-03,\n",
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_definitions_are_read_without_lake_or_state(shop: Path) -> None:
    with hw.open(shop) as project:
        assert [str(table.table) for table in project.ls("+marts.total")] == ["shop.orders", "marts.daily", "marts.total"]
        assert [source.name for source in project.sources.list()] == ["shop"]
        assert project.sources.check("shop")
        assert list(project.sources.discover("shop").tables[0].columns) == ["id", "day", "amount"]
        assert project.test() == []
    assert not (shop / ".headwater" / "lake.sqlite").exists()
    assert not (shop / ".headwater" / "state.sqlite").exists()


def test_a_run_is_told_as_it_happens_and_summed_up(shop: Path) -> None:
    events: list[Event] = []
    with hw.open(shop) as project:
        run = project.run(on_event=events.append)
        assert run.exit_code == 0
        assert {str(task.table): task.status for task in run.tasks} == dict.fromkeys(("shop.orders", "marts.daily", "marts.total"), "succeeded")
        assert next(event.name for event in events if event.table == TableName("marts", "daily")) == "task_started"
        assert events[-1].name == "run_finished"
        again = project.run("marts.*")
        assert {task.status for task in again.tasks} == {"skipped"}
        assert [found.run_id for found in project.history()] == [again.run_id, run.run_id]
        assert project.history("latest")[0].run_id == again.run_id
        assert {event.table for event in project.logs(run.run_id, "marts.daily")} == {TableName("marts", "daily")}


def test_a_result_is_read_in_every_form_and_macros_may_be_used(shop: Path) -> None:
    with hw.open(shop) as project:
        project.run()
        sql = "SELECT day, with_tax(revenue) AS gross FROM marts.daily ORDER BY day"
        with project.query(sql) as result:
            assert result.columns == ["day", "gross"]
            rows = result.fetchall()
        assert [(row[0], float(row[1])) for row in rows] == [(date(2024, 1, 1), 37.5), (date(2024, 1, 2), 17.5)]
        assert project.query(sql).arrow().num_rows == 2
        assert isinstance(project.query(sql).polars(), pl.DataFrame)
        assert isinstance(project.query(sql).df(), pd.DataFrame)
        with project.query(sql) as result:
            assert sum(batch.num_rows for batch in result.batches()) == 2
        assert project.query("SELECT * FROM marts.total").fetchall()[0][0] == 44


def test_vars_and_environments_are_chosen_when_opening(shop: Path) -> None:
    with hw.open(shop, environment="dev", vars={"factor": 3}) as project:
        assert project.environment == "dev"
        project.run()
        assert project.query("SELECT sum(revenue)::INTEGER FROM marts.daily").fetchall() == [(66,)]
    assert (shop / ".headwater" / "dev.sqlite").exists()
    assert not (shop / ".headwater" / "lake.sqlite").exists()


def test_an_interval_is_restated_with_what_follows_from_it(shop: Path) -> None:
    with hw.open(shop) as project:
        project.run()
        run = project.run("marts.daily", from_=date(2024, 1, 1), to=date(2024, 1, 2))
        assert [str(task.table) for task in run.tasks] == ["marts.daily", "marts.total"]
        with pytest.raises(errors.UsageError):
            project.run(to=date(2024, 1, 1))
        with pytest.raises(errors.UsageError):
            project.run(from_=date(2024, 1, 2), to=date(2024, 1, 1))


def test_what_is_wrong_is_raised_as_one_kind_of_error(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(hw.HeadwaterError) as missing:
        hw.open(tmp_path / "nowhere")
    assert missing.value.code == "HW-P002"
    with hw.open(shop) as project:
        with pytest.raises(errors.UnknownSelection, match=r"marts\.daily"):
            project.run("marts.dayly")
        with pytest.raises(errors.TableNotFound):
            project.query("FROM marts.daily").fetchall()
        with pytest.raises(errors.TableNotFound, match=r"headwater run"):
            project.show("marts.daily")
        with pytest.raises(errors.UsageError):
            project.history("latest")


def test_streams_found_are_added_to_the_file_and_the_rest_stays(shop: Path) -> None:
    (shop / "customers.csv").write_text("id,name\n1,Ada\n")
    file = shop / "sources" / "shop.yaml"
    file.write_text(file.read_text() + "# the end\n")
    with hw.open(shop) as project:
        found = project.sources.discover("shop", write=True)
    assert "customers" in found.added
    assert "orders" not in found.added
    assert file.read_text().startswith(FILES["sources/shop.yaml"])
    assert file.read_text().endswith("# the end\n")
    with hw.open(shop) as project:
        assert "customers" in project.sources.list()[0].streams
        assert project.sources.discover("shop", write=True).added == ()


def test_a_table_that_a_stream_of_another_name_reads_is_no_discovery(shop: Path) -> None:
    import sqlite3

    with sqlite3.connect(shop / "crm.sqlite") as database:
        database.executescript("CREATE TABLE People(id INTEGER); CREATE TABLE pets(id INTEGER)")
    (shop / "sources" / "crm.yaml").write_text("type: sqlite\nconnection: crm.sqlite\nstreams:\n  customers: {table: people}\n")
    with hw.open(shop) as project:
        found = project.sources.discover("crm", write=True)
    assert {table.name: table.is_defined for table in found.tables} == {"People": True, "pets": False}
    assert found.added == ("pets",)


def test_streams_that_a_source_does_not_name_by_itself_are_shown_with_their_columns(shop: Path) -> None:
    """Functions, and files beside the folder that is looked through."""
    (shop / "feed.py").write_text("def readings(limit):\n    for n in range(10**9):\n        yield {'n': n, 'at': 'x'}\n")
    (shop / "sources" / "feed.yaml").write_text("type: python\nstreams:\n  readings: {function: 'feed.py:readings'}\n")
    for name in ("data/north/sales-1.csv", "data/north/sales-2.csv", "data/south/sales-1.csv", "in/x/other.csv"):
        (shop / name).parent.mkdir(parents=True, exist_ok=True)
        (shop / name).write_text("id,day\n1,2024-01-01\n")
    source = shop / "sources" / "shop.yaml"
    source.write_text(source.read_text() + "  north: {path: data/north}\n  other: {path: in/*/other.csv}\n")
    with hw.open(shop) as project:
        [readings] = project.sources.discover("feed").tables
        assert (readings.name, readings.reads, readings.columns, readings.is_defined) == (
            "readings",
            "feed.py:readings",
            {"n": "BIGINT", "at": "VARCHAR"},
            True,
        )
        found = {table.reads: table for table in project.sources.discover("shop", write=True).tables}
        assert {reads: table.is_defined for reads, table in found.items()} == {
            "data/north/sales-*.csv": True,
            "data/south/sales-1.csv": False,
            "orders.csv": True,
            "in/*/other.csv": True,
        }
        assert list(found["in/*/other.csv"].columns) == ["id", "day"]
    with hw.open(shop) as project:
        assert [table.is_defined for table in project.sources.discover("shop").tables] == [True] * 4


def test_a_discovery_named_as_a_stream_that_reads_something_else_gets_a_name_of_its_own(shop: Path) -> None:
    (shop / "data").mkdir()
    (shop / "data" / "orders.csv").write_text("id\n1\n")
    with hw.open(shop) as project:
        assert project.sources.discover("shop", write=True).added == ("orders_2",)
    with hw.open(shop) as project:
        assert set(project.sources.list()[0].streams) == {"orders", "orders_2"}


def test_verbs_take_selectors(shop: Path) -> None:
    with hw.open(shop) as project:
        project.run()
        assert [str(task.table) for task in project.publish("shop.*").tasks] == ["shop.orders"]
        assert [str(task.table) for task in project.discard("+marts.daily", exclude=["source:shop"]).tasks] == ["marts.daily"]
        with pytest.raises(errors.UsageError, match="which tables"):
            project.rollback()
        with pytest.raises(errors.UsageError, match="nothing is selected"):
            project.rollback("marts.daily", exclude=["marts.*"])


def test_the_facade_stays_small() -> None:
    public = [name for name in vars(hw.Project) if not name.startswith("_")]
    assert len(public) <= 25  # twenty methods, and what they are grouped in


def test_rows_in_quarantine_are_chosen_by_id_or_by_selectors_of_tables(shop: Path) -> None:
    source = shop / "sources/shop.yaml"
    source.write_text(source.read_text() + "  refunds: {path: refunds.csv, columns: {id: {type: bigint, not_null: true}, day: date}}\n")
    (shop / "refunds.csv").write_text("id,day\n1,2024-01-01\n,2024-01-02\n,2024-01-03\n")
    with hw.open(shop) as project:
        project.run("source:shop")
        with pytest.raises(errors.UsageError, match="which rows"):
            project.quarantine.replay(exclude=[])
        with pytest.raises(errors.UsageError, match="only streams"):
            project.quarantine.drop("marts.total")
        with pytest.raises(errors.UnknownSelection, match=r"shop\.ordres"):
            project.quarantine.drop("shop.ordres")
        replayed = project.quarantine.replay("+marts.total", "source:shop")
        assert {str(task.table): task.status for task in replayed.tasks} == {"shop.orders": "skipped", "shop.refunds": "skipped"}
        [first, second] = project.quarantine.list("shop.refunds")
        project.quarantine.drop(first.id[:8])
        assert [row.id for row in project.quarantine.list("shop.refunds")] == [second.id]
    source.write_text(source.read_text().replace(", not_null: true", ""))
    with hw.open(shop) as project:
        replayed = project.quarantine.replay("shop.*")
        assert [task.rows_written for task in replayed.tasks] == [1, 1]
        assert len({task.snapshot_id for task in replayed.tasks}) == 1
        assert project.quarantine.list() == []
        assert {task.status for task in project.quarantine.drop("source:shop", exclude=["shop.refunds"]).tasks} == {"skipped"}
