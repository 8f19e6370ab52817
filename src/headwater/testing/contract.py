"""The suite that every connector passes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from headwater.errors import SourceError, SourceUnreachable, StreamNotFound, UserCodeError
from headwater.sources.connector import Connector, ConnectorContext, CursorBound, ReadRequest, Scan
from headwater.sources.running import scan_ready
from headwater.spec.names import quote
from headwater.spec.sources import Stream
from headwater.testing.reading import attached_databases, engine_for, read_rows

#: What a connector under test must hold in its known stream: one of each plain type, nulls, quotes, other scripts, big numbers, an empty text.
KNOWN_ROWS: Final[tuple[dict[str, Any], ...]] = (
    {"id": 1, "name": "one", "amount": Decimal("1.25"), "ratio": 0.5, "is_open": True, "happened_at": datetime(2024, 1, 1, 12, 0, 0)},
    {
        "id": 2,
        "name": 'two, "quoted"',
        "amount": Decimal("-0.01"),
        "ratio": -1e300,
        "is_open": False,
        "happened_at": datetime(2024, 2, 29, 23, 59, 59),
    },
    {"id": 3, "name": "trois: é ü ß 漢字 🙂", "amount": Decimal("12345678.90"), "ratio": 0.1, "is_open": True, "happened_at": datetime(1970, 1, 1)},
    {"id": 4, "name": None, "amount": None, "ratio": None, "is_open": None, "happened_at": None},
    {
        "id": 9007199254740993,
        "name": "line\nbreak",
        "amount": Decimal("0.00"),
        "ratio": 2.0,
        "is_open": False,
        "happened_at": datetime(2038, 1, 19, 3, 14, 8),
    },
)
_COLUMNS = tuple(KNOWN_ROWS[0])


class ConnectorContract:
    """Subclass it in a test module, as `class TestMyConnector(ConnectorContract)`, and give it what the methods below ask for.

    `context` must make a source that holds KNOWN_ROWS in the stream that `stream` reads. A value may come back as another type that holds it in full
    (a Decimal as a float where the system has no decimals: name such columns in `loose_columns`).
    """

    #: The connector's class.
    connector: type[Connector]
    #: Text that stands in the connection and must stand in no message.
    secret: str | None = None
    #: Columns whose values are compared as numbers or text, since the system has no such type.
    loose_columns: tuple[str, ...] = ()
    #: Whether `discover` lists the known stream.
    discovers: bool = True

    def context(self, directory: Path) -> ConnectorContext:
        """The context to open the connector with, its data in place. `directory` is an empty folder for what it needs."""
        raise NotImplementedError

    def stream(self, **changes: Any) -> Stream:
        """The definition that reads the known rows, with these changes."""
        raise NotImplementedError

    def missing_stream(self) -> Stream:
        """A definition that names something that isn't there."""
        raise NotImplementedError

    def broken_context(self, directory: Path) -> ConnectorContext | None:
        """A context that can't connect, with `secret` in it; None where there is nothing to connect to."""
        return None

    # -- fixtures -------------------------------------------------------------------------------------------------------------

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Connector]:
        connector = self.connector(self.context(tmp_path))
        yield connector
        connector.close()

    def request(self, *, position: Any = None, cursor: CursorBound | None = None, limit: int | None = None, **changes: Any) -> ReadRequest:
        return ReadRequest("things", self.stream(**changes), position=position, cursor=cursor, limit=limit)

    # -- looking --------------------------------------------------------------------------------------------------------------

    def test_it_says_what_it_is(self) -> None:
        assert self.connector.type == self.connector.type.lower()
        assert self.connector.type.isidentifier()

    def test_check_says_what_answered_in_one_line(self, opened: Connector) -> None:
        answer = opened.check()
        assert answer
        assert "\n" not in answer
        self.assert_no_secret(answer)

    def test_discovered_definitions_are_streams_that_can_be_read(self, opened: Connector) -> None:
        found = opened.discover()
        if not self.discovers:
            return
        assert found
        columns_found = []
        for discovered in found:
            self.assert_no_secret(repr(discovered))
            definition = Stream.model_validate(dict(discovered.definition))
            request = ReadRequest(discovered.name, definition)
            columns_found.append({column.name for column in opened.columns(request)})
            assert json.loads(json.dumps(dict(discovered.definition))) == dict(discovered.definition), "a definition must be plain YAML"
        assert set(_COLUMNS) in columns_found

    def test_columns_are_those_that_are_read(self, opened: Connector) -> None:
        columns = opened.columns(self.request())
        rows = read_rows(opened.read(self.request()))
        assert [column.name for column in columns] == list(rows[0])
        assert all(column.type for column in columns)

    # -- reading --------------------------------------------------------------------------------------------------------------

    def test_every_row_is_read_once_with_its_values(self, opened: Connector) -> None:
        self.assert_rows(read_rows(opened.read(self.request())), KNOWN_ROWS)

    def test_reading_twice_gives_the_same(self, opened: Connector) -> None:
        reading = opened.read(self.request())
        again = opened.read(self.request())
        assert _sorted(read_rows(reading)) == _sorted(read_rows(again))
        assert reading.position == again.position

    def test_one_portion_can_be_opened_twice(self, opened: Connector) -> None:
        reading = opened.read(self.request())
        if any(isinstance(portion.data, Scan) and portion.data.cleanup is not None for portion in reading.portions):
            return  # what is unpacked for a read is gone after it
        assert _sorted(read_rows(reading)) == _sorted(read_rows(reading))

    def test_two_reads_run_side_by_side(self, opened: Connector) -> None:
        readings = [opened.read(self.request()), opened.read(self.request())]
        with engine_for(*readings) as engine, engine.connection() as first, engine.connection() as second:
            for one, two in zip(readings[0].portions, readings[1].portions, strict=True):
                if not isinstance(one.data, Scan) or not isinstance(two.data, Scan):
                    continue
                with scan_ready(first, one.data) as sql_one, scan_ready(second, two.data) as sql_two:
                    assert first.execute(f"SELECT count(*) FROM ({sql_one})").scalar() == second.execute(f"SELECT count(*) FROM ({sql_two})").scalar()

    def test_select_chooses_columns(self, opened: Connector) -> None:
        rows = read_rows(opened.read(self.request(select=["id", "name"])))
        assert {frozenset(row) for row in rows} == {frozenset(("id", "name"))}
        self.assert_rows(rows, KNOWN_ROWS)

    def test_exclude_leaves_columns_out(self, opened: Connector) -> None:
        rows = read_rows(opened.read(self.request(exclude=["amount", "ratio"])))
        assert {frozenset(row) for row in rows} == {frozenset(("id", "name", "is_open", "happened_at"))}

    def test_selecting_an_unknown_column_is_refused(self, opened: Connector) -> None:
        with pytest.raises(SourceError) as caught:
            read_rows(opened.read(self.request(select=["id", "nonesuch"])))
        assert "nonesuch" in str(caught.value)

    def test_a_limit_gives_that_many_rows(self, opened: Connector) -> None:
        assert len(read_rows(opened.read(self.request(limit=2)))) == 2

    def test_a_scan_takes_down_what_it_set_up(self, opened: Connector) -> None:
        reading = opened.read(self.request())
        with engine_for(reading) as engine, engine.connection() as connection:
            before = attached_databases(engine)
            for portion in reading.portions:
                if isinstance(portion.data, Scan):
                    with scan_ready(connection, portion.data) as sql:
                        connection.execute(sql).fetchall()
            assert attached_databases(engine) == before

    def test_rows_read_again_for_their_lines_are_the_rows(self, opened: Connector) -> None:
        reading = opened.read(self.request())
        with engine_for(reading) as engine, engine.connection() as connection:
            for portion in reading.portions:
                if not isinstance(portion.data, Scan) or portion.data.reread is None:
                    continue
                with scan_ready(connection, portion.data) as sql:
                    assert portion.data.reread("no place of this scan") is None
                    again = portion.data.reread(None)
                    assert again is not None
                    told = list(again.rows)
                    wanted = ", ".join(quote(name) for name in again.columns)
                    rows = connection.execute(f"SELECT {wanted} FROM ({sql})").fetchall()
                assert sorted(map(repr, rows)) == sorted(repr(values) for _, _, values in told if not isinstance(values, str))
                places = [(place, line) for place, line, _ in told]
                assert len(set(places)) == len(places), "two rows begin on one line"
                assert all(line > 0 for _, line in places)

    # -- positions ------------------------------------------------------------------------------------------------------------

    def test_a_cursor_reads_from_its_start_on(self, opened: Connector) -> None:
        if opened.capabilities.cursor and self.pushes_cursor():
            rows = read_rows(opened.read(self.request(cursor=CursorBound("id", start=3))))
            assert sorted(row["id"] for row in rows) == [3, 4, 9007199254740993]

    def test_a_cursor_stops_before_its_end(self, opened: Connector) -> None:
        if opened.capabilities.cursor and self.pushes_cursor():
            rows = read_rows(opened.read(self.request(cursor=CursorBound("id", start=2, end=4))))
            assert sorted(row["id"] for row in rows) == [2, 3]

    def test_a_cursor_may_be_a_time_as_text(self, opened: Connector) -> None:
        if opened.capabilities.cursor and self.pushes_cursor():
            rows = read_rows(opened.read(self.request(cursor=CursorBound("happened_at", start="2024-02-29 23:59:59"))))
            assert sorted(row["id"] for row in rows) == [2, 9007199254740993]

    def test_a_cursor_past_the_end_reads_nothing(self, opened: Connector) -> None:
        if opened.capabilities.cursor and self.pushes_cursor():
            assert read_rows(opened.read(self.request(cursor=CursorBound("id", start=9007199254740994)))) == []

    def test_nothing_is_new_once_its_position_is_committed(self, opened: Connector) -> None:
        if opened.capabilities.file_list:
            first = opened.read(self.request())
            assert first.position
            position = json.loads(json.dumps(dict(first.position)))
            assert opened.read(self.request(position=position)).portions == ()

    def pushes_cursor(self) -> bool:
        """Whether the source itself leaves out what lies before the cursor (a Python function may not care to)."""
        return True

    # -- failing --------------------------------------------------------------------------------------------------------------

    def test_what_is_not_there_is_told_as_such(self, opened: Connector) -> None:
        with pytest.raises(StreamNotFound) as caught:
            read_rows(opened.read(ReadRequest("nothing", self.missing_stream())))
        self.assert_no_secret(str(caught.value))
        assert caught.value.hint or caught.value.expected

    def test_a_source_that_is_away_is_unreachable_and_tells_no_secret(self, tmp_path: Path) -> None:
        context = self.broken_context(tmp_path)
        if context is None:
            return
        connector = self.connector(context)
        try:
            for attempt in (connector.check, connector.discover, lambda: read_rows(connector.read(self.request()))):
                with pytest.raises((SourceUnreachable, UserCodeError)) as caught:
                    attempt()
                self.assert_no_secret(str(caught.value))
                self.assert_no_secret(repr(caught.value.__cause__) + repr(caught.value.args))
                assert caught.value.retry == "yes"
        finally:
            connector.close()

    def test_closing_is_always_possible(self, tmp_path: Path) -> None:
        context = self.context(tmp_path)
        never_used = self.connector(context)
        never_used.close()
        never_used.close()
        used = self.connector(context)
        read_rows(used.read(self.request()))
        used.close()
        used.close()

    def test_acknowledging_twice_is_acknowledging_once(self, opened: Connector) -> None:
        reading = opened.read(self.request())
        for _ in range(2):
            opened.acknowledge("things", dict(reading.position or {"cursor": "1"}))

    # -- comparing ------------------------------------------------------------------------------------------------------------

    def assert_no_secret(self, text: str) -> None:
        assert self.secret is None or self.secret not in text, "the secret stands in it"

    def assert_rows(self, found: list[dict[str, Any]], expected: Any) -> None:
        """The same rows in any order, over the columns that were read."""
        by_id = {row["id"]: row for row in expected}
        assert sorted(row["id"] for row in found) == sorted(by_id), "not every row, or one twice"
        for row in found:
            for name, value in row.items():
                wanted = by_id[row["id"]][name]
                if name in self.loose_columns and value is not None and wanted is not None:
                    assert _loose(value) == _loose(wanted), f"{name} of row {row['id']}"
                else:
                    assert value == wanted, f"{name} of row {row['id']}"


def _loose(value: Any) -> Any:
    """The value in the one form that different systems' forms of it share: numbers and booleans as floats."""
    if isinstance(value, (bool, int, float, Decimal)):
        return float(value)
    return str(value).strip()


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: str(row["id"]))
