"""What is doubtful in a project: what its files show, and what only DuckDB's plans do."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from headwater.engine import Workspace
from headwater.errors import HeadwaterError, Location, Problem
from headwater.orchestration import Session
from headwater.orchestration.reading import Readings
from headwater.project import LoadedProject
from headwater.project.lint import lint_project
from headwater.spec.models import IncrementalKind
from headwater.spec.names import TableName
from headwater.storage import TableState
from headwater.transformation import pushdown_reaches_scan


def problems_in(project: LoadedProject, session: Session | None, selected: Collection[TableName] | None) -> list[Problem]:
    """See `Project.lint`. `session` None: there is no lake to ask for columns and plans. `selected` None: the whole project."""
    deployed = session.lake.state().tables if session is not None else {}
    columns = {table: [column.name for column in state.columns] for table, state in deployed.items() if state.columns and not state.is_retired}
    problems = lint_project(project, known_columns=columns)
    if session is not None:
        problems += _unreached_scans(session, deployed)
    if selected is None:
        return problems
    paths = {project.graph.nodes[table].path for table in selected}
    return [problem for problem in problems if problem.location.path in paths]


def _unreached_scans(session: Session, deployed: Mapping[TableName, TableState]) -> list[Problem]:
    """Incremental models whose condition doesn't reach what they read: each build reads all of it."""
    project = session.project
    found: list[Problem] = []
    incremental = [model for model in project.models.values() if isinstance(model.kind, IncrementalKind) and model.language == "sql"]
    if not incremental:
        return found
    with Workspace(session.engine, clock=session.started_now(), macros=project.macros) as workspace:
        readings = Readings(session.lake, workspace, deployed, session.lake.state().snapshot_id, project.graph.find)
        for model in incremental:
            if any(readings.relation(table) is None for table in project.graph.inputs(model.name)):
                continue  # not built yet: its inputs can't be looked at
            try:
                readings.create_macros(project.table_macros(model.name))
                reached = pushdown_reaches_scan(workspace, model)
            except HeadwaterError:
                continue  # a model that can't be bound fails its run, which says why
            if reached is not True:
                said = f"{model.name} is incremental, and its condition doesn't reach the scan of its inputs{f': {reached}' if reached else ''}"
                found.append(Problem("incremental-reads-all", said, Location(model.path, model.sql_line), severity="warning"))
    return found
