"""How a table's columns come from what they are to what they should be. Pure: it decides, the commit carries out.

All columns of the lake are nullable: that a column holds no nulls is a contract or a check, judged before the commit, and `headwater.columns`
remembers it. So loosening NOT NULL costs nothing and never rewrites a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from headwater.errors import EvolutionRefused
from headwater.spec.names import TableName, quote
from headwater.spec.tables import Column, split_type_arguments, storage_type


@dataclass(frozen=True, slots=True)
class RenameColumn:
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class AddColumn:
    name: str
    type: str


@dataclass(frozen=True, slots=True)
class WidenColumn:
    """To a type that holds every value of the old one. Needs a transaction of its own: see `Evolution`."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class ReplaceColumn:
    """A new column under the old name. The old values are gone (`keeps_values` False: a rebuild) or cast by rewriting every row."""

    name: str
    type: str
    keeps_values: bool


@dataclass(frozen=True, slots=True)
class DropColumn:
    name: str


Step = RenameColumn | AddColumn | WidenColumn | ReplaceColumn | DropColumn


@dataclass(frozen=True, slots=True)
class Evolution:
    """`steps` in order, and the `columns` as they are afterwards.

    Widening and inserting in one lake transaction leaves DuckLake's table statistics too narrow after the next insert, and filters then give wrong
    rows. So widenings are committed by themselves, before the rows that need them.
    """

    steps: tuple[Step, ...]
    columns: tuple[Column, ...]

    @property
    def widenings(self) -> tuple[WidenColumn, ...]:
        return tuple(step for step in self.steps if isinstance(step, WidenColumn))


def plan_evolution(
    table: TableName,
    current: Sequence[Column],
    wanted: Sequence[Column],
    *,
    renames: Mapping[str, str],
    is_rebuild: bool,
    allow_drop: bool,
) -> Evolution:
    """The steps from `current` to `wanted`.

    Columns that `wanted` lacks stay (nullable, at the end) unless `allow_drop`. A rebuild may change any type, since no row stays; otherwise only
    widening and casts to VARCHAR are carried out. Raises EvolutionRefused with what to do.
    """
    steps: list[Step] = []
    have = {column.name.lower(): column for column in current}
    target = {column.name.lower() for column in wanted}
    for old, new in renames.items():
        if old.lower() in have and new.lower() not in have and old.lower() not in target:
            column = have.pop(old.lower())
            have[new.lower()] = replace(column, name=new)
            steps.append(RenameColumn(column.name, new))
    final: list[Column] = []
    refused: list[str] = []
    for column in wanted:
        type_name = storage_type(column.type)
        existing = have.pop(column.name.lower(), None)
        if existing is None:
            steps.append(AddColumn(column.name, type_name))
            final.append(replace(column, type=type_name))
            continue
        if existing.type != type_name:
            step = _change_type(existing, type_name, is_rebuild)
            if step is not None:
                steps.append(step)
            elif holds_all_of(existing.type, type_name):
                type_name = existing.type
            else:
                refused.append(f"{existing.name}: {existing.type} to {type_name}")
        final.append(replace(column, name=existing.name, type=type_name))
    if refused:
        raise EvolutionRefused(
            f"columns of {table} can't change their type in place: {'; '.join(refused)}",
            expected="a type that holds every value of the old one, or VARCHAR",
            state="nothing was committed",
            hint=f"rebuild the table with: headwater run {table} --full-refresh",
        )
    for column in have.values():
        if allow_drop:
            steps.append(DropColumn(column.name))
        else:
            final.append(replace(column, nullable=True))
    return Evolution(tuple(steps), tuple(final))


def _change_type(existing: Column, type_name: str, is_rebuild: bool) -> Step | None:
    """The step that gives a column another type; None when there is none (or none is needed, the column being wide enough)."""
    if is_rebuild:
        return ReplaceColumn(existing.name, type_name, keeps_values=False)
    if holds_all_of(type_name, existing.type):
        return WidenColumn(existing.name, type_name)
    if type_name == "VARCHAR" and _is_scalar(existing.type) and existing.type != "BLOB":
        return ReplaceColumn(existing.name, type_name, keeps_values=True)
    return None


def statements_for(target: str, steps: Sequence[Step]) -> list[str]:
    """The SQL that carries out `steps` on the lake's table `target` (quoted, qualified), widenings included."""
    statements: list[str] = []
    for number, step in enumerate(steps):
        match step:
            case RenameColumn(old, new):
                statements.append(f"ALTER TABLE {target} RENAME COLUMN {quote(old)} TO {quote(new)}")
            case AddColumn(name, type_name):
                statements.append(f"ALTER TABLE {target} ADD COLUMN {quote(name)} {type_name}")
            case WidenColumn(name, type_name):
                statements.append(f"ALTER TABLE {target} ALTER COLUMN {quote(name)} SET DATA TYPE {type_name}")
            case ReplaceColumn(name, type_name, keeps_values):
                # The new one first, since a table can't lose its last column; and it is never renamed: DuckLake forgets the fields of a list,
                # struct or map that is added and renamed in one transaction, and then can't read the catalog any more.
                former = f"_hw_old_{number}"
                statements.append(f"ALTER TABLE {target} RENAME COLUMN {quote(name)} TO {quote(former)}")
                statements.append(f"ALTER TABLE {target} ADD COLUMN {quote(name)} {type_name}")
                if keeps_values:
                    statements.append(f"UPDATE {target} SET {quote(name)} = CAST({quote(former)} AS {type_name})")
                statements.append(f"ALTER TABLE {target} DROP COLUMN {quote(former)}")
            case DropColumn(name):
                statements.append(f"ALTER TABLE {target} DROP COLUMN {quote(name)}")
    return statements


_SIGNED = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64}
_UNSIGNED = {"UTINYINT": 8, "USMALLINT": 16, "UINTEGER": 32, "UBIGINT": 64}
#: Decimal digits that hold every value of an integer type.
_DIGITS = {"TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19, "UTINYINT": 3, "USMALLINT": 5, "UINTEGER": 10, "UBIGINT": 20}
_EXACT_IN_DOUBLE = ("TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER", "FLOAT")
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")


def holds_all_of(wide: str, narrow: str) -> bool:
    """Whether every value of type `narrow` is a value of type `wide`, and DuckLake can turn the column into it without touching a file."""
    if wide == narrow:
        return True
    if wide.endswith("[]") and narrow.endswith("[]"):
        return holds_all_of(wide[:-2], narrow[:-2])
    if wide.startswith("STRUCT(") and narrow.startswith("STRUCT(") and not (wide + narrow).endswith("[]"):
        return _struct_holds(wide, narrow)
    if narrow in _SIGNED and wide in _SIGNED:
        return _SIGNED[wide] >= _SIGNED[narrow]
    if narrow in _UNSIGNED and wide in _UNSIGNED:
        return _UNSIGNED[wide] >= _UNSIGNED[narrow]
    if narrow in _UNSIGNED and wide in _SIGNED:
        return _SIGNED[wide] > _UNSIGNED[narrow]
    if wide == "DOUBLE":
        return narrow in _EXACT_IN_DOUBLE
    decimal = _DECIMAL.fullmatch(wide)
    if decimal:
        digits, scale = int(decimal[1]), int(decimal[2])
        if narrow in _DIGITS:
            return digits - scale >= _DIGITS[narrow]
        old = _DECIMAL.fullmatch(narrow)
        return old is not None and scale >= int(old[2]) and digits - scale >= int(old[1]) - int(old[2])
    return wide == "TIMESTAMP" and narrow in ("DATE", "TIMESTAMP_S", "TIMESTAMP_MS")


def _struct_holds(wide: str, narrow: str) -> bool:
    new, old = _fields(wide), _fields(narrow)
    return all(name in new and holds_all_of(new[name], type_name) for name, type_name in old.items())


def _fields(struct: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for part in split_type_arguments(struct[len("STRUCT(") : -1]):
        match = re.match(r'("(?:[^"]|"")+"|\S+)\s+(.*)', part, re.DOTALL)
        if match:
            fields[match[1].lower()] = match[2]
    return fields


def _is_scalar(type_name: str) -> bool:
    return not type_name.endswith("[]") and not type_name.startswith(("STRUCT(", "MAP(", "UNION("))
