"""The audit's chain: written by many at once, and no tampering with it goes unseen."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from people import Clock
from sqlalchemy.dialects import sqlite

from headwater.errors import AuditUnwritable
from headwater.security.audit import AuditFilter, AuditLog, _hash
from headwater.security.audited import Audited, AuditHead, new_query_id
from headwater.state import StateStore
from headwater.state import tables as t


@pytest.fixture
def audit(store: StateStore) -> AuditLog:
    return AuditLog(store, "prod")


def record(clock: Clock, number: int = 0, **changes: object) -> Audited:
    plain = Audited(
        at=clock(),
        query_id=f"q{number}",
        principal="ada",
        action="select",
        decision="allowed",
        door="postgres",
        address="10.0.0.1",
        purpose="churn",
        sql=f"SELECT {number}",
        tables=("marts.revenue",),
        columns=("marts.revenue.day",),
        rows=number,
        policy_version="v1",
        seconds=0.1,
        groups=("analysts",),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.fixture
def ten(audit: AuditLog, clock: Clock) -> list[AuditHead]:
    """Ten rows; the heads after the third and the last."""
    heads = []
    for number in range(1, 11):
        audit.append(record(clock, number))
        clock.move(seconds=1)
        if number in (3, 10):
            heads.append(audit.head())
    return [head for head in heads if head is not None]


def run(store: StateStore, *statements: str) -> None:
    with store._database.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_rows_read_back_as_they_were_written_and_the_chain_is_sound(audit: AuditLog, clock: Clock, ten: list[AuditHead]) -> None:
    rows = audit.rows()
    assert [row.seq for row in rows] == list(range(1, 11))
    assert rows[0].record.rows == 1
    assert rows[9].record.columns == ("marts.revenue.day",)
    found = audit.verify(ten)
    assert found.is_sound
    assert (found.rows, found.anchors, found.anchored_seq) == (10, 2, 10)


def test_who_really_asked_is_part_of_the_chain_and_rows_without_it_have_the_hash_they_always_had(
    store: StateStore, audit: AuditLog, clock: Clock
) -> None:
    audit.append(record(clock, 1))
    audit.append(record(clock, 2, asked_by="owner"))
    with store._database.engine.connect() as connection:
        row = dict(connection.execute(sa.select(t.audit).where(t.audit.c.seq == 1)).mappings().one())
    values = {name: row[name] for name in row if name not in ("hash", "asked_by")} | {"at": row["at"].isoformat(timespec="microseconds")}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    assert row["hash"] == hashlib.sha256(f"{row['previous']}{text}".encode()).hexdigest()
    assert audit.rows(AuditFilter(principal="owner"))[0].record.asked_by == "owner"
    assert audit.verify().is_sound
    run(store, "UPDATE audit SET asked_by = NULL WHERE seq = 2")
    assert [fault.kind for fault in audit.verify().faults] == ["changed"]
    run(store, "UPDATE audit SET asked_by = 'owner' WHERE seq IN (1, 2)")
    assert [fault.seq for fault in audit.verify().faults] == [1]


def test_an_audit_that_nobody_wrote_to_is_sound(audit: AuditLog) -> None:
    assert audit.head() is None
    assert audit.verify().is_sound
    assert audit.rows() == []


@pytest.mark.parametrize(
    ("statements", "kind"),
    [
        (["UPDATE audit SET sql = 'SELECT 0' WHERE seq = 5"], "changed"),
        (["UPDATE audit SET rows = 0 WHERE seq = 10"], "changed"),
        (["UPDATE audit SET rows = NULL WHERE seq = 1"], "changed"),
        (["UPDATE audit SET principal = 'bo' WHERE seq = 4"], "changed"),
        (["UPDATE audit SET environment = 'dev' WHERE seq = 4"], "changed"),
        (["UPDATE audit SET at = '2026-03-01T12:00:09.000001+00:00' WHERE seq = 4"], "changed"),
        (["UPDATE audit SET columns = '[]' WHERE seq = 2"], "changed"),
        (["UPDATE audit SET hash = previous WHERE seq = 7"], "changed"),
        (["DELETE FROM audit WHERE seq = 1"], "missing"),
        (["DELETE FROM audit WHERE seq IN (5, 6)"], "missing"),
        (["DELETE FROM audit WHERE seq = 5", "UPDATE audit SET seq = seq - 1 WHERE seq = 6"], "unlinked"),
        ([f"UPDATE audit SET seq = {to} WHERE seq = {seq}" for seq, to in ((4, 100), (5, 4), (100, 5))], "unlinked"),
        (["DELETE FROM audit WHERE seq > 8"], "truncated"),
        (["DELETE FROM audit"], "truncated"),
        (["UPDATE audit_chain SET seq = 9"], "changed"),
        (["UPDATE audit_chain SET hash = 'x'"], "changed"),
        (["DELETE FROM audit_chain"], "missing"),
    ],
)  # fmt: skip
def test_tampering_is_found_by_the_chain_alone(store: StateStore, audit: AuditLog, ten: list[AuditHead], statements: list[str], kind: str) -> None:
    run(store, *statements)
    found = audit.verify()
    assert kind in {fault.kind for fault in found.faults}, found.faults


def insert(store: StateStore, **changes: object) -> None:
    """What somebody who knows the way of hashing would put in after the last row."""
    with store._database.engine.begin() as connection:
        last = dict(connection.execute(sa.select(t.audit).order_by(t.audit.c.seq.desc()).limit(1)).mappings().one())
        new = {**last, "seq": last["seq"] + 1, "previous": last["hash"], **changes}
        connection.execute(sa.insert(t.audit), {**new, "hash": _hash(new)})


def test_a_row_put_in_behind_the_head_is_found(store: StateStore, audit: AuditLog, ten: list[AuditHead]) -> None:
    insert(store)
    assert [fault.kind for fault in audit.verify().faults] == ["changed"]


def rewrite(store: StateStore, keep: int) -> None:
    """The work of somebody who may write the store: another row 2, all hashes made anew, the end cut off after `keep`, the note of the head too."""
    with store._database.engine.begin() as connection:
        connection.execute(sa.delete(t.audit).where(t.audit.c.seq > keep))
        rows = [dict(row) for row in connection.execute(sa.select(t.audit).order_by(t.audit.c.seq)).mappings()]
        previous = rows[0]["previous"]
        for row in rows:
            if row["seq"] == 2:
                row["sql"] = "SELECT nothing"
            row["previous"] = previous
            previous = row["hash"] = _hash(row)
            connection.execute(sa.update(t.audit).where(t.audit.c.seq == row["seq"]).values(row))
        connection.execute(sa.update(t.audit_chain).values(seq=keep, hash=previous))


def test_a_chain_written_anew_is_found_by_the_lakes_heads(store: StateStore, audit: AuditLog, ten: list[AuditHead]) -> None:
    rewrite(store, 10)
    assert audit.verify().is_sound, "by itself it is one"
    assert [(fault.kind, fault.seq) for fault in audit.verify(ten).faults] == [("rewritten", 3), ("rewritten", 10)]


def test_an_end_cut_off_with_the_note_of_it_is_found_by_the_lakes_heads(store: StateStore, audit: AuditLog, ten: list[AuditHead]) -> None:
    with store._database.engine.begin() as connection:
        hash = connection.execute(sa.select(t.audit.c.hash).where(t.audit.c.seq == 6)).scalar()
        connection.execute(sa.delete(t.audit).where(t.audit.c.seq > 6))
        connection.execute(sa.update(t.audit_chain).values(seq=6, hash=hash))
    assert audit.verify().is_sound
    [fault] = audit.verify(ten).faults
    assert (fault.kind, fault.seq) == ("truncated", 7)
    assert "the lake" in fault.message


def test_a_store_begun_anew_is_found_by_the_lakes_heads(store: StateStore, audit: AuditLog, ten: list[AuditHead], clock: Clock) -> None:
    run(store, "DELETE FROM audit", "DELETE FROM audit_chain")
    assert [fault.kind for fault in audit.verify(ten).faults] == ["lost"]
    audit.append(record(clock))
    assert [fault.kind for fault in audit.verify(ten).faults] == ["lost"]
    assert audit.verify().is_sound


def test_several_processes_and_threads_write_one_chain(store: StateStore, audit: AuditLog, url: str, tmp_path: Path, clock: Clock) -> None:
    code = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from headwater.security.audit import AuditLog
from headwater.security.audited import Audited
from headwater.state import StateStore
with StateStore.open(sys.argv[1], Path(sys.argv[2])) as store:
    log = AuditLog(store, "prod")
    for number in range(25):
        log.append(Audited(datetime.now(UTC), f"{sys.argv[3]}-{number}", "ada", "select", "allowed"))
"""
    children = [subprocess.Popen([sys.executable, "-c", code, url, str(tmp_path), str(number)]) for number in range(3)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: audit.append(record(clock, number)), range(100)))
    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert audit.verify().is_sound
    rows = audit.rows()
    assert len(rows) == 175
    assert [row.record.query_id for row in rows if row.record.query_id.startswith("1-")] == [f"1-{number}" for number in range(25)]


def test_environments_share_the_chain_and_read_their_own(store: StateStore, audit: AuditLog, clock: Clock) -> None:
    dev = AuditLog(store, "dev")
    for number, log in enumerate((audit, dev, audit)):
        log.append(record(clock, number))
    assert [row.seq for row in audit.rows()] == [1, 3]
    assert [row.seq for row in dev.rows()] == [2]
    assert dev.verify().rows == 3


@pytest.mark.parametrize("text", ["nul \0 in it", "half a pair \ud800", "'; DROP TABLE audit; --", "ø\u2028\U0001f600", "x" * 200_000])
def test_any_text_is_kept_so_that_the_chain_stays_sound(audit: AuditLog, clock: Clock, text: str) -> None:
    audit.append(record(clock, sql=text, purpose=text, error=text, tables=(text,), columns=(text,), groups=(text,), address=text))
    assert audit.verify().is_sound
    assert audit.rows()[0].record.sql[:5] == text[:5] or "\0" in text or "\ud800" in text


def test_odd_numbers_do_not_break_it(audit: AuditLog, clock: Clock) -> None:
    for seconds in (float("nan"), float("inf"), 1e-300, 1 / 3, None, 5, -0.0):
        audit.append(record(clock, seconds=seconds))
    assert audit.verify().is_sound


def test_a_row_that_cannot_be_written_is_told_and_leaves_others_alone(audit: AuditLog, clock: Clock) -> None:
    def attempt(number: int) -> bool:
        try:
            audit.append(record(clock, number, rows=2**80 if number == 5 else number))
        except AuditUnwritable:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(20))) == 19
    assert audit.verify().rows == 19
    assert audit.verify().is_sound


def test_filters(audit: AuditLog, ten: list[AuditHead], clock: Clock) -> None:
    audit.append(record(clock, 11, principal="bo", decision="refused", tables=("Marts.Other",), action="export", query_id="x"))
    for filter, count in [
        (AuditFilter(principal="ada"), 10),
        (AuditFilter(principal="bo", action="export"), 1),
        (AuditFilter(decision="refused"), 1),
        (AuditFilter(table="marts.other"), 1),
        (AuditFilter(query_id="x"), 1),
        (AuditFilter(since=clock()), 1),
        (AuditFilter(until=clock()), 10),
        (AuditFilter(principal="nobody"), 0),
    ]:
        assert len(audit.rows(filter)) == count, filter
        assert audit.arrow(filter).num_rows == count
    assert [row.seq for row in audit.rows(limit=2)] == [10, 11]


def test_as_arrow_it_has_types_and_all_rows(audit: AuditLog, ten: list[AuditHead], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.security.audit._CHUNK", 3)
    table = audit.arrow()
    assert table.column("seq").to_pylist() == list(range(1, 11))
    assert table.schema.field("logged_at").type == pa.timestamp("us", tz="UTC")
    assert table.schema.field("columns").type == pa.list_(pa.string())
    assert [row.seq for row in audit.rows(limit=7)] == list(range(4, 11))
    assert audit.verify(ten).is_sound


def test_a_copy_of_the_store_holds_the_chain(store: StateStore, audit: AuditLog, ten: list[AuditHead], tmp_path: Path, clock: Clock) -> None:
    store.backup_to(tmp_path / "copy.sqlite")
    audit.append(record(clock, 11))
    store.restore_from(tmp_path / "copy.sqlite")
    assert audit.verify(ten).is_sound
    audit.append(record(clock, 12))
    assert audit.verify(ten).rows == 11


def test_query_ids_are_unlike() -> None:
    assert len({new_query_id() for _ in range(1000)}) == 1000


def test_of_a_long_statement_and_error_the_beginning_the_length_and_a_digest_are_kept(audit: AuditLog, clock: Clock) -> None:
    long = "é" * 100_000
    audit.append(record(clock, 1, sql=long, error=long))
    audit.append(record(clock, 2, sql="é" * 65_536))
    first, second = (row.record for row in audit.rows())
    assert first.sql == first.error == f"{'é' * 65_536} .. (100,000 characters, SHA-256 {hashlib.sha256(long.encode()).hexdigest()})"
    assert second.sql == "é" * 65_536
    assert audit.verify().is_sound


def test_rows_that_nobody_waits_for_are_written_before_too_much_of_them_waits(audit: AuditLog, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.security.audit._SOON", 600.0)
    monkeypatch.setattr("headwater.security.audit._MOST_WAITING_TEXT", 1_000)
    for number in range(1, 8):
        audit.append_soon(record(clock, number, sql="x" * 400))
        assert sum(len(waiting.row["sql"]) for waiting in audit._queue if waiting.row) <= 1_000
    assert [row.record.query_id for row in audit.rows()] == [f"q{number}" for number in range(1, 8)]


def test_what_somebody_asked_is_found_by_indexes(tmp_path: Path) -> None:
    conditions = AuditFilter(principal="ada").conditions
    query = sa.select(t.audit).where(t.audit.c.environment == "prod", *conditions).order_by(t.audit.c.seq.desc()).limit(10)
    compiled = query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    with StateStore.open("state.sqlite", tmp_path) as store:
        plan = store.read(lambda connection: [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")])
    assert any("audit_principal" in step for step in plan), plan
    assert any("audit_asked_by" in step for step in plan), plan
    assert not any(step.startswith("SCAN audit") for step in plan), plan
