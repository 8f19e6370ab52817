"""Somebody between a destination and its server, who can hang up in the middle, and speak TLS towards the destination."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Middleman:
    """Carries bytes both ways. After `hangs_up_after` bytes from the destination both ends are closed, and nobody is let in while `is_away`."""

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext | None) -> None:
        self.hangs_up_after: int | None = None
        self.is_away = False
        self._address = address
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._is_over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, work: object, *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments)  # type: ignore[arg-type]  # a method of ours
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        self._listener.settimeout(0.1)
        while not self._is_over.is_set():
            with suppress(TimeoutError):
                self._start(self._carry, self._listener.accept()[0])
        self._listener.close()

    def _carry(self, near: socket.socket) -> None:
        with near, suppress(OSError):
            if self.is_away:
                return
            wrapped = near if self._tls is None else self._tls.wrap_socket(near, server_side=True)
            with wrapped, socket.create_connection(self._address) as far:
                self._exchange(wrapped, far)

    def _exchange(self, near: socket.socket, far: socket.socket) -> None:
        while not self._is_over.is_set():
            pending = isinstance(near, ssl.SSLSocket) and near.pending()
            ready = [near] if pending else select.select([near, far], [], [], 0.1)[0]
            for one in ready:
                data = one.recv(4096)
                if not data:
                    return
                if one is near and self.hangs_up_after is not None:
                    self.hangs_up_after -= len(data)
                    if self.hangs_up_after < 0:
                        self.hangs_up_after = None
                        return
                (far if one is near else near).sendall(data)

    def close(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()


@contextmanager
def middleman(host: str, port: int, tls: ssl.SSLContext | None = None) -> Iterator[Middleman]:
    made = Middleman((host, port), tls)
    try:
        yield made
    finally:
        made.close()
