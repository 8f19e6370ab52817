"""How each table is: what the next run would find, told without running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from headwater.api.results import TableCondition, TableStatus
from headwater.governance.checks import judge_freshness
from headwater.orchestration import Session
from headwater.orchestration.decide import PENDING, Block, Build, Decision, Load, Outcome, Situation, decide
from headwater.orchestration.plan import Plan, RunOptions, make_plan
from headwater.spec.checks import Fresh
from headwater.spec.names import TableName
from headwater.spec.runs import TaskResult
from headwater.storage import Access
from headwater.storage.changes import NEVER_PUBLISHED, TableState

_ROWS = """
    SELECT schema_name, table_name, sum(rows_written - rows_deleted) FILTER (published_snapshot IS NULL OR l.snapshot_id <= published_snapshot)
    FROM {system}.loads l
    LEFT JOIN (SELECT unnest(?) AS pinned_schema, unnest(?) AS pinned_table, unnest(?) AS published_snapshot)
        ON lower(schema_name) = pinned_schema AND lower(table_name) = pinned_table
    WHERE environment = ?
    GROUP BY schema_name, table_name
"""


def table_statuses(session: Session, selection: Sequence[str], exclude: Sequence[str]) -> list[TableStatus]:
    """The selected tables in topological order, then (when all are asked for) those whose file is gone. Raises UnknownSelection."""
    last = session.state.last_results(session.environment)
    lake_state = session.lake.state()
    options = RunOptions(include=tuple(selection), exclude=tuple(exclude))
    plan = make_plan(session.project, options, lake_state, session.started_now(), {table: result.status for table, (_, result) in last.items()})
    decisions = _foreseen(plan)
    rows = _row_counts(session, lake_state.tables)
    waiting = {table.key: count for table, count in session.lake.quarantine_counts().items()}
    results = {table.key: found for table, found in last.items()}
    found = []
    for table in plan.order:
        state = lake_state.find(table)
        run_id, result = results.get(table.key, (None, None))
        condition, reason = _condition(decisions[table], state, result)
        found.append(
            TableStatus(
                table=table,
                kind=plan.facts[table].kind,
                status=condition,
                reason=reason,
                rows=None if plan.facts[table].kind == "view" else rows.get(table.key) if state is not None and _is_visible(state) else None,
                committed_at=state.committed_at if state is not None else None,
                run_id=run_id,
                waiting_in_quarantine=waiting.get(table.key, 0),
                warnings=_not_fresh(session, table, state),
            )
        )
    for table in plan.retired:
        state = lake_state.tables[table]
        found.append(TableStatus(table, state.definition.kind, "retired", "its file is gone; a run hides it", committed_at=state.committed_at))
    return found


def _foreseen(plan: Plan) -> dict[TableName, Decision]:
    """What a run of everything would decide if each build changed its table and no source had anything new."""
    outcomes: dict[TableName, Outcome] = {}
    situation: Situation = replace(plan.situation, selected=frozenset(plan.facts), outcomes=outcomes)
    decisions: dict[TableName, Decision] = {}
    for table in plan.facts:
        decision = decisions[table] = decide(situation, table)
        if isinstance(decision, Build):
            outcomes[table] = Outcome("succeeded", PENDING)
    return decisions


def _condition(decision: Decision, state: TableState | None, result: TaskResult | None) -> tuple[TableCondition, str]:
    if result is not None and result.status == "failed":
        return "failed", result.error_text or result.reason
    if state is None or (state.load is None and state.committed_at is None):
        return "never built", decision.reason if isinstance(decision, Block) else ""
    if state.is_held or state.publication == "waiting":  # for others of its publish_group, or for a run that was killed
        return "held", state.reason
    if state.publication == "rolled_back":
        return "pinned", state.reason
    if result is not None and result.status in ("blocked", "cancelled"):
        return "stale", result.reason
    if isinstance(decision, (Build, Block)):
        return "stale", decision.reason
    assert not isinstance(decision, Load) or decision.reason == ""
    return "fresh", ""


def _is_visible(state: TableState) -> bool:
    return not state.is_retired and state.published_snapshot != NEVER_PUBLISHED


def _row_counts(session: Session, tables: Mapping[TableName, TableState]) -> dict[tuple[str, str], int]:
    """The rows readers see of each table, from what its loads wrote and deleted."""
    pinned = [(table.key, state.published_snapshot) for table, state in tables.items() if state.published_snapshot is not None]
    parameters: list[Any] = [[key[0] for key, _ in pinned], [key[1] for key, _ in pinned], [snapshot for _, snapshot in pinned], session.environment]
    found = session.lake.read_as_system(_ROWS.format(system=f'"{session.lake.database}".headwater'), parameters).fetchall()
    return {TableName(schema, name).key: int(rows or 0) for schema, name, rows in found}


def _not_fresh(session: Session, table: TableName, state: TableState | None) -> tuple[str, ...]:
    """What the `fresh` checks say against this moment's clock."""
    model = session.project.models.get(table)
    checks = [check for check in (model or session.project.stream(table)[2]).table_checks if isinstance(check, Fresh)]
    if not checks or state is None or not _is_visible(state):
        return ()
    said = []
    for check in checks:
        column = '"' + check.column.replace('"', '""') + '"'
        with session.lake.read_as(Access.owner(at=session.clock()), f"SELECT max({column}) FROM {table.sql}") as reading:
            verdict = judge_freshness(reading.scalar(), check, session.clock())
        if not verdict.passed:
            said.append(verdict.message)
    return tuple(said)
