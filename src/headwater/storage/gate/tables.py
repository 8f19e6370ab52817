"""The query that stands for a table: as the system reads it, and as a reader may see it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from headwater.engine import Connection, describe_query
from headwater.errors import HeadwaterError, LakeError, StatementRefused, TableNotFound
from headwater.project.macros import macro_name, temporary_macro
from headwater.project.sqltext import functions_named
from headwater.security import ColumnLabels, Decision, Resource, Sight, decide, mask_sql
from headwater.security.domains import domains_of
from headwater.security.tokenizing import detokenizable, detokenizing_macros
from headwater.spec.names import SYSTEM_SCHEMA, TableName, quote, quote_literal
from headwater.spec.policies import Action, Door
from headwater.spec.tables import Column
from headwater.storage.changes import NEVER_PUBLISHED, TableState
from headwater.storage.core import Core
from headwater.storage.gate import functions
from headwater.storage.gate.access import Access
from headwater.storage.gate.apart import Lease
from headwater.storage.gate.tree import Node, query_of, to_sql
from headwater.storage.gate.walk import Walk
from headwater.storage.history import existing_snapshots, readable_snapshot
from headwater.storage.relations import is_visible, published_columns, published_definition, select_at
from headwater.storage.state import LakeState
from headwater.storage.system import SYSTEM_TABLES

_OF_THE_ENGINE: Final = functions.ALLOWED | functions.REFUSED
#: Stands after what leaves rows out: nothing a reader wrote is computed before it.
BARRIER: Final = "LIMIT 9223372036854775807"
#: The table in the schema of system tables that isn't the lake's: who did what.
AUDIT: Final = "audit"
#: What lists the tables that a reader may read, at their door.
_LISTED: Final[Mapping[Door, str]] = {
    "local": "headwater ls lists the tables to the owner, and headwater access explain says why somebody doesn't see one",
    "postgres": "the catalog lists them",
    "flight": "the catalog lists them",
    "http": "GET /v1/tables lists them",
}
#: How a purpose is stated there.
_PURPOSE: Final[Mapping[Door, str]] = {
    "local": "--purpose",
    "postgres": "SET headwater.purpose = '..'",
    "flight": "the header X-Headwater-Purpose",
    "http": "the header X-Headwater-Purpose",
}
_NAMED_AUDIT: Final = "hw_audit"
#: Columns of system tables that hold values of other tables' rows, with the right on those tables that shows them.
VALUES_OF_OTHERS: Final[Mapping[str, Mapping[str, Action]]] = {
    "quarantine": {"raw": "quarantine", "position": "quarantine", "reason": "quarantine"},
    "verdicts": {"sample": "select", "message": "select"},
    "positions": {"value": "select"},
    "loads": {"interval_start": "select", "interval_end": "select", "clock": "select"},
}


@dataclass(frozen=True, slots=True)
class Seen:
    """A table as one reader sees it. `node` is its query; `columns` have the types that the masks leave."""

    name: TableName
    node: Node
    columns: tuple[Column, ...]
    is_filtered: bool
    valid_until: datetime | None
    #: Statements that make the project's macros which its rules call.
    macros: tuple[str, ...] = ()
    #: Whether it reads no other table, so that it stays as it is while its own does.
    is_alone: bool = True


@dataclass(frozen=True, slots=True)
class Moment:
    """What one query reads: the state at `base` or, with `limit`, as of that older snapshot; `head` for newest rows, published or not."""

    state: LakeState
    base: int
    limit: int | None = None
    head: bool = False


@dataclass(frozen=True, slots=True)
class TurningBack:
    """Statements that make the function for it on a connection, and the columns (`schema.table.column`) whose tokens it is good for."""

    macros: tuple[str, ...]
    columns: tuple[str, ...]


class Tables:
    """The tables of one query by one principal, on a connection whose transaction stands at the moment's snapshot."""

    def __init__(
        self,
        core: Core,
        access: Access,
        moment: Moment,
        connection: Connection,
        seen: dict[object, Seen],
        macros: Mapping[str, str],
        lease: Lease,
    ) -> None:
        """`seen` are tables already worked out, by all that they depend on; new ones are put there. `macros` are statements by name."""
        self._lease = lease
        self._known_macros = macros
        self._core = core
        self._access = access
        self._moment = moment
        self._connection = connection
        self._seen = seen
        self._kept: frozenset[int] | None = None
        self._newest: LakeState | None = None
        #: Tables met, those that views read among them: a plan is good as long as these stay as they are.
        self.states: dict[tuple[str, str], TableState] = {}
        self.macros: list[str] = []
        self.found: list[Seen] = []
        #: When a grant begins or ends on what views read.
        self.turns: list[datetime] = []
        self.is_cacheable = True
        self.has_audit = False

    # -- as a reader sees it -----------------------------------------------------------------------------------------

    def for_reader(self, name: TableName) -> Node:
        """Raises TableNotFound alike for what isn't there and what may not be seen."""
        if self._access.is_owner:
            return self.for_system(name, None)
        seen = self.see(name)
        self.found.append(seen)
        return seen.node

    def bind(self, macros: Iterable[str], sql: str) -> None:
        """Raises what a query that reads these tables would raise before it has read a row."""
        for statement in macros:
            self._connection.execute(statement)
        describe_query(self._connection, sql)

    def notes(self, columns: Iterable[str]) -> dict[str, str]:
        """What the reader may know of what is done to each table they named: whether a policy chooses rows, and which of `columns`
        (`schema.table.column`) are masked, by kind. No condition of a policy, and nothing of how much it hides."""
        read = {column.lower() for column in columns}
        found: dict[str, str] = {}
        for seen in self.found:
            state = self._moment.state.find(seen.name)
            sights = {} if state is None or seen.name.schema.lower() == SYSTEM_SCHEMA else self.decide(state).columns
            said = ["rows that a policy gives"] if seen.is_filtered else []
            for column, ways in sights.items():
                kinds = sorted({way.mask.kind for way in ways if way.mask is not None})
                if kinds and f"{seen.name}.{column}".lower() in read:
                    said.append(f"{column} masked ({', '.join(kinds)}{', in some rows' if len(ways) > 1 else ''})")
            found[str(seen.name).lower()] = "; ".join(said)
        return found

    def see(self, name: TableName) -> Seen:
        if name.schema.lower() == SYSTEM_SCHEMA:
            return self._see_system(name)
        state = self._moment.state.find(name)
        if state is None or not is_visible(state) or not published_columns(state):
            raise unknown(name, self._access.principal.door)
        decision = self.decide(state)
        if not decision.is_allowed or not decision.columns:
            raise unknown(name, self._access.principal.door)
        macros = tuple(self._known_macros.values())
        key = (name.key, decision.key, self._who(decision), _version(state), self._access.keys, macros, self._lease.of(state))
        # what a view or a filter reads besides must be as it was, too: both are worked out anew with the lake
        may_be_kept = published_definition(state).kind != "view" and self._moment.limit is None
        known = self._seen.get(key) if may_be_kept else None
        if known is None:
            known = self._shown(state, decision)
            if may_be_kept and known.is_alone:
                self._seen[key] = known
        for statement in known.macros:
            self._create(statement)
        self.states[state.table.key] = state
        return replace(known, valid_until=decision.valid_until)

    def turning_back(self) -> TurningBack:
        """What the reader may do with tokens. Raises StatementRefused where that is nothing."""
        access = self._access
        self.is_cacheable = False  # it depends on every table of the lake
        resources = [self._resource(state) for state in self._moment.state.tables.values() if published_columns(state)]
        domains = detokenizable(access.policies, access.principal, resources, at=access.at)
        if not domains:
            raise StatementRefused(
                "tokens can't be turned back here",
                expected="the right to detokenize, and the purpose that it is for",
                found="no purpose" if access.principal.purpose is None else "no such right for this purpose",
                hint=f"{_PURPOSE[access.principal.door]} states a purpose; docs/policies.md says how the right is given",
            )
        columns = [f"{one.table}.{column.name}" for one in resources for column in one.columns if domains_of(access.policies, one, column) & domains]
        return TurningBack(detokenizing_macros(access.keys.tokens, domains), tuple(columns))

    def decide(self, state: TableState, action: Action | None = None) -> Decision:
        return decide(self._access.policies, self._access.principal, action or self._access.action, self._resource(state), at=self._access.at)

    def _resource(self, state: TableState) -> Resource:
        """What was not labelled at an older moment is read there with the labels that it has by now."""
        if self._moment.limit is None:
            return resource_of(state)
        if self._newest is None:
            self._newest = self._core.state_on(self._connection, self._moment.base)
        now = self._newest.find(state.table)
        return resource_of(state) if now is None else resource_of(state, now)

    def _who(self, decision: Decision) -> object:
        """Whom a condition may have named, however it is written; nobody where there is none."""
        return (self._access.principal.name, tuple(sorted(self._access.principal.groups))) if _conditions(decision) else None

    def _shown(self, state: TableState, decision: Decision) -> Seen:
        columns = published_columns(state)
        is_filtered = bool(decision.where)
        if decision.is_unrestricted and published_definition(state).kind != "view":
            return Seen(state.table, self.for_system(state.table, None), columns, False, decision.valid_until)
        cells = {column.name: self._cell(column, decision) for column in columns if column.name in decision.columns}
        sql = f"SELECT {_listed(cells)} FROM {state.table.sql}"
        if is_filtered:
            conditions = " OR ".join(f"(\n{where}\n)" for where in decision.where)
            sql += f" WHERE {conditions}"
        if _conditions(decision) or self._leaves_out(state):
            sql = _apart(sql, cells)
        return self._bound(state.table, sql, is_filtered, decision.valid_until)

    def _leaves_out(self, state: TableState) -> bool:
        """Whether the table is a view over rows of which the reader may not see all by themselves."""
        definition = published_definition(state)
        if definition.kind != "view":
            return False
        return not all(self._sees_all_of(table) for table in definition.inputs)

    def _sees_all_of(self, name: TableName) -> bool:
        state = self._moment.state.find(name)
        if state is None:
            return False
        decision = self.decide(state)
        if decision.valid_until is not None:
            self.turns.append(decision.valid_until)
        if not decision.is_unrestricted:
            return False
        self.states[state.table.key] = state
        return not self._leaves_out(state)

    def _bound(self, name: TableName, sql: str, is_filtered: bool, valid_until: datetime | None) -> Seen:
        """Our own SQL over a table, read as the system reads it, and bound by itself: what a condition names must be the table's own.

        Unbound, a name that the table lacks would be looked for in whatever the reader writes beside it.
        """
        principal = self._access.principal
        walk = Walk("system", lambda table: self.for_system(table, name), principal.name, sorted(principal.groups))
        try:
            node = walk.query(query_of(sql))
            # by the name of one of the engine's functions a mask or a filter means that one, whatever the project calls so
            macros = self._use_macros(walk.called - _OF_THE_ENGINE)
            text = to_sql(node)
            if text is None:
                raise StatementRefused("the rules of a table can't be put into a query", found=str(name), hint="headwater lint says which")
            columns = tuple(describe_query(self._connection, text))
        except HeadwaterError as error:
            raise LakeError(f"the rules for {name} can't be applied", found=str(error), state="nothing was read") from error
        return Seen(name, node, columns, is_filtered, valid_until, macros, all(table.key == name.key for table in walk.tables))

    def _cell(self, column: Column, decision: Decision) -> str:
        """What is seen of one column, cell by cell: the clearest of its sights that is for the row."""
        sights = decision.columns[column.name]
        types = {sight_type(sight, column) for sight in sights}
        every = decision.where[0] if len(decision.where) == 1 else None
        parts: list[str] = []
        for sight in sights:
            shown = quote(column.name) if sight.mask is None else mask_sql(sight.mask, quote(column.name), column.type, self._access.keys)
            if len(types) > 1:
                shown = f"CAST({shown} AS VARCHAR)"
            if sight.where is None or sight.where == every:
                if not parts:
                    return shown
                return f"CASE {' '.join(parts)} ELSE {shown} END"
            parts.append(f"WHEN (\n{sight.where}\n) THEN {shown}")
        return f"CASE {' '.join(parts)} ELSE NULL END"

    # -- as the system reads it --------------------------------------------------------------------------------------

    def for_system(self, name: TableName, reader: TableName | None) -> Node:
        """All rows and columns that are published; those that a view model reads are read in the same way. `reader` is the view it is for."""
        if name.schema.lower() == SYSTEM_SCHEMA:
            self.is_cacheable = self.is_cacheable and name.name.lower() != AUDIT
            return query_of(self._system_sql(name))
        state = self._moment.state.find(name)
        if state is None:
            raise self._not_found(name, reader)
        if not self._moment.head and not is_visible(state):
            why = f" ({state.reason})" if state.reason else ""
            raise TableNotFound(
                f"{name} is not published",
                found=f"{state.publication}{why}",
                state="its rows are in the lake, waiting" if not state.is_retired else "it was retired",
                hint=f"headwater publish {name}, or read it with --head",
            )
        self.states[state.table.key] = state
        definition = state.definition if self._moment.head else published_definition(state)
        if definition.kind != "view":
            return query_of(self._physical_sql(state))
        for statement in definition.body.get("macros", ()):
            self._create(statement)
        walk = Walk("system", lambda table: self.for_system(table, name))
        node = walk.query(query_of(definition.sql))
        self._use_macros(walk.called)
        return node

    def _use_macros(self, called: Iterable[str]) -> tuple[str, ...]:
        """Creates the project's macros that a view model or a rule calls, and those that they call, each after these; gives them."""
        pending = [name for name in called if name in self._known_macros]
        chosen: set[str] = set()
        while pending:
            name = pending.pop()
            if name in chosen:
                continue
            chosen.add(name)
            pending += [one for one in functions_named(self._known_macros[name]) if one in self._known_macros]
        statements = tuple(statement for name, statement in self._known_macros.items() if name in chosen)
        for statement in statements:
            self._create(statement)
        return statements

    def _create(self, statement: str) -> None:
        if statement not in self.macros:
            name = macro_name(statement)
            if not self._access.is_owner and name in _OF_THE_ENGINE:
                raise StatementRefused(f"the project redefines the engine's function {name}", expected="a macro with a name of its own")
            self._connection.execute(temporary_macro(statement))
            self.macros.append(statement)

    def _physical_sql(self, state: TableState) -> str:
        moment = self._moment
        apart = self._lease.of(state) if moment.limit is None and not moment.head else None
        if apart is not None:
            return f"SELECT {', '.join(quote(column.name) for column in published_columns(state))} FROM {apart.relation}"
        pin = None if moment.head else state.published_snapshot
        columns = state.columns if moment.head else published_columns(state)
        snapshot = pin if pin is not None and pin != NEVER_PUBLISHED else moment.limit
        if moment.limit is not None and snapshot is not None and snapshot not in self._existing():
            # what was published then isn't pinned any more; another snapshot may still show the same rows
            snapshot, _ = readable_snapshot(self._core, self._connection, state, snapshot, moment.base)
        return select_at(self._core.database, state.table, columns, None if snapshot == moment.base else snapshot)

    def _existing(self) -> frozenset[int]:
        if self._kept is None:
            self._kept = frozenset(existing_snapshots(self._core, self._connection))
        return self._kept

    def _not_found(self, name: TableName, reader: TableName | None) -> TableNotFound:
        near = difflib.get_close_matches(str(name), [str(table) for table in self._moment.state.tables], n=1)
        by = f", which the view {reader} reads" if reader else ""
        return TableNotFound(
            f"there is no table {name} in the lake{by}", hint=f"did you mean {near[0]}?" if near else "headwater ls shows all tables"
        )

    # -- the lake's own tables ---------------------------------------------------------------------------------------

    def _system_sql(self, name: TableName, columns: str = "*") -> str:
        table = name.name.lower()
        if table == AUDIT and self._access.audit_rows is not None:
            self._name_audit()
            return f"SELECT {columns} FROM temp.main.{_NAMED_AUDIT}"
        if table not in SYSTEM_TABLES:
            known = [*SYSTEM_TABLES, AUDIT]
            raise TableNotFound(f"there is no table {name}", expected=", ".join(f"headwater.{table}" for table in known))
        conditions = []
        if table != "format":
            conditions.append(f"environment = {quote_literal(self._core.environment)}")
            if self._moment.limit is not None:
                conditions.append(f"snapshot_id <= {self._moment.limit}")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"SELECT {columns} FROM {self._core.system}.{quote(table)}{where}"

    def _name_audit(self) -> None:
        """The audit lives in the state store: its rows as they are now, named on this connection alone, and read by the query itself."""
        if self.has_audit or self._access.audit_rows is None:
            return
        self._connection.register(_NAMED_AUDIT, self._access.audit_rows())
        self.has_audit = True

    def _see_audit(self, name: TableName) -> Seen:
        """By the right `audit` alone: no grant of `select` opens it, whatever its pattern."""
        decision = decide(self._access.policies, self._access.principal, "audit", Resource(), at=self._access.at)
        if not decision.is_allowed or self._access.audit_rows is None:
            raise unknown(name, self._access.principal.door)
        own = TableName(SYSTEM_SCHEMA, AUDIT)
        return self._bound(own, f"SELECT * FROM {own.sql}", False, decision.valid_until)

    def _see_system(self, name: TableName) -> Seen:
        """By a grant that names it; `quarantine` also by the right `quarantine`, which shows the rows of the tables it is on."""
        table = name.name.lower()
        if table == AUDIT:
            self.is_cacheable = False
            return self._see_audit(name)
        if table not in SYSTEM_TABLES:
            raise unknown(name, self._access.principal.door)
        own = TableName(SYSTEM_SCHEMA, table)
        self.is_cacheable = False
        columns = tuple(Column(column, type_name) for column, type_name in SYSTEM_TABLES[table].items())
        resource = Resource(own, tuple(ColumnLabels(column.name) for column in columns))
        decision = decide(self._access.policies, self._access.principal, self._access.action, resource, at=self._access.at)
        right: Action = "quarantine" if table == "quarantine" else "select"
        if not decision.is_allowed and table != "quarantine":
            raise unknown(name, self._access.principal.door)
        decisions = {state.table: self.decide(state, right) for state in self._moment.state.tables.values()} if table in VALUES_OF_OTHERS else {}
        open_tables = [one for one, decided in decisions.items() if decided.is_unrestricted]
        if not decision.is_allowed:
            if not any(decided.is_allowed for decided in decisions.values()):
                raise unknown(name, self._access.principal.door)
            rows_of = [one for one, decided in decisions.items() if decided.is_allowed]
            decision = Decision(decision.principal, "select", resource, True, {column.name: (Sight(None, None),) for column in columns})
        else:
            rows_of = None
        cells: dict[str, str] = {}
        for column in columns:
            if column.name not in decision.columns:
                continue
            cell = self._cell(column, decision)
            if column.name in VALUES_OF_OTHERS.get(table, ()):
                cell = f"CASE WHEN {_is_of(open_tables)} THEN {cell} ELSE NULL END"
            cells[column.name] = cell
        conditions = [f"({' OR '.join(f'({where})' for where in decision.where)})"] if decision.where else []
        if rows_of is not None:
            conditions.append(_is_of(rows_of))
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return self._bound(own, _apart(f"SELECT {_listed(cells)} FROM {own.sql}{where}", cells), bool(conditions), decision.valid_until)


def resource_of(state: TableState, *later: TableState) -> Resource:
    """The table with the columns that readers are shown, each with the labels it had then and those it has by now, or had `later`."""
    labels: dict[str, set[str]] = {}
    for one in (state, *later):
        for column in (*published_columns(one), *one.columns):
            labels.setdefault(column.name.lower(), set()).update(column.labels)
    return Resource(state.table, tuple(ColumnLabels(column.name, frozenset(labels[column.name.lower()])) for column in published_columns(state)))


def _listed(cells: Mapping[str, str]) -> str:
    return ", ".join(f"{cell} AS {quote(name)}" for name, cell in cells.items())


def _apart(sql: str, cells: Iterable[str]) -> str:
    """The rows of `sql` (with columns named `cells`), and no way back to those that it leaves out.

    Many of the engine's functions that it takes to be safe are computed once for each entry of a column's dictionary, which entries of rows left out
    stand in. A column compared with itself comes out of that as its own values alone.
    """
    return f"SELECT {', '.join(f'greatest({name}, {name}) AS {name}' for name in map(quote, cells))} FROM ({sql}) {BARRIER}"


def sight_type(sight: Sight, column: Column) -> str:
    return "VARCHAR" if sight.mask is not None and sight.mask.kind in ("hash", "token") else column.type


def unknown(name: TableName, door: Door) -> TableNotFound:
    return TableNotFound(f"there is no table {name}", expected="a table that you may read", hint=_LISTED[door])


def _version(state: TableState) -> object:
    return (state.published_snapshot, state.table, published_columns(state), published_definition(state).fingerprint)


def is_same(before: TableState, now: TableState | None) -> bool:
    """Whether a plan made on one is good on the other."""
    if now is before:
        return True
    return (
        now is not None
        and _version(before) == _version(now)
        and is_visible(before) == is_visible(now)
        and before.columns == now.columns
        and published_definition(before).sql == published_definition(now).sql
    )


def _conditions(decision: Decision) -> list[str]:
    return [*decision.where, *(sight.where for sights in decision.columns.values() for sight in sights if sight.where is not None)]


def _is_of(tables: list[TableName]) -> str:
    if not tables:
        return "false"
    listed = ", ".join(f"({quote_literal(table.key[0])}, {quote_literal(table.key[1])})" for table in tables)
    return f"(lower(schema_name), lower(table_name)) IN ({listed})"
