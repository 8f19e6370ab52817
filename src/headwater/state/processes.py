"""Which process we are, and whether another one still lives."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told apart from later ones with the same number.

    `machine` covers boot and process namespace, so that a container's pid 1 isn't taken for another's; `born` is the kernel's start time of the
    process, where it tells.
    """

    host: str
    pid: int
    machine: str
    born: str

    @property
    def identity(self) -> str:
        """One text for storing: what `is_alive` takes."""
        return f"{self.machine}|{self.pid}|{self.born}"


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


@cache
def _machine() -> str:
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}/{_read('/proc/sys/kernel/random/boot_id')}/{namespace}"


def _born(pid: int) -> str:
    """Start time of a process in clock ticks since boot; empty where the system doesn't tell (macOS)."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def current_process() -> Process:
    """The calling process. Not cached: a fork is another process."""
    pid = os.getpid()
    return Process(socket.gethostname(), pid, _machine(), _born(pid))


def is_alive(identity: str) -> bool | None:
    """Whether the process with this `Process.identity` runs; None when it ran on another machine (or before a reboot of one we can't tell apart)."""
    machine, _, rest = identity.partition("|")
    pid_text, _, born = rest.partition("|")
    if machine != _machine():
        same_host = machine.split("/")[0] == _machine().split("/")[0]
        rebooted = same_host and machine.split("/")[1:2] != _machine().split("/")[1:2] and machine.split("/")[2:] == _machine().split("/")[2:]
        return False if rebooted else None
    try:
        os.kill(int(pid_text), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    state = _read(f"/proc/{pid_text}/stat").rpartition(")")[2].split()
    if state[:1] == ["Z"]:
        return False
    return not (born and state and _born(int(pid_text)) != born)
