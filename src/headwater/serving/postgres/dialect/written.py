"""Expressions that are written as text, which are not read again: what they are made of stands in them as its SQL.

As trees they would be copied, and gone over, once more at each depth of a query.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import sqlglot
from sqlglot import exp

from headwater.serving.postgres.failures import WireError

#: Characters of one expression. What the rules make of a query could grow much faster than the query.
_MOST_WRITTEN: Final = 1_000_000
#: Up to it an operand may stand in an expression more than once: the engine finds what is alike.
_SHORT: Final = 80
_OPERAND: Final = "hw_o"


def sql_of(node: exp.Expr, *, is_last: bool = False) -> str:
    """A translated expression in DuckDB's words; `is_last` where it isn't needed any more. Raises UnsupportedError for what sqlglot can't write."""
    return node.sql("duckdb", copy=not is_last, unsupported_level=sqlglot.ErrorLevel.RAISE, comments=False, identify=True)


def written(sql: str, kind: str | exp.DataType, *of: exp.Expr, divides: bool = False) -> exp.Expr:
    """An expression in DuckDB's words with the operands `of` in it; `divides` where it is a division itself. Raises WireError for one too long."""
    if len(sql) > _MOST_WRITTEN:
        raise WireError("54001", f"an expression that takes more than {_MOST_WRITTEN:,} characters in DuckDB's words is not translated")
    made = exp.Var(this=f"({sql})")
    made.type = exp.DataType.build(kind)
    kinds = set[type[exp.Expr]]().union(*(_kinds(one) for one in of))
    made.meta["kinds"] = frozenset(kinds | {exp.IntDiv} if divides else kinds)
    return made


def weight(node: exp.Expr) -> int:
    """How much an expression is: its nodes, and the characters of those that are written."""
    return sum(len(one.name) if isinstance(one, exp.Var) else 1 for one in node.walk())


def holds(node: exp.Expr, *kinds: type[exp.Expr]) -> bool:
    """Whether an expression is, or is made of, one of these."""
    return any(issubclass(kind, kinds) for kind in _kinds(node))


def _kinds(node: exp.Expr) -> frozenset[type[exp.Expr]]:
    found: set[type[exp.Expr]] = set()
    for one in node.walk():
        found.add(type(one))
        found |= one.meta.get("kinds", frozenset()) if isinstance(one, exp.Var) else frozenset()
    return frozenset(found)


def once(make: Callable[..., str], *of: exp.Expr) -> str:
    """`make` of the operands' SQL. Where that is long it stands in the text but once, as the only member of a list, however often `make` takes it."""
    texts = [sql_of(one) for one in of]
    if sum(map(len, texts)) <= _SHORT:
        return make(*texts)
    if len(texts) == 1:
        return bound(texts[0], _OPERAND, make(_OPERAND))
    fields = ", ".join(f"'o{place}': {text}" for place, text in enumerate(texts))
    return bound(f"{{{fields}}}", _OPERAND, make(*(f"struct_extract({_OPERAND}, 'o{place}')" for place in range(len(texts)))))


def bound(value: str, name: str, body: str) -> str:
    """`body`, in which `name` is `value`."""
    return f"list_transform([{value}], lambda {name}: {body})[1]"
