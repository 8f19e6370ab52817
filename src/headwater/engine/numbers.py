"""Numbers of Python's as the engine takes them for what they are."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from headwater.errors import UsageError

#: Digits of the engine's widest decimal.
_MOST_DIGITS: Final = 38


def as_they_are(parameters: Sequence[Any] | dict[str, Any]) -> list[Any] | dict[str, Any]:
    """The engine reads a Decimal's power of ten as if it were its places: `Decimal("12E+2")` would be 12.00. Raises UsageError."""
    if isinstance(parameters, dict):
        return {name: _as_it_is(value) for name, value in parameters.items()}
    return [_as_it_is(value) for value in parameters]


def _as_it_is(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_it_is(item) for item in value]
    if isinstance(value, dict):
        return {name: _as_it_is(item) for name, item in value.items()}
    if not isinstance(value, Decimal) or not value.is_finite():
        return value
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    if -_MOST_DIGITS <= exponent <= 0:
        return value
    if exponent > 0 and len(digits) + exponent <= _MOST_DIGITS:
        return Decimal((sign, digits + (0,) * exponent, 0))
    rounded = float(value)
    if abs(rounded) == float("inf"):
        raise UsageError("a number is larger than any the engine has", expected="up to 1.8e308")
    return rounded
