"""Where Postgres and DuckDB differ, node by node. A function that isn't named here isn't known to mean the same in both."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from sqlglot import exp

from headwater.serving.postgres.refusal import Refused
from headwater.serving.postgres.time_formats import read_time, to_char

_T = exp.DataType.Type
INTEGERS: Final = frozenset({_T.TINYINT, _T.SMALLINT, _T.INT, _T.BIGINT, _T.UTINYINT, _T.USMALLINT, _T.UINT, _T.UBIGINT, _T.INT128, _T.UINT128})
SMALL_INTEGERS: Final = frozenset({_T.TINYINT, _T.SMALLINT, _T.INT, _T.UTINYINT, _T.USMALLINT})
FLOATS: Final = frozenset({_T.FLOAT, _T.DOUBLE})
TEXTS: Final = frozenset({_T.TEXT, _T.VARCHAR, _T.CHAR, _T.NCHAR, _T.NVARCHAR, _T.NAME})
DATES: Final = frozenset({_T.DATE, _T.DATE32})
TIMESTAMPS: Final = frozenset({_T.TIMESTAMP, _T.TIMESTAMPTZ, _T.TIMESTAMPNTZ, _T.DATETIME, _T.TIMESTAMPLTZ})


Rule = Callable[[exp.Expr], exp.Expr]

#: Nodes that mean the same in both.
NODES: Final = frozenset(
    [
        "Select",
        "Subquery",
        "Union",
        "Intersect",
        "Except",
        "From",
        "Join",
        "Where",
        "Group",
        "Having",
        "Order",
        "Ordered",
        "Limit",
        "Offset",
        "Fetch",
        "Distinct",
        "With",
        "CTE",
        "TableAlias",
        "Table",
        "Identifier",
        "Column",
        "Star",
        "Alias",
        "Literal",
        "Null",
        "Boolean",
        "Paren",
        "And",
        "Or",
        "Not",
        "EQ",
        "NEQ",
        "GT",
        "GTE",
        "LT",
        "LTE",
        "NullSafeEQ",
        "NullSafeNEQ",
        "Is",
        "In",
        "Between",
        "Exists",
        "Any",
        "All",
        "Add",
        "Mul",
        "Neg",
        "Case",
        "If",
        "Coalesce",
        "Nullif",
        "Greatest",
        "Least",
        "DPipe",
        "DataType",
        "DataTypeParam",
        "Parameter",
        "Var",
        "Tuple",
        "Values",
        "Window",
        "WindowSpec",
        "Filter",
        "WithinGroup",
        "Count",
        "Max",
        "Min",
        "LogicalAnd",
        "LogicalOr",
        "RowNumber",
        "Rank",
        "DenseRank",
        "PercentRank",
        "CumeDist",
        "Ntile",
        "Lag",
        "Lead",
        "FirstValue",
        "LastValue",
        "NthValue",
        "StddevSamp",
        "StddevPop",
        "Stddev",
        "Variance",
        "VariancePop",
        "Corr",
        "CovarPop",
        "CovarSamp",
        "Lower",
        "Upper",
        "Length",
        "Reverse",
        "Repeat",
        "Ltrim",
        "Rtrim",
        "Replace",
        "Chr",
        "MD5",
        "StartsWith",
        "Abs",
        "Sqrt",
        "Exp",
        "Ceil",
        "Floor",
        "Pi",
        "Degrees",
        "Radians",
        "Sin",
        "Cos",
        "Tan",
        "Asin",
        "Acos",
        "Atan",
        "Atan2",
        "Cbrt",
        "CurrentTimestamp",
        "CurrentDate",
        "Left",
        "Right",
        "PercentileCont",
        "PercentileDisc",
        "Escape",
        "Array",
        "ArrayAgg",
        "ExplodingGenerateSeries",
        "Grouping",
        "GroupingSets",
        "Rollup",
        "Cube",
        "Lateral",
        "Pow",
        "IntervalOp",
    ]
)


def _is(node: exp.Expr | None, kinds: frozenset[Any]) -> bool:
    return node is not None and isinstance(node.type, exp.DataType) and node.type.this in kinds


def _is_known(node: exp.Expr | None) -> bool:
    return node is not None and isinstance(node.type, exp.DataType) and node.type.this not in (_T.UNKNOWN, _T.NULL)


def _typed(node: exp.Expr, type: str) -> exp.Expr:
    made = exp.cast(node, type, copy=False) if not isinstance(node, exp.Cast) else exp.Cast(this=node, to=exp.DataType.build(type))
    made.type = exp.DataType.build(type)
    return made


def _text(node: exp.Expr | None, what: str) -> str:
    if not isinstance(node, exp.Literal) or not node.is_string:
        raise Refused(f"{what} has to be a plain text")
    return str(node.this)


def _no_more(node: exp.Expr, *allowed: str) -> None:
    """Refuses arguments that a rule doesn't know."""
    for name, value in node.args.items():
        if value and name not in allowed:
            raise Refused(f"{node.key} with {name.replace('_', ' ')} isn't known here")


# -- arithmetic ------------------------------------------------------------------------------------------------------


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
    if _is(node.this, INTEGERS) and _is(node.args["expression"], INTEGERS):
        made.type = node.this.type if not _is(node.args["expression"], frozenset({_T.BIGINT})) else node.args["expression"].type
    elif _is_known(node.this) and _is_known(node.args["expression"]):
        made.type = exp.DataType.build("double")
    return exp.paren(made, copy=False) if isinstance(node.parent, exp.Binary) else made


def _wrapped(node: exp.Expr) -> exp.Expr:
    return exp.paren(node, copy=False) if isinstance(node, (exp.Binary, exp.Case)) else node


def _mod(node: exp.Expr) -> exp.Expr:
    node.set("expression", _wrapped(_divisor(node.args["expression"])))
    return node


def _sub(node: exp.Expr) -> exp.Expr:
    left, right = node.this, node.args["expression"]
    if _is(left, DATES) and _is(right, DATES):
        return _typed(exp.paren(node.copy()), "int")
    return node


def _sum(node: exp.Expr) -> exp.Expr:
    """Of integers it is bigint, of bigint numeric (HUGEINT here)."""
    of = node.this.expressions[0] if isinstance(node.this, exp.Distinct) and node.this.expressions else node.this
    if not _is_known(of):
        raise Refused("sum of something whose type isn't known; cast it")
    if _is(of, SMALL_INTEGERS):
        node.type = exp.DataType.build("bigint")
        return _around(node, lambda whole: _typed(whole, "bigint"))
    if _is(of, frozenset({_T.FLOAT})):
        raise Refused("sum of real, which adds up in single precision; cast it to double precision")
    return node


def _avg(node: exp.Expr) -> exp.Expr:
    of = node.this.expressions[0] if isinstance(node.this, exp.Distinct) and node.this.expressions else node.this
    if _is(of, frozenset({_T.INTERVAL})) or not _is_known(of):
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
    _no_more(node, "this", "decimals")
    of, decimals = node.this, node.args.get("decimals")
    if _is(of, FLOATS):
        if decimals is not None:
            raise Refused("function round(double precision, integer) does not exist; cast to numeric")
        return exp.Anonymous(this="ROUND_EVEN", expressions=[of.copy(), exp.Literal.number(0)])
    if not _is_known(of):
        raise Refused("round of something whose type isn't known; cast it")
    if decimals is not None and not isinstance(decimals, exp.Literal):
        raise Refused("round to a number of places that isn't plain")
    if _is(of, INTEGERS):
        return _typed(node.copy(), "double") if decimals is None else node
    return node


def _bare_numeric(node: exp.Cast) -> exp.Expr:
    """Numeric without a precision keeps what it is given. Doubles do with their 15 digits, as in Postgres."""
    of = node.this
    if _is(of, frozenset({_T.DECIMAL})):
        made: exp.Expr = exp.paren(of.copy())
        made.type = of.type
        return made
    if _is(of, INTEGERS) or (isinstance(of, exp.Literal) and not of.is_string and "." not in str(of.this)):
        return _typed(of.copy(), "decimal(38,0)")
    if _is(of, FLOATS):
        parent = node.parent
        if isinstance(parent, exp.Paren):
            parent = parent.parent
        if not (isinstance(parent, exp.Round) and parent.args.get("decimals") is not None):
            raise Refused("double precision as numeric without a scale; round it, or give the scale: numeric(18,6)")
        digits = exp.Anonymous(this="FORMAT", expressions=[exp.Literal.string("{:.15g}"), exp.cast(of.copy(), "double")])
        return _typed(digits, "decimal(38,15)")
    if isinstance(of, exp.Literal):
        whole, _, fraction = str(of.this).strip().lstrip("+-").partition(".")
        if not (whole + fraction).isdecimal() or len(whole) + len(fraction) > 38:
            raise Refused("this text as numeric")
        return _typed(of.copy(), f"decimal({max(len(whole) + len(fraction), 1)},{len(fraction)})")
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
    if to.this in INTEGERS and not isinstance(of, exp.Literal) and (_is(of, TEXTS) or not _is_known(of)) and not _is_parameter(of):
        if _is(of, TEXTS):
            return node  # what is no integer fails, but '1.5', which DuckDB rounds
        raise Refused("a cast to an integer of something whose type isn't known")
    if to.this == _T.BOOLEAN and _is(of, FLOATS):
        raise Refused("a cast of double precision to boolean")
    return node


def _is_parameter(node: exp.Expr) -> bool:
    return isinstance(node, exp.Parameter)


def _to_text(node: exp.Cast) -> exp.Expr:
    of, to = node.this, node.to
    made: exp.Expr = _typed(of.copy(), "text")
    if _is(of, FLOATS):
        raise Refused("double precision as text; its digits are another's. Cast to numeric(..) first")
    if _is(of, frozenset({_T.INTERVAL, _T.ARRAY, _T.LIST, _T.BINARY, _T.VARBINARY, _T.BLOB, _T.STRUCT, _T.MAP})):
        raise Refused(f"{of.type.sql('postgres').lower()} as text" if of.type else "this as text")
    if not _is_known(of) and not isinstance(of, (exp.Null, exp.Parameter, exp.Literal)):
        raise Refused("a cast to text of something whose type isn't known")
    if to.this == _T.CHAR and (not to.expressions or to.expressions):
        raise Refused("character(n), which is padded; cast to varchar or text")
    if to.expressions:
        length = to.expressions[0].this
        made = exp.Left(this=made, expression=length.copy())
        made.type = exp.DataType.build("text")
    return made


# -- text ------------------------------------------------------------------------------------------------------------


def _like(node: exp.Expr) -> exp.Expr:
    """A backslash escapes in Postgres without being asked to."""
    if isinstance(node.parent, exp.Escape):
        return node
    pattern = node.args["expression"]
    if isinstance(pattern, (exp.Any, exp.All)):
        raise Refused("LIKE with ANY or ALL")
    if isinstance(pattern, exp.Literal) and "\\" not in str(pattern.this):
        return node
    return exp.Escape(this=node.copy(), expression=exp.Literal.string("\\"))


_STRANGE_PATTERN: Final = re.compile(r"\\[^.*+?()\[\]{}|^$\\/dDwWsS\-_,:;'\"#@!%&=<>~` ]|\(\?|\[\[[.:=][^:]|\[[.=]|\*\*\*")


def _regular(pattern: exp.Expr | None, *, replaces: bool = False) -> str:
    text = _text(pattern, "a regular expression")
    if _STRANGE_PATTERN.search(text):
        raise Refused("a regular expression with signs that mean something else here")
    if replaces and ("|" in text or re.search(r"[*+?}]\?", text)):
        raise Refused("a regular expression with alternatives or lazy parts, which finds another match here")
    return text


def _regexp_like(options: str) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr:
        _no_more(node, "this", "expression")
        _regular(node.args["expression"])
        made = exp.Anonymous(this="REGEXP_MATCHES", expressions=[node.this.copy(), node.args["expression"].copy(), exp.Literal.string(options)])
        made.type = exp.DataType.build("boolean")
        return made

    return rule


def _regexp_replace(node: exp.Expr) -> exp.Expr:
    _regular(node.args["expression"], replaces=True)
    replacement = _text(node.args.get("replacement"), "a replacement")
    if re.search(r"\\[^1-9\\]|\\$", replacement):
        raise Refused("this replacement")
    modifiers = node.args.get("modifiers")
    flags = _text(modifiers, "the flags of regexp_replace") if modifiers is not None else ""
    if set(flags) - set("gi"):
        raise Refused("these flags of regexp_replace")
    _no_more(node, "this", "expression", "replacement", "modifiers", "single_replace")
    arguments = [node.this, node.args["expression"], node.args["replacement"], exp.Literal.string(flags + "s")]
    return exp.Anonymous(this="REGEXP_REPLACE", expressions=[one.copy() for one in arguments])


def _substring(node: exp.Expr) -> exp.Expr:
    start, length = node.args.get("start"), node.args.get("length")
    if not (_whole(start) and (length is None or _whole(length))):
        raise Refused("substring with places that aren't plain positive numbers")
    return node


def _whole(node: exp.Expr | None) -> bool:
    return isinstance(node, exp.Literal) and not node.is_string and str(node.this).isdecimal() and int(str(node.this)) > 0


def _trim(node: exp.Expr) -> exp.Expr:
    """Without characters it takes off spaces in both."""
    _no_more(node, "this", "expression", "position")
    position = str(node.args.get("position") or "BOTH").upper()
    name = {"LEADING": "LTRIM", "TRAILING": "RTRIM"}.get(position, "TRIM")
    characters = node.args.get("expression")
    return exp.Anonymous(this=name, expressions=[node.this.copy(), (characters or exp.Literal.string(" ")).copy()])


def _position(node: exp.Expr) -> exp.Expr:
    _no_more(node, "this", "substr")
    return _typed(node.copy(), "int")


def _length(node: exp.Expr) -> exp.Expr:
    if not (_is(node.this, TEXTS) or isinstance(node.this, exp.Literal)):
        raise Refused("length of something that isn't known to be text")
    return _typed(node.copy(), "int")


def _split_part(node: exp.Expr) -> exp.Expr:
    if not _whole(node.args.get("part_index")) or not _text(node.args.get("delimiter"), "the delimiter of split_part"):
        raise Refused("split_part at a place that isn't a plain positive number")
    return node


def _concat(node: exp.Expr) -> exp.Expr:
    """Nulls are passed over in both; what isn't text is printed."""
    for one in node.expressions:
        of = one.this if isinstance(one, exp.Coalesce) else one
        if not (_is(of, TEXTS | INTEGERS) or isinstance(of, (exp.Literal, exp.Null, exp.Parameter))):
            raise Refused("concat of what isn't text or an integer; cast it")
    return node


def _dpipe(node: exp.Expr) -> exp.Expr:
    sides = (node.this, node.args["expression"])
    for side in sides:
        if not (_is(side, TEXTS | INTEGERS) or isinstance(side, (exp.Literal, exp.Null, exp.Parameter, exp.DPipe, exp.Paren, exp.Cast, exp.Left))):
            raise Refused("|| of what isn't known to be text or an integer; cast it")
    return node


# -- time ------------------------------------------------------------------------------------------------------------

_PARTS: Final = frozenset(
    [
        "year",
        "month",
        "day",
        "hour",
        "minute",
        "second",
        "epoch",
        "dow",
        "isodow",
        "doy",
        "week",
        "quarter",
        "decade",
        "century",
        "isoyear",
        "millennium",
        "microseconds",
        "milliseconds",
    ]
)


def _extract(node: exp.Expr) -> exp.Expr:
    """Extract gives numeric: whole where it is whole, seconds with six digits."""
    part = str(node.this.name).lower()
    of = node.args["expression"]
    if part not in _PARTS - {"millennium"}:
        raise Refused(f"extract of {part}")
    if not _is(of, DATES | TIMESTAMPS):
        raise Refused("extract from what isn't known to be a date or a timestamp")
    if part in ("second", "milliseconds"):
        if _is(of, DATES):
            raise Refused(f"extract of {part} from a date")
        micros = exp.cast(exp.Anonymous(this="DATE_PART", expressions=[exp.Literal.string("microseconds"), of.copy()]), "decimal(18,0)")
        scale = ("0.000001", "decimal(7,6)") if part == "second" else ("0.001", "decimal(4,3)")
        return exp.paren(exp.Mul(this=micros, expression=exp.cast(exp.Literal.number(scale[0]), scale[1])))
    if part == "epoch":
        if _is(of, DATES):
            days = exp.cast(exp.Anonymous(this="EPOCH", expressions=[of.copy()]), "bigint")
            return _typed(days, "decimal(38,0)")
        micros = exp.cast(exp.Anonymous(this="EPOCH_US", expressions=[of.copy()]), "decimal(20,0)")
        return exp.paren(exp.Mul(this=micros, expression=exp.cast(exp.Literal.number("0.000001"), "decimal(7,6)")))
    return _typed(node.copy(), "decimal(18,0)")


def _date_part(node: exp.Expr) -> exp.Expr:
    arguments = node.expressions
    part = _text(arguments[0], "the field of date_part").lower()
    made = _extract(exp.Extract(this=exp.var(part), expression=arguments[1]))
    return _typed(made, "double")


def _truncate(node: exp.Expr) -> exp.Expr:
    _no_more(node, "this", "unit", "input_type_preserved")
    of = node.this
    unit = str(node.args["unit"].name).lower()
    if unit not in ("microseconds", "milliseconds", "second", "minute", "hour", "day", "week", "month", "quarter", "year", "decade", "century"):
        raise Refused(f"date_trunc to {unit}")
    if _is(of, DATES):
        return _typed(exp.Anonymous(this="DATE_TRUNC", expressions=[exp.Literal.string(unit), _typed(of.copy(), "timestamptz")]), "timestamptz")
    if not _is(of, TIMESTAMPS):
        raise Refused("date_trunc of what isn't known to be a date or a timestamp")
    made = exp.Anonymous(this="DATE_TRUNC", expressions=[exp.Literal.string(unit), of.copy()])
    made.type = of.type
    return made


def _to_char(node: exp.Expr) -> exp.Expr:
    of, format = (node.expressions + [None, None])[:2]
    if not _is(of, DATES | TIMESTAMPS):
        raise Refused("to_char of what isn't known to be a date or a timestamp; numbers aren't printed by it here")
    if not (isinstance(format, exp.Literal) and format.is_string and len(node.expressions) == 2):
        raise Refused("to_char with a format that isn't a plain text")
    return to_char(of, format.name)


def _interval(node: exp.Expr) -> exp.Expr:
    """Written once more as one text, which both read alike."""
    of, unit = node.this, node.args.get("unit")
    if not isinstance(of, exp.Literal):
        raise Refused("an interval that isn't a plain text")
    text = f"{of.this} {unit.name if unit is not None else ''}".strip().lower()
    if not re.fullmatch(r"([+-]?\d+ *(microsecond|millisecond|second|minute|hour|day|week|mon|month|year|decade|sec|min)s?\s*)+", text):
        raise Refused("this interval; write numbers with their units")
    made = exp.cast(exp.Literal.string(re.sub(r"\bmons?\b", "months", text)), "interval")
    made.type = exp.DataType.build("interval")
    return made


def _at_time_zone(node: exp.Expr) -> exp.Expr:
    if not _is(node.this, TIMESTAMPS):
        raise Refused("AT TIME ZONE of what isn't known to be a timestamp")
    _text(node.args["zone"], "a time zone")
    return node


# -- aggregates and the rest -----------------------------------------------------------------------------------------


def _string_agg(node: exp.Expr) -> exp.Expr:
    of = node.this
    while isinstance(of, (exp.Order, exp.Distinct)):
        of = of.this if isinstance(of, exp.Order) else of.expressions[0]
    if not _is(of, TEXTS):
        raise Refused("string_agg of what isn't known to be text")
    return node


def _log(node: exp.Expr) -> exp.Expr:
    _no_more(node, "this")
    return exp.Anonymous(this="LOG10", expressions=[node.this.copy()])


def _order(node: exp.Expr) -> exp.Expr:
    if node.args.get("with_fill"):
        raise Refused("WITH FILL")
    return node


def _sign(node: exp.Expr) -> exp.Expr:
    if _is(node.this, frozenset({_T.DECIMAL})):
        return _typed(node.copy(), "decimal(38,0)")
    if not _is(node.this, FLOATS | INTEGERS):
        raise Refused("sign of what isn't known to be a number")
    return _typed(node.copy(), "double")


def _trimmed(name: str) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr:
        characters = node.expressions[1] if len(node.expressions) > 1 else exp.Literal.string(" ")
        made = exp.Anonymous(this=name, expressions=[node.expressions[0].copy(), characters.copy()])
        made.type = exp.DataType.build("text")
        return made

    return rule


def _power(node: exp.Expr) -> exp.Expr:
    if not all(_is(one, INTEGERS | FLOATS) for one in node.expressions):
        raise Refused("power of what isn't known to be an integer or double precision")
    made = exp.Anonymous(this="POWER", expressions=[one.copy() for one in node.expressions])
    made.type = exp.DataType.build("double")
    return made


def _trunc(node: exp.Expr) -> exp.Expr:
    _no_more(node, "this")
    if not _is(node.this, FLOATS | INTEGERS | frozenset({_T.DECIMAL})):
        raise Refused("trunc of what isn't known to be a number")
    return exp.Anonymous(this="TRUNC", expressions=[node.this.copy()])


def _ln(node: exp.Expr) -> exp.Expr:
    _no_more(node, "this")
    if not _is(node.this, FLOATS | INTEGERS):
        raise Refused("ln of what isn't known to be an integer or double precision")
    return _typed(node.copy(), "double")


def _padded(name: str) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr:
        of, length, fill = [*node.expressions, exp.Literal.string(" ")][:3]
        if not (_is(of, TEXTS) and _is(length, INTEGERS)):
            raise Refused(f"{name.lower()} of what isn't known to be text, to a length that isn't known to be an integer")
        if isinstance(fill, exp.Literal) and not fill.name:
            raise Refused(f"{name.lower()} with nothing to fill with")
        made = exp.Anonymous(this=name, expressions=[of.copy(), length.copy(), fill.copy()])
        made.type = exp.DataType.build("text")
        return made

    return rule


def _read_time(type: str) -> Rule:
    """`to_date` and `to_timestamp` of a text that stands in the query, as tools write a bound."""

    def rule(node: exp.Expr) -> exp.Expr:
        if len(node.expressions) != 2 or not all(isinstance(one, exp.Literal) and one.is_string for one in node.expressions):
            raise Refused("to_date and to_timestamp of anything but a text and a pattern written out")
        text, pattern = node.expressions
        return exp.cast(exp.Literal.string(read_time(text.name, pattern.name)), type)

    return rule


def _fetched(node: exp.Expr) -> exp.Expr:
    if node.args.get("percent") or node.args.get("with_ties"):
        raise Refused("FETCH with PERCENT or WITH TIES")
    return node


def _locked(node: exp.Expr) -> exp.Expr:
    raise Refused("FOR UPDATE and FOR SHARE: rows aren't locked here")


def _detokenized(node: exp.Expr) -> exp.Expr:
    """The gate's own function: text for a text."""
    node.type = exp.DataType.build("varchar")
    return node


RULES: Final[dict[str, Rule]] = {
    "Div": _div,
    "Mod": _mod,
    "Sub": _sub,
    "Sum": _sum,
    "Avg": _avg,
    "Round": _round,
    "Trunc": _trunc,
    "Cast": _cast,
    "Like": _like,
    "ILike": _like,
    "RegexpLike": _regexp_like("s"),
    "RegexpILike": _regexp_like("is"),
    "RegexpReplace": _regexp_replace,
    "Substring": _substring,
    "Trim": _trim,
    "StrPosition": _position,
    "Length": _length,
    "SplitPart": _split_part,
    "Concat": _concat,
    "DPipe": _dpipe,
    "Extract": _extract,
    "TimestampTrunc": _truncate,
    "Interval": _interval,
    "AtTimeZone": _at_time_zone,
    "GroupConcat": _string_agg,
    "Log": _log,
    "Ln": _ln,
    "LimitOptions": _fetched,
    "Lock": _locked,
    "Ordered": _order,
    "Sign": _sign,
    "hw_kept_to_char()": _to_char,
    "hw_kept_to_date()": _read_time("date"),
    "hw_kept_to_timestamp()": _read_time("timestamptz"),
    "hw_kept_lpad()": _padded("LPAD"),
    "hw_kept_rpad()": _padded("RPAD"),
    "hw_kept_date_part()": _date_part,
    "hw_kept_ltrim()": _trimmed("LTRIM"),
    "hw_kept_rtrim()": _trimmed("RTRIM"),
    "hw_kept_btrim()": _trimmed("TRIM"),
    "hw_kept_power()": _power,
    "hw_kept_pow()": _power,
    "detokenize()": _detokenized,
}
