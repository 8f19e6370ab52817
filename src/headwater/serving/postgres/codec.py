"""Frames of the Postgres protocol (version 3.0): reading what clients send, making what they get."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from headwater.serving.postgres.fields import Field

SSL_REQUEST, GSSENC_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
PROTOCOL_3: Final = 3
#: Bytes of one message, before and after login. A query of 16 MiB is a mistake or an attack.
MOST_BEFORE_LOGIN: Final = 16_384
MOST_AFTER_LOGIN: Final = 16 * 2**20


class Malformed(Exception):
    """A frame that breaks the protocol. What it says goes to the client, then the connection is closed."""


class Payload:
    """The inside of a message, read from front to back. All methods raise Malformed at its end."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        if count < 0 or self._at + count > len(self._data):
            raise Malformed("a message ends too early")
        self._at += count
        return self._data[self._at - count : self._at]

    def int16(self) -> int:
        return int.from_bytes(self.take(2), "big", signed=True)

    def int32(self) -> int:
        return int.from_bytes(self.take(4), "big", signed=True)

    def count(self) -> int:
        number = int.from_bytes(self.take(2), "big")
        if number > len(self._data):
            raise Malformed("a message counts more than it holds")
        return number

    def text(self) -> str:
        end = self._data.find(b"\0", self._at)
        if end < 0:
            raise Malformed("a text has no end")
        raw = self._data[self._at : end]
        self._at = end + 1
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise Malformed("a text is not UTF-8") from None

    def sized(self) -> bytes | None:
        """Bytes behind their length; None for the length -1."""
        size = self.int32()
        return None if size == -1 else self.take(size)

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def end(self) -> None:
        if self._at != len(self._data):
            raise Malformed("a message is longer than it says")


async def read_startup(reader: asyncio.StreamReader) -> bytes:
    """The first message, which has no type. Raises IncompleteReadError, Malformed."""
    size = int.from_bytes(await reader.readexactly(4), "big")
    if not 8 <= size <= MOST_BEFORE_LOGIN:
        raise Malformed("the first message is no start of the Postgres protocol")
    return await reader.readexactly(size - 4)


async def read_message(reader: asyncio.StreamReader, most: int) -> tuple[bytes, Payload]:
    head = await reader.readexactly(5)
    size = int.from_bytes(head[1:], "big")
    if not 4 <= size <= most:
        raise Malformed(f"a message of {size} bytes; at most {most} are read")
    return head[:1], Payload(await reader.readexactly(size - 4) if size > 4 else b"")


def message(kind: bytes, payload: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(payload) + 4) + payload


def text(value: str) -> bytes:
    return value.replace("\0", "").encode(errors="replace") + b"\0"


def startup_parameters(payload: Payload) -> dict[str, str]:
    found: dict[str, str] = {}
    while name := payload.text():
        found[name] = payload.text()
    return found


def row_description(columns: Sequence[Field]) -> bytes:
    parts = [struct.pack("!H", len(columns))]
    for column in columns:
        wire = column.wire
        parts.append(text(column.name) + struct.pack("!ihIhih", 0, 0, wire.oid, wire.size, wire.modifier, column.format))
    return message(b"T", b"".join(parts))


def parameter_description(oids: Sequence[int]) -> bytes:
    return message(b"t", struct.pack(f"!H{len(oids)}I", len(oids), *oids))


def copy_out_response(count: int, is_binary: bool) -> bytes:
    return message(b"H", struct.pack(f"!bH{count}h", is_binary, count, *([int(is_binary)] * count)))


def parameter_status(name: str, value: str) -> bytes:
    return message(b"S", text(name) + text(value))


def ready(status: bytes) -> bytes:
    return message(b"Z", status)


def complete(tag: str) -> bytes:
    return message(b"C", text(tag))


def notice(kind: bytes, severity: str, sqlstate: str, fields: Mapping[str, str]) -> bytes:
    """An ErrorResponse (`E`) or NoticeResponse (`N`). `fields` by the protocol's letters: M message, D detail, H hint, P position."""
    parts: Iterable[bytes] = (name.encode() + text(value) for name, value in {"S": severity, "V": severity, "C": sqlstate, **fields}.items())
    return message(kind, b"".join(parts) + b"\0")


PARSE_COMPLETE = message(b"1")
BIND_COMPLETE = message(b"2")
CLOSE_COMPLETE = message(b"3")
NO_DATA = message(b"n")
EMPTY_QUERY = message(b"I")
PORTAL_SUSPENDED = message(b"s")
COPY_DONE = message(b"c")
#: COPY's binary header: signature, flags, no extension. It stands in one message with the first row (or the trailer), as Postgres has it.
COPY_BINARY_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
COPY_BINARY_TRAILER = message(b"d", struct.pack("!h", -1))


def with_copy_header(messages: bytes | memoryview) -> bytes:
    """The header put into the first of some CopyData messages."""
    size = int.from_bytes(messages[1:5], "big") + len(COPY_BINARY_HEADER)
    return b"d" + size.to_bytes(4, "big") + COPY_BINARY_HEADER + bytes(messages[5:])
