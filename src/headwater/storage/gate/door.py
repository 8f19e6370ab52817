"""Running one statement for one principal: the only way by which rows leave the lake for somebody."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from headwater.engine import Connection, Overtime, Result, describe_query
from headwater.errors import (
    HeadwaterError,
    Interrupted,
    LakeError,
    LimitExceeded,
    MemoryExceeded,
    QueryFailed,
    SqlBindError,
    SqlDataError,
    SqlSyntaxError,
    StatementRefused,
    StorageFull,
    TableNotFound,
    UsageError,
)
from headwater.security import decide
from headwater.security.audited import Audited, Outcome
from headwater.security.tokenizing import COUNTER, FUNCTION, detokenizing_macros
from headwater.spec.counting import plural
from headwater.spec.names import TableName
from headwater.spec.policies import Action
from headwater.storage.changes import Definition, TableState
from headwater.storage.core import Core
from headwater.storage.gate.access import Access, Described, Relationship, VisibleColumn, VisibleTable, WrittenOut
from headwater.storage.gate.apart import Lease
from headwater.storage.gate.files import FileLists
from headwater.storage.gate.filters import missing_column
from headwater.storage.gate.hot import HotTables
from headwater.storage.gate.parameters import TypedNulls, described_columns, infer_types, with_typed_nulls
from headwater.storage.gate.plans import Plan, Plans
from headwater.storage.gate.standing import Handle, Standing
from headwater.storage.gate.tables import Moment, resource_of, unknown
from headwater.storage.history import default_key
from headwater.storage.reading import Guard, Reading, read_in_workspace, state_as_of
from headwater.storage.relations import is_visible, published_columns, published_definition

if TYPE_CHECKING:
    import pyarrow as pa

#: How many ways of giving its parameters' types are remembered of a plan, and how many sets of them that were null.
_MOST_DESCRIBED: Final = 16
#: Those of one answer to a reader; Postgres has 1,664.
_MOST_COLUMNS: Final = 10_000
#: About the reader's own words alone, whoever they are.
_TELLABLE: Final = (StatementRefused, TableNotFound, SqlSyntaxError, LimitExceeded, UsageError)


@dataclass(slots=True)
class _Query:
    """One statement on its way."""

    access: Access
    sql: str
    started: float
    plan: Plan | None = None
    #: Whether the audit says that it was allowed, and not yet how it ended.
    is_open: bool = False
    #: Those that left so far.
    rows: int = 0
    action: Action | None = None

    def record(
        self,
        decision: Outcome,
        error: HeadwaterError | None = None,
        *,
        tables: tuple[str, ...] = (),
        columns: tuple[str, ...] = (),
        action: Action | None = None,
        rows: int | None = None,
    ) -> None:
        """Raises what the audit raises: then nothing leaves."""
        if self.access.audit is not None:
            self.access.audit(self._row(decision, error, tables, columns, action or self._doing, rows))

    @property
    def _doing(self) -> Action:
        return self.action or self.access.action

    def end(self) -> None:
        """The query is over. The statement isn't told again."""
        if self.is_open and self.access.audit_end is not None:
            self.access.audit_end(replace(self._row("allowed", None, (), (), self._doing, self.rows), sql="", columns=()))
        self.is_open = False

    def _row(
        self,
        decision: Outcome,
        error: HeadwaterError | None,
        tables: tuple[str, ...],
        columns: tuple[str, ...],
        action: Action,
        rows: int | None,
    ) -> Audited:
        principal = self.access.principal
        return Audited(
            at=self.access.at,
            query_id=self.access.query_id,
            principal=principal.name,
            door=principal.door,
            address=principal.address,
            purpose=principal.purpose,
            action=action,
            sql=self.sql if self.access.asked is None else self.access.asked,
            tables=tables or (self.plan.tables if self.plan else ()),
            columns=columns or (self.plan.columns if self.plan else ()),
            rows=rows,
            decision=decision,
            error=None if error is None else whole_text(error),
            policy_version=self.access.policies.version,
            seconds=time.monotonic() - self.started,
            groups=tuple(sorted(principal.groups)),
            asked_by=principal.asked_by,
        )

    def record_turned_back(self, columns: tuple[str, ...], count: int | None) -> None:
        """One row before the first token is turned back (`count` None), one at the end with how many were."""
        tables = tuple(dict.fromkeys(column.rpartition(".")[0] for column in columns))
        self.record("allowed", tables=tables, columns=columns, action=FUNCTION, rows=count)

    def told(self, error: HeadwaterError) -> HeadwaterError:
        """What the reader is told of an error, after the audit was told all of it."""
        is_refused = isinstance(error, StatementRefused | TableNotFound | SqlSyntaxError)
        rows, self.is_open = (self.rows if self.is_open else None), False
        self.record("refused" if is_refused else "failed", error, rows=rows)
        return error if self.access.is_owner else _generic(error, self.access, self.sql)


class _Guarded(Guard):
    """Errors as the reader may be told them; rows, bytes and seconds within the limits."""

    def __init__(self, query: _Query, handle: Handle) -> None:
        self._query = query
        self._limits = query.access.limits
        self._bytes = 0
        self._overtime = None if self._limits.seconds is None else Overtime(self._limits.seconds, handle.interrupt)

    @property
    def is_limited(self) -> bool:
        return self._limits.rows is not None or self._limits.bytes is not None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, HeadwaterError):
            raise self.told(error) from (error if self._query.access.is_owner else None)

    def told(self, error: HeadwaterError) -> HeadwaterError:
        if isinstance(error, Interrupted) and self._is_late:
            error = LimitExceeded("the query took longer than its reader's roles allow", expected=f"up to {self._limits.seconds:g} s")
        if isinstance(error, MemoryExceeded) and self._limits.memory is not None:
            error = LimitExceeded("the query needs more memory than its reader's roles allow", expected=f"up to {self._limits.memory:,} bytes")
        return self._query.told(error)

    @property
    def _is_late(self) -> bool:
        return self._overtime is not None and self._overtime.is_late

    def check_time(self) -> None:
        """Raises Interrupted when the time was over before there was anything to interrupt."""
        if self._is_late:
            raise Interrupted("the statement was interrupted")

    def count_rows(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self._count(len(rows), sum(_size(value) for row in rows for value in row) if self._limits.bytes is not None else 0)

    def count_batch(self, batch: pa.RecordBatch | pa.Table) -> None:
        self._count(batch.num_rows, batch.nbytes if self._limits.bytes is not None else 0)

    def _count(self, rows: int, size_bytes: int) -> None:
        self._query.rows += rows
        self._bytes += size_bytes
        if self._limits.rows is not None and self._query.rows > self._limits.rows:
            raise LimitExceeded("the query gives more rows than its reader's roles allow", expected=f"up to {plural(self._limits.rows, 'row')}")
        if self._limits.bytes is not None and self._bytes > self._limits.bytes:
            raise LimitExceeded("the query gives more data than its reader's roles allow", expected=f"up to {self._limits.bytes:,} bytes")

    def close(self) -> None:
        if self._overtime is not None:
            self._overtime.close()
        self._query.end()


def _refuse_wide(access: Access, columns: int) -> None:
    """Every door takes time by the square of an answer's columns, and can't be stopped in it."""
    if columns > _MOST_COLUMNS and not access.is_owner:
        raise StatementRefused("the query gives more columns than are answered", expected=f"up to {_MOST_COLUMNS:,}", found=f"{columns:,}")


def _turned_back(connection: Connection) -> int | None:
    """How many tokens a query on this connection has turned back; None where it failed, and nobody can tell any more."""
    try:
        row = connection.execute(f"SELECT last_value FROM duckdb_sequences() WHERE sequence_name = '{COUNTER}'").fetchone()
    except HeadwaterError:
        return None
    return None if row is None else int(row[0] or 0)


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes) else 8


def whole_text(error: BaseException) -> str:
    """All that is known of an error, for the audit: its causes with it, as far as they say more."""
    texts: list[str] = []
    current: BaseException | None = error
    while current is not None and len(texts) < 5:
        said = str(current)
        if not any(said in text or said.partition("\n")[0] in text for text in texts):
            texts.append(said)
        current = current.__cause__
    return "\n".join(texts)


def _generic(error: HeadwaterError, access: Access, sql: str) -> HeadwaterError:
    """The error without values, physical names, or words that aren't the reader's own."""
    if isinstance(error, _TELLABLE):  # anew: without the engine's own error that hangs on it
        return type(error)(error.what, expected=error.expected, found=error.found, state=error.state, hint=error.hint)
    hint = f"the audit holds more of it under the query {access.query_id}"
    if isinstance(error, SqlBindError):
        missing = missing_column(error.found or "")
        is_named = missing is not None and missing.lower() in sql.lower()
        return SqlBindError(error.what, found=f"no column {missing}" if is_named else None, hint=hint)
    if isinstance(error, SqlDataError):
        return SqlDataError(error.what, hint=hint)
    if isinstance(error, Interrupted):
        return Interrupted("the query was interrupted", hint=hint)
    if isinstance(error, MemoryExceeded | StorageFull):
        return MemoryExceeded("the query needs more memory than there is for it", hint=hint)
    return QueryFailed("the query failed", hint=hint)


class _Place:
    """What one statement runs on: a connection that stands at the newest snapshot, and what it reads beside the lake."""

    def __init__(self, standing: Standing, hot: HotTables, files: FileLists) -> None:
        self._standing = standing
        self._stand = standing.take()
        self.connection = self._stand.connection
        self.base = self._stand.base
        self.lease = Lease(hot, files, self._stand.copies, self.base)
        self.handle = Handle(self.connection)
        self.plan: Plan | None = None
        #: Asked on the connection before it is given back.
        self.on_release: Callable[[], None] | None = None

    def release(self, is_read_out: bool) -> None:
        """`is_read_out`: all went well, and no row is left, so that another reader may take the connection. Idempotent."""
        asked, self.on_release = self.on_release, None
        try:
            if asked is not None:
                asked()
        finally:
            self._release(is_read_out)

    def _release(self, is_read_out: bool) -> None:
        self.handle.release()
        self.lease.close()
        is_clean = is_read_out and self.plan is not None and not self.plan.leaves_traces
        if is_clean and self.plan is not None and self.plan.is_filtered:
            self.connection.execute("RESET SESSION preserve_insertion_order")
        self._standing.give_back(self._stand, is_clean=is_clean)


class Door:
    """`Lake.read_as` and its kin, over one lake. Thread-safe."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._plans = Plans(core)
        self.hot = HotTables(core)
        self.files = FileLists(core)
        self.standing = Standing(core, lambda: self.hot.newest)

    def close(self) -> None:
        """Gives back what is kept for later readers."""
        self.standing.close()
        self.hot.close()

    def read(
        self,
        access: Access,
        sql: str,
        parameters: Sequence[Any] | Mapping[str, Any],
        at: int | datetime | None,
        head: bool,
        macros: Iterable[str],
        started: Callable[[Callable[[], None]], None] | None,
    ) -> Reading:
        """See `Lake.read_as`."""
        query = _Query(access, sql, time.monotonic())
        place = self._place(query)
        guard = _Guarded(query, place.handle)
        failure: HeadwaterError | None = None
        try:
            if started is not None:
                started(place.handle.interrupt)
            if head and not access.is_owner:
                raise StatementRefused("what isn't published can't be read here", expected="tables as they are published")
            macros = tuple(macros)
            plan = query.plan = self._plan(access, sql, at, head, macros, place)
            if plan.turned_back is not None:
                query.record_turned_back(plan.turned_back, None)
                place.on_release = lambda: query.record_turned_back(plan.turned_back or (), _turned_back(place.connection))
            if plan.sql is None:
                place.release(False)
                reading = read_in_workspace(self._core, sql, at=at, head=head, macros=macros, guard=guard)
            else:
                result = self._run(plan, plan.sql, parameters, access, place.connection, guard)
                _refuse_wide(access, len(result.columns))
                reading = Reading(result, place.handle.interrupt, place.release, guard)
        except HeadwaterError as error:
            failure = error
        except BaseException:
            guard.close()
            place.release(False)
            raise
        if failure is not None:
            guard.close()
            place.release(False)
            raise guard.told(failure)
        try:
            query.record("allowed")
        except BaseException:
            reading.close()
            raise
        query.is_open = True
        return reading

    def told(self, access: Access, sql: str, error: HeadwaterError) -> HeadwaterError:
        """What the reader is told of a query that couldn't begin, after the audit was told all of it."""
        return _Query(access, sql, time.monotonic()).told(error)

    def _place(self, query: _Query) -> _Place:
        failure: HeadwaterError
        try:
            return _Place(self.standing, self.hot, self.files)
        except HeadwaterError as error:
            failure = error
        raise query.told(failure) from (failure if query.access.is_owner else None)

    def _plan(self, access: Access, sql: str, at: int | datetime | None, head: bool, macros: tuple[str, ...], place: _Place) -> Plan:
        state, limit = state_as_of(self._core, place.connection, place.base, at)
        moment = Moment(state, place.base, limit, head)
        place.plan = self._plans.plan(access, sql, moment, place.connection, macros, place.lease)
        return place.plan

    def _run(
        self, plan: Plan, sql: str, parameters: Sequence[Any] | Mapping[str, Any], access: Access, connection: Connection, guard: _Guarded
    ) -> Result:
        given = len(parameters)
        if given != len(plan.parameters):
            raise UsageError("a query is given a value for each of its parameters", expected=plural(len(plan.parameters), "value"), found=str(given))
        values = dict(parameters) if isinstance(parameters, Mapping) else {str(place): value for place, value in enumerate(parameters, 1)}
        nulls = frozenset(name for name, value in values.items() if value is None)
        typed = self._typed_nulls(plan, nulls, access, connection) if nulls else None
        for statement in plan.macros:
            connection.execute(statement)
        if plan.is_filtered:
            # the barrier behind a row filter runs on all cores only where nobody asks for the rows' order
            connection.execute("SET SESSION preserve_insertion_order = false")
        guard.check_time()
        if typed is not None:
            sql, values = typed.sql, {name: value for name, value in values.items() if name in typed.parameters}
        return connection.execute_bound(sql, values) if values else connection.execute(sql)

    def _typed_nulls(self, plan: Plan, nulls: frozenset[str], access: Access, connection: Connection) -> TypedNulls | None:
        if plan.node is None or nulls in plan.with_nulls:
            return plan.with_nulls.get(nulls)
        self._define(plan, access, connection)
        found = with_typed_nulls(plan.node, plan.parameters, nulls, connection)
        if len(plan.with_nulls) < _MOST_DESCRIBED:
            plan.with_nulls[nulls] = found
        return found

    def _define(self, plan: Plan, access: Access, connection: Connection) -> None:
        """Makes the macros with which a plan is bound, and not run: binding computes what is constant, and no token is turned back by that."""
        for statement in plan.macros:
            connection.execute(statement)
        if plan.turned_back is not None:
            for statement in detokenizing_macros(access.keys.tokens, ()):
                connection.execute(statement)

    def detokenize(self, access: Access, tokens: Sequence[str]) -> list[str | None]:
        """See `Lake.detokenize`."""
        query = _Query(access, f"{FUNCTION} {plural(len(tokens), 'token')}", time.monotonic(), action=FUNCTION)
        failure: HeadwaterError | None = None
        place = self._place(query)
        try:
            connection = place.connection
            state, _ = state_as_of(self._core, connection, place.base, None)
            turning_back = self._plans.tables(access, Moment(state, place.base), connection, (), place.lease).turning_back()
            query.record_turned_back(turning_back.columns, None)
            for statement in turning_back.macros:
                connection.execute(statement)
            rows = connection.execute(f"SELECT {FUNCTION}(t) FROM (SELECT unnest(CAST(? AS VARCHAR[])) AS t)", [list(tokens)]).fetchall()
            found = [row[0] for row in rows]
            query.record_turned_back(turning_back.columns, sum(text is not None for text in found))
            return found
        except HeadwaterError as error:
            failure = error
        finally:
            place.release(False)
        raise query.told(failure)

    def vouch(self, access: Access, table: TableName, action: Action, what: str, snapshots: Sequence[int] = ()) -> None:
        """Audited; raises TableNotFound unless the reader may do `action` with the table and sees all of it, as it was at `snapshots` too.

        For what shows rows as they are stored: other versions of a table, rows in quarantine.
        """
        query = _Query(access, what, time.monotonic())
        is_seen = access.is_owner or all(
            decide(access.policies, access.principal, action, resource_of(state), at=access.at).is_unrestricted if state is not None else False
            for state in self._versions(table, snapshots)
        )
        if not is_seen:
            raise query.told(unknown(table, access.principal.door))
        query.record("allowed", tables=(str(table),), action=action)

    def _versions(self, table: TableName, snapshots: Sequence[int]) -> list[TableState | None]:
        """The table now, and as it was; None where it wasn't there."""
        with self._core.reading() as (connection, base):
            states = [self._core.state_on(connection, base)]
            states += [state_as_of(self._core, connection, base, snapshot)[0] for snapshot in snapshots]
        return [state.find(table) for state in states]

    def describe(self, access: Access, sql: str, parameter_types: Sequence[str | None], macros: Iterable[str]) -> Described:
        """See `Lake.describe_as`."""
        query = _Query(access, sql, time.monotonic())
        failure: HeadwaterError | None = None
        place = self._place(query)
        is_done = False
        try:
            plan = query.plan = self._plan(access, sql, None, False, tuple(macros), place)
            if plan.node is None or plan.sql is None:
                raise StatementRefused("a PIVOT needs its values here", expected="PIVOT .. ON column IN (values)")
            asked = tuple(parameter_types)
            if asked in plan.described:
                is_done = True
                return plan.described[asked]
            self._define(plan, access, place.connection)
            given = dict(zip(plan.parameters, parameter_types, strict=False))
            types = infer_types(plan.node, plan.parameters, given, place.connection)
            columns = described_columns(plan.node, types, place.connection) if types else describe_query(place.connection, plan.sql)
            if columns is None:
                raise StatementRefused("this query can't be described", hint="give its parameters types: CAST($1 AS INTEGER)")
            _refuse_wide(access, len(columns))
            is_done = True
            described = Described(tuple((column.name, column.type) for column in columns), tuple(types[name] for name in plan.parameters))
            if len(plan.described) < _MOST_DESCRIBED:
                plan.described[asked] = described
            return described
        except HeadwaterError as error:
            failure = error
        finally:
            place.release(is_done)
        raise query.told(failure)

    def written_out(self, access: Access, sql: str, macros: Iterable[str]) -> WrittenOut | None:
        """See `Lake.written_out_as`."""
        place = _Place(self.standing, self.hot, self.files)
        is_done = False
        try:
            plan = self._plan(access, sql, None, False, tuple(macros), place)
            is_done = True
            return None if plan.sql is None or plan.reads_audit else WrittenOut(plan.sql, plan.macros)
        finally:
            place.release(is_done)

    def tables(self, access: Access, macros: Iterable[str]) -> list[VisibleTable]:
        """See `Lake.tables_as`."""
        place = _Place(self.standing, self.hot, self.files)
        found: list[VisibleTable] = []
        linked: dict[TableName, list[Mapping[str, str]]] = {}
        try:
            state, _ = state_as_of(self._core, place.connection, place.base, None)
            tables = self._plans.tables(access, Moment(state, place.base), place.connection, macros, place.lease)
            for one in sorted(state.tables.values(), key=lambda one: one.table):
                if not is_visible(one):
                    continue
                described = {column.name: column for column in published_columns(one)}
                try:
                    columns = published_columns(one) if access.is_owner else tables.see(one.table).columns
                except LakeError:
                    continue
                definition = published_definition(one)
                names = {column.name.lower() for column in columns}
                key = default_key(one)
                linked[one.table] = _said_relationships(definition)
                found.append(
                    VisibleTable(
                        one.table,
                        definition.kind,
                        tuple(
                            VisibleColumn(column.name, column.type, described[column.name].nullable, described[column.name].description)
                            for column in columns
                        ),
                        key if key and all(column.lower() in names for column in key) else (),
                        (),
                        definition.description,
                    )
                )
        finally:
            place.release(False)
        return [replace(table, relationships=_seen_relationships(table, linked[table.name], found)) for table in found]


def _said_relationships(definition: Definition) -> list[Mapping[str, str]]:
    """What the checks `relationships` say, those of the table and those under its columns."""
    columns = definition.body.get("columns") or {}
    checks = [*definition.body.get("checks", ()), *(check for column in columns.values() for check in column.get("checks", ()))]
    return [check["relationships"] for check in checks if "relationships" in check]


def _seen_relationships(table: VisibleTable, said: Sequence[Mapping[str, str]], found: Sequence[VisibleTable]) -> tuple[Relationship, ...]:
    """Those of which both columns are seen, in the tables' own spelling: what is hidden isn't named by what points at it."""
    seen = {(one.name.key, column.name.lower()): (one.name, column.name) for one in found for column in one.columns}
    made = []
    for one in said:
        own = seen.get((table.name.key, one["column"].lower()))
        other = seen.get((TableName.parse(one["to"]).key, one["field"].lower()))
        if own is not None and other is not None:
            made.append(Relationship(own[1], other[0], other[1]))
    return tuple(dict.fromkeys(made))
