"""What is stored of a model beside its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from headwater.project.lineage import reconcile
from headwater.spec.checks import dump_check
from headwater.spec.lineage import Lineage
from headwater.spec.models import IncrementalKind, Model, SnapshotKind
from headwater.spec.names import ColumnName
from headwater.spec.tables import Column
from headwater.storage.changes import Definition


def definition_of(model: Model, fingerprint: str, lineage: Lineage | None, *, sql: str | None = None) -> Definition:
    """The definition that is committed with a model's rows. `sql` is given where it isn't the model's own statement. Pure.

    `body` holds `kind`, `language`, `path`, `checks`, `owner`, `tags`, `publish_group`, `primary_key` and `lineage`, whose columns are written
    [schema, table, column].
    """
    inputs = lineage.tables if lineage is not None else frozenset(model.arguments.values())
    key = model.kind.unique_key if isinstance(model.kind, IncrementalKind) else model.kind.key if isinstance(model.kind, SnapshotKind) else ()
    return Definition(
        kind=model.kind.type,
        fingerprint=fingerprint,
        sql=model.sql if sql is None else sql,
        description=model.description,
        inputs=tuple(sorted(inputs)),
        body={
            "kind": model.kind.model_dump(mode="json"),
            "language": model.language,
            "path": model.path,
            "checks": [dump_check(check) for check in model.table_checks],
            "owner": model.owner,
            "tags": list(model.tags),
            "publish_group": model.publish_group,
            "primary_key": list(key),
            "lineage": _lineage_body(lineage) if lineage is not None else None,
        },
    )


def settled(model: Model, lineage: Lineage | None, columns: Sequence[Column]) -> Lineage | None:
    """The lineage for the columns that came out. A snapshot's own two come of what decides when a version begins and ends."""
    if lineage is None:
        return None
    if isinstance(model.kind, SnapshotKind) and lineage.value:
        kind = model.kind
        value = {name.lower(): edges for name, edges in lineage.value.items()}
        deciding = [kind.updated_at] if kind.updated_at else list(value) if kind.check == ("*",) else kind.check
        edges = frozenset[ColumnName]().union(*(value.get(name.lower(), frozenset()) for name in (*kind.key, *deciding)))
        lineage = replace(lineage, value={**lineage.value, kind.valid_from: edges, kind.valid_to: edges})
    return reconcile(lineage, [column.name for column in columns])


def _lineage_body(lineage: Lineage) -> dict[str, Any]:
    return {
        "tables": [[table.schema, table.name] for table in sorted(lineage.tables)],
        "value": {name: _columns(columns) for name, columns in lineage.value.items()},
        "influence": _columns(lineage.influence),
        "is_complete": lineage.is_complete,
        "reason": lineage.reason,
    }


def _columns(columns: frozenset[ColumnName]) -> list[list[str]]:
    return [[column.table.schema, column.table.name, column.column] for column in sorted(columns)]
