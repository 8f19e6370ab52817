"""Where Postgres and DuckDB differ, node by node. A function that isn't named here isn't known to mean the same in both."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from headwater.serving.postgres.dialect.calls import CALL_RULES, with_epoch, with_seconds, with_shape
from headwater.serving.postgres.dialect.kinds import Rule
from headwater.serving.postgres.dialect.mixed import MIXED_RULES, beside
from headwater.serving.postgres.dialect.numbers import NUMBER_RULES
from headwater.serving.postgres.dialect.recursive import with_first_term
from headwater.serving.postgres.dialect.refusal import Refused
from headwater.serving.postgres.dialect.rows import with_rows
from headwater.serving.postgres.dialect.texts import TEXT_RULES
from headwater.serving.postgres.dialect.times import TIME_RULES

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
        "Null",
        "Boolean",
        "Paren",
        "And",
        "Or",
        "Not",
        "Exists",
        "Any",
        "All",
        "Neg",
        "EQ",
        "NEQ",
        "GT",
        "GTE",
        "LT",
        "LTE",
        "NullSafeEQ",
        "NullSafeNEQ",
        "Between",
        "In",
        "Coalesce",
        "Nullif",
        "Greatest",
        "Least",
        "Case",
        "If",
        "DPipe",
        "DataType",
        "DataTypeParam",
        "Parameter",
        "Var",
        "Values",
        "Window",
        "WindowSpec",
        "Filter",
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
        "FirstValue",
        "LastValue",
        "NthValue",
        "Corr",
        "CovarPop",
        "CovarSamp",
        "Length",
        "Repeat",
        "Ltrim",
        "Rtrim",
        "Chr",
        "MD5",
        "Abs",
        "Ceil",
        "Floor",
        "Pi",
        "Rand",
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
        "Left",
        "Right",
        "PercentileCont",
        "PercentileDisc",
        "Escape",
        "ArrayAgg",
        "Grouping",
        "GroupingSets",
        "Rollup",
        "Cube",
        "Lateral",
        "IntervalOp",
    ]
)


def _order(node: exp.Expr) -> exp.Expr:
    if node.args.get("with_fill"):
        raise Refused("WITH FILL")
    return node


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
    **NUMBER_RULES,
    **TEXT_RULES,
    **TIME_RULES,
    **CALL_RULES,
    **with_rows(MIXED_RULES),
    "Array": with_shape(MIXED_RULES["Array"]),
    "Union": with_first_term(MIXED_RULES["Union"]),
    **{name: beside(NUMBER_RULES[name]) for name in ("Add", "Mul", "Sub", "Div", "Mod")},
    "Cast": with_seconds(NUMBER_RULES["Cast"]),
    "hw_kept_to_timestamp()": with_epoch(TIME_RULES["hw_kept_to_timestamp()"]),
    "LimitOptions": _fetched,
    "Lock": _locked,
    "Ordered": _order,
    "detokenize()": _detokenized,
}
