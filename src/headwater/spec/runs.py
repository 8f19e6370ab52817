"""A run, its tasks, and what is told about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from headwater.spec.checks import Verdict
from headwater.spec.names import TableName

TaskStatus = Literal["waiting", "running", "succeeded", "held", "failed", "skipped", "blocked", "cancelled"]
RunStatus = Literal["running", "succeeded", "failed", "cancelled", "crashed"]
Operation = Literal["load", "build", "replay", "drop", "publish", "rollback", "discard", "reload", "view", "retire"]


@dataclass(frozen=True, slots=True)
class Interval:
    """Half open: [start, end)."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class TaskResult:
    """How one task ended. `reason` says why it was done, skipped, held, blocked or failed, and in further lines what else is to be known.

    It never holds values of rows, but for the dates of a command to restate a range.
    """

    table: TableName
    status: TaskStatus
    operation: Operation = "build"
    rows_written: int = 0
    rows_deleted: int = 0
    rows_rejected: int = 0
    size_bytes: int = 0
    seconds: float = 0.0
    attempts: int = 1
    reason: str = ""
    error_code: str | None = None
    error_text: str | None = None
    verdicts: tuple[Verdict, ...] = ()
    load_id: str | None = None
    snapshot_id: int | None = None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as a whole. `exit_code` is 0 when all is well, 1 when something failed or was held."""

    run_id: str
    environment: str
    status: RunStatus
    started_at: datetime
    finished_at: datetime | None
    tasks: tuple[TaskResult, ...] = ()
    git_commit: str | None = None
    git_dirty: bool | None = None
    author: str | None = None
    snapshot_id: int | None = None
    selection: tuple[str, ...] = ()
    command: str = "run"
    #: Who began it: a user by their token, or the owner. (`author` is the name that git has.)
    principal: str | None = None

    @property
    def exit_code(self) -> int:
        return 0 if self.status == "succeeded" and not any(t.status in ("held", "failed", "blocked") for t in self.tasks) else 1


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, in the past tense (`task_started`, `task_finished`, `commit_made`, `retry_scheduled`). `data` holds no row values."""

    name: str
    at: datetime
    run_id: str
    table: TableName | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
