"""What each export has acknowledged, and the difference between that and what its principal sees now.

Two tables of the lake for each export, in a schema that no reader has. `ledger` holds a row for each key the destination may have: the keyed hash
of the row it acknowledged (none: it isn't known what it has), and the hash of a row it refused. `pending` holds the changes of the run under way,
written before the first of them is sent: whatever a killed run may have sent stands there, so a row that is gone meanwhile is deleted at the
destination, too. No value of a row is kept but those of its key.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from headwater.engine import Connection
from headwater.errors import ExportKeyInvalid, ExportTakenOver, SqlBindError
from headwater.spec.counting import plural
from headwater.spec.names import EXPORTS_SCHEMA, quote, quote_literal
from headwater.storage.commit import finish_commit
from headwater.storage.core import Core, patiently, rollback
from headwater.storage.system import to_json

if TYPE_CHECKING:
    import pyarrow as pa

_LEDGER: Final = "key VARCHAR, sent VARCHAR, dead VARCHAR, reason VARCHAR, dead_at TIMESTAMPTZ, is_dropped BOOLEAN"
_PENDING: Final = "ordinal BIGINT, batch BIGINT, operation VARCHAR, key VARCHAR, hash VARCHAR"
_LEDGER_NAMES: Final = "key, sent, dead, reason, dead_at, is_dropped"
#: Stands for the hash of a row that is to be deleted.
_DELETE: Final = "delete"
#: The row of `pending` that names the plan it belongs to; it stays when all of it is done.
_HEADER: Final = -1
#: The batch of a row that no acknowledgement speaks for.
_NEVER: Final = 2**60


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that the destination refused: its place in the plan, and why, without values."""

    ordinal: int
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a plan got: its id, how many of its batches were acknowledged, which rows were refused."""

    plan_id: str
    batches: int
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportColumn:
    """A column that is exported: its name in the table, at the destination, and its DuckDB type as the principal sees it. `former` is another name
    that it had at the destination: rows acknowledged under that one count as acknowledged."""

    name: str
    target: str
    type: str
    former: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """How many rows are to be inserted, updated and deleted; `known` are those that the destination has or may have, `rows` those seen now.

    `dead` are refused rows that go on waiting. `vanished` are those that the destination has and the principal doesn't see now.
    `continues`: the plan is what was left of the one before, which wasn't finished.
    """

    rows: int
    known: int
    inserts: int
    updates: int
    deletes: int
    vanished: int
    dead: int
    batches: int
    continues: bool

    @property
    def changes(self) -> int:
        return self.inserts + self.updates + self.deletes


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A row that the destination refused and that waits. `id` is made of the key; `key` are its values as text."""

    id: str
    key: tuple[str | None, ...]
    operation: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Rows:
    """Some changes of one kind, in order. `first` is the place of the first in the plan. `table` has the columns c0, c1, ..; of deletes those of the
    key alone. `marks` are equal for equal changes alone: hashes of operation, key and values."""

    batch: int
    first: int
    operations: tuple[str, ...]
    marks: tuple[str, ...]
    table: pa.Table


def read_sql(table_sql: str, columns: Sequence[ExportColumn]) -> str:
    """The query of the rows, for the principal: columns by place, so that no name of theirs meets one of ours."""
    return f"SELECT {', '.join(f'{quote(column.name)} AS c{index}' for index, column in enumerate(columns))} FROM {table_sql}"


class Exported:
    """The acknowledged rows of one export in one environment. One run at a time: the caller holds its lease."""

    def __init__(self, core: Core, name: str) -> None:
        self._core = core
        self._name = name
        schema = f"{quote(core.database)}.{quote(EXPORTS_SCHEMA)}"
        self._schema = schema
        self._ledger = f"{schema}.{quote(f'{core.environment}.{name}')}"
        self._pending = f"{schema}.{quote(f'{core.environment}.{name}:pending')}"

    # -- the difference ----------------------------------------------------------------------------------------------

    @contextmanager
    def compare(
        self,
        reader: pa.RecordBatchReader,
        columns: Sequence[ExportColumn],
        key: Sequence[str],
        secret: str,
        *,
        progress: Progress | None = None,
        batch_rows: int = 1000,
        with_deletes: bool = True,
        is_full: bool = False,
    ) -> Iterator[Comparison]:
        """Takes all rows of `reader` (columns c0, c1, .., as `columns`) and compares them with what was acknowledged.

        `progress` is how far the newest plan got, as far as anybody knows. With `is_full` every row counts as changed. Raises ExportKeyInvalid.
        """
        connection = self._core.engine.connection()
        try:
            connection.execute("SET SESSION TimeZone = 'UTC'")  # texts of instants are the same wherever they are made
            self._read(connection, reader, columns, key, secret)
            plan_id = self._know(connection, progress)
            _restate(connection, any(column.former for column in columns))
            difference = _make_plan(connection, batch_rows, with_deletes, is_full)
            yield Comparison(self, connection, columns, tuple(_index(columns, name) for name in key), difference, plan_id)
        finally:
            rollback(connection)
            connection.close()

    def _read(self, connection: Connection, reader: pa.RecordBatchReader, columns: Sequence[ExportColumn], key: Sequence[str], secret: str) -> None:
        keys = [f"c{_index(columns, name)}" for name in key]
        texts = ", ".join(f"CAST({one} AS VARCHAR)" for one in keys)
        cells = ", ".join(f"CAST(c{index} AS VARCHAR)" for index in range(len(columns)))

        def sealed(names: Sequence[str]) -> str:
            shape = quote_literal(json.dumps([[name, column.type] for name, column in zip(names, columns, strict=True)]))
            return f"sha256({quote_literal(secret)} || sha256({quote_literal(secret)} || {shape} || CAST(to_json([{cells}]) AS VARCHAR)))"

        now = f"{sealed([column.target for column in columns])} AS hw_hash"
        if any(column.former for column in columns):
            now += f", {sealed([column.former or column.target for column in columns])} AS hw_former"
        connection.register("hw_reader", reader)
        try:
            connection.execute(
                f"CREATE OR REPLACE TEMP TABLE hw_rows AS SELECT CAST(to_json([{texts}]) AS VARCHAR) AS hw_key, {now}, * FROM hw_reader"
            )
        finally:
            connection.unregister("hw_reader")
        empty = connection.execute(f"SELECT count(*) FROM hw_rows WHERE {' OR '.join(f'{one} IS NULL' for one in keys)}").scalar()
        twice = connection.execute("SELECT count(*) FROM (SELECT hw_key FROM hw_rows GROUP BY hw_key HAVING count(*) > 1)").scalar()
        if empty or twice:
            raise ExportKeyInvalid(
                f"the key of the export {self._name} doesn't tell its rows apart",
                expected=f"each value of {', '.join(key)} once, and never null",
                found=f"{plural(empty, 'row')} without it" if empty else f"{plural(twice, 'value')} that several rows have",
                state="nothing was sent",
                hint="name columns under `key:` that identify a row for the export's principal; a masked column often doesn't",
            )

    def _know(self, connection: Connection, progress: Progress | None) -> str | None:
        """Makes the temporary tables `hw_before` (the plan before, as far as it isn't folded) and `hw_known` (the ledger with that folded in); gives
        the id of that plan."""
        connection.execute(f"CREATE OR REPLACE TEMP TABLE hw_known ({_LEDGER}); CREATE OR REPLACE TEMP TABLE hw_before ({_PENDING})")
        connection.execute("CREATE OR REPLACE TEMP TABLE hw_refused (ordinal BIGINT, reason VARCHAR, refused_at TIMESTAMPTZ)")
        plan_id = self._plan_id(connection)
        if plan_id is None:
            return None
        patiently(lambda: connection.execute(f"INSERT INTO hw_before SELECT * FROM {self._pending} WHERE ordinal >= 0"))
        done = progress.batches if progress is not None and progress.plan_id == plan_id else 0
        if progress is not None and progress.plan_id == plan_id:
            for refused in progress.refused:
                connection.execute("INSERT INTO hw_refused VALUES (?, ?, ?)", [refused.ordinal, refused.reason, refused.at])
        patiently(
            lambda: connection.execute(
                f"""
                INSERT INTO hw_known
                SELECT {_LEDGER_NAMES}
                FROM {self._ledger} l
                WHERE NOT EXISTS (FROM hw_before b WHERE b.key = l.key)
                UNION ALL
                SELECT
                    b.key,
                    CASE WHEN r.ordinal IS NULL AND b.batch < {done} THEN b.hash END,
                    CASE WHEN r.ordinal IS NOT NULL THEN coalesce(b.hash, '{_DELETE}') WHEN b.batch >= {done} THEN l.dead END,
                    CASE WHEN r.ordinal IS NOT NULL THEN r.reason WHEN b.batch >= {done} THEN l.reason END,
                    CASE WHEN r.ordinal IS NOT NULL THEN r.refused_at WHEN b.batch >= {done} THEN l.dead_at END,
                    r.ordinal IS NULL AND b.batch >= {done} AND coalesce(l.is_dropped, false)
                FROM hw_before b
                LEFT JOIN {self._ledger} l ON l.key = b.key
                LEFT JOIN hw_refused r ON r.ordinal = b.ordinal
                WHERE NOT (b.operation = '{_DELETE}' AND b.batch < {done} AND r.ordinal IS NULL)
                """
            )
        )
        return plan_id

    def _plan_id(self, connection: Connection) -> str | None:
        """The id of the newest plan; None before the first."""
        try:
            found = patiently(lambda: connection.execute(f"SELECT key FROM {self._pending} WHERE ordinal = {_HEADER}").scalar())
        except SqlBindError:
            return None
        return None if found is None else str(found)

    @property
    def is_known(self) -> bool:
        """Whether an export of that name ever had something to send here."""
        with self._core.engine.connection() as connection:
            return self._plan_id(connection) is not None

    def take_over(self, former: Exported) -> None:
        """What an export of another name has acknowledged is this one's from now on, unless it has something of its own; one commit. The caller holds
        the leases of both."""
        if self.is_known or not former.is_known:
            return
        with self._core.engine.connection() as connection:

            def work() -> None:
                for old, new in ((former._ledger, self._ledger), (former._pending, self._pending)):
                    connection.execute(f"ALTER TABLE {old} RENAME TO {new.removeprefix(f'{self._schema}.')}")

            self._commit(connection, work, f"the export {former._name} is called {self._name}")

    # -- commits -----------------------------------------------------------------------------------------------------

    def write_plan(self, connection: Connection, plan_id: str, before: str | None, has_rest: bool) -> None:
        """The plan of the temporary table `hw_plan` becomes the pending one, and what the one before did is folded into the ledger; one commit.

        Raises ExportTakenOver when the newest plan isn't `before` any more.
        """

        def work() -> None:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {self._schema}")
            connection.execute(f"CREATE TABLE IF NOT EXISTS {self._ledger} ({_LEDGER})")
            connection.execute(f"CREATE TABLE IF NOT EXISTS {self._pending} ({_PENDING})")
            self._refuse_other(connection, before)
            if has_rest:
                self._fold(connection, "hw_before")
            self._fold(connection, "hw_restated")
            connection.execute(f"DELETE FROM {self._pending}")
            connection.execute(f"INSERT INTO {self._pending} VALUES ({_HEADER}, 0, 'header', ?, NULL)", [plan_id])
            connection.execute(f"INSERT INTO {self._pending} SELECT ordinal, batch, operation, key, hash FROM hw_plan")

        self._commit(connection, work, f"plan the export {self._name}")

    def write_restated(self, connection: Connection, before: str | None) -> None:
        """Rows that are acknowledged under other names of columns are so under those of now, if there are any; one commit. Raises ExportTakenOver."""
        if not connection.execute("SELECT count(*) FROM hw_restated").scalar():
            return

        def work() -> None:
            self._refuse_other(connection, before)
            self._fold(connection, "hw_restated")

        self._commit(connection, work, f"columns of the export {self._name} have other names")

    def finish_plan(self, progress: Progress) -> None:
        """What the plan did is folded into the ledger, and nothing is pending; one commit. Raises ExportTakenOver."""
        with self._core.engine.connection() as connection:
            connection.execute("SET SESSION TimeZone = 'UTC'")

            def work() -> None:
                self._refuse_other(connection, progress.plan_id)
                self._know(connection, progress)  # within the transaction: what somebody doubts until then is doubted
                self._fold(connection, "hw_before")
                connection.execute(f"DELETE FROM {self._pending} WHERE ordinal >= 0")

            self._commit(connection, work, f"finish the export {self._name}")

    def write_doubt(self, connection: Connection, batch: int) -> None:
        """For a run that was taken over while it sent a batch of its own plan: nobody knows what the destination has of these keys now, so the next
        run sends them again; one commit."""
        keys = f"SELECT key FROM hw_plan WHERE batch = {batch}"

        def work() -> None:
            connection.execute(f"DELETE FROM {self._ledger} WHERE key IN ({keys})")
            connection.execute(f"INSERT INTO {self._ledger} SELECT key, NULL, NULL, NULL, NULL, false FROM ({keys})")
            connection.execute(f"UPDATE {self._pending} SET batch = {_NEVER} WHERE ordinal >= 0 AND key IN ({keys})")

        self._commit(connection, work, f"doubt what the export {self._name} sent")

    def _fold(self, connection: Connection, keys: str) -> None:
        connection.execute(f"DELETE FROM {self._ledger} WHERE key IN (SELECT key FROM {keys})")
        connection.execute(f"INSERT INTO {self._ledger} SELECT {_LEDGER_NAMES} FROM hw_known WHERE key IN (SELECT key FROM {keys})")

    def _refuse_other(self, connection: Connection, expected: str | None) -> None:
        found = connection.execute(f"SELECT key FROM {self._pending} WHERE ordinal = {_HEADER}").scalar()
        if (None if found is None else str(found)) != expected:
            raise self._taken_over()

    def _taken_over(self) -> ExportTakenOver:
        return ExportTakenOver(
            f"another run of the export {self._name} went on", state="what this one sent will be compared again", hint="headwater export status"
        )

    def _commit(self, connection: Connection, work: Callable[[], object], message: str) -> None:
        mark = uuid.uuid4().hex

        def attempt() -> None:
            base = self._core.begin(connection)
            try:
                work()
                extra = to_json({"headwater": 1, "commit": mark, "environment": self._core.environment, "export": self._name})
                connection.execute(f"CALL {quote(self._core.database)}.set_commit_message(?, ?, extra_info => ?)", ["headwater", message, extra])
                finish_commit(self._core, connection, base, mark)
            except BaseException:
                rollback(connection)
                raise

        self._core.write(attempt, message)

    # -- dead letters ------------------------------------------------------------------------------------------------

    def dead_letters(self) -> list[DeadLetter]:
        """Refused rows that wait, the oldest first."""
        with self._core.engine.connection() as connection:
            try:
                rows = patiently(
                    lambda: connection.execute(
                        f"""
                        SELECT left(sha256(key), 12), key, CASE WHEN dead = '{_DELETE}' THEN 'delete' ELSE 'upsert' END, reason, dead_at
                        FROM {self._ledger}
                        WHERE dead IS NOT NULL AND NOT is_dropped
                        ORDER BY dead_at, key
                        """
                    ).fetchall()
                )
            except SqlBindError:
                return []
        return [DeadLetter(row[0], tuple(json.loads(row[1])), *row[2:]) for row in rows]

    def change_dead(self, ids: Sequence[str], *, drop: bool) -> int:
        """Lets refused rows be tried again by the next run, or gives them up (until their values change); says how many."""
        wanted = set(ids)
        found = [letter.id for letter in self.dead_letters() if letter.id in wanted]
        if not found:
            return 0
        which = f"dead IS NOT NULL AND left(sha256(key), 12) IN ({', '.join(map(quote_literal, found))})"
        change = "is_dropped = true" if drop else "dead = NULL, reason = NULL, dead_at = NULL, is_dropped = false"
        with self._core.engine.connection() as connection:
            self._commit(connection, lambda: connection.execute(f"UPDATE {self._ledger} SET {change} WHERE {which}"), f"dead letters of {self._name}")
        return len(found)


class Comparison:
    """A difference that was worked out, on a connection that holds the rows. Good inside its `with` alone."""

    def __init__(
        self,
        exported: Exported,
        connection: Connection,
        columns: Sequence[ExportColumn],
        key: Sequence[int],
        difference: Difference,
        before: str | None,
    ) -> None:
        self._exported = exported
        self._connection = connection
        self._columns = columns
        self._key = key
        self.difference = difference
        self._before = before

    @property
    def has_rest(self) -> bool:
        """Whether something is pending from before."""
        return bool(self._connection.execute("SELECT count(*) FROM hw_before").scalar())

    def commit_plan(self, plan_id: str) -> None:
        """Writes what is about to be sent into the lake. Raises ExportTakenOver, and what a commit raises."""
        self._exported.write_plan(self._connection, plan_id, self._before, self.has_rest)

    def keep_restated(self) -> None:
        """See `Exported.write_restated`: for a run that has nothing to send."""
        self._exported.write_restated(self._connection, self._before)

    def doubt(self, batch: int) -> None:
        """See `Exported.write_doubt`."""
        self._exported.write_doubt(self._connection, batch)

    def batches(self, *, as_text: bool) -> Iterator[Rows]:
        """The changes, batch by batch, deletes first. `as_text`: every value as DuckDB writes it (instants in UTC, bytes in hexadecimal, nested ones
        as JSON), else typed."""
        shown = [_text(f"c{index}", column.type) if as_text else f"c{index}" for index, column in enumerate(self._columns)]
        about = "p.ordinal, p.batch, p.operation, sha256(p.operation || ' ' || p.key || coalesce(p.hash, '')) AS mark"
        if self.difference.deletes:
            keys = ", ".join(f"CAST(p.key ->> {place} AS {self._columns[index].type}) AS c{index}" for place, index in enumerate(self._key))
            cells = ", ".join(f"{shown[index]} AS c{index}" for index in self._key)
            deletes = f"SELECT {about}, {keys} FROM hw_plan p WHERE p.operation = '{_DELETE}'"
            yield from self._cut(f"SELECT ordinal, batch, operation, mark, {cells} FROM ({deletes}) ORDER BY ordinal")
        if self.difference.inserts + self.difference.updates:
            cells = ", ".join(f"{one} AS c{index}" for index, one in enumerate(shown))
            rows = f"hw_plan p JOIN hw_rows r ON r.hw_key = p.key WHERE p.operation <> '{_DELETE}'"
            yield from self._cut(f"SELECT {about}, {cells} FROM {rows} ORDER BY p.ordinal")

    def _cut(self, sql: str) -> Iterator[Rows]:
        """The rows of an ordered query, cut where the batch changes."""
        import pyarrow as pa

        kept: list[pa.RecordBatch] = []
        current: int | None = None
        for batch in self._connection.execute(sql).batches(20_000):
            numbers = batch.column(1).to_pylist()
            start = 0
            for index, number in enumerate([*numbers, None]):
                if index < len(numbers) and number == current:
                    continue
                if index > start and current is not None:
                    kept.append(batch.slice(start, index - start))
                if index < len(numbers):
                    if kept and current is not None:
                        yield _rows(pa.Table.from_batches(kept), current)
                        kept = []
                    current, start = number, index
        if kept and current is not None:
            yield _rows(pa.Table.from_batches(kept), current)


def _rows(table: pa.Table, batch: int) -> Rows:
    operations, marks = (tuple(map(str, table.column(place).to_pylist())) for place in (2, 3))
    return Rows(batch, int(table.column(0)[0].as_py()), operations, marks, table.drop_columns(table.column_names[:4]))


def _index(columns: Sequence[ExportColumn], name: str) -> int:
    return next(index for index, column in enumerate(columns) if column.name.lower() == name.lower())


def _text(expression: str, type_name: str) -> str:
    """A value as text that says all of it."""
    if type_name == "BLOB":
        return f"lower(hex({expression}))"
    if type_name.endswith("]") or type_name.startswith(("STRUCT", "MAP", "UNION")):
        return f"CAST(to_json({expression}) AS VARCHAR)"
    return f"CAST({expression} AS VARCHAR)"


def _restate(connection: Connection, has_former_names: bool) -> None:
    """Rows that were acknowledged, or refused, as they are now but for a column's former name count as so in `hw_known`; `hw_restated` has their
    keys."""
    which = "r.hw_key = k.key AND r.hw_former <> r.hw_hash AND r.hw_former IN (k.sent, k.dead)"
    keys = f"SELECT k.key FROM hw_known k JOIN hw_rows r ON {which}" if has_former_names else "SELECT key FROM hw_known LIMIT 0"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE hw_restated AS {keys}")
    if has_former_names:
        now = ", ".join(f"{name} = CASE WHEN k.{name} = r.hw_former THEN r.hw_hash ELSE k.{name} END" for name in ("sent", "dead"))
        connection.execute(f"UPDATE hw_known k SET {now} FROM hw_rows r WHERE {which}")


def _make_plan(connection: Connection, batch_rows: int, with_deletes: bool, is_full: bool) -> Difference:
    """Makes the temporary table `hw_plan`: the changes in order, each with its batch."""
    changed = "true" if is_full else "(k.key IS NULL OR (k.sent IS DISTINCT FROM r.hw_hash AND k.dead IS DISTINCT FROM r.hw_hash))"
    vanished = "FROM hw_known k WHERE NOT EXISTS (FROM hw_rows r WHERE r.hw_key = k.key)"
    still_dead = "" if is_full else f" AND k.dead IS DISTINCT FROM '{_DELETE}'"
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE hw_changes AS
        SELECT r.hw_key AS key, r.hw_hash AS hash, CASE WHEN k.sent IS NULL THEN 'insert' ELSE 'update' END AS operation
        FROM hw_rows r
        LEFT JOIN hw_known k ON k.key = r.hw_key
        WHERE {changed}
        UNION ALL
        SELECT k.key, NULL, '{_DELETE}' {vanished}{still_dead} AND {with_deletes}
        """
    )
    deletes = int(connection.execute(f"SELECT count(*) FROM hw_changes WHERE operation = '{_DELETE}'").scalar())
    first = -(-deletes // batch_rows)
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE hw_plan AS
        SELECT
            ordinal,
            CASE WHEN operation = '{_DELETE}' THEN ordinal // {batch_rows} ELSE {first} + (ordinal - {deletes}) // {batch_rows} END AS batch,
            operation,
            key,
            hash
        FROM (
            SELECT c.*, row_number() OVER (ORDER BY c.operation <> '{_DELETE}', b.ordinal NULLS LAST, c.key) - 1 AS ordinal
            FROM hw_changes c
            LEFT JOIN hw_before b ON b.key = c.key
        )
        """
    )

    def count(sql: str) -> int:
        return int(connection.execute(f"SELECT count(*) {sql}").scalar())

    inserts, updates = (count(f"FROM hw_plan WHERE operation = '{operation}'") for operation in ("insert", "update"))
    has_before = count("FROM hw_before") > 0
    return Difference(
        rows=count("FROM hw_rows"),
        known=count("FROM hw_known"),
        inserts=inserts,
        updates=updates,
        deletes=deletes,
        vanished=count(vanished),
        dead=count("FROM hw_known k WHERE dead IS NOT NULL AND NOT is_dropped AND NOT EXISTS (FROM hw_plan p WHERE p.key = k.key)"),
        batches=first + -(-(inserts + updates) // batch_rows),
        continues=has_before and not count("FROM (SELECT key, hash FROM hw_plan EXCEPT SELECT key, hash FROM hw_before)"),
    )
