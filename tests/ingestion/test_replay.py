"""Rows of quarantine, judged again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from loading_kit import Loads, TableConnector, WholeTableConnector, source_of

from headwater.errors import TableNotFound

SCHEMA = pa.schema([("id", pa.int64()), ("n", pa.string()), ("at", pa.timestamp("us"))])
START = datetime(2024, 1, 1)
STRICT: dict[str, Any] = {"columns": {"n": {"type": "varchar", "checks": [{"matches": "^[0-9]+$"}]}}}
LENIENT: dict[str, Any] = {"columns": {"n": {"type": "varchar", "checks": [{"matches": "^[0-9x]+$"}]}}}


def row(id: int, n: str, hour: int = 0) -> dict[str, Any]:
    return {"id": id, "n": n, "at": START + timedelta(hours=hour)}


def test_rows_that_keep_todays_contract_are_loaded_once(loads: Loads) -> None:
    stream = {"primary_key": "id", "cursor": "at"}
    loads.load(TableConnector(SCHEMA, [row(1, "1"), row(2, "x"), row(3, "y")]), source_of({**stream, **STRICT}))
    position = loads.position()
    assert loads.replay(source_of({**stream, **STRICT})).change is None
    replayed = loads.replay(source_of({**stream, **LENIENT}))
    assert replayed.rows_rejected == 1
    assert replayed.change is not None
    assert replayed.change.load.operation == "replay"
    assert loads.rows("id, n") == [(1, "1"), (2, "x")]
    assert loads.waiting("json_extract_string(raw, '$.id')") == [("3",)]
    assert loads.position() == position
    assert loads.replay(source_of({**stream, **LENIENT})).change is None
    assert loads.rows("id, n") == [(1, "1"), (2, "x")]


@pytest.mark.parametrize("disposition", ["merge", "scd2"])
def test_a_replay_never_overwrites_a_newer_row(loads: Loads, disposition: str) -> None:
    stream = {"primary_key": "id", "cursor": "at", "write_disposition": disposition}
    connector = TableConnector(SCHEMA, [row(1, "x", 1), row(2, "x", 1)])
    connector.rows.append(row(9, "9", 0))
    loads.load(connector, source_of({**stream, **STRICT}))
    connector.rows = [row(1, "2", 2)]
    loads.load(connector, source_of({**stream, **STRICT}))
    replayed = loads.replay(source_of({**stream, **LENIENT}))
    assert replayed.change is not None
    assert {closing.state: len(closing.ids) for closing in replayed.change.closings} == {"replayed": 1, "superseded": 1}
    assert replayed.note == "1 closed as superseded, a newer row of the key being stored"
    assert loads.rows("id, n") == [(1, "2"), (2, "x"), (9, "9")]
    assert loads.waiting() == []


def test_without_a_cursor_what_was_loaded_later_is_newer(loads: Loads) -> None:
    connector = WholeTableConnector(SCHEMA, [row(1, "x"), row(2, "2")])
    loads.now = datetime.now().astimezone() - timedelta(days=2)
    loads.load(connector, source_of({"primary_key": "id", **STRICT}))
    loads.now = datetime.now().astimezone() + timedelta(days=1)
    connector.rows = [row(1, "x"), row(1, "7"), row(2, "2")]
    loads.load(connector, source_of({"primary_key": "id", **STRICT}))
    replayed = loads.replay(source_of({"primary_key": "id", **LENIENT}))
    assert replayed.change is not None
    assert [closing.state for closing in replayed.change.closings] == ["superseded"]
    assert loads.rows("id, n") == [(1, "7"), (2, "2")]


def test_only_the_rows_asked_for_are_replayed(loads: Loads) -> None:
    loads.load(WholeTableConnector(SCHEMA, [row(1, "1"), row(2, "x"), row(3, "x")]), source_of(STRICT))
    wanted = loads.waiting("id, json_extract_string(raw, '$.id')")
    loads.replay(source_of(LENIENT), ids=[id for id, key in wanted if key == "3"])
    assert loads.rows("id") == [(1,), (3,)]
    assert len(loads.waiting()) == 1


def test_a_replayed_row_of_a_replaced_table_is_kept_by_the_next_equal_read(loads: Loads) -> None:
    connector = WholeTableConnector(SCHEMA, [row(1, "1"), row(2, "x")])
    stream = {"write_disposition": "replace"}
    loads.load(connector, source_of({**stream, **STRICT}))
    loads.replay(source_of({**stream, **LENIENT}))
    assert loads.rows("id") == [(1,), (2,)]
    assert loads.load(connector, source_of({**stream, **LENIENT})).change is None


def test_a_table_never_loaded_has_nothing_to_replay(loads: Loads) -> None:
    with pytest.raises(TableNotFound):
        loads.replay(source_of({}))
