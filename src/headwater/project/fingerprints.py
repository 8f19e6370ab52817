"""Fingerprints: they change when what a table's rows are made by changes, and not with its description.

They are the same on every machine: taken of text alone, in a fixed order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from headwater.project.graph import Graph
from headwater.project.macros import Macro
from headwater.project.models import CodeFacts
from headwater.spec.checks import dump_check
from headwater.spec.models import Model, ViewKind
from headwater.spec.names import TableName
from headwater.spec.sources import Source, Stream

#: To be raised when what goes into a fingerprint changes; every table is rebuilt then.
_VERSION = "1"


def macros_used(functions: Iterable[str], macros: Mapping[str, Macro]) -> frozenset[str]:
    """The project's macros among these functions, and those that they call."""
    found: set[str] = set()
    pending = [name for name in functions if name in macros]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending.extend(other for other in macros[name].functions if other in macros)
    return frozenset(found)


class Fingerprints:
    """Those of one project's tables, worked out when asked for."""

    def __init__(
        self,
        graph: Graph,
        sources: Mapping[str, Source],
        models: Mapping[TableName, Model],
        facts: Mapping[TableName, CodeFacts],
        macros: Mapping[str, Macro],
        timezone: str,
    ) -> None:
        self._graph = graph
        self._sources = sources
        self._models = models
        self._facts = facts
        self._macros = macros
        self._timezone = timezone
        self._known: dict[TableName, str] = {}

    def of(self, table: TableName) -> str:
        """The fingerprint of what makes a table's rows: code, kind and layout, macros, the view models it reads. KeyError for an unknown table."""
        if table not in self._known:
            for name in self._with_views_above(table):
                self._known.setdefault(name, self._of_model(self._models[name]))
            if table not in self._models:
                node = self._graph.nodes[table]
                self._known[table] = _of_stream(self._sources[node.source], table)
        return self._known[table]

    def _with_views_above(self, table: TableName) -> tuple[TableName, ...]:
        """The view models it reads, and those that they read, as far as not known yet, inputs first; then the model itself."""
        found = {table} & self._models.keys()
        pending = list(found)
        while pending:
            for other in self._graph.inputs(pending.pop()):
                if other not in found and other not in self._known and self._is_view(other):
                    found.add(other)
                    pending.append(other)
        return self._graph.sort(found)

    def _is_view(self, table: TableName) -> bool:
        model = self._models.get(table)
        return model is not None and isinstance(model.kind, ViewKind)

    def _of_model(self, model: Model) -> str:
        facts = self._facts[model.name]
        inputs = self._graph.inputs(model.name)
        return _hash(
            {
                "code": facts.code_hash,
                "function": model.function,
                "kind": model.kind.model_dump(mode="json"),
                "layout": [model.partition_by, model.sort_by],
                "types": {name: column.type for name, column in model.columns.items() if column.type},
                "renamed": {name: column.renamed_from for name, column in model.columns.items() if column.renamed_from},
                "macros": {name: self._macros[name].code_hash for name in macros_used(facts.functions, self._macros)},
                "timezone": self._timezone,
                "inputs": [str(name) for name in inputs],
                "views": {str(name): self._known[name] for name in inputs if self._is_view(name)},
            }
        )


def _of_stream(source: Source, table: TableName) -> str:
    name = next(stream for stream in source.streams if source.table_name(stream) == table)
    stream = source.streams[name]
    return _hash(
        {
            "source": source.model_dump(mode="json", include={"type", "connection", "options"}),
            "stream": stream.model_dump(mode="json", include=_STREAM_KEYS),
            "disposition": stream.disposition,
            "columns": _contract_of(stream),
        }
    )


#: Keys of a stream that decide which rows there are, and how they look.
_STREAM_KEYS = {
    "table",
    "query",
    "path",
    "function",
    "format",
    "options",
    "select",
    "exclude",
    "primary_key",
    "cursor",
    "deleted_when",
    "schema_contract",
    "partition_by",
    "sort_by",
}


def _contract_of(stream: Stream) -> dict[str, Any]:
    return {
        name: {
            **column.model_dump(mode="json", include={"type", "not_null", "renamed_from"}, exclude_defaults=True),
            "terms": [dump_check(check) for check in column.checks if check.is_row_wise and check.severity == "error"],
        }
        for name, column in stream.columns.items()
    }


def definition_hash(resource: Model | Stream) -> str:
    """A hash of all that is said of a table beside what makes its rows: checks, descriptions, labels, owner, tags, publish group."""
    columns = {
        name: {
            "description": column.description,
            "labels": column.labels,
            "checks": [dump_check(check) for check in column.checks],
        }
        for name, column in resource.columns.items()
    }
    return _hash(
        {
            "description": resource.description,
            "owner": resource.owner,
            "tags": resource.tags,
            "publish_group": resource.publish_group,
            "columns": columns,
            "checks": [dump_check(check) for check in resource.checks],
        }
    )


def _hash(content: Mapping[str, Any]) -> str:
    text = json.dumps({"version": _VERSION, **content}, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
