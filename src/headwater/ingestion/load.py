"""A load from beginning to end: read, conform, set rejects apart, work out what it does to the table. Everything happens outside the lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from headwater.engine import Connection, describe_query
from headwater.errors import ContractRefused, QueryError, SqlBindError, SqlSyntaxError, TooManyRejected
from headwater.ingestion import applying, places, quarantine, reading
from headwater.ingestion.applying import Batch, Bench, Outcome
from headwater.ingestion.conform import REJECT_COLUMN, Conforming, broken
from headwater.ingestion.context import LoadContext, PreparedLoad
from headwater.ingestion.contract import POSITION_COLUMN, LoadPlan, SourceColumn, plan_load, redefined, table_columns, with_technical
from headwater.ingestion.cursor import advanced, bound, highest_sql
from headwater.ingestion.definition import stream_definition
from headwater.ingestion.dispositions import count_doubled_keys
from headwater.sources import Connector, Reading, ReadRequest
from headwater.spec.counting import plural
from headwater.spec.names import FILE_COLUMN, TableName, quote
from headwater.spec.sources import Source, Stream
from headwater.spec.tables import Column
from headwater.storage.changes import LoadRecord, Position, QuarantineClosing, Rejected, Staged, TableChange, TableState, lost_columns
from headwater.storage.lake import Lake

#: Without `max_rejected`, a load of this many rows fails when all of them are rejected; so does a first load of any size.
ALL_REJECTED_ROWS = 100


def prepare_load(lake: Lake, connector: Connector, source: Source, stream_name: str, context: LoadContext) -> PreparedLoad:
    """Reads what is new in a stream and works out the change it makes to its table; commits nothing.

    The change holds staged rows, rejects, the position, the definition and the load record. Verdicts are the caller's to add
    (`dataclasses.replace`), and so is dropping what is staged (`lake.drop_staged` of each of `staged_of(change)`) after the commit or instead of it.
    Preparing twice before a commit gives the same change; after the commit, and with nothing new in the source, `change` is None.

    Raises SourceError kinds (unreachable, broke while read, ContractRefused, TooManyRejected ..), Interrupted, StorageFull. Then nothing stays
    staged, and lake and position are as they were.
    """
    stream = source.streams[stream_name]
    table = source.table_name(stream_name)
    with lake.engine.connection() as connection, reading.stopped_when_cancelled(connection, context.is_cancelled):
        bench = Bench(lake, connection, table, stream.sort_by)
        load = _Load(bench, source, stream_name, stream, table, context, connector)
        kept: list[Staged | None] = []
        try:
            prepared = load.prepare()
            kept = list(staged_of(prepared.change))
            return prepared
        finally:
            bench.drop_all_but(kept)


def staged_of(change: TableChange | None) -> tuple[Staged, ...]:
    """Everything a change refers to that was staged for it."""
    if change is None:
        return ()
    keys = getattr(change.delete, "keys", None)
    return tuple(item for item in (change.staged, keys, change.rejected.staged if change.rejected else None) if isinstance(item, Staged))


@dataclass(frozen=True, slots=True)
class CanonicalTypes:
    """DuckDB's own names of declared types."""

    connection: Connection
    table: TableName
    known: dict[str, str] = field(default_factory=dict)

    def __call__(self, declared: str) -> str:
        if declared not in self.known:
            self.known[declared] = self._ask(declared)
        return self.known[declared]

    def _ask(self, declared: str) -> str:
        try:
            return describe_query(self.connection, f"SELECT NULL::{declared} AS x")[0].type
        except QueryError as error:
            raise ContractRefused(
                f"{self.table}: there is no type {declared}",
                expected="a DuckDB type, such as bigint, decimal(12,2), varchar, timestamp, json",
                found=(error.found or error.what).splitlines()[0],
                state="nothing was read",
                hint="correct the column's type",
            ) from error


@dataclass(frozen=True, slots=True)
class _Apart:
    """What a read sets apart: rejects that don't wait in quarantine yet, and what waits there and no longer has to."""

    rejected: Staged | None
    closings: tuple[QuarantineClosing, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    """What one read gave, landed and counted. `apart` None: which of two rows of a key was read last can't be told; to be read again, in order."""

    landed: reading.Landed
    plan: LoadPlan
    conforming: Conforming
    broken: int
    highest: str | None
    doubled_keys: int
    apart: _Apart | None = None

    @property
    def rows(self) -> int:
        return self.landed.rows + self.landed.lines_rejected


@dataclass(frozen=True, slots=True)
class _Load:
    """One call of `prepare_load`."""

    bench: Bench
    source: Source
    stream_name: str
    stream: Stream
    table: TableName
    context: LoadContext
    connector: Connector

    @property
    def state(self) -> TableState | None:
        return self.context.state

    @property
    def uses_cursor(self) -> bool:
        """Whether the source is asked for rows past a cursor value only."""
        return self.stream.cursor is not None and self.connector.capabilities.cursor and self.stream.disposition != "replace"

    @property
    def is_whole(self) -> bool:
        """Whether what is read is all there is: what is stored and not read is gone from the source."""
        is_listed = self.connector.capabilities.file_list and self.stream.disposition not in ("replace", "scd2")
        return self.is_refreshed or not (self.uses_cursor or is_listed)

    @property
    def is_refreshed(self) -> bool:
        return self.context.full_refresh or (self.context.reload_from is not None and not self.uses_cursor)

    @property
    def is_rebuild(self) -> bool:
        """Whether all stored rows go. A history can't be read again: it stays."""
        return self.is_refreshed and self.stream.disposition != "scd2"

    @property
    def with_file(self) -> bool:
        return self.connector.capabilities.file_list and self.stream.disposition == "append"

    def prepare(self) -> PreparedLoad:
        former = self._former_table()
        if former is not None:
            return self._carried_over(former)
        position = None if self.state is None or self.is_refreshed else self.state.position
        found = self.connector.read(self._request(position, may_repeat=True))
        if not found.portions:
            return self._without_rows(found)
        self.bench.lake.engine.use_all_threads()
        is_small = position is not None and self.uses_cursor
        read = self._land(found, small=is_small)
        if found.must_repeat is not None and found.must_repeat(self.context.is_cancelled):
            found = self.connector.read(self._request(position))
            read = self._land(found, small=is_small)
        if read is not None and read.apart is None:
            # which of two rows of a key was read last can be told only of rows in memory: read once more
            found = self.connector.read(self._request(position))
            read = self._land(found, ordered=True)
        if read is None:
            return self._without_rows(found)
        outcome = self._apply(read, found)
        return self._conclude(read, found, outcome, self._new_position(read, found, position))

    def _former_table(self) -> TableState | None:
        """The table of the name the stream had before, where this one isn't loaded yet."""
        if self.state is not None or not self.stream.renamed_from or self.context.full_refresh:
            return None
        found = self.bench.lake.state().find(TableName(self.table.schema, self.stream.renamed_from))
        return found if found is not None and found.columns else None

    def _carried_over(self, former: TableState) -> PreparedLoad:
        """The first load of a renamed stream: rows and position of the table it was. The next load reads on from there."""
        staged = self.bench.stage(self.bench.lake.head_sql(former.table), is_final=True)
        types = former.definition.body.get("source_types") or {}
        position = Position(dict(former.position)) if former.position else None
        note = f"rows and position of {former.table}"
        change = TableChange(
            self.table,
            stream_definition(self.source, self.stream_name, self.stream, self.context.fingerprint, types),
            self._record(None, staged.rows, Outcome(staged), 0, note),
            self.context.token,
            staged=staged,
            position=position,
            columns=former.columns,
            partition_by=self.stream.partition_by,
            sort_by=self.stream.sort_by,
        )
        return PreparedLoad(self.table, change, checks=self.stream.table_checks, note=note)

    def _request(self, position: Mapping[str, Any] | None, *, may_repeat: bool = False) -> ReadRequest:
        cursor = self.stream.cursor
        types = {name: column.type for name, column in self.stream.columns.items() if column.type}
        limits = bound(cursor, position, self.context.reload_from) if cursor is not None and self.uses_cursor else None
        whole = self.stream.disposition == "replace" and not self.connector.capabilities.file_list
        return ReadRequest(self.stream_name, self.context.resolve(self.stream), None if whole else position, limits, types, may_repeat=may_repeat)

    # -- reading -----------------------------------------------------------------------------------------------------

    def _land(self, found: Reading, *, small: bool = False, ordered: bool = False) -> _Read | None:
        """Everything read once. None when there are neither rows nor columns to make a table of."""
        connection = self.bench.connection
        with reading.opened(connection, found.portions, self.context) as ready:
            columns = [member.columns for member in ready]
            if not any(self._has_data(c) for c in columns):
                stored = self._known_columns()
                if not stored:
                    return None
                columns = [stored]
            canonical = CanonicalTypes(connection, self.table)
            plan = plan_load(
                self.table,
                self.stream,
                columns,
                self.state,
                canonical=canonical,
                uses_cursor=self.uses_cursor,
                is_rebuild=self.is_rebuild,
                allow_drop=self.context.allow_drop,
            )
            cursor = self.stream.cursor.column if self.stream.cursor and self.uses_cursor else None
            conforming = Conforming(self.stream, plan, self.context.load_id, self.context.started_at, cursor, self.with_file)
            _bind_terms(connection, self.table, conforming)
            as_files = False if ordered else None if small else True
            landed = reading.land(self.bench.lake, connection, self.table, ready, conforming, self.context, as_files=as_files)
            self.bench.staged.extend((*landed.staged, *landed.lines))
            read = self._counted(landed, plan, conforming, cursor)
            if not ordered and self._order_decides(read):
                return read
            # while what was fetched and unpacked is there: rejects are looked for in it
            return replace(read, apart=self._set_apart(read, found, ready))

    def _counted(self, landed: reading.Landed, plan: LoadPlan, conforming: Conforming, cursor: str | None) -> _Read:
        is_broken = f"{REJECT_COLUMN} IS NOT NULL" if landed.is_marked else broken(conforming.terms())
        highest = "NULL"
        if cursor is not None:
            cursor_type = plan.type_of(cursor)
            assert cursor_type is not None
            highest = highest_sql(conforming.name_of(cursor), cursor_type)
        row = self.bench.connection.execute(f"SELECT count(*) FILTER (WHERE {is_broken}), {highest} FROM {landed.relation}").fetchone()
        assert row is not None
        doubled = self.bench.scalar(count_doubled_keys(landed.relation, conforming.key)) if conforming.key else 0
        return _Read(landed, plan, conforming, row[0], row[1], doubled)

    def _order_decides(self, read: _Read) -> bool:
        """Whether rows of one key came that the cursor can't put in order, after the order of reading was lost."""
        if read.landed.is_ordered or not read.doubled_keys:
            return False
        cursor = self._ordering(read)
        return cursor is None or self.bench.scalar(count_doubled_keys(read.landed.relation, (*read.conforming.key, cursor))) > 0

    def _ordering(self, read: _Read) -> str | None:
        """The cursor column by the table's name for it, where the table has it."""
        cursor = self.stream.cursor.column if self.stream.cursor else None
        return read.conforming.name_of(cursor) if cursor and read.plan.type_of(cursor) else None

    @staticmethod
    def _has_data(columns: list[SourceColumn]) -> bool:
        return any(column.name.lower() not in (POSITION_COLUMN, FILE_COLUMN) for column in columns)

    def _known_columns(self) -> list[SourceColumn]:
        """Where the source says nothing of its columns (empty files): the stored ones, else those declared with a type."""
        if self.state is not None and self.state.columns:
            technical = {name for name, _ in applying.technical_types(with_file=True, history_type="TIMESTAMP")}
            return [SourceColumn(c.name, c.type) for c in self.state.columns if c.name not in technical]
        canonical = CanonicalTypes(self.bench.connection, self.table)
        typed = [SourceColumn(name, canonical(c.type)) for name, c in self.stream.columns.items() if c.type]
        return typed if len(typed) == len(self.stream.columns) else []

    # -- quarantine --------------------------------------------------------------------------------------------------

    def _set_apart(self, read: _Read, found: Reading, ready: Sequence[reading.OpenPortion]) -> _Apart:
        """What is new among the rejects, with their lines, and what is over. Raises TooManyRejected."""
        query = reading.rejects_query(read.landed, read.conforming, dict(read.plan.source_types), read.broken)
        rejects = self.bench.stage(query, as_files=False) if query else None
        closings: tuple[QuarantineClosing, ...] = ()
        fresh = rejects
        if self.state is not None and (rejects is not None or self.is_whole or found.replaced_files):
            waits = self.bench.stage(f"SELECT * FROM {quarantine.waiting(self.bench.lake, self.table)}", as_files=False)
            if waits.rows:
                relation = rejects.relation if rejects else None
                if self.is_whole or found.replaced_files:
                    files = None if self.is_whole else found.replaced_files
                    rows = self.bench.connection.execute(quarantine.no_longer_rejected(relation, waits.relation, files)).fetchall()
                    ids = tuple(row[0] for row in rows)
                    closings = (QuarantineClosing(ids, "superseded"),) if ids else ()
                if relation is not None:
                    fresh = self.bench.stage(quarantine.new_rejects(relation, waits.relation), as_files=False)
        if rejects is None or fresh is None or not fresh.rows:
            return _Apart(None, closings)
        self._refuse_too_many(fresh, read.rows)
        return _Apart(places.with_lines(self.bench, ready, rejects.relation, fresh, self.context.is_cancelled), closings)

    def _refuse_too_many(self, rejects: Staged, rows: int) -> None:
        limit = self.stream.max_rejected
        if limit is None:
            if rejects.rows < rows or not (self.state is None or rows >= ALL_REJECTED_ROWS):
                return
            expected = "at least one row that keeps its contract"
        else:
            if rejects.rows <= limit * rows:
                return
            expected = f"at most {limit:.4%}".rstrip("0").rstrip(".%") + "% of the rows rejected (max_rejected)"
        top = self.bench.connection.execute(
            f"SELECT reason, count(*) AS hw_rows FROM {rejects.relation} GROUP BY reason ORDER BY hw_rows DESC, reason LIMIT 5"
        ).fetchall()
        raise TooManyRejected(
            f"{self.table}: {rejects.rows:,} of {plural(rows, 'row')} {'breaks' if rejects.rows == 1 else 'break'} the contract",
            expected=expected,
            found="; ".join(f"{plural(count, 'time')} {reason}" for reason, count in top),
            state="nothing was loaded; the position is where it was",
            hint="correct the source or the stream's `columns`; raise `max_rejected` to load the rest and keep these rows in quarantine",
        )

    # -- applying ----------------------------------------------------------------------------------------------------

    def _apply(self, read: _Read, found: Reading) -> Outcome:
        landed, conforming = read.landed, read.conforming
        relation, as_staged = landed.relation, landed.staged[0] if len(landed.staged) == 1 and not landed.is_marked else None
        if read.broken:
            condition = f"{REJECT_COLUMN} IS NULL" if landed.is_marked else f"NOT {broken(conforming.terms())}"
            relation, as_staged = f"(SELECT * FROM {relation} WHERE {condition})", None
        output = (
            *(column.name for column in read.plan.columns),
            *(name for name, _ in applying.technical_types(with_file=self.with_file, history_type=None)),
        )
        batch = Batch(
            relation,
            as_staged,
            read.plan,
            conforming.key,
            self._ordering(read),
            conforming.deleted,
            output,
            is_counted=not self.connector.capabilities.file_list,
            has_doubled_keys=read.doubled_keys > 0,
            replaced_files=found.replaced_files,
        )
        if self.is_rebuild:
            return applying.apply_rebuild(self.bench, batch)
        if self.state is not None and self.state.columns and self.stream.disposition != "replace":
            applying.refuse_impossible_types(self.state, read.plan)
        current = applying.current_rows(self.bench.lake, self.state, read.plan, self._technical(read.plan), found.replaced_files)
        match self.stream.disposition:
            case "append":
                return applying.apply_append(self.bench, batch, current)
            case "replace":
                return applying.apply_replace(self.bench, batch, current, columns_change=self._columns_change(read.plan))
            case "merge":
                return applying.apply_merge(self.bench, batch, current)
            case "scd2":
                at = self.context.started_at
                return applying.apply_scd2(self.bench, batch, current, loaded_at=at, closes_vanished=self.is_whole)

    def _history_type(self, plan: LoadPlan) -> str | None:
        if self.stream.disposition != "scd2":
            return None
        return applying.valid_type(plan.type_of(self.stream.cursor.column) if self.stream.cursor else None)

    def _technical(self, plan: LoadPlan) -> list[tuple[str, str]]:
        return applying.technical_types(with_file=self.with_file, history_type=self._history_type(plan))

    def _columns_change(self, plan: LoadPlan) -> bool:
        stored = {column.name.lower(): column.type for column in self.state.columns} if self.state else {}
        return bool(plan.renames) or any(stored.get(column.name.lower()) != column.type for column in plan.columns)

    # -- concluding --------------------------------------------------------------------------------------------------

    def _new_position(self, read: _Read, found: Reading, position: Mapping[str, Any] | None) -> Position | None:
        """What to commit as the position; None when it doesn't move."""
        if self.uses_cursor and self.stream.cursor is not None and found.position is None:
            cursor_type = read.plan.type_of(self.stream.cursor.column)
            assert cursor_type is not None
            new = advanced(position, read.highest, cursor_type)
            return None if new is None or new == position else Position(new)
        return self._given_position(found)

    def _given_position(self, found: Reading) -> Position | None:
        if found.position is None:
            return None
        before = self.state.position if self.state is not None else None
        given = dict(found.position)
        moves = any((before or {}).get(key) != value for key, value in given.items()) if found.is_delta else given != dict(before or {})
        return Position(given, found.is_delta) if moves or before is None else None

    def _conclude(
        self,
        read: _Read,
        found: Reading,
        outcome: Outcome,
        position: Position | None,
    ) -> PreparedLoad:
        assert read.apart is not None
        rejected, closings = read.apart.rejected, read.apart.closings
        rows_rejected = rejected.rows if rejected else 0
        columns = table_columns(self.stream, read.plan, with_file=self.with_file, valid_type=self._history_type(read.plan))
        if self.state is not None:
            columns = with_technical(columns, self.state)
        definition = stream_definition(self.source, self.stream_name, self.stream, self.context.fingerprint, read.plan.source_types)
        is_new = self.state is None or self.state.definition.fingerprint != self.context.fingerprint or self.state.is_retired
        changes = outcome.staged is not None or outcome.delete is not None
        reshapes = self._columns_change(read.plan) or self._drops(columns, read.plan.renames)
        if not (changes or rejected or closings or position is not None or is_new or reshapes):
            return PreparedLoad(self.table, None, read.rows, 0, note="nothing new")
        written = outcome.staged.rows if outcome.staged else 0
        change = TableChange(
            self.table,
            definition,
            self._record(read, written, outcome, rows_rejected, found.note),
            self.context.token,
            staged=outcome.staged,
            delete=outcome.delete,
            position=position,
            previous_position=self.state.position if self.state is not None else None,
            rejected=Rejected(rejected) if rejected else None,
            closings=closings,
            columns=columns,
            partition_by=self.stream.partition_by,
            sort_by=self.stream.sort_by,
            renames=read.plan.renames,
            allow_drop=self.context.allow_drop,
        )
        value = position.value if position else None
        return PreparedLoad(self.table, change, read.rows, rows_rejected, self.stream.table_checks, value, found.note)

    def _drops(self, columns: Sequence[Column], renames: Mapping[str, str]) -> bool:
        """Whether the table has columns that aren't among these, and they are to be dropped."""
        return self.context.allow_drop and self.state is not None and bool(lost_columns(self.state.columns, columns, renames))

    def _record(self, read: _Read | None, written: int, outcome: Outcome, rejected: int, note: str) -> LoadRecord:
        return LoadRecord(
            self.context.load_id,
            "reload" if self.context.reload_from is not None else "load",
            self.context.run_id,
            self.context.started_at,
            rows_read=read.rows if read else 0,
            rows_written=written,
            rows_deleted=outcome.rows_deleted,
            rows_rejected=rejected,
            size_bytes=outcome.staged.size_bytes if outcome.staged else 0,
            fingerprint=self.context.fingerprint,
            note=note,
        )

    def _without_rows(self, found: Reading) -> PreparedLoad:
        """Nothing was read: at most a changed definition or a position to commit. A table nobody knows the columns of isn't made yet."""
        state = self.state
        position = self._given_position(found)
        if state is None:
            return PreparedLoad(self.table, None, note=found.note or "nothing new")
        columns, renames = redefined(self.stream, state, CanonicalTypes(self.bench.connection, self.table), allow_drop=self.context.allow_drop)
        is_as_before = state.definition.fingerprint == self.context.fingerprint and not state.is_retired
        if position is None and is_as_before and not self._drops(columns, renames):
            return PreparedLoad(self.table, None, note=found.note or "nothing new")
        former = state.definition.body.get("source_types") or {}
        change = TableChange(
            self.table,
            stream_definition(self.source, self.stream_name, self.stream, self.context.fingerprint, former),
            self._record(None, 0, Outcome(), 0, found.note),
            self.context.token,
            position=position,
            previous_position=state.position,
            columns=columns,
            partition_by=self.stream.partition_by,
            sort_by=self.stream.sort_by,
            renames=renames,
            allow_drop=self.context.allow_drop,
        )
        return PreparedLoad(self.table, change, checks=self.stream.table_checks, position=position.value if position else None, note=found.note)


def _bind_terms(connection: Connection, table: TableName, conforming: Conforming) -> None:
    """Binds the contract's conditions to the columns as they will be, so that a wrong one is told before anything is read."""
    columns = ", ".join(f"NULL::{column.type} AS {quote(column.name)}" for column in conforming.plan.columns)
    terms = [(fault.reason, fault.condition) for fault in conforming.terms()]
    if conforming.deleted:
        terms.append(("deleted_when", conforming.deleted))
    source = f"(SELECT {columns})"
    try:
        conditions = ", ".join(f"({condition})" for _, condition in terms)
        describe_query(connection, f"SELECT [{conditions}] AS x FROM {source}" if terms else "SELECT 1 AS x")
        return
    except (SqlBindError, SqlSyntaxError):
        pass  # one of them is to blame: find which
    for reason, condition in terms:
        try:
            describe_query(connection, f"SELECT ({condition}) AS x FROM {source}")
        except (SqlBindError, SqlSyntaxError) as error:
            raise ContractRefused(
                f"{table}: the contract's {reason.removeprefix('check: ')} can't be evaluated",
                found=(error.found or error.what).splitlines()[0],
                state="nothing was read",
                hint="correct it: it may name the table's own columns only",
            ) from error
