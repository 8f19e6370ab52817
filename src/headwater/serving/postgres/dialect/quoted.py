"""Texts that are written beside numbers: Postgres reads them as numbers of the type that all of them have together, DuckDB as such as a column holds.

They become numbers while types are found, so that what is computed of them has the type that it has in Postgres.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from sqlglot import exp

from headwater.serving.postgres.dialect.decimals import NUMBER_TYPES, Annotator, literal_type, plain_literal
from headwater.serving.postgres.dialect.kinds import DECIMALS, FLOATS, INTEGERS, TEXTS, is_known, of_kind, widest
from headwater.serving.postgres.dialect.refusal import Refused
from headwater.serving.postgres.dialect.trees import put_in_place, queries_of
from headwater.serving.postgres.failures import WireError

_T = exp.DataType.Type
_NUMBERS: Final = INTEGERS | DECIMALS | FLOATS
_NAMES: Final = {
    _T.SMALLINT: "smallint",
    _T.INT: "integer",
    _T.BIGINT: "bigint",
    _T.DECIMAL: "numeric",
    _T.FLOAT: "real",
    _T.DOUBLE: "double precision",
}
_BITS: Final = {_T.TINYINT: 7, _T.SMALLINT: 15, _T.INT: 31, _T.BIGINT: 63}
_SPACES: Final = " \t\n\v\f\r"
_INTEGER: Final = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
#: As many characters as are read as double precision.
_MOST_CHARACTERS: Final = 1000
_WORDS: Final = {"nan": "NaN"} | {f"{sign}{word}": f"{sign.strip('+')}Infinity" for sign in ("", "+", "-") for word in ("inf", "infinity")}

Reader = Callable[[Any, exp.Expr], None]


def _after(read: Reader, otherwise: dict[str, Any]) -> Annotator:
    def annotate(annotator: Any, node: exp.Expr) -> exp.Expr:
        read(annotator, node)
        if "annotator" in otherwise:
            otherwise["annotator"](annotator, node)
        else:
            annotator._set_type(node, otherwise.get("returns"))
        return node

    return annotate


# -- what stands beside what -----------------------------------------------------------------------------------------


def _pair(annotator: Any, node: exp.Expr) -> None:
    _read_pair(annotator, node.this, node.args["expression"])


def _read_pair(annotator: Any, left: exp.Expr, right: exp.Expr) -> None:
    if isinstance(left, exp.Tuple) and isinstance(right, exp.Tuple):
        for one, other in zip(left.expressions, right.expressions, strict=False):
            _read_pair(annotator, one, other)
        return
    _read_together(annotator, [left, right])


def _between(annotator: Any, node: exp.Expr) -> None:
    """Compared with each bound by itself."""
    bounds = (node.args["low"], node.args["high"])
    if _text(node.this) is not None and len({kind.this for kind in map(_type, bounds) if kind is not None}) > 1:
        raise Refused("a text BETWEEN values of several types; write the number")
    for bound in bounds:
        _read_pair(annotator, node.this, bound)


def _in(annotator: Any, node: exp.Expr) -> None:
    """What isn't of a column is of one type together; a column is compared by itself."""
    listed, query = node.expressions, node.args.get("query")
    if query is not None:
        _read_together(annotator, [node.this, query])
    elif isinstance(node.this, exp.Tuple):
        for one in listed:
            _read_pair(annotator, node.this, one)
    elif _text(node.this) is not None or any(_text(one) is not None for one in listed):
        of_columns = [one for one in listed if not isinstance(one, exp.Literal) and one.find(exp.Column) is not None]
        if _text(node.this) is not None and len({kind.this for kind in map(_type, listed) if kind is not None}) > 1 and of_columns:
            raise Refused("a text IN values of several types; write the number")
        apart = {id(one) for one in of_columns} if _text(node.this) is None else set[int]()
        _read_together(annotator, [node.this, *(one for one in listed if id(one) not in apart)])


def _together(*names: str) -> Reader:
    """The values in those arguments are of one type."""

    def read(annotator: Any, node: exp.Expr) -> None:
        _read_together(annotator, list(_values_of(node, names)))

    return read


def _values_of(node: exp.Expr, names: Iterable[str]) -> Iterator[exp.Expr]:
    for name in names:
        value = node.args.get(name)
        yield from value if isinstance(value, list) else [value] if isinstance(value, exp.Expr) else []


def _case(annotator: Any, node: exp.Expr) -> None:
    branches = node.args["ifs"]
    if isinstance(node.this, exp.Expr):
        if _text(node.this) is not None and any(of_kind(branch.this, _NUMBERS) for branch in branches):
            raise WireError("42883", "operator does not exist: text = number", hint="CASE takes a text for a text; write the number.")
        for branch in branches:
            _read_pair(annotator, node.this, branch.this)
    _read_together(annotator, [*_values_of(node, ["default"]), *(branch.args["true"] for branch in branches)])


def _rows(annotator: Any, node: exp.Expr) -> None:
    for column in zip(*(row.expressions for row in node.expressions), strict=False):
        _read_together(annotator, list(column))


def _set_operation(annotator: Any, node: exp.Expr) -> None:
    """The columns of two queries in turn; a text that came out of an inner set operation is a text."""
    sides = [list(queries_of(side)) for side in (node.this, node.args["expression"])]
    columns = annotator._setop_column_types.get(id(node), [])
    if not all(len(query.selects) == len(columns) for side in sides for query in side):
        return
    for place in range(len(columns)):
        given = [[query.selects[place] for query in side] for side in sides]
        types = [_common_type(side) for side in given]
        for these, type, those in ((given[0], types[1], given[1]), (given[1], types[0], given[0])):
            if type is None or any(of_kind(one, _NUMBERS) for one in these):
                continue
            if len(these) == 1 and _text(these[0].unalias()) is not None:
                _put(annotator, these[0], type)
                columns[place] = (columns[place][0], type)
            elif any(of_kind(one, TEXTS) for one in these) and any(of_kind(one, _NUMBERS) for one in those):
                raise WireError("42804", f"{node.key.upper()} types text and {_named(type)} cannot be matched")


# -- reading ---------------------------------------------------------------------------------------------------------


def _text(node: exp.Expr) -> exp.Literal | None:
    """The text that an operand is, whatever parentheses stand around it."""
    while isinstance(node, exp.Paren):
        node = node.this
    return node if isinstance(node, exp.Literal) and node.is_string else None


def _type(node: exp.Expr) -> exp.DataType | None:
    """Of a value, or of one of those that it is compared with; None where it isn't known."""
    if isinstance(node, (exp.Any, exp.All)):
        type = _type(node.this)
        return type.expressions[0] if type is not None and type.this in (_T.ARRAY, _T.LIST) and type.expressions else type
    if isinstance(node, (exp.Query, exp.Subquery)) and len(node.selects) == 1:
        node = node.selects[0]
    return node.type if is_known(node) else None


def _read_together(annotator: Any, values: Sequence[exp.Expr]) -> None:
    if not any(_text(one) is not None for one in values):
        if len(values) == 2 and any(map(_is_text, values)) and any(of_kind(one, _NUMBERS) for one in values):
            raise WireError("42883", "operator does not exist: text beside a number", hint="Cast one of them.")
        return
    type = _common_type(values)
    for one in values:
        if type is not None and _text(one) is not None:
            _put(annotator, one, type)


def _is_text(node: exp.Expr) -> bool:
    return of_kind(node, TEXTS) and not isinstance(node, (exp.Literal, exp.Parameter, exp.Null))


def _common_type(values: Sequence[exp.Expr]) -> exp.DataType | None:
    """Of the numbers among them, if all but texts, nulls and parameters are numbers."""
    found: exp.DataType | None = None
    unknown = False
    for one in values:
        inner = one.unalias().unnest() if isinstance(one, (exp.Paren, exp.Alias)) else one
        if isinstance(inner, (exp.Null, exp.Parameter)) or _text(inner) is not None:
            continue
        type = _type(inner)
        if type is None:
            unknown = True
        elif type.this not in _NUMBERS:
            if type.this in TEXTS and found is not None:
                raise WireError("42804", f"{_named(found)} and text cannot be matched", hint="Cast one of them.")
            return None
        else:
            found = type if found is None else widest([found, type])
    texts = [text.name.strip(_SPACES) for text in map(_text, values) if text is not None]
    if unknown and texts and (found is not None or any(_NUMBER.fullmatch(one) and not one.isdecimal() for one in texts)):
        raise Refused("a text beside something whose type isn't known; cast one of them")
    return found


def _named(type: exp.DataType) -> str:
    return _NAMES.get(type.this, "integer")


def _put(annotator: Any, operand: exp.Expr, type: exp.DataType) -> None:
    text = _text(operand.unalias())
    assert text is not None
    above = text.parent
    made = _number(text.name, type, is_compared=isinstance(above, _COMPARED))
    if isinstance(made, exp.Neg) and isinstance(above, exp.Binary):
        made = exp.Paren(this=made)
        made.type = made.this.type
    annotator._set_type(made, made.type)
    put_in_place(made, text)
    while isinstance(above, (exp.Paren, exp.Alias)):
        annotator._set_type(above, made.type)
        above = above.parent


def _number(text: str, type: exp.DataType, *, is_compared: bool) -> exp.Expr:
    """The number that a text is as one of that type. Raises WireError as Postgres does."""
    plain = text.strip(_SPACES)
    if type.this in FLOATS:
        return _cast(exp.Literal.string(_floating(text, plain, type)), type.this)
    if type.this in DECIMALS:
        if plain.lower() in _WORDS:
            raise Refused("a text beside a numeric that isn't a finite number")
        if not _NUMBER.fullmatch(plain):
            raise _invalid(text, type)
        made = plain_literal(plain.lstrip("+-"))
        return _signed(made if "." in made else f"{made}.", plain)
    if not _INTEGER.fullmatch(plain):
        raise _invalid(text, type)
    digits = plain.lstrip("+-").lstrip("0") or "0"
    largest = 2 ** _BITS.get(type.this, 127)
    if len(digits) > len(str(largest)) or int(digits) >= largest + plain.startswith("-"):
        raise WireError("22003", f'value "{text}" is out of range for type {_named(type)}')
    return _signed(digits, plain) if is_compared else _cast(_signed(digits, plain), type.this)


def _invalid(text: str, type: exp.DataType) -> WireError:
    return WireError("22P02", f'invalid input syntax for type {_named(type)}: "{text}"')


def _signed(digits: str, text: str) -> exp.Expr:
    made: exp.Expr = exp.Literal.number(digits)
    made.type = literal_type(digits)
    if text.startswith("-"):
        made = exp.Neg(this=made)
        made.type = literal_type(digits)
    return made


def _cast(of: exp.Expr, kind: Any) -> exp.Expr:
    made = exp.Cast(this=of, to=exp.DataType(this=kind))
    made.type = exp.DataType(this=kind)
    return made


def _floating(text: str, plain: str, type: exp.DataType) -> str:
    if plain.lower() in _WORDS:
        return _WORDS[plain.lower()]
    if len(plain) > _MOST_CHARACTERS or plain.lstrip("+-")[:2] in ("0x", "0X"):
        raise Refused("a text beside double precision that isn't digits with a point or an exponent")
    if not _NUMBER.fullmatch(plain):
        raise _invalid(text, type)
    value = float(plain)
    if type.this == _T.FLOAT:
        try:
            value = struct.unpack("f", struct.pack("f", value))[0]
        except OverflowError:
            value = math.inf
    if math.isinf(value) or (value == 0 and any(digit in "123456789" for digit in re.split("[eE]", plain)[0])):
        raise WireError("22003", f'"{text}" is out of range for type {_named(type)}')
    return plain


_COMPARISONS: Final = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ)
#: What gives a boolean, whatever type of number it is given.
_COMPARED: Final = (*_COMPARISONS, exp.Between, exp.In)
_READERS: Final[dict[type[exp.Expr], Reader]] = {
    **dict.fromkeys((*_COMPARISONS, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Nullif), _pair),
    exp.Between: _between,
    exp.In: _in,
    **dict.fromkeys((exp.Coalesce, exp.Greatest, exp.Least), _together("this", "expressions")),
    **dict.fromkeys((exp.Lag, exp.Lead), _together("this", "default")),
    exp.Array: _together("expressions"),
    exp.Case: _case,
    exp.Values: _rows,
    **dict.fromkeys((exp.Union, exp.Except, exp.Intersect), _set_operation),
}
#: How sqlglot's annotate_types finds types; texts beside numbers become numbers first.
QUOTED_TYPES: Final[dict[type[exp.Expr], dict[str, Any]]] = {
    **NUMBER_TYPES,
    **{kind: {"annotator": _after(read, NUMBER_TYPES.get(kind, {}))} for kind, read in _READERS.items()},
}
