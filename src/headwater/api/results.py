"""What the facade answers with: frozen, typed, with names instead of values of rows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from headwater.spec.checks import Verdict
from headwater.spec.names import TableName


@dataclass(frozen=True, slots=True)
class ListedTable:
    """A table as the project defines it. `kind` is `stream` or the model's kind; `path` the file, relative to the project; `exports` are those that
    send it."""

    table: TableName
    kind: str
    path: str
    inputs: tuple[TableName, ...] = ()
    tags: tuple[str, ...] = ()
    owner: str | None = None
    description: str | None = None
    exports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListedSource:
    """A source as the project defines it."""

    name: str
    type: str
    path: str
    streams: tuple[str, ...]
    description: str | None = None


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The verdicts on one table's newest rows."""

    table: TableName
    verdicts: tuple[Verdict, ...]

    def without_values(self) -> CheckResult:
        """The same for who may not see the table's rows."""
        return replace(self, verdicts=tuple(replace(verdict, message="", sample=()) for verdict in self.verdicts))


#: fresh: as its definition and inputs are. stale: the next run has something to do. held: an error check keeps its newest rows from readers.
#: pinned: rolled back by command. failed: its last task failed. never built: nothing of it is in the lake. retired: no longer defined.
TableCondition = Literal["fresh", "stale", "held", "pinned", "failed", "never built", "retired"]


@dataclass(frozen=True, slots=True)
class TableStatus:
    """How one table is. `rows` are those readers see; None for views and where nothing is published."""

    table: TableName
    kind: str
    status: TableCondition
    reason: str = ""
    rows: int | None = None
    committed_at: datetime | None = None
    run_id: str | None = None
    waiting_in_quarantine: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def is_bad(self) -> bool:
        """Whether somebody should look at it."""
        return self.status in ("held", "failed")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing `doctor` looked at. `hint` is the command or the deed that mends it."""

    subject: str
    status: Literal["ok", "warning", "failed"]
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class DiscoveredTable:
    """A stream a source could give: columns as `name -> DuckDB type`, the key the source itself declares, an estimate of its rows.

    `reads` is the table, path, function or query behind it.
    """

    name: str
    columns: dict[str, str] = field(default_factory=dict)
    primary_key: tuple[str, ...] = ()
    rows: int | None = None
    is_defined: bool = False
    reads: str = ""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What `sources.discover` found. `path` is the source's file; `added` are the streams written to it."""

    source: str
    path: str
    tables: tuple[DiscoveredTable, ...]
    added: tuple[str, ...] = ()
