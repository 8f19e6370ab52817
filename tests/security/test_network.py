"""Where one may come from; limits united, and counted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from people import policies

from headwater.errors import LimitReached
from headwater.security.network import Turns, is_welcome, limits_of
from headwater.security.principals import OWNER, Principal
from headwater.spec.policies import Door, Limits

RULES = policies(
    roles={
        "a": {"limits": {"rows": 100, "seconds": 5, "concurrency": 3, "memory": "2GB"}},
        "b": {"limits": {"rows": 50, "bytes": 1000, "memory": "1GB"}},
        "c": {},
    },
    network={"roles": {"a": ["10.0.0.0/8"]}, "doors": {"http": []}},
)  # fmt: skip


def test_the_smallest_of_each_limit_wins() -> None:
    assert limits_of(RULES, Principal("x", roles=frozenset("abc"))) == Limits(rows=50, bytes=1000, memory=10**9, seconds=5, concurrency=3)
    assert limits_of(RULES, Principal("x", roles=frozenset("c"))) == Limits()
    assert limits_of(RULES, Principal("x", roles=frozenset(["gone"]))) == Limits()
    assert limits_of(RULES, OWNER) == Limits()


def test_so_many_statements_at_once_and_no_more() -> None:
    turns, ada = Turns(), Principal("ada")
    limits = Limits(concurrency=2)
    with turns.one(ada, limits), turns.one(ada, limits):
        with pytest.raises(LimitReached, match="as many"), turns.one(ada, limits):
            pass
        with turns.one(Principal("bo"), limits), turns.one(ada, Limits()):
            assert (turns.running("ada"), turns.running("bo")) == (3, 1)
    with pytest.raises(ZeroDivisionError), turns.one(ada, limits):
        _ = 1 / 0
    assert turns.running("ada") == 0


def test_threads_are_counted_rightly() -> None:
    turns, ada = Turns(), Principal("ada")

    def work(_: int) -> None:
        for _ in range(500):
            with turns.one(ada, Limits()):
                pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert turns.running("ada") == 0


@pytest.mark.parametrize(
    ("door", "address", "may"),
    [("postgres", "10.1.1.1", True), ("local", None, True), ("postgres", "11.0.0.1", False), ("postgres", None, False), ("http", "127.0.0.1", False)],
)
def test_every_list_about_somebody_must_hold_their_address(door: Door, address: str | None, may: bool) -> None:
    assert is_welcome(RULES, Principal("ada", roles=frozenset("a"), door=door, address=address)) is may
    assert is_welcome(RULES, OWNER)
