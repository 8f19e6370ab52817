"""Each command answers: its exit code, its words for people, its JSON for programs."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer

from commands import all_commands
from headwater.cli.app import app


def test_the_commands_are_those_we_promise() -> None:
    assert {" ".join(name) for name in all_commands()} == {
        *("init", "ls", "lint", "schema", "lineage", "show", "compile", "check", "test"),
        *("source list", "source discover", "source check"),
        *("run", "retry", "status", "history", "logs", "doctor", "version"),
        *("query", "snapshots", "diff", "maintain", "backup", "restore"),
        *("quarantine list", "quarantine show", "quarantine replay", "quarantine drop"),
        *("publish", "rollback", "discard", "reload"),
        *("labels", "access explain"),
        *("user add", "user list", "user passwd", "user disable", "user enable", "user token", "user tokens", "user revoke"),
        *("access request", "access approve", "access revoke", "access list", "access review"),
        *("export list", "export check", "export run", "export status", "export dead list", "export dead retry", "export dead drop"),
        *("audit list", "audit verify", "audit anchor"),
        *("keys list", "keys init", "keys rotate", "secrets set", "secrets list", "secrets rm", "detokenize"),
        "serve",
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ls"], "marts.revenue"),
        (["ls", "+marts.best_day", "--exclude", "source:shop"], "staging.orders"),
        (["lint"], ""),
        (["schema"], "$schema"),
        (["lineage", "marts.revenue.revenue"], "shop.orders.amount"),
        (["lineage", "shop.orders", "--downstream"], "marts.best_day"),
        (["lineage", "marts.revenue", "--format", "mermaid"], "flowchart"),
        (["show", "marts.revenue"], "NO"),
        (["compile", "marts.revenue"], "'EUR'"),
        (["check"], "unique(day, country)"),
        (["test"], "orders of a day are summed"),
        (["source", "list"], "shop"),
        (["source", "discover", "shop"], "orders"),
        (["source", "check", "shop"], "shop"),
        (["status"], "marts.revenue"),
        (["history"], "succeeded"),
        (["history", "latest"], "marts.revenue"),
        (["logs", "latest"], "task_finished"),
        (["logs", "latest", "marts.revenue"], "marts.revenue"),
        (["doctor"], "lake"),
        (["version"], "headwater"),
        (["query", "SELECT country, revenue FROM marts.revenue ORDER BY ALL"], "10.50"),
        (["snapshots", "marts.revenue"], "SNAPSHOT"),
        (["quarantine", "list"], "shop.orders"),
        (["quarantine", "list", "--rows"], "amount"),
        (["maintain", "--dry-run"], ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_it_says_what_it_found(built: Path, arguments: list[str], says: str, hw: Any) -> None:
    done = hw(built, *arguments)
    assert says in done.out


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["ls"], list),
        (["lint"], list),
        (["lineage", "marts.revenue"], list),
        (["show", "marts.revenue", "--limit", "1"], list),
        (["compile", "marts.revenue"], dict),
        (["check"], list),
        (["test"], list),
        (["source", "list"], list),
        (["source", "discover", "shop"], dict),
        (["source", "check", "shop"], dict),
        (["status"], list),
        (["history"], list),
        (["history", "latest"], dict),
        (["logs", "latest"], list),
        (["doctor"], list),
        (["version"], dict),
        (["query", "FROM marts.revenue"], list),
        (["snapshots", "marts.revenue"], list),
        (["quarantine", "list"], list),
        (["quarantine", "list", "--rows"], list),
        (["maintain", "--dry-run"], dict),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_its_json_can_be_read(built: Path, arguments: list[str], kind: type, hw: Any) -> None:
    found = hw(built, *arguments, "--json").json
    assert isinstance(found, kind)
    assert found


def test_a_query_comes_in_every_format(built: Path, tmp_path: Path, hw: Any) -> None:
    sql = "SELECT country, sum(revenue) AS revenue FROM marts.revenue GROUP BY country ORDER BY country"
    assert hw(built, "query", sql, "--format", "json").json == [{"country": "NO", "revenue": 15.75}, {"country": "SE", "revenue": 20}]
    assert list(csv.reader(io.StringIO(hw(built, "query", sql, "--format", "csv").out))) == [["country", "revenue"], ["NO", "15.75"], ["SE", "20.00"]]
    assert hw(built, "query", "SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a", "--format", "json").json == [{"a": 1, "a_2": 2, "a_1": 3, "a_3": 4}]
    for format in ("arrow", "parquet", "csv", "json"):
        hw(built, "query", sql, "--format", format, "--output", str(tmp_path / format))
    assert pa.ipc.open_stream(tmp_path / "arrow").read_all().column("country").to_pylist() == ["NO", "SE"]
    assert pq.read_table(tmp_path / "parquet").num_rows == 2
    assert hw(built, "query", "-", "--format", "csv", input=sql).out.startswith("country,revenue\n")


def test_a_system_table_is_queried_like_any_other(built: Path, hw: Any) -> None:
    found = hw(built, "query", "SELECT count(*) AS n FROM headwater.loads WHERE table_name = 'revenue'", "--json").json
    assert found == [{"n": 1}]


def test_checks_come_as_junit_and_lint_as_sarif(built: Path, hw: Any) -> None:
    suites = ET.fromstring(hw(built, "check", "marts.revenue", "--format", "junit").out)
    assert [case.get("name") for case in suites.iter("testcase")] == ["unique(day, country)", "range(revenue)"]
    sarif = json.loads(hw(built, "lint", "--format", "sarif").out)
    assert sarif["version"] == "2.1.0"
    assert sarif["runs"][0]["tool"]["driver"]["name"] == "headwater"


def test_a_quarantined_row_is_shown_with_its_reason(built: Path, hw: Any) -> None:
    [row] = hw(built, "quarantine", "list", "--rows", "--json").json
    done = hw(built, "quarantine", "show", row["id"])
    assert "amount" in done.out
    assert "-7.00" in done.out
    [place] = [line.split() for line in done.out.splitlines() if line.startswith("place")]
    assert place == ["place", "data/orders1.csv:5"]
    assert "  data/orders1.csv:5  " in hw(built, "quarantine", "list", "--rows").out
    assert hw(built, "quarantine", "show", row["id"], "--json").json["id"] == row["id"]


def test_schemas_are_written_where_editors_look(shop: Path, hw: Any) -> None:
    hw(shop, "schema", "--write")
    written = list((shop / "schemas").glob("*.json"))
    assert written
    assert all(json.loads(path.read_text())["$schema"] for path in written)


def test_commands_work_from_another_folder_and_from_below(built: Path, tmp_path: Path, hw: Any) -> None:
    assert "marts.revenue" in hw(tmp_path, "ls", "-C", str(built)).out
    assert "marts.revenue" in hw(built / "models" / "marts", "ls").out


def test_help_and_version_need_no_project(tmp_path: Path, hw: Any) -> None:
    assert "quarantine" in hw(tmp_path, "--help").out
    assert hw(tmp_path, "--version").out.startswith("headwater ")
    for name in all_commands():
        assert "Usage" in hw(tmp_path, *name, "--help").out if name in {("run",), ("publish",)} else True


@pytest.mark.parametrize("verb", ["publish", "rollback", "discard", "reload"])
def test_the_help_of_the_four_verbs_tells_of_rows_and_positions(verb: str) -> None:
    command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]  # typer has no public type for it
    assert "Rows:" in command.help
    assert "Positions:" in command.help
