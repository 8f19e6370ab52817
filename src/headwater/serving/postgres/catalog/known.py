"""What questions to the catalog may be made of: what means the same in DuckDB as in Postgres, or is made to. Clients ask for names, numbers and lists
of the catalog; they don't compute with them, and what they would compute differently is refused."""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp

from headwater.serving.postgres.dialect.kinds import INTEGERS, Rule
from headwater.serving.postgres.dialect.output_names import word_of
from headwater.serving.postgres.dialect.rules import NODES, RULES
from headwater.serving.postgres.failures import WireError

#: Nodes that mean the same here too, for what the catalog holds.
_NODES: Final = NODES | frozenset(
    [
        "Add",
        "Anonymous",
        "Array",
        "ArraySize",
        "ArrayToString",
        "Between",
        "BitwiseAnd",
        "BitwiseOr",
        "Bracket",
        "ByteString",
        "Coalesce",
        "Concat",
        "ConcatWs",
        "CurrentCatalog",
        "CurrentDatabase",
        "CurrentDate",
        "CurrentSchema",
        "CurrentSchemas",
        "CurrentTimestamp",
        "CurrentUser",
        "CurrentVersion",
        "Dot",
        "EQ",
        "Explode",
        "ExplodingGenerateSeries",
        "Format",
        "GT",
        "GTE",
        "GenerateSeries",
        "Greatest",
        "GroupConcat",
        "In",
        "Is",
        "LT",
        "LTE",
        "Lag",
        "Lead",
        "Least",
        "Literal",
        "Lower",
        "Mul",
        "NEQ",
        "NullSafeEQ",
        "NullSafeNEQ",
        "Nullif",
        "ObjectIdentifier",
        "RegexpILike",
        "RegexpLike",
        "Replace",
        "Reverse",
        "SessionUser",
        "SplitPart",
        "StartsWith",
        "StrPosition",
        "StringToArray",
        "Sub",
        "Sum",
        "Trim",
        "Tuple",
        "Unnest",
    ]
)


def known(node: exp.Expr) -> exp.Expr:
    """The node, or what means the same. Raises WireError for what may mean something else."""
    name = type(node).__name__
    rule = _RULES.get(name)
    if rule is not None:
        return rule(node)
    if name not in _NODES:
        raise WireError("0A000", f"{'function ' if isinstance(node, exp.Func) else ''}{word_of(node)} isn't known in questions to the catalog")
    return node


def _macro(name: str) -> Rule:
    return lambda node: exp.func(name, node.this, node.args["expression"])


def _substring(node: exp.Expr) -> exp.Expr:
    start = node.args.get("start")
    if not isinstance(start, exp.Literal):
        node.set("start", exp.func("hw_from", start or exp.Literal.number(1)))
    elif start.is_string:
        raise WireError("0A000", "substring by a regular expression isn't known in questions to the catalog")
    return node


def _cast(node: exp.Expr) -> exp.Expr:
    to, of = node.args["to"], node.this
    if isinstance(to, exp.DataType) and to.is_type(exp.DataType.Type.DECIMAL) and not to.expressions:
        return exp.func("hw_numeric", of)
    is_integer = isinstance(to, exp.DataType) and to.this in INTEGERS
    if is_integer and isinstance(of, exp.Literal) and of.is_string and not re.fullmatch(r"\s*[+-]?\d+\s*", of.name):
        raise WireError("22P02", f'invalid input syntax for type integer: "{of.name}"')
    return node


_RULES: Final[dict[str, Rule]] = {
    "Div": _macro("hw_div"),
    "Mod": _macro("hw_mod"),
    "Cast": _cast,
    "Like": RULES["Like"],
    "ILike": RULES["ILike"],
    "Upper": RULES["Upper"],
    "Substring": _substring,
}
