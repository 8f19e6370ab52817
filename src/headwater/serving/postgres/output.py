"""What a connection sends: gathered in memory until it is worth a write, and large answers piece by piece."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

#: Bytes that wait to be sent before we do.
_FLUSH_BYTES: Final = 2**16
_PIECE_BYTES: Final = 2**18


class Output:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._out = bytearray()

    @property
    def is_full(self) -> bool:
        return len(self._out) > _FLUSH_BYTES

    def send(self, data: bytes | memoryview) -> None:
        self._out += data

    async def flush(self) -> None:
        if self._out:
            out, self._out = self._out, bytearray()
            self._writer.write(out)
            await self._writer.drain()

    async def stream(self, data: bytes | memoryview) -> None:
        """Sends what may be large, piece by piece: what the socket doesn't take at once is copied for each piece that it takes later."""
        if len(data) <= _FLUSH_BYTES:
            self.send(data)
            if self.is_full:
                await self.flush()
            return
        await self.flush()
        view = memoryview(data)
        for start in range(0, len(view), _PIECE_BYTES):
            self._writer.write(view[start : start + _PIECE_BYTES])
            await self._writer.drain()

    async def send_last(self, message: bytes) -> None:
        """What waits, and `message`; a client that is gone isn't waited for."""
        try:
            self._writer.write(bytes(self._out) + message)
            async with asyncio.timeout(2):
                await self._writer.drain()
        except (OSError, TimeoutError, ssl.SSLError):
            pass  # the client is gone
