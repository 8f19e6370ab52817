"""Sockets that doors listen on."""

from __future__ import annotations

import socket

from headwater.errors import DoorClosed


def address_of(host: str, port: int) -> str:
    """As it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 for any that is free. Raises DoorClosed."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        found = socket.socket(family, kind, protocol)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            found.listen(2048)
            found.setblocking(False)
        except BaseException:
            found.close()
            raise
    except OSError as error:
        raise DoorClosed(
            f"{address_of(host, port)} can't be listened on", found=error.strerror, hint="another port: serve: in headwater.yaml"
        ) from error
    return found
