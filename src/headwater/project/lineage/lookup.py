"""How a name finds its column, as DuckDB's binder looks it up. Where two readings are possible, both give their edges."""

from __future__ import annotations

from headwater.project.lineage.names import name_columns
from headwater.project.lineage.relations import Column, Inputs, Relation, Scope, Source, Unresolvable

#: Names that DuckDB reads as a function of no arguments where no column has them.
_VALUE_FUNCTIONS = frozenset(
    {
        "current_catalog", "current_date", "current_role", "current_schema", "current_time", "current_timestamp", "current_user",
        "localtime", "localtimestamp", "session_user", "user",
    }
)  # fmt: skip


class Lookup:
    """Looks names up for one statement."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs

    def resolve(self, parts: list[str], scope: Scope) -> int:
        """The edges of a column reference, `["t", "a"]` for `t.a`. Raises Unresolvable."""
        found = self.find(parts, scope)
        if found is None:
            raise Unresolvable(f"the column {'.'.join(parts)} was not found")
        return found

    def find(self, parts: list[str], scope: Scope) -> int | None:
        """As `resolve`; None when there is no such column."""
        names = [part.lower() for part in parts]
        found: int | None = None
        here: Scope | None = scope
        while here is not None:
            mask, is_certain = self._one_part(names[0], here) if len(names) == 1 else self._parts(names, here)
            if mask is not None:
                found = mask if found is None else found | mask
                if is_certain:
                    return found
            here = here.outer
        if found is None and len(names) == 1 and names[0] in _VALUE_FUNCTIONS:
            return 0
        return found

    def column_type(self, parts: list[str], scope: Scope) -> str | None:
        """The type of a column that is named plainly; None when it isn't known."""
        names = [part.lower() for part in parts]
        for source in scope.sources:
            if len(names) == 1 or (len(names) == 2 and source.alias == names[0]):
                column = source.relation.lookup().get(names[-1])
                if column is not None:
                    return column.type
        return None

    def source_names(self, parts: list[str], scope: Scope) -> str | None:
        """How the column of a plain reference is spelled where it comes from; None for a field of a struct and the like."""
        name = parts[-1].lower()
        for source in scope.sources:
            if len(parts) == 1 or self._is_named(source, [part.lower() for part in parts[:-1]]):
                column = source.relation.lookup().get(name)
                if column is not None:
                    return column.name
        return None

    def _one_part(self, name: str, scope: Scope, *, or_row: bool = True) -> tuple[int | None, bool]:
        """A column of that name, an alias of the select list, or (`or_row`) the whole row of a source. The flag: nothing further out is meant."""
        if scope.parameters is not None:
            return (scope.parameters[name], True) if name in scope.parameters else (None, False)
        found: int | None = None
        for source in scope.sources:
            column = self._column(source.relation, name)
            if column is not None:
                found = (found or 0) | column.mask
        alias = scope.aliases.get(name)
        if found is not None:
            return (found | alias if alias is not None and scope.in_clause else found), True
        found = alias
        for source in scope.sources:
            if source.relation.is_open:
                found = (found or 0) | self._open(source.relation, name)
            if or_row and source.alias == name:
                found = (found or 0) | source.relation.everything()
        return found, False

    def _parts(self, names: list[str], scope: Scope) -> tuple[int | None, bool]:
        if scope.parameters is not None:
            return (scope.parameters[names[0]], True) if names[0] in scope.parameters else (None, False)
        found: int | None = None
        is_certain = False
        for source in scope.sources:
            for length in range(1, len(names)):
                if not self._is_named(source, names[:length]):
                    continue
                column = self._column(source.relation, names[length])
                if column is not None:
                    found, is_certain = (found or 0) | column.mask, True
                elif source.relation.is_open:
                    found = (found or 0) | self._open(source.relation, names[length])
            if self._is_named(source, names):
                found = (found or 0) | source.relation.everything()
        if not is_certain:  # then a field: column.field
            mask, is_certain = self._one_part(names[0], scope, or_row=False)
            if mask is not None:
                found = (found or 0) | mask
        return found, is_certain

    @staticmethod
    def _is_named(source: Source, names: list[str]) -> bool:
        """Whether `t`, `schema.t` or `database.schema.t` means this source."""
        return source.alias == names[-1] and (len(names) == 1 or (source.schema == names[-2] and len(names) <= 3))

    def _open(self, relation: Relation, name: str) -> int:
        if relation.table is not None:
            return self._inputs.bit(relation.table, name)
        return relation.rest or 0

    @staticmethod
    def _column(relation: Relation, name: str) -> Column | None:
        found = relation.lookup().get(name)
        if found is None and relation.has_unnamed:
            name_columns(relation.columns)
            relation.forget_names()
            found = relation.lookup().get(name)
        return found
