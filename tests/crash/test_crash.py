"""Killed at every boundary and at random instants: nothing lost, nothing doubled, readers see what fits together."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from crashing import Zygote, catalog_url
from shop import Shop

#: Instants every run with something to do passes, and how often the short form lets it pass before the kill.
BOUNDARIES = [
    ("run.leased", 1),
    ("commit.after", 1),
    ("lake.staged", 5),
    ("commit.before", 1),
    ("commit.after", 2),
    ("run.computed", 4),
    ("commit.deleted", 3),
    ("commit.before", 2),
    ("commit.after", 3),
    ("commit.inserted", 1),
    ("commit.begun", 2),
    ("run.flushing", 3),
    ("commit.recorded", 1),
    ("run.flushed", 2),
    ("run.finished", 1),
]


def kill_at(zygote: Zygote, shop: Shop, name: str, number: int, flush_seconds: float) -> bool:
    """One run that kills itself; whether it came to that."""
    answer = zygote.run(shop.directory, environ={"HEADWATER_KILL_AT": f"{name}:{number}"}, flush_seconds=flush_seconds)
    bad = {table: told for table, told in answer.get("tasks", {}).items() if told[0] not in ("succeeded", "skipped")}
    assert answer["killed"] or answer.get("status") == "succeeded", bad or answer
    return bool(answer["killed"])


def undisturbed(zygote: Zygote, shop: Shop) -> None:
    answer = zygote.run(shop.directory)
    assert answer.get("status") == "succeeded", answer
    zygote.check_everything(shop)


def test_killed_at_every_boundary_of_a_run(zygote: Zygote, shop: Shop) -> None:
    shop.grow()
    kills = 0
    for index, (name, number) in enumerate(BOUNDARIES):
        kills += kill_at(zygote, shop, name, number, flush_seconds=5.0 if index % 3 == 0 else 0.0)
        zygote.check_published(shop)
        shop.grow()
    assert kills >= len(BOUNDARIES) - 4
    undisturbed(zygote, shop)
    assert {task[0] for task in zygote.run(shop.directory)["tasks"].values()} == {"skipped"}


def test_killed_at_random_instants(zygote: Zygote, shop: Shop) -> None:
    chance = random.Random(7)
    for _ in range(5):
        shop.grow()
        kill_after(zygote, shop, chance.uniform(0.05, 0.8), chance.choice([0.0, 5.0]))
        zygote.check_published(shop)
    undisturbed(zygote, shop)


def test_what_a_killed_run_left_unpublished_is_published_by_the_next(zygote: Zygote, sqlite_shop: Shop) -> None:
    waiting = 0
    for number in (2, 3, 4):
        sqlite_shop.grow()
        kill_at(zygote, sqlite_shop, "commit.after", number, flush_seconds=0.0)
        waiting += len(zygote.wait(zygote.start("check", sqlite_shop.directory))["waiting"])
        undisturbed(zygote, sqlite_shop)
    assert waiting, "no kill came between a model's commit and its publication"


def kill_after(zygote: Zygote, shop: Shop, seconds: float, flush_seconds: float) -> bool:
    pid = zygote.start("run", shop.directory, flush_seconds=flush_seconds)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    answer = zygote.wait(pid)
    bad = {table: told for table, told in answer.get("tasks", {}).items() if told[0] not in ("succeeded", "skipped")}
    assert answer["killed"] or answer.get("status") == "succeeded", bad or answer
    return bool(answer["killed"])


@pytest.mark.stress
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_hundreds_of_kills(zygote: Zygote, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    rounds = int(os.environ.get("HEADWATER_STRESS_ROUNDS", "300"))
    seed = int(os.environ.get("HEADWATER_STRESS_SEED", str(time.time_ns() % 100_000)))
    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    started = time.monotonic()
    names = sorted({name for name, _ in BOUNDARIES} | {"*"})
    with catalog_url(kind) as url:
        shop = Shop(tmp_path / "shop", url, seed=seed).create()
        shop.grow()
        for number in range(1, rounds + 1):
            if chance.random() < 0.8:
                shop.grow()
            flush_seconds = chance.choice([0.0, 0.0, 0.05, 5.0])
            if chance.random() < 0.5:
                was_killed = kill_at(zygote, shop, chance.choice(names), chance.randint(1, 12), flush_seconds)
                counts["at a boundary" if was_killed else "ran through"] += 1
            else:
                was_killed = kill_after(zygote, shop, chance.uniform(0.02, 2.0), flush_seconds)
                counts["at a random instant" if was_killed else "ran through"] += 1
            zygote.check_published(shop)
            if number % 10 == 0:
                undisturbed(zygote, shop)
                counts["compared with the source"] += 1
        undisturbed(zygote, shop)
    told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    seconds = time.monotonic() - started
    with capsys.disabled():
        sys.stdout.write(f"\ncrash suite, {kind} catalog, seed {seed}: {rounds} rounds in {seconds:.0f} s; {told}; nothing lost, nothing doubled\n")
