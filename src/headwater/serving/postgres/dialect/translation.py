"""Queries in Postgres' words, as DuckDB runs them with the same answer. What isn't known to mean the same is refused, with the reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.scope import Scope, traverse_scope, walk_in_scope
from sqlglot.schema import MappingSchema

from headwater.security.hiding import hide_passwords
from headwater.serving.postgres import types as pg
from headwater.serving.postgres.context import Context, Translated, table_parts
from headwater.serving.postgres.dialect.belonging import is_catalog_query
from headwater.serving.postgres.dialect.kinds import DECIMALS, TEXTS, of_kind, typed
from headwater.serving.postgres.dialect.output_names import name_by_alias, name_columns, output_name, word_of
from headwater.serving.postgres.dialect.quoted import QUOTED_TYPES
from headwater.serving.postgres.dialect.reading import is_cte, read_postgres
from headwater.serving.postgres.dialect.refusal import Refused
from headwater.serving.postgres.dialect.rules import NODES, RULES
from headwater.serving.postgres.dialect.trees import put_in_place
from headwater.serving.postgres.dialect.written import sql_of, weight
from headwater.serving.postgres.failures import WireError
from headwater.serving.postgres.types import FLOAT4, FLOAT8, INT2, INT4, INT8, NUMERIC

__all__ = ["Context", "Translated", "translate"]

#: Tables and queries in one statement: names are looked for in each of them.
_MOST_PARTS: Final = 1000
#: What the rules may make of one query, all expressions together, in nodes and written characters.
_MOST_MADE: Final = 10_000_000
#: Of one statement, as its protocol counts them.
_MOST_PARAMETERS: Final = 65_535
_NUMBERS: Final = {INT2: "smallint", INT4: "int", INT8: "bigint", FLOAT4: "real", FLOAT8: "double"}
_HINT: Final = "SET headwater.dialect = duckdb asks in DuckDB's own words."
_TYPED_PARAMETER: Final = re.compile(r'\$(\d+)\s*::\s*(?:pg_catalog\.)?"?(\w+)"?\s*(\[\s*\])?', re.IGNORECASE)


def translate(sql: str, context: Context) -> Translated:
    """One query in the session's dialect. Raises WireError with the reason for what has no translation that is sure to mean the same."""
    if is_catalog_query(sql, context.tables, context.dialect):
        return Translated(sql, True, {}, _parameter_oids(sql))
    if context.dialect == "duckdb":
        return Translated(sql)
    explained = re.match(r"\s*explain\s+", sql, re.IGNORECASE)
    if explained:
        if re.match(r"explain\b", sql[explained.end() :], re.IGNORECASE):
            raise WireError("42601", 'syntax error at or near "explain"')
        if re.match(r"analy[sz]e\b|verbose\b|\(", sql[explained.end() :], re.IGNORECASE):
            raise WireError("0A000", "EXPLAIN takes no options here", hint="EXPLAIN SELECT .. tells what a query reads; nothing is run or estimated.")
        inner = translate(sql[explained.end() :], context)
        return Translated(f"EXPLAIN {inner.sql}", inner.is_catalog, inner.parameters)
    try:
        trees = read_postgres(sql)
    except sqlglot.errors.ParseError as error:
        first = error.errors[0] if error.errors else {}
        raise _unread(sql, f'{first.get("description", "it")} near "{first.get("highlight", "")}"') from None
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        raise _unread(sql, str(error).splitlines()[0]) from None
    tree = _as_query(trees[0]) if len(trees) == 1 else None
    if tree is None:
        raise WireError("25006", "only queries can be run here", hint="Tables change by headwater run alone.")
    try:
        return _Translation(tree, context).done()
    except Refused as refused:
        raise WireError("0A000", f"this can't be answered as Postgres would: {refused}", hint=_HINT) from None
    except sqlglot.errors.SqlglotError as error:
        raise WireError("0A000", "this can't be answered as Postgres would", detail=str(error).splitlines()[0], hint=_HINT) from None
    except RecursionError:
        raise WireError("54001", "the query is nested too deeply") from None


def _unread(sql: str, found: str) -> WireError:
    """`found` repeats a word of the text, which must be no password."""
    detail = None if hide_passwords(sql)[1] else found
    return WireError("42601", "the SQL can't be read as Postgres'", detail=detail, hint=_HINT)


def _parameter_oids(sql: str) -> dict[int, int]:
    """The types that a question to the catalog names for its parameters (`$1::oid[]`)."""
    by_name = {word: one for one in pg.TYPES.values() for word in (one.name, one.sql_name)}
    by_name |= {"int": pg.TYPES[pg.INT4]}
    found = {}
    for number, name, is_array in _TYPED_PARAMETER.findall(sql):
        one = by_name.get(name.lower())
        if one is not None:
            found[int(number)] = one.array if is_array else one.oid
    return found


def _as_query(tree: exp.Expr | None) -> exp.Query | None:
    """The query; VALUES that stand alone as one of their columns, which have the names that Postgres gives them. None for another statement."""
    if isinstance(tree, exp.Query):
        return tree
    if not isinstance(tree, exp.Values) or not all(isinstance(row, exp.Tuple) for row in tree.expressions):
        return None
    names = [exp.to_identifier(f"column{place}") for place in range(1, len(tree.expressions[0].expressions) + 1)]
    rows = exp.Values(expressions=[row.copy() for row in tree.expressions], alias=exp.TableAlias(this=exp.to_identifier("values"), columns=names))
    query = exp.select("*").from_(rows)
    for name in ("with_", "order", "limit", "offset", "fetch"):
        if tree.args.get(name):
            query.set(name, tree.args[name].copy())
    return query


class _Translation:
    def __init__(self, tree: exp.Query, context: Context) -> None:
        self._tree: exp.Expr = tree
        self._context = context
        self._weight = 0
        self._tables = {tuple(part.lower() for part in table_parts(table)): table for table in context.tables}

    def done(self) -> Translated:
        for identifier in list(self._tree.find_all(exp.Identifier)):
            if not identifier.args.get("quoted"):
                identifier.set("this", str(identifier.this).lower())
        self._tell_session()
        parts = 0
        for node in self._tree.walk():
            _refuse_unknown(node)
            parts += isinstance(node, (exp.Query, exp.Table))
        if parts > _MOST_PARTS:
            raise WireError("54001", f"a query with more than {_MOST_PARTS:,} tables and subqueries is not translated", hint=_HINT)
        self._name_outputs()
        self._type_parameters()
        self._refuse_ambiguous_orders()
        self._find_tables()
        self._annotate()
        self._refuse_texts_of_grouped()
        parameters = self._parameter_types()
        self._apply_rules()
        return Translated(sql_of(self._tree, is_last=True), False, parameters)

    def _tell_session(self) -> None:
        """What a query asks of its session stands in it as a text."""
        asked: list[exp.Expr] = list(self._tree.find_all(exp.CurrentUser, exp.SessionUser, exp.CurrentCatalog, exp.CurrentDatabase))
        for column in self._tree.find_all(exp.Column):
            if column.name in ("user", "current_role") and not column.table and not column.this.args.get("quoted"):
                asked.append(column)
        for node in asked:
            value = exp.Literal.string(self._context.database if isinstance(node, (exp.CurrentCatalog, exp.CurrentDatabase)) else self._context.user)
            made: exp.Expr = exp.cast(value, "text")
            if isinstance(node.parent, exp.Select) and node.arg_key == "expressions":
                made = exp.alias_(made, output_name(node) or node.name, quoted=True)
            put_in_place(made, node)

    def _name_outputs(self) -> None:
        for select in self._tree.find_all(exp.Select):
            if not isinstance(select.parent, (exp.In, exp.Exists, exp.Array)):
                name_columns(select)
        name_by_alias(self._tree)

    def _type_parameters(self) -> None:
        """Numbers get the type that the client gave them. A numeric brings its scale with its value."""
        for parameter in list(self._tree.find_all(exp.Parameter)):
            number = _number_of(parameter)
            oid = self._context.oids[number - 1] if 0 < number <= len(self._context.oids) else 0
            type = _NUMBERS.get(oid)
            above = parameter.parent
            is_cast = isinstance(above, exp.Cast) and not (above.to.this in TEXTS or (above.to.this in DECIMALS and not above.to.expressions))
            if type is not None and not is_cast and not isinstance(above, exp.Interval):
                put_in_place(typed(parameter.copy(), type), parameter)
            elif oid == NUMERIC:
                parameter.meta["is_numeric"] = True

    def _refuse_ambiguous_orders(self) -> None:
        for order in self._tree.find_all(exp.Order):
            select = order.parent
            if not isinstance(select, exp.Select):
                continue
            items = [item.this if isinstance(item, exp.Ordered) else item for item in order.expressions]
            ordered = {item.name for item in items if isinstance(item, exp.Column) and not item.table}
            given: dict[str, str] = {}
            for one in select.expressions if ordered else ():
                name = one.alias_or_name
                if name in ordered:
                    sql = one.unalias().sql()
                    if given.setdefault(name, sql) != sql:
                        raise WireError("42702", f'ORDER BY "{name}" is ambiguous')

    def _refuse_texts_of_grouped(self) -> None:
        """Numerics that are equal may have several texts, where they are quotients: the text isn't that of a group."""
        for group in self._tree.find_all(exp.Group):
            select = group.parent
            given = select.expressions if isinstance(select, exp.Select) else []
            named = {one.alias: one.this for one in given if isinstance(one, exp.Alias)}
            keys: set[str] = set()
            for one in group.expressions:
                place = int(one.name) if isinstance(one, exp.Literal) and one.name.isdecimal() and len(one.name) < 6 else 0
                of = given[place - 1].unalias() if 0 < place <= len(given) else named.get(one.name, one) if isinstance(one, exp.Column) else one
                keys |= {of.unnest().sql()} if isinstance(of.unnest(), (exp.Div, exp.Cast, exp.DPipe)) else set()
            for node in [inner for one in given if keys for inner in one.find_all(exp.Cast, exp.DPipe)]:
                is_text = isinstance(node, exp.DPipe) or node.to.this in TEXTS
                for text in (node.this, node.args.get("expression")) if is_text else ():
                    of = text.unnest() if isinstance(text, exp.Expr) else None
                    if isinstance(of, exp.Div) and of_kind(of, DECIMALS) and of.sql() in keys and node.sql() not in keys:
                        raise Refused("the text of a quotient that rows are grouped by; group by the text")

    def _find_tables(self) -> None:
        """Tables get their schema: from the search path, or, without one of the client's own, where the name stands for one table alone."""
        for table in list(self._tree.find_all(exp.Table)):
            if not isinstance(table.this, exp.Identifier):
                continue
            if table.catalog:
                if table.catalog != self._context.database:
                    raise WireError("0A000", f"cross-database references are not implemented: {table.catalog}.{table.db}.{table.name}")
                table.set("catalog", None)
            if not table.db and not is_cte(table):
                schema = self._schema_of(table.name)
                if schema is not None:
                    alias = table.args.get("alias")
                    table.set("db", exp.to_identifier(schema, quoted=True))
                    if not alias:
                        table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True)))

    def _schema_of(self, name: str) -> str | None:
        for schema in self._context.search_path:
            if (schema.lower(), name.lower()) in self._tables:
                return schema
        having = [table_parts(table)[0] for (_, one), table in self._tables.items() if one == name.lower()]
        if len(having) == 1 and tuple(self._context.search_path) == ("public",):
            return having[0]
        if len(having) > 1:
            raise WireError("42P01", f'"{name}" could be of {" or ".join(sorted(having))}', hint="Write schema.table, or SET search_path.")
        raise WireError("42P01", f'relation "{name}" does not exist', hint="Tables are named schema.table.")

    # -- types -------------------------------------------------------------------------------------------------------

    def _annotate(self) -> None:
        """Types on all nodes, as far as they can be told from the columns' own. Columns are qualified for it, and as they were afterwards."""
        mapping: dict[str, Any] = {}
        for table in self._tree.find_all(exp.Table):
            seen = self._tables.get((table.db.lower(), table.name.lower()))
            if seen is not None:
                types = mapping.setdefault(table.db, {})[table.name] = {column.name: _annotated_type(column.type) for column in seen.columns}
                table.meta["column_types"] = tuple(types.values())
        qualified: list[exp.Column] = []
        try:
            for scope in traverse_scope(self._tree):
                qualified += self._qualify(scope)
            schema = MappingSchema(mapping, dialect="duckdb", normalize=False)
            self._tree = annotate_types(self._tree, schema=schema, dialect="postgres", expression_metadata=QUOTED_TYPES)
        except (sqlglot.errors.SqlglotError, KeyError, AttributeError):
            pass  # types stay unknown: rules that need them refuse
        for column in qualified:
            column.set("table", None)

    def _qualify(self, scope: Scope) -> list[exp.Column]:
        """The columns whose qualifier is only for finding types. HAVING's, and those in expressions of ORDER BY, keep it: Postgres takes
        them for what is read, where DuckDB could take them for what is given."""
        done = []
        sources = [(name, self._columns_of(source)) for name, (_, source) in scope.selected_sources.items()]
        is_told = all(columns is not None for _, columns in sources) and len(sources) >= _count_of_relations(scope.expression)
        kept = {id(column): column for column in _columns_that_are_read(scope.expression)}
        # looked for from above: a thousand ORs are a thousand steps up from the innermost
        orders = [order for order in scope.expression.find_all(exp.Order) if isinstance(order.parent, exp.Query)]
        ordered = {id(column) for order in orders for column in order.find_all(exp.Column)}
        for column in [*kept.values(), *(column for column in scope.columns if id(column) not in kept)]:
            if isinstance(scope.sources.get(column.table), exp.Table):
                column.meta["is_stored"] = True  # of a table itself: its type is Postgres' own
            if column.table or (id(column) in ordered and id(column) not in kept):
                continue  # a query's ORDER BY may name what it gives, not what it reads
            having = [name for name, columns in sources if columns is not None and column.name.lower() in columns]
            if len(having) == 1 and is_told:
                column.set("table", exp.to_identifier(having[0], quoted=True))
                column.meta["is_stored"] = isinstance(scope.sources[having[0]], exp.Table)
                if id(column) not in kept:
                    done.append(column)
        return done

    def _columns_of(self, source: Any) -> set[str] | None:
        if isinstance(source, exp.Table):
            seen = self._tables.get((source.db.lower(), source.name.lower()))
            return None if seen is None else {column.name.lower() for column in seen.columns}
        if isinstance(source, Scope):
            names = source.outer_columns or (source.expression.named_selects if isinstance(source.expression, exp.Query) else [])
            return None if "*" in names else {str(name).lower() for name in names}
        return None

    def _parameter_types(self) -> Mapping[int, str]:
        found: dict[int, str] = {}
        for parameter in self._tree.find_all(exp.Parameter):
            number = _number_of(parameter)
            is_told = 0 < number <= len(self._context.oids) and self._context.oids[number - 1] != 0
            named = _type_of_parameter(parameter, is_told=is_told)
            if number and (named is not None) and found.get(number, "VARCHAR") == "VARCHAR":
                found[number] = named
        return found

    # -- rules -------------------------------------------------------------------------------------------------------

    def _apply_rules(self) -> None:
        """From the leaves up, so that a rule sees what its inner nodes have become; types stay on what replaces a node."""
        order = list(self._tree.walk(bfs=False))
        for node in reversed(order):
            rule = RULES.get(type(node).__name__)
            if rule is None and isinstance(node, exp.Anonymous):
                rule = RULES.get(f"{str(node.this).lower()}()")
            if rule is None:
                continue
            made = rule(node)
            if made is not node:
                self._weight += weight(made)
                if self._weight > _MOST_MADE:
                    raise WireError("54001", "the query's expressions grow too large in DuckDB's words", hint=_HINT)
                if made.type is None:
                    made.type = node.type
                if node is self._tree:
                    self._tree = made
                else:
                    put_in_place(made, node)


def _count_of_relations(query: exp.Expr) -> int:
    return int(query.args.get("from_") is not None) + len(query.args.get("joins") or ()) + len(query.args.get("laterals") or ())


def _columns_that_are_read(query: exp.Expr) -> Iterable[exp.Column]:
    """Those of HAVING, and of expressions in ORDER BY, which may name nothing that the query gives."""
    if not isinstance(query, exp.Select):
        return
    order = query.args.get("order")
    items = [item.this if isinstance(item, exp.Ordered) else item for item in (order.expressions if order is not None else ())]
    having = query.args.get("having")
    for part in [*(item for item in items if not isinstance(item, exp.Column)), *([having] if having is not None else [])]:
        yield from (node for node in walk_in_scope(part) if isinstance(node, exp.Column))


def _refuse_unknown(node: exp.Expr) -> None:
    name = type(node).__name__
    if isinstance(node, exp.Anonymous):
        if f"{str(node.this).lower()}()" not in RULES:
            raise Refused(f"function {str(node.this).lower()} isn't known here")
        return
    if name not in NODES and name not in RULES:
        raise Refused(f"{'function ' if isinstance(node, exp.Func) else ''}{word_of(node)} isn't known here")


def _annotated_type(duckdb_type: str) -> str:
    """A DuckDB type as sqlglot reads it."""
    plain = duckdb_type.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ").replace("TIME WITH TIME ZONE", "TIMETZ")
    if plain.startswith("ENUM("):
        return "TEXT"
    if plain.startswith(("STRUCT(", "MAP(", "UNION(")):
        return "JSON"
    return plain


def _number_of(parameter: exp.Parameter) -> int:
    return int(parameter.name) if parameter.name.isdecimal() and len(parameter.name) <= len(str(_MOST_PARAMETERS)) else 0


_COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.NullSafeEQ, exp.NullSafeNEQ)


def _type_of_parameter(parameter: exp.Parameter, *, is_told: bool) -> str | None:
    """The DuckDB type that a parameter takes from where it stands; None where that says nothing. `is_told`: its client gives it one."""
    node: exp.Expr = parameter
    while isinstance(node.parent, (exp.Paren, exp.Neg)):
        node = node.parent
    parent = node.parent
    if isinstance(parent, exp.Cast):
        return _duckdb_name(parent.to)
    if isinstance(parent, (exp.Limit, exp.Offset, exp.Fetch)):
        return "BIGINT"
    if isinstance(parent, (exp.Like, exp.ILike, exp.RegexpLike, exp.RegexpILike, exp.DPipe)):
        return "VARCHAR"
    others: Iterable[exp.Expr | None] = ()
    if isinstance(parent, _COMPARED):
        others = (parent.left, parent.right)
    elif isinstance(parent, exp.Between):
        others = (parent.this, parent.args["low"], parent.args["high"])
    elif isinstance(parent, exp.In):
        others = (parent.this, *parent.expressions)
    elif isinstance(parent, exp.Tuple) and isinstance(parent.parent, (*_COMPARED, exp.In)):
        rows = [parent.parent.this, parent.parent.args.get("expression"), *parent.parent.expressions]
        others = [
            one.expressions[node.index] for one in rows if isinstance(one, exp.Tuple) and node.index is not None and node.index < len(one.expressions)
        ]
    elif isinstance(parent, (exp.Any, exp.All)) and isinstance(parent.parent, _COMPARED):
        of = _typed_name(parent.parent.left)
        return f"{of}[]" if of else None
    elif isinstance(parent, (exp.Coalesce, exp.Nullif, exp.Greatest, exp.Least)):
        others = (parent.this, parent.args.get("expression"), *parent.expressions)
    elif isinstance(parent, exp.Array):
        others = parent.expressions
    elif isinstance(parent, (exp.If, exp.Case)) and node.arg_key in ("true", "default"):
        case = parent.parent if isinstance(parent, exp.If) else parent
        if isinstance(case, exp.Case):
            others = (case.args.get("default"), *(branch.args["true"] for branch in case.args["ifs"]))
    for other in others:
        if other is not None and other is not node and not isinstance(other, exp.Parameter):
            named = _typed_name(other)
            if named is not None:
                if isinstance(parent, exp.Add) and named == "DATE" and not is_told:
                    raise WireError("42725", "operator is not unique: date + unknown", hint="Cast the parameter: $1::int, $1::interval.")
                is_shift = isinstance(parent, exp.Add) and named in ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")
                return "INTERVAL" if is_shift else named
    return None


def _typed_name(node: exp.Expr) -> str | None:
    return _duckdb_name(node.type) if isinstance(node.type, exp.DataType) else None


def _duckdb_name(type: exp.DataType) -> str | None:
    if type.is_type(exp.DataType.Type.UNKNOWN, exp.DataType.Type.NULL):
        return None
    named = type.sql("duckdb")
    if named.startswith("DECIMAL"):
        return named.replace(", ", ",") if "(" in named else "DECIMAL(38,10)"
    return {"TEXT": "VARCHAR", "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE", "INT": "INTEGER", "REAL": "FLOAT"}.get(
        named.split("(")[0], named.split("(")[0]
    )
