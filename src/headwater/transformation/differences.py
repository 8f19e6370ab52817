"""How two sets of rows differ, told by row and column. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from headwater.spec.counting import plural

Row = tuple[Any, ...]

#: Rows told of each sort; the rest are counted.
_MOST = 20


def describe_differences(columns: Sequence[str], expected: Sequence[Row], actual: Sequence[Row], *, is_ordered: bool = False) -> str:
    """Text that says how `actual` differs from `expected`, "" when it doesn't. Order counts only with `is_ordered`; floats may differ by rounding."""
    if is_ordered:
        pairs = [(index, index) for index in range(min(len(expected), len(actual)))]
        left, surplus = list(range(len(pairs), len(expected))), list(range(len(pairs), len(actual)))
    else:
        left, surplus = _without_equals(expected, actual)
        pairs = _nearest_pairs(expected, actual, left, surplus)
        left = [index for index in left if index not in {pair[0] for pair in pairs}]
        surplus = [index for index in surplus if index not in {pair[1] for pair in pairs}]
    lines: list[str] = []
    differing = [(i, j) for i, j in pairs if not _are_rows_equal(expected[i], actual[j])]
    for i, j in differing[:_MOST]:
        lines.append(f"row {i + 1}: {_row(columns, expected[i])}")
        wrong = [k for k in range(len(columns)) if not _are_equal(expected[i][k], actual[j][k])]
        lines += [f"  {columns[k]}: expected {_value(expected[i][k])}, found {_value(actual[j][k])}" for k in wrong]
    lines += [f"row {i + 1} is missing: {_row(columns, expected[i])}" for i in left[:_MOST]]
    lines += [f"not expected: {_row(columns, actual[j])}" for j in surplus[:_MOST]]
    more = sum(max(0, len(rows) - _MOST) for rows in (differing, left, surplus))
    if more:
        lines.append(f".. and {plural(more, 'more difference')}")
    if len(expected) != len(actual):
        lines.append(f"expected {plural(len(expected), 'row')}, found {len(actual):,}")
    return "\n".join(lines)


def _are_equal(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_are_equal(value, b[key]) for key, value in a.items())
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_are_equal, a, b))
    return bool(a == b)


def _are_rows_equal(a: Row, b: Row) -> bool:
    return all(map(_are_equal, a, b))


def _without_equals(expected: Sequence[Row], actual: Sequence[Row]) -> tuple[list[int], list[int]]:
    """Indexes of the rows that find no equal on the other side, each used once."""
    surplus = list(range(len(actual)))
    left = []
    for i, row in enumerate(expected):
        match = next((place for place, j in enumerate(surplus) if _are_rows_equal(row, actual[j])), None)
        if match is None:
            left.append(i)
        else:
            del surplus[match]
    return left, surplus


def _nearest_pairs(expected: Sequence[Row], actual: Sequence[Row], left: Sequence[int], surplus: Sequence[int]) -> list[tuple[int, int]]:
    """Rows that are probably meant to be the same: those with the most equal columns, at least one unless one row is left on each side."""
    least = 0 if len(left) == len(surplus) == 1 else 1
    scored = [(sum(map(_are_equal, expected[i], actual[j])), -i, -j) for i in left[:200] for j in surplus[:200]]
    pairs: list[tuple[int, int]] = []
    used_left: set[int] = set()
    used_surplus: set[int] = set()
    for score, i, j in sorted(scored, reverse=True):
        if score >= least and -i not in used_left and -j not in used_surplus:
            pairs.append((-i, -j))
            used_left.add(-i)
            used_surplus.add(-j)
    return sorted(pairs)


def _row(columns: Sequence[str], row: Row) -> str:
    return "{" + ", ".join(f"{name}: {_value(value)}" for name, value in zip(columns, row, strict=True)) + "}"


def _value(value: Any) -> str:
    if value is None:
        return "null"
    return repr(value) if isinstance(value, str) else str(value)
