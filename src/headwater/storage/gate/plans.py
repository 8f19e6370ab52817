"""From a statement to the SQL that runs: walked, rewritten, checked, and kept for whoever asks the same."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from headwater.engine import Connection, parse_statements, parse_tree, with_room
from headwater.errors import StatementRefused
from headwater.project.macros import macro_name, macro_queries, temporary_macro
from headwater.project.sqltext import mask
from headwater.security.tokenizing import FUNCTION, detokenizing_macros
from headwater.spec.names import TableName, quote, quote_literal
from headwater.storage.changes import TableState
from headwater.storage.core import Core
from headwater.storage.gate import functions
from headwater.storage.gate.access import Access, Described
from headwater.storage.gate.apart import Apart, Lease
from headwater.storage.gate.entangled import refuse_entangled, too_deep
from headwater.storage.gate.outline import outline
from headwater.storage.gate.parameters import TypedNulls
from headwater.storage.gate.tables import Moment, Seen, Tables, TurningBack, is_same
from headwater.storage.gate.tree import Node, query_of, to_sql
from headwater.storage.gate.walk import Walk

_MOST_PLANS: Final = 2000
_MOST_TABLES: Final = 5000
#: A longer statement isn't kept.
_MOST_CHARACTERS: Final = 200_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs instead of a statement. `sql` None: DuckDB's parser can't take the statement apart (a PIVOT without IN).

    `macros` are created on the connection first. `parameters` are the names of the statement's parameters, in order.
    """

    sql: str | None
    node: Node | None
    macros: tuple[str, ...]
    is_filtered: bool
    tables: tuple[str, ...]
    columns: tuple[str, ...]
    parameters: tuple[str, ...]
    valid_until: datetime | None
    states: Mapping[tuple[str, str], TableState] = field(default_factory=dict)
    #: Columns whose tokens it turns back; None where it turns none back.
    turned_back: tuple[str, ...] | None = None
    #: Where `sql` finds tables' rows without asking the lake.
    apart: frozenset[Apart] = frozenset()
    reads_audit: bool = False
    #: What was found out about it, by the types of its parameters as they were given.
    described: dict[tuple[str | None, ...], Described] = field(default_factory=dict, compare=False)
    #: What runs instead of it, by the parameters that are null; None where it runs itself.
    with_nulls: dict[frozenset[str], TypedNulls | None] = field(default_factory=dict, compare=False)

    @property
    def leaves_traces(self) -> bool:
        """Whether the connection has macros or tables afterwards that the next reader must not find there."""
        return bool(self.macros) or self.reads_audit


class Plans:
    """Makes plans and keeps them. Thread-safe."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._kept: OrderedDict[Hashable, tuple[Access, Plan]] = OrderedDict()
        self._seen: dict[object, Seen] = {}
        self._lock = threading.Lock()

    def plan(self, access: Access, sql: str, moment: Moment, connection: Connection, macros: Iterable[str], lease: Lease) -> Plan:
        """`lease` holds what the plan reads beside the lake. Raises StatementRefused, TableNotFound, SqlSyntaxError."""
        statements = tuple(macros)
        key = self._key(access, sql, statements) if moment.limit is None and not moment.head and len(sql) <= _MOST_CHARACTERS else None
        known = self._find(key, access, moment, lease)
        if known is not None:
            return known
        named = {name: statement for statement in statements if (name := macro_name(statement)) is not None}
        tables = Tables(self._core, access, moment, connection, self._seen, named, lease)
        plan = _planned(access, sql, tables, named)
        plan = replace(plan, apart=_apart(plan, moment, lease))
        if key is not None and tables.is_cacheable and plan.sql is not None:
            with self._lock:
                self._kept[key] = (access, plan)
                while len(self._kept) > _MOST_PLANS:
                    self._kept.popitem(last=False)
                if len(self._seen) > _MOST_TABLES:
                    self._seen.clear()
        return plan

    def tables(self, access: Access, moment: Moment, connection: Connection, macros: Iterable[str], lease: Lease) -> Tables:
        named = {name: statement for statement in macros if (name := macro_name(statement)) is not None}
        return Tables(self._core, access, moment, connection, self._seen, named, lease)

    def _key(self, access: Access, sql: str, macros: tuple[str, ...]) -> Hashable:
        """All that decisions depend on but the time: who, why and under which policies. Labels, rows and columns are in the tables' states."""
        who = access.principal
        groups = tuple(sorted(who.groups))
        return (
            sql,
            who.name,
            who.kind,
            who.roles,
            groups,
            who.is_admin,
            who.purpose,
            who.scope,
            access.policies.version,
            access.keys,
            access.database,
            access.action,
            macros,
        )

    def _find(self, key: Hashable | None, access: Access, moment: Moment, lease: Lease) -> Plan | None:
        if key is None:
            return None
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
        before, plan = found
        is_in_force = before.policies is access.policies or bool(access.policies.version)
        is_in_time = before.at <= access.at and (plan.valid_until is None or access.at < plan.valid_until)
        is_as_it_was = is_in_force and is_in_time and all(is_same(state, moment.state.find(state.table)) for state in plan.states.values())
        if is_as_it_was and plan.apart == _apart(plan, moment, lease):
            return plan
        with self._lock:
            self._kept.pop(key, None)
        return None


def _apart(plan: Plan, moment: Moment, lease: Lease) -> frozenset[Apart]:
    """Where the rows of what a plan reads lie beside the lake, as they are now."""
    if moment.limit is not None or moment.head:
        return frozenset()
    states = (moment.state.find(state.table) for state in plan.states.values())
    return frozenset(one for state in states if state is not None and (one := lease.of(state)) is not None)


#: The one column of what EXPLAIN gives.
_EXPLAINED: Final = "QUERY PLAN"
_EXPLAIN: Final = re.compile(r"\s*explain\b\s*(?P<option>analy[sz]e\b|verbose\b|\()?", re.IGNORECASE)


def _planned(access: Access, sql: str, tables: Tables, known: Mapping[str, str]) -> Plan:
    """As `make_plan`. Only the owner's statements get room beyond the ordinary stack: it is given to the whole process, doors among it."""
    if access.is_owner:
        return with_room(lambda: make_plan(access, sql, tables, known))
    try:
        return make_plan(access, sql, tables, known)
    except RecursionError:
        raise too_deep() from None


def make_plan(access: Access, sql: str, tables: Tables, known: Mapping[str, str]) -> Plan:
    """Has no effects of its own but on `tables`, and for EXPLAIN on the connection: macros."""
    explained = _EXPLAIN.match(mask(sql)) if "explain" in sql.lower() else None
    if explained is None:
        return _plan_of_query(access, sql, tables, known)
    if explained["option"]:
        raise StatementRefused(
            "EXPLAIN takes no options here",
            expected="EXPLAIN SELECT ..",
            found=f"EXPLAIN {explained['option']}",
            hint="it runs nothing, since times, counts and estimates would tell of rows that are hidden",
        )
    inner = sql[explained.end() :]
    _, parameters = _one_query(inner, access)
    if parameters:
        raise StatementRefused("a query with parameters can't be explained", hint="write values in their place")
    return _plan_of_explaining(access, inner, _plan_of_query(access, inner, tables, known), tables)


def _plan_of_explaining(access: Access, sql: str, plan: Plan, tables: Tables) -> Plan:
    """Gives the outline of a query, which is bound as if it were to run: what couldn't be asked can't be explained."""
    node, _ = _one_query(sql, access)
    if node is None or plan.sql is None:
        raise StatementRefused("a PIVOT without IN can't be explained", expected="PIVOT .. ON column IN (values)")
    macros = plan.macros
    if plan.turned_back is not None:  # binding computes what is constant, and the audit isn't told of tokens turned back by that
        macros = (*macros, *detokenizing_macros(access.keys.tokens, ()))
    tables.bind(macros, plan.sql)
    lines = ", ".join(map(quote_literal, outline(node, tables.notes(plan.columns))))
    text = f"SELECT unnest(CAST([{lines}] AS VARCHAR[])) AS {quote(_EXPLAINED)}"
    return replace(plan, sql=text, node=query_of(text), macros=macros, turned_back=None, is_filtered=False, described={}, with_nulls={})


def _plan_of_query(access: Access, sql: str, tables: Tables, known: Mapping[str, str]) -> Plan:
    node, parameters = _one_query(sql, access)
    if node is None:
        return Plan(None, None, (), False, (), (), (), None)
    if not access.is_owner:
        refuse_entangled(node)
    principal = access.principal
    walk = Walk(
        "owner" if access.is_owner else "reader",
        tables.for_reader,
        principal.name,
        sorted(principal.groups),
        frozenset(known) if access.is_owner else frozenset((*known, FUNCTION)),
        access.database,
    )
    rewritten = walk.query(node)
    used = _macros_used(walk.called, known, access)
    turning_back = _turning_back(walk.called, known, tables, access)
    if not access.is_owner:
        _refuse_what_leaks(walk.called | used.called, tables.found)
    text = to_sql(rewritten, parameters)
    if text is None and not access.is_owner:
        raise StatementRefused("this query can't be rewritten without changing what it says", hint="write it in a simpler way")
    names = tuple(dict.fromkeys(str(table) for table in walk.tables))
    columns = _columns_read(walk, tables, names)
    return Plan(
        sql=text,
        node=rewritten,
        macros=(*(temporary_macro(statement) for statement in (*used.statements, *tables.macros)), *(turning_back.macros if turning_back else ())),
        is_filtered=any(seen.is_filtered for seen in tables.found),
        tables=names,
        columns=columns,
        parameters=tuple(str(item["key"]) for item in sorted(parameters, key=lambda item: int(item["value"]))),
        valid_until=min((*(seen.valid_until for seen in tables.found if seen.valid_until is not None), *tables.turns), default=None),
        states=dict(tables.states),
        reads_audit=tables.has_audit,
        turned_back=None if turning_back is None else tuple(one for one in turning_back.columns if one in columns) or turning_back.columns,
    )


def _turning_back(called: set[str], known: Mapping[str, str], tables: Tables, access: Access) -> TurningBack | None:
    if FUNCTION not in called:
        return None
    if not access.is_owner:
        return tables.turning_back()
    if FUNCTION in known:
        return None
    raise StatementRefused(f"a query of the owner's can't call {FUNCTION}", hint="headwater detokenize TOKEN --purpose P, which is audited")


def _one_query(sql: str, access: Access) -> tuple[Node | None, list[dict[str, Any]]]:
    """The node of the one query in a text, and its parameters. Raises StatementRefused for anything else."""
    statements = parse_statements(sql)
    tree = parse_tree(sql) if len(statements) == 1 and statements[0].type == "SELECT" else None
    if tree is not None and len(tree["statements"]) == 1:
        found = tree["statements"][0]
        unknown = found.keys() - {"node", "named_param_map"}
        if not unknown:
            return found["node"], found["named_param_map"]
    # DuckDB takes a PIVOT without IN apart into statements of its own, which have no text
    is_pivot = len(statements) > 1 and all(not statement.sql for statement in statements)
    if is_pivot and access.is_owner:
        return None, []
    if is_pivot:
        raise StatementRefused("a PIVOT needs its values here", expected="PIVOT .. ON column IN (values)", found="a PIVOT without IN")
    kinds = ", ".join(statement.type for statement in statements) or "nothing"
    raise StatementRefused("only one query can be run here", expected="one SELECT", found=kinds, hint="tables change by `headwater run` alone")


@dataclass(frozen=True, slots=True)
class _Used:
    statements: tuple[str, ...]
    called: frozenset[str]


def _macros_used(called: set[str], known: Mapping[str, str], access: Access) -> _Used:
    """The project's macros that a query calls, those that they call among them; their bodies are walked as the query itself is."""
    if not called & known.keys():
        return _Used((), frozenset())
    if access.is_owner:
        return _Used(tuple(known.values()), frozenset())
    chosen: set[str] = set()
    found: set[str] = set()
    pending = [name for name in called if name in known]
    while pending:
        name = pending.pop()
        if name in chosen:
            continue
        chosen.add(name)
        if name in functions.ALLOWED | functions.REFUSED | {FUNCTION}:
            # it would stand in for the engine's own in masks and filters, too
            raise StatementRefused(
                f"a query can't call {name} here", expected="a macro with a name of its own", found="a function of the engine, redefined"
            )
        for body in macro_queries(known[name]):
            tree = parse_tree(body)
            if tree is None or len(tree["statements"]) != 1:
                raise StatementRefused(f"a query can't call {name} here", found="a macro whose body is no query")
            walk = Walk("reader", _no_tables, macros=frozenset(known))
            walk.query(tree["statements"][0]["node"])
            found |= walk.called
            pending += [one for one in walk.called if one in known]
    return _Used(tuple(statement for name, statement in known.items() if name in chosen), frozenset(found))


def _no_tables(name: TableName) -> Node:
    raise StatementRefused("a macro that reads tables can't be called here", hint="make it a view model")


def _refuse_what_leaks(called: Iterable[str], seen: Iterable[Seen]) -> None:
    unsafe = sorted(functions.UNSAFE_ON_FILTERED & set(called))
    if unsafe and any(one.is_filtered for one in seen):
        raise StatementRefused(f"a query can't call {unsafe[0]} on rows that a policy filters", hint="docs/gate.md says why")


def _columns_read(walk: Walk, tables: Tables, names: Sequence[str]) -> tuple[str, ...]:
    """Columns of the tables named that the statement may read: those whose names stand in it, all with a `*`."""
    columns: dict[str, Sequence[str]] = {str(seen.name): [column.name for column in seen.columns] for seen in tables.found}
    for state in tables.states.values():
        columns.setdefault(str(state.table), [column.name for column in state.columns])
    by_key = {name.lower(): found for name, found in columns.items()}
    return tuple(f"{name}.{one}" for name in names for one in by_key.get(name.lower(), ()) if walk.has_star or one.lower() in walk.words)
