"""What all resources share: frozen, nothing unknown accepted, durations as people write them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_WORDS = {"millisecond": "ms", "second": "s", "sec": "s", "minute": "m", "min": "m", "hour": "h", "hr": "h", "day": "d", "week": "w"}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")


def parse_duration(text: object) -> timedelta:
    """A duration from `10 minutes`, `1 day`, `36h`, `1h 30m`. Raises ValueError for anything else."""
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str):
        raise ValueError("expected a duration such as '10 minutes', '1 day' or '36h'")
    total, rest = timedelta(), text.strip().lower()
    position = 0
    for match in _DURATION.finditer(rest):
        if rest[position : match.start()].strip(" ,"):
            break
        unit = match[2] if match[2] in _UNITS else _WORDS.get(match[2].removesuffix("s"))
        if unit is None:
            break
        total += float(match[1]) * _UNITS[unit]
        position = match.end()
    if position == 0 or rest[position:].strip():
        raise ValueError(f"{text!r} is not a duration; expected one such as '10 minutes', '1 day' or '36h'")
    return total


def format_duration(value: timedelta) -> str:
    """The shortest text `parse_duration` reads back: `3 days`, `90 minutes`, `0 s`."""
    seconds = value.total_seconds()
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds and seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {word}{'s' if count != 1 else ''}"  # to be read again: without commas
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + " s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["10 minutes", "1 day", "36h"]}),
]


_SIZES = {"b": 1, **{f"{letter}{end}": base**power for power, letter in enumerate("kmgt", 1) for end, base in (("b", 1000), ("ib", 1024))}}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")


def parse_size(value: object) -> int:
    """Bytes from `512MB`, `1.5 GiB` or a whole number. Raises ValueError for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if match is None or match[2] not in _SIZES:
        raise ValueError(f"{value!r} is no number of bytes; expected one such as '512MB' or '2GiB'")
    return int(float(match[1]) * _SIZES[match[2]])


Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "examples": ["512MB", "2GiB"]}]}),
]


class Resource(BaseModel):
    """A frozen, hashable definition. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False, arbitrary_types_allowed=True, defer_build=True)


def one_or_many(value: Any) -> Any:
    """`id` for `[id]`: a lone string where a list of strings is meant."""
    return [value] if isinstance(value, str) else value


Strings = Annotated[
    tuple[str, ...],
    BeforeValidator(one_or_many),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
