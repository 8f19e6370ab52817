"""Runs the HTTP door: uvicorn in a thread of its own."""

from __future__ import annotations

import asyncio
import ssl
import threading
from pathlib import Path
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from headwater.errors import DoorClosed
from headwater.serving.http.app import HttpDoor
from headwater.serving.jobs import Monitor
from headwater.serving.limits import DoorLimits
from headwater.serving.listening import address_of, listen
from headwater.serving.session import Service

_START_SECONDS = 30


class HttpServer:
    """A running door. `certificate` and `key` are PEM files; without them, plain HTTP. Raises DoorClosed when it can't listen."""

    def __init__(
        self,
        service: Service,
        monitor: Monitor,
        host: str,
        port: int,
        *,
        certificate: Path | None = None,
        key: Path | None = None,
        limits: DoorLimits | None = None,
    ) -> None:
        limits = limits or DoorLimits()
        self.door = HttpDoor(service, monitor, limits)
        self._socket = listen(host, port)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self.is_secure = certificate is not None
        self._config = uvicorn.Config(
            self.door.app,
            http=_protocol(self.door, limits),
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=limits.connections,
            timeout_keep_alive=int(min(limits.idle, 75)),
            timeout_graceful_shutdown=5,
            h11_max_incomplete_event_size=limits.headers,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        try:
            self._config.load()
        except (OSError, ssl.SSLError) as error:
            self._socket.close()
            self.door.close()
            raise DoorClosed(
                "the certificate or its key can't be used", found=type(error).__name__, hint="look at serve: in headwater.yaml"
            ) from error
        if self._config.ssl is not None:
            self._config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        self._server = uvicorn.Server(self._config)
        self._thread = threading.Thread(target=self._run, name="headwater-http", daemon=True)
        self._ready = threading.Event()
        self._thread.start()
        self._ready.wait(_START_SECONDS)
        if not self._server.started:
            self.stop()
            raise DoorClosed(f"the HTTP door on port {port} doesn't start")

    @property
    def url(self) -> str:
        return f"{'https' if self.is_secure else 'http'}://{address_of(self.host, self.port)}"

    def reload_certificate(self, certificate: Path, key: Path) -> None:
        """New connections get this certificate."""
        if self._config.ssl is not None:
            self._config.ssl.load_cert_chain(certificate, key)

    def refuse_new(self) -> None:
        """Says on /ready, and to new queries, that the server is stopping."""
        self.door.is_stopping = True

    def stop(self) -> None:
        """Takes no more, lets answers finish for a few seconds, and ends. Idempotent."""
        self.door.is_stopping = True
        self._server.should_exit = True
        self._thread.join(15)
        self._socket.close()
        self.door.close()

    def _run(self) -> None:
        async def serve() -> None:
            running = asyncio.ensure_future(self._server.serve(sockets=[self._socket]))
            while not self._server.started and not running.done():
                await asyncio.sleep(0.01)
            self._ready.set()
            await running

        try:
            asyncio.run(serve())
        finally:
            self._ready.set()


def _protocol(door: HttpDoor, limits: DoorLimits) -> type[asyncio.Protocol]:
    class Protocol(H11Protocol):
        """Cuts connections whose request doesn't come whole in time, and tells the door which connections there are."""

        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._late = self.loop.call_later(limits.idle, transport.abort)
            if self.client is not None:
                door.transports[self.client] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            self._in_time()
            if self.client is not None:
                door.transports.pop(self.client, None)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
                if self._late is None:  # the head of a request has begun and isn't whole
                    self._late = self.loop.call_later(limits.idle, self.transport.abort)
            elif self.conn.their_state is not h11.IDLE:
                self._in_time()

        def _in_time(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

    found: Any = Protocol
    return found  # type: ignore[no-any-return]
