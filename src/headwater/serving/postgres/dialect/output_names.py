"""What Postgres calls the columns of a query that have no name of their own."""

from __future__ import annotations

from typing import Final

from sqlglot import exp


def name_outputs(tree: exp.Expr) -> None:
    """Columns get the names that Postgres gives them, before their expressions are changed."""
    for select in tree.find_all(exp.Select):
        name_columns(select)


def name_columns(select: exp.Select) -> None:
    """Those of one SELECT, all at once: putting one in another's place takes a step for each beside it."""
    named = [(item, output_name(item)) for item in select.expressions]
    if any(name is not None for _, name in named):
        select.set("expressions", [item if name is None else exp.alias_(item, name, quoted=True, copy=False) for item, name in named])


def name_by_alias(tree: exp.Expr) -> None:
    """`t (n) AS (SELECT 1 ..` as `SELECT 1 AS n ..`: the type of `n` is looked for by its name in the query, in the first one of a UNION."""
    for relation in tree.find_all(exp.CTE, exp.Subquery):
        first: exp.Expr | None = relation
        while isinstance(first, (exp.CTE, exp.SetOperation, exp.Subquery)):
            first = first.this
        if isinstance(first, exp.Select) and relation.alias_column_names:
            _name_values(first)
            _rename(first, relation.alias_column_names)


def _name_values(select: exp.Select) -> None:
    """VALUES by itself, as sqlglot reads it."""
    source = select.args["from_"].this if select.args.get("from_") is not None else None
    if isinstance(source, exp.Values) and select.is_star and source.alias == "_values" and isinstance(source.expressions[0], exp.Tuple):
        names = [f"column{place}" for place in range(1, len(source.expressions[0].expressions) + 1)]
        source.args["alias"].set("columns", [exp.to_identifier(name) for name in names])
        select.set("expressions", [exp.column(name) for name in names])


def _rename(select: exp.Select, names: list[str]) -> None:
    """But where a clause of the query may mean one of these names."""
    clauses = [select.args[part] for part in ("group", "having", "order", "distinct", "qualify") if select.args.get(part) is not None]
    meant = {column.name for clause in clauses for column in clause.find_all(exp.Column) if not column.table}
    items = list(select.expressions)
    if select.is_star or len(names) > len(items):
        return
    for place, (item, name) in enumerate(zip(items, names, strict=False)):
        if item.alias_or_name != name and not {name, item.alias if isinstance(item, exp.Alias) else name} & meant:
            items[place] = exp.alias_(item.unalias(), name, quoted=True, copy=False)
    select.set("expressions", items)


def output_name(item: exp.Expr) -> str | None:
    """What Postgres calls a column that has no name of its own; None where it has one."""
    inner = item
    if isinstance(inner, (exp.Alias, exp.Star, exp.Column, exp.Aliases)):
        return None
    while isinstance(inner, (exp.Paren, exp.Filter, exp.Window, exp.WithinGroup, exp.Collate, exp.IgnoreNulls, exp.RespectNulls)):
        if _called(inner) is not None:
            return _called(inner)
        inner = inner.this
    if _called(inner) is not None:
        return _called(inner)
    if isinstance(inner, (exp.Cast, exp.Bracket)):
        of = inner.this
        while isinstance(of, (exp.Cast, exp.Paren)):
            of = of.this
        if isinstance(of, exp.Column):
            return str(of.name)
        named = output_name(of)
        if named and named != "?column?":
            return named
        return _type_name(inner) if isinstance(inner, exp.Cast) else "?column?"
    if isinstance(inner, exp.Column):
        return str(inner.name)
    if isinstance(inner, exp.Dot):
        return str(inner.expression.name) if not isinstance(inner.expression, exp.Func) else output_name(inner.expression)
    if isinstance(inner, exp.Case):
        default = inner.args.get("default")
        while isinstance(default, (exp.Cast, exp.Paren)):
            default = default.this
        if isinstance(default, exp.Column) or (isinstance(default, exp.Func) and not isinstance(default, (exp.Cast, exp.Binary))):
            return str(default.name) if isinstance(default, exp.Column) else output_name(default)
        return "case"
    if isinstance(inner, exp.Subquery):
        query = inner.this
        return (
            output_name(query.expressions[0]) or query.expressions[0].alias_or_name
            if isinstance(query, exp.Select) and query.expressions
            else "?column?"
        )
    if isinstance(inner, exp.Exists):
        return "exists"
    if isinstance(inner, exp.Array):
        return "array"
    if isinstance(inner, exp.Interval):
        return "interval"
    if isinstance(inner, exp.AtTimeZone):
        return "timezone"
    if isinstance(inner, exp.Trim):
        return {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(inner.args.get("position") or "").upper(), "btrim")
    if isinstance(inner, exp.Anonymous):
        return str(inner.name).lower().removeprefix(KEPT_NAME)
    if isinstance(inner, (exp.Corr, exp.CovarPop, exp.CovarSamp)):
        return {"Corr": "corr", "CovarPop": "covar_pop", "CovarSamp": "covar_samp"}[type(inner).__name__]
    if isinstance(inner, exp.Func) and not isinstance(inner, (exp.And, exp.Or, exp.Not, exp.Binary)):
        return word_of(inner)
    return "?column?"


def word_of(node: exp.Expr) -> str:
    """What users call a node: a function as Postgres does."""
    return FUNCTION_NAMES.get(type(node).__name__, node.sql_name().lower()) if isinstance(node, exp.Func) else node.key


def _called(node: exp.Expr) -> str | None:
    """What a function was called, where that is marked."""
    return next((one.removeprefix(CALLED) for one in node.comments or () if one.startswith(CALLED)), None)


def _type_name(cast: exp.Cast) -> str:
    word = cast.to.sql("postgres").lower()
    return _CAST_NAMES.get(word.split("(")[0].strip(), word.split("(")[0].strip())


_CAST_NAMES: Final = {
    "int": "int4",
    "integer": "int4",
    "bigint": "int8",
    "smallint": "int2",
    "boolean": "bool",
    "double precision": "float8",
    "real": "float4",
    "decimal": "numeric",
    "character varying": "varchar",
    "char": "bpchar",
}
#: Put before names of functions that sqlglot would take for others (`date_part` for `extract`).
KEPT_NAME: Final = "hw_kept_"
#: Begins a comment behind the name of a function of `SYNONYMS`, which says that name.
CALLED: Final = "hw_called:"
#: Functions that sqlglot reads as others of the same meaning: their columns are called as they are.
SYNONYMS: Final = frozenset({"substr", "char_length", "character_length", "mod", "ceiling", "strpos", "var_samp", "now"})
FUNCTION_NAMES: Final = {
    "Explode": "unnest",
    "JSONArrayAgg": "json_agg",
    "JSONObjectAgg": "json_object_agg",
    "ExplodingGenerateSeries": "generate_series",
    "GenerateSeries": "generate_series",
    "CurrentVersion": "version",
    "GroupConcat": "string_agg",
    "StrPosition": "position",
    "TimestampTrunc": "date_trunc",
    "DateTrunc": "date_trunc",
    "TimeToStr": "to_char",
    "ToChar": "to_char",
    "StrToDate": "to_date",
    "StrToTime": "to_timestamp",
    "Length": "length",
    "LogicalAnd": "bool_and",
    "LogicalOr": "bool_or",
    "Ceil": "ceil",
    "Pow": "power",
    "Variance": "variance",
    "VariancePop": "var_pop",
    "Stddev": "stddev",
    "StddevPop": "stddev_pop",
    "StddevSamp": "stddev_samp",
    "ApproxDistinct": "approx_distinct",
    "Substring": "substring",
    "CurrentTimestamp": "current_timestamp",
    "ArrayToString": "array_to_string",
    "StringToArray": "string_to_array",
    "Rand": "random",
    "MD5": "md5",
    "TimestampFromParts": "make_timestamp",
    "DateFromParts": "make_date",
    "ArrayAgg": "array_agg",
    "Extract": "extract",
    "PercentileCont": "percentile_cont",
    "PercentileDisc": "percentile_disc",
    "RegexpReplace": "regexp_replace",
    "SplitPart": "split_part",
    "CountIf": "count",
}
