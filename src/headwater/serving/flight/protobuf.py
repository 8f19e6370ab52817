"""Protocol Buffers' wire format, as far as Flight SQL's commands need it: read strictly, written plainly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

_PREFIX: Final = "type.googleapis.com/arrow.flight.protocol.sql."
_MOST_FIELDS: Final = 10_000


class Malformed(ValueError):
    """The bytes are no message."""


class Fields:
    """The fields of one message. A field that should be there once counts by its last value, as the format wants."""

    def __init__(self, data: bytes) -> None:
        self._values: dict[int, list[int | bytes]] = {}
        for count, (number, value) in enumerate(_read(data)):
            if count >= _MOST_FIELDS:
                raise Malformed("too many fields")
            self._values.setdefault(number, []).append(value)

    def __str__(self) -> str:
        """All of them by number, as people can read them: `2='marts' 3='rev%'`."""
        texts = (
            (number, value if isinstance(value, int) else value.decode(errors="replace")) for number, all_ in self._values.items() for value in all_
        )
        return " ".join(f"{number}={value!r}" for number, value in texts)

    def data(self, number: int) -> bytes | None:
        value = self._values.get(number, [None])[-1]
        if isinstance(value, int):
            raise Malformed(f"field {number} is a number")
        return value

    def text(self, number: int) -> str | None:
        value = self.data(number)
        return None if value is None else _text(value)

    def texts(self, number: int) -> list[str]:
        values = self._values.get(number, [])
        if any(isinstance(value, int) for value in values):
            raise Malformed(f"field {number} is a number")
        return [_text(value) for value in values if isinstance(value, bytes)]

    def flag(self, number: int) -> bool:
        return bool(self.number(number))

    def number(self, number: int) -> int | None:
        value = self._values.get(number, [None])[-1]
        if isinstance(value, bytes):
            raise Malformed(f"field {number} is no number")
        return value

    def numbers(self, number: int) -> list[int]:
        """A repeated number, packed or not."""
        found: list[int] = []
        for value in self._values.get(number, []):
            if isinstance(value, int):
                found.append(value)
                continue
            position = 0
            while position < len(value):
                one, position = _varint(value, position)
                found.append(one)
        return found


def unpack(data: bytes) -> tuple[str, Fields]:
    """The name (`CommandStatementQuery`) and the fields of a message inside an Any. Raises Malformed."""
    outer = Fields(data)
    url, value = outer.text(1), outer.data(2)
    if not url or not url.startswith(_PREFIX):
        raise Malformed("it is no command of Flight SQL")
    return url.removeprefix(_PREFIX), Fields(value or b"")


def pack(name: str, message: bytes) -> bytes:
    """A message inside an Any."""
    return write({1: f"{_PREFIX}{name}".encode(), 2: message})


def write(fields: Mapping[int, bytes | int]) -> bytes:
    parts = bytearray()
    for number, value in fields.items():
        if isinstance(value, int):
            parts += _write_varint(number << 3) + _write_varint(value)
        else:
            parts += _write_varint(number << 3 | 2) + _write_varint(len(value)) + value
    return bytes(parts)


def _read(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise Malformed("field 0")
        if kind == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if kind == 2:
            length, position = _varint(data, position)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise Malformed(f"wire type {kind}")
        if length > len(data) - position:
            raise Malformed("it ends too early")
        yield number, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise Malformed("it ends too early")
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (2**64 - 1), position
    raise Malformed("a number is too long")


def _write_varint(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Malformed("a text isn't UTF-8") from None
