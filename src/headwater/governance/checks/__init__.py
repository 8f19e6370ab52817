"""Checks in SQL: what is said of a table's data, asked of the data."""

from headwater.governance.checks.compile import failing_condition
from headwater.governance.checks.judge import judge, judge_freshness

__all__ = ["failing_condition", "judge", "judge_freshness"]
