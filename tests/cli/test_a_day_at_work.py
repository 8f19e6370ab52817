"""The whole way through the installed command: from nothing to published tables, through change, trouble and repair."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest


def statuses(run: dict[str, Any]) -> dict[str, str]:
    return {task["table"]: task["status"] for task in run["tasks"]}


def revenue(hw: Any, folder: Path, *options: str) -> dict[str, float]:
    rows = hw(folder, "query", "SELECT country, sum(revenue) AS revenue FROM marts.revenue GROUP BY country", "--json", *options).json
    return {row["country"]: row["revenue"] for row in rows}


def test_from_init_to_rows_that_people_can_query(tmp_path: Path, installed: Any) -> None:
    told = installed(tmp_path, "init", "mine")
    assert "headwater run" in told.err
    project = tmp_path / "mine"
    ran = installed(project, "run")
    assert "next:" in ran.err
    assert "headwater status" in ran.err
    assert ran.out == ""
    tables = installed(project, "status", "--json").json
    assert tables
    assert {table["status"] for table in tables} == {"fresh"}
    model = next(table["table"] for table in tables if table["kind"] != "stream")
    assert installed(project, "query", f"SELECT count(*) AS n FROM {model}", "--json").json[0]["n"] > 0
    installed(project, "lint")
    installed(project, "test")
    assert (project / ".gitignore").exists()
    assert "HW-P" in installed(tmp_path, "init", "mine", expect=2).err


def test_a_run_tells_every_table_and_a_second_does_nothing(shop: Path, hw: Any) -> None:
    first = hw(shop, "run")
    for table in ("shop.orders", "shop.customers", "staging.orders", "marts.revenue", "marts.best_day"):
        assert table in first.err
    assert "1 to quarantine" in first.err
    assert "headwater quarantine list" in first.err
    second = hw(shop, "run", "marts.*", "staging.*", "--json").json
    assert set(statuses(second).values()) == {"skipped"}
    assert all(task["reason"] for task in second["tasks"])


def test_a_changed_model_rebuilds_only_what_depends_on_it(shop: Path, hw: Any) -> None:
    hw(shop, "run")
    model = shop / "models" / "marts" / "revenue.sql"
    model.write_text(model.read_text().replace("sum(o.amount) AS revenue", "sum(o.amount) * 2 AS revenue"))
    assert [line["table"] for line in hw(shop, "ls", "state:modified", "--json").json] == ["marts.revenue"]
    assert {table["table"]: table["status"] for table in hw(shop, "status", "--json").json}["marts.revenue"] == "stale"
    found = statuses(hw(shop, "run", "--json").json)
    assert {table for table, status in found.items() if status == "succeeded" and table.startswith(("marts", "staging"))} == {
        "marts.revenue",
        "marts.best_day",
    }
    assert found["marts.countries"] == "skipped"
    assert revenue(hw, shop) == {"NO": 31.5, "SE": 40}


def test_a_failed_check_holds_a_table_until_it_is_published_by_force_and_rolled_back(shop: Path, hw: Any) -> None:
    hw(shop, "run")
    before = revenue(hw, shop)
    model = shop / "models" / "marts" / "revenue.sql"
    good = model.read_text()
    model.write_text(good.replace("sum(o.amount) AS revenue", "-sum(o.amount) AS revenue"))

    held = hw(shop, "run", expect=1)
    assert "marts.revenue held" in held.err
    assert "range(revenue)" in held.err
    assert "headwater publish marts.revenue --force" in held.err
    assert revenue(hw, shop) == before
    assert revenue(hw, shop, "--head") == {"NO": -15.75, "SE": -20}
    status = hw(shop, "status", "--json", expect=1).json
    assert {table["table"]: table["status"] for table in status}["marts.revenue"] == "held"
    assert "range(revenue)" in hw(shop, "check", "marts.revenue", expect=1).out

    assert "range(revenue)" in hw(shop, "publish", "marts.revenue", expect=1).err
    assert revenue(hw, shop) == before
    hw(shop, "publish", "marts.revenue", "--force", "--reason", "seen and wanted")
    assert revenue(hw, shop) == {"NO": -15.75, "SE": -20}

    hw(shop, "rollback", "marts.revenue", "--reason", "not wanted after all")
    assert revenue(hw, shop) == before
    assert {t["table"]: t["status"] for t in hw(shop, "status", "--json").json}["marts.revenue"] == "pinned"
    model.write_text(good)
    hw(shop, "run")
    hw(shop, "publish", "marts.revenue")
    assert revenue(hw, shop) == before


def test_what_is_held_can_be_discarded(shop: Path, hw: Any) -> None:
    hw(shop, "run")
    before = revenue(hw, shop)
    model = shop / "models" / "marts" / "revenue.sql"
    model.write_text(model.read_text().replace("sum(o.amount) AS revenue", "-sum(o.amount) AS revenue"))
    hw(shop, "run", expect=1)
    hw(shop, "discard", "-s", "marts.*,path:models", "--exclude", "source:shop", "--reason", "a sign error")
    assert revenue(hw, shop) == revenue(hw, shop, "--head") == before


def test_quarantined_rows_are_replayed_by_a_corrected_contract(shop: Path, hw: Any) -> None:
    hw(shop, "run")
    [waiting] = hw(shop, "quarantine", "list", "--json").json
    assert waiting["table"] == "shop.orders"
    assert waiting["rows"] == 1
    refused = hw(shop, "quarantine", "replay", "--table", "shop.orders", "--json").json
    assert refused["tasks"][0]["rows_written"] == 0

    source = shop / "sources" / "shop.yaml"
    source.write_text(source.read_text().replace("range: {min: 0}", "range: {min: -100}"))
    done = hw(shop, "quarantine", "replay", "--table", "shop.orders", "--json").json
    assert done["tasks"][0]["rows_written"] == 1
    assert hw(shop, "quarantine", "list", "--json").json == []
    assert hw(shop, "query", "SELECT amount FROM shop.orders WHERE id = 4", "--json").json == [{"amount": -7}]
    hw(shop, "quarantine", "replay", "--table", "shop.orders")
    assert hw(shop, "query", "SELECT count(*) AS n FROM shop.orders", "--json").json == [{"n": 4}]


def test_quarantined_rows_can_be_dropped(shop: Path, hw: Any) -> None:
    hw(shop, "run")
    [row] = hw(shop, "quarantine", "list", "--rows", "--json").json
    hw(shop, "quarantine", "drop", row["id"])
    assert hw(shop, "quarantine", "list", "--json").json == []


def test_new_files_are_loaded_and_the_difference_is_shown(shop: Path, hw: Any) -> None:
    hw(shop, "run")
    (shop / "data" / "orders2.csv").write_text("id,customer_id,ordered_at,amount\n5,2,2024-01-03 08:00:00,1.00\n1,1,2024-01-01 10:00:00,11.50\n")
    assert {t["table"]: t["rows_written"] for t in hw(shop, "run", "--json").json["tasks"]}["shop.orders"] == 2
    kept = hw(shop, "snapshots", "shop.orders", "--json").json
    assert len(kept) >= 2
    oldest = str(min(version["snapshot_id"] for version in kept))
    diff = hw(shop, "diff", "shop.orders", "--from", oldest, "--json").json
    assert (diff["added"], diff["changed"], diff["removed"]) == (1, 1, 0)
    shown = hw(shop, "diff", "shop.orders", "--from", oldest)
    assert "added" in shown.out + shown.err
    assert revenue(hw, shop, "--at", oldest)


def test_a_stream_is_reloaded_from_its_beginning(shop: Path, hw: Any) -> None:
    hw(shop, "run")
    done = hw(shop, "reload", "shop.orders", "--json").json
    assert statuses(done)["shop.orders"] == "succeeded"
    assert hw(shop, "query", "SELECT count(*) AS n FROM shop.orders", "--json").json == [{"n": 3}]


def test_retry_runs_what_failed_and_what_waited_for_it(shop: Path, hw: Any) -> None:
    model = shop / "models" / "marts" / "countries.sql"
    good = model.read_text()
    model.write_text("SELECT country, (1 / 0)::INTEGER // count(*) AS customers, error('never') AS e FROM shop.customers GROUP BY country\n")
    failed = hw(shop, "run", expect=1)
    assert "marts.countries failed" in failed.err
    assert "headwater retry" in failed.err
    model.write_text(good)
    assert statuses(hw(shop, "retry", "--json").json)["marts.countries"] == "succeeded"


def test_a_backup_is_restored(shop: Path, tmp_path: Path, hw: Any) -> None:
    hw(shop, "run")
    before = revenue(hw, shop)
    hw(shop, "backup", str(tmp_path / "saved"))
    (shop / "data" / "orders2.csv").write_text("id,customer_id,ordered_at,amount\n5,2,2024-01-03 08:00:00,1000.00\n")
    hw(shop, "run")
    assert revenue(hw, shop) != before
    hw(shop, "restore", str(tmp_path / "saved"), expect=2)
    hw(shop, "restore", str(tmp_path / "saved"), "--force")
    assert revenue(hw, shop) == before
    hw(shop, "doctor")
    hw(shop, "run")
    assert revenue(hw, shop) != before


def test_a_backup_in_a_folder_named_from_here_brings_the_state_back_too(shop: Path, hw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)
    hw(shop, "run")
    hw(shop, "backup", "saved/first")
    kept = {path: path.stat().st_size for path in Path("saved").rglob("*") if path.is_file()}
    hw(shop, "run")
    hw(shop, "restore", "saved/first", "--force")
    assert len(hw(shop, "history", "--json").json) == 1
    assert {path: path.stat().st_size for path in Path("saved").rglob("*") if path.is_file()} == kept, "a backup isn't written to"


def test_doctor_tells_a_catalog_that_is_gone_from_one_that_was_never_made(shop: Path, hw: Any) -> None:
    assert "there is none yet" in hw(shop, "doctor").out
    hw(shop, "run")
    (shop / ".headwater" / "lake.sqlite").unlink()
    assert "headwater restore DIR" in hw(shop, "doctor", expect=1).out


def test_maintain_keeps_what_readers_see(shop: Path, hw: Any) -> None:
    for _ in range(3):
        hw(shop, "run", "--full-refresh")
    before = revenue(hw, shop)
    assert "snapshots of the last hour stay" in hw(shop, "maintain", "--keep", "0s").out
    assert "snapshots of the last hour stay" not in hw(shop, "maintain", "--keep", "2h", "--dry-run").out
    assert revenue(hw, shop) == before
    hw(shop, "doctor")


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_stops_a_run_cleanly_and_the_next_goes_on(shop: Path, hw: Any) -> None:
    slow = "SELECT count(*) AS n FROM range(100000000) a, range(100000) b, shop.customers"
    (shop / "models" / "marts" / "slow.sql").write_text(slow)
    program = Path(sys.executable).with_name("headwater")
    process = subprocess.Popen(
        [program, "run"], cwd=shop, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"}
    )
    assert process.stderr is not None
    lines = []
    try:
        for line in process.stderr:
            lines.append(line)
            if "building marts.slow" in line:
                break
        time.sleep(0.3)  # let the engine begin with it
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 1, "".join(lines) + err
    assert "Traceback" not in err
    assert "Ctrl-C again" in err
    assert hw(shop, "history", "latest", "--json").json["status"] == "cancelled"
    (shop / "models" / "marts" / "slow.sql").unlink()
    hw(shop, "run")
    assert revenue(hw, shop) == {"NO": 15.75, "SE": 20}
