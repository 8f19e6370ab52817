"""Named instants around every commit, at which a crash test can kill the process.

`reached` does nothing unless the environment variable HEADWATER_KILL_AT is set to `name:n`: the n-th time (from 1) that `name` is reached, the
process sends itself SIGKILL, or with `name:n:stop` SIGSTOP. `*` stands for any name, counted together.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Final

#: Every name the package passes to `reached`, in the order a run reaches them. Rooms above storage add theirs with `register`.
NAMES: Final[list[str]] = [
    "lake.create",
    "lake.staged",
    "commit.locked",
    "commit.prepared",
    "commit.begun",
    "commit.fenced",
    "commit.evolved",
    "commit.deleted",
    "commit.inserted",
    "commit.recorded",
    "commit.before",
    "commit.after",
    "publish.before",
    "publish.after",
    "maintain.merged",
    "maintain.expired",
    "maintain.cleaned",
]
VARIABLE: Final = "HEADWATER_KILL_AT"

_count = 0
_lock = threading.Lock()


def register(*names: str) -> None:
    """Makes further names known to those who iterate over `NAMES`."""
    NAMES.extend(name for name in names if name not in NAMES)


def reached(name: str) -> None:
    """Marks that the process has come to the instant `name`."""
    target = os.environ.get(VARIABLE)
    if not target:
        return
    wanted, _, rest = target.partition(":")
    number, _, how = rest.partition(":")
    if wanted not in (name, "*"):
        return
    global _count
    with _lock:
        _count += 1
        is_due = _count == int(number or "1")
    if is_due:
        os.kill(os.getpid(), signal.SIGSTOP if how == "stop" else signal.SIGKILL)
