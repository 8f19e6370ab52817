"""What is doubtful in a project: what its files show, and what only DuckDB's plans do."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from headwater.api.policy_linting import KnownTables, known_columns, policy_problems
from headwater.engine import Workspace
from headwater.errors import HeadwaterError, Location, Problem
from headwater.governance.labels import Labels, Origins, conflicting_masks, project_labels
from headwater.orchestration import Session
from headwater.orchestration.reading import Readings
from headwater.project import LoadedProject
from headwater.project.lineage import LineageCache, derive_all
from headwater.project.lint import LINEAGE_CACHE, LINT_RULES, lint_project
from headwater.spec.models import IncrementalKind
from headwater.spec.names import TableName
from headwater.storage import TableState
from headwater.transformation import pushdown_reaches_scan


def problems_in(project: LoadedProject, session: Session | None, selected: Collection[TableName] | None) -> list[Problem]:
    """See `Project.lint`. `session` None: there is no lake to ask for columns and plans. `selected` None: the whole project."""
    deployed = session.lake.state().tables if session is not None else {}
    columns = {table: [column.name for column in state.columns] for table, state in deployed.items() if state.columns and not state.is_retired}
    problems = lint_project(project, known_columns=columns, further=_of_policies(project, session, deployed, columns))
    if session is not None:
        problems += _unreached_scans(session, deployed)
    if selected is None:
        return problems
    paths = {project.graph.nodes[table].path for table in selected}
    return [problem for problem in problems if problem.location.path in paths]


def _of_policies(
    project: LoadedProject, session: Session | None, deployed: Mapping[TableName, TableState], columns: Mapping[TableName, list[str]]
) -> list[Problem]:
    """What the columns that tables have, or will have, and their labels say of the policies."""
    if not (project.policies.roles or project.policies.masks or project.policies.deny):
        return []
    known = {table: list(dict.fromkeys(names)) for table, names in columns.items() if project.graph.find(table) == table}
    declared = {table: list(project.stream(table)[2].columns) for table, node in project.graph.nodes.items() if node.kind == "stream"}
    cache = LineageCache(project.directory / LINEAGE_CACHE)
    lineages = derive_all(project, {**{table: names for table, names in declared.items() if names}, **known}, cache=cache)
    cache.save()
    resources = [(table, project.models.get(table) or project.stream(table)[2]) for table in project.graph.order()]
    labels = project_labels(resources, {table: {*names, *known.get(table, ())} for table, names in declared.items()}, lineages, project.policies)
    tables = KnownTables(known_columns(project, deployed, lineages), {table: _by_lower(origins) for table, origins in labels.items()})
    return [*_conflicting_masks(project, labels), *policy_problems(project, session, tables)]


def _by_lower(origins: Origins) -> Labels:
    return {column.lower(): tuple(labels) for column, labels in origins.items()}


def _conflicting_masks(project: LoadedProject, labels: Mapping[TableName, Origins]) -> list[Problem]:
    """Masks of which none is more specific than the other, on a column that carries, or will carry, the labels of both."""
    masks = project.policies.masks
    return [
        Problem(
            "conflicting-masks",
            f"{conflict.column} has labels for which the masks of {conflict.applied} ({masks[conflict.applied]}) and {conflict.other} "
            f"({masks[conflict.other]}) are equally specific; the stricter, {masks[conflict.applied]}, is applied",
            project.policy_place(("masks", conflict.other), True),
            f"one mask for both, or one for the column {conflict.column}",
            severity=LINT_RULES["conflicting-masks"][0],
        )
        for conflict in conflicting_masks(labels, project.policies)
    ]


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
