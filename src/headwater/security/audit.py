"""The audit: who asked for what, and what came of it. Rows are only ever added, and each holds the hash of the one before.

So a row that is changed, removed, put in or moved breaks the chain, and `verify` finds it. Whoever can write the state store could write the whole
chain anew, or cut off its end: therefore its head is put into the lake from time to time (`AuditHead`), and compared.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import sqlalchemy as sa

from headwater.errors import AuditUnwritable, StateError
from headwater.security.audited import Audited, AuditHead, Outcome, noted_head, without_passwords
from headwater.spec.counting import plural
from headwater.state import StateStore
from headwater.state import tables as t

if TYPE_CHECKING:
    import pyarrow as pa

    from headwater.security.audit_table import AuditTable

_APPENDING: Final = 7_203_420
_CHUNK: Final = 2_000
#: Columns of `headwater.audit` that the store calls otherwise: in DuckDB `at` is a word of the language.
_STORED: Final[Mapping[str, str]] = {"logged_at": "at"}
#: Faults beyond this are counted, not described.
_MAX_FAULTS: Final = 100
#: How long a row may wait that nothing waits for, in seconds; how many of them may wait, and how many characters of statements and errors in them.
_SOON: Final = 0.5
_MOST_WAITING: Final = 10_000
_MOST_WAITING_TEXT: Final = 16 * 2**20
#: Characters of a statement, and of an error, that a row keeps.
_MOST_TEXT: Final = 64 * 2**10
FaultKind = Literal["changed", "missing", "unlinked", "truncated", "rewritten", "lost", "forged"]
_HASHED: Final = tuple(column.name for column in t.audit.columns if column.name != "hash")
#: Columns that the first audits hadn't: a row that has nothing in them has the hash it would have had then.
_LATER: Final = frozenset({"asked_by"})
_HEAD: Final = sa.select(t.audit_chain)
#: Each is found by an index, where both in one question would read all rows.
_LEAST: Final = sa.select(sa.func.min(t.audit.c.at)).scalar_subquery()
_GREATEST: Final = sa.select(sa.func.max(t.audit.c.at)).scalar_subquery()
_INSERT: Final = sa.insert(t.audit)
_MOVE_HEAD: Final = (
    sa.update(t.audit_chain).where(t.audit_chain.c.chain == sa.bindparam("of_chain")).values(seq=sa.bindparam("seq"), hash=sa.bindparam("hash"))
)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A row as it is kept: number `seq` from 1 without gaps."""

    seq: int
    environment: str
    record: Audited
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the chain. `seq` is the row at or after which it shows."""

    kind: FaultKind
    seq: int
    message: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found. Without faults the chain is as it was written, up to its newest anchor for certain."""

    chain: str | None
    rows: int
    anchors: int
    anchored_seq: int
    faults: tuple[Fault, ...] = ()

    @property
    def is_sound(self) -> bool:
        return not self.faults


@dataclass(slots=True)
class _Waiting:
    """A row on its way; None for somebody who only wants all others to be written."""

    row: dict[str, Any] | None
    #: Set when the row stands, or when it is its thread's turn to write all that wait.
    is_called: threading.Event = field(default_factory=threading.Event)
    #: Nobody waits for it.
    is_patient: bool = False
    is_done: bool = False
    error: Exception | None = None

    @property
    def text(self) -> int:
        """Characters of its statement and error."""
        return 0 if self.row is None else len(self.row["sql"]) + len(self.row["error"])


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which rows are wanted; None and empty: all. `principal` is whoever asked, or under whose rights it was asked."""

    principal: str | None = None
    action: str | None = None
    decision: Outcome | None = None
    table: str | None = None
    query_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """Those that the store can answer; `table` isn't among them."""
        c = t.audit.c
        pairs = [(c.action, self.action), (c.decision, self.decision), (c.query_id, self.query_id)]
        found = [column == value for column, value in pairs if value is not None]
        if self.principal is not None:
            found.append(sa.or_(c.principal == self.principal, c.asked_by == self.principal))
        if self.since is not None:
            found.append(c.at >= self.since)
        if self.until is not None:
            found.append(c.at < self.until)
        return found

    def has_table(self, tables: Sequence[str]) -> bool:
        return self.table is None or self.table.lower() in {name.lower() for name in tables}


class AuditLog:
    """The audit of one environment, in a store's one chain. Thread-safe; any number of processes may append at once."""

    def __init__(self, state: StateStore, environment: str) -> None:
        self._state = state
        self._environment = environment
        self._queue: list[_Waiting] = []
        self._queued_text = 0
        self._flusher: threading.Timer | None = None
        self._queue_lock = threading.Lock()
        self._is_writing = False

    # -- writing -----------------------------------------------------------------------------------------------------

    def append(self, record: Audited) -> None:
        """Writes one row; it stands when this returns. Threads that come at once share one transaction. Raises AuditUnwritable."""
        error = self._wait_for(_Waiting(_row_of(record, self._environment)))
        if error is not None:
            raise _unwritable(error) from error

    def append_soon(self, record: Audited) -> None:
        """Writes one row together with the next, or within half a second. For what is over: nobody waits for it, nothing is held back by it.

        What can't be written then waits for the next try; a process that is killed loses it, and the row that stood before the query remains.
        Where as much waits as may, it is written first; the row is lost only if that fails.
        """
        waiting = _Waiting(_row_of(record, self._environment), is_patient=True)
        if self._is_full(waiting):
            self._flush_quietly()
        with self._queue_lock:
            if not self._is_full(waiting):
                self._enqueue(waiting)
            if self._flusher is None:
                self._flusher = threading.Timer(_SOON, self._flush_quietly)
                self._flusher.daemon = True
                self._flusher.start()

    def _is_full(self, further: _Waiting) -> bool:
        return len(self._queue) >= _MOST_WAITING or self._queued_text + further.text > _MOST_WAITING_TEXT

    def _enqueue(self, waiting: _Waiting) -> None:
        """Under the queue's lock."""
        self._queue.append(waiting)
        self._queued_text += waiting.text

    def flush(self) -> None:
        """Writes what waits. Raises AuditUnwritable; then it waits on."""
        with self._queue_lock:
            flusher, self._flusher = self._flusher, None
            has_any = bool(self._queue)
        if flusher is not None:
            flusher.cancel()
        if has_any:
            self._wait_for(_Waiting(None))
        with self._queue_lock:
            error = next((waiting.error for waiting in self._queue if waiting.error is not None), None)
        if error is not None:
            raise _unwritable(error) from error

    def _flush_quietly(self) -> None:
        with suppress(AuditUnwritable):
            self.flush()

    def _wait_for(self, mine: _Waiting) -> Exception | None:
        """What kept the row from being written; None when it stands."""
        with self._queue_lock:
            self._enqueue(mine)
            must_wait, self._is_writing = self._is_writing, True
        if must_wait:
            mine.is_called.wait()
        if not mine.is_done:
            self._write_waiting()
        return mine.error

    def _write_waiting(self) -> None:
        """Writes what waits, then calls those who waited for it, and the first of those who came meanwhile, to do the same."""
        with self._queue_lock:
            batch, self._queue, self._queued_text = self._queue, [], 0
        try:
            self._write_all(batch)
        finally:
            with self._queue_lock:
                heir = next((waiting for waiting in self._queue if not waiting.is_patient), None)
                self._is_writing = heir is not None
            for waiting in [*batch, *([heir] if heir is not None else [])]:
                waiting.is_called.set()

    def _write_all(self, batch: Sequence[_Waiting]) -> None:
        rows = [waiting.row for waiting in batch if waiting.row is not None]
        try:
            if rows:
                self._state.write(lambda connection: _append(connection, rows), turn=_APPENDING)
        except Exception as error:
            if len(batch) > 1:  # one that can't be written doesn't take the others with it
                for waiting in batch:
                    self._write_all([waiting])
            else:
                batch[0].error = error
                if batch[0].is_patient:
                    with self._queue_lock:
                        self._enqueue(_Waiting(batch[0].row, is_patient=True, error=error))
        for waiting in batch:
            waiting.is_done = True

    # -- reading -----------------------------------------------------------------------------------------------------

    def head(self) -> AuditHead | None:
        """Where the chain ends now, safe on disk; None while nothing is written."""
        head = noted_head(self._state)
        if head is not None:
            self._state.make_durable()
        return head

    def rows(self, filter: AuditFilter | None = None, *, limit: int | None = None) -> list[AuditRow]:
        """This environment's rows that the filter lets through: the newest `limit`, the oldest of them first."""
        self._flush_quietly()
        found: list[AuditRow] = []
        for chunk in self._newest(filter or AuditFilter()):
            found += [_read(row) for row in chunk]
            if limit is not None and len(found) >= limit:
                del found[limit:]
                break
        return found[::-1]

    def table(self) -> AuditTable:
        """This environment's rows up to now, to be read as they are asked for, as often as is asked: the table `headwater.audit`."""
        from headwater.security.audit_table import AuditTable

        self._flush_quietly()
        head = noted_head(self._state)
        until, at = (0 if head is None else head.seq), t.audit.c.at
        first, last = self._state.read(lambda connection: connection.execute(sa.select(_LEAST, _GREATEST)).one())

        def read(names: Sequence[str], stretch: tuple[datetime, datetime] | None) -> Iterator[pa.RecordBatch]:
            low, high = 0, until
            if stretch is not None:
                within = sa.select(sa.func.min(t.audit.c.seq), sa.func.max(t.audit.c.seq)).where(at >= stretch[0], at < stretch[1])
                begin, end = self._state.read(lambda connection: connection.execute(within).one())
                low, high = begin or 0, min(high, end or -1)
            return self._batches(names, [t.audit.c.seq <= high], low)

        return AuditTable(audit_schema(), read, "logged_at", (first, last) if first is not None else None)

    def arrow(self, filter: AuditFilter | None = None) -> pa.Table:
        """This environment's rows that the filter lets through, the oldest first, all at once."""
        import pyarrow as pa

        self._flush_quietly()
        wanted, schema = filter or AuditFilter(), audit_schema()
        found = []
        for batch in self._batches(schema.names, wanted.conditions):
            has_table = [wanted.has_table(tables or ()) for tables in batch["tables"].to_pylist()]
            found.append(batch.filter(pa.array(has_table, pa.bool_())))
        return pa.Table.from_batches(found, schema)

    def _batches(self, names: Sequence[str], conditions: Sequence[sa.ColumnElement[bool]], begin: int = 0) -> Iterator[pa.RecordBatch]:
        """Columns of this environment's rows that meet the conditions, the oldest first."""
        import pyarrow as pa

        from headwater.security.audit_table import read_batches

        schema = audit_schema()
        columns = [t.audit.c[_STORED.get(name, name)] for name in names]
        wanted = [t.audit.c.environment == self._environment, *conditions]
        return read_batches(self._state, columns, wanted, pa.schema([schema.field(name) for name in names]), begin)

    def _newest(self, filter: AuditFilter) -> Iterator[list[dict[str, Any]]]:
        seq = t.audit.c.seq
        conditions = [t.audit.c.environment == self._environment, *filter.conditions]
        last: int | None = None
        while True:
            beyond = [] if last is None else [seq < last]
            query = sa.select(t.audit).where(*conditions, *beyond).order_by(seq.desc()).limit(_CHUNK)
            rows = _fetch(self._state, query)
            if rows:
                last = rows[-1]["seq"]
                wanted = [row for row in rows if filter.has_table(row["tables"])]
                if wanted:
                    yield wanted
            if len(rows) < _CHUNK:
                return

    # -- proving -----------------------------------------------------------------------------------------------------

    def verify(self, anchors: Sequence[AuditHead] = (), is_ours: Callable[[AuditHead], bool] = lambda head: True) -> Verification:
        """Reads the whole chain, all environments of the store, and compares it with the heads that the lake keeps.

        A changed row doesn't give its hash; a removed or added one leaves a gap or a wrong link; what was cut off at the end, or written anew, is
        missing at an anchor. An anchor that isn't `is_ours` by its signature was put into the lake by somebody else. What came after the
        newest anchor can only be found cut off by whoever left the store's own note of the head alone.
        """
        chain = noted_head(self._state)
        faults = _Faults()
        wanted = {anchor.seq: anchor for anchor in anchors if chain is not None and anchor.chain == chain.chain}
        lost = sorted({anchor.chain for anchor in anchors if chain is None or anchor.chain != chain.chain})
        for forged in (anchor.seq for anchor in anchors if not is_ours(anchor)):
            faults.add("forged", forged, f"the lake's hash of row {forged} isn't signed with a key of this project")
        for name in lost:
            last = max(anchor.seq for anchor in anchors if anchor.chain == name)
            faults.add("lost", last, f"the lake knows of the audit {name} with {plural(last, 'row')}, which isn't in this store")
        previous, last_seq = (_genesis(chain.chain) if chain is not None else ""), 0
        count = 0
        for row in _all_rows(self._state):
            seq = row["seq"]
            count += 1
            if chain is None and count == 1:
                faults.add("missing", seq, "the note of the chain's head is gone")
                previous = row["previous"]
            if seq != last_seq + 1:
                missing = f"row {last_seq + 1} is" if seq == last_seq + 2 else f"rows {last_seq + 1} to {seq - 1} are"
                faults.add("missing", last_seq + 1, f"{missing} missing")
            elif row["previous"] != previous:
                faults.add("unlinked", seq, f"row {seq} doesn't follow from the row before it")
            if _hash(row) != row["hash"]:
                faults.add("changed", seq, f"row {seq} isn't as it was written")
            anchor = wanted.pop(seq, None)
            if anchor is not None and anchor.hash != row["hash"]:
                faults.add("rewritten", seq, f"row {seq} isn't the one that the lake has the hash of")
            previous, last_seq = row["hash"], seq
        ends = [chain.seq] if chain is not None else []
        end = max([*ends, *wanted], default=0)
        if end > last_seq:
            where = "the lake" if any(seq > last_seq for seq in wanted) else "the store"
            faults.add("truncated", last_seq + 1, f"rows {last_seq + 1} to {end}, which {where} knows of, are cut off")
        elif chain is not None:
            newest = noted_head(self._state)  # others may have appended meanwhile
            if newest is None or newest.seq < last_seq or (newest.seq == last_seq and newest.hash != previous):
                faults.add("changed", last_seq, "the note of the chain's head doesn't fit its last row")
        for seq in sorted(seq for seq in wanted if seq <= last_seq):
            faults.add("missing", seq, f"row {seq}, which the lake has the hash of, is missing")
        anchored = max((anchor.seq for anchor in anchors if chain is not None and anchor.chain == chain.chain), default=0)
        return Verification(None if chain is None else chain.chain, count, len(anchors), anchored, tuple(faults.found))


@dataclass(slots=True)
class _Faults:
    found: list[Fault] = field(default_factory=list)

    def add(self, kind: FaultKind, seq: int, message: str) -> None:
        if len(self.found) < _MAX_FAULTS:
            self.found.append(Fault(kind, seq, message))


def audit_schema() -> pa.Schema:
    """The columns of `headwater.audit`."""
    import pyarrow as pa

    text, texts, instant = pa.string(), pa.list_(pa.string()), pa.timestamp("us", tz="UTC")
    types = {"seq": pa.int64(), "logged_at": instant, "groups": texts, "tables": texts, "columns": texts, "rows": pa.int64(), "seconds": pa.float64()}
    shown = {stored: name for name, stored in _STORED.items()}
    names = [shown.get(column.name, column.name) for column in t.audit.columns if column.name != "environment"]
    return pa.schema([(name, types.get(name, text)) for name in names])


def _unwritable(error: Exception | None) -> AuditUnwritable:
    return AuditUnwritable(
        "the audit can't be written",
        found=error.found if isinstance(error, StateError) else type(error).__name__,
        state="what was asked for is not done, and nothing is shown",
        hint="check `state:` in headwater.yaml, and that the store answers",
    )


def _append(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    head = connection.execute(_HEAD).first()
    if head is None:
        chain = secrets.token_hex(16)
        seq, previous = 0, _genesis(chain)
        connection.execute(sa.insert(t.audit_chain), {"chain": chain, "seq": seq, "hash": previous})
    else:
        chain, seq, previous = head.chain, head.seq, head.hash
    numbered = []
    for row in rows:
        seq += 1
        whole = {**row, "seq": seq, "previous": previous}
        previous = whole["hash"] = _hash(whole)
        numbered.append(whole)
    connection.execute(_INSERT, numbered)
    connection.execute(_MOVE_HEAD, {"of_chain": chain, "seq": seq, "hash": previous})


def _genesis(chain: str) -> str:
    """What the first row of a chain follows."""
    return hashlib.sha256(f"headwater audit {chain}".encode()).hexdigest()


def _hash(row: dict[str, Any]) -> str:
    """The hash of a row: of the hash before it, and of all else in it as canonical JSON (keys in order, no spaces, ASCII, times in UTC)."""
    values = {name: row[name] for name in _HASHED if name not in _LATER or row[name] is not None}
    values["at"] = values["at"].astimezone(UTC).isoformat(timespec="microseconds")
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(f"{row['previous']}{text}".encode()).hexdigest()


def _row_of(record: Audited, environment: str) -> dict[str, Any]:
    sql, error = without_passwords(record.sql, record.error or "") if record.decision != "allowed" else (record.sql, record.error or "")
    return {
        "at": record.at,
        "environment": environment,
        "query_id": _clean(record.query_id),
        "principal": _clean(record.principal),
        "asked_by": None if record.asked_by is None else _clean(record.asked_by),
        "groups": [_clean(group) for group in record.groups],
        "door": record.door,
        "address": None if record.address is None else _clean(record.address),
        "purpose": None if record.purpose is None else _clean(record.purpose),
        "action": record.action,
        "sql": _cut(_clean(sql)),
        "tables": [_clean(table) for table in record.tables],
        "columns": [_clean(column) for column in record.columns],
        "rows": None if record.rows is None else int(record.rows),
        "decision": record.decision,
        "error": _cut(_clean(error)),
        "policy_version": record.policy_version,
        "seconds": float(record.seconds) + 0.0 if record.seconds is not None and math.isfinite(record.seconds) else None,
    }


def _clean(text: str) -> str:
    """Text that every store keeps as it is: no NUL, no half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{SYMBOL FOR NULL}")


def _cut(text: str) -> str:
    """The beginning of a long text, its length, and by what another can be held against all of it."""
    if len(text) <= _MOST_TEXT:
        return text
    return f"{text[:_MOST_TEXT]} .. ({len(text):,} characters, SHA-256 {hashlib.sha256(text.encode()).hexdigest()})"


def _read(row: dict[str, Any]) -> AuditRow:
    record = Audited(
        at=row["at"],
        query_id=row["query_id"],
        principal=row["principal"],
        action=row["action"],
        decision=row["decision"],
        door=row["door"],
        address=row["address"],
        purpose=row["purpose"],
        sql=row["sql"],
        tables=tuple(row["tables"]),
        columns=tuple(row["columns"]),
        rows=row["rows"],
        error=row["error"] or None,
        policy_version=row["policy_version"],
        seconds=row["seconds"],
        groups=tuple(row["groups"]),
        asked_by=row["asked_by"],
    )
    return AuditRow(row["seq"], row["environment"], record, row["previous"], row["hash"])


def _fetch(state: StateStore, query: sa.Select[Any]) -> list[dict[str, Any]]:
    return state.read(lambda connection: [dict(row) for row in connection.execute(query).mappings()])


def _all_rows(state: StateStore) -> Iterator[dict[str, Any]]:
    last = -1
    while True:
        rows = _fetch(state, sa.select(t.audit).where(t.audit.c.seq > last).order_by(t.audit.c.seq).limit(_CHUNK))
        yield from rows
        if len(rows) < _CHUNK:
            return
        last = rows[-1]["seq"]
