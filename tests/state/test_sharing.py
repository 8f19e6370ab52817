"""One answer for all who ask at the same time, and never one from before."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from headwater.state.sharing import SharedReads


def test_who_asks_alone_is_answered_each_time_anew() -> None:
    shared: SharedReads[int] = SharedReads()
    numbers = iter(range(10))
    assert [shared.get("k", lambda: next(numbers)) for _ in range(3)] == [0, 1, 2]


def test_many_at_once_are_answered_by_few_calls_none_older_than_the_question() -> None:
    shared: SharedReads[int] = SharedReads()
    calls = 0
    newest = 0
    stale: list[tuple[int, int]] = []

    def read() -> int:
        nonlocal calls
        calls += 1
        seen = newest
        time.sleep(0.002)
        return seen

    def ask() -> None:
        for _ in range(30):
            before = newest
            found = shared.get("k", read)
            if found < before:
                stale.append((before, found))

    def move() -> None:
        nonlocal newest
        while not done.is_set():
            newest += 1
            time.sleep(0.0005)

    done = threading.Event()
    mover = threading.Thread(target=move)
    mover.start()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: ask(), range(16)))
    done.set()
    mover.join()
    assert stale == []
    assert calls < 16 * 30 / 3


def test_a_failure_is_told_to_who_called_and_the_others_find_out_for_themselves() -> None:
    shared: SharedReads[str] = SharedReads()
    first, begun = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        first.wait(60)
        return "first"

    def broken() -> str:
        raise ValueError("broken")

    with ThreadPoolExecutor(3) as pool:
        leader = pool.submit(shared.get, "k", slow)
        begun.wait(60)
        second = pool.submit(shared.get, "k", broken)
        time.sleep(0.05)
        third = pool.submit(shared.get, "k", lambda: "third")
        time.sleep(0.05)
        first.set()
        assert leader.result(60) == "first"
        with pytest.raises(ValueError, match="broken"):
            second.result(60)
        assert third.result(60) == "third"
    assert shared.get("k", lambda: "after") == "after"


def test_other_keys_are_other_questions() -> None:
    shared: SharedReads[str] = SharedReads()
    assert shared.get("a", lambda: shared.get("b", lambda: "inner")) == "inner"
