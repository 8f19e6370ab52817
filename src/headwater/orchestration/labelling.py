"""Labels of the tables of a run: put into each change before it is committed, and watched for changes of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from headwater.governance.labels import LabelRules, Labels, Origins, dump_origins, label_columns, read_origins, united
from headwater.spec.lineage import Lineage
from headwater.spec.names import ColumnName
from headwater.spec.tables import Column
from headwater.storage.changes import Definition, DeleteAll, TableChange, TableState

#: In a definition's body: {column: {label: [[schema, table, column] it came from, ..]}}.
LABELS: Final = "labels"
#: The same, of older rows that are still there (in an incremental or a snapshot): what made them labels no longer come from.
EARLIER_LABELS: Final = "earlier_labels"

InputLabels = Mapping[tuple[str, str], Labels]


def labels_of(columns: Iterable[Column]) -> Labels:
    """The labels that columns carry."""
    return {column.name.lower(): column.labels for column in columns if column.labels}


def published_labels(state: TableState) -> Labels:
    """The labels of what readers see of a table."""
    return labels_of(state.columns if state.published_columns is None else state.published_columns)


def labelled(change: TableChange, state: TableState | None, rules: LabelRules, inputs: InputLabels) -> TableChange:
    """The change with the full labels of its columns, and where they came from in its definition. `inputs` are the labels of what it reads."""
    names = [column.name for column in change.columns]
    former = state if state is not None and not state.is_retired else None
    before = read_origins(former.definition.body.get(LABELS)) if former is not None else {}
    lineage = _lineage(change.definition, names)
    kept = _earlier(change, former, label_columns(change.table, names, rules, lineage, inputs))
    found = dict(label_columns(change.table, names, rules, lineage, inputs, before=before, kept=kept))
    columns = tuple(replace(column, labels=tuple(found.get(column.name, ()))) for column in change.columns)
    if former is not None and not change.allow_drop:  # columns that only older rows have stay in the table
        there = {name.lower() for name in (*names, *change.renames)}
        found |= {name: labels for name, labels in before.items() if name.lower() not in there and _has(former, name)}
    return replace(change, columns=columns, definition=_with_labels(change.definition, found, kept))


def are_labels_moved(state: TableState, rules: LabelRules, inputs: InputLabels) -> bool:
    """Whether the columns of a deployed model would carry other labels, or have them from elsewhere, if they were worked out now."""
    body = state.definition.body
    has_none = not any(inputs.values()) and not rules.own and LABELS not in body and EARLIER_LABELS not in body
    if has_none and not any(column.labels for column in state.columns):
        return False
    before = read_origins(body.get(LABELS))
    names = [column.name for column in state.columns]
    now = label_columns(
        state.table, names, rules, _lineage(state.definition, names), inputs, before=before, kept=read_origins(body.get(EARLIER_LABELS))
    )  # fmt: skip
    return dump_origins(now) != body.get(LABELS, {}) or labels_of(state.columns) != {name.lower(): tuple(labels) for name, labels in now.items()}


def _lineage(definition: Definition, columns: Sequence[str]) -> Lineage | None:
    if definition.kind == "stream":
        return None
    recorded = definition.body.get("lineage")
    return Lineage.from_json(recorded) if recorded else Lineage.conservative(frozenset(definition.inputs), "not recorded", tuple(columns))


def _earlier(change: TableChange, state: TableState | None, fresh: Origins) -> Origins:
    """The labels of rows that stay and that today's inputs no longer give: whatever becomes of the code, those rows were computed from what they
    were. `fresh` are today's. A label that is taken away where it was given, while no row changes, isn't one of them."""
    kind = change.definition.kind
    if kind not in ("incremental", "snapshot") or state is None or state.definition.kind != kind or isinstance(change.delete, DeleteAll):
        return {}
    kept = read_origins(state.definition.body.get(EARLIER_LABELS))
    if change.staged is None:
        return kept
    given = {(name.lower(), label) for name, labels in fresh.items() for label in labels}
    gone: dict[str, dict[str, tuple[ColumnName, ...]]] = {}
    for name, labels in read_origins(state.definition.body.get(LABELS)).items():
        for label, sources in labels.items():
            inherited = tuple(source for source in sources if source.key != ColumnName(state.table, name).key)
            if inherited and (name.lower(), label) not in given:
                gone.setdefault(change.renames.get(name, name), {})[label] = inherited
    return united(kept, gone)


def _has(state: TableState, name: str) -> bool:
    return any(column.name.lower() == name.lower() for column in state.columns)


def _with_labels(definition: Definition, found: Origins, kept: Origins) -> Definition:
    body: dict[str, Any] = {key: value for key, value in definition.body.items() if key not in (LABELS, EARLIER_LABELS)}
    if found:
        body[LABELS] = dump_origins(found)
    if kept:
        body[EARLIER_LABELS] = dump_origins(kept)
    return replace(definition, body=body)
