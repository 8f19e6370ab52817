"""Texts that are written beside a number: Postgres reads them as such a number, DuckDB as one that the column could hold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from sqlglot import exp

from headwater.serving.postgres.dialect_kinds import DECIMALS, FLOATS, INTEGERS, Rule, of_kind, typed
from headwater.serving.postgres.failures import WireError
from headwater.serving.postgres.refusal import Refused
from headwater.serving.postgres.trees import put_in_place

_INTEGER: Final = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)
_DECIMAL: Final = re.compile(r"\s*([+-]?)(\d*)(?:\.(\d*))?\s*", re.ASCII)
_MOST_DIGITS: Final = 38


def with_number(rule: Rule) -> Rule:
    """Before `rule`, texts among the operands become the numbers that they are."""

    def numbered(node: exp.Expr) -> exp.Expr:
        _read_texts(node)
        return rule(node)

    return numbered


def _read_texts(node: exp.Expr) -> exp.Expr:
    operands = list(_operands(node))
    beside = next((one for one in operands if of_kind(one, INTEGERS | DECIMALS | FLOATS)), None)
    if beside is not None:
        for text in operands:
            if isinstance(text, exp.Literal) and text.is_string:
                put_in_place(_number(text.name, beside), text)
    return node


def _operands(node: exp.Expr) -> Iterable[exp.Expr]:
    for name in ("this", "expression", "low", "high"):
        if isinstance(node.args.get(name), exp.Expr):
            yield node.args[name]
    yield from node.expressions


def _number(text: str, beside: exp.Expr) -> exp.Expr:
    if of_kind(beside, FLOATS) and beside.type is not None:
        return typed(exp.Literal.string(text), beside.type.sql("duckdb"))
    if of_kind(beside, INTEGERS) and beside.type is not None:
        if not _INTEGER.fullmatch(text):
            raise WireError("22P02", f'invalid input syntax for type integer: "{text}"')
        return typed(exp.Literal.string(text), beside.type.sql("duckdb"))
    found = _DECIMAL.fullmatch(text)
    if found is None or not (found[2] or found[3]):
        raise Refused("a text beside a numeric that isn't digits with a point; write the number")
    places = len(found[3] or "")
    whole = len(found[2].lstrip("0"))
    if whole + places > _MOST_DIGITS:
        raise Refused(f"a number of more than {_MOST_DIGITS} digits")
    return typed(exp.Literal.string(text.strip()), f"decimal({max(whole + places, 1)}, {places})")


_COMPARISONS: Final = ("EQ", "NEQ", "GT", "GTE", "LT", "LTE", "NullSafeEQ", "NullSafeNEQ", "Between", "In", "Coalesce", "Nullif", "Greatest", "Least")
QUOTED_RULES: Final[dict[str, Rule]] = dict.fromkeys(_COMPARISONS, _read_texts)
