"""Functions and series that are called otherwise in DuckDB, or give another type."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sqlglot import exp

from headwater.serving.postgres.dialect.kinds import (
    DATES,
    DECIMALS,
    FLOATS,
    INTEGERS,
    LISTS,
    SMALL_INTEGERS,
    TEXTS,
    TIMESTAMPS,
    Rule,
    is_known,
    no_more,
    of_kind,
    plain_text,
    typed,
)
from headwater.serving.postgres.dialect.refusal import Refused
from headwater.serving.postgres.dialect.written import bound, once, sql_of, written
from headwater.serving.postgres.failures import WireError


def _called(name: str, arguments: list[exp.Expr], type: str) -> exp.Expr:
    made = exp.Anonymous(this=name, expressions=[one.copy() for one in arguments])
    made.type = exp.DataType.build(type)
    return made


def _concat_ws(node: exp.Expr) -> exp.Expr:
    """Nulls are passed over in both."""
    separator, *given = node.expressions
    plain_text(separator, "the separator of concat_ws")
    if not all(of_kind(one, TEXTS | INTEGERS) or isinstance(one, (exp.Literal, exp.Null, exp.Parameter)) for one in given):
        raise Refused("concat_ws of what isn't text or an integer; cast it")
    return _called("CONCAT_WS", node.expressions, "text")


def _make_date(node: exp.Expr) -> exp.Expr:
    """Years before the first are others."""
    if len(node.expressions) != 3 or not all(of_kind(one, SMALL_INTEGERS) for one in node.expressions):
        raise Refused("make_date of what isn't known to be three integers")

    def made(year: str, month: str, day: str) -> str:
        fails = "CAST(CAST('a year of make_date that isn''t from 1 to 9999' AS TINYINT) AS VARCHAR)::DATE"
        return f"CASE WHEN {year} BETWEEN 1 AND 9999 THEN make_date({year}, {month}, {day}) WHEN {year} IS NOT NULL THEN {fails} END"

    return written(once(made, *node.expressions), "date", *node.expressions)


def _array_to_string(node: exp.Expr) -> exp.Expr:
    no_more(node, "this", "expression")
    of = node.this
    plain_text(node.args["expression"], "the separator of array_to_string")
    item = of.type.expressions[0] if of_kind(of, LISTS) and of.type is not None and of.type.expressions else None
    if not isinstance(item, exp.DataType) or item.this not in TEXTS | INTEGERS:
        raise Refused("array_to_string of what isn't known to be an array of texts or integers")
    return _called("ARRAY_TO_STRING", [of, node.args["expression"]], "text")


def _every(node: exp.Expr) -> exp.Expr:
    if len(node.expressions) != 1:
        raise Refused("every of more than one condition")
    made = exp.LogicalAnd(this=node.expressions[0].copy())
    made.type = exp.DataType.build("boolean")
    return made


def _local_time(node: exp.Expr) -> exp.Expr:
    no_more(node)
    return written("timezone('UTC', now())", "timestamp")


def _translated(node: exp.Expr) -> exp.Expr:
    given = [node.this, node.args["from_"], node.args["to"]]
    if len(set(plain_text(given[1], "what translate replaces"))) != len(given[1].name) or not given[1].name:
        raise Refused("translate of a character that stands there twice, or of none")
    plain_text(given[2], "what translate replaces with")
    if not (of_kind(given[0], TEXTS) or isinstance(given[0], exp.Literal)):
        raise Refused("translate of what isn't known to be text")
    return _called("TRANSLATE", given, "text")


def _of_text(node: exp.Expr) -> exp.Expr:
    """For functions of texts that DuckDB has of others too, which it prints first."""
    of = node.this
    if is_known(of) and not of_kind(of, TEXTS) and not isinstance(of, (exp.Null, exp.Parameter)):
        assert isinstance(node, exp.Func)
        raise WireError("42883", f"function {node.sql_name().lower()}({of.type.sql('postgres').lower()}) does not exist", hint="Cast it to text.")
    return node


def _upper(node: exp.Expr) -> exp.Expr:
    """`ß` stays what it is, which DuckDB makes a capital."""
    of = _of_text(node).this
    if isinstance(of, exp.Literal) and "ß" not in of.name:
        return node
    pieces = "array_to_string(list_transform(string_split(hw_t, 'ß'), lambda hw_p: upper(hw_p)), 'ß')"
    upper = bound(f"CAST({sql_of(of)} AS VARCHAR)", "hw_t", f"CASE WHEN contains(hw_t, 'ß') THEN {pieces} ELSE upper(hw_t) END")
    return written(upper, "text", of)


def _element(node: exp.Expr) -> exp.Expr:
    """Counted from one. Beyond the end there is null in both; before the beginning DuckDB counts from the end."""
    place = node.expressions[0] if len(node.expressions) == 1 else None
    if isinstance(node.this, exp.Array):
        raise Refused("an element of ARRAY[..] without parentheses around it")
    if not of_kind(node.this, LISTS) or not isinstance(place, exp.Literal) or not str(place.this).isdecimal():
        raise Refused("an element of what isn't known to be an array, at a place that isn't a plain positive number")
    if of_kind(node, LISTS) and not isinstance(node.parent, exp.Bracket):
        raise Refused("one row of an array of arrays, which is null in Postgres; write both places: (a)[1][2]")
    return node


def with_shape(rule: Rule) -> Rule:
    """An array of arrays has rows of one length, and no other rows, which DuckDB doesn't ask for."""

    def array(node: exp.Expr) -> exp.Expr:
        _shape_of(node)
        return rule(node)

    return array


def _shape_of(node: exp.Expr) -> tuple[int, ...]:
    rows = [_written_out(one) for one in node.expressions]
    if not any(isinstance(row, exp.Array) or of_kind(row, LISTS) for row in rows):
        return (len(rows),)
    shapes = {_shape_of(row) if isinstance(row, exp.Array) else () for row in rows}
    shape = next(iter(shapes))
    if len(shapes) > 1 or not shape or 0 in shape:
        raise Refused("an array of arrays that aren't written out, each as long as the others")
    return (len(rows), *shape)


def _written_out(node: exp.Expr) -> exp.Expr:
    while isinstance(node, (exp.Paren, exp.Cast)) and isinstance(node.this, (exp.Paren, exp.Cast, exp.Array)):
        node = node.this
    return node


def _percentile(node: exp.Expr) -> exp.Expr:
    """Between numerics it is double precision in Postgres, and rounded to their scale in DuckDB."""
    order = node.args.get("expression")
    if isinstance(node.this, (exp.PercentileCont, exp.PercentileDisc)) and node.this.find(exp.Parameter) is not None:
        raise Refused(f"{'percentile_cont' if isinstance(node.this, exp.PercentileCont) else 'percentile_disc'} of a parameter; write the number")
    if isinstance(node.this, exp.PercentileCont) and isinstance(order, exp.Order) and isinstance(order.expressions[0], exp.Ordered):
        of = order.expressions[0].this
        if of_kind(of, DECIMALS):
            order.expressions[0].set("this", typed(of.copy(), "double"))
        elif not of_kind(of, FLOATS | INTEGERS):
            raise Refused("percentile_cont of what isn't known to be a number; cast it to double precision")
    return node


def _series(node: exp.Expr) -> exp.Expr:
    """Of dates it is timestamptz. In FROM its one column is called as its table is."""
    for name in ("start", "end"):
        of = node.args.get(name)
        if of is not None and of_kind(of, DATES):
            node.set(name, typed(of.copy(), "timestamptz"))
    table = node.parent
    if isinstance(table, exp.Table):
        alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier("generate_series", quoted=True))
        if not alias.columns:
            alias.set("columns", [alias.this.copy()])
        table.set("alias", alias)
    return node


_SHORT_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d)( ?(?:[+-]\d\d(?::?\d\d)?|[zZ]))")


def with_seconds(rule: Rule) -> Rule:
    """A time that says its zone and no seconds is written with them."""

    def cast(node: exp.Expr) -> exp.Expr:
        of = node.this
        short = _SHORT_TIME.fullmatch(of.name) if isinstance(of, exp.Literal) and of.is_string and of_kind(node, TIMESTAMPS) else None
        if short is not None:
            of.set("this", f"{short[1]}:00{short[2].strip()}")
        return rule(node)

    return cast


def with_epoch(rule: Rule) -> Rule:
    """`to_timestamp` of one number is of the seconds since 1970."""

    def to_timestamp(node: exp.Expr) -> exp.Expr:
        if len(node.expressions) != 1:
            return rule(node)
        if not of_kind(node.expressions[0], INTEGERS):
            raise Refused("to_timestamp of what isn't known to be an integer, or a text and a pattern written out")
        return _called("TO_TIMESTAMP", node.expressions, "timestamptz")

    return to_timestamp


def _refusing(what: str) -> Callable[[exp.Expr], exp.Expr]:
    def rule(node: exp.Expr) -> exp.Expr:
        raise Refused(what)

    return rule


CALL_RULES: Final[dict[str, Rule]] = {
    "ConcatWs": _concat_ws,
    "make_date()": _make_date,
    "ArrayToString": _array_to_string,
    "every()": _every,
    "Localtimestamp": _local_time,
    "Translate": _translated,
    "Upper": _upper,
    **dict.fromkeys(("Lower", "Reverse", "Replace", "StartsWith"), _of_text),
    "Bracket": _element,
    "WithinGroup": _percentile,
    "ExplodingGenerateSeries": _series,
    "SimilarTo": _refusing("SIMILAR TO; write ~ with a regular expression"),
    "ByteString": _refusing("a string with escapes, E'..'; write it plainly"),
    "UnicodeString": _refusing("a string with escapes, U&'..'; write it plainly"),
}
