"""Arithmetic, casts and the functions of numbers, where Postgres and DuckDB differ."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sqlglot import exp

from headwater.serving.postgres.dialect.decimals import (
    DEVIATION_SCALE,
    MOST_DIGITS,
    added_up,
    arithmetic_type,
    decimal,
    is_exact,
    places,
    plain_literal,
    quotient_type,
    rounded_type,
    scale_of,
)
from headwater.serving.postgres.dialect.kinds import (
    BIG_INTEGERS,
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
from headwater.serving.postgres.dialect.quotients import quotient, quotient_as_text, remainder
from headwater.serving.postgres.dialect.refusal import Refused
from headwater.serving.postgres.dialect.trees import put_in_place
from headwater.serving.postgres.dialect.written import bound, holds, sql_of, written

_T = exp.DataType.Type
_REAL: Final = frozenset({_T.FLOAT})


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
    if holds(node, exp.IntDiv, exp.Mod, exp.Query):
        raise Refused("a divisor that is a division or a query itself; give it a name in a subquery")
    if holds(node, exp.Rand):
        raise Refused("a random divisor")
    fails = exp.cast(exp.Literal.string("division by zero"), "tinyint")
    return exp.Case(ifs=[exp.If(this=exp.EQ(this=exp.paren(node.copy()), expression=exp.Literal.number(0)), true=fails)], default=node.copy())


def _literal(node: exp.Expr) -> exp.Expr:
    """A number with an exponent is numeric too."""
    if node.args.get("is_string"):
        return node
    plain = plain_literal(str(node.this))
    if plain == str(node.this):
        return node
    made = exp.Literal.number(plain)
    made.type = node.type
    return made


def _div(node: exp.Expr) -> exp.Expr:
    left, right = node.this, node.args["expression"]
    for one, other in ((left, right), (right, left)):
        if isinstance(one, exp.Parameter) and (one.meta.get("is_numeric") or of_kind(other, DECIMALS)) and not of_kind(other, FLOATS):
            raise Refused(f"a division with a parameter whose scale isn't known; give it one: CAST(${one.name} AS numeric(12,4))")
        if isinstance(one, (exp.Parameter, exp.Null)):
            one.type = other.type  # which is what it is read as
    kinds = INTEGERS | DECIMALS
    if of_kind(left, kinds) and of_kind(right, kinds) and (of_kind(left, DECIMALS) or of_kind(right, DECIMALS)):
        if isinstance(right, exp.Literal) and float(str(right.this)) == 0:
            raise Refused("a division by zero")
        _refuse_divided(left, right)
        return quotient(left, right)
    if not (of_kind(left, kinds | FLOATS) and of_kind(right, kinds | FLOATS)):
        raise Refused("a division of what isn't known to be a number; cast it")
    # `//` is whole for integers and not for others, as Postgres' `/`
    made = exp.IntDiv(this=_wrapped(left), expression=_wrapped(_divisor(right)))
    if of_kind(left, INTEGERS) and of_kind(right, INTEGERS):
        made.type = left.type if not of_kind(right, frozenset({_T.BIGINT})) else right.type
    else:
        made.type = exp.DataType.build("double")
    if not isinstance(node.parent, exp.Binary):
        return made
    whole = exp.paren(made, copy=False)
    whole.type = made.type
    return whole


def _refuse_divided(*operands: exp.Expr) -> None:
    """Postgres divides what was divided already, and a deviation, to as many digits as that value has, which its type here doesn't tell."""
    if any(of_kind(one, DECIMALS) and not is_exact(one.type) and (scale_of(one.type) or 0) >= DEVIATION_SCALE for one in operands):
        raise Refused("a division or an average of what was divided already; round that first, or cast it: numeric(18,6), double precision")


def _mul(node: exp.Expr) -> exp.Expr:
    scales = [scale_of(one.type) for one in (node.this, node.args["expression"]) if of_kind(one, DECIMALS)]
    if sum(scale or 0 for scale in scales) > 38:
        raise Refused("a product of two quotients, which has more digits than can be computed with here; round one of them first")
    return _retyped(node)


def _retyped(node: exp.Expr) -> exp.Expr:
    """With the type that the operands ask for, where their own types came to light only now."""
    left, right = node.this, node.args["expression"]
    if not is_known(node) and is_known(left) and is_known(right):
        node.type = arithmetic_type(type(node), left.type, right.type)
    return node


def _wrapped(node: exp.Expr) -> exp.Expr:
    return exp.paren(node, copy=False) if isinstance(node, (exp.Binary, exp.Case)) else node


def _mod(node: exp.Expr) -> exp.Expr:
    left, right = node.this, node.args["expression"]
    if of_kind(left, FLOATS) or of_kind(right, FLOATS):
        raise Refused("the operator % and mod don't exist for double precision; cast to numeric(18,6)")
    divisor = _divisor(right)
    if any(of_kind(one, DECIMALS) or one.meta.get("is_numeric") for one in (left, right)):
        divisor.type = right.type
        made = remainder(left, divisor)
        if made is not None:
            return made
    node.set("expression", _wrapped(divisor))
    return _retyped(node)


def _sub(node: exp.Expr) -> exp.Expr:
    left, right = node.this, node.args["expression"]
    if of_kind(left, DATES) and of_kind(right, DATES):
        return typed(exp.paren(node.copy()), "int")
    return _retyped(node)


def _sum(node: exp.Expr) -> exp.Expr:
    """Of integers it is bigint, of bigint numeric."""
    of = added_up(node)
    if not is_known(of):
        raise Refused("sum of something whose type isn't known; cast it")
    if of_kind(of, SMALL_INTEGERS):
        node.type = exp.DataType.build("bigint")
        return _around(node, lambda whole: typed(whole, "bigint"))
    if of_kind(of, BIG_INTEGERS):
        node.type = decimal(0)
        return _around(node, lambda whole: typed(whole, "decimal(38,0)"))
    if of_kind(of, _REAL):
        raise Refused("sum of real, which adds up in single precision; cast it to double precision")
    return node


def _avg(node: exp.Expr) -> exp.Expr:
    """Of integers and numerics it is what it is in Postgres: the quotient of the sum and the count."""
    of = added_up(node)
    if of_kind(of, frozenset({_T.INTERVAL})) or not is_known(of):
        raise Refused("avg of something that isn't known to be a number; cast it")
    if not of_kind(of, INTEGERS | DECIMALS):
        node.type = exp.DataType.build("double")
        return node
    _refuse_divided(of)
    type = of.type
    node.type = quotient_type()

    def divided(whole: exp.Expr) -> exp.Expr:
        total, count = whole.copy(), whole.copy()
        sums, counts = exp.Sum(this=node.this.copy()), exp.Count(this=node.this.copy())
        total, count = (_with_innermost(one, made) for one, made in ((total, sums), (count, counts)))
        total.type, count.type = type, exp.DataType.build("bigint")
        return quotient(total, count)

    return _around(node, divided)


def _deviation(node: exp.Expr) -> exp.Expr:
    """Of integers and numerics a numeric too, with as many digits as a double has."""
    if not is_known(node.this):
        raise Refused(f"{node.key} of something whose type isn't known; cast it")
    if not of_kind(node.this, INTEGERS | DECIMALS):
        return node
    node.type = decimal(DEVIATION_SCALE, is_exact=False)

    def as_numeric(whole: exp.Expr) -> exp.Expr:
        made = typed(_digits_of_double(whole), f"decimal({MOST_DIGITS},{DEVIATION_SCALE})")
        made.type = node.type
        return made

    return _around(node, as_numeric)


def _with_innermost(whole: exp.Expr, aggregate: exp.Expr) -> exp.Expr:
    """FILTER and OVER around another aggregate."""
    if isinstance(whole, exp.Avg):
        return aggregate
    inner = whole
    while not isinstance(inner, exp.Avg):
        inner = inner.this
    inner.replace(aggregate)
    return whole


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
    if of_kind(of, FLOATS):
        if decimals is not None:
            raise Refused("function round(double precision, integer) does not exist; cast to numeric")
        return _called("ROUND_EVEN", _as_double(of), exp.Literal.number(0))
    if not of_kind(of, INTEGERS | DECIMALS):
        raise Refused("round of something whose type isn't known; cast it")
    if decimals is not None and places(decimals) is None:
        raise Refused("round to a number of places that isn't plain")
    return _with_places(node, node.copy())


def _as_double(of: exp.Expr) -> exp.Expr:
    """Postgres has these functions of double precision, and real is it then."""
    return typed(of.copy(), "double") if of_kind(of, _REAL) else of.copy()


def _called(name: str, *of: exp.Expr) -> exp.Expr:
    made = exp.Anonymous(this=name, expressions=list(of))
    made.type = exp.DataType.build("double")
    return made


def _whole(node: exp.Expr) -> exp.Expr:
    """Of ceil and floor."""
    if of_kind(node.this, _REAL):
        put_in_place(_as_double(node.this), node.this)
    return node


def _with_places(node: exp.Expr, made: exp.Expr) -> exp.Expr:
    """`made` of a round or trunc of a numeric or an integer, with as many digits behind the point as are asked for."""
    type, decimals = rounded_type(node), node.args.get("decimals")
    assert type is not None
    if type.this == _T.DOUBLE:
        return typed(made, "double")
    kept = max(places(decimals) or 0, 0)
    scale = scale_of(node.this.type)
    if of_kind(node.this, INTEGERS) or scale is None or kept > scale:
        return typed(made, f"decimal(38,{kept})")
    made.type = type
    return made


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
        return typed(_digits_of_double(of), "decimal(38,15)")
    if isinstance(of, exp.Literal):
        whole, _, fraction = str(of.this).strip().lstrip("+-").partition(".")
        if not (whole + fraction).isdecimal() or len(whole) + len(fraction) > 38:
            raise Refused("this text as numeric")
        return typed(of.copy(), f"decimal({max(len(whole) + len(fraction), 1)},{len(fraction)})")
    raise Refused("numeric without a scale of something whose scale isn't known; give it: numeric(18,6)")


def _digits_of_double(of: exp.Expr) -> exp.Expr:
    """A text of the digits that Postgres makes a numeric of: 15, of real 6."""
    digits = 6 if of_kind(of, _REAL) else 15
    return exp.Anonymous(this="FORMAT", expressions=[exp.Literal.string(f"{{:.{digits}g}}"), exp.cast(of.copy(), "double")])


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
    text = "regexp_replace(CAST(hw_n AS VARCHAR), '[.]0$', '')"
    names = f"CASE {text} WHEN 'inf' THEN 'Infinity' WHEN '-inf' THEN '-Infinity' ELSE {text} END"
    exponent = f"regexp_replace(rtrim({text}, '0'), '^(-?[0-9])([0-9]+)$', '\\1.\\2') || 'e+15'"
    fails = "CAST(CAST('double precision that isn''t exact as text' AS TINYINT) AS VARCHAR)"
    shown = f"""CASE
        WHEN isnan(hw_n) THEN 'NaN'
        WHEN isinf(hw_n) OR abs(hw_n) < 1e15 THEN {names}
        WHEN (contains({text}, '.') AND abs(hw_n) < 1e16)
            OR TRY_CAST({text} AS DECIMAL(38, 0)) IS DISTINCT FROM TRY_CAST(TRY_CAST(hw_n AS HUGEINT) AS DECIMAL(38, 0))
        THEN {fails}
        WHEN abs(hw_n) < 1e16 THEN {exponent}
        ELSE {text}
    END"""
    return written(bound(f"CAST({sql_of(of)} AS DOUBLE)", "hw_n", shown), "text", of)


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
    if to.this == _T.DECIMAL and of_kind(of, FLOATS):
        return typed(_digits_of_double(of), to.sql("duckdb"))
    if to.this in FLOATS and of_kind(of, DECIMALS):
        return typed(exp.cast(of.copy(), "varchar"), to.sql("duckdb"))  # the nearest, of any number of digits
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
    elif of_kind(of, DECIMALS) and not is_exact(of.type):
        shown = quotient_as_text(of)
        if shown is None:
            raise Refused("as text a numeric that may have another number of zeros in Postgres; round it, or cast it to numeric(18,6)")
        made = shown
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


def _of_double(node: exp.Expr) -> exp.Expr:
    """Functions that Postgres has of numeric too, with more digits than double precision has."""
    for one in (node.this, node.args.get("expression")):
        if isinstance(one, exp.Expr) and not of_kind(one, FLOATS | INTEGERS):
            raise Refused(f"{node.key} of what isn't known to be an integer or double precision; cast it to double precision")
    return node


def _log(node: exp.Expr) -> exp.Expr:
    no_more(node, "this")
    _of_double(node)
    return exp.Anonymous(this="LOG10", expressions=[node.this.copy()])


def _ln(node: exp.Expr) -> exp.Expr:
    no_more(node, "this")
    _of_double(node)
    return typed(node.copy(), "double")


def _sign(node: exp.Expr) -> exp.Expr:
    if of_kind(node.this, DECIMALS):
        return typed(node.copy(), "decimal(38,0)")
    if not of_kind(node.this, FLOATS | INTEGERS):
        raise Refused("sign of what isn't known to be a number")
    return typed(node.copy(), "double")


def _power(node: exp.Expr) -> exp.Expr:
    if not all(of_kind(one, INTEGERS | FLOATS) for one in node.expressions):
        raise Refused("power of what isn't known to be an integer or double precision; cast it to double precision")
    made = exp.Anonymous(this="POWER", expressions=[one.copy() for one in node.expressions])
    made.type = exp.DataType.build("double")
    return made


def _trunc(node: exp.Expr) -> exp.Expr:
    no_more(node, "this", "decimals")
    of, decimals = node.this, node.args.get("decimals")
    if not of_kind(of, FLOATS | INTEGERS | DECIMALS):
        raise Refused("trunc of what isn't known to be a number")
    if decimals is not None and (of_kind(of, FLOATS) or places(decimals) is None):
        raise Refused("trunc to a number of places of what isn't numeric, or to one that isn't plain")
    if of_kind(of, FLOATS):
        return _called("TRUNC", _as_double(of))
    return _with_places(node, exp.Anonymous(this="TRUNC", expressions=[one.copy() for one in (of, decimals) if one is not None]))


NUMBER_RULES: Final[dict[str, Rule]] = {
    "Literal": _literal,
    "Add": _retyped,
    "Mul": _mul,
    "Div": _div,
    "Mod": _mod,
    "Sub": _sub,
    "Sum": _sum,
    "Avg": _avg,
    **dict.fromkeys(("Stddev", "StddevSamp", "StddevPop", "Variance", "VariancePop"), _deviation),
    "Round": _round,
    "Trunc": _trunc,
    "Ceil": _whole,
    "Floor": _whole,
    "Cast": _cast,
    "Log": _log,
    "Ln": _ln,
    "Sign": _sign,
    "Sqrt": _of_double,
    "Exp": _of_double,
    "Pow": _of_double,
    "hw_kept_power()": _power,
    "hw_kept_pow()": _power,
}
