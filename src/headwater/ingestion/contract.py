"""A stream's contract against what the source gives: which columns the table will have, of which types, and what is refused. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from headwater.errors import ContractRefused
from headwater.ingestion.cursor import is_cursor_type
from headwater.ingestion.types import JSON, TEXT, common, fits, is_nested
from headwater.spec.names import FILE_COLUMN, LOAD_ID_COLUMN, LOADED_AT_COLUMN, TECHNICAL_COLUMNS, TableName
from headwater.spec.sources import Stream, StreamColumn
from headwater.spec.tables import Column, storage_type
from headwater.storage.changes import TableState
from headwater.storage.evolution import holds_all_of

#: A column a scan may give that tells where each row stood; it is told in quarantine and not stored.
POSITION_COLUMN = "_hw_position"
VALID_FROM, VALID_TO = "valid_from", "valid_to"
_RESERVED = (*TECHNICAL_COLUMNS, POSITION_COLUMN)


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """A column as a portion gives it. `suggested` is the type that text in it seems to have."""

    name: str
    type: str
    suggested: str | None = None

    @property
    def meaning(self) -> str:
        """The type its values have, or seem to have."""
        return self.suggested or self.type


@dataclass(frozen=True, slots=True)
class PlannedColumn:
    """One column of the table: `sources` are the names it may have in a portion, `declared` its contract where there is one."""

    name: str
    type: str
    sources: tuple[str, ...]
    declared: StreamColumn | None = None
    nullify: bool = False

    def source_in(self, names: Mapping[str, str]) -> str | None:
        """Its name in a portion (`names` by their lower case); None where the portion lacks it."""
        return next((names[name.lower()] for name in self.sources if name.lower() in names), None)


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """`columns` of the table without the technical ones. Rows with a value in one of `unexpected` are rejected; `left_out` are dropped silently.

    `renames` maps stored names to new ones; `source_types` is what the source gave, remembered so that the next load can tell a change.
    """

    columns: tuple[PlannedColumn, ...]
    unexpected: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    renames: Mapping[str, str] = field(default_factory=dict)
    source_types: Mapping[str, str] = field(default_factory=dict)

    def type_of(self, name: str) -> str | None:
        return next((column.type for column in self.columns if column.name.lower() == name.lower()), None)


def plan_load(
    table: TableName,
    stream: Stream,
    portions: Sequence[Sequence[SourceColumn]],
    state: TableState | None,
    *,
    canonical: Callable[[str], str],
    uses_cursor: bool = False,
    is_rebuild: bool = False,
    allow_drop: bool = False,
) -> LoadPlan:
    """What to load and how. `canonical` gives DuckDB's own name of a declared type. With `allow_drop`, stored columns that are neither declared nor
    given by the source aren't among those of the plan.

    Raises ContractRefused with all that differs, before anything is read.
    """
    found = _unite(table, portions)
    chosen = _choose(table, stream, found)
    return _Planner(table, stream, chosen, found, state, canonical, is_rebuild, allow_drop).plan(uses_cursor)


def _unite(table: TableName, portions: Sequence[Sequence[SourceColumn]]) -> dict[str, SourceColumn]:
    """All portions' columns by lower-case name, in the order they are met; each with the type all its portions fit into."""
    found: dict[str, list[SourceColumn]] = {}
    for columns in portions:
        seen: dict[str, str] = {}
        for column in columns:
            key = column.name.lower()
            if key in (POSITION_COLUMN, FILE_COLUMN):
                continue
            if key in seen:
                same = seen[key] == column.name
                raise ContractRefused(
                    f"{table}: the source gives {column.name} twice"
                    if same
                    else f"{table}: columns {seen[key]} and {column.name} differ by case alone",
                    expected="one column of each name; a table doesn't tell upper from lower case",
                    state="nothing was read",
                    hint="give one of them another name with `query`, or correct the source",
                )
            seen[key] = column.name
            if key.startswith("_hw_"):
                raise (
                    ContractRefused(
                        f"{table}: the source has a column {column.name}, a name that Headwater keeps for itself",
                        state="nothing was read",
                        hint=f"leave it out with `exclude: [{column.name}]`, or rename it with `query`",
                    )
                    if key in _RESERVED
                    else ContractRefused(
                        f"{table}: names that begin with _hw_ are Headwater's; the source has {column.name}",
                        state="nothing was read",
                        hint="rename the column with `query`",
                    )
                )
            found.setdefault(key, []).append(column)
    return {
        key: columns[0]
        if len({(c.type, c.suggested) for c in columns}) == 1
        else SourceColumn(columns[0].name, common(c.type for c in columns), _common_suggestion(columns))
        for key, columns in found.items()
    }


def _common_suggestion(columns: Sequence[SourceColumn]) -> str | None:
    if not any(column.suggested for column in columns):
        return None
    meaning = common(column.meaning for column in columns)
    return None if meaning == TEXT else meaning


def _choose(table: TableName, stream: Stream, found: Mapping[str, SourceColumn]) -> dict[str, SourceColumn]:
    """What `select` and `exclude` leave."""
    for name in stream.select:
        if name.lower() not in found:
            close = difflib.get_close_matches(name.lower(), found, 1)
            raise ContractRefused(
                f"{table}: `select` names {name}, which the source doesn't have",
                found=_list([column.name for column in found.values()]),
                state="nothing was read",
                hint=f"did you mean {found[close[0]].name}?" if close else "correct `select`",
            )
    excluded = {name.lower() for name in stream.exclude}
    if stream.select:
        return {name.lower(): found[name.lower()] for name in stream.select}
    return {key: column for key, column in found.items() if key not in excluded}


class _Planner:
    """Gathers columns and differences of one load."""

    def __init__(
        self,
        table: TableName,
        stream: Stream,
        chosen: dict[str, SourceColumn],
        found: dict[str, SourceColumn],
        state: TableState | None,
        canonical: Callable[[str], str],
        is_rebuild: bool,
        allow_drop: bool,
    ) -> None:
        self.table, self.stream, self.chosen, self.found, self.is_rebuild = table, stream, chosen, found, is_rebuild
        self.canonical, self.allow_drop = canonical, allow_drop
        self.contract = stream.schema_contract
        self.declared = {name.lower(): (name, column) for name, column in stream.columns.items()}
        technical = {name.lower() for name in (*TECHNICAL_COLUMNS, *((VALID_FROM, VALID_TO) if stream.disposition == "scd2" else ()))}
        self.stored = {c.name.lower(): c for c in state.columns if c.name.lower() not in technical} if state else {}
        body = state.definition.body if state else {}
        self.former_types: Mapping[str, str] = body.get("source_types") or {}
        self.is_first = state is None
        self.differences: list[str] = []
        self.gone: list[str] = []
        self.planned: dict[str, PlannedColumn] = {}
        self.unexpected: list[str] = []
        self.left_out: list[str] = []
        self.renames: dict[str, str] = {}

    def plan(self, uses_cursor: bool) -> LoadPlan:
        self._note_renames()
        taken: set[str] = set()
        targets = {(c.renamed_from or "").lower(): name for name, c in self.stream.columns.items() if c.renamed_from}
        for key, column in self.chosen.items():
            # a column still called by its old name in the source, unless the new name is there too
            name = targets[key] if key in targets and targets[key].lower() not in self.chosen else column.name
            self._plan_column(name, column)
            taken.add(name.lower())
        self._plan_missing(taken)
        self._refuse_differences()
        self._require(uses_cursor)
        if not self.planned:
            raise ContractRefused(
                f"{self.table}: the source gives no columns", state="nothing was read", hint="correct `select` or `exclude`, or the source"
            )
        types = {column.name: column.type for column in self.chosen.values()}
        return LoadPlan(tuple(self.planned.values()), tuple(self.unexpected), tuple(self.left_out), self.renames, types)

    def _note_renames(self) -> None:
        for key, (name, column) in self.declared.items():
            old = (column.renamed_from or "").lower()
            if old in self.stored and key not in self.stored:
                stored = self.stored.pop(old)
                self.renames[stored.name] = name
                self.stored[key] = Column(name, stored.type, stored.nullable)

    def _is_known(self, key: str) -> bool:
        return key in self.declared or key in self.stored or key in {name.lower() for name in self.stream.select}

    def _plan_column(self, name: str, column: SourceColumn) -> None:
        key = name.lower()
        nothing_known = self.is_first and not self.declared and not self.stream.select
        if not (self._is_known(key) or nothing_known):
            match self.contract.columns:
                case "freeze":
                    self.differences.append(f"+ {name} ({column.meaning}) is new")
                    return
                case "discard_value":
                    self.left_out.append(column.name)
                    return
                case "discard_row":
                    self.unexpected.append(column.name)
                    return
                case "evolve":
                    pass
        declared = self.declared.get(key)
        stored = self.stored.get(key)
        contract = declared[1] if declared else None
        target_name = declared[0] if declared else stored.name if stored else name
        sources = tuple(dict.fromkeys((column.name, target_name)))
        nullify = self.contract.data_type == "discard_value"
        self.planned[key] = PlannedColumn(target_name, self._type_for(target_name, column, contract, stored), sources, contract, nullify)

    def _type_for(self, name: str, column: SourceColumn, declared: StreamColumn | None, stored: Column | None) -> str:
        if self.contract.data_type == "freeze":
            self._note_type_change(name, column, stored if not (declared and declared.type) else None)
        if declared and declared.type:
            return storage_type(self.canonical(declared.type))
        if self.contract.is_agnostic:
            wanted = JSON if is_nested(column.type) or column.type == JSON else TEXT
        else:
            wanted = storage_type(column.meaning)
        if stored is None or stored.type == wanted:
            return wanted
        if fits(wanted, stored.type) or self.contract.data_type != "evolve":
            return stored.type
        if holds_all_of(wanted, stored.type) or self.is_rebuild:
            return wanted
        if self.stream.disposition == "replace" and (both := common([stored.type, wanted])) != TEXT:
            return both
        # a scalar column of the source that now is text is text from here on; a sample of text that looks otherwise proves nothing
        changed = column.type != TEXT or self.former_types.get(column.name, TEXT) != TEXT
        return TEXT if wanted == TEXT and changed and not is_nested(stored.type) else stored.type

    def _note_type_change(self, name: str, column: SourceColumn, stored: Column | None) -> None:
        former = self.former_types.get(column.name)
        if former is not None and former != column.type and not fits(column.type, former):
            self.differences.append(f"~ {name} was {former}, now {column.type}")
        elif former is None and stored is not None and column.type != TEXT and not fits(storage_type(column.type), stored.type):
            self.differences.append(f"~ {name} is {stored.type}, the source has {column.type}")

    def _plan_missing(self, taken: set[str]) -> None:
        """Columns declared or stored that the source lacks: refused under freeze, else null."""
        excluded = {name.lower() for name in self.stream.exclude}
        selected = {name.lower() for name in self.stream.select}
        for key, (name, column) in self.declared.items():
            if key in taken:
                continue
            if self.contract.columns == "freeze" or column.not_null:
                self.differences.append(f"- {name} is missing" + (", and must not be null" if column.not_null else ""))
                continue
            stored = self.stored.get(key)
            type_name = storage_type(self.canonical(column.type)) if column.type else stored.type if stored else None
            if type_name is not None:
                self.planned[key] = PlannedColumn(name, type_name, (name,), column)
        for key, stored in self.stored.items():
            if key in taken or key in self.planned or key in self.declared or key in excluded or (selected and key not in selected):
                continue
            if self.allow_drop or any(key == name.lower() for name in (*self.unexpected, *self.left_out)):
                continue
            if self.contract.columns == "freeze":
                self.differences.append(f"- {stored.name} is missing")
                self.gone.append(stored.name)
            else:
                self.planned[key] = PlannedColumn(stored.name, stored.type, (stored.name,))

    def _refuse_differences(self) -> None:
        if not self.differences:
            return
        raise ContractRefused(
            f"{self.table}: the source differs from its contract",
            expected=_list([*(name for name, _ in self.declared.values()), *(c.name for k, c in self.stored.items() if k not in self.declared)]),
            found="; ".join(self.differences[:20]) + (f"; and {len(self.differences) - 20} more" if len(self.differences) > 20 else ""),
            state="nothing was loaded; the position is where it was",
            hint="change `columns`, `select` or `exclude` of the stream to what the source gives now, or set `schema_contract: evolve`"
            + ("; --allow-drop drops columns that are missing and no longer declared" if self.gone else ""),
        )

    def _require(self, uses_cursor: bool) -> None:
        needed = [(name, "primary_key") for name in self.stream.primary_key]
        if self.stream.cursor and uses_cursor:
            needed.append((self.stream.cursor.column, "cursor"))
        for name, key in needed:
            planned = self.planned.get(name.lower())
            if planned is None or not any(s.lower() in self.chosen for s in planned.sources):
                reason = (
                    f"`{key}` names {name}, which the source doesn't have"
                    if name.lower() not in self.found
                    else f"`{key}` needs {name}, which is left out"
                )
                raise ContractRefused(
                    f"{self.table}: {reason}",
                    found=_list([column.name for column in self.chosen.values()]),
                    state="nothing was read",
                    hint=f"correct `{key}`, or `select` and `exclude`",
                )
            if key == "cursor" and not is_cursor_type(planned.type):
                raise ContractRefused(
                    f"{self.table}: the cursor {name} has a type that can't be a cursor",
                    expected="a timestamp, date, whole number, decimal or text",
                    found=planned.type,
                    state="nothing was read",
                    hint="take another column, or declare its type under `columns`",
                )
        if self.stream.disposition == "scd2":
            for name in (VALID_FROM, VALID_TO):
                if name in self.planned:
                    raise ContractRefused(
                        f"{self.table}: scd2 adds a column {name}, and the source has one",
                        state="nothing was read",
                        hint=f"leave it out with `exclude: [{name}]`, or rename it with `query`",
                    )


def redefined(
    stream: Stream, state: TableState, canonical: Callable[[str], str], *, allow_drop: bool = False
) -> tuple[tuple[Column, ...], dict[str, str]]:
    """The stored columns as a changed definition has them, where no row was read; and the renames.

    Descriptions, labels and widenings take effect; a type that needs the rows read again waits for the next full load. With `allow_drop`, columns
    that are neither declared nor given by the source when it was last read are left out.
    """
    declared = {name.lower(): (name, column) for name, column in stream.columns.items()}
    by_old = {(c.renamed_from or "").lower(): name for name, c in stream.columns.items() if c.renamed_from}
    have = {column.name.lower() for column in state.columns}
    renames: dict[str, str] = {}
    columns = []
    for column in state.columns:
        new = by_old.get(column.name.lower())
        if new is not None and new.lower() not in have:
            renames[column.name] = new
        name = renames.get(column.name, column.name)
        _, contract = declared.get(name.lower(), (name, StreamColumn()))
        wanted = storage_type(canonical(contract.type)) if contract.type else column.type
        type_name = wanted if holds_all_of(wanted, column.type) else column.type
        if allow_drop and name.lower() not in declared and _is_gone(stream, state, name):
            continue
        columns.append(Column(name, type_name, column.nullable and not contract.not_null, contract.description, contract.labels))
    return tuple(columns), renames


def _is_gone(stream: Stream, state: TableState, name: str) -> bool:
    """Whether the stream no longer takes an undeclared stored column, or its source didn't give it when it was last read."""
    key = name.lower()
    own = {VALID_FROM, VALID_TO} if stream.disposition == "scd2" else set[str]()
    if key.startswith("_hw_") or key in own:
        return False
    if key in {excluded.lower() for excluded in stream.exclude} or (stream.select and key not in {chosen.lower() for chosen in stream.select}):
        return True
    given = {given.lower() for given in state.definition.body.get("source_types") or {}}
    return bool(given) and key not in given


def with_technical(columns: tuple[Column, ...], state: TableState) -> tuple[Column, ...]:
    """The columns with those of Headwater's own that the table has beside them: a definition doesn't name them, so it can't give them up."""
    have = {column.name.lower() for column in columns}
    return (*columns, *(column for column in state.columns if column.name in TECHNICAL_COLUMNS and column.name not in have))


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")


def table_columns(stream: Stream, plan: LoadPlan, *, with_file: bool, valid_type: str | None) -> tuple[Column, ...]:
    """The table's columns as they are committed: those of the plan, scd2's, the technical ones."""
    keys = {name.lower() for name in stream.primary_key}
    columns = [
        Column(
            c.name,
            c.type,
            nullable=not (c.name.lower() in keys or (c.declared is not None and c.declared.not_null)),
            description=c.declared.description if c.declared else None,
            labels=c.declared.labels if c.declared else (),
        )
        for c in plan.columns
    ]
    if valid_type is not None:
        columns += [Column(VALID_FROM, valid_type, nullable=False), Column(VALID_TO, valid_type)]
    if with_file:
        columns.append(Column(FILE_COLUMN, TEXT))
    return (*columns, Column(LOAD_ID_COLUMN, TEXT), Column(LOADED_AT_COLUMN, "TIMESTAMP WITH TIME ZONE"))
