"""Rows, `(a, b)`, beside each other: written out column by column. DuckDB would make one type of the columns' own first, which may round them, and
take nulls in them for values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from headwater.serving.postgres.dialect.kinds import Rule
from headwater.serving.postgres.dialect.mixed import convert_many
from headwater.serving.postgres.dialect.refusal import Refused
from headwater.serving.postgres.dialect.written import holds, weight
from headwater.serving.postgres.failures import WireError

#: Where a row may stand.
_AROUND: Final = (
    *(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ, exp.In, exp.Between, exp.Is, exp.Tuple),
    *(exp.Values, exp.Group, exp.GroupingSets, exp.Cube, exp.Rollup, exp.Ordered, exp.Distinct),
)
#: What each of the first columns is compared by before the last one is.
_STRICT: Final[dict[type[exp.Expr], type[exp.Expr]]] = {exp.LT: exp.LT, exp.LTE: exp.LT, exp.GT: exp.GT, exp.GTE: exp.GT}
#: Operands stand in the comparison twice, and in one of such comparisons twice more.
_MOST_REPEATED: Final = 2000


def by_column(rule: Rule) -> Rule:
    """`rule`, of a comparison, for each column of rows."""

    def compared(node: exp.Expr) -> exp.Expr:
        left, right = _columns(node.this), _columns(node.args["expression"])
        if left is None and right is None:
            return rule(node)
        if left is None or right is None:
            raise Refused("a row, (a, b), beside what isn't one; IN takes a query")
        return exp.paren(_compared(type(node), left, right, rule), copy=False)

    return compared


def by_column_of_several(rule: Rule, compare: Rule) -> Rule:
    """`rule`, of IN; of rows `compare`, of a comparison, for each of their columns."""

    def sought(node: exp.Expr) -> exp.Expr:
        left = _columns(node.this)
        if left is None:
            if any(_columns(one) is not None for one in node.expressions):
                raise Refused("a row, (a, b), beside what isn't one")
            return rule(node)
        if node.args.get("query") is not None:
            if not _is_of_rows_kept(node):
                raise Refused("NOT IN with a row, (a, b), and a query, or IN as a value; write NOT EXISTS (..) or EXISTS (..)")
            convert_many(left, node.args["query"])
            return node
        rows = [_columns(one) for one in node.expressions]
        found = [_compared(exp.EQ, left, _row(one), compare) for one in rows]
        return exp.paren(_joined(exp.Or, found), copy=False)

    return sought


def _row(columns: Sequence[exp.Expr] | None) -> Sequence[exp.Expr]:
    if columns is None:
        raise Refused("a row, (a, b), beside what isn't one")
    return columns


def _columns(node: exp.Expr) -> list[exp.Expr] | None:
    while isinstance(node, exp.Paren):
        node = node.this
    return list(node.expressions) if isinstance(node, exp.Tuple) else None


def _compared(kind: type[exp.Expr], left: Sequence[exp.Expr], right: Sequence[exp.Expr], rule: Rule) -> exp.Expr:
    """Nulls as in Postgres: what is decided by the columns before them isn't null."""
    if len(left) != len(right):
        raise WireError("42601", "unequal number of entries in row expressions")
    if any(holds(one, exp.Rand) for one in (*left, *right)):
        raise Refused("a row, (a, b), with a random number")
    if kind in _STRICT and sum(map(weight, (*left, *right))) > _MOST_REPEATED:
        raise Refused("rows, (a, b), of long expressions beside each other; give these names in a subquery")

    def one(kind: type[exp.Expr], place: int) -> exp.Expr:
        return by_column(rule)(kind(this=_apart(left[place]), expression=_apart(right[place])))

    places = range(len(left))
    if kind not in _STRICT:
        joined = exp.And if kind in (exp.EQ, exp.NullSafeEQ) else exp.Or
        return _joined(joined, [one(kind, place) for place in places])
    made = one(kind, places[-1])
    for place in reversed(places[:-1]):
        rest = exp.And(this=one(exp.EQ, place), expression=exp.paren(made, copy=False))
        made = exp.Or(this=one(_STRICT[kind], place), expression=exp.paren(rest, copy=False))
    return made


def _apart(node: exp.Expr) -> exp.Expr:
    if not isinstance(node, (exp.Binary, exp.Connector, exp.Not)):
        return node.copy()
    made = exp.paren(node.copy(), copy=False)
    made.type = node.type
    return made


def _joined(kind: type[exp.Expr], conditions: Sequence[exp.Expr]) -> exp.Expr:
    """In halves, so that thousands aren't nested in one another."""
    if len(conditions) == 1:
        return conditions[0]
    middle = len(conditions) // 2
    first, second = (exp.paren(_joined(kind, half), copy=False) for half in (conditions[:middle], conditions[middle:]))
    return kind(this=first, expression=second)


def _is_of_rows_kept(node: exp.Expr) -> bool:
    """Whether null is as false is."""
    below = node
    above = node.parent
    while isinstance(above, (exp.And, exp.Or, exp.Paren)):
        below, above = above, above.parent
    return isinstance(above, (exp.Where, exp.Having)) or (isinstance(above, exp.Join) and below.arg_key == "on")


def _between(rule: Rule, compare: Rule) -> Rule:
    def between(node: exp.Expr) -> exp.Expr:
        of, low, high = (_columns(node.args[name]) for name in ("this", "low", "high"))
        if of is None and low is None and high is None:
            return rule(node)
        ends = [_compared(kind, _row(of), _row(end), compare) for kind, end in ((exp.GTE, low), (exp.LTE, high))]
        return exp.paren(_joined(exp.And, ends), copy=False)

    return between


def _is(node: exp.Expr) -> exp.Expr:
    if _columns(node.this) is not None:
        raise Refused("whether a row, (a, b), is null; ask for each of its columns")
    return node


def _placed(node: exp.Expr) -> exp.Expr:
    above = node.parent
    while isinstance(above, exp.Paren):
        above = above.parent
    if not isinstance(above, _AROUND):
        raise Refused("a row, (a, b), as a value; name its columns one by one")
    return node


def with_rows(rules: dict[str, Rule]) -> dict[str, Rule]:
    """The rules of comparisons, of rows too."""
    compared = {name: by_column(rules[name]) for name in ("EQ", "NEQ", "GT", "GTE", "LT", "LTE", "NullSafeEQ", "NullSafeNEQ")}
    return {
        **rules,
        **compared,
        "In": by_column_of_several(rules["In"], rules["EQ"]),
        "Between": _between(rules["Between"], rules["EQ"]),
        "Is": _is,
        "Tuple": _placed,
    }
