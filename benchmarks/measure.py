"""How the benchmarks measure: whole processes, wall and CPU seconds and peak memory, medians of several rounds, one after the other in one run."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds and mebibytes of one process (children included)."""

    wall: float
    cpu: float
    peak_mib: float


class Failed(Exception):
    """A measured command exited with another code than 0."""


def run(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, ok: Sequence[int] = (0,)) -> Cost:
    """Runs a command to its end and says what it cost. Raises Failed with its last words.

    Python may keep its bytecode, as an installed package does, whatever the environment says: else each start would compile this
    checkout anew, and the peers in their site-packages not.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | dict(env or {})
    started = time.perf_counter()
    with subprocess.Popen(
        list(command), cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in ok:
        raise Failed(f"{' '.join(command)} exited with {process.returncode}:\n{output.decode(errors='replace')[-2000:]}")
    return Cost(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def timed(work: Callable[[], object]) -> Cost:
    """What a call in this process costs (its peak memory is the process's own so far)."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    work()
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss / 1024)


def median(costs: Sequence[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(cost, field) for cost in costs) for field in ("wall", "cpu", "peak_mib")))


def interleaved(rounds: int, work: Mapping[str, Callable[[], Cost]]) -> dict[str, Cost]:
    """Each piece of work once a round, in turn, so that noise falls on all of them; the medians by name."""
    costs: dict[str, list[Cost]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, one in work.items():
            costs[name].append(one())
    return {name: median(several) for name, several in costs.items()}


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def machine() -> str:
    """One line on where and when this was measured."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        model = next((line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({model or platform.machine()}), {memory:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def headwater() -> str:
    """The installed command beside this interpreter."""
    return str(Path(sys.executable).parent / "headwater")
