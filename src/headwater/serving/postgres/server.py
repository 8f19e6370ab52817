"""The server: connections, cancel keys, threads for the work, shutdown."""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
from typing import Final

from headwater.serving.postgres.catalog.catalogs import Catalogs
from headwater.serving.postgres.connection import Connection
from headwater.serving.postgres.encode import Encoder
from headwater.serving.postgres.workers import Workers
from headwater.serving.session import Service

_SHUTDOWN_SECONDS: Final = 10.0


class Server:
    """A listening server. `port` is the one it got when 0 was asked for."""

    def __init__(self, service: Service, tls: ssl.SSLContext | None, most_connections: int) -> None:
        self.service = service
        self.tls = tls
        self.encoder = Encoder()
        self.catalogs = Catalogs()
        self.most_connections = most_connections
        self.workers = Workers()
        self.is_closing = False
        self._connections: dict[int, Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = 0
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """How many are open just now."""
        return len(self._tasks)

    async def listen(self, host: str, port: int) -> None:
        self._server = await asyncio.start_server(self._accept, host, port, limit=2**16)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        raw = writer.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._numbers = self._numbers % (2**31 - 1) + 1
        connection = Connection(self, reader, writer, self._numbers, secrets.randbits(32))
        self._connections[connection.number] = connection
        try:
            await connection.serve()
        finally:
            del self._connections[connection.number]
            self._tasks.discard(task)

    def cancel(self, number: int, secret: int) -> None:
        """A cancel request: one with a wrong key does nothing, and is told nothing."""
        connection = self._connections.get(number)
        if connection is not None and secrets.compare_digest(connection.secret.to_bytes(4, "big"), secret.to_bytes(4, "big")):
            connection.cancel()

    async def close(self) -> None:
        """Takes no more connections, ends the idle ones, gives running statements some seconds, then stops them. Idempotent."""
        if self.is_closing:
            return
        self.is_closing = True
        assert self._server is not None
        self._server.close()
        for connection in list(self._connections.values()):
            connection.end_when_idle()
        if self._tasks:
            _, left = await asyncio.wait(list(self._tasks), timeout=_SHUTDOWN_SECONDS)
            for connection in list(self._connections.values()):
                connection.end_now()
            if left:
                _, left = await asyncio.wait(left, timeout=_SHUTDOWN_SECONDS)
            for task in left:
                task.cancel()
        self.workers.close()
        self.catalogs.close()
        self.encoder.close()


async def serve_postgres(
    service: Service, host: str, port: int, tls: ssl.SSLContext | None, *, most_connections: int = 1000
) -> Server:  # fmt: skip
    """Listens on `host`:`port` (0: any free one). With `tls` clients may, and people with passwords of their own must, speak over TLS.

    Raises OSError when the port is taken.
    """
    server = Server(service, tls, most_connections)
    await server.listen(host, port)
    return server
