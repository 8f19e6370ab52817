"""WITH RECURSIVE: its columns have the types of its first term. Postgres refuses a second term of others, but for numerics, of which each value keeps
its own scale there; DuckDB would round them."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from headwater.serving.postgres.dialect.decimals import MOST_DIGITS, is_exact, scale_of, width_of
from headwater.serving.postgres.dialect.kinds import DECIMALS, FLOATS, INTEGERS, SMALL_INTEGERS, Rule, is_known, of_kind, typed
from headwater.serving.postgres.dialect.mixed import given_by
from headwater.serving.postgres.dialect.refusal import Refused
from headwater.serving.postgres.dialect.trees import put_in_place, queries_of
from headwater.serving.postgres.failures import WireError

_T = exp.DataType.Type
_NUMBERS: Final = INTEGERS | DECIMALS | FLOATS


def with_first_term(rule: Rule) -> Rule:
    """Before `rule`, of a UNION, the terms of a recursive WITH."""

    def union(node: exp.Expr) -> exp.Expr:
        if _is_recursive(node):
            _fit_terms(node)
            return node
        return rule(node)

    return union


def _is_recursive(node: exp.Expr) -> bool:
    above = node.parent
    while isinstance(above, exp.Subquery):
        above = above.parent
    if not isinstance(above, exp.CTE) or not isinstance(above.parent, exp.With) or not above.parent.args.get("recursive"):
        return False
    return any(table.name == above.alias and not table.db for table in node.args["expression"].find_all(exp.Table))


def _fit_terms(node: exp.Expr) -> None:
    first = given_by(node.this)
    for query in queries_of(node.args["expression"]):
        second = given_by(query)
        if first is None or second is None or len(first) != len(second):
            raise Refused("WITH RECURSIVE with * whose columns aren't known; name the columns")
        for place, (one, other) in enumerate(zip(first, second, strict=True)):
            _fit(one.unalias(), other.unalias(), place)
    for one in (item.unalias() for query in queries_of(node.this) for item in (given_by(query) or ())):
        if of_kind(one, DECIMALS) and _declared(one) is None:
            # it may grow
            put_in_place(typed(one.copy(), f"decimal({MOST_DIGITS},{scale_of(one.type)})"), one)


def _fit(one: exp.Expr, other: exp.Expr, place: int) -> None:
    if not of_kind(one, _NUMBERS) or isinstance(other, (exp.Null, exp.Parameter)) or (isinstance(other, exp.Literal) and other.is_string):
        return
    if not is_known(other) or (of_kind(other, DECIMALS) and scale_of(other.type) is None):
        raise Refused("WITH RECURSIVE with a number whose type isn't known; cast it")
    if _rank(other) > _rank(one):
        raise _mismatch(one, other, place)
    if of_kind(one, DECIMALS):
        if _declared(one) is not None and _declared(one) != _declared(other):
            raise _mismatch(one, other, place)
        if scale_of(one.type) != scale_of(other.type) or (is_exact(one.type) and not is_exact(other.type)):
            raise Refused("WITH RECURSIVE with numerics of several scales; cast both terms to one: numeric(18,6)")


def _rank(node: exp.Expr) -> int:
    """In which order types become one another."""
    kinds = (frozenset({_T.TINYINT, _T.SMALLINT, _T.UTINYINT}), SMALL_INTEGERS, INTEGERS, DECIMALS, frozenset({_T.FLOAT}), FLOATS)
    return next((rank for rank, one in enumerate(kinds) if of_kind(node, one)), -1)


def _declared(node: exp.Expr) -> tuple[int, int | None] | None:
    """The width and scale of a numeric that has them by its declaration; None for one of any."""
    while isinstance(node, exp.Paren):
        node = node.this
    is_declared = isinstance(node, (exp.Column, exp.Cast)) and width_of(node.type) < MOST_DIGITS
    return (width_of(node.type), scale_of(node.type)) if is_declared else None


def _mismatch(one: exp.Expr, other: exp.Expr, place: int) -> WireError:
    types = [node.type.sql("postgres").lower() for node in (one, other) if node.type is not None]
    said = f"recursive query: column {place + 1} has type {types[0]} in the first term but {types[1]} in the second"
    return WireError("42804", said, hint="Cast the output of the first term to the type of both.")
