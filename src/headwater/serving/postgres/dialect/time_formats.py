"""Postgres' patterns of dates and times: written by `to_char`, read by `to_date` and `to_timestamp`."""

from __future__ import annotations

import itertools
import re
from datetime import datetime
from typing import Final

from sqlglot import exp

from headwater.serving.postgres.dialect.refusal import Refused

_NAME_WIDTH: Final = 9
#: Characters of a pattern. Each may take what is printed once more.
_MOST_CHARACTERS: Final = 100
#: Postgres' patterns that strftime has as they are, and with FM, without leading zeros. Upper and lower case mean the same.
_NUMBERS: Final = {
    "YYYY": ("%Y", "%Y"),
    "IYYY": ("%G", "%G"),
    "YY": ("%y", None),
    "MM": ("%m", "%-m"),
    "DD": ("%d", "%-d"),
    "DDD": ("%j", "%-j"),
    "IW": ("%V", None),
    "ID": ("%u", "%u"),
    "HH24": ("%H", "%-H"),
    "HH12": ("%I", "%-I"),
    "HH": ("%I", "%-I"),
    "MI": ("%M", "%-M"),
    "SS": ("%S", "%-S"),
    "MS": ("%g", None),
    "US": ("%f", None),
}
#: Names, whose case is the pattern's; whole ones are padded to nine characters unless FM stands before.
_NAMES: Final = {"MONTH": "%B", "DAY": "%A", "MON": "%b", "DY": "%a", "AM": "%p", "PM": "%p"}
_PATTERN: Final = re.compile(
    r'"(?P<quoted>[^"]*)"?|(?P<fm>FM)?(?:(?P<name>MONTH|DAY|MON|DY|AM|PM)|(?P<number>'
    + "|".join(sorted(_NUMBERS, key=len, reverse=True))
    + r")|(?P<quarter>Q))|(?P<other>[^A-Za-z0-9])",
    re.IGNORECASE,
)


#: Patterns by which a text is read, each with the digits it takes: all of them, or the text is refused.
_READ: Final = {"YYYY": r"(?P<Y>\d{4})", "MM": r"(?P<m>\d{2})", "DD": r"(?P<d>\d{2})", "HH24": r"(?P<H>\d{2})", "MI": r"(?P<M>\d{2})"} | {
    "SS": r"(?P<S>\d{2})",
    "US": r"(?P<f>\d{6})",
    "MS": r"(?P<f>\d{3})",
}
_READ_PATTERN: Final = re.compile("|".join(sorted(_READ, key=len, reverse=True)) + "|[^A-Za-z0-9]", re.IGNORECASE)


def read_time(text: str, pattern: str) -> str:
    """The date or time that `text` is by `pattern`, in ISO's form. Raises Refused where Postgres might read it otherwise."""
    _refuse_long(pattern)
    expected, at = "", 0
    while at < len(pattern):
        match = _READ_PATTERN.match(pattern, at)
        if match is None:
            raise Refused(f"to_date and to_timestamp with {pattern[at:]}")
        expected += _READ.get(match[0].upper(), re.escape(match[0]))
        at = match.end()
    try:
        found = re.fullmatch(expected, text)
    except re.error:
        found = None  # a pattern named twice
    if found is None:
        raise Refused("to_date and to_timestamp of a text that isn't exactly as its pattern says")
    parts = {"Y": "0001", "m": "01", "d": "01", "H": "00", "M": "00", "S": "00", "f": "0", **found.groupdict()}
    try:
        moment = datetime(
            int(parts["Y"]), int(parts["m"]), int(parts["d"]), int(parts["H"]), int(parts["M"]), int(parts["S"]), int(parts["f"].ljust(6, "0"))
        )
    except ValueError:
        raise Refused("to_date and to_timestamp of a text that is no date") from None
    return moment.isoformat(sep=" ")


def to_char(of: exp.Expr, pattern: str) -> exp.Expr:
    """The expression for `to_char(of, pattern)`. Raises Refused for patterns that have no equal here."""
    if not pattern:
        raise Refused("to_char without a pattern")
    _refuse_long(pattern)
    parts: list[exp.Expr] = []
    for is_format, found in itertools.groupby(_parts(of, pattern), key=lambda part: isinstance(part, str)):
        if is_format:
            parts.append(_formatted(of, "".join(str(part) for part in found)))
        else:
            parts += [part for part in found if isinstance(part, exp.Expr)]
    made = parts[0]
    for part in parts[1:]:
        made = exp.DPipe(this=made, expression=part, safe=False)
    made = exp.Paren(this=made) if len(parts) > 1 else made
    made.type = exp.DataType.build("text")
    return made


def _refuse_long(pattern: str) -> None:
    if len(pattern) > _MOST_CHARACTERS:
        raise Refused(f"a pattern of a time of more than {_MOST_CHARACTERS} characters")


def _parts(of: exp.Expr, pattern: str) -> list[str | exp.Expr]:
    """In order: pieces for strftime, and whole expressions."""
    found: list[str | exp.Expr] = []
    at = 0
    while at < len(pattern):
        match = _PATTERN.match(pattern, at)
        if match is None:
            raise Refused(f"to_char with {pattern[at:]}")
        at = match.end()
        if match["quoted"] is not None or match["other"] is not None:
            found.append((match["quoted"] or match["other"] or "").replace("%", "%%"))
        elif not _is_of_one_case(match["name"] or match["number"] or ""):
            raise Refused(f"to_char with {match[0]}")
        elif match["quarter"] is not None:
            found.append(exp.cast(exp.Anonymous(this="QUARTER", expressions=[of.copy()]), "text"))
        elif match["number"] is not None:
            plain, trimmed = _NUMBERS[match["number"].upper()]
            written = trimmed if match["fm"] else plain
            if written is None:
                raise Refused(f"to_char with {match[0]}")
            found.append(written)
        else:
            found.append(_name(of, match["name"], is_trimmed=match["fm"] is not None))
    return found


def _is_of_one_case(word: str) -> bool:
    return word in (word.upper(), word.lower(), word.capitalize() if word.upper() in _NAMES else "")


def _name(of: exp.Expr, pattern: str, *, is_trimmed: bool) -> str | exp.Expr:
    made = _formatted(of, _NAMES[pattern.upper()])
    is_padded = pattern.upper() in ("MONTH", "DAY") and not is_trimmed
    if pattern.isupper() and pattern not in ("AM", "PM"):
        made = exp.Upper(this=made)
    elif pattern.islower():
        made = exp.Lower(this=made)
    elif pattern.upper() in ("AM", "PM") and not pattern.isupper():
        raise Refused(f"to_char with {pattern}")
    elif not is_padded:
        return _NAMES[pattern.upper()]
    if not is_padded:
        return made
    return exp.Anonymous(this="RPAD", expressions=[made, exp.Literal.number(_NAME_WIDTH), exp.Literal.string(" ")])


def _formatted(of: exp.Expr, format: str) -> exp.Expr:
    return exp.Anonymous(this="STRFTIME", expressions=[of.copy(), exp.Literal.string(format)])
