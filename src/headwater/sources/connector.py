"""What a connector is: the contract between the world and `ingestion`. One connector a file, found by entry point `headwater.connectors`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from headwater.errors import HeadwaterError
from headwater.spec.sources import Stream

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a connector can do.

    `cursor`: reads only rows past a cursor value. `file_list`: its position is a list of files. `parallel`: reads in ranges. `query`: takes SQL.
    """

    cursor: bool = False
    file_list: bool = False
    parallel: bool = False
    query: bool = False


@dataclass(frozen=True, slots=True)
class DiscoveredColumn:
    """`type` is the DuckDB type it is read as; `source_type` the system's own name for it."""

    name: str
    type: str
    nullable: bool = True
    source_type: str = ""


@dataclass(frozen=True, slots=True)
class DiscoveredStream:
    """What is there to read.

    `name` is a suggestion for the stream; `definition` is the YAML (a mapping) that would read it; `rows` an estimate or None.
    """

    name: str
    definition: Mapping[str, Any]
    columns: tuple[DiscoveredColumn, ...] = ()
    primary_key: tuple[str, ...] = ()
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class CursorBound:
    """Read rows with `column >= start` (start includes the lag already), and below `end` where given."""

    column: str
    start: Any = None
    end: Any = None


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """One read of one stream. `position` is the merged value of what was committed (None at the first load, or on a full reload).

    `column_types`: the contract's declared types by column, where given. `limit` rows for previews. `may_repeat`: the caller asks the reading's
    `must_repeat`, so what is dear to look for beforehand may be looked for while the rows flow.
    """

    name: str
    stream: Stream
    position: Mapping[str, Any] | None = None
    cursor: CursorBound | None = None
    column_types: Mapping[str, str] = field(default_factory=dict)
    limit: int | None = None
    may_repeat: bool = False


@dataclass(frozen=True, slots=True)
class Reread:
    """Rows read once more, in order, to tell where some of them stand: (place, line, values of `columns` as the scan gives them).

    `place` is what `_hw_position` says, `line` counts from 1. Where the reader can't take a row apart, its text stands for its values. Iterating
    raises SourceError kinds when the rows can't be told any more (gone, changed, too many bytes): then what came before doesn't count.
    """

    columns: tuple[str, ...]
    rows: Iterable[tuple[str, int, tuple[str | None, ...] | str]]


@dataclass(frozen=True, slots=True)
class Scan:
    """SQL that the engine runs itself. `extensions` are loaded, then `setup` runs on the reading connection, then `sql`, then `teardown` (always).

    `setup` may hold credentials: never log it. Where the format has no types of its own (CSV), `sql` gives text columns, and `suggested_types` says
    what each seems to be; `ingestion` casts, and rows that don't cast go to quarantine. `rejects_sql`, run after `sql` was exhausted and before
    `teardown`, gives rows `(raw, reason, position)` for lines the reader had to leave out (too many fields, broken quotes, bad encoding). `sql` may
    give a column `_hw_position` (text: file and line or similar), which is not stored but told in quarantine.

    A scan that can't give lines cheaply may leave it at the file, and offer `reread`: asked, before `cleanup` and only about places where rows were
    rejected, to read the rows of one place again, of each once. The place is what `_hw_position` or else `_hw_file` said; None stands for all of the
    scan's. It answers None for a place that isn't its own. A row's line is told only when as many rows equal it as were rejected.

    A column that has no suggested type is text and means to stay text. Text holds every digit that came: a cast that drops some (`1.005` to
    DECIMAL(5,2)) is for `ingestion` to notice. `explain` turns an error of the engine, met while running any of these statements, into the
    SourceError it means, without secrets; errors that aren't the source's (no space, interrupted) come back as they are. `sources.scan_ready` does
    the whole round: extensions, setup, explaining, teardown, cleanup.
    """

    sql: str
    setup: tuple[str, ...] = ()
    teardown: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    suggested_types: Mapping[str, str] = field(default_factory=dict)
    rejects_sql: str | None = None
    cleanup: Callable[[], None] | None = None
    explain: Callable[[HeadwaterError], HeadwaterError] | None = None
    reread: Callable[[str | None], Reread | None] | None = None


@dataclass(frozen=True, slots=True)
class Batches:
    """Arrow record batches with one schema, streamed. `open` starts a new read each time it is called; it raises SourceError kinds."""

    open: Callable[[], Iterator[pa.RecordBatch]]
    schema: pa.Schema | None = None


@dataclass(frozen=True, slots=True)
class Portion:
    """A part of a read with one set of columns. Several portions are united by name. `files` lists what it covers (for messages)."""

    data: Scan | Batches
    description: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What one read gives. No portions: there is nothing new.

    `position` is what to commit with the rows, where the connector knows it before reading (file lists: a delta of the files read); with a cursor,
    ingestion takes the highest value that came. `replaced_files` were loaded before and changed since: their former rows (`_hw_file`) are deleted in
    the same commit. `must_repeat`, for a request that may repeat, is asked when all rows were read: True says that they didn't come as they are at
    the source, and are to be read anew by another `read`, which knows better; it is given whether the load is cancelled, asks that while it waits,
    and then raises Interrupted. Raises SourceError kinds.
    """

    portions: tuple[Portion, ...]
    position: Mapping[str, Any] | None = None
    is_delta: bool = False
    replaced_files: tuple[str, ...] = ()
    note: str = ""
    must_repeat: Callable[[Callable[[], bool]], bool] | None = None


@dataclass(frozen=True, slots=True)
class ConnectorContext:
    """What a connector is opened with. `connection` and `options` have their references resolved; treat them as secret.

    `environ` is the environment as the project sees it (its .env included), for credentials that a system finds there by custom.
    """

    name: str
    project_dir: Path
    connection: str | Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    statement_timeout: timedelta | None = None
    temp_dir: Path | None = None
    now: datetime | None = None
    environ: Mapping[str, str] = field(default_factory=dict)


class Connector(Protocol):
    """A system data comes from. Opened for one command or run; `close` is always called. Knows nothing of the lake.

    Methods raise SourceUnreachable (connecting failed), StreamNotFound, SourceReadFailed (broke while being read), SourceDataInvalid (can't be
    parsed), MissingDependency; never a driver's own exception, and never with a password in the message.
    """

    type: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    def __init__(self, context: ConnectorContext) -> None: ...

    def check(self) -> str:
        """Connects and says what answered, in a line (`PostgreSQL 15.4, 12 tables readable`). Raises SourceUnreachable saying what is wrong."""
        ...

    def discover(self) -> list[DiscoveredStream]:
        """What there is to read."""
        ...

    def columns(self, request: ReadRequest) -> tuple[DiscoveredColumn, ...]:
        """The stream's columns without reading its rows (a sample at most)."""
        ...

    def read(self, request: ReadRequest) -> Reading:
        """Plans a read: cheap (lists files, looks at metadata); rows flow when the portions are run."""
        ...

    def acknowledge(self, name: str, position: Mapping[str, Any]) -> None:
        """Tells the system that everything up to `position` is committed. Does nothing where a system doesn't ask for it."""
        ...

    def close(self) -> None: ...
