"""What was acknowledged stays so when an export, or a column at its destination, gets another name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from export_kit import Bench, customers, define, export, write

import headwater as hw
from commands import run_here
from headwater.state.exports import ExportRuns

BOTH = {"id": "id", "name": "name"}


def test_a_column_with_another_name_there_is_not_sent_again(bench: Bench) -> None:
    bench.rows({1: ("Ada", None), 2: ("Bo", None)})
    bench.run(export(columns=BOTH))
    before = len(bench.destination.batches)
    renamed = export(columns={"id": "id", "name": {"to": "called", "renamed_from": "name"}})
    assert bench.run(renamed, dry_run=True).status == "dry run"
    assert bench.run(renamed).status == "unchanged"
    # and it stays so when `renamed_from` is taken away
    assert bench.run(export(columns={"id": "id", "name": "called"})).status == "unchanged"
    assert len(bench.destination.batches) == before


def test_a_changed_row_is_sent_under_the_new_name_alone(bench: Bench) -> None:
    bench.rows({1: ("Ada", None), 2: ("Bo", None), 3: ("Cy", None)})
    bench.run(export(columns=BOTH))
    bench.rows({1: ("Ada!", None), 2: ("Bo", None)})
    result = bench.run(export(columns={"id": "id", "name": {"to": "called", "renamed_from": "name"}}))
    assert (result.inserted, result.updated, result.deleted) == (0, 1, 1)
    assert bench.run(export(columns={"id": "id", "name": "called"})).status == "unchanged"


def test_without_a_word_of_it_all_rows_are_sent_again(bench: Bench) -> None:
    bench.rows({1: ("Ada", None), 2: ("Bo", None)})
    bench.run(export(columns=BOTH))
    assert bench.run(export(columns={"id": "id", "name": "called"})).updated == 2


def test_a_row_refused_before_the_column_was_renamed_goes_on_waiting(bench: Bench) -> None:
    bench.rows({1: ("Ada", None), 2: ("Bo", None)})
    bench.destination.refuses = lambda row: row.get("name") == "Bo"
    assert bench.run(export(columns=BOTH)).dead == 1
    result = bench.run(export(columns={"id": "id", "name": {"to": "called", "renamed_from": "name"}}))
    assert (result.status, result.waiting) == ("unchanged", 1)


def test_a_run_that_died_before_the_renaming_goes_on_after_it(bench: Bench) -> None:
    def called(number: int) -> Any:
        former = {} if number == 0 else {"renamed_from": f"c{number - 1}"}
        return export(columns={"id": "id", "name": {"to": f"c{number}", **former}})

    for at in range(8):
        bench.rows(dict.fromkeys(range(at + 1, at + 6), (f"m{at}", None)))
        bench.die(at, called(at))
        bench.rows(dict.fromkeys(range(at + 2, at + 7), (f"m{at}", None)))
        bench.run(called(at + 1))
        newest = {str(key[0]): list(row.values())[-1] for key, row in bench.destination.rows.items()}
        assert newest == {key: values[1] for key, values in bench.seen().items()}


def test_an_export_with_another_name_goes_on_where_it_was(shop: Path) -> None:
    define(shop, {"files": {"path": "out", "format": "ndjson"}})
    run_here(shop, "export", "run")
    customers(shop, {number: f"n{number}" for number in range(1, 42)})
    run_here(shop, "run")
    spec = json.loads((shop / "exports/crm.yaml").read_text())["exports"]["crm"]
    write(shop, {"exports/crm.yaml": json.dumps({"exports": {"people": {**spec, "renamed_from": "crm"}}})})
    state = run_here(shop, "export", "status", "--json").json
    assert [(one["name"], one["newest"]["status"]) for one in state] == [("people", "succeeded")]
    dry = run_here(shop, "export", "run", "--dry-run", "--json").json[0]
    assert (dry["inserted"], dry["updated"]) == (1, 0)
    for inserted in (1, 0):
        done = run_here(shop, "export", "run", "people", "--json").json[0]
        assert (done["inserted"], done["updated"], done["deleted"]) == (inserted, 0, 0)
    write(shop, {"exports/crm.yaml": json.dumps({"exports": {"people": spec}})})
    assert run_here(shop, "export", "run", "--json").json[0]["status"] == "unchanged"


def test_a_renaming_that_was_cut_short_between_the_stores_is_finished(shop: Path) -> None:
    define(shop, {"files": {"path": "out", "format": "ndjson"}})
    run_here(shop, "export", "run")
    spec = json.loads((shop / "exports/crm.yaml").read_text())["exports"]["crm"]
    with hw.open(shop) as project:
        ExportRuns(project._session.state, "prod").take_over("people", "crm")
    write(shop, {"exports/crm.yaml": json.dumps({"exports": {"people": {**spec, "renamed_from": "crm"}}})})
    assert run_here(shop, "export", "run", "--json").json[0]["status"] == "unchanged"
    assert run_here(shop, "export", "status", "--json").json[0]["newest"]["status"] == "succeeded"


def test_exports_stand_in_lists_and_lineage(shop: Path) -> None:
    define(shop, {"files": {"path": "out"}}, columns={"id": "nr", "name": "called"})
    listed = {one["table"]: one["exports"] for one in run_here(shop, "ls", "--json").json}
    assert listed == {"shop.customers": [], "marts.customers": ["crm"]}
    assert "EXPORTS" in run_here(shop, "ls", "export:crm").out
    assert "export:crm.called" in run_here(shop, "lineage", "shop.customers.name", "--downstream").out
    assert "nr" not in run_here(shop, "lineage", "shop.customers.name", "--downstream").out
    assert "shop.customers.id" in run_here(shop, "lineage", "export:crm.nr", "--upstream").out
    define(shop, {"files": {"path": "out"}})
    assert "export:crm.city" in run_here(shop, "lineage", "marts.customers.city", "--downstream").out
    assert "export:crm" in run_here(shop, "lineage", "marts.customers", "--format", "mermaid").out
