"""The table `headwater.audit` is read by the piece: what a query asks for, and never all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from headwater.security import audit_table
from headwater.security.audit import AuditLog
from headwater.security.audit_table import AuditTable
from headwater.security.audited import Audited
from headwater.state import StateStore

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
SCHEMA = pa.schema([("seq", pa.int64()), ("logged_at", pa.timestamp("us", tz="UTC")), ("principal", pa.string())])
CONDITIONS = [
    "true",
    "logged_at >= '2026-01-02'",
    "logged_at >= '2026-01-02' AND logged_at < '2026-01-02 06:00'",
    "logged_at = '2026-01-01 00:10:00'",
    "logged_at BETWEEN '2026-01-01 12:00' AND '2026-01-01 13:00' OR principal = 'u3'",
    "logged_at BETWEEN '2026-01-01 12:00' AND '2026-01-01 13:00' AND principal = 'u3'",
    "logged_at IN ('2026-01-01 00:10:00', '2026-01-03 00:00:00')",
    "date_trunc('day', logged_at) = '2026-01-02'",
    "logged_at > '2030-01-01'",
    "logged_at < '2020-01-01' OR logged_at IS NULL",
    "NOT logged_at < '2026-01-03'",
    "principal = 'x'' AND logged_at >= 2030'",
    "seq > 100 AND seq <= 130",
    "seq % 7 = 3",
]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditLog]:
    """400 rows over some days, not all of them in the order of their times."""
    with StateStore.open("state.sqlite", Path(tmp_path_factory.mktemp("audit"))) as state:
        log = AuditLog(state, "local")
        for number in range(400):
            at = BEGIN + timedelta(minutes=10 * (number if number % 50 else max(number - 30, 0)))
            log.append_soon(Audited(at, f"q{number}", f"u{number % 9}", "select", "allowed", tables=("a.b",), seconds=number / 7))
        AuditLog(state, "elsewhere").append(Audited(BEGIN, "q", "u3", "select", "allowed"))
        log.flush()
        yield log


@pytest.fixture
def ask(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> Callable[[object, str], list[tuple[object, ...]]]:
    monkeypatch.setattr(audit_table, "_BATCH", 37)

    def ask(table: object, sql: str) -> list[tuple[object, ...]]:
        with duckdb.connect(config={"threads": 2}) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("audit", table)
            return connection.execute(sql).fetchall()

    return ask


@pytest.mark.parametrize("condition", CONDITIONS)
def test_any_condition_finds_what_it_would_in_all_of_the_audit(
    log: AuditLog, ask: Callable[[object, str], list[tuple[object, ...]]], condition: str
) -> None:
    for columns in ("*", "seq", "principal, count(*), max(logged_at)"):
        sql = f"SELECT {columns} FROM audit WHERE {condition} {'GROUP BY 1' if 'count' in columns else ''} ORDER BY ALL"
        assert ask(log.table(), sql) == ask(log.arrow(), sql)


def test_one_query_may_read_it_twice_and_sees_what_was_there_when_it_began(
    log: AuditLog, ask: Callable[[object, str], list[tuple[object, ...]]]
) -> None:
    table = log.table()
    log.append(Audited(BEGIN, "later", "u1", "select", "allowed"))
    assert ask(table, "SELECT count(*) FROM audit a JOIN audit b USING (seq)") == [(400,)]
    assert ask(table, "SELECT count(*) FROM audit WHERE query_id = 'later'") == [(0,)]


def test_an_empty_audit_is_an_empty_table(tmp_path: Path, ask: Callable[[object, str], list[tuple[object, ...]]]) -> None:
    with StateStore.open("state.sqlite", tmp_path) as state:
        assert ask(AuditLog(state, "local").table(), "SELECT count(*) FROM audit WHERE logged_at > '2026-01-01'") == [(0,)]


def test_only_the_columns_and_the_time_that_are_asked_for_are_read(ask: Callable[[object, str], list[tuple[object, ...]]]) -> None:
    asked: list[tuple[list[str], tuple[datetime, datetime] | None]] = []

    def read(names: Sequence[str], stretch: tuple[datetime, datetime] | None) -> Iterator[pa.RecordBatch]:
        asked.append((list(names), stretch))
        yield pa.RecordBatch.from_pylist([], schema=SCHEMA).select(list(names))

    table = AuditTable(SCHEMA, read, "logged_at", (BEGIN, BEGIN + timedelta(days=256)))
    ask(table, "SELECT principal FROM audit")
    ask(table, "SELECT principal FROM audit WHERE logged_at >= '2026-03-01' AND logged_at < '2026-03-02'")
    ask(table, "SELECT principal FROM audit WHERE principal = 'a'")
    assert asked[0] == (["principal"], None)
    assert asked[2] == (["principal"], None)
    names, stretch = asked[1]
    assert sorted(names) == ["logged_at", "principal"]
    assert stretch is not None
    assert stretch[0] <= datetime(2026, 3, 1, tzinfo=UTC)
    assert stretch[1] >= datetime(2026, 3, 2, tzinfo=UTC)
    assert stretch[1] - stretch[0] < timedelta(days=4)
