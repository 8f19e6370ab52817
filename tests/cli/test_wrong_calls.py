"""What is wrong is said in words, with a place and a way out: exit code 2, nothing but words on stderr, nothing on stdout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_without_a_project_the_folder_is_named_and_init_proposed(tmp_path: Path, hw: Any) -> None:
    done = hw(tmp_path, "ls", expect=2)
    assert "HW-P002" in done.err
    assert "headwater init" in done.err
    assert done.out == ""


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (["ls", "marts.revenu"], "HW-P003", "marts.revenue"),
        (["run", "tag:dayly"], "HW-P003", "daily"),
        (["query", "SELEC 1"], "HW-Q001", ""),
        (["query", "SELECT nothing FROM marts.revenue"], "HW-Q002", ""),
        (["query", "FROM marts.revenu"], "HW-", "marts.revenue"),
        (["query", "DROP TABLE marts.revenue"], "HW-Q004", "SELECT"),
        (["query", "FROM marts.revenue", "--at", "999999"], "HW-L010", ""),
        (["query", "FROM marts.revenue", "--at", "yesterday"], "HW-P005", ""),
        (["show", "marts.revenu"], "HW-P003", "marts.revenue"),
        (["show", "marts.revenue", "--cte", "nothing"], "HW-", ""),
        (["compile", "shop.orders"], "HW-P005", ""),
        (["lineage", "marts.revenue.revenu"], "HW-P003", "revenue"),
        (["source", "check", "shpo"], "HW-P003", "shop"),
        (["history", "nothing-such"], "HW-", "history"),
        (["logs", "nothing-such"], "HW-", "history"),
        (["run", "--from", "soon"], "HW-P005", "2026-01-31"),
        (["ls", "--var", "novalue"], "HW-P005", "NAME=VALUE"),
        (["ls", "--env", "nowhere"], "HW-P", ""),
        (["publish", "marts.revenu"], "HW-", "marts.revenue"),
        (["rollback"], "HW-P005", "headwater ls"),
        (["publish", "marts.revenue", "--force"], "HW-P005", "--reason"),
        (["quarantine", "show", "nothing-such"], "HW-P005", "quarantine list"),
        (["quarantine", "replay"], "HW-P005", "--table"),
        (["snapshots", "marts.revenu"], "HW-", "marts.revenue"),
        (["restore", "no-such-folder"], "HW-", ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_call_ends_with_2_and_a_way_out(built: Path, arguments: list[str], code: str, hint: str, hw: Any) -> None:
    done = hw(built, *arguments, expect=2)
    assert code in done.err
    assert hint in done.err
    assert done.out == ""


def test_an_option_that_does_not_exist_ends_with_2(built: Path, hw: Any) -> None:
    assert "No such option" in hw(built, "run", "--nothing-such", expect=2).err
    told = hw(built, "query", "SELECT 1", "--format", "xml", expect=2).err
    assert "'xml' is not one of" in told
    assert "Value error" not in told
    assert "No such command" in hw(built, "nothing-such", expect=2).err


def test_all_that_is_wrong_in_a_project_is_said_at_once_with_its_place(make_shop: Callable[..., Path], hw: Any) -> None:
    changes = {
        "headwater.yaml": "name: shop\ntimezoen: UTC\n",
        "sources/bad.yaml": "type: fiels\nstreams: {a: {path: x.csv}}\n",
        "models/marts/broken.sql": "SELEC 1",
        "models/marts/lost.sql": "SELECT * FROM staging.ordrs",
        "models/marts/a.sql": "FROM marts.b",
        "models/marts/b.sql": "FROM marts.a",
    }
    bad = make_shop(changes)
    done = hw(bad, "ls", expect=2)
    for told in (
        "headwater.yaml:2",
        "timezone",
        "sources/bad.yaml:1",
        "files",
        "models/marts/broken.sql:1",
        "models/marts/lost.sql:1",
        "staging.orders",
        "cycle",
    ):
        assert told in done.err, told
    linted = hw(bad, "lint", "--json", expect=2).json
    assert {problem["path"] for problem in linted} >= {
        "headwater.yaml",
        "sources/bad.yaml",
        "models/marts/broken.sql",
        "models/marts/lost.sql",
    }


def test_a_source_that_is_not_there_fails_its_branch_alone(shop: Path, hw: Any) -> None:
    (shop / "data" / "customers.csv").unlink()
    done = hw(shop, "run", "--json", expect=1)
    statuses = {task["table"]: task["status"] for task in done.json["tasks"]}
    assert statuses["shop.orders"] == "succeeded"
    assert statuses["staging.orders"] == "succeeded"
    assert statuses["shop.customers"] == "failed"
    assert statuses["marts.revenue"] == "blocked"
    assert "data/customers.csv" in str(done.json)


def test_a_bug_is_called_one_and_its_trace_shown_with_debug_only(shop: Path, tmp_path: Path, installed: Any) -> None:
    broken = "import headwater.cli.reports as r\n\ndef fail(*a):\n    raise RuntimeError('secret value')\n\nr.listing = fail\n"
    (tmp_path / "sitecustomize.py").write_text(broken)
    done = installed(shop, "ls", expect=1, env={"PYTHONPATH": str(tmp_path)})
    assert "HW-BUG RuntimeError" in done.err
    assert "--debug" in done.err
    assert "secret value" not in done.err
    shown = installed(shop, "ls", "--debug", expect=1, env={"PYTHONPATH": str(tmp_path)}, may_trace=True)
    assert "Traceback" in shown.err


def test_an_interval_without_a_model_to_restate_is_told(shop: Path, hw: Any) -> None:
    said = hw(shop, "run", "--from", "2024-01-01", expect=2).err
    assert "nothing to restate" in said
    assert "time_column" in said
