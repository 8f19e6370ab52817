"""Each type of check as SQL. Pure text: nothing is run here.

In all of it the rows judged have the alias `hw_rows`, unlikely to be a column's name, so that `to_json(hw_rows)` is a whole row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import date, datetime

from headwater.spec.checks import AcceptedValues, Check, Expression, Matches, NotNull, Query, Range, Relationships, Scalar, Unique
from headwater.spec.names import quote, quote_literal

_QUERY_START = re.compile(r"\s*(?:\(|(?:select|from|with|values|table|pivot|unpivot|describe|summarize|show)\b)", re.IGNORECASE)


def is_query(relation_sql: str) -> bool:
    """Whether it is a query, and not a relation's name."""
    return _QUERY_START.match(relation_sql) is not None


def from_item(relation_sql: str) -> str:
    """A query in parentheses, or a relation's name as it is: either way usable after FROM."""
    return f"(\n{relation_sql}\n)" if is_query(relation_sql) else relation_sql


def literal(value: Scalar) -> str:
    """The value as a SQL literal of its own type. Text stays untyped, so that '2024-01-01' compares with dates as well as with text."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f"{quote_literal(str(value))}::DOUBLE"
    if isinstance(value, datetime):
        return f"{'TIMESTAMPTZ' if value.tzinfo else 'TIMESTAMP'} {quote_literal(value.isoformat(sep=' '))}"
    if isinstance(value, date):
        return f"DATE {quote_literal(value.isoformat())}"
    return quote_literal(value)


def failing_condition(check: Check) -> str | None:
    """SQL that is true for the rows that fail a row-wise check (false or null for the others); None for checks of other types."""
    match check:
        case NotNull(column=column):
            return f"{quote(column)} IS NULL"
        case AcceptedValues(column=column, values=values):
            allowed = [literal(value) for value in values if value is not None]
            return f"{quote(column)} NOT IN ({', '.join(allowed)})" if allowed else f"{quote(column)} IS NOT NULL"
        case Range(column=column, min=low, max=high):
            bounds = [f"{quote(column)} {sign} {literal(bound)}" for sign, bound in (("<", low), (">", high)) if bound is not None]
            return f"({' OR '.join(bounds)})" if bounds else "FALSE"
        case Matches(column=column, pattern=pattern):
            return f"NOT regexp_matches({quote(column)}::VARCHAR, {quote_literal(pattern)})"
        case Expression(sql=sql):
            return f"NOT (\n{sql}\n)"
        case _:
            return None


def count_failing(conditions: Sequence[str], relation_sql: str) -> str:
    """One pass over the rows: how many there are, and for each condition how many fail."""
    counts = ["count(*)", *(f"count(*) FILTER (WHERE {condition})" for condition in conditions)]
    selected = ",\n       ".join(counts)
    return f"SELECT {selected}\nFROM {from_item(relation_sql)} AS hw_rows"


def sample_failing(condition: str, relation_sql: str, limit: int) -> str:
    return f"SELECT to_json(hw_rows)::VARCHAR\nFROM {from_item(relation_sql)} AS hw_rows\nWHERE {condition}\nLIMIT {limit}"


def _all_present(columns: Sequence[str]) -> str:
    return " AND ".join(f"{quote(column)} IS NOT NULL" for column in columns)


def _with_staged_keys(check: Unique, relation_sql: str, staged_relation: str | None) -> str:
    """The rows whose key may be doubled: all, or those that share theirs with a staged row."""
    if staged_relation is None:
        return f"{from_item(relation_sql)} AS hw_rows"
    keys = ", ".join(quote(column) for column in check.columns)
    return (
        f"{from_item(relation_sql)} AS hw_rows\n  SEMI JOIN (SELECT {keys} FROM {from_item(staged_relation)} AS hw_staged) AS hw_keys USING ({keys})"
    )


def count_doubled(check: Unique, relation_sql: str, staged_relation: str | None = None) -> str:
    """Rows with a whole key, and how many of them are more than one of their key."""
    keys = ", ".join(quote(column) for column in check.columns)
    return (
        "SELECT coalesce(sum(hw_count), 0)::BIGINT, (coalesce(sum(hw_count), 0) - count(*))::BIGINT\n"
        f"FROM (SELECT count(*) AS hw_count\n  FROM {_with_staged_keys(check, relation_sql, staged_relation)}\n"
        f"  WHERE {_all_present(check.columns)}\n  GROUP BY {keys})"
    )


def sample_doubled(check: Unique, relation_sql: str, staged_relation: str | None, limit: int) -> str:
    keys = ", ".join(quote(column) for column in check.columns)
    return (
        f"SELECT to_json(hw_rows)::VARCHAR\nFROM {from_item(relation_sql)} AS hw_rows\n"
        f"  SEMI JOIN (SELECT {keys} FROM {_with_staged_keys(check, relation_sql, staged_relation)}\n"
        f"    WHERE {_all_present(check.columns)} GROUP BY {keys} HAVING count(*) > 1 LIMIT {limit}) AS hw_doubled USING ({keys})\nLIMIT {limit}"
    )


def _orphans(check: Relationships, relation_sql: str, to_sql: str) -> str:
    return (
        f"FROM {from_item(relation_sql)} AS hw_rows\n"
        f"  ANTI JOIN (SELECT {quote(check.field)} AS hw_value FROM {from_item(to_sql)} AS hw_to) AS hw_parent\n"
        f"  ON hw_rows.{quote(check.column)} = hw_parent.hw_value\n"
        f"WHERE hw_rows.{quote(check.column)} IS NOT NULL"
    )


def count_orphans(check: Relationships, relation_sql: str, to_sql: str) -> str:
    return f"SELECT count(*)\n{_orphans(check, relation_sql, to_sql)}"


def sample_orphans(check: Relationships, relation_sql: str, to_sql: str, limit: int) -> str:
    return f"SELECT to_json(hw_rows)::VARCHAR\n{_orphans(check, relation_sql, to_sql)}\nLIMIT {limit}"


def count_returned(check: Query) -> str:
    return f"SELECT count(*)\nFROM (\n{check.sql}\n) AS hw_rows"


def sample_returned(check: Query, limit: int) -> str:
    return f"SELECT to_json(hw_rows)::VARCHAR\nFROM (\n{check.sql}\n) AS hw_rows\nLIMIT {limit}"
