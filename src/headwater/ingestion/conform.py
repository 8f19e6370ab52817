"""The contract as SQL: one SELECT that types every column and sets broken rows apart. Pure text; nothing is run here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from headwater.governance.checks import failing_condition
from headwater.ingestion.casts import Conversion, Formats, conversion
from headwater.ingestion.contract import POSITION_COLUMN, LoadPlan, PlannedColumn, SourceColumn
from headwater.ingestion.cursor import unusable_sql
from headwater.ingestion.types import INTEGERS, JSON, is_nested
from headwater.spec.names import FILE_COLUMN, LOAD_ID_COLUMN, LOADED_AT_COLUMN, quote, quote_literal
from headwater.spec.sources import Stream

#: In landed rows: null where a row keeps its contract, else what goes to quarantine.
REJECT_COLUMN = "_hw_reject"
_RAW = "_hw_raw_"
_FLAGS = "_hw_flags"
_FLAGS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Fault:
    """One way a row can break its contract. `condition` is SQL that is true for broken rows."""

    reason: str
    column: str | None
    condition: str


@dataclass(frozen=True, slots=True)
class Conforming:
    """How a stream's rows are made to conform, the same for all its portions. `carried` are columns taken along as they are."""

    stream: Stream
    plan: LoadPlan
    load_id: str
    loaded_at: datetime
    cursor: str | None
    with_file: bool
    carried: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """The primary key by the names the table has."""
        return tuple(self.name_of(name) for name in self.stream.primary_key)

    def name_of(self, name: str) -> str:
        return next((c.name for c in self.plan.columns if c.name.lower() == name.lower()), name)

    @property
    def columns(self) -> list[str]:
        return [column.name for column in self.plan.columns]

    @property
    def deleted(self) -> str | None:
        """The condition of rows that mean a deletion."""
        return f"coalesce(({self.stream.deleted_when}\n), false)" if self.stream.deleted_when else None

    def must_mark(self, columns: Sequence[SourceColumn]) -> bool:
        """Whether a portion's values may fail to become the table's types, so that broken rows are marked while their raw values are at hand."""
        names = {column.name.lower(): column.name for column in columns}
        return bool(self._conversions(names, {column.name: column.type for column in columns})[2])

    def select(self, source_sql: str, columns: Sequence[SourceColumn], *, mark: bool) -> str:
        """The rows of one portion as they land; with `mark`, what is broken in each stands in `REJECT_COLUMN`."""
        names = {column.name.lower(): column.name for column in columns}
        types = {column.name: column.type for column in columns}
        raw, typed, faults = self._conversions(names, types)
        technical = self._technical()
        inner = [f"{quote(source)} AS {alias}" for source, alias in raw.items()]
        if POSITION_COLUMN in names:
            inner.append(quote(names[POSITION_COLUMN]))
        if self.with_file:
            inner.append(f"{quote(names[FILE_COLUMN])} AS {FILE_COLUMN}" if FILE_COLUMN in names else f"NULL::VARCHAR AS {FILE_COLUMN}")
        inner.extend(quote(name) for name in self.carried)
        outputs = [quote(column.name) for column in self.plan.columns] + technical + [quote(name) for name in self.carried]
        read = f"SELECT {', '.join(inner) or '1'}\nFROM (\n{source_sql}\n) AS hw_source"
        cast = f"SELECT *, {', '.join(typed)}\nFROM (\n{read}\n) AS hw_read"
        if mark:
            everything = faults + self.terms()
            values = {source: (alias, types[source]) for source, alias in raw.items()}
            position = self._position(quote(POSITION_COLUMN) if POSITION_COLUMN in names else None)
            outputs.append(f"{reject_struct(everything, values, position)} AS {REJECT_COLUMN}")
            cast = flagged(everything, cast)
        return f"SELECT {', '.join(outputs)}\nFROM (\n{cast}\n) AS hw_typed"

    def _conversions(self, names: Mapping[str, str], types: Mapping[str, str]) -> tuple[dict[str, str], list[str], list[Fault]]:
        """Aliases of the raw columns, the typed expressions, and the faults that only the raw values show."""
        raw = {names[key]: f"{_RAW}{index}" for index, key in enumerate(n for n in names if n not in (POSITION_COLUMN, FILE_COLUMN))}
        typed: list[str] = []
        faults: list[Fault] = []
        formats = Formats.of(self.stream.options)
        for column in self.plan.columns:
            source = column.source_in(names)
            if source is None:
                typed.append(f"NULL::{column.type} AS {quote(column.name)}")
                continue
            rule = conversion(types[source], column.type, formats)
            value = rule.value(raw[source])
            if rule.fault is None:
                typed.append(f"{value} AS {quote(column.name)}")
            elif column.nullify:
                typed.append(f"CASE WHEN {rule.fault(raw[source], f'({value})')} THEN NULL ELSE {value} END AS {quote(column.name)}")
            else:
                typed.append(f"{value} AS {quote(column.name)}")
                faults.append(self._cast_fault(column, rule, raw[source]))
        for name in self.plan.unexpected:
            if name.lower() in names:
                alias = raw[names[name.lower()]]
                faults.append(Fault(f"column: {name} is not in the contract", name, self._unless_deleted(f"{alias} IS NOT NULL")))
        return raw, typed, faults

    def _cast_fault(self, column: PlannedColumn, rule: Conversion, alias: str) -> Fault:
        assert rule.fault is not None
        condition = rule.fault(alias, quote(column.name))
        is_key = column.name.lower() in {name.lower() for name in self.stream.primary_key}
        return Fault(f"type: {column.name} is not {column.type}", column.name, condition if is_key else self._unless_deleted(condition))

    def _unless_deleted(self, condition: str) -> str:
        """A row that means a deletion has to hold its key, nothing else."""
        return f"({condition}) AND NOT {self.deleted}" if self.deleted else condition

    def terms(self) -> list[Fault]:
        """What the typed row has to keep: keys, cursor, nulls, checks."""
        faults = [Fault(f"null: {name} (primary key)", name, f"{quote(name)} IS NULL") for name in self.key]
        if self.cursor is not None:
            cursor_type = self.plan.type_of(self.cursor)
            assert cursor_type is not None
            faults.append(Fault(f"null: {self.cursor} (cursor)", self.cursor, f"{quote(self.cursor)} IS NULL"))
            unusable = unusable_sql(self.cursor, cursor_type)
            if unusable != "false":
                faults.append(Fault(f"cursor: {self.cursor} is infinite or beyond year 9999", self.cursor, unusable))
        told = {fault.column for fault in faults}
        for column in self.plan.columns:
            if column.declared is None or column.name in told:
                continue
            if column.declared.not_null:
                faults.append(Fault(f"null: {column.name}", column.name, self._unless_deleted(f"{quote(column.name)} IS NULL")))
        for check in self.stream.contract_checks:
            condition = failing_condition(check)
            if condition is not None and condition != "FALSE":
                subject = check.subject[0] if check.subject else None
                faults.append(Fault(f"check: {check.label}", subject, self._unless_deleted(condition)))
        return faults

    def _technical(self) -> list[str]:
        file = [FILE_COLUMN] if self.with_file else []
        at = f"TIMESTAMPTZ {quote_literal(self.loaded_at.isoformat())}"
        return [*file, f"{quote_literal(self.load_id)} AS {LOAD_ID_COLUMN}", f"{at} AS {LOADED_AT_COLUMN}"]

    def _position(self, at: str | None) -> str:
        """JSON text that says where a row stood: what the reader tells, the file, the cursor's value."""
        parts = [f"'at', {at}"] if at else []
        if self.with_file:
            parts.append(f"'file', {FILE_COLUMN}")
        if self.cursor is not None:
            parts.append(f"'cursor', {quote(self.cursor)}::VARCHAR")
        return f"json_object({', '.join(parts)})::VARCHAR" if parts else "NULL::VARCHAR"

    def landed_rejects(self, relation: str, source_types: Mapping[str, str]) -> str:
        """Of landed rows whose raw values are the typed ones: `REJECT_COLUMN` for the broken ones."""
        values: dict[str, tuple[str, str]] = {}
        for column in self.plan.columns:
            source = next((s for s in column.sources if s in source_types), None)
            if source is not None:
                values[source] = (quote(column.name), column.type)
        terms = self.terms()
        reject = reject_struct(terms, values, self._position(None))
        rows = flagged(terms, f"SELECT * FROM {relation} WHERE {broken(terms)}")
        return f"SELECT {reject} AS {REJECT_COLUMN}\nFROM (\n{rows}\n) AS hw_flagged"


def broken(faults: Sequence[Fault]) -> str:
    """True for rows with any fault, false for the others: never null. A balanced tree, since DuckDB limits how deep expressions go."""
    if not faults:
        return "false"
    if len(faults) == 1:
        return f"coalesce({faults[0].condition}, false)"
    half = len(faults) // 2
    return f"({broken(faults[:half])} OR {broken(faults[half:])})"


def flagged(faults: Sequence[Fault], query: str) -> str:
    """The rows with a list of flags, one for each fault.

    Each condition stands in the statement once, and few in one SELECT: planning one grows with the square of its expressions.
    """
    parts = []
    for number, start in enumerate(range(0, max(len(faults), 1), _FLAGS_AT_ONCE)):
        flags = ", ".join(f"coalesce({fault.condition}, false)" for fault in faults[start : start + _FLAGS_AT_ONCE])
        parts.append(f"{_FLAGS}_{number}")
        query = f"SELECT *, [{flags}]::BOOLEAN[] AS {parts[-1]}\nFROM (\n{query}\n) AS hw_unflagged"
    united = parts[0] if len(parts) == 1 else f"flatten([{', '.join(parts)}])"
    return f"SELECT *, {united} AS {_FLAGS}\nFROM (\n{query}\n) AS hw_flagged"


def reject_struct(faults: Sequence[Fault], values: Mapping[str, tuple[str, str]], position: str) -> str:
    """Of `flagged` rows: null for a good one; else `{raw, reason, column_name, position}`.

    That is the row as JSON text, all its reasons, the first one's column, where it stood. `values` gives for each source column an expression
    and its type.
    """
    flags = _without_consequences(faults)
    reasons = "[" + ", ".join(quote_literal(fault.reason) for fault in faults) + "]::VARCHAR[]"
    columns = "[" + ", ".join(quote_literal(fault.column) if fault.column else "NULL" for fault in faults) + "]::VARCHAR[]"
    return (
        f"CASE WHEN list_contains({_FLAGS}, true) THEN {{'raw': {raw_json(values)},"
        f" 'reason': array_to_string(list_where({reasons}, {flags}), '; '),"
        f" 'column_name': list_where({columns}, {_FLAGS})[1], 'position': {position}}} END"
    )


def _without_consequences(faults: Sequence[Fault]) -> str:
    """The flags, but not that of a null where the value was of a wrong type: it is null for that."""
    cast = {fault.column: number for number, fault in enumerate(faults, 1) if fault.reason.startswith("type: ")}
    causes = [cast.get(fault.column, 0) if fault.reason.startswith("null: ") else 0 for fault in faults]
    if not any(causes):
        return _FLAGS
    return f"list_transform({_FLAGS}, lambda hw_flag, hw_at: hw_flag AND NOT coalesce({_FLAGS}[({causes})[hw_at]], false))"


def raw_json(values: Mapping[str, tuple[str, str]]) -> str:
    """A row as JSON text that loses nothing: whole numbers, booleans and nested values as they are, other values as DuckDB's own text for them."""
    parts = []
    for name, (expression, type_name) in values.items():
        keeps = type_name in INTEGERS or type_name in ("BOOLEAN", JSON) or is_nested(type_name)
        parts.append(f"{quote_literal(name)}, {expression if keeps else f'{expression}::VARCHAR'}")
    return f"json_object({', '.join(parts)})::VARCHAR"
