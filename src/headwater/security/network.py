"""From where one may come, and how much at once."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from headwater.errors import LimitReached
from headwater.security.principals import Principal
from headwater.spec.policies import Limits, Policies

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_FIELDS: Final = ("rows", "bytes", "memory", "seconds", "concurrency")


def is_welcome(policies: Policies, principal: Principal) -> bool:
    """Whether the allow-lists let the principal come from their address.

    Every list about them must hold it: that of the door, that of the user, and those of all their roles. Who is named in none may come from anywhere.
    Where a list is, an address nobody knows isn't on it; but the local door has none, and isn't asked for one.
    """
    if principal.kind == "owner":
        return True
    network = policies.network
    lists = [network.doors[principal.door]] if principal.door in network.doors else []
    lists += [networks for name, networks in network.users.items() if name.lower() == principal.name.lower()]
    lists += [networks for role, networks in network.roles.items() if role in principal.roles]
    if not lists or (principal.door == "local" and principal.address is None):
        return True
    address = _parse(principal.address)
    return address is not None and all(any(_is_in(address, text) for text in networks) for networks in lists)


def _parse(text: str | None) -> _Address | None:
    """An address as servers see it; IPv4 in IPv6's clothes is IPv4."""
    if text is None:
        return None
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped if mapped is not None else address


def _is_in(address: _Address, text: str) -> bool:
    network = ipaddress.ip_network(text)
    return network.version == address.version and address in network


def limits_of(policies: Policies, principal: Principal) -> Limits:
    """The limits of all the principal's roles united: the smallest of each wins. The owner has none."""
    if principal.kind == "owner":
        return Limits()
    found = [policies.roles[role].limits for role in sorted(principal.roles) if role in policies.roles]
    return Limits.model_validate(
        {name: min(values) for name in _FIELDS if (values := [value for one in found if (value := getattr(one, name)) is not None])}
    )


class Turns:
    """How many statements each principal runs at once, in this process. Thread-safe."""

    def __init__(self) -> None:
        self._running: dict[str, int] = {}
        self._lock = threading.Lock()

    def running(self, name: str) -> int:
        with self._lock:
            return self._running.get(name, 0)

    @contextmanager
    def one(self, principal: Principal, limits: Limits) -> Iterator[None]:
        """One statement's time. Raises LimitReached at once when as many are running as `limits.concurrency` allows."""
        self.begin(principal, limits)
        try:
            yield
        finally:
            self.end(principal)

    def begin(self, principal: Principal, limits: Limits) -> None:
        """What `one` does before; `end` must follow. For results that outlive a call."""
        with self._lock:
            running = self._running.get(principal.name, 0)
            if limits.concurrency is not None and running >= limits.concurrency:
                raise LimitReached(
                    f"{principal.name} runs as many statements as allowed at once",
                    expected=f"at most {limits.concurrency}",
                    hint="wait until one of them has ended",
                )
            self._running[principal.name] = running + 1

    def end(self, principal: Principal) -> None:
        with self._lock:
            left = self._running[principal.name] - 1
            if left:
                self._running[principal.name] = left
            else:
                del self._running[principal.name]
