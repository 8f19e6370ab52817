"""The walk over a statement's syntax tree: what the grammar doesn't know is refused, and each table becomes what the reader may see of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from headwater.errors import StatementRefused, TableNotFound
from headwater.spec.names import TableName
from headwater.storage.gate import functions
from headwater.storage.gate.grammar import (
    COLLATION,
    COMMON,
    EXPRESSIONS,
    MODIFIERS,
    OPERATORS,
    PLAIN_TYPES,
    QUERIES,
    QUERY_COMMON,
    REF_COMMON,
    REFS,
    check_fields,
    check_plain,
    refuse,
    refuse_function,
)
from headwater.storage.gate.tree import Node, expression_of, subquery_ref, text_constant, texts_constant, texts_of

#: Whose text is walked: a reader's, the owner's, or our own (a policy's condition, a view model's body).
Author = Literal["reader", "owner", "system"]

_WHO: Final = frozenset({"current_user", "session_user", "user", "current_role"})
_ANSWERED: Final = _WHO | {"current_groups"}


@dataclass(slots=True)
class _Item:
    """A relation in a FROM: how it was called, and the schema its name may be written with; `alias` is what it is called now."""

    schema: str
    name: str
    alias: str


@dataclass(slots=True)
class _Scope:
    items: list[_Item] = field(default_factory=list)
    outer: _Scope | None = None


@dataclass(frozen=True, slots=True)
class _Cte:
    new_name: str
    is_recursive: bool


_Ctes = Mapping[str, _Cte]


@dataclass(slots=True)
class Walk:
    """One walk over one text. `resolve` gives the query that stands for a table (raises TableNotFound); `macros` are names of functions that the
    project defines; `catalog` is a name for the whole lake that may stand in front of a schema's.

    Afterwards `called` holds the functions met, `words` every part of every column's name, `has_star` whether all columns may be meant.
    """

    author: Author
    resolve: Callable[[TableName], Node]
    user: str = ""
    groups: Sequence[str] = ()
    macros: frozenset[str] = frozenset()
    catalog: str | None = None
    called: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    tables: list[TableName] = field(default_factory=list)
    has_star: bool = False
    _unnamed: list[tuple[Node, Node]] = field(default_factory=list)
    _count: int = 0
    _clashing: frozenset[str] = frozenset()

    def query(self, node: Node) -> Node:
        """The query, rewritten. Raises StatementRefused, TableNotFound."""
        self._clashing = _clashing_names(node)
        found = self._query(node, {}, None)
        self._name_columns()
        return found

    def _name_columns(self) -> None:
        """What a column without a name is called is its expression's text: as it was written, not with what it became.

        It would tell the reader how tables are kept and filtered, and with which keys they are masked.
        """
        for (node, _), name in zip(self._unnamed, texts_of([original for _, original in self._unnamed]), strict=True):
            node["alias"] = name
        self._unnamed.clear()

    # -- queries -----------------------------------------------------------------------------------------------------

    def _query(self, node: Node, ctes: _Ctes, outer: _Scope | None) -> Node:
        kind = str(node.get("type"))
        allowed = QUERIES.get(kind)
        if allowed is None:
            refuse(f"a query of the kind {kind}")
        check_fields(node, allowed | QUERY_COMMON, kind)
        ctes, cte_map = self._cte_map(node["cte_map"], ctes, outer)
        if kind == "SELECT_NODE":
            return self._select({**node, "cte_map": cte_map}, ctes, outer)
        if kind != "SET_OPERATION_NODE":
            refuse("a recursive query outside a WITH")
        found = {**node, "cte_map": cte_map, "modifiers": self._modifiers(node["modifiers"], ctes, _Scope([], outer))}
        for side in ("left", "right"):
            if node.get(side) is not None:
                found[side] = self._query(node[side], ctes, outer)
        if "children" in node:
            found["children"] = [self._query(child, ctes, outer) for child in node["children"]]
        return found

    def _select(self, node: Node, ctes: _Ctes, outer: _Scope | None) -> Node:
        scope = _Scope([], outer)
        source = self._ref(node["from_table"], ctes, scope)
        check_plain(node["sample"])
        check_plain(node["group_sets"])
        return {
            **node,
            "from_table": source,
            "select_list": self._columns(node["select_list"], ctes, scope),
            "where_clause": self._expression(node["where_clause"], ctes, scope),
            "group_expressions": self._expressions(node["group_expressions"], ctes, scope),
            "having": self._expression(node["having"], ctes, scope),
            "qualify": self._expression(node["qualify"], ctes, scope),
            "modifiers": self._modifiers(node["modifiers"], ctes, scope),
        }

    def _columns(self, nodes: Sequence[Node], ctes: _Ctes, scope: _Scope) -> list[Node]:
        found = self._expressions(nodes, ctes, scope)
        for original, node in zip(nodes, found, strict=True):
            if not original["alias"] and _changes(original):
                self._unnamed.append((node, original))
        return found

    def _cte_map(self, cte_map: Node, ctes: _Ctes, outer: _Scope | None) -> tuple[_Ctes, Node]:
        """Each gets a name that nothing else has: what isn't found under it can't be taken for a table, a file or a view of the engine's."""
        check_fields(cte_map, frozenset({"map"}), "WITH")
        if not cte_map["map"]:
            return ctes, cte_map
        entries = []
        seen: set[str] = set()
        for entry in cte_map["map"]:
            check_fields(entry, frozenset({"key", "value"}), "WITH")
            value = entry["value"]
            check_fields(value, frozenset({"aliases", "query", "materialized", "key_targets"}), "WITH")
            name = str(entry["key"]).lower()
            if name in seen:
                raise StatementRefused("two queries in one WITH have the same name", found=str(entry["key"]))
            seen.add(name)
            self._count += 1
            new_name = f"hw_cte_{self._count}"
            node = value["query"]["node"]
            check_fields(value["query"], frozenset({"node", "named_param_map"}), "query")
            if node.get("type") == "RECURSIVE_CTE_NODE":
                inside = {**ctes, name: _Cte(new_name, True)}
                query = self._recursive(node, new_name, inside, outer)
            else:
                query = self._query(node, ctes, outer)
            targets = self._expressions(value["key_targets"], ctes, _Scope([], outer))
            entries.append({"key": new_name, "value": {**value, "query": {**value["query"], "node": query}, "key_targets": targets}})
            ctes = {**ctes, name: _Cte(new_name, False)}
        return ctes, {"map": entries}

    def _recursive(self, node: Node, new_name: str, ctes: _Ctes, outer: _Scope | None) -> Node:
        check_fields(node, QUERIES["RECURSIVE_CTE_NODE"] | QUERY_COMMON, "RECURSIVE_CTE_NODE")
        ctes, cte_map = self._cte_map(node["cte_map"], ctes, outer)
        return {
            **node,
            "cte_name": new_name,
            "cte_map": cte_map,
            "modifiers": self._modifiers(node["modifiers"], ctes, _Scope([], outer)),
            "left": self._query(node["left"], ctes, outer),
            "right": self._query(node["right"], ctes, outer),
            "key_targets": self._expressions(node["key_targets"], ctes, _Scope([], outer)),
        }

    def _modifiers(self, modifiers: Sequence[Node], ctes: _Ctes, scope: _Scope) -> list[Node]:
        return [self._modifier(modifier, ctes, scope) for modifier in modifiers]

    def _modifier(self, modifier: Node, ctes: _Ctes, scope: _Scope | None) -> Node:
        kind = str(modifier.get("type"))
        allowed = MODIFIERS.get(kind)
        if allowed is None:
            refuse(f"a clause of the kind {kind}")
        check_fields(modifier, allowed, kind)
        found = dict(modifier)
        if "orders" in modifier:
            found["orders"] = self._orders(modifier["orders"], ctes, scope)
        for name in ("limit", "offset"):
            if name in modifier:
                found[name] = self._expression(modifier[name], ctes, scope)
        if "distinct_on_targets" in modifier:
            found["distinct_on_targets"] = self._expressions(modifier["distinct_on_targets"], ctes, scope)
        return found

    def _orders(self, orders: Sequence[Node], ctes: _Ctes, scope: _Scope | None) -> list[Node]:
        for order in orders:
            check_fields(order, frozenset({"type", "null_order", "expression"}), "ORDER BY")
        return [{**order, "expression": self._expression(order["expression"], ctes, scope)} for order in orders]

    # -- FROM --------------------------------------------------------------------------------------------------------

    def _ref(self, node: Node, ctes: _Ctes, scope: _Scope) -> Node:
        kind = str(node.get("type"))
        allowed = REFS.get(kind)
        if allowed is None:
            refuse(f"a FROM of the kind {kind}")
        check_fields(node, allowed | REF_COMMON, kind)
        check_plain(node["sample"])
        match kind:
            case "BASE_TABLE":
                return self._table(node, ctes, scope)
            case "SUBQUERY":
                scope_of_it = _Scope(list(scope.items), scope.outer)
                query = self._query(node["subquery"]["node"], ctes, scope_of_it)
                check_fields(node["subquery"], frozenset({"node", "named_param_map"}), "query")
                scope.items.append(_Item("", node["alias"], node["alias"]))
                return {**node, "subquery": {**node["subquery"], "node": query}}
            case "JOIN":
                left = self._ref(node["left"], ctes, scope)
                right = self._ref(node["right"], ctes, scope)
                if node["duplicate_eliminated_columns"]:
                    refuse("a join of the engine's own")
                self.words.update(str(column).lower() for column in node["using_columns"])
                self.has_star |= node["ref_type"] == "NATURAL"
                return {**node, "left": left, "right": right, "condition": self._expression(node["condition"], ctes, scope)}
            case "TABLE_FUNCTION":
                found = self._table_function(node, ctes, scope)
                scope.items.append(_Item("", node["alias"] or str(node["function"]["function_name"]), node["alias"]))
                return found
            case "EXPRESSION_LIST":
                for one in node["expected_types"]:
                    self._type(one)
                scope.items.append(_Item("", node["alias"], node["alias"]))
                return {**node, "values": [self._expressions(row, ctes, scope) for row in node["values"]]}
            case "PIVOT":
                return self._pivot(node, ctes, scope)
            case "SHOW_REF":
                if node["query"] is None or node["show_type"] not in ("DESCRIBE", "SUMMARY") or node["catalog_name"] or node["schema_name"]:
                    refuse("SHOW", "a query can't call SHOW here")
                return {**node, "query": self._query(node["query"], ctes, None)}
            case _:
                return node

    def _table(self, node: Node, ctes: _Ctes, scope: _Scope) -> Node:
        catalog, schema, name = (str(node[key] or "") for key in ("catalog_name", "schema_name", "table_name"))
        cte = ctes.get(name.lower())
        is_recurring = cte is not None and cte.is_recursive and schema.lower() == "recurring"
        if cte is not None and not catalog and (not schema or is_recurring):
            if node["at_clause"] is not None:
                refuse("AT")
            alias = node["alias"] or name
            scope.items.append(_Item("", alias, alias))
            return {**node, "table_name": cte.new_name, "alias": alias}
        if not schema:
            if any(mark in name for mark in "./:*\\"):
                raise StatementRefused("a query can't read files here", expected="tables of the lake", hint="make the file a source")
            raise TableNotFound(f"there is no table {name}", expected="a name of the form schema.table", hint="headwater ls shows all tables")
        if catalog and (self.catalog is None or catalog.lower() != self.catalog.lower()):
            raise StatementRefused("a query names tables as schema.table", found=f"{catalog}.{schema}.{name}")
        if node["at_clause"] is not None:
            raise StatementRefused("a query can't choose a table's version", expected="tables as they are published", hint="headwater query --at")
        table = TableName(schema, name)
        self.tables.append(table)
        query = self.resolve(table)
        alias = node["alias"]
        if not alias:
            alias = f"{schema}.{name}" if name.lower() in self._clashing else name
            scope.items.append(_Item(schema, name, alias))
        else:
            scope.items.append(_Item("", alias, alias))
        return subquery_ref(query, alias, columns=node["column_name_alias"], sample=node["sample"])

    def _table_function(self, node: Node, ctes: _Ctes, scope: _Scope) -> Node:
        call = node["function"]
        name = str(call.get("function_name", "")).lower()
        allowed = functions.TABLE_FUNCTIONS if self.author == "reader" else functions.TABLE_FUNCTIONS | functions.OWNERS_TABLE_FUNCTIONS
        if call.get("class") != "FUNCTION" or (name not in allowed and name not in self.macros) or call.get("schema") not in ("", "main"):
            what = "a query can't call " + name + " here"
            raise StatementRefused(what, expected="tables of the lake", hint="make what it reads a source, or a model of it")
        self.called.add(name)
        return {**node, "function": self._fields(call, EXPRESSIONS["FUNCTION"], ctes, scope)}

    def _pivot(self, node: Node, ctes: _Ctes, scope: _Scope) -> Node:
        inner = _Scope([], scope.outer)
        source = self._ref(node["source"], ctes, inner)
        pivots = []
        for pivot in node["pivots"]:
            check_fields(pivot, frozenset({"pivot_expressions", "unpivot_names", "entries", "pivot_enum"}), "PIVOT")
            if pivot["pivot_enum"]:
                refuse("a PIVOT on an ENUM")
            entries = []
            for entry in pivot["entries"]:
                check_fields(entry, frozenset({"values", "star_expr", "alias"}), "PIVOT")
                for value in entry["values"]:
                    self._constant(value)
                    self.words.add(str(value.get("value")).lower())
                entries.append({**entry, "star_expr": self._expression(entry["star_expr"], ctes, inner)})
            pivots.append({**pivot, "pivot_expressions": self._expressions(pivot["pivot_expressions"], ctes, inner), "entries": entries})
        self.has_star = True
        aggregates = (
            self._columns(node["aggregates"], ctes, inner) if len(node["aggregates"]) > 1 else self._expressions(node["aggregates"], ctes, inner)
        )
        scope.items.append(_Item("", node["alias"], node["alias"]))
        return {**node, "source": source, "pivots": pivots, "aggregates": aggregates}

    # -- expressions -------------------------------------------------------------------------------------------------

    def _expressions(self, nodes: Sequence[Node], ctes: _Ctes, scope: _Scope | None) -> list[Node]:
        return [self._expression(node, ctes, scope) or {} for node in nodes]

    def _expression(self, node: Node | None, ctes: _Ctes, scope: _Scope | None) -> Node | None:
        if node is None:
            return None
        kind = str(node.get("class"))
        fields = EXPRESSIONS.get(kind)
        if fields is None:
            refuse(f"an expression of the kind {kind}")
        if node.get("type") not in OPERATORS[kind]:
            refuse(f"the operator {node.get('type')}")
        match kind:
            case "COLUMN_REF":
                return self._column(node, scope)
            case "FUNCTION" | "WINDOW":
                answered = self._check_function(node)
                if answered is not None:
                    return answered
            case "STAR":
                self.has_star = True
                alias = self._new_alias([node["relation_name"]], scope) if node["relation_name"] else None
                if alias is not None:
                    node = {**node, "relation_name": alias}
                excluded = [self._qualified(item, scope) for item in node["qualified_exclude_list"]]
                renamed = [{**item, "key": self._qualified(item["key"], scope)} for item in node["rename_list"]]
                node = {**node, "qualified_exclude_list": excluded, "rename_list": renamed}
            case "CONSTANT" if node["value"].get("type", {}).get("id") == "DOUBLE" and not node["value"]["is_null"]:
                # written out, 1e10 would be read back as a DECIMAL
                self._constant(node["value"])
                cast = expression_of(f"CAST('{node['value']['value']!r}' AS DOUBLE)")
                return {**cast, "alias": node["alias"]}
            case _:
                pass
        return self._fields(node, fields, ctes, scope)

    def _fields(self, node: Node, fields: Mapping[str, str], ctes: _Ctes, scope: _Scope | None) -> Node:
        check_fields(node, fields.keys() | COMMON, str(node.get("class")))
        found = dict(node)
        for name, how in fields.items():
            if name not in node:
                continue
            value = node[name]
            match how:
                case "p":
                    check_plain(value)
                case "e":
                    found[name] = self._expression(value, ctes, scope)
                case "E":
                    found[name] = self._expressions(value, ctes, scope)
                case "t":
                    self._type(value)
                case "v":
                    self._constant(value)
                case "m":
                    found[name] = self._modifier(value, ctes, scope) if value is not None else None
                case "q":
                    check_fields(value, frozenset({"node", "named_param_map"}), "query")
                    found[name] = {**value, "node": self._query(value["node"], ctes, scope)}
                case "orders":
                    found[name] = self._orders(value, ctes, scope)
                case "cases":
                    for case in value:
                        check_fields(case, frozenset({"when_expr", "then_expr"}), "CASE")
                    found[name] = [{key: self._expression(one, ctes, scope) for key, one in case.items()} for case in value]
                case "replacements":
                    for item in value:
                        check_fields(item, frozenset({"key", "value"}), "REPLACE")
                    found[name] = [{**item, "value": self._expression(item["value"], ctes, scope)} for item in value]
                case "collation":
                    if not COLLATION.fullmatch(str(value)):
                        refuse("this collation")
        return found

    def _check_function(self, node: Node) -> Node | None:
        """Raises StatementRefused for what may not be called; gives the constant that stands for a function the gate answers itself."""
        name = str(node["function_name"]).lower()
        if node["catalog"] or node["schema"] not in ("", "main"):
            refuse_function(".".join(part for part in (node["catalog"], node["schema"], name) if part))
        if node.get("export_state"):
            refuse("EXPORT_STATE")
        if not node.get("children") and name not in self.macros and self.author != "owner":
            if name in _WHO:
                return {**text_constant(self.user), "alias": node["alias"]}
            if name == "current_groups":
                return {**texts_constant(list(self.groups)), "alias": node["alias"]}
        self.called.add(name)
        if self.author == "reader" and name not in functions.ALLOWED and name not in self.macros:
            refuse_function(name)
        if name in functions.CALL_BY_NAME and self.author == "reader":
            self._check_called_by_name(node)
        return None

    def _check_called_by_name(self, node: Node) -> None:
        arguments = node["children"]
        given = arguments[1]["value"] if len(arguments) > 1 and arguments[1].get("class") == "CONSTANT" else None
        called = str(given["value"]).lower() if given is not None and given["type"]["id"] == "VARCHAR" and not given["is_null"] else None
        if called not in functions.AGGREGATES:
            refuse_function(f"{node['function_name']} with {called or 'a name that is no constant'}")
        self.called.add(called)

    def _qualified(self, name: Node, scope: _Scope | None) -> Node:
        """A column's name in EXCLUDE or RENAME, under what its table is called now."""
        check_fields(name, frozenset({"catalog", "schema", "table", "column"}), "column name")
        alias = self._new_alias([part for part in (name["schema"], name["table"]) if part], scope) if name["table"] else None
        return name if alias is None else {"catalog": "", "schema": "", "table": alias, "column": name["column"]}

    def _column(self, node: Node, scope: _Scope | None) -> Node:
        check_fields(node, EXPRESSIONS["COLUMN_REF"].keys() | COMMON, "COLUMN_REF")
        parts = [str(part) for part in node["column_names"]]
        self.words.update(part.lower() for part in parts)
        if self.author == "system" and len(parts) == 1 and parts[0].lower() in ("current_user", "session_user"):
            return {**text_constant(self.user), "alias": node["alias"]}
        if len(parts) >= 2:
            if self.catalog is not None and len(parts) >= 4 and parts[0].lower() == self.catalog.lower():
                parts = parts[1:]
            if len(parts) >= 3:
                alias = self._new_alias(parts[:2], scope)
                if alias is not None:
                    return {**node, "column_names": [alias, *parts[2:]]}
            alias = self._new_alias(parts[:1], scope)
            if alias is not None:
                return {**node, "column_names": [alias, *parts[1:]]}
        return {**node, "column_names": parts}

    def _new_alias(self, parts: Sequence[str], scope: _Scope | None) -> str | None:
        """What the relation written as `parts` is called now; None where that is none of this query's."""
        wanted = [part.lower() for part in parts]
        while scope is not None:
            for item in scope.items:
                if len(wanted) == 2 and item.schema and [item.schema.lower(), item.name.lower()] == wanted:
                    return item.alias
                if len(wanted) == 1 and item.name.lower() == wanted[0]:
                    return item.alias or None
            scope = scope.outer
        return None

    # -- constants and types -----------------------------------------------------------------------------------------

    def _constant(self, value: Node) -> None:
        check_fields(value, frozenset({"type", "is_null", "value"}), "constant")
        self._type(value["type"])
        if value["type"].get("id") != "TYPE":
            check_plain(value.get("value"))

    def _type(self, value: Node | None) -> None:
        """Names of the engine's own types alone: a type may be looked up in a catalog, as a table is."""
        if value is None:
            return
        check_fields(value, frozenset({"id", "type_info"}), "type")
        info = value["type_info"]
        if info is None:
            if str(value["id"]).lower().replace('"', "") not in PLAIN_TYPES:
                refuse(f"the type {value['id']}")
            return
        is_elsewhere = info.get("catalog") or info.get("schema")
        if str(value["id"]) == "UNBOUND" and (is_elsewhere or str(info.get("name", "")).lower() not in functions.TYPES):
            refuse(f"the type {info.get('name')}")
        self._type_info(info)

    def _type_info(self, info: Any) -> None:
        if isinstance(info, list):
            for item in info:
                self._type_info(item)
        elif isinstance(info, dict):
            if "id" in info and "type_info" in info:
                self._type(info)
                return
            if "class" in info:
                self._expression(info, {}, None)
                return
            for item in info.values():
                self._type_info(item)


def _clashing_names(node: Any) -> frozenset[str]:
    """Names that tables of two schemas share, neither having another name in the query: these are told apart by their schemas."""
    found: dict[str, set[str]] = {}
    pending = [node]
    while pending:
        one = pending.pop()
        if isinstance(one, list):
            pending += one
        elif isinstance(one, dict):
            if one.get("type") == "BASE_TABLE" and not one.get("alias") and one.get("schema_name"):
                found.setdefault(str(one["table_name"]).lower(), set()).add(str(one["schema_name"]).lower())
            pending += one.values()
    return frozenset(name for name, schemas in found.items() if len(schemas) > 1)


def _changes(node: Any) -> bool:
    """Whether an expression holds a query, or something that the gate puts in another form."""
    pending = [node]
    while pending:
        one = pending.pop()
        if isinstance(one, list):
            pending += one
        elif isinstance(one, dict):
            is_answered = str(one.get("function_name", "")).lower() in _ANSWERED
            if (
                one.get("class") == "SUBQUERY"
                or is_answered
                or (one.get("class") == "CONSTANT" and one["value"].get("type", {}).get("id") == "DOUBLE")
            ):
                return True
            pending += one.values()
    return False
