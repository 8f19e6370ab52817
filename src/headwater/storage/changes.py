"""What goes into a commit and what is known of a table: the words storage shares with the stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from headwater.spec.checks import Verdict
from headwater.spec.names import TableName
from headwater.spec.runs import Operation
from headwater.spec.tables import Column


@dataclass(frozen=True, slots=True)
class Staged:
    """Rows computed outside the lake, waiting for a commit.

    `relation` is SQL usable in FROM on any connection of the engine. `files` are Parquet files already lying in the lake's data folder, which the
    commit takes over; empty when the rows are in scratch memory and are copied by the commit. `columns` have storage types.
    """

    table: TableName
    relation: str
    columns: tuple[Column, ...]
    rows: int
    size_bytes: int = 0
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeleteAll:
    """A rebuild: every row of the table."""


@dataclass(frozen=True, slots=True)
class DeleteKeys:
    """Rows whose `columns` equal (nulls are equal) those of a row of `keys`, a staged relation that may be the inserted rows themselves.

    `rows` is how many of the table's rows that was found to be; the commit refuses to delete more or fewer. None: nobody counted.
    """

    columns: tuple[str, ...]
    keys: Staged
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class DeleteWhere:
    """Rows for which the SQL condition over the table's own columns is true. `parameters` are bound to its `?`."""

    condition: str
    parameters: tuple[Any, ...] = ()


Delete = DeleteAll | DeleteKeys | DeleteWhere


@dataclass(frozen=True, slots=True)
class RowChanges:
    """SELECT text for rows that came (`hw_sign` 1) and went (-1), under the table's columns. `are_additions`: none went."""

    sql: str
    are_additions: bool


@dataclass(frozen=True, slots=True)
class Definition:
    """What a table is, committed with its rows. `kind` is `stream`, `view`, `table`, `incremental` or `snapshot`.

    `fingerprint` changes when the code or kind does; `sql` is the model's statement ("" for streams and Python); `inputs` are the tables it reads;
    `body` is JSON-compatible: kind arguments, checks, lineage edges (value, influence), where labels came from, owner, tags, publish_group,
    primary_key.
    """

    kind: str
    fingerprint: str
    sql: str = ""
    description: str | None = None
    inputs: tuple[TableName, ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Position:
    """Where in its stream a load came to. `value` is JSON-compatible and the connector's own: `{"cursor": ".."}` or `{"<path>": {..}, ..}`.

    With `is_delta`, it adds to (and overrides keys of) the position before, so that a list of 100,000 files isn't written again for one more.
    """

    value: Mapping[str, Any]
    is_delta: bool = False


@dataclass(frozen=True, slots=True)
class LoadRecord:
    """How a table's rows came about; one row of `headwater.loads`.

    `inputs` maps each table read to the snapshot it was read at (its own `changed_snapshot`, what decides staleness); 0 stands for the
    very commit that carries this load, and is written down as that. `fingerprint` is that of
    the definition used; `clock` is the value, as used, of time functions ("" when none). `interval` is the half-open range an incremental restated.
    """

    load_id: str
    operation: Operation
    run_id: str
    started_at: datetime
    rows_read: int = 0
    rows_written: int = 0
    rows_deleted: int = 0
    rows_rejected: int = 0
    size_bytes: int = 0
    inputs: Mapping[str, int] = field(default_factory=dict)
    fingerprint: str = ""
    clock: str = ""
    interval: tuple[str, str] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """One batch of rows for quarantine: a staged relation with columns `raw` (JSON text of the row as it came), `reason` (e.g.
    `type: amount is not DECIMAL(10,2)`), `column_name` (or null), `position` (JSON text: file and line, or cursor value)."""

    staged: Staged


@dataclass(frozen=True, slots=True)
class QuarantineClosing:
    """Rows of quarantine that are done with. `state` is `replayed`, `dropped` or `superseded`."""

    ids: tuple[str, ...]
    state: Literal["replayed", "dropped", "superseded"]


#: publish: `now` (follows head from this commit on; a rollback stays), `later` (pinned at the snapshot the run began from; `Lake.publish` lifts it),
#: `held` (pinned, an error check failed), `keep` (whatever it was), `release` (follows head, whatever pinned it: somebody says so).
PublishMode = Literal["now", "later", "held", "keep", "release"]

#: In `LoadRecord.inputs`: the snapshot that the commit itself makes.
THIS_COMMIT = 0


PublicationMode = Literal["follows", "waiting", "held", "rolled_back", "retired"]


@dataclass(frozen=True, slots=True)
class TableChange:
    """One table's part of a commit: all of it happens, or nothing of the whole group.

    `token` is the lease's fencing token: the commit raises Fenced when the lake has seen a higher one for this table, or when the newest
    position isn't `previous_position` (compared only where `position` is given). `staged` None leaves rows alone (a view, a definition change).
    Deletes happen before the insert. `allow_drop` lets columns that the definition lacks be dropped (else they stay, nullable);
    `renames` maps old column names to new ones.
    """

    table: TableName
    definition: Definition
    load: LoadRecord
    token: int
    staged: Staged | None = None
    delete: Delete | None = None
    position: Position | None = None
    previous_position: Mapping[str, Any] | None = None
    verdicts: tuple[Verdict, ...] = ()
    rejected: Rejected | None = None
    closings: tuple[QuarantineClosing, ...] = ()
    publish: PublishMode = "now"
    reason: str = ""
    columns: tuple[Column, ...] = ()
    partition_by: tuple[str, ...] = ()
    sort_by: tuple[str, ...] = ()
    renames: Mapping[str, str] = field(default_factory=dict)
    allow_drop: bool = False
    retire: bool = False
    #: The table's `changed_snapshot` when the change was computed (0: there was no such table). Given, the commit raises Fenced where that has moved.
    computed_from: int | None = None

    def dropped_from(self, columns: Sequence[Column]) -> tuple[str, ...]:
        """Those of `columns`, which the table has now, that the change drops."""
        return lost_columns(columns, self.columns, self.renames) if self.allow_drop and self.columns else ()


def lost_columns(have: Sequence[Column], wanted: Sequence[Column], renames: Mapping[str, str]) -> tuple[str, ...]:
    """The columns in `have` that aren't in `wanted`, under their own name or the one that `renames` gives them."""
    kept = {column.name.lower() for column in wanted} | {old.lower() for old in renames}
    return tuple(column.name for column in have if column.name.lower() not in kept)


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit that happened. `base_snapshot` is the one it was made on; `snapshot_id` is `base_snapshot + 1`, always."""

    snapshot_id: int
    base_snapshot: int
    tables: tuple[TableName, ...]
    seconds: float
    #: Rows that the deletes took away, by table.
    rows_deleted: Mapping[TableName, int] = field(default_factory=dict)
    #: Each table's `changed_snapshot` after the commit: an older one where nothing of it changed.
    versions: Mapping[TableName, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableState:
    """All that is known of one deployed table at one snapshot, read from the system tables.

    `changed_snapshot` is the newest commit that changed its rows or (for a view) its statement; `published_snapshot` None means that it follows
    head, `NEVER_PUBLISHED` (-1) that readers see nothing of it yet. `published_changed_snapshot` is `changed_snapshot` as readers see it: what a
    model that reads this table compares with the `inputs` of its last load. `position` is the merged value.
    """

    table: TableName
    definition: Definition
    columns: tuple[Column, ...]
    changed_snapshot: int
    published_snapshot: int | None
    published_changed_snapshot: int | None
    is_held: bool
    reason: str
    load: LoadRecord | None
    committed_at: datetime | None
    position: Mapping[str, Any] | None
    token: int
    is_retired: bool = False
    failed_checks: Sequence[str] = ()
    #: `follows`, `waiting` (a run will lift it), `held`, `rolled_back` (until somebody publishes) or `retired`.
    publication: PublicationMode = "follows"
    #: What readers see where that is an older snapshot; None while the table follows head.
    published_definition: Definition | None = None
    published_columns: tuple[Column, ...] | None = None
    #: The newest snapshot that wrote a position; 0 when there is none.
    position_snapshot: int = 0
    partition_by: tuple[str, ...] = ()
    sort_by: tuple[str, ...] = ()


NEVER_PUBLISHED = -1
