"""What a build is given beside the model itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from headwater.engine import Connection
from headwater.spec.lineage import Lineage
from headwater.spec.names import TableName
from headwater.spec.runs import Interval
from headwater.storage.changes import TableState


@dataclass(frozen=True, slots=True)
class BuildContext:
    """One task of a run.

    `started_at` is the run's start (aware), the clock of all its tasks. `state` is the table's newest state in the lake (None: there is no
    such table), `inputs` the snapshot at which the workspace shows each input, `lineage` what is derived of the model beforehand. `interval`
    restates that range of an incremental. `clock` is `clock_value(..)` for the model's time functions. `on_connection` is handed the connections
    that the work runs on, so that another thread can interrupt it; `is_cancelled` is asked between steps.
    """

    run_id: str
    load_id: str
    started_at: datetime
    fingerprint: str
    token: int
    project_dir: Path
    state: TableState | None = None
    inputs: Mapping[TableName, int] = field(default_factory=dict)
    lineage: Lineage | None = None
    full_refresh: bool = False
    interval: Interval | None = None
    allow_drop: bool = False
    clock: str = ""
    is_cancelled: Callable[[], bool] = lambda: False
    on_connection: Callable[[Connection], None] = lambda _: None
