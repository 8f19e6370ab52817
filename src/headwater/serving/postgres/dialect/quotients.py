"""The quotient of two numerics as Postgres computes it (select_div_scale and div_var of its numeric.c): exactly, rounded half away from zero at a
place that the operands decide, 16 significant digits or more.

DuckDB divides DECIMALs as doubles, so both are taken as whole numbers and divided by hand. Each stands in the SQL once, as a member of a list.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from sqlglot import exp

from headwater.serving.postgres.dialect.decimals import MOST_DIGITS, QUOTIENT_SCALE, decimal, is_exact, quotient_type, scale_of, width_of
from headwater.serving.postgres.dialect.refusal import Refused
from headwater.serving.postgres.dialect.written import bound, sql_of, written

#: Digits behind the point that are found, one more than are kept, and how many of them are found last, which are those that may be rounded away.
_FOUND: Final = QUOTIENT_SCALE + 1
_LAST: Final = 11
#: Digits that a BIGINT holds, whatever they are.
_MOST_FRONT: Final = 18
#: The scale of a number that has been divided already is no smaller in Postgres, but for the largest.
_DIVIDED_SCALE: Final = 16
#: Up to it a multiplication finds the whole number that a DECIMAL is, else its text does.
_SHORT_SCALE: Final = 9


class _Operands:
    """What was divided. Copies of the quotient share it: nothing changes it, and they would copy all that stands in it once more at each depth."""

    def __init__(self, dividend: exp.Expr, divisor: exp.Expr) -> None:
        self.both = (dividend, divisor)

    def __deepcopy__(self, memo: dict[int, object]) -> _Operands:
        return self


def quotient(dividend: exp.Expr, divisor: exp.Expr) -> exp.Expr:
    """A DECIMAL(38,20). It fails where the divisor is zero, and where the quotient has more digits than that holds."""
    made = _made(dividend, divisor, is_text=False)
    made.meta["quotient"] = _Operands(dividend, divisor)
    return made


def quotient_as_text(node: exp.Expr) -> exp.Expr | None:
    """The text of what `quotient` made; None for anything else. It fails where Postgres writes more than 20 digits behind the point."""
    while isinstance(node, exp.Paren) and "quotient" not in node.meta:
        node = node.this
    if "quotient" not in node.meta:
        return None
    return _made(*node.meta["quotient"].both, is_text=True)


def _made(dividend: exp.Expr, divisor: exp.Expr, *, is_text: bool) -> exp.Expr:
    scales, shown = [], []
    for one in (dividend, divisor):
        scale = scale_of(one.type)
        if scale is None:
            raise Refused("a division of a numeric whose scale isn't known; cast it: numeric(18,6)")
        scales.append(scale)
        shown.append(scale if is_exact(one.type) else min(scale, _DIVIDED_SCALE))
    numbers = [_whole_number(sql_of(one), scale) for one, scale in zip((dividend, divisor), scales, strict=True)]
    sql = bound(f"{{'n': {numbers[0]}, 'd': {numbers[1]}}}", "hw_q", _body(scales[0], scales[1], max(shown), is_text))
    return written(sql, "text" if is_text else quotient_type(), dividend, divisor, divides=True)


def remainder(dividend: exp.Expr, divisor: exp.Expr) -> exp.Expr | None:
    """Of what DuckDB would take as doubles, having more digits together than a DECIMAL; None where it finds the remainder itself."""
    scales = [scale_of(one.type) for one in (dividend, divisor)]
    if None in scales:
        raise Refused("the remainder of a numeric whose scale isn't known; cast it: numeric(18,6)")
    known = [one for one in scales if one is not None]
    scale = max(known)
    if max(width_of(one.type) - own for one, own in zip((dividend, divisor), known, strict=True)) + scale <= MOST_DIGITS:
        return None
    whole = [
        f"{_whole_number(sql_of(one), own)} * CAST({10 ** (scale - own)} AS HUGEINT)" for one, own in zip((dividend, divisor), known, strict=True)
    ]
    found = f"CAST(({whole[0]}) % ({whole[1]}) AS DECIMAL({MOST_DIGITS}, 0))"
    sql = f"{found} * CAST(0.{'1'.rjust(scale, '0')} AS DECIMAL({scale}, {scale}))" if scale else found
    return written(sql, decimal(scale, is_exact=is_exact(dividend.type) and is_exact(divisor.type)), dividend, divisor, divides=True)


@lru_cache(256)
def _body(dividend_scale: int, divisor_scale: int, shown: int, is_text: bool) -> str:
    # in HAVING DuckDB takes `hw_q.n` for a column
    return re.sub(r"\b(hw_[qpf])\.([a-z])\b", r"struct_extract(\1, '\2')", _guarded(dividend_scale, divisor_scale, shown, is_text))


def _whole_number(operand: str, scale: int) -> str:
    if scale == 0:
        return f"CAST({operand} AS HUGEINT)"
    if scale <= _SHORT_SCALE:
        return f"CAST(({operand}) * {10**scale} AS HUGEINT)"
    return f"CAST(replace(CAST({operand} AS VARCHAR), '.', '') AS HUGEINT)"


def _guarded(dividend_scale: int, divisor_scale: int, shown: int, is_text: bool) -> str:
    kind = "VARCHAR" if is_text else f"DECIMAL({MOST_DIGITS}, {QUOTIENT_SCALE})"
    fails = f"CAST(CAST('division by zero' AS TINYINT) AS {kind})"
    digits = {name: f"CAST(abs(hw_q.{name}) AS VARCHAR)" for name in "nd"}
    powers = {
        # of a number's first digit, and of the first of its digits to the base of 10000
        "n": f"(CASE WHEN hw_q.n = 0 THEN 0 ELSE length({digits['n']}) - {1 + dividend_scale} END)",
        "d": f"length({digits['d']}) - {1 + divisor_scale}",
    }
    first = {name: f"CAST(rpad({digits[name]}, CAST((({powers[name]}) + 400) % 4 + 1 AS INTEGER), '0') AS INTEGER)" for name in "nd"}
    group = {name: f"(({powers[name]}) + 400) // 4" for name in "nd"}
    weight = f"({group['n']} - {group['d']} - CASE WHEN {first['n']} <= {first['d']} THEN 1 ELSE 0 END)"
    place = f"greatest(16 - 4 * {weight}, {shown})"
    more = max(_LAST - (_FOUND + divisor_scale - dividend_scale), 0)
    divisor = f"abs(hw_q.d) * {10**more}" if more else "abs(hw_q.d)"
    operands = f"{{'n': abs(hw_q.n), 'd': {divisor}, 'r': {place}, 's': CASE WHEN (hw_q.n < 0) <> (hw_q.d < 0) THEN -1 ELSE 1 END}}"
    found = _FOUND + divisor_scale - dividend_scale + more
    made = bound(operands, "hw_p", _shown(found) if is_text else _signed(found))
    return f"CASE WHEN hw_q.n IS NULL OR hw_q.d IS NULL THEN NULL WHEN hw_q.d = 0 THEN {fails} ELSE {made} END"


def _signed(found: int) -> str:
    unit = f"CAST(0.{'0' * (QUOTIENT_SCALE - 1)}1 AS DECIMAL({QUOTIENT_SCALE}, {QUOTIENT_SCALE}))"
    units = _units(found, "HUGEINT", 10)
    if found - _LAST <= _MOST_FRONT:
        # in the machine's own numbers, which is ten times as fast
        units = f"CASE WHEN hw_p.n < 9000000000000000000 AND hw_p.d < 9000000000000 THEN {_units(found, 'BIGINT', 6)} ELSE {units} END"
    return f"CAST({units} * hw_p.s AS DECIMAL({MOST_DIGITS}, 0)) * {unit}"


def _shown(found: int) -> str:
    """The text, without the zeros behind the place that it is rounded at."""
    fails = "CAST(CAST('a quotient of more than 20 digits as text' AS TINYINT) AS VARCHAR)"
    text = f"CAST({_signed(found)} AS VARCHAR)"
    kept = f"left({text}, CAST(length({text}) - {QUOTIENT_SCALE} + hw_p.r - CASE WHEN hw_p.r = 0 THEN 1 ELSE 0 END AS BIGINT))"
    return f"CASE WHEN hw_p.r > {QUOTIENT_SCALE} THEN {fails} ELSE {kept} END"


def _digits(rest: str, divisor: str, count: int, step: int) -> tuple[str, str]:
    """The next `count` digits of a division whose remainder so far is `rest`, `step` at once, and the remainder behind them."""
    made = ""
    while count:
        now = min(count, step)
        chunk = f"(({rest}) * {10**now}) // {divisor}"
        rest = f"(({rest}) * {10**now}) % {divisor}"
        count -= now
        made += f" + ({chunk}) * {10**count}" if count else f" + {chunk}"
    return made.removeprefix(" + ") or "0", rest


def _units(found: int, kind: str, step: int) -> str:
    """The quotient, in units of the last place that is kept, of operands that are of the type `kind`."""
    dividend, divisor = f"CAST(hw_p.n AS {kind})", f"CAST(hw_p.d AS {kind})"
    front, rest = _digits(f"{dividend} % {divisor}", divisor, found - _LAST, step)
    last, _ = _digits(rest, divisor, _LAST, step)
    parts = f"{{'f': CAST({dividend} // {divisor} AS HUGEINT) * CAST({10 ** (found - _LAST)} AS HUGEINT) + {front}, 'l': {last}, 'r': hw_p.r}}"
    place = QUOTIENT_SCALE - _LAST + 1
    power = f"CAST(pow(10, {QUOTIENT_SCALE} - least(hw_f.r, {QUOTIENT_SCALE})) AS {kind})"
    in_last = f"hw_f.f * {10**place} + (hw_f.l + 5 * {power}) // (10 * {power}) * {power}"
    power = f"CAST(pow(10, {place - 1} - hw_f.r) AS BIGINT)"
    in_front = f"(hw_f.f + 5 * {power}) // (10 * {power}) * (10 * {power}) * {10**place}"
    return bound(parts, "hw_f", f"CASE WHEN hw_f.r >= {place} THEN {in_last} ELSE {in_front} END")
