"""Positions are exact, typed and never move backwards."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from loading_kit import Loads, TableConnector, source_of

from headwater.errors import ContractRefused
from headwater.ingestion.cursor import advanced, bound, value_of
from headwater.spec.sources import Cursor

AT = datetime(2024, 1, 1, 10, 0, 0, 123456)


@pytest.mark.parametrize(
    ("text", "type_name", "value"),
    [
        ("2024-01-01 10:00:00.123456", "TIMESTAMP", AT),
        ("2024-01-01 10:00:00.12", "TIMESTAMP", datetime(2024, 1, 1, 10, 0, 0, 120000)),
        ("2024-01-01 10:00:00.123456+00", "TIMESTAMP WITH TIME ZONE", AT.replace(tzinfo=UTC)),
        ("2024-01-01", "DATE", date(2024, 1, 1)),
        ("9223372036854775807", "BIGINT", 2**63 - 1),
        ("12345678901234567890.12", "DECIMAL(38,2)", Decimal("12345678901234567890.12")),
        ("01HX", "VARCHAR", "01HX"),
    ],
)
def test_a_position_gives_back_the_very_value(text: str, type_name: str, value: Any) -> None:
    assert value_of({"cursor": text, "type": type_name}) == value


@pytest.mark.parametrize(
    ("cursor", "position", "start"),
    [
        ({"lag": "10 minutes"}, {"cursor": "2024-01-01 10:00:00.123456", "type": "TIMESTAMP"}, AT - timedelta(minutes=10)),
        ({"lag": "36h"}, {"cursor": "2024-01-03", "type": "DATE"}, date(2024, 1, 1)),
        ({"lag": 5}, {"cursor": "100", "type": "BIGINT"}, 95),
        ({"lag": 0.5}, {"cursor": "1.25", "type": "DECIMAL(10,2)"}, Decimal("0.75")),
        ({"lag": "1 day", "start": "2024-01-01"}, {"cursor": "2024-01-01 10:00:00", "type": "TIMESTAMP"}, datetime(2024, 1, 1)),
        ({"start": 7}, None, 7),
        ({}, {"cursor": "x", "type": "VARCHAR"}, "x"),
        ({"lag": "400 days"}, {"cursor": "0001-02-01 00:00:00", "type": "TIMESTAMP"}, datetime.min),
    ],
)
def test_reading_begins_at_the_position_less_the_lag(cursor: dict[str, Any], position: dict[str, str] | None, start: Any) -> None:
    assert bound(Cursor.model_validate({"column": "c", **cursor}), position).start == start


def test_a_lag_that_does_not_suit_the_type_is_told() -> None:
    with pytest.raises(ContractRefused, match="lag"):
        bound(Cursor(column="c", lag=timedelta(minutes=1)), {"cursor": "5", "type": "BIGINT"})


def test_a_position_never_moves_backwards() -> None:
    position = {"cursor": "100", "type": "BIGINT"}
    assert advanced(position, "99", "BIGINT") == position
    assert advanced(position, "1000", "BIGINT") == {"cursor": "1000", "type": "BIGINT"}
    assert advanced(position, None, "BIGINT") == position


SCHEMA = pa.schema([("id", pa.int64()), ("at", pa.timestamp("us", tz="UTC")), ("n", pa.string())])


def test_the_next_read_asks_for_what_is_not_older_than_the_highest_value_less_the_lag(loads: Loads) -> None:
    at = AT.replace(tzinfo=UTC)
    connector = TableConnector(SCHEMA, [{"id": 1, "at": at, "n": "1"}, {"id": 2, "at": at - timedelta(days=1), "n": "1"}])
    source = source_of({"primary_key": "id", "cursor": {"column": "at", "lag": "1 minute"}})
    loads.load(connector, source)
    assert loads.position() == {"cursor": "2024-01-01 10:00:00.123456+00", "type": "TIMESTAMP WITH TIME ZONE"}
    assert loads.load(connector, source).change is None
    cursor = connector.requests[-1].cursor
    assert cursor is not None
    assert cursor.start == at - timedelta(minutes=1)


def test_a_position_does_not_depend_on_the_sessions_time_zone(loads: Loads) -> None:
    with loads.lake.engine.connection() as connection:
        connection.execute("SET GLOBAL TimeZone = 'Asia/Kolkata'")
    connector = TableConnector(SCHEMA, [{"id": 1, "at": AT.replace(tzinfo=UTC), "n": "1"}])
    loads.load(connector, source_of({"primary_key": "id", "cursor": "at"}))
    assert loads.position() == {"cursor": "2024-01-01 10:00:00.123456+00", "type": "TIMESTAMP WITH TIME ZONE"}


def test_rows_without_a_cursor_value_or_beyond_time_wait_in_quarantine(loads: Loads) -> None:
    schema = pa.schema([("id", pa.int64()), ("at", pa.string())])
    connector = TableConnector(schema, [{"id": 1, "at": None}, {"id": 2, "at": "2024-01-01"}, {"id": 3, "at": "12024-01-01"}])
    source = source_of({"cursor": "at", "columns": {"at": "timestamp"}})
    loads.load(connector, source)
    assert [row[0] for row in loads.waiting()] == ["cursor: at is infinite or beyond year 9999", "null: at (cursor)"]
    assert loads.position() == {"cursor": "2024-01-01 00:00:00", "type": "TIMESTAMP"}


def test_rejected_rows_move_the_position_as_well(loads: Loads) -> None:
    at = AT.replace(tzinfo=UTC)
    source = source_of({"primary_key": "id", "cursor": "at", "columns": {"n": "bigint"}})
    connector = TableConnector(SCHEMA, [{"id": 1, "at": at, "n": "1"}, {"id": 2, "at": at + timedelta(hours=1), "n": "x"}])
    loads.load(connector, source)
    assert value_of(loads.position()) == at + timedelta(hours=1)
    assert loads.load(connector, source).change is None


def test_a_reload_reads_again_from_the_given_value(loads: Loads) -> None:
    at = AT.replace(tzinfo=UTC)
    connector = TableConnector(SCHEMA, [{"id": 1, "at": at, "n": "1"}, {"id": 2, "at": at + timedelta(days=1), "n": "2"}])
    source = source_of({"primary_key": "id", "cursor": "at"})
    loads.load(connector, source)
    connector.rows[0]["n"] = "corrected without a new time"
    assert loads.load(connector, source).change is None
    change = loads.load(connector, source, reload_from="2024-01-01T00:00:00+00:00").change
    assert change is not None
    assert (change.load.operation, change.position) == ("reload", None)
    assert loads.rows("id, n") == [(1, "corrected without a new time"), (2, "2")]


def test_a_full_refresh_rebuilds_the_rows_with_the_types_of_now(loads: Loads) -> None:
    source = source_of({"primary_key": "id", "cursor": "at"})
    at = AT.replace(tzinfo=UTC)
    loads.load(TableConnector(SCHEMA, [{"id": 1, "at": at, "n": "x"}]), source)
    schema = pa.schema([("id", pa.int64()), ("at", pa.timestamp("us", tz="UTC")), ("n", pa.int64())])
    loads.load(TableConnector(schema, [{"id": 2, "at": at - timedelta(days=1), "n": 5}]), source, full_refresh=True)
    assert loads.rows("id, n") == [(2, 5)]
    assert value_of(loads.position()) == at - timedelta(days=1)


def test_a_renamed_stream_keeps_rows_and_position(loads: Loads) -> None:
    connector = TableConnector(SCHEMA, [{"id": 1, "at": AT.replace(tzinfo=UTC), "n": "1"}])
    stream = {"primary_key": "id", "cursor": "at"}
    loads.load(connector, source_of(stream))
    renamed = source_of({**stream, "renamed_from": "orders"}, stream_name="sales")
    loads.load(connector, renamed, "sales")
    assert loads.position("shop.sales") == loads.position("shop.orders")
    connector.rows.append({"id": 2, "at": AT.replace(tzinfo=UTC), "n": "2"})
    loads.load(connector, renamed, "sales")
    assert loads.rows("id", "shop.sales") == [(1,), (2,)]
