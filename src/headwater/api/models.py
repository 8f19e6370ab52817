"""Looking at models and judging tables: nothing here is stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.api.result import Result
from headwater.api.results import CheckResult
from headwater.engine import Result as EngineResult
from headwater.engine import Workspace
from headwater.errors import TableNotFound, UsageError
from headwater.governance.checks import judge
from headwater.orchestration import RunOptions, Session
from headwater.orchestration.decide import versions_read
from headwater.orchestration.plan import Plan, make_plan
from headwater.orchestration.reading import Readings
from headwater.spec.models import Model
from headwater.transformation import BuildContext, compile_model, show

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class _Bench:
    """A workspace in which every table stands for its published rows, and the plan of a run that would begin now."""

    session: Session
    plan: Plan
    readings: Readings

    def lay_out(self, model: Model) -> None:
        """Makes what a model reads readable. Raises TableNotFound for an input without published rows."""
        facts = self.plan.facts[model.name]
        for table in facts.inputs:
            if self.readings.relation(table) is None:
                raise TableNotFound(f"{model.name} reads {table}, of which nothing is published yet", hint=f"headwater run +{model.name}")
        self.readings.create_macros(self.session.project.table_macros(model.name))


@contextmanager
def _bench(session: Session, selection: Sequence[str] = (), exclude: Sequence[str] = ()) -> Iterator[_Bench]:
    started_at = session.started_now()
    lake_state = session.lake.state()
    plan = make_plan(session.project, RunOptions(include=tuple(selection), exclude=tuple(exclude)), lake_state, started_at, {})
    with Workspace(session.engine, clock=started_at, macros=session.project.macros) as workspace:
        find = session.project.graph.find
        yield _Bench(session, plan, Readings(session.lake, workspace, plan.situation.deployed, lake_state.snapshot_id, find))


def show_model(session: Session, name: str, cte: str | None, limit: int) -> Result:
    """See `Project.show`."""
    model = session.project.model(name)
    stack = ExitStack()
    try:
        bench = stack.enter_context(_bench(session))
        bench.lay_out(model)
        rows = stack.enter_context(show(bench.readings.workspace, model, project_dir=session.project.directory, cte=cte, limit=limit))
    except BaseException:
        stack.close()
        raise
    return Result(_Shown(stack, rows))


def compiled(session: Session, name: str) -> str:
    """See `Project.compile`."""
    table = session.project.find(name)
    if table not in session.project.models:
        raise UsageError(f"{table} is a stream: its source decides what is sent", hint=f"headwater source check {table.schema}")
    model = session.project.models[table]
    with _bench(session) as bench:
        bench.lay_out(model)
        facts = bench.plan.facts[table]
        versions = versions_read(bench.plan.situation, facts)
        context = BuildContext(
            run_id="compile",
            load_id="compile",
            started_at=session.started_now(),
            fingerprint=facts.fingerprint,
            token=0,
            project_dir=session.project.directory,
            state=bench.plan.situation.deployed.get(table),
            inputs={read: version for read, version in versions.items() if version is not None},
            clock=facts.clock,
        )
        return compile_model(session.lake, bench.readings.workspace, model, context)


def check_tables(session: Session, selection: Sequence[str], exclude: Sequence[str]) -> list[CheckResult]:
    """See `Project.check`."""
    found = []
    with _bench(session, selection, exclude) as bench, bench.readings.connection() as connection:
        for table in bench.plan.order:
            state = bench.plan.situation.deployed.get(table)
            model = session.project.models.get(table)
            checks = (model or session.project.stream(table)[2]).table_checks
            if state is None or not checks:
                continue
            bench.readings.define(bench.plan.facts[table].consulted)
            if state.definition.kind == "view":
                bench.readings.define(state.definition.inputs)
                relation = state.definition.sql
            else:
                relation = session.lake.head_sql(table)
            found.append(CheckResult(table, judge(connection, relation, checks, resolve=bench.readings.relation, table=table)))
    return found


class _Shown:
    """A result that is read inside a `with` block of somebody else's; `close` leaves the block."""

    def __init__(self, stack: ExitStack, result: EngineResult) -> None:
        self._stack = stack
        self._result = result

    @property
    def columns(self) -> list[str]:
        return self._result.columns

    @property
    def types(self) -> list[str]:
        return self._result.types

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._result.fetchall()

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        return self._result.fetchmany(size)

    def arrow(self) -> pa.Table:
        return self._result.arrow()

    def batches(self, rows: int = 100_000) -> pa.RecordBatchReader:
        return self._result.batches(rows)

    def close(self) -> None:
        self._stack.close()
