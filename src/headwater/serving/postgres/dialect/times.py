"""Dates and times, where Postgres and DuckDB differ; and `to_char`, which prints them and numbers."""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp

from headwater.serving.postgres.dialect.kinds import (
    DATES,
    DECIMALS,
    INTEGERS,
    INTERVALS,
    TIMESTAMPS,
    ZONED,
    Rule,
    no_more,
    of_kind,
    plain_text,
    typed,
)
from headwater.serving.postgres.dialect.number_formats import number_to_char
from headwater.serving.postgres.dialect.refusal import Refused
from headwater.serving.postgres.dialect.time_formats import read_time, to_char
from headwater.serving.postgres.dialect.written import holds, once, written

_PARTS: Final = frozenset(
    [
        "year",
        "month",
        "day",
        "hour",
        "minute",
        "second",
        "epoch",
        "dow",
        "isodow",
        "doy",
        "week",
        "quarter",
        "decade",
        "century",
        "isoyear",
        "millennium",
        "microseconds",
        "milliseconds",
    ]
)


def _extract(node: exp.Expr) -> exp.Expr:
    """Extract gives numeric: whole where it is whole, seconds with six digits."""
    part = str(node.this.name).lower()
    of = node.args["expression"]
    if part not in _PARTS - {"millennium"}:
        raise Refused(f"extract of {part}")
    if of_kind(of, INTERVALS):
        return _extract_from_interval(part, of)
    if not of_kind(of, DATES | TIMESTAMPS):
        raise Refused("extract from what isn't known to be a date, a timestamp or an interval")
    if part in ("second", "milliseconds"):
        if of_kind(of, DATES):
            raise Refused(f"extract of {part} from a date")
        micros = exp.cast(exp.Anonymous(this="DATE_PART", expressions=[exp.Literal.string("microseconds"), of.copy()]), "decimal(18,0)")
        scale = ("0.000001", "decimal(7,6)") if part == "second" else ("0.001", "decimal(4,3)")
        return exp.paren(exp.Mul(this=micros, expression=exp.cast(exp.Literal.number(scale[0]), scale[1])))
    if part == "epoch":
        if of_kind(of, DATES):
            days = exp.cast(exp.Anonymous(this="EPOCH", expressions=[of.copy()]), "bigint")
            return typed(days, "decimal(38,0)")
        micros = exp.cast(exp.Anonymous(this="EPOCH_US", expressions=[of.copy()]), "decimal(20,0)")
        return exp.paren(exp.Mul(this=micros, expression=exp.cast(exp.Literal.number("0.000001"), "decimal(7,6)")))
    return typed(node.copy(), "decimal(18,0)")


#: What a year, a month and so on count in an interval's epoch, in seconds. A year is 365.25 days, a month 30.
_EPOCH_SECONDS: Final = {"year": 31_557_600, "month": 2_592_000, "day": 86_400, "hour": 3600, "minute": 60}


def _extract_from_interval(part: str, of: exp.Expr) -> exp.Expr:
    def made(interval: str) -> str:
        def field(name: str) -> str:
            return f"date_part('{name}', {interval})"

        micros = f"CAST({field('microseconds')} AS DECIMAL(18, 0))"
        match part:
            case "second":
                return f"{micros} * CAST(0.000001 AS DECIMAL(7, 6))"
            case "milliseconds":
                return f"{micros} * CAST(0.001 AS DECIMAL(4, 3))"
            case "epoch":
                whole = " + ".join(f"{field(name)} * {seconds}" for name, seconds in _EPOCH_SECONDS.items())
                return f"CAST({whole} AS DECIMAL(20, 0)) + {micros} * CAST(0.000001 AS DECIMAL(7, 6))"
            case "year" | "month" | "day" | "hour" | "minute" | "microseconds":
                return f"CAST({field(part)} AS DECIMAL(18, 0))"
            case _:
                raise Refused(f"extract of {part} from an interval")

    return written(once(made, of), "decimal(38,6)" if part in ("second", "milliseconds", "epoch") else "decimal(18,0)", of)


def _age(node: exp.Expr) -> exp.Expr:
    """From the second to the first, in years, months, days and a time, whichever is the later; of one, up to today's midnight. Both count alike, but
    infinite ones, which make the query fail."""
    given = node.expressions if len(node.expressions) != 1 else [exp.CurrentDate(), node.expressions[0]]
    if len(given) != 2 or not all(of_kind(one, DATES | TIMESTAMPS) or isinstance(one, exp.CurrentDate) for one in given):
        raise Refused("age of what isn't known to be a date or a timestamp")

    def made(later: str, earlier: str) -> str:
        fails = "CAST(CAST('age of an infinite time' AS TINYINT) AS INTERVAL)"
        are_finite = f"isfinite({later}) AND isfinite({earlier})"
        return f"CASE WHEN {are_finite} THEN age({later}, {earlier}) WHEN {later} = {earlier} IS NOT NULL THEN {fails} END"

    return written(once(made, *(exp.cast(one.copy(), "timestamp") for one in given)), "interval", *given)


def _date_part(node: exp.Expr) -> exp.Expr:
    arguments = node.expressions
    part = plain_text(arguments[0], "the field of date_part").lower()
    made = _extract(exp.Extract(this=exp.var(part), expression=arguments[1]))
    return typed(made, "double")


def _truncate(node: exp.Expr) -> exp.Expr:
    no_more(node, "this", "unit", "input_type_preserved")
    of = node.this
    unit = str(node.args["unit"].name).lower()
    if unit not in ("microseconds", "milliseconds", "second", "minute", "hour", "day", "week", "month", "quarter", "year", "decade", "century"):
        raise Refused(f"date_trunc to {unit}")
    if of_kind(of, DATES):
        return typed(exp.Anonymous(this="DATE_TRUNC", expressions=[exp.Literal.string(unit), typed(of.copy(), "timestamptz")]), "timestamptz")
    if not of_kind(of, TIMESTAMPS):
        raise Refused("date_trunc of what isn't known to be a date or a timestamp")
    made = exp.Anonymous(this="DATE_TRUNC", expressions=[exp.Literal.string(unit), of.copy()])
    made.type = of.type
    return made


def _to_char(node: exp.Expr) -> exp.Expr:
    of, format = (node.expressions + [None, None])[:2]
    if not (isinstance(format, exp.Literal) and format.is_string and len(node.expressions) == 2):
        raise Refused("to_char with a format that isn't a plain text")
    if of_kind(of, INTEGERS | DECIMALS) and not holds(of, exp.Ceil, exp.Floor):  # of double precision they are that, whatever their type says
        return number_to_char(of, format.name)
    if not of_kind(of, DATES | TIMESTAMPS):
        raise Refused("to_char of what isn't known to be a date, a timestamp, an integer or a numeric")
    return to_char(of, format.name)


def _interval(node: exp.Expr) -> exp.Expr:
    """Written once more as one text, which both read alike."""
    of, unit = node.this, node.args.get("unit")
    if not isinstance(of, exp.Literal):
        raise Refused("an interval that isn't a plain text")
    text = f"{of.this} {unit.name if unit is not None else ''}".strip().lower()
    if not re.fullmatch(r"([+-]?\d+ *(microsecond|millisecond|second|minute|hour|day|week|mon|month|year|decade|sec|min)s?\s*)+", text):
        raise Refused("this interval; write numbers with their units")
    made = exp.cast(exp.Literal.string(re.sub(r"\bmons?\b", "months", text)), "interval")
    made.type = exp.DataType.build("interval")
    return made


_UTC: Final = frozenset({"utc", "gmt", "etc/utc", "etc/gmt", "zulu", "etc/zulu", "uct", "etc/uct", "universal", "etc/universal"})
#: Zones that both know alike, from 1970 on. Abbreviations (PST, CET) are others there than here, and offsets (+02) have another sign.
_ZONE: Final = re.compile(r"(Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific)/[A-Za-z_/-]+")


def _at_time_zone(node: exp.Expr) -> exp.Expr:
    return _in_zone(node.this, node.args["zone"])


def _timezone(node: exp.Expr) -> exp.Expr:
    """What AT TIME ZONE is in Postgres."""
    if len(node.expressions) != 2:
        raise Refused("timezone without a zone")
    return _in_zone(node.expressions[1], node.expressions[0])


def _in_zone(of: exp.Expr, zone: exp.Expr) -> exp.Expr:
    """A time with a zone becomes one without, and the other way round. Earlier than 1970 they know most zones otherwise: the query fails."""
    if not of_kind(of, TIMESTAMPS):
        raise Refused("AT TIME ZONE of what isn't known to be a timestamp")
    name = plain_text(zone, "a time zone")
    is_utc = name.lower() in _UTC
    if not (is_utc or _ZONE.fullmatch(name)):
        raise Refused(f"the time zone {name}; write UTC or the name of a place: Europe/Oslo")
    has_zone = of_kind(of, ZONED)
    type, other = ("timestamptz", "timestamp") if has_zone else ("timestamp", "timestamptz")

    def made(time: str) -> str:
        in_zone = f"timezone('{'UTC' if is_utc else name}', {time})"
        if is_utc:
            return in_zone
        fails = f"CAST(CAST('a time before 1970 in a zone other than UTC' AS TINYINT) AS {other})"
        return f"CASE WHEN {time} < CAST('1970-01-02' AS {type}) AND isfinite({time}) THEN {fails} ELSE {in_zone} END"

    return written(once(made, exp.cast(of.copy(), type)), other, of)


def _read_time(type: str) -> Rule:
    """`to_date` and `to_timestamp` of a text that stands in the query, as tools write a bound."""

    def rule(node: exp.Expr) -> exp.Expr:
        if len(node.expressions) != 2 or not all(isinstance(one, exp.Literal) and one.is_string for one in node.expressions):
            raise Refused("to_date and to_timestamp of anything but a text and a pattern written out")
        text, pattern = node.expressions
        return exp.cast(exp.Literal.string(read_time(text.name, pattern.name)), type)

    return rule


def _called_as(name: str, type: str) -> Rule:
    """Without parentheses DuckDB takes it for a column of the answer, where one is called so."""

    def rule(node: exp.Expr) -> exp.Expr:
        no_more(node)
        made = exp.Anonymous(this=name)
        made.type = exp.DataType.build(type)
        return made

    return rule


TIME_RULES: Final[dict[str, Rule]] = {
    "CurrentTimestamp": _called_as("NOW", "timestamptz"),
    "CurrentDate": _called_as("TODAY", "date"),
    "Extract": _extract,
    "TimestampTrunc": _truncate,
    "Interval": _interval,
    "AtTimeZone": _at_time_zone,
    "age()": _age,
    "timezone()": _timezone,
    "hw_kept_to_char()": _to_char,
    "hw_kept_to_date()": _read_time("date"),
    "hw_kept_to_timestamp()": _read_time("timestamptz"),
    "hw_kept_date_part()": _date_part,
}
