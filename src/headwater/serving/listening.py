"""Sockets that doors listen on."""

from __future__ import annotations

import errno
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
        raise closed(host, port, error) from error
    return found


def closed(host: str, port: int, error: OSError) -> DoorClosed:
    """What is raised where nobody can listen there."""
    is_elsewhere = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
    other = "an address of this machine" if is_elsewhere else "another port"
    hint = f"give {other}: serve: in headwater.yaml, or an option"
    return DoorClosed(f"{address_of(host, port)} can't be listened on", found=error.strerror, hint=hint)
