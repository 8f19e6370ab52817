"""What type arithmetic has in Postgres: which is `numeric`, and with how many digits behind the point.

A numeric here is a DECIMAL of DuckDB with the same value. Its type tells the scale. Of a quotient, and of what is made of one or chosen among
numerics of several scales, Postgres writes as many digits as the values ask for: `INEXACT_WIDTH` marks such a type, which has no text form here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres

from headwater.serving.postgres.dialect.kinds import BIG_INTEGERS, DATES, DECIMALS, FLOATS, INTEGERS, widest
from headwater.serving.postgres.dialect.refusal import Refused
from headwater.serving.postgres.dialect.trees import queries_of

_T = exp.DataType.Type
#: Digits that a DECIMAL holds.
MOST_DIGITS: Final = 38
#: The width in the type of a numeric whose value is Postgres' own, but not how many zeros it is written with.
INEXACT_WIDTH: Final = 37
#: Digits behind the point of a quotient.
QUOTIENT_SCALE: Final = 20
#: Digits behind the point of a deviation or a variance.
DEVIATION_SCALE: Final = 15
_NUMBERS: Final = INTEGERS | DECIMALS | FLOATS
_LARGEST: Final = frozenset({_T.INT128, _T.UINT128, _T.UBIGINT})

Annotator = Callable[[Any, exp.Expr], exp.Expr]


def decimal(scale: int, *, is_exact: bool = True) -> exp.DataType:
    return exp.DataType.build(f"decimal({MOST_DIGITS if is_exact else INEXACT_WIDTH},{scale})")


def quotient_type() -> exp.DataType:
    return decimal(QUOTIENT_SCALE, is_exact=False)


def scale_of(type: exp.DataType | None) -> int | None:
    """Digits behind the point of an integer or a numeric; None where they aren't known."""
    if type is None or type.this in INTEGERS:
        return None if type is None else 0
    if type.this in DECIMALS and len(type.expressions) == 2:
        return int(type.expressions[1].name)
    return None


def width_of(type: exp.DataType | None) -> int:
    """Digits that an integer or a numeric may have; of a type that doesn't tell them the most."""
    if type is not None and type.this in INTEGERS:
        return MOST_DIGITS if type.this in _LARGEST else 19 if type.this in BIG_INTEGERS else 10
    known = type is not None and len(type.expressions) == 2 and int(type.expressions[0].name) != INEXACT_WIDTH
    return int(type.expressions[0].name) if known and type is not None else MOST_DIGITS


def is_exact(type: exp.DataType | None) -> bool:
    """Whether the scale is also what Postgres writes."""
    return scale_of(type) is not None and (type is None or type.this in INTEGERS or int(type.expressions[0].name) != INEXACT_WIDTH)


def literal_type(text: str) -> exp.DataType:
    """Of a number as it is written."""
    number = _number_of(text)
    exponent = number.as_tuple().exponent
    scale = max(-exponent, 0) if isinstance(exponent, int) else 0
    if scale or "." in text or "e" in text.lower():
        width = len(number.as_tuple().digits) + max(exponent, 0) if isinstance(exponent, int) else 1
        listed = [exp.DataTypeParam(this=exp.Literal.number(one)) for one in (max(width, scale, 1), scale)]
        return exp.DataType(this=_T.DECIMAL, expressions=listed)
    if abs(number) < 2**31:
        return exp.DataType(this=_T.INT)
    return exp.DataType(this=_T.BIGINT) if abs(number) < 2**63 else decimal(0)


def _number_of(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond all that there are
        raise Refused("a number of more than 38 digits") from None


def plain_literal(text: str) -> str:
    """A number without an exponent, as many digits as Postgres has: with one it would be double precision here."""
    number = _number_of(text)
    if abs(number.adjusted()) > 2 * MOST_DIGITS:
        raise Refused("a number of more than 38 digits")
    made = f"{number:f}"
    fraction = made.partition(".")[2]
    if len(made.replace(".", "").lstrip("0")) > MOST_DIGITS or len(fraction) > MOST_DIGITS:
        raise Refused("a number of more than 38 digits")
    if len(fraction) == MOST_DIGITS:
        return f".{fraction}"  # with a zero before it, it would be double precision
    return made if "." in made or text.isdecimal() else f"{made}."


def arithmetic_type(kind: type[exp.Expr], left: exp.DataType, right: exp.DataType) -> exp.DataType | None:
    """Of `left` kind `right`, one of them being a numeric or a floating point number; None for others."""
    if not {left.this, right.this} <= _NUMBERS or not {left.this, right.this} & (DECIMALS | FLOATS):
        return None
    if {left.this, right.this} & FLOATS:
        return exp.DataType.build("float" if left.this == right.this == _T.FLOAT else "double")
    if kind is exp.Div:
        return quotient_type()
    scales = scale_of(left), scale_of(right)
    if scales[0] is None or scales[1] is None:
        return exp.DataType.build("decimal")
    scale = sum(scales) if kind is exp.Mul else max(scales)  # type: ignore[arg-type, type-var]
    assert scale is not None
    return decimal(scale, is_exact=is_exact(left) and is_exact(right))


def chosen_type(types: Iterable[exp.DataType]) -> exp.DataType | None:
    """Of one of several values, one of them being a numeric; None for others."""
    listed = list(types)
    kinds = {one.this for one in listed}
    if not kinds & DECIMALS or not kinds <= _NUMBERS:
        return None
    if kinds & FLOATS:
        return exp.DataType.build("double" if _T.DOUBLE in kinds else "float")
    scales = [scale_of(one) for one in listed]
    known = [one for one in scales if one is not None]
    if len(known) < len(scales):
        return exp.DataType.build("decimal")
    return decimal(max(known), is_exact=len(set(known)) == 1 and all(map(is_exact, listed)))


def mixed_type(values: Iterable[exp.Expr]) -> exp.DataType | None:
    """Of a column or an array of such values, one of them being a numeric; None for others. Without a scale where that of a value isn't known."""
    types = [one.type for one in values if not isinstance(one.unalias(), exp.Null)]
    if not any(one is not None and one.this in DECIMALS for one in types):
        return None
    return chosen_type(one or exp.DataType.build("unknown") for one in types) or exp.DataType.build("decimal")


# -- for annotate_types ----------------------------------------------------------------------------------------------

_OTHERWISE: Final = Postgres.EXPRESSION_METADATA


def _set(annotator: Any, node: exp.Expr, type: exp.DataType | None) -> exp.Expr:
    if type is not None:
        annotator._set_type(node, type)
        return node
    how = _OTHERWISE.get(node.__class__, {})
    if "annotator" in how:
        how["annotator"](annotator, node)
    else:
        annotator._set_type(node, how.get("returns"))
    return node


def _literal(annotator: Any, node: exp.Expr) -> exp.Expr:
    return _set(annotator, node, None if node.is_string else literal_type(str(node.this)))


def _arithmetic(annotator: Any, node: exp.Expr) -> exp.Expr:
    left, right = node.this.type, node.args["expression"].type
    if left is None or right is None:
        return _set(annotator, node, None)
    if isinstance(node, exp.Div) and {left.this, right.this} <= INTEGERS:
        return _set(annotator, node, widest([left, right]))
    if isinstance(node, exp.Sub) and {left.this, right.this} <= DATES:
        return _set(annotator, node, exp.DataType.build("int"))
    return _set(annotator, node, arithmetic_type(node.__class__, left, right))


def _chosen(*names: str) -> Annotator:
    """Of the values in those arguments; nulls among them say nothing."""

    def annotate(annotator: Any, node: exp.Expr) -> exp.Expr:
        values: list[exp.Expr] = []
        for name in names:
            value = node.args.get(name)
            values += value if isinstance(value, list) else [value] if value is not None else []
        given = [one for one in values if not isinstance(one, exp.Null)]
        types = [one.type for one in given if one.type is not None]
        return _set(annotator, node, chosen_type(types) if given and len(types) == len(given) else None)

    return annotate


def nullif_type(of: exp.DataType, other: exp.DataType) -> exp.DataType:
    """That of the first, as it is compared with the other."""
    if not {of.this, other.this} <= _NUMBERS or of.this in FLOATS:
        return of
    if other.this in FLOATS:
        return exp.DataType.build("double")
    return decimal(0) if of.this in INTEGERS and other.this in DECIMALS else of


def _nullif(annotator: Any, node: exp.Expr) -> exp.Expr:
    of, other = node.this.type, node.args["expression"].type
    return _set(annotator, node, nullif_type(of, other) if of is not None and other is not None else of)


def _cast(annotator: Any, node: exp.Expr) -> exp.Expr:
    """To numeric without a scale: that of what is cast."""
    of, to = node.this.type, node.args["to"]
    is_bare = isinstance(to, exp.DataType) and to.this in DECIMALS and not to.expressions
    if not is_bare or of is None or scale_of(of) is None:
        return _set(annotator, node, None)
    return _set(annotator, node, decimal(0) if of.this in INTEGERS else of)


def _case(annotator: Any, node: exp.Expr) -> exp.Expr:
    values = [branch.args["true"] for branch in node.args["ifs"]] + ([node.args["default"]] if node.args.get("default") else [])
    given = [one.type for one in values if not isinstance(one, exp.Null) and one.type is not None]
    return _set(annotator, node, chosen_type(given))


def places(node: exp.Expr | None) -> int | None:
    """The number that a plain whole number is; None for what is none."""
    is_below = isinstance(node, exp.Neg)
    inner = node.this if isinstance(node, exp.Neg) else node
    if not (isinstance(inner, exp.Literal) and not inner.is_string and str(inner.this).isdecimal()):
        return None
    return -int(str(inner.this)) if is_below else int(str(inner.this))


def rounded_type(node: exp.Expr) -> exp.DataType | None:
    """Of round and trunc."""
    of, wanted = node.this.type, node.args.get("decimals")
    if of is None or of.this not in _NUMBERS:
        return None
    if of.this in FLOATS or (of.this in INTEGERS and wanted is None):
        return exp.DataType.build("double")
    if wanted is None:
        return decimal(0)
    kept = places(wanted)
    return exp.DataType.build("decimal") if kept is None else decimal(max(kept, 0))


def _rounded(annotator: Any, node: exp.Expr) -> exp.Expr:
    return _set(annotator, node, rounded_type(node))


def _whole(annotator: Any, node: exp.Expr) -> exp.Expr:
    of = node.this.type
    made = decimal(0) if of is not None and of.this in DECIMALS else exp.DataType.build("double")
    return _set(annotator, node, made if of is not None and of.this in _NUMBERS else None)


def added_up(node: exp.Expr) -> exp.Expr:
    """What an aggregate is of."""
    inner: exp.Expr = node.this
    return inner.expressions[0] if isinstance(inner, exp.Distinct) and inner.expressions else inner


def _sum(annotator: Any, node: exp.Expr) -> exp.Expr:
    of = added_up(node).type
    if of is None or of.this not in BIG_INTEGERS | DECIMALS:
        return _set(annotator, node, None)
    scale = scale_of(of)
    return _set(annotator, node, exp.DataType.build("decimal") if scale is None else decimal(scale, is_exact=is_exact(of)))


def _avg(annotator: Any, node: exp.Expr) -> exp.Expr:
    of = added_up(node).type
    return _set(annotator, node, quotient_type() if of is not None and of.this in INTEGERS | DECIMALS else None)


def _deviation(annotator: Any, node: exp.Expr) -> exp.Expr:
    of = node.this.type
    return _set(annotator, node, decimal(DEVIATION_SCALE, is_exact=False) if of is not None and of.this in INTEGERS | DECIMALS else None)


_SCALES: Final = {"second": 6, "epoch": 6, "milliseconds": 3}


def _extract(annotator: Any, node: exp.Expr) -> exp.Expr:
    return _set(annotator, node, decimal(_SCALES.get(str(node.this.name).lower(), 0)))


def _named(annotator: Any, node: exp.Expr) -> exp.Expr:
    is_double = str(node.this).lower() in ("hw_kept_date_part", "hw_kept_power", "hw_kept_pow")
    return _set(annotator, node, exp.DataType.build("double") if is_double else None)


def _set_operation(annotator: Any, node: exp.Expr) -> exp.Expr:
    """The columns of all its queries together; those of the first stand for a subquery's value."""
    above = node.parent
    while isinstance(above, exp.Subquery):
        above = above.parent
    queries = [] if isinstance(above, exp.SetOperation) else list(queries_of(node))
    columns = annotator._setop_column_types.get(id(node), [])
    if queries and all(len(query.selects) == len(columns) for query in queries):
        for place, (name, _) in enumerate(list(columns)):
            made = mixed_type(query.selects[place] for query in queries)
            if made is not None:
                columns[place] = (name, made)
                annotator._set_type(queries[0].selects[place], made)
    return _set(annotator, node, None)


def _values(annotator: Any, node: exp.Expr) -> exp.Expr:
    for column in zip(*(row.expressions for row in node.expressions), strict=False):
        made = mixed_type(column)
        for value in column if made is not None else ():
            if not isinstance(value, exp.Null):
                annotator._set_type(value, made)
    return _set(annotator, node, None)


def _array(annotator: Any, node: exp.Expr) -> exp.Expr:
    made = mixed_type(node.expressions)
    return _set(annotator, node, None if made is None else exp.DataType(this=_T.ARRAY, expressions=[made], nested=True))


_ANNOTATORS: Final[dict[type[exp.Expr], Annotator]] = {
    exp.Literal: _literal,
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul, exp.Mod, exp.Div), _arithmetic),
    **dict.fromkeys(
        (exp.Max, exp.Min, exp.FirstValue, exp.LastValue, exp.NthValue, exp.Abs, exp.Window, exp.Filter, exp.WithinGroup), _chosen("this")
    ),
    **dict.fromkeys((exp.Coalesce, exp.Greatest, exp.Least), _chosen("this", "expressions")),
    exp.Distinct: _chosen("expressions"),
    exp.Nullif: _nullif,
    **dict.fromkeys((exp.Lag, exp.Lead), _chosen("this", "default")),
    exp.If: _chosen("true", "false"),
    exp.Case: _case,
    exp.Cast: _cast,
    **dict.fromkeys((exp.Round, exp.Trunc), _rounded),
    **dict.fromkeys((exp.Ceil, exp.Floor, exp.Sign), _whole),
    exp.Sum: _sum,
    exp.Avg: _avg,
    **dict.fromkeys((exp.Stddev, exp.StddevSamp, exp.StddevPop, exp.Variance, exp.VariancePop), _deviation),
    exp.Extract: _extract,
    **dict.fromkeys((exp.Union, exp.Except, exp.Intersect), _set_operation),
    exp.Values: _values,
    exp.Array: _array,
    exp.Anonymous: _named,
}
#: How sqlglot's annotate_types finds types, numbers as Postgres has them.
NUMBER_TYPES: Final[dict[type[exp.Expr], dict[str, Any]]] = {
    **_OTHERWISE,
    **{kind: {"annotator": annotate} for kind, annotate in _ANNOTATORS.items()},
    **{kind: {"returns": _T.DOUBLE} for kind in (exp.Corr, exp.CovarPop, exp.CovarSamp, exp.Atan2)},
    exp.Grouping: {"returns": _T.INT},
}
