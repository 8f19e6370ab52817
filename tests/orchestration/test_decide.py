"""Decisions: nothing but facts in, nothing but decisions out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from headwater.governance.labels import LabelRules
from headwater.orchestration.decide import PENDING, Block, Build, Facts, Load, Outcome, Situation, Skip, decide, tables_read, tick
from headwater.spec.names import TableName
from headwater.spec.tables import Column
from headwater.storage.changes import NEVER_PUBLISHED, Definition, LoadRecord, TableState

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORDERS, STAGED, REVENUE, SHOWN = (TableName.parse(name) for name in ("shop.orders", "staging.orders", "marts.revenue", "marts.shown"))


def facts(table: TableName, *inputs: TableName, kind: Any = "table", **more: Any) -> Facts:
    return Facts(table, kind, inputs, more.pop("read", inputs), fingerprint="f1", **more)


def deployed(table: TableName, version: int, *, fingerprint: str = "f1", clock: str = "", **inputs_and_more: Any) -> TableState:
    inputs = inputs_and_more.pop("inputs", {})
    load = LoadRecord("l", "build", "r", NOON, inputs={str(name): read for name, read in inputs.items()}, fingerprint=fingerprint, clock=clock)
    state = TableState(
        table=table,
        definition=Definition("table", fingerprint),
        columns=(),
        changed_snapshot=version,
        published_snapshot=None,
        published_changed_snapshot=version,
        is_held=False,
        reason="",
        load=load,
        committed_at=NOON,
        position=None,
        token=1,
    )
    return replace(state, **inputs_and_more)


def situation(*all_facts: Facts, states: tuple[TableState, ...] = (), outcomes: dict[TableName, Outcome] | None = None, **more: Any) -> Situation:
    selected = more.pop("selected", frozenset(one.table for one in all_facts))
    return Situation({one.table: one for one in all_facts}, selected, {state.table: state for state in states}, outcomes or {}, **more)


CHAIN = (facts(ORDERS, kind="stream"), facts(STAGED, ORDERS), facts(REVENUE, STAGED))


def test_a_stream_is_always_asked() -> None:
    assert decide(situation(*CHAIN, states=(deployed(ORDERS, 3),)), ORDERS) == Load(ORDERS)


def test_a_model_never_built_is_built() -> None:
    assert decide(situation(*CHAIN, outcomes={ORDERS: Outcome("succeeded", PENDING)}), STAGED) == Build(STAGED, "first build")


def test_an_unchanged_model_is_skipped_with_a_reason() -> None:
    known = situation(*CHAIN, states=(deployed(ORDERS, 3), deployed(STAGED, 4, inputs={ORDERS: 3})), outcomes={ORDERS: Outcome("skipped", 3)})
    assert decide(known, STAGED) == Skip(STAGED, "unchanged since 2026-03-01 12:00", 4)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"fingerprint": "f0", "inputs": {ORDERS: 3}}, "its definition changed"),
        ({"inputs": {ORDERS: 2}}, "shop.orders changed"),
        ({"inputs": {}}, "shop.orders changed"),
        ({"inputs": {ORDERS: 3}, "clock": "2026-02-28"}, "the clock it uses moved to "),
        ({"inputs": {ORDERS: 3}, "is_held": True, "publication": "held", "published_snapshot": 2}, "held before"),
        ({"inputs": {ORDERS: 3}, "is_retired": True}, "first build"),
    ],
)
def test_what_makes_a_model_stale(change: dict[str, Any], why: str) -> None:
    decision = decide(situation(*CHAIN, states=(deployed(ORDERS, 3), deployed(STAGED, 4, **change))), STAGED)
    assert decision == Build(STAGED, why)


def test_a_volatile_model_is_always_stale() -> None:
    random = replace(CHAIN[1], is_volatile=True)
    known = situation(CHAIN[0], random, states=(deployed(ORDERS, 3), deployed(STAGED, 4, inputs={ORDERS: 3})))
    assert isinstance(decide(known, STAGED), Build)


def test_an_input_rolled_back_to_an_older_version_makes_stale() -> None:
    rolled_back = deployed(ORDERS, 7, published_snapshot=5, published_changed_snapshot=3, publication="rolled_back")
    known = situation(*CHAIN, states=(rolled_back, deployed(STAGED, 8, inputs={ORDERS: 7})), selected=frozenset({STAGED}))
    assert decide(known, STAGED) == Build(STAGED, "shop.orders changed")


def test_a_full_refresh_builds_everything() -> None:
    known = situation(*CHAIN, states=(deployed(ORDERS, 3), deployed(STAGED, 4, inputs={ORDERS: 3})), is_full_refresh=True)
    assert decide(known, STAGED) == Build(STAGED, "full refresh")


@pytest.mark.parametrize(("status", "words"), [("failed", "failed"), ("held", "is held"), ("blocked", "is blocked"), ("cancelled", "was cancelled")])
def test_what_stands_on_a_bad_table_is_blocked_and_says_why(status: Any, words: str) -> None:
    known = situation(*CHAIN, states=(deployed(ORDERS, 3), deployed(STAGED, 4)), outcomes={STAGED: Outcome(status, None)})
    assert decide(known, REVENUE) == Block(REVENUE, f"staging.orders {words}")


def test_an_input_never_built_blocks_with_the_command_that_helps() -> None:
    decision = decide(situation(*CHAIN, selected=frozenset({REVENUE})), REVENUE)
    assert decision == Block(REVENUE, "staging.orders has never been built: headwater run +marts.revenue")


def test_an_input_never_published_blocks() -> None:
    held = deployed(STAGED, 4, published_snapshot=NEVER_PUBLISHED, published_changed_snapshot=None, is_held=True, publication="held", reason="rows()")
    decision = decide(situation(*CHAIN, states=(held,), selected=frozenset({REVENUE})), REVENUE)
    assert decision == Block(REVENUE, "staging.orders has never been published: rows()")


def test_what_a_dead_run_left_unpublished_is_taken_over_instead_of_built_again() -> None:
    left = deployed(STAGED, 9, inputs={ORDERS: 3}, published_snapshot=5, published_changed_snapshot=4, publication="waiting")
    known = situation(*CHAIN, states=(deployed(ORDERS, 3), left, deployed(REVENUE, 5, inputs={STAGED: 4})))
    skip = decide(known, STAGED)
    assert isinstance(skip, Skip)
    assert (skip.is_unpublished, skip.version) == (True, 9)
    known = replace(known, outcomes={STAGED: Outcome("skipped", 9)})
    assert decide(known, REVENUE) == Build(REVENUE, "staging.orders changed")


def test_what_a_dead_run_left_is_built_again_when_its_inputs_moved_on() -> None:
    left = deployed(STAGED, 9, inputs={ORDERS: 3}, published_snapshot=5, published_changed_snapshot=4, publication="waiting")
    known = situation(*CHAIN, states=(deployed(ORDERS, 11), left))
    assert decide(known, STAGED) == Build(STAGED, "shop.orders changed")


def test_a_rolled_back_model_is_left_alone_and_its_published_version_read() -> None:
    pinned = deployed(
        STAGED, 9, inputs={ORDERS: 3}, published_snapshot=5, published_changed_snapshot=4, publication="rolled_back", reason="wrong rates"
    )
    skip = decide(situation(*CHAIN, states=(deployed(ORDERS, 3), pinned)), STAGED)
    assert isinstance(skip, Skip)
    assert (skip.version, skip.is_unpublished) == (4, False)
    assert skip.reason.endswith("; rolled back: wrong rates")
    again = decide(situation(*CHAIN, states=(deployed(ORDERS, 3), replace(pinned, reason="rolled back to snapshot 5"))), STAGED)
    assert isinstance(again, Skip)
    assert again.reason.endswith("; rolled back to snapshot 5")


def test_a_view_is_stale_by_its_definition_alone_and_what_reads_it_by_what_lies_under_it() -> None:
    view = facts(SHOWN, STAGED, kind="view")
    reader = facts(REVENUE, SHOWN, read=(SHOWN, STAGED))
    states = (deployed(STAGED, 9), deployed(SHOWN, 2, inputs={STAGED: 4}), deployed(REVENUE, 5, inputs={SHOWN: 2, STAGED: 4}))
    known = situation(CHAIN[1], view, reader, states=states, selected=frozenset({SHOWN, REVENUE}))
    assert isinstance(decide(known, SHOWN), Skip)
    assert decide(known, REVENUE) == Build(REVENUE, "staging.orders changed")


def test_a_view_with_checks_is_looked_at_again_when_what_it_shows_changed() -> None:
    view = facts(SHOWN, STAGED, kind="view", has_checks=True)
    known = situation(CHAIN[1], view, states=(deployed(STAGED, 9), deployed(SHOWN, 2, inputs={STAGED: 4})), selected=frozenset({SHOWN}))
    assert decide(known, SHOWN) == Build(SHOWN, "staging.orders changed")


def test_a_restatement_builds_incrementals_only() -> None:
    incremental, plain = facts(STAGED, ORDERS, kind="incremental"), facts(REVENUE, ORDERS)
    states = (deployed(ORDERS, 3), deployed(STAGED, 4, inputs={ORDERS: 3}), deployed(REVENUE, 4, inputs={ORDERS: 3}))
    known = situation(CHAIN[0], incremental, plain, states=states, is_restatement=True)
    assert decide(known, STAGED) == Build(STAGED, "restated")
    assert isinstance(decide(known, REVENUE), Skip)


def test_decisions_are_taken_anew_as_results_arrive() -> None:
    states = (deployed(ORDERS, 3), deployed(STAGED, 4, inputs={ORDERS: 3}))
    before = situation(*CHAIN, states=states)
    assert isinstance(tick(before, [STAGED])[0], Skip)
    after = replace(before, outcomes={ORDERS: Outcome("succeeded", PENDING)})
    assert tick(after, [STAGED]) == [Build(STAGED, "shop.orders changed")]


def test_views_are_looked_through_to_what_holds_rows() -> None:
    a, b, c, d = (TableName("s", name) for name in "abcd")
    kinds: dict[TableName, Any] = {a: ("table", ()), b: ("view", (a,)), c: ("view", (b,)), d: ("table", (c,))}
    assert tables_read(kinds, [a, b, c, d])[d] == (c, b, a)


# -- labels ----------------------------------------------------------------------------------------------------------

LINEAGE = {"tables": [["shop", "orders"]], "value": {"mail": [["shop", "orders", "Email"]]}, "influence": [], "is_complete": True, "reason": None}
EMAIL = Column("Email", "VARCHAR", labels=("pii.email",))
FROM_ORDERS = {"mail": {"pii.email": [["shop", "orders", "Email"]]}}


def labelled_pair(column: Column, *given: str, body: dict[str, Any] | None = None) -> tuple[TableState, TableState]:
    """The stream with `column`, and the model on it, whose `mail` carries these labels."""
    definition = Definition("table", "f1", inputs=(ORDERS,), body={"lineage": LINEAGE, **(body or {})})
    columns = (Column("mail", "VARCHAR", labels=given),)
    return deployed(ORDERS, 3, columns=(column,)), deployed(STAGED, 4, inputs={ORDERS: 3}, definition=definition, columns=columns)


def test_a_model_whose_columns_carry_what_they_should_is_left_alone() -> None:
    states = labelled_pair(EMAIL, "pii.email", body={"labels": FROM_ORDERS})
    assert isinstance(decide(situation(*CHAIN, states=states), STAGED), Skip)
    assert isinstance(decide(situation(*CHAIN, states=labelled_pair(Column("Email", "VARCHAR"))), STAGED), Skip)


@pytest.mark.parametrize(
    ("column", "given", "body"),
    [
        (EMAIL, (), {}),
        (EMAIL, ("pii.email",), {}),
        (EMAIL, (), {"labels": FROM_ORDERS}),
        (Column("Email", "VARCHAR", labels=("pii",)), ("pii.email",), {"labels": FROM_ORDERS}),
        (Column("Email", "VARCHAR"), ("pii.email",), {"labels": FROM_ORDERS}),
    ],
)
def test_labels_that_moved_are_a_redefinition(column: Column, given: tuple[str, ...], body: dict[str, Any]) -> None:
    decision = decide(situation(*CHAIN, states=labelled_pair(column, *given, body=body)), STAGED)
    assert decision == Build(STAGED, "the labels of its columns changed", is_redefinition=True)


def test_labels_are_those_this_run_reads() -> None:
    states = labelled_pair(Column("Email", "VARCHAR"))
    moved = situation(*CHAIN, states=states, outcomes={ORDERS: Outcome("succeeded", 3)}, labels={ORDERS: {"email": ("pii.email",)}})
    assert decide(moved, STAGED) == Build(STAGED, "the labels of its columns changed", is_redefinition=True)
    held_back = replace(states[0], columns=(EMAIL,), published_columns=(Column("Email", "VARCHAR"),), published_snapshot=2, publication="held")
    assert isinstance(decide(situation(*CHAIN, states=(held_back, states[1])), STAGED), Skip)


def test_rules_of_the_files_move_labels_too() -> None:
    states = labelled_pair(EMAIL, "pii.email", body={"labels": FROM_ORDERS})
    for rules in (LabelRules(own={"mail": ("contact",)}), LabelRules(ended={"mail": ("pii",)})):
        chain = (facts(ORDERS, kind="stream"), facts(STAGED, ORDERS, label_rules=rules))
        assert decide(situation(*chain, states=states), STAGED) == Build(STAGED, "the labels of its columns changed", is_redefinition=True)


def test_a_model_that_is_stale_is_built_whatever_its_labels() -> None:
    stream, model = labelled_pair(EMAIL)
    assert decide(situation(*CHAIN, states=(replace(stream, published_changed_snapshot=9), model)), STAGED) == Build(STAGED, "shop.orders changed")


def test_where_no_lineage_is_recorded_all_columns_of_the_inputs_count() -> None:
    stream, model = labelled_pair(EMAIL)
    untold = replace(model, definition=replace(model.definition, body={}))
    assert decide(situation(*CHAIN, states=(stream, untold)), STAGED) == Build(STAGED, "the labels of its columns changed", is_redefinition=True)
