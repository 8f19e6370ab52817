"""What one server takes and gives at most."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Below it a process is left alone: its threads' stacks and its libraries need some room however small the machine is.
_LEAST_BYTES: Final = 4 * 2**30
_CONTAINER: Final = Path("/sys/fs/cgroup/memory.max")


def hold_memory() -> None:
    """This process takes nine tenths of the machine's (or container's) memory at most; Linux alone.

    The engine's own limit doesn't count the values it is working on, and one of them may be as large as a number in a statement says. Beyond this
    limit the statement fails that asked for it; without, the system would end the process, and everybody's statements with it.
    """
    if sys.platform != "linux":
        return
    import resource

    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        there = min(there, int(_CONTAINER.read_text()))
    except (OSError, ValueError):
        pass  # not in a container, or in one without a limit ("max")
    before, most = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = max(there * 9 // 10, _LEAST_BYTES)
    if before == resource.RLIM_INFINITY or before > wanted:
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, most))


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """Bytes of a request's body (and of a statement), of its headers; seconds of a query, and of waiting for a client that doesn't read or send;
    queries at once and how long, in seconds, one waits for its turn; connections of HTTP; rows of a page."""

    body: int = 2**20
    headers: int = 32 * 2**10
    seconds: float = 300.0
    idle: float = 60.0
    queries: int = 32
    wait: float = 10.0
    connections: int = 1000
    page: int = 10_000
    default_page: int = 1000
