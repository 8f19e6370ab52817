"""After any changes of table and policies, deaths and runs, a run that ends leaves at the destination what the principal sees of the table."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path
from typing import Any

import pytest
from export_kit import Bench, bench_of, export, open_bench, policies
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from lakes import drop_schema, make_place

from headwater.state.store import StateStore
from services import require_postgres

ROWS = st.dictionaries(
    st.integers(1, 6), st.tuples(st.sampled_from(["Ada", "Bo", "", "x'y", None]), st.sampled_from(["Oslo", "Bergen", None])), max_size=6
)
RULES = st.tuples(st.sampled_from([None, "city = 'Oslo'", "id > 2"]), st.sampled_from([None, "redact", "null", "hash"]))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("rows"), ROWS),
        st.tuples(st.just("rules"), RULES),
        st.tuples(st.just("die"), st.integers(0, 9)),
        st.tuples(st.just("run"), st.none()),
        st.tuples(st.just("refuse"), st.sampled_from(["Bo", "", None])),
        st.tuples(st.just("forget"), st.none()),
    ),
    min_size=2,
    max_size=9,
)


@settings(max_examples=15, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_the_destination_equals_the_table_as_the_principal_sees_it(steps: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder, open_bench(Path(folder)) as bench:
        bench.rows({1: ("Ada", "Oslo")})
        for number, (step, value) in enumerate(steps):
            _do(bench, number, step, value)
        bench.destination.refuses = lambda row: False
        bench.run()
        ledger = bench.lake.exported("crm")
        ledger.change_dead([letter.id for letter in ledger.dead_letters()], drop=False)
        bench.run()
        assert bench.held() == bench.seen()
        sent = len(bench.destination.batches)
        assert bench.run().status == "unchanged"
        assert len(bench.destination.batches) == sent


def _do(bench: Bench, number: int, step: str, value: Any) -> None:
    match step:
        case "rows":
            bench.rows(value)
        case "rules":
            bench.policies = policies(f"step {number}", where=value[0], mask=value[1])
        case "die":
            bench.die(value)
        case "refuse":  # rows of that name; None: no more
            bench.destination.refuses = lambda row: value is not None and row.get("name") == value
        case "forget":  # the state store is lost, or an older one came back
            bench.state.write(lambda connection: connection.exec_driver_sql("DELETE FROM export_runs"))
        case _:
            bench.run()
            waiting = {letter.key[0] for letter in bench.lake.exported("crm").dead_letters()}
            assert {key: row for key, row in bench.held().items() if key not in waiting} == {
                key: row for key, row in bench.seen().items() if key not in waiting
            }


@pytest.mark.parametrize("at", range(12))
def test_a_row_that_was_sent_and_is_gone_before_the_next_run_is_deleted(bench: Bench, at: int) -> None:
    bench.rows({1: ("Ada", None), 2: ("Bo", None), 3: ("Cy", None), 4: ("Di", None), 5: ("Ed", None)})
    died = bench.die(at)
    bench.rows({5: ("Ed", None)})
    bench.run()
    assert bench.held() == bench.seen()
    assert died or at > 10


def test_a_batch_tried_again_has_the_same_id_and_a_later_one_with_the_same_rows_another(bench: Bench) -> None:
    bench.rows({1: ("Ada", None)})
    assert bench.die(1)  # applied, not acknowledged
    bench.run()
    bench.rows({1: ("Bo", None)})
    bench.run()
    bench.rows({1: ("Ada", None)})
    bench.run()
    first, again, other, back = [batch.id for batch in bench.destination.batches]
    assert first == again
    assert len({first, other, back}) == 3
    ids = [batch.row_ids for batch in bench.destination.batches]
    assert ids[0] == ids[1]
    assert ids[3] != ids[0]


def test_what_was_acknowledged_before_a_death_is_not_sent_again(bench: Bench) -> None:
    bench.rows(dict.fromkeys(range(1, 8), ("x", None)))
    assert bench.die(7)  # the plan, then each batch is applied, sent and acknowledged
    before = len(bench.destination.batches)
    assert before == 3
    bench.run()
    keys = [row for batch in bench.destination.batches for row in batch.rows.column(0).to_pylist()]
    assert len(keys) == 7 + 2  # the third batch was on its way
    assert bench.held() == bench.seen()


def test_a_full_run_sends_everything_and_still_deletes(bench: Bench) -> None:
    bench.rows({1: ("Ada", None), 2: ("Bo", None)})
    bench.run()
    bench.destination.rows.pop(("1",))  # somebody deleted it there
    bench.rows({1: ("Ada", None)})
    result = bench.run(is_full=True)
    assert (result.inserted, result.updated, result.deleted) == (0, 1, 1)
    assert bench.held() == bench.seen()


def test_another_place_gets_everything(bench: Bench) -> None:
    bench.rows({1: ("Ada", None)})
    bench.run()
    bench.destination.rows.clear()
    bench.destination.identity = "another"
    assert bench.run().is_full
    assert bench.held() == bench.seen()


def test_renamed_columns_are_sent_anew(bench: Bench) -> None:
    bench.rows({1: ("Ada", "Oslo")})
    bench.run(export(columns={"id": "id", "name": "name"}))
    bench.destination.rows.clear()
    bench.run(export(columns={"name": "mail", "id": "nr"}))
    assert bench.destination.rows == {("1",): {"mail": "Ada", "nr": "1"}}
    bench.rows({})
    bench.run(export(columns={"name": "mail", "id": "nr"}))
    assert bench.destination.rows == {}


def test_a_key_of_several_columns_of_other_types(bench: Bench) -> None:
    bench.sql("SELECT DATE '2024-01-01' + i::INTEGER AS day, (i / 4)::DECIMAL(9,2) AS part, i AS n FROM range(5) t(i)")
    spec = export(key=["part", "day"])
    bench.run(spec)
    assert len(bench.destination.rows) == 5
    bench.sql("SELECT DATE '2024-01-03' AS day, 0.50::DECIMAL(9,2) AS part, 2 AS n")
    result = bench.run(spec)
    assert (result.updated, result.deleted) == (1, 4)
    assert list(bench.destination.rows) == [("0.50", "2024-01-03")]


@pytest.mark.parametrize("kind", ["sqlite-encrypted", "postgres", "postgres-encrypted"])
def test_on_every_kind_of_lake_and_state_store(tmp_path: Path, kind: str) -> None:
    catalog, _, encrypted = kind.partition("-")
    url = "state.sqlite" if catalog == "sqlite" else f"{require_postgres()}?schema=hw_export_{uuid.uuid4().hex[:10]}"
    try:
        with make_place(tmp_path, catalog, encrypted=bool(encrypted)) as place, StateStore.open(url, tmp_path) as state:
            bench = bench_of(place, state, tmp_path)
            bench.rows({1: ("Ada", None), 2: ("Bo", None), 3: ("Cy", None)})
            for at in (1, 3, 5):
                bench.die(at)
            bench.rows({2: ("Bo!", None), 4: ("Di", None)})
            bench.destination.refuses = lambda row: row.get("name") == "Di"
            bench.run()
            assert [letter.key for letter in bench.lake.exported("crm").dead_letters()] == [("4",)]
            bench.destination.refuses = lambda row: False
            bench.lake.exported("crm").change_dead([letter.id for letter in bench.lake.exported("crm").dead_letters()], drop=False)
            bench.run()
            assert bench.held() == bench.seen()
            assert bench.lake.check_consistency() == []
    finally:
        if catalog == "postgres":
            drop_schema(url.partition("?schema=")[2])
