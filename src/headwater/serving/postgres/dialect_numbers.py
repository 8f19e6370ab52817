"""Arithmetic, casts and the functions of numbers, where Postgres and DuckDB differ."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sqlglot import exp, parse_one

from headwater.serving.postgres.dialect_kinds import (
    DATES,
    DECIMALS,
    FLOATS,
    INTEGERS,
    SMALL_INTEGERS,
    TEXTS,
    TIMESTAMPS,
    Rule,
    is_known,
    no_more,
    of_kind,
    typed,
)
from headwater.serving.postgres.refusal import Refused

_T = exp.DataType.Type
#: Places behind the point that an average can be rounded to.
_MOST_DECIMALS: Final = 15


def _divisor(node: exp.Expr) -> exp.Expr:
    """As it is where it can't be zero; else zero makes the query fail, as in Postgres, where DuckDB would give null or infinity."""
    inner = node
    while isinstance(inner, (exp.Paren, exp.Neg, exp.Cast)):
        inner = inner.this
    is_nonzero = isinstance(inner, exp.Literal) and not inner.is_string and float(str(inner.this)) != 0
    if isinstance(inner, exp.Literal) and not is_nonzero:
        raise Refused("a division by zero, or by a text")
    if is_nonzero or (isinstance(inner, exp.Nullif) and inner.args["expression"].sql() in ("0", "0.0")):
        return node
    if node.find(exp.IntDiv, exp.Mod, exp.Query):
        raise Refused("a divisor that is a division or a query itself; give it a name in a subquery")
    if node.find(exp.Rand):
        raise Refused("a random divisor")
    fails = exp.cast(exp.Literal.string("division by zero"), "tinyint")
    return exp.Case(ifs=[exp.If(this=exp.EQ(this=exp.paren(node.copy()), expression=exp.Literal.number(0)), true=fails)], default=node.copy())


def _div(node: exp.Expr) -> exp.Expr:
    """`//` is whole for integers and not for others, as Postgres' `/`."""
    made = exp.IntDiv(this=_wrapped(node.this), expression=_wrapped(_divisor(node.args["expression"])))
    if of_kind(node.this, INTEGERS) and of_kind(node.args["expression"], INTEGERS):
        made.type = node.this.type if not of_kind(node.args["expression"], frozenset({_T.BIGINT})) else node.args["expression"].type
    elif is_known(node.this) and is_known(node.args["expression"]):
        made.type = exp.DataType.build("double")
    return exp.paren(made, copy=False) if isinstance(node.parent, exp.Binary) else made


def _wrapped(node: exp.Expr) -> exp.Expr:
    return exp.paren(node, copy=False) if isinstance(node, (exp.Binary, exp.Case)) else node


def _mod(node: exp.Expr) -> exp.Expr:
    node.set("expression", _wrapped(_divisor(node.args["expression"])))
    return node


def _sub(node: exp.Expr) -> exp.Expr:
    left, right = node.this, node.args["expression"]
    if of_kind(left, DATES) and of_kind(right, DATES):
        return typed(exp.paren(node.copy()), "int")
    return node


def _sum(node: exp.Expr) -> exp.Expr:
    """Of integers it is bigint, of bigint numeric (HUGEINT here)."""
    of = node.this.expressions[0] if isinstance(node.this, exp.Distinct) and node.this.expressions else node.this
    if not is_known(of):
        raise Refused("sum of something whose type isn't known; cast it")
    if of_kind(of, SMALL_INTEGERS):
        node.type = exp.DataType.build("bigint")
        return _around(node, lambda whole: typed(whole, "bigint"))
    if of_kind(of, frozenset({_T.FLOAT})):
        raise Refused("sum of real, which adds up in single precision; cast it to double precision")
    return node


def _avg(node: exp.Expr) -> exp.Expr:
    of = node.this.expressions[0] if isinstance(node.this, exp.Distinct) and node.this.expressions else node.this
    if of_kind(of, frozenset({_T.INTERVAL})) or not is_known(of):
        raise Refused("avg of something that isn't known to be a number; cast it")
    node.type = exp.DataType.build("double")
    return node


def _around(node: exp.Expr, make: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """`make` of an aggregate together with its FILTER and OVER. The whole is replaced; the node itself stays in it."""
    whole = node
    while isinstance(whole.parent, (exp.Filter, exp.Window, exp.WithinGroup)) and whole.arg_key == "this":
        whole = whole.parent
    if whole is node:
        return make(node.copy())
    made = make(whole.copy())
    whole.replace(made)
    return node


def _round(node: exp.Expr) -> exp.Expr:
    """Of double precision to the even neighbour, of numeric away from zero."""
    no_more(node, "this", "decimals")
    of, decimals = node.this, node.args.get("decimals")
    if isinstance(of, exp.Avg) and decimals is not None:
        return _rounded_average(of, decimals)
    if of_kind(of, FLOATS):
        if decimals is not None:
            raise Refused("function round(double precision, integer) does not exist; cast to numeric")
        return exp.Anonymous(this="ROUND_EVEN", expressions=[of.copy(), exp.Literal.number(0)])
    if not is_known(of):
        raise Refused("round of something whose type isn't known; cast it")
    if decimals is not None and not isinstance(decimals, exp.Literal):
        raise Refused("round to a number of places that isn't plain")
    if of_kind(of, INTEGERS):
        return typed(node.copy(), "double") if decimals is None else node
    return node


def _rounded_average(average: exp.Avg, decimals: exp.Expr) -> exp.Expr:
    """Of numeric and integers: an average here is of double precision, so it is made of sum and count again, in whole numbers."""
    of = average.this
    column = of.expressions[0] if isinstance(of, exp.Distinct) and len(of.expressions) == 1 else of
    kind = column.type
    is_sure = isinstance(column, exp.Cast) or bool(column.meta.get("is_stored"))
    if is_sure and of_kind(column, INTEGERS):
        scale = 0
    elif is_sure and of_kind(column, DECIMALS) and kind is not None and len(kind.expressions) == 2:
        scale = int(kind.expressions[1].name)
    else:
        raise Refused("round of an average of what isn't known to be a numeric with a scale, or an integer")
    if not (isinstance(decimals, exp.Literal) and str(decimals.this).isdecimal() and int(str(decimals.this)) <= _MOST_DECIMALS):
        raise Refused("round to a number of places that isn't plain")
    places = int(str(decimals.this))
    total, count = exp.Sum(this=of.copy()).sql("duckdb"), exp.Count(this=of.copy()).sql("duckdb")
    # |sum| / count, in units of the last place, and half a unit more before the fraction is cut off
    top = f"CAST(abs({total}) * {10**scale} AS HUGEINT) * {10 ** max(places - scale, 0)}"
    below = f"({count} * {10 ** max(scale - places, 0)})"
    units = f"((2 * {top} + {below}) // (2 * {below})) * CASE WHEN {total} < 0 THEN -1 ELSE 1 END"
    made = parse_one(f"CAST({units} AS DECIMAL(38, 0)) * CAST(1 / 1e{places} AS DECIMAL({places + 1}, {places}))", read="duckdb")
    return typed(exp.paren(made), f"decimal(38,{places})")


def _bare_numeric(node: exp.Cast) -> exp.Expr:
    """Numeric without a precision keeps what it is given. Doubles do with their 15 digits, as in Postgres."""
    of = node.this
    if of_kind(of, DECIMALS):
        made: exp.Expr = exp.paren(of.copy())
        made.type = of.type
        return made
    if of_kind(of, INTEGERS) or (isinstance(of, exp.Literal) and not of.is_string and "." not in str(of.this)):
        return typed(of.copy(), "decimal(38,0)")
    if of_kind(of, FLOATS):
        parent = node.parent
        if isinstance(parent, exp.Paren):
            parent = parent.parent
        if not (isinstance(parent, exp.Round) and parent.args.get("decimals") is not None):
            raise Refused("double precision as numeric without a scale; round it, or give the scale: numeric(18,6)")
        digits = exp.Anonymous(this="FORMAT", expressions=[exp.Literal.string("{:.15g}"), exp.cast(of.copy(), "double")])
        return typed(digits, "decimal(38,15)")
    if isinstance(of, exp.Literal):
        whole, _, fraction = str(of.this).strip().lstrip("+-").partition(".")
        if not (whole + fraction).isdecimal() or len(whole) + len(fraction) > 38:
            raise Refused("this text as numeric")
        return typed(of.copy(), f"decimal({max(len(whole) + len(fraction), 1)},{len(fraction)})")
    raise Refused("numeric without a scale of something whose scale isn't known; give it: numeric(18,6)")


# -- casts -----------------------------------------------------------------------------------------------------------

_CASTS: Final = (
    INTEGERS
    | FLOATS
    | TEXTS
    | DATES
    | TIMESTAMPS
    | frozenset({_T.BOOLEAN, _T.TIME, _T.INTERVAL, _T.UUID, _T.JSON, _T.JSONB, _T.DECIMAL, _T.ARRAY, _T.LIST})
)


def _double_as_text(of: exp.Expr) -> exp.Expr:
    """Both write the fewest digits that mean the same number. Of numbers so large that a tie decides Postgres may take one digit more: they make the
    query fail. A point without digits behind it, where the exponent begins and what isn't finite they write each in its own way."""
    inner = of
    while isinstance(inner, (exp.Paren, exp.Neg)):
        inner = inner.this
    is_cast = isinstance(inner, exp.Cast) and inner.to.this == _T.DOUBLE
    if not (is_cast or (of_kind(inner, frozenset({_T.DOUBLE})) and inner.meta.get("is_stored"))):
        raise Refused("as text what isn't known to be double precision in Postgres; cast it to numeric(..) or double precision first")
    number = exp.cast(of.copy(), "double").sql("duckdb")
    text = f"regexp_replace(CAST({number} AS VARCHAR), '[.]0$', '')"
    names = f"CASE {text} WHEN 'inf' THEN 'Infinity' WHEN '-inf' THEN '-Infinity' ELSE {text} END"
    exponent = f"regexp_replace(rtrim({text}, '0'), '^(-?[0-9])([0-9]+)$', '\\1.\\2') || 'e+15'"
    fails = "CAST(CAST('double precision that isn''t exact as text' AS TINYINT) AS VARCHAR)"
    sql = f"""
        CASE
            WHEN isnan({number}) THEN 'NaN'
            WHEN isinf({number}) OR abs({number}) < 1e15 THEN {names}
            WHEN (contains({text}, '.') AND abs({number}) < 1e16)
                OR TRY_CAST({text} AS DECIMAL(38, 0)) IS DISTINCT FROM TRY_CAST(TRY_CAST({number} AS HUGEINT) AS DECIMAL(38, 0))
            THEN {fails}
            WHEN abs({number}) < 1e16 THEN {exponent}
            ELSE {text}
        END
    """
    made = parse_one(sql, read="duckdb")
    made = exp.paren(made)
    made.type = exp.DataType.build("text")
    return made


def _cast(node: exp.Expr) -> exp.Expr:
    assert isinstance(node, exp.Cast)
    if isinstance(node, exp.TryCast):
        raise Refused("TRY_CAST isn't Postgres'")
    to, of = node.to, node.this
    if not isinstance(to, exp.DataType) or to.this not in _CASTS:
        raise Refused(f"a cast to {to.sql('postgres').lower()}")
    if to.this == _T.DECIMAL and not to.expressions:
        return _bare_numeric(node)
    if to.this in TEXTS:
        return _to_text(node)
    if to.this in TIMESTAMPS | frozenset({_T.TIME, _T.INTERVAL}) and to.expressions:
        raise Refused("a time with a precision of its own")
    if to.this in (_T.ARRAY, _T.LIST) and isinstance(of, exp.Literal):
        raise Refused("an array written as a text; write ARRAY[..]")
    if to.this in INTEGERS and isinstance(of, exp.Literal) and of.is_string and not re.fullmatch(r"\s*[+-]?\d+\s*", str(of.this)):
        raise Refused("this text as an integer")
    if to.this in INTEGERS and not isinstance(of, exp.Literal) and (of_kind(of, TEXTS) or not is_known(of)) and not _is_open(of):
        if of_kind(of, TEXTS):
            return node  # what is no integer fails, but '1.5', which DuckDB rounds
        raise Refused("a cast to an integer of something whose type isn't known")
    if to.this == _T.BOOLEAN and of_kind(of, FLOATS):
        raise Refused("a cast of double precision to boolean")
    return node


def _is_open(node: exp.Expr) -> bool:
    return isinstance(node, (exp.Parameter, exp.Null))


def _to_text(node: exp.Cast) -> exp.Expr:
    of, to = node.this, node.to
    made: exp.Expr = typed(of.copy(), "text")
    if of_kind(of, FLOATS):
        made = _double_as_text(of)
    if of_kind(of, frozenset({_T.INTERVAL, _T.ARRAY, _T.LIST, _T.BINARY, _T.VARBINARY, _T.BLOB, _T.STRUCT, _T.MAP})):
        raise Refused(f"{of.type.sql('postgres').lower()} as text" if of.type else "this as text")
    if not is_known(of) and not isinstance(of, (exp.Null, exp.Parameter, exp.Literal)):
        raise Refused("a cast to text of something whose type isn't known")
    if to.this == _T.CHAR and (not to.expressions or to.expressions):
        raise Refused("character(n), which is padded; cast to varchar or text")
    if to.expressions:
        length = to.expressions[0].this
        made = exp.Left(this=made, expression=length.copy())
        made.type = exp.DataType.build("text")
    return made


# -- functions -------------------------------------------------------------------------------------------------------


def _log(node: exp.Expr) -> exp.Expr:
    no_more(node, "this")
    return exp.Anonymous(this="LOG10", expressions=[node.this.copy()])


def _ln(node: exp.Expr) -> exp.Expr:
    no_more(node, "this")
    if not of_kind(node.this, FLOATS | INTEGERS):
        raise Refused("ln of what isn't known to be an integer or double precision")
    return typed(node.copy(), "double")


def _sign(node: exp.Expr) -> exp.Expr:
    if of_kind(node.this, DECIMALS):
        return typed(node.copy(), "decimal(38,0)")
    if not of_kind(node.this, FLOATS | INTEGERS):
        raise Refused("sign of what isn't known to be a number")
    return typed(node.copy(), "double")


def _power(node: exp.Expr) -> exp.Expr:
    if not all(of_kind(one, INTEGERS | FLOATS) for one in node.expressions):
        raise Refused("power of what isn't known to be an integer or double precision")
    made = exp.Anonymous(this="POWER", expressions=[one.copy() for one in node.expressions])
    made.type = exp.DataType.build("double")
    return made


def _trunc(node: exp.Expr) -> exp.Expr:
    no_more(node, "this")
    if not of_kind(node.this, FLOATS | INTEGERS | DECIMALS):
        raise Refused("trunc of what isn't known to be a number")
    return exp.Anonymous(this="TRUNC", expressions=[node.this.copy()])


NUMBER_RULES: Final[dict[str, Rule]] = {
    "Div": _div,
    "Mod": _mod,
    "Sub": _sub,
    "Sum": _sum,
    "Avg": _avg,
    "Round": _round,
    "Trunc": _trunc,
    "Cast": _cast,
    "Log": _log,
    "Ln": _ln,
    "Sign": _sign,
    "hw_kept_power()": _power,
    "hw_kept_pow()": _power,
}
