"""Postgres' patterns of numbers, as `to_char` writes them: 9, 0, `.` or D, `,` or G, S, MI, PL and FM."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from headwater.serving.postgres.dialect.refusal import Refused
from headwater.serving.postgres.dialect.written import bound, sql_of, written

_PATTERN: Final = re.compile(r"(?P<fm>FM)?(?P<before>S|MI|PL)?(?P<whole>[90][90,G]*)?(?:[.D](?P<fraction>[90]+))?(?P<after>S|MI|PL)?", re.IGNORECASE)
#: What a DECIMAL of 38 digits can hold.
_MOST_DIGITS: Final = 30
_MOST_DECIMALS: Final = 15


@dataclass(frozen=True, slots=True)
class _Format:
    """`whole`: the places before the point, `9`, `0` or `,`. `fraction`: those behind it. `sign` is S, MI, PL or "" (a minus where it is needed),
    written `sign_is_last`. `is_trimmed`: without blanks, and without zeros that only a 9 asks for."""

    whole: str
    fraction: str
    sign: str
    sign_is_last: bool
    is_trimmed: bool

    @property
    def digits(self) -> int:
        """Places for digits before the point."""
        return len(self.whole) - self.whole.count(",")

    @property
    def wanted(self) -> int:
        """How many digits before the point are written at least."""
        first = self.whole.find("0")
        return 0 if first < 0 else len(self.whole[first:].replace(",", ""))

    @property
    def kept(self) -> int:
        """How many digits behind the point are written at least, where zeros are taken off."""
        return self.fraction.rfind("0") + 1


def number_to_char(of: exp.Expr, pattern: str) -> exp.Expr:
    """The expression for `to_char(of, pattern)`, `of` being an integer or a decimal. Raises Refused for patterns that have no sure equal here."""
    return written(_sql(_read(pattern), sql_of(of)), "text", of)


def _read(pattern: str) -> _Format:
    match = _PATTERN.fullmatch(pattern)
    if match is None or not match["whole"]:
        raise Refused(f"to_char of a number with {pattern}")
    before, after = (match["before"] or "").upper(), (match["after"] or "").upper()
    whole = match["whole"].upper().replace("G", ",")
    fraction = match["fraction"] or ""
    if (before and after) or whole.endswith(",") or "," in whole[:1]:
        raise Refused(f"to_char of a number with {pattern}")
    if len(whole) > _MOST_DIGITS or len(fraction) > _MOST_DECIMALS:
        raise Refused("to_char of a number with so many digits")
    return _Format(whole, fraction, before or after, bool(after), match["fm"] is not None)


def _sql(format: _Format, number: str) -> str:
    """In DuckDB's words. The number stands in it once, as the only member of a list: it is rounded, taken apart, and put together from its parts."""
    decimals = len(format.fraction)
    rounded = f"round(CAST({number} AS DECIMAL(38, {decimals})), {decimals})" if decimals else f"round({number}, 0)"
    return bound(f"CAST({rounded} AS DECIMAL(38, {decimals}))", "hw_n", _written(format))


def _written(format: _Format) -> str:
    whole = "split_part(CAST(abs(hw_n) AS VARCHAR), '.', 1)"
    fraction = "split_part(CAST(abs(hw_n) AS VARCHAR), '.', 2)" if format.fraction else "''"
    is_bare = f"{whole} = '0' AND {'true' if format.fraction else 'false'}"  # .50, as long as no 0 asks for more
    if format.is_trimmed and not format.kept:
        is_bare += " AND hw_n <> 0"  # nothing would be left of it
    length = f"CAST(greatest(length({whole}), {format.wanted}) AS INTEGER)"
    digits = f"CASE WHEN {is_bare} THEN repeat('0', {format.wanted}) ELSE lpad({whole}, {length}, '0') END"
    core = _grouped(format, f"lpad({digits}, {format.digits}, ' ')")
    if format.is_trimmed and len(format.fraction) > format.kept:
        fraction = f"(left({fraction}, {format.kept}) || rtrim(substr({fraction}, {format.kept + 1}), '0'))"
    end = f"'.' || {fraction}" if format.fraction else "''"
    number = f"ltrim({core}) || {end}"
    hashes = _hashes(format)
    width = len(format.whole)
    is_long = f"length({whole}) > {format.digits} AND {whole} <> '0'"
    return f"CASE WHEN {is_long} THEN {_signed(format, hashes, width)} ELSE {_signed(format, number, width)} END"


def _grouped(format: _Format, digits: str) -> str:
    """Commas put between the digits, where there is one before."""
    parts: list[str] = []
    place = 0
    for group in format.whole.split(","):
        if parts:
            parts.append(f"CASE WHEN trim(left({digits}, {place})) = '' THEN ' ' ELSE ',' END")
        parts.append(f"substr({digits}, {place + 1}, {len(group)})")
        place += len(group)
    return " || ".join(f"({part})" for part in parts)


def _hashes(format: _Format) -> str:
    whole = "".join("," if place == "," else "#" for place in format.whole)
    return f"'{whole}{'.' if format.fraction else ''}{'#' * len(format.fraction)}'"


def _signed(format: _Format, number: str, width: int) -> str:
    """The number with its sign, and the blanks before it. A minus that no pattern asks for has a place of its own and stands right before the first
    digit, as S does at the beginning."""
    total = width + len(format.fraction) + bool(format.fraction)
    is_close = format.sign in ("", "PL") or (format.sign == "S" and not format.sign_is_last)
    if is_close:
        number, total = f"CASE WHEN hw_n < 0 THEN '-' ELSE '{'+' if format.sign == 'S' else ''}' END || {number}", total + 1
    body = f"({number})" if format.is_trimmed else f"lpad({number}, {total}, ' ')"
    if format.sign == "" or (is_close and format.sign == "S"):
        return body
    blank = "" if format.is_trimmed else " "
    below, above = {"S": ("-", "+"), "MI": ("-", blank), "PL": (blank, "+")}[format.sign]
    sign = f"CASE WHEN hw_n < 0 THEN '{below}' ELSE '{above}' END"
    return f"{body} || {sign}" if format.sign_is_last else f"{sign} || {body}"
