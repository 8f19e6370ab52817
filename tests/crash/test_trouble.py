"""Trouble other than a crash: a writer stopped past its lease, two at once, clocks, disks, lost and older state."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from crashing import Zygote
from shop import Shop

SHORT_LEASE = {"HEADWATER_LEASE_SECONDS": "0.8"}


def wait_until_stopped(pid: int) -> None:
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline, "it never came to the instant it stops at"
        time.sleep(0.005)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
@pytest.mark.parametrize("instant", ["run.computed:1", "run.flushing:1", "commit.begun:1"])
def test_a_writer_stopped_past_its_lease_is_fenced_when_it_wakes(zygote: Zygote, shop: Shop, instant: str) -> None:
    shop.grow()
    assert zygote.run(shop.directory)["status"] == "succeeded"
    shop.grow()
    sleeper = zygote.start("run", shop.directory, environ={**SHORT_LEASE, "HEADWATER_KILL_AT": f"{instant}:stop"})
    wait_until_stopped(sleeper)
    time.sleep(0.9)
    other = zygote.run(shop.directory)
    assert other["status"] == "succeeded", other
    zygote.check_everything(shop)
    os.kill(sleeper, signal.SIGCONT)
    woken = zygote.wait(sleeper)
    assert woken["status"] == "failed", woken
    assert "HW-L002" in {code for _, code, _ in woken["tasks"].values()}
    zygote.check_everything(shop)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
def test_a_writer_that_wakes_with_an_older_model_does_not_undo_the_newer(zygote: Zygote, sqlite_shop: Shop) -> None:
    sqlite_shop.grow()
    assert zygote.run(sqlite_shop.directory)["status"] == "succeeded"
    model = sqlite_shop.directory / "models/marts/total.sql"
    text = model.read_text()
    model.write_text(text.replace("count(*) AS n", "-1 AS n"))
    sleeper = zygote.start("run", sqlite_shop.directory, environ={**SHORT_LEASE, "HEADWATER_KILL_AT": "run.flushing:1:stop"})
    wait_until_stopped(sleeper)
    time.sleep(0.9)
    model.write_text(text + "-- mended\n")
    assert zygote.run(sqlite_shop.directory, is_full_refresh=True)["status"] == "succeeded"
    os.kill(sleeper, signal.SIGCONT)
    woken = zygote.wait(sleeper)
    assert woken["tasks"]["marts.total"][1] == "HW-L002", woken
    zygote.check_everything(sqlite_shop)


def test_a_writer_woken_before_the_other_commits_costs_the_other_its_run_and_nothing_else(zygote: Zygote, shop: Shop) -> None:
    shop.grow()
    sleeper = zygote.start("run", shop.directory, environ={**SHORT_LEASE, "HEADWATER_KILL_AT": "run.flushing:1:stop"})
    wait_until_stopped(sleeper)
    time.sleep(0.9)
    other = zygote.start("run", shop.directory, environ={"HEADWATER_KILL_AT": "run.flushing:1:stop"})
    wait_until_stopped(other)
    os.kill(sleeper, signal.SIGCONT)
    first = zygote.wait(sleeper)
    os.kill(other, signal.SIGCONT)
    second = zygote.wait(other)
    assert sorted((first["status"], second["status"])) == ["failed", "succeeded"], (first, second)
    assert zygote.run(shop.directory)["status"] == "succeeded"
    zygote.check_everything(shop)


def test_two_runs_of_the_same_tables_at_once_never_double_a_row(zygote: Zygote, shop: Shop) -> None:
    for _ in range(2):
        shop.grow()
        pids = [zygote.start("run", shop.directory) for _ in range(3)]
        answers = [zygote.wait(pid) for pid in pids]
        assert any(answer.get("status") == "succeeded" for answer in answers), answers
        assert all(answer.get("status") == "succeeded" or answer.get("error") == "HW-T001" for answer in answers), answers
        zygote.check_everything(shop)


def test_two_runs_of_different_tables_at_once_both_succeed(zygote: Zygote, shop: Shop) -> None:
    for _ in range(2):
        shop.grow()
        pids = [zygote.start("run", shop.directory, include=include) for include in (["+marts.total"], ["+marts.visits"])]
        answers = [zygote.wait(pid) for pid in pids]
        assert [answer.get("status") for answer in answers] == ["succeeded", "succeeded"], answers
    assert zygote.run(shop.directory)["status"] == "succeeded"
    zygote.check_everything(shop)


def test_a_clock_that_jumps_back_loses_and_doubles_nothing(zygote: Zygote, sqlite_shop: Shop) -> None:
    for ahead in (86_400, 0, 3_600, -86_400):
        sqlite_shop.grow()
        answer = zygote.run(sqlite_shop.directory, clock_ahead=ahead)
        assert answer["status"] == "succeeded", answer
        zygote.check_everything(sqlite_shop)


def test_a_lease_from_the_future_is_no_obstacle(zygote: Zygote, sqlite_shop: Shop) -> None:
    sqlite_shop.grow()
    killed = zygote.run(sqlite_shop.directory, clock_ahead=86_400, environ={"HEADWATER_KILL_AT": "run.computed:1"})
    assert killed["killed"]
    assert zygote.run(sqlite_shop.directory)["status"] == "succeeded"
    zygote.check_everything(sqlite_shop)


def test_a_full_disk_is_a_clear_error_and_the_next_run_goes_on(zygote: Zygote, sqlite_shop: Shop) -> None:
    sqlite_shop.grow()
    assert zygote.run(sqlite_shop.directory)["status"] == "succeeded"
    with sqlite3.connect(sqlite_shop.directory / "shop.sqlite") as connection:
        rows = [(number, number % 7, "2026-02-02", number, 50) for number in range(100_000, 400_000)]
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", rows)
    answer = zygote.run(sqlite_shop.directory, file_size_limit=400_000)
    text = str(answer)
    assert "Traceback" not in text, text
    assert answer.get("status") == "failed" or answer.get("error", "").startswith("HW-"), text
    zygote.check_published(sqlite_shop)
    assert zygote.run(sqlite_shop.directory)["status"] == "succeeded"
    zygote.check_everything(sqlite_shop)


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[None]:
    path.mkdir(parents=True)
    if os.system(f"mount -t tmpfs -o size={size} none {path} 2>/dev/null") != 0:
        pytest.skip("no small file system can be mounted here")
    try:
        yield
    finally:
        os.system(f"umount -l {path}")


def test_a_small_disk_that_fills_up_is_a_clear_error(zygote: Zygote, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "6m"):
        shop = Shop(tmp_path / "disk" / "shop").create()
        shop.grow()
        assert zygote.run(shop.directory)["status"] == "succeeded"
        filler = tmp_path / "disk" / "filler"
        filler.write_bytes(b"x" * (shutil.disk_usage(tmp_path / "disk").free - 60_000))
        shop.grow()
        answer = zygote.run(shop.directory)
        assert "Traceback" not in str(answer), answer
        assert answer.get("status") == "failed" or answer.get("error", "").startswith("HW-"), answer
        filler.unlink()
        assert zygote.run(shop.directory)["status"] == "succeeded"
        zygote.check_everything(shop)


def test_a_lake_that_can_not_be_written_says_so(zygote: Zygote, sqlite_shop: Shop) -> None:
    sqlite_shop.grow()
    assert zygote.run(sqlite_shop.directory)["status"] == "succeeded"
    sqlite_shop.grow()
    data = sqlite_shop.directory / ".headwater"
    if os.system(f"mount --bind {data} {data} 2>/dev/null && mount -o remount,ro,bind {data} 2>/dev/null") != 0:
        pytest.skip("nothing can be mounted read-only here")
    try:
        answer = zygote.run(sqlite_shop.directory)
        assert answer.get("error", "").startswith("HW-"), answer
        assert answer["error"] != "HW-0000", answer
    finally:
        os.system(f"umount -l {data}")
    assert zygote.run(sqlite_shop.directory)["status"] == "succeeded"
    zygote.check_everything(sqlite_shop)


def remove_state(shop: Shop) -> None:
    for file in (shop.directory / ".headwater").glob("state.sqlite*"):
        file.unlink()


def test_a_lost_state_store_is_begun_anew_from_the_lake(zygote: Zygote, shop: Shop) -> None:
    for _ in range(2):
        shop.grow()
        assert zygote.run(shop.directory)["status"] == "succeeded"
    remove_state(shop)
    assert {status for status, _, _ in zygote.run(shop.directory)["tasks"].values()} == {"skipped"}
    shop.grow()
    assert zygote.run(shop.directory)["status"] == "succeeded"
    zygote.check_everything(shop)
    with sqlite3.connect(shop.directory / ".headwater/state.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM runs WHERE command = 'rebuilt from the lake'").fetchone()[0] > 0


def test_an_older_state_beside_a_newer_lake_is_safe(zygote: Zygote, sqlite_shop: Shop) -> None:
    sqlite_shop.grow()
    assert zygote.run(sqlite_shop.directory)["status"] == "succeeded"
    shutil.copy(sqlite_shop.directory / ".headwater/state.sqlite", sqlite_shop.directory / "old.sqlite")
    for _ in range(3):
        sqlite_shop.grow()
        assert zygote.run(sqlite_shop.directory)["status"] == "succeeded"
    remove_state(sqlite_shop)
    shutil.copy(sqlite_shop.directory / "old.sqlite", sqlite_shop.directory / ".headwater/state.sqlite")
    sqlite_shop.grow()
    answer = zygote.run(sqlite_shop.directory)
    assert answer["status"] == "succeeded", "its tokens begin above the lake's"
    zygote.check_everything(sqlite_shop)


def test_an_older_lake_beside_a_newer_state_reads_the_source_again(zygote: Zygote, sqlite_shop: Shop) -> None:
    sqlite_shop.grow()
    assert zygote.run(sqlite_shop.directory)["status"] == "succeeded"
    folder = sqlite_shop.directory / ".headwater"
    shutil.copytree(folder, sqlite_shop.directory / "copy")
    sqlite_shop.grow()
    assert zygote.run(sqlite_shop.directory)["status"] == "succeeded"
    for file in folder.glob("lake.sqlite*"):
        file.unlink()
    for file in (sqlite_shop.directory / "copy").glob("lake.sqlite*"):
        shutil.copy(file, folder)
    answer = zygote.run(sqlite_shop.directory)
    assert answer["status"] == "succeeded", answer
    assert zygote.wait(zygote.start("check", sqlite_shop.directory))["wrong"] == []
