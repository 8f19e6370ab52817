"""Where Postgres and DuckDB differ, node by node. A function that isn't named here isn't known to mean the same in both."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from headwater.serving.postgres.dialect_calls import CALL_RULES, with_epoch, with_seconds
from headwater.serving.postgres.dialect_kinds import Rule
from headwater.serving.postgres.dialect_numbers import NUMBER_RULES
from headwater.serving.postgres.dialect_quoted import QUOTED_RULES, with_number
from headwater.serving.postgres.dialect_texts import TEXT_RULES
from headwater.serving.postgres.dialect_times import TIME_RULES
from headwater.serving.postgres.refusal import Refused

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
        "Is",
        "Exists",
        "Any",
        "All",
        "Neg",
        "Case",
        "If",
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
        "Corr",
        "CovarPop",
        "CovarSamp",
        "Lower",
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
        "CurrentTimestamp",
        "CurrentDate",
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
    **QUOTED_RULES,
    "Add": with_number(NUMBER_RULES["Add"]),
    "Mul": with_number(NUMBER_RULES["Mul"]),
    "Cast": with_seconds(NUMBER_RULES["Cast"]),
    "hw_kept_to_timestamp()": with_epoch(TIME_RULES["hw_kept_to_timestamp()"]),
    "LimitOptions": _fetched,
    "Lock": _locked,
    "Ordered": _order,
    "detokenize()": _detokenized,
}
