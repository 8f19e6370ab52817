"""Addresses of servers: which of them are this machine, and how others are spoken to. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping


def is_this_machine(host: str) -> bool:
    """Whether what is sent to `host` stays on this machine: a loopback address, `localhost`, a socket's path, or nothing."""
    name = host.strip("[]").lower()
    if not name or name.startswith(("/", "@")) or name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def postgres_tls(given: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """libpq parameters to add to the `given` ones, so that a server elsewhere is spoken to over TLS and its certificate verified.

    None where the server is this machine, or where somebody has said how: by `sslmode`, by PGSSLMODE, or by a service of pg_service.conf, which may.
    """
    hosts = (given.get("hostaddr") or given.get("host") or environ.get("PGHOSTADDR") or environ.get("PGHOST", "")).split(",")
    is_said = "sslmode" in given or "PGSSLMODE" in environ or "service" in given or "PGSERVICE" in environ
    if is_said or all(is_this_machine(host) for host in hosts):
        return {}
    root = {} if "sslrootcert" in given or "PGSSLROOTCERT" in environ else {"sslrootcert": "system"}
    return {"sslmode": "verify-full", **root}
