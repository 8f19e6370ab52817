"""Kinds of types, and what the rules of the dialect ask of nodes and make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from sqlglot import exp

from headwater.serving.postgres.dialect.output_names import word_of
from headwater.serving.postgres.dialect.refusal import Refused

_T = exp.DataType.Type
INTEGERS: Final = frozenset({_T.TINYINT, _T.SMALLINT, _T.INT, _T.BIGINT, _T.UTINYINT, _T.USMALLINT, _T.UINT, _T.UBIGINT, _T.INT128, _T.UINT128})
SMALL_INTEGERS: Final = frozenset({_T.TINYINT, _T.SMALLINT, _T.INT, _T.UTINYINT, _T.USMALLINT})
BIG_INTEGERS: Final = INTEGERS - SMALL_INTEGERS
DECIMALS: Final = frozenset({_T.DECIMAL})
FLOATS: Final = frozenset({_T.FLOAT, _T.DOUBLE})
TEXTS: Final = frozenset({_T.TEXT, _T.VARCHAR, _T.CHAR, _T.NCHAR, _T.NVARCHAR, _T.NAME})
DATES: Final = frozenset({_T.DATE, _T.DATE32})
TIMESTAMPS: Final = frozenset({_T.TIMESTAMP, _T.TIMESTAMPTZ, _T.TIMESTAMPNTZ, _T.DATETIME, _T.TIMESTAMPLTZ})
ZONED: Final = frozenset({_T.TIMESTAMPTZ, _T.TIMESTAMPLTZ})
LISTS: Final = frozenset({_T.ARRAY, _T.LIST})
INTERVALS: Final = frozenset({_T.INTERVAL})

#: Of numbers of several types the last of these that is there is the type of all.
WIDTHS: Final = (
    *(_T.TINYINT, _T.UTINYINT, _T.SMALLINT, _T.USMALLINT, _T.INT, _T.UINT, _T.BIGINT, _T.UBIGINT, _T.INT128, _T.UINT128),
    *(_T.DECIMAL, _T.FLOAT, _T.DOUBLE),
)

Rule = Callable[[exp.Expr], exp.Expr]


def of_kind(node: exp.Expr | None, kinds: frozenset[Any]) -> bool:
    return node is not None and isinstance(node.type, exp.DataType) and node.type.this in kinds


def is_known(node: exp.Expr | None) -> bool:
    return node is not None and isinstance(node.type, exp.DataType) and node.type.this not in (_T.UNKNOWN, _T.NULL)


def widest(types: Iterable[exp.DataType]) -> exp.DataType:
    return max(types, key=lambda one: WIDTHS.index(one.this))


def typed(node: exp.Expr, type: str) -> exp.Expr:
    made = exp.cast(node, type, copy=False) if not isinstance(node, exp.Cast) else exp.Cast(this=node, to=exp.DataType.build(type))
    made.type = exp.DataType.build(type)
    return made


def plain_text(node: exp.Expr | None, what: str) -> str:
    if not isinstance(node, exp.Literal) or not node.is_string:
        raise Refused(f"{what} has to be a plain text")
    return str(node.this)


def no_more(node: exp.Expr, *allowed: str) -> None:
    """Refuses arguments that a rule doesn't know."""
    for name, value in node.args.items():
        if value and name not in allowed:
            raise Refused(f"{word_of(node)} with {name.replace('_', ' ')} isn't known here")
