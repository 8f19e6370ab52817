"""What a run shows while it runs: redrawn lines on a terminal, a plain log anywhere else."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from headwater.cli.screen import STYLES, format_bytes, format_number, format_seconds, screen
from headwater.spec.counting import plural

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from headwater.spec.names import TableName
    from headwater.spec.runs import Event

#: What is being done, and what was done, in a word.
DOING = {"load": "loading", "build": "building", "replay": "replaying", "view": "defining", "retire": "retiring", "reload": "reloading"}
DONE = {
    "load": "loaded",
    "build": "built",
    "replay": "replayed",
    "drop": "dropped",
    "view": "defined",
    "retire": "retired",
    "reload": "reloaded",
    "publish": "published",
    "rollback": "rolled back",
    "discard": "discarded",
}
#: With more skipped tables than this, they are counted at the end instead of named one by one.
MAX_SKIPS_NAMED = 40


class RunDisplay(Protocol):
    def on_event(self, event: Event) -> None:
        """Takes what happened, from any thread."""
        ...


@contextmanager
def run_display(*, json: bool) -> Iterator[RunDisplay]:
    """A display for one run: live where a person looks on, else a log; with `json` always a log, for stdout is for the answer."""
    if json or not screen.is_live:
        yield _Log()
        return
    live = _Live()
    with live.shown():
        yield live


@dataclass(slots=True)
class _Task:
    table: TableName
    operation: str
    begun: float
    rows: int = 0
    size_bytes: int = 0
    note: str = ""


def outcome(status: str, operation: str) -> str:
    """`loaded`, `built`, `held`, `failed`: a task's end in a word."""
    return DONE.get(operation, operation) if status == "succeeded" else status


def figures(data: Mapping[str, Any]) -> str:
    """`1,234 rows, 12 kB, 3 to quarantine`, as far as there is something to say."""
    parts = []
    if data.get("rows_written"):
        parts.append(plural(data["rows_written"], "row"))
    if data.get("rows_deleted"):
        parts.append(f"{format_number(data['rows_deleted'])} deleted")
    if data.get("size_bytes"):
        parts.append(format_bytes(data["size_bytes"]))
    if data.get("rows_rejected"):
        parts.append(f"{format_number(data['rows_rejected'])} to quarantine")
    return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class _Finished:
    """A task's end in words: how, what it did, and why."""

    word: str
    table: str
    said: str
    reason: str
    status: str

    @classmethod
    def of(cls, event: Event) -> _Finished:
        status, operation = str(event.data.get("status", "")), str(event.data.get("operation", "build"))
        said = figures(event.data)
        if status not in ("skipped", "blocked"):
            seconds = format_seconds(float(event.data.get("seconds", 0)))
            said = f"{said}, {seconds}" if said else seconds
        reason = "" if status == "succeeded" else str(event.data.get("reason") or "").partition("\n")[0].replace("   ", "  ")
        return cls(outcome(status, operation), str(event.table), said, reason, status)

    @property
    def plain(self) -> str:
        return " ".join(f"{self.word} {self.table} {self.said} {self.reason}".split())

    @property
    def styled(self) -> Text:
        from rich.text import Text

        style = STYLES.get(self.status, "")
        line = Text("  ").append(f"{self.word:<10}", style=style).append(f" {self.table:<36}").append(f" {self.said}")
        if self.reason:
            line.append(f"  {self.reason}", style="dim" if self.status == "skipped" else style)
        line.rstrip()
        return line


class _Display:
    """Keeps what runs; subclasses say it. Events come from the threads of the run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[TableName, _Task] = {}
        self._skipped = 0
        self._finished = 0
        self._computed = 0
        self._total = 0

    def on_event(self, event: Event) -> None:
        with self._lock:
            self._take(event)

    def _take(self, event: Event) -> None:
        table = event.table
        match event.name:
            case "run_started":
                self._total = int(event.data.get("tables", 0))
            case "task_started" if table is not None:
                self._running[table] = _Task(table, str(event.data.get("operation", "build")), monotonic())
                self._started(self._running[table], event.at)
            case "task_progressed" if table is not None and table in self._running:
                task = self._running[table]
                task.rows = int(event.data.get("rows", task.rows))
                task.size_bytes = int(event.data.get("size_bytes", task.size_bytes))
            case "task_computed" if table is not None and table in self._running:
                self._computed += 1
                del self._running[table]
            case "retry_scheduled" if table is not None:
                reason = str(event.data.get("error") or event.data.get("code") or "")
                if table in self._running:
                    self._running[table].note = f"waiting to try again: {reason}"
                self._said(f"{table} will be tried again: {reason}", event.at)
            case "columns_dropped" if table is not None:
                self._noted(f"{table} lost columns that its definition no longer has: {', '.join(event.data.get('columns', ()))}", event.at)
            case "stop_requested" if self._running:
                self._said("stopping; code of yours that runs is waited for, and Ctrl-C again ends all at once", event.at)
            case "task_finished" if table is not None:
                self._running.pop(table, None)
                self._finished += 1
                if event.data.get("status") == "skipped":
                    self._skipped += 1
                    if self._skipped > MAX_SKIPS_NAMED:
                        return
                self._ended(event)

    def _started(self, task: _Task, at: datetime) -> None:
        raise NotImplementedError

    def _said(self, text: str, at: datetime) -> None:
        raise NotImplementedError

    def _noted(self, text: str, at: datetime) -> None:
        raise NotImplementedError

    def _ended(self, event: Event) -> None:
        raise NotImplementedError


class _Log(_Display):
    """A line for each thing that happened, with the time: for files, CI and other programs."""

    def _started(self, task: _Task, at: datetime) -> None:
        self._said(f"{DOING.get(task.operation, task.operation)} {task.table}", at)

    def _said(self, text: str, at: datetime) -> None:
        screen.note(f"{at.astimezone():%H:%M:%S} {text}")

    def _noted(self, text: str, at: datetime) -> None:
        self._said(text, at)

    def _ended(self, event: Event) -> None:
        screen.note(f"{event.at.astimezone():%H:%M:%S} {_Finished.of(event).plain}")


class _Live(_Display):
    """Finished tasks scroll by, running ones stand below them with a clock."""

    @contextmanager
    def shown(self) -> Iterator[None]:
        from rich.live import Live

        with Live(get_renderable=self._draw, console=screen.console(), refresh_per_second=8, transient=True) as self._live:
            yield

    def _started(self, task: _Task, at: datetime) -> None:
        pass

    def _said(self, text: str, at: datetime) -> None:
        pass

    def _noted(self, text: str, at: datetime) -> None:
        self._live.console.print(text, highlight=False, markup=False)

    def _ended(self, event: Event) -> None:
        self._live.console.print(_Finished.of(event).styled)

    def _draw(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        now = monotonic()
        with self._lock:
            lines = []
            for task in list(self._running.values())[:12]:
                said = figures({"rows_written": task.rows, "size_bytes": task.size_bytes})
                clock = format_seconds(now - task.begun)
                line = Text("  ").append(f"{DOING.get(task.operation, task.operation):<10}", style="cyan")
                lines.append(line.append(f" {task.table!s:<36} {said + ', ' if said else ''}{clock}{'  ' + task.note if task.note else ''}"))
            if self._total:
                waiting = max(0, self._computed - self._finished)
                note = f", {waiting} more computed and to be committed" if waiting else ""
                lines.append(Text(f"  {self._finished} of {plural(self._total, 'table')}{note}", style="dim"))
        return Group(*lines)
