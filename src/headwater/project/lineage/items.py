"""The select list: what each item gives, `*` and COLUMNS(..) spread out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.project.lineage.expressions import UNNEST, functions_in, stars_in
from headwater.project.lineage.names import matching_columns, name_columns
from headwater.project.lineage.relations import Column, Node, Relation, Scope, Unresolvable, Visible, widest

if TYPE_CHECKING:
    from headwater.project.lineage.statement import Statement

#: What is left of a `*` when only its names are asked for.
_PLAIN_STAR = {
    "class": "STAR", "type": "STAR", "alias": "", "relation_name": "", "exclude_list": [], "replace_list": [], "columns": True, "expr": None,
    "qualified_exclude_list": [], "rename_list": [],
}  # fmt: skip


class Items:
    """Derives the select lists of one statement."""

    def __init__(self, statement: Statement) -> None:
        self._statement = statement

    def relation(self, items: list[Node], scope: Scope) -> Relation:
        """The columns of a select list; `scope.aliases` fills up on the way, as later items may name earlier ones."""
        relation = Relation([])
        for item in items:
            if item.get("class") == "COLUMN_REF":
                self._plain(item, relation, scope)
            elif item.get("class") == "STAR" and not item["columns"] and not item["expr"]:
                columns, rest = self._starred(item, scope)
                relation.columns += columns
                relation.rest = widest(relation.rest, rest)
            elif next(stars_in(item), None) is not None:
                self._patterned(item, relation, scope)
            else:
                self._computed(item, relation, scope)
        return relation

    def _plain(self, item: Node, relation: Relation, scope: Scope) -> None:
        parts = item["column_names"]
        mask = self._statement.names.resolve(parts, scope)
        name = item["alias"] or self._statement.names.source_names(parts, scope) or parts[-1]
        relation.columns.append(Column(name, mask, self._statement.names.column_type(parts, scope)))
        if item["alias"]:
            self._add_alias(scope, item["alias"], mask)

    def _computed(self, item: Node, relation: Relation, scope: Scope) -> None:
        mask = self._statement.expressions.mask(item, scope)
        alias = item["alias"]
        if item.get("class") == "POSITIONAL_REFERENCE" and not alias and scope.frame is not None:
            alias = scope.frame.visible[item["index"] - 1].column.name or ""
        relation.columns.append(Column(alias or None, mask, None, None if alias else item))
        if alias:
            self._add_alias(scope, alias, mask)
        for call in functions_in(item):
            if call["function_name"].lower() in UNNEST and not self._statement.expressions.makes_list(call, scope):
                relation.rest = widest(relation.rest, mask)

    @staticmethod
    def _add_alias(scope: Scope, alias: str, mask: int) -> None:
        key = alias.lower()
        scope.aliases[key] = scope.aliases.get(key, 0) | mask

    def _starred(self, star: Node, scope: Scope) -> tuple[list[Column], int | None]:
        """The columns of `*` or `t.*` with its EXCLUDE, REPLACE and RENAME, and the `rest` of an open one."""
        visible, rest = self._visible(star, scope)
        excluded = {name.lower() for name in star["exclude_list"]}
        qualified = {(part["table"].lower(), part["column"].lower()) for part in star["qualified_exclude_list"]}
        replaced = {entry["key"].lower(): entry for entry in star["replace_list"]}
        renamed = {entry["key"]["column"].lower(): entry["value"] for entry in star["rename_list"]}
        columns: list[Column] = []
        for item in visible:
            name = item.column.name or ""
            key = name.lower()
            if key in excluded:
                continue
            if any(column == key and table in ("", item.source.alias) for table, column in qualified):
                if item.is_merged:
                    raise Unresolvable("EXCLUDE of one side of a USING column")
                continue
            if key in replaced:
                columns.append(Column(replaced[key]["key"], self._statement.expressions.mask(replaced[key]["value"], scope)))
            else:
                columns.append(Column(renamed.get(key, name), item.column.mask, item.column.type))
        if rest is not None:  # replaced and renamed columns may be among those not known
            rest |= self._statement.expressions.mask(list(replaced.values()), scope)
        return columns, rest

    def _visible(self, star: Node, scope: Scope) -> tuple[list[Visible], int | None]:
        frame = scope.frame
        if frame is None:
            raise Unresolvable("a * without FROM")
        for source in frame.sources:
            if any(column.name is None for column in source.relation.columns):
                name_columns(source.relation.columns)
                source.relation.forget_names()
        wanted = star["relation_name"].lower()
        if not wanted:
            return frame.visible, frame.rest
        sources = [source for source in frame.sources if source.alias == wanted]
        if sources:
            visible = [Visible(column, source) for source in sources for column in source.relation.columns]
            return visible, widest(*(source.relation.rest for source in sources))
        return [], self._statement.names.resolve([star["relation_name"]], scope)  # the fields of a struct

    def _patterned(self, item: Node, relation: Relation, scope: Scope) -> None:
        """An item with COLUMNS(..) or `* LIKE ..` in it: one column for each column that matches."""
        stars = list(stars_in(item, packed=False))
        all_edges = self._statement.expressions.mask(item, scope)
        if not stars:  # f(*COLUMNS(..)): all that match are arguments of one call
            relation.columns.append(Column(item["alias"] or None, all_edges, None, None if item["alias"] else item))
            if not item["alias"]:
                relation.rest = widest(relation.rest, all_edges)  # its name holds the names of catalogs
            return
        matched: list[list[Column]] = []
        for star in stars:
            columns, rest = self._starred(star, scope)
            if rest is not None:
                relation.rest = widest(relation.rest, all_edges)
                return
            matched.append(self._matching(item, star, columns))
        if len({len(columns) for columns in matched}) > 1:
            raise Unresolvable("several COLUMNS(..) of one expression match different columns")
        others = self._without_stars(item, scope)
        aliases = self._aliases(item, stars, matched[0])
        for index, alias in enumerate(aliases):
            mask = others
            for columns in matched:
                mask |= columns[index].mask
            relation.columns.append(Column(alias, mask))

    def _matching(self, item: Node, star: Node, columns: list[Column]) -> list[Column]:
        names = [str(column.name) for column in columns]
        if star["columns"] and not star["expr"]:
            return columns
        if len({name.lower() for name in names}) < len(names):
            raise Unresolvable("COLUMNS(..) over columns of equal names")
        plain = {**star, **_PLAIN_STAR, "expr": star["expr"]}
        if not star["columns"]:  # * LIKE 'a%' is a function of a star
            if not any(child is star for child in item.get("children", ())):
                raise Unresolvable("a * inside an expression")
            plain = {**item, "alias": "", "children": [{**plain, "columns": False} if child is star else child for child in item["children"]]}
        wanted = {name.lower() for name in matching_columns(plain, names)}
        return [column for column in columns if str(column.name).lower() in wanted]

    def _without_stars(self, item: Node, scope: Scope) -> int:
        """The edges of the item's other parts."""
        if item.get("class") == "STAR":
            return 0
        mask = 0
        for value in item.values():
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, dict):
                    has_star = next(stars_in(child), None) is not None
                    mask |= self._without_stars(child, scope) if has_star else self._statement.expressions.mask(child, scope)
        return mask

    def _aliases(self, item: Node, stars: list[Node], matched: list[Column]) -> list[str]:
        alias = item["alias"] or (stars[0]["alias"] if item is not stars[0] else "")
        if "\\" in alias:  # COLUMNS('(\w+)_id') AS '\1': the names come of the pattern's groups
            names = [str(column.name) for column in matched]
            return matching_columns({**stars[0], **_PLAIN_STAR, "expr": stars[0]["expr"], "alias": alias}, names)
        return [alias or str(column.name) for column in matched]
