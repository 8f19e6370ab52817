"""The FROM clause: tables, subqueries, joins, table functions, VALUES, PIVOT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headwater.engine import parse_tree
from headwater.errors import SqlSyntaxError
from headwater.project.lineage.macros import Macro
from headwater.project.lineage.names import known_functions, name_columns, pivoted_columns, rename
from headwater.project.lineage.relations import Column, Frame, Node, Relation, Scope, Source, Unresolvable, Visible, widest
from headwater.spec.names import TableName

if TYPE_CHECKING:
    from headwater.project.lineage.statement import Statement

#: Table functions of one column, which bears their name.
_ONE_COLUMN = frozenset({"unnest", "range", "generate_series"})


class Froms:
    """Derives the FROM clauses of one statement."""

    def __init__(self, statement: Statement, macros: Mapping[str, tuple[Macro, ...]]) -> None:
        self._statement = statement
        self._macros = macros

    def frame(self, ref: Node, ctes: Mapping[str, Any], outer: Scope | None) -> Frame:
        """What a table reference brings. `outer` holds what is to its left (everything may be lateral) and what is around."""
        match ref["type"]:
            case "EMPTY" | "EMPTY_FROM":
                return Frame()
            case "BASE_TABLE":
                return Frame.of(self._table(ref, ctes))
            case "SUBQUERY":
                relation = self._statement.query(ref["subquery"]["node"], ctes, outer)
                return Frame.of(self._source(ref, relation, ""))
            case "JOIN":
                return self._join(ref, ctes, outer)
            case "TABLE_FUNCTION":
                return Frame.of(self._table_function(ref, ctes, outer))
            case "EXPRESSION_LIST":
                return Frame.of(self._values(ref, ctes, outer))
            case "PIVOT":
                return Frame.of(self._pivot(ref, ctes, outer))
        raise Unresolvable(f"{ref['type'].replace('_REF', '')} in FROM")

    @staticmethod
    def _source(ref: Node, relation: Relation, name: str, schema: str = "") -> Source:
        """The relation under its alias, its first columns renamed by the alias's list."""
        rename(relation, ref.get("column_name_alias") or ())
        alias = ref.get("alias") or ""
        return Source((alias or name).lower(), "" if alias else schema.lower(), relation)

    def _table(self, ref: Node, ctes: Mapping[str, Any]) -> Source:
        name, schema = ref["table_name"], ref.get("schema_name") or ""
        if (not schema or schema.lower() == "recurring") and not ref.get("catalog_name"):
            cte = ctes.get(name.lower())
            if cte is not None:
                known = cte.relation
                name_columns(known.columns)
                copied = Relation([Column(c.name, c.mask, c.type) for c in known.columns], known.influence, known.rest, known.table)
                return self._source(ref, copied, name)
        return self._source(ref, self.table(TableName(schema or "main", name)), name, schema)

    def table(self, table: TableName) -> Relation:
        """A table of the project (or whatever stands outside it), its columns as `columns_of` knows them."""
        table = self._statement.inputs.table(table)
        bit = self._statement.inputs.bit
        columns = self._statement.columns_of(table)
        if columns is None:
            return Relation([], 0, bit(table, "*"), table)
        if isinstance(columns, Mapping):
            return Relation([Column(name, bit(table, name), kind) for name, kind in columns.items()])
        return Relation([Column(name, bit(table, name)) for name in columns])

    def _join(self, ref: Node, ctes: Mapping[str, Any], outer: Scope | None) -> Frame:
        left = self.frame(ref["left"], ctes, outer)
        right = self.frame(ref["right"], ctes, Scope(left.sources, ctes, outer, left))
        using = {name.lower() for name in ref["using_columns"]}
        if ref["ref_type"] == "NATURAL":
            if left.rest is not None or right.rest is not None:
                raise Unresolvable("a NATURAL JOIN with a table whose columns aren't known")
            using = _visible_names(left) & _visible_names(right)
        joined = Frame(left.sources + right.sources, rest=widest(left.rest, right.rest))
        joined.influence = left.influence | right.influence
        scope = Scope(joined.sources, ctes, outer, joined)
        for name in using:
            joined.influence |= self._statement.names.resolve([name], scope)
        joined.visible = _merged(left, right, using, is_right=ref["join_type"] == "RIGHT")
        if ref["condition"]:
            joined.influence |= self._statement.expressions.mask(ref["condition"], scope)
        if ref["join_type"] in ("SEMI", "ANTI"):
            return Frame(left.sources, left.visible, joined.influence, left.rest)
        return joined

    def _values(self, ref: Node, ctes: Mapping[str, Any], outer: Scope | None) -> Source:
        scope = Scope([], ctes, outer, outer.frame if outer else None)
        columns: list[Column] = []
        for row in ref["values"]:
            for index, value in enumerate(row):
                if index == len(columns):
                    columns.append(Column(f"col{index}", 0))
                columns[index].mask |= self._statement.expressions.mask(value, scope)
        return self._source(ref, Relation(columns), "")

    def _table_function(self, ref: Node, ctes: Mapping[str, Any], outer: Scope | None) -> Source:
        call = ref["function"]
        name = call["function_name"].lower()
        scope = Scope([], ctes, outer, outer.frame if outer else None)
        if name in self._macros:
            return self._source(ref, self._table_macro(name, call, scope), name)
        if name in ("query_table", "query"):
            return self._source(ref, self._table_in_text(name, call), name)
        if name not in known_functions():
            raise Unresolvable(f"the table function {name} isn't known")
        mask = 0
        for child in call["children"]:
            if child.get("type") == "COMPARE_EQUAL" and child["left"].get("class") == "COLUMN_REF":  # named: header = true
                child = child["right"]
            mask |= self._statement.expressions.mask(child, scope)
        is_plain = name in _ONE_COLUMN and not (name == "unnest" and len(call["children"]) > 1)
        relation = Relation([Column(name, mask)], mask) if is_plain else Relation([], mask, mask)
        if ref.get("with_ordinality") == "WITH_ORDINALITY":
            relation.columns.append(Column("ordinality", mask))
        if not is_plain:
            relation.columns = [Column(alias, mask) for alias in ref["column_name_alias"]]
        return self._source(ref, relation, name)

    def _table_macro(self, name: str, call: Node, scope: Scope) -> Relation:
        for macro in self._macros[name]:
            masks = self._statement.expressions.arguments(macro, call, scope) if macro.is_table else None
            if masks is not None and macro.body is not None:
                return self._statement.query(macro.body, {}, scope.within(masks))
        raise Unresolvable(f"the table macro {name} can't be read")

    def _table_in_text(self, name: str, call: Node) -> Relation:
        """query_table('schema.table') and query('SELECT ..') with the text written out."""
        texts = [child["value"].get("value") for child in call["children"] if child.get("class") == "CONSTANT"]
        if len(texts) != 1 or len(call["children"]) != 1 or not isinstance(texts[0], str):
            raise Unresolvable(f"{name}(..) of a computed name")
        try:
            if name == "query":
                tree = parse_tree(texts[0])
                if tree is None:
                    raise Unresolvable("query(..) of a statement that can't be read")
                return self._statement.query(tree["statements"][0]["node"], {}, None)
            return self.table(TableName.parse(texts[0]) if "." in texts[0] else TableName("main", texts[0]))
        except (SqlSyntaxError, ValueError) as error:
            raise Unresolvable(f"{name}(..) of a text that can't be read") from error

    def _pivot(self, ref: Node, ctes: Mapping[str, Any], outer: Scope | None) -> Source:
        source = self.frame(ref["source"], ctes, outer)
        for part in source.sources:
            name_columns(part.relation.columns)
            part.relation.forget_names()
        columns = [item.column for item in source.visible]
        names = [str(column.name) for column in columns]
        if source.rest is not None or len({name.lower() for name in names}) < len(names):
            raise Unresolvable("a PIVOT over columns that aren't known or have equal names")
        if any(pivot.get("subquery") or pivot.get("pivot_enum") for pivot in ref["pivots"]):
            raise Unresolvable("a PIVOT whose values are known when it runs")
        scope = Scope(source.sources, ctes, outer, source)
        by_name = {str(column.name).lower(): column for column in columns}
        made = pivoted_columns(ref, names)
        relation = _unpivoted(ref, made, by_name) if ref["unpivot_names"] else self._pivoted(ref, made, by_name, scope)
        relation.influence |= source.influence
        return self._source(ref, relation, "")

    def _pivoted(self, ref: Node, made: list[str], by_name: dict[str, Column], scope: Scope) -> Relation:
        """Groups first, then a column for each value and aggregate."""
        mask = self._statement.expressions.mask
        keys = mask([pivot["pivot_expressions"] for pivot in ref["pivots"]], scope)
        cells = keys | mask(ref["aggregates"], scope)
        if ref["groups"]:
            groups = [name.lower() for name in ref["groups"]]
        else:
            groups = [name for name, column in by_name.items() if not column.mask or column.mask & ~cells]
            groups = [name for name in made_keys(made) if name in groups]
        if made_keys(made)[: len(groups)] != groups:
            raise Unresolvable("a PIVOT whose columns can't be told apart")
        relation = Relation([by_name[name].renamed(by_name[name].name or name) for name in groups], keys)
        for name in groups:
            relation.influence |= by_name[name].mask
        relation.columns += [Column(name, cells) for name in made[len(groups) :]]
        return relation


def _unpivoted(ref: Node, made: list[str], by_name: dict[str, Column]) -> Relation:
    """The columns left over, then those of the names, then those of the values."""
    values = len(ref["unpivot_names"])
    labels = sum(len(pivot["unpivot_names"]) for pivot in ref["pivots"])
    kept = made_keys(made)[: len(made) - values - labels]
    if any(name not in by_name for name in kept):
        raise Unresolvable("an UNPIVOT whose columns can't be told apart")
    turned = 0
    for name, column in by_name.items():
        if name not in kept:
            turned |= column.mask
    columns = [by_name[name].renamed(by_name[name].name or name) for name in kept]
    columns += [Column(name, 0) for name in made[len(kept) : len(kept) + labels]]
    columns += [Column(name, turned) for name in made[len(kept) + labels :]]
    return Relation(columns, turned)  # rows of null values are left out


def made_keys(names: list[str]) -> list[str]:
    return [name.lower() for name in names]


def _visible_names(frame: Frame) -> set[str]:
    for source in frame.sources:
        name_columns(source.relation.columns)
        source.relation.forget_names()
    return {str(item.column.name).lower() for item in frame.visible}


def _merged(left: Frame, right: Frame, using: set[str], *, is_right: bool) -> list[Visible]:
    """The columns of `*` over a join: those of USING once, where the left side has them."""
    if not using:
        return left.visible + right.visible
    both = {str(item.column.name).lower(): item.column for item in right.visible}
    merged = []
    for item in left.visible:
        name = str(item.column.name).lower()
        if name in using and name in both:
            column = Column((both[name] if is_right else item.column).name, item.column.mask | both[name].mask, item.column.type)
            item = Visible(column, item.source, is_merged=True)
        merged.append(item)
    return merged + [item for item in right.visible if str(item.column.name).lower() not in using]
