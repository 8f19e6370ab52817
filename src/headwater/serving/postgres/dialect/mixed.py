"""Numbers of several types beside each other: they become what Postgres makes of them, where DuckDB would make something else of them.

DuckDB's common type of two DECIMALs has 38 digits, and those behind the point that are too many are rounded away. It computes with `real`, and
compares it, in single precision, where Postgres does so in double precision, unless both are `real`. And a whole number that is written out is of as
few bits as the number beside it, where it is an integer in Postgres.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from sqlglot import exp

from headwater.serving.postgres.dialect.decimals import MOST_DIGITS, decimal, is_exact, scale_of, width_of
from headwater.serving.postgres.dialect.kinds import BIG_INTEGERS, DECIMALS, FLOATS, INTEGERS, LISTS, SMALL_INTEGERS, Rule, is_known, of_kind, typed
from headwater.serving.postgres.dialect.refusal import Refused
from headwater.serving.postgres.dialect.trees import put_in_place, queries_of
from headwater.serving.postgres.dialect.written import holds, sql_of, written

_T = exp.DataType.Type
_NUMBERS: Final = INTEGERS | DECIMALS | FLOATS
_REAL: Final = frozenset({_T.FLOAT})
_DOUBLE: Final = frozenset({_T.DOUBLE})
_SMALL: Final = frozenset({_T.TINYINT, _T.UTINYINT, _T.SMALLINT})
#: Digits of a DECIMAL that a double holds, whatever they are: DuckDB's cast of it is the nearest one.
_MOST_OF_DOUBLE: Final = 15
#: Digits before and behind the point up to which a number beside it may have any scale that is met with.
_NARROW: Final = 18
#: Numbers of unknown scales among those that become of one type.
_MOST_OPEN: Final = 50

#: What each of the values becomes; None where they may stay as they are.
_Conversion = Callable[[exp.Expr], exp.Expr]


def beside(rule: Rule) -> Rule:
    """Before `rule`, of an operator, its operands become what Postgres' operator is of."""

    def met(node: exp.Expr) -> exp.Expr:
        _convert([node.this, node.args["expression"]], is_operator=True)
        return rule(node)

    return met


# -- what they become ------------------------------------------------------------------------------------------------


def conversion(values: Sequence[exp.Expr], *, is_operator: bool = False) -> _Conversion | None:
    """Of the operands of one operator, or of values one of which is chosen."""
    given = [one for one in values if not isinstance(one, exp.Null)]
    known = [one for one in given if is_known(one)]
    kinds = {one.type.this for one in known if one.type is not None}
    if len(given) < 2 or not kinds <= _NUMBERS:
        return None
    if kinds & _REAL:
        if any(not is_known(one) and not _is_open(one) for one in given):
            raise Refused("real beside what isn't known to be a number; cast it to double precision")
        is_mixed = kinds != _REAL or any(one.meta.get("is_numeric") for one in given)
        return None if not is_mixed else _as_double if is_operator or _T.DOUBLE in kinds else _as_real
    if kinds & FLOATS:
        return None
    if kinds & DECIMALS:
        return None if is_operator else _of_one_scale(given)
    return _as_integer if kinds & _SMALL and kinds - _SMALL else None


def _is_open(node: exp.Expr) -> bool:
    return isinstance(node, exp.Parameter) or (isinstance(node, exp.Literal) and bool(node.is_string))


def _as_double(node: exp.Expr) -> exp.Expr:
    if of_kind(node, _DOUBLE) or not _is_number(node):
        return node
    is_wide = of_kind(node, DECIMALS) and not isinstance(node, exp.Literal) and width_of(node.type) > _MOST_OF_DOUBLE
    return typed(exp.cast(node.copy(), "varchar") if is_wide else node.copy(), "double")


def _as_real(node: exp.Expr) -> exp.Expr:
    if of_kind(node, _REAL) or not _is_number(node):
        return node
    return typed(exp.cast(node.copy(), "varchar") if not of_kind(node, INTEGERS) else node.copy(), "float")


def _as_integer(node: exp.Expr) -> exp.Expr:
    return typed(node.copy(), "int") if of_kind(node, _SMALL) else node


def _is_number(node: exp.Expr) -> bool:
    return of_kind(node, _NUMBERS) or bool(node.meta.get("is_numeric"))


def _of_one_scale(given: Sequence[exp.Expr]) -> _Conversion | None:
    """Each with the most digits behind the point that any has. A value that has too many before it then fails."""
    scales = [(one, scale_of(one.type) if is_known(one) else None) for one in given]
    told = [(one, scale) for one, scale in scales if scale is not None]
    untold = [one for one, scale in scales if scale is None and not (isinstance(one, exp.Literal) and one.is_string)]
    scale = max((scale for _, scale in told), default=0)
    before = max((width_of(one.type) - scale for one, scale in told), default=0)
    if untold and (before > _NARROW or scale > _NARROW or any(isinstance(one, exp.Parameter) for one in untold)):
        return _of_the_scale_of(untold)
    if before + scale <= MOST_DIGITS:
        return None

    return lambda node: node if isinstance(node, exp.Null) or scale_of(node.type) == scale else _scaled(node, scale)


def _scaled(node: exp.Expr, scale: int) -> exp.Expr:
    made = typed(node.copy(), f"decimal({MOST_DIGITS},{scale})")
    if of_kind(node, DECIMALS) and not is_exact(node.type):
        made.type = decimal(scale, is_exact=False)
    return made


def _of_the_scale_of(untold: Sequence[exp.Expr]) -> _Conversion:
    """A sum has the most digits behind the point that any of its numbers has: with a zero of each type all have so many."""
    if len(untold) > _MOST_OPEN:
        raise Refused(f"more than {_MOST_OPEN} numerics whose scale isn't known beside others; cast them: numeric(12,4)")
    if any(holds(one, exp.Query, exp.Rand) for one in untold):
        raise Refused("a query whose scale isn't known beside numerics; cast it: numeric(12,4)")
    zeros = " + ".join(f"CASE WHEN FALSE THEN {sql_of(one)} ELSE 0 END" for one in untold)

    def added(node: exp.Expr) -> exp.Expr:
        return node if isinstance(node, exp.Null) else written(f"({sql_of(node)}) + {zeros}", "decimal", node)

    return added


def _convert(values: Iterable[exp.Expr | None], *, is_operator: bool = False) -> None:
    given = [one for one in values if one is not None]
    made = conversion(given, is_operator=is_operator)
    for one in given if made is not None else ():
        assert made is not None
        became = made(one)
        if became is not one:
            _put(became, one)


# -- what a query gives ----------------------------------------------------------------------------------------------


def given_by(query: exp.Expr | None) -> list[exp.Expr] | None:
    """A query's columns; those of a `*` by their types alone. None where that isn't known."""
    query = next(iter(queries_of(query)), None) if query is not None else None
    if not isinstance(query, exp.Select):
        return None
    if not query.is_star:
        return list(query.selects)
    made: list[exp.Expr] = []
    for item in query.selects:
        if not item.is_star:
            made.append(item)
            continue
        source = query.args.get("from_")
        if source is None or query.args.get("joins") or query.args.get("laterals"):
            return None
        of = _given_by_relation(source.this)
        if of is None:
            return None
        made += [_of_star(one) for one in of]
    return made


def _given_by_relation(relation: exp.Expr) -> list[exp.Expr] | None:
    if isinstance(relation, exp.Subquery):
        return given_by(relation.this)
    if not isinstance(relation, exp.Table):
        return None
    if relation.db:
        types = relation.meta.get("column_types")
        return None if types is None else [_of_type(exp.DataType.build(one, dialect="duckdb")) for one in types]
    above = relation.parent
    while above is not None:
        clause = above.args.get("with_")
        for one in clause.expressions if isinstance(clause, exp.With) else ():
            if one.alias == relation.name and relation.find_ancestor(exp.CTE) is not one:
                return given_by(one.this)
        above = above.parent
    return None


def _of_star(one: exp.Expr) -> exp.Expr:
    return _of_type(one.unalias().type if not is_known(one) else one.type)


def _of_type(type: exp.DataType | None) -> exp.Expr:
    made = exp.Column(this=exp.to_identifier("hw_s"))
    made.type = type
    made.meta["is_of_star"] = True
    return made


# -- where numbers meet ----------------------------------------------------------------------------------------------


def _chosen(*names: str) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr:
        values: list[exp.Expr] = []
        for name in names:
            value = node.args.get(name)
            values += value if isinstance(value, list) else [value] if value is not None else []
        _convert(values)
        return node

    return rule


def _shifted(node: exp.Expr) -> exp.Expr:
    """DuckDB has what stands beyond the ends of the type of the rows."""
    values = [one for one in (node.this, node.args.get("default")) if one is not None and not isinstance(one, exp.Null)]
    if len(values) == 2 and all(of_kind(one, INTEGERS | DECIMALS) for one in values) and any(of_kind(one, DECIMALS) for one in values):
        _scale_all(values)
    elif len(values) == 2 and all(of_kind(one, _NUMBERS) for one in values) and any(of_kind(one, FLOATS) for one in values):
        convert = _as_double if any(of_kind(one, _DOUBLE) for one in values) else _as_real
        for one in values:
            _put(convert(one), one)
    elif len(values) == 2 and of_kind(node.this, SMALL_INTEGERS) and of_kind(values[1], BIG_INTEGERS):
        _put(typed(node.this.copy(), "bigint"), node.this)
    else:
        _convert(values)
    return node


def _case(node: exp.Expr) -> exp.Expr:
    if node.this is not None:
        _convert([node.this, *(branch.this for branch in node.args["ifs"])], is_operator=True)
    _convert([*(branch.args["true"] for branch in node.args["ifs"]), node.args.get("default")])
    return node


def _nullif(node: exp.Expr) -> exp.Expr:
    """Of the type that the first is compared in, but that real stays real."""
    of, other = node.this, node.args["expression"]
    if of_kind(of, _REAL):
        _convert([of, other], is_operator=True)
        return node if node.this is of else typed(node.copy(), "float")
    if of_kind(of, _NUMBERS) and of_kind(other, FLOATS):
        put_in_place(_as_double(of), of)
    elif of_kind(of, INTEGERS) and of_kind(other, DECIMALS):
        put_in_place(_scaled(of, 0), of)
    return node


def _compared(node: exp.Expr) -> exp.Expr:
    """With one value, with a list's, or with those of a query."""
    left, right = node.this, node.args["expression"]
    if isinstance(right, (exp.Any, exp.All)):
        convert_many([left], right.this)
    elif of_kind(left, LISTS) and of_kind(right, LISTS) and left.type is not None and right.type is not None:
        if conversion([_of_type(one.expressions[0] if one.expressions else None) for one in (left.type, right.type)]) is not None:
            raise Refused("arrays of numbers of several types beside each other; cast one: x::numeric(12,4)[]")
    else:
        _convert([left, right], is_operator=True)
    return node


def _between(node: exp.Expr) -> exp.Expr:
    _convert([node.this, node.args["low"], node.args["high"]], is_operator=True)
    return node


def _in(node: exp.Expr) -> exp.Expr:
    """Several values without columns are of one type together with what is looked for; others are compared one by one."""
    if node.args.get("query") is not None:
        convert_many([node.this], node.args["query"])
        return node
    items = list(node.expressions)
    if not any(of_kind(one, _REAL) for one in (node.this, *items)) or all(of_kind(one, _REAL) for one in (node.this, *items)):
        _convert([node.this, *items], is_operator=True)
        return node
    plain = [one for one in items if not holds(one, exp.Column)]
    alone = [one for one in items if holds(one, exp.Column)] + (plain if len(plain) < 2 else [])
    made: list[exp.Expr] = []
    if len(plain) > 1:
        together = exp.In(this=node.this.copy(), expressions=[one.copy() for one in plain])
        _convert([together.this, *together.expressions])
        made.append(together)
    for one in alone:
        made.append(_compared(exp.EQ(this=node.this.copy(), expression=one.copy())))
    return exp.paren(exp.or_(*made, copy=False), copy=False)


def _array(node: exp.Expr) -> exp.Expr:
    if not any(isinstance(one, exp.Select) for one in node.expressions):
        _convert(node.expressions)
    return node


def _values(node: exp.Expr) -> exp.Expr:
    for column in zip(*(row.expressions for row in node.expressions if isinstance(row, exp.Tuple)), strict=False):
        _convert_column(column)
    return node


def _set_operation(node: exp.Expr) -> exp.Expr:
    """Column by column, all queries together."""
    above = node.parent
    while isinstance(above, exp.Subquery):
        above = above.parent
    if isinstance(above, exp.SetOperation):
        return node
    columns = [given_by(query) for query in queries_of(node)]
    if any(one is None for one in columns) or len({len(one or ()) for one in columns}) > 1:
        if any(of_kind(value, DECIMALS | _REAL) for one in columns for value in one or ()):
            raise Refused("UNION, INTERSECT or EXCEPT of numerics with * whose columns aren't known; name the columns")
        return node
    for column in zip(*(one or () for one in columns), strict=True):
        if len(columns) > 2 and any(of_kind(one, _REAL) for one in column) and any(of_kind(one, _DOUBLE) for one in column):
            raise Refused("UNION, INTERSECT or EXCEPT of more than two queries with real and double precision; cast them to one")
        _convert_column(column)
    return node


def _convert_column(column: Sequence[exp.Expr]) -> None:
    """Their types may be those of the whole column already: where that is of several scales, all are cast."""
    values = [one.unalias() for one in column if not isinstance(one.unalias(), exp.Null)]
    if not all(of_kind(one, INTEGERS | DECIMALS) for one in values) or not any(of_kind(one, DECIMALS) for one in values):
        _convert(values)
        return
    if any(one.meta.get("is_of_star") for one in values):
        _convert(values)
        return
    types = [one.type for one in (*values, *column) if is_known(one)]
    if len({scale_of(one) for one in types}) > 1 or not all(is_exact(one) for one in types):
        _scale_all(values)


def _scale_all(values: Sequence[exp.Expr]) -> None:
    scales = [scale_of(one.type) for one in values]
    if None in scales:
        raise Refused("numerics in one column whose scale isn't known; cast them: numeric(18,6)")
    for one in values:
        _put(_scaled(one, max(scale for scale in scales if scale is not None)), one)


def convert_many(left: Sequence[exp.Expr], many: exp.Expr) -> None:
    """Columns, and those of a list or a query that they are compared with."""
    while isinstance(many, (exp.Paren, exp.Subquery)):
        many = many.this
    if isinstance(many, exp.Query):
        columns = [given_by(query) for query in queries_of(many)]
        is_told = all(one is not None and len(one) == len(left) for one in columns)
        for place, one in enumerate(left):
            _convert_sought(one, [column[place].unalias() for column in columns if column is not None] if is_told else None)
    elif isinstance(many, exp.Array):
        _convert_sought(left[0], many.expressions)
    elif of_kind(many, LISTS) and many.type is not None and many.type.expressions:
        _convert_list(left[0], many)
    elif not (isinstance(many, exp.Parameter) and of_kind(left[0], FLOATS)):
        _convert_sought(left[0], None)


def _convert_sought(left: exp.Expr, values: Sequence[exp.Expr] | None) -> None:
    if values is not None:
        _convert([left, *values], is_operator=any(of_kind(one, FLOATS) for one in (left, *values)))
    elif of_kind(left, _REAL) or (of_kind(left, DECIMALS) and width_of(left.type) > _NARROW):
        raise Refused("a number beside several whose type isn't known; cast them: numeric(12,4), double precision")


def _convert_list(left: exp.Expr, many: exp.Expr) -> None:
    assert many.type is not None
    item = exp.Column(this=exp.to_identifier("hw_i"))
    item.type = many.type.expressions[0]
    made = conversion([left, item], is_operator=of_kind(left, _REAL) or of_kind(item, FLOATS))
    if made is not None:
        put_in_place(made(left), left)
        put_in_place(written(f"list_transform({sql_of(many)}, lambda hw_i: {sql_of(made(item))})", "unknown", many), many)


def _put(made: exp.Expr, of: exp.Expr) -> None:
    """What is given keeps its name."""
    if of.meta.get("is_of_star"):
        raise Refused("* beside numbers of another type; name its columns, and cast them")
    if isinstance(of, exp.Column) and isinstance(of.parent, exp.Select) and of.arg_key == "expressions" and _gives_names(of.parent):
        made = exp.alias_(made, of.name, quoted=True, copy=False)
    put_in_place(made, of)


def _gives_names(query: exp.Expr) -> bool:
    """The first query of a UNION does; what is behind IN has none."""
    while isinstance(query.parent, (exp.SetOperation, exp.Subquery)):
        if isinstance(query.parent, exp.SetOperation) and query.arg_key == "expression":
            return False
        query = query.parent
    return not isinstance(query.parent, (exp.In, exp.Any, exp.All))


MIXED_RULES: Final[dict[str, Rule]] = {
    **dict.fromkeys(("EQ", "NEQ", "GT", "GTE", "LT", "LTE", "NullSafeEQ", "NullSafeNEQ"), _compared),
    "Between": _between,
    "In": _in,
    **dict.fromkeys(("Coalesce", "Greatest", "Least"), _chosen("this", "expressions")),
    **dict.fromkeys(("Lag", "Lead"), _shifted),
    "Case": _case,
    "Nullif": _nullif,
    "Array": _array,
    "Values": _values,
    **dict.fromkeys(("Union", "Intersect", "Except"), _set_operation),
}
