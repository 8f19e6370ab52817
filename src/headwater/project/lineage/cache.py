"""Derived lineage kept between commands. Losing it costs time only."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.spec.lineage import Lineage
from headwater.spec.names import ColumnName, TableName

if TYPE_CHECKING:
    from headwater.project.lineage.statement import Columns, ColumnsOf

#: To be raised whenever what is derived, or how an entry is written, changes.
_FORMAT = 1


class LineageCache:
    """Lineage by statement, macros and the columns of the tables it asked for; in one JSON file, read at the first use.

    Use `derive` in place of `derive_lineage`, and `save` at the end. Entries not used since the file was read are dropped by `save`.
    Several processes may share the file: each replaces it as a whole. A file that can't be read or written is no error. `derived_count` is how
    many statements had to be derived.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before: dict[str, Any] | None = None
        self._now: dict[str, Any] = {}
        self._changed = False
        self.derived_count = 0

    def derive(self, sql: str, columns_of: ColumnsOf, *, macros: Iterable[str] = ()) -> Lineage:
        """As `derive_lineage`, from the cache where the statement, the macros and its inputs' columns are the same."""
        statements = tuple(macros)
        key = hashlib.sha256("\0".join((sql, *statements)).encode("utf-8", "surrogatepass")).hexdigest()
        entry = self._entries.get(key)
        if entry is not None:
            asked = [TableName(*parts) for parts in entry["asked"]]
            if entry["inputs"] == _inputs_key({table: columns_of(table) for table in asked}):
                self._now[key] = entry
                return _decoded(entry["lineage"])
        from headwater.project.lineage.derive import derive_lineage

        known: dict[TableName, Columns | None] = {}

        def asking(table: TableName) -> Columns | None:
            known[table] = columns_of(table)
            return known[table]

        lineage = derive_lineage(sql, asking, macros=statements)
        self._now[key] = {"asked": [[t.schema, t.name] for t in known], "inputs": _inputs_key(known), "lineage": _encoded(lineage)}
        self._changed = True
        self.derived_count += 1
        return lineage

    def save(self) -> None:
        """Replaces the file in one step, when anything changed."""
        if not self._changed and len(self._now) == len(self._entries):
            return
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps({"format": _stamp(), "entries": self._now}, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
            temporary.replace(self._path)
        except (OSError, UnicodeError):
            pass  # only the next command's time is lost
        self._changed = False

    @property
    def _entries(self) -> dict[str, Any]:
        if self._before is None:
            try:
                content = json.loads(self._path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                content = None
            is_ours = isinstance(content, dict) and content.get("format") == _stamp() and isinstance(content.get("entries"), dict)
            self._before = content["entries"] if is_ours else {}
        assert self._before is not None
        return self._before


def _stamp() -> str:
    return f"{version('headwater')}/{_FORMAT}"


def _inputs_key(known: Mapping[TableName, Columns | None]) -> str:
    columns = [(table.schema, table.name, list(found.items()) if isinstance(found, Mapping) else found) for table, found in known.items()]
    return hashlib.sha256(repr([(s, n, None if c is None else list(c)) for s, n, c in columns]).encode("utf-8", "surrogatepass")).hexdigest()


def _encoded(lineage: Lineage) -> list[Any]:
    """The columns once each, and the edges as their numbers."""
    numbers: dict[ColumnName, int] = {}

    def encode(columns: Iterable[ColumnName]) -> list[int]:
        return [numbers.setdefault(column, len(numbers)) for column in sorted(columns)]

    value = [[name, encode(edges)] for name, edges in lineage.value.items()]
    influence = encode(lineage.influence)
    columns = [[c.table.schema, c.table.name, c.column] for c in numbers]
    tables = [[table.schema, table.name] for table in sorted(lineage.tables)]
    return [tables, columns, value, influence, lineage.is_complete, lineage.reason, lineage.columns_known]


def _decoded(entry: list[Any]) -> Lineage:
    tables, columns, value, influence, is_complete, reason, columns_known = entry
    names = [ColumnName(TableName(schema, name), column) for schema, name, column in columns]

    def decode(numbers: list[int]) -> frozenset[ColumnName]:
        return frozenset(names[number] for number in numbers)

    edges = {name: decode(numbers) for name, numbers in value}
    return Lineage(frozenset(TableName(*parts) for parts in tables), edges, decode(influence), is_complete, reason, columns_known)
