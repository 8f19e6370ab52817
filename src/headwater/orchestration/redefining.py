"""A table whose rows are right and of which something else is said now: the change that commits the words alone."""

from __future__ import annotations

from dataclasses import replace

from headwater.ingestion.definition import stream_definition
from headwater.project import LoadedProject
from headwater.spec.models import Model
from headwater.spec.names import TableName
from headwater.spec.sources import Stream
from headwater.spec.tables import Column
from headwater.storage.changes import Definition, LoadRecord, TableChange, TableState
from headwater.transformation.definitions import definition_of


def redefined(project: LoadedProject, table: TableName, state: TableState, record: LoadRecord) -> TableChange:
    """Today's definition and descriptions, for the rows there are. Lineage and inputs are kept: what makes the rows is unchanged. The token and
    the labels are the caller's to set."""
    resource: Model | Stream
    if table in project.models:
        resource = project.models[table]
        definition = _with_lineage(definition_of(resource, record.fingerprint, None), state.definition)
    else:
        source, name, resource = project.stream(table)
        types = state.definition.body.get("source_types") or {}
        definition = stream_definition(source, name, resource, record.fingerprint, types)
    return TableChange(
        state.table,
        definition,
        record,
        state.token,
        columns=_described(resource, state.columns),
        partition_by=state.partition_by,
        sort_by=state.sort_by,
    )


def _with_lineage(new: Definition, old: Definition) -> Definition:
    """A view keeps the statement it was made with, which casts to the declared types."""
    sql = old.sql if old.kind == "view" else new.sql
    return replace(new, sql=sql, inputs=old.inputs, body={**new.body, "lineage": old.body.get("lineage")})


def _described(resource: Model | Stream, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    said = {name.lower(): column for name, column in resource.columns.items()}
    found = []
    for column in columns:
        words = said.get(column.name.lower())
        found.append(replace(column, description=words.description) if words else column)
    return tuple(found)
