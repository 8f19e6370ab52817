"""Which tables may be published at a run's end."""

from __future__ import annotations

from headwater.orchestration.decide import Facts
from headwater.orchestration.publishing import withheld
from headwater.spec.names import TableName

A, B, C, D = (TableName("m", name) for name in "abcd")


def facts(table: TableName, *read: TableName, group: str | None = None) -> Facts:
    return Facts(table, "table", read, read, publish_group=group)


def test_without_anything_bad_all_is_published() -> None:
    assert withheld([facts(A, group="g"), facts(B, A, group="g")], {}, {"g": [A, B]}) == {}


def test_one_bad_member_keeps_its_group_back() -> None:
    found = withheld([facts(A, group="g"), facts(C)], {B: "failed"}, {"g": [A, B]})
    assert found == {A: "publish_group g: m.b failed"}


def test_what_was_built_on_a_table_kept_back_is_kept_back_too() -> None:
    found = withheld([facts(A, group="g"), facts(C, A), facts(D, C)], {B: "is held"}, {"g": [A, B]})
    assert found[C] == "it was built on m.a, which is kept back"
    assert set(found) == {A, C, D}


def test_keeping_back_goes_from_group_to_group() -> None:
    built = [facts(A, group="g"), facts(C, A, group="h"), facts(D, group="h")]
    found = withheld(built, {B: "failed"}, {"g": [A, B], "h": [C, D]})
    assert found[D] == "publish_group h: m.c is kept back"
