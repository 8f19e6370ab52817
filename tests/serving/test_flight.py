"""The Flight SQL door, by ADBC's driver and by pyarrow's bare client."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import adbc_driver_flightsql.dbapi as dbapi
import adbc_driver_manager
import pyarrow as pa
import pyarrow.flight as flight
import pytest
from adbc_driver_flightsql import DatabaseOptions
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import UsageError
from headwater.security.principals import Principal
from headwater.serving.flight import parameters, server
from headwater.serving.flight.protobuf import Fields, Malformed, pack, unpack, write
from headwater.serving.flight.server import FlightDoor
from headwater.serving.jobs import Monitor
from headwater.serving.limits import DoorLimits
from headwater.serving.tls import made_certificate
from serving.doors_service import Column, PlainService, Relationship, Table

LONG = "SELECT count(*) FROM range(100000000000) a, range(1000) b WHERE a.range + b.range = -1"


def wait_until(condition: Any, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it didn't come about"
        time.sleep(0.01)


@pytest.fixture
def service() -> Iterator[PlainService]:
    service = PlainService()
    service.execute("CREATE SCHEMA marts")
    service.execute(
        "CREATE TABLE marts.orders AS SELECT i::INTEGER AS id, 'note ' || i AS note, i * 1.5::DECIMAL(10,2) AS amount FROM range(300000) t(i)"
    )
    columns = (Column("id", "INTEGER", False), Column("note", "VARCHAR", True, "free text"), Column("amount", "DECIMAL(29,2)"))
    service.tables_seen = (
        Table("marts.orders", "table", columns, ("id",)),
        Table("marts.lines", "view", (Column("order_id", "INTEGER"), Column("ok", "BOOLEAN")), (), (Relationship("order_id", "marts.orders", "id"),)),
    )
    yield service
    service.close()


@pytest.fixture
def door(service: PlainService) -> Iterator[FlightDoor]:
    monitor = Monitor()
    door = FlightDoor(service, monitor, "127.0.0.1", 0, limits=DoorLimits(body=10_000, seconds=60, idle=1.5, queries=4, wait=0.3))
    yield door
    monitor.close()
    door.stop()
    assert service.opened == service.closed
    assert monitor.count == 0


def connect(door: FlightDoor, service: PlainService, **more: str) -> dbapi.Connection:
    options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {service.bobs_token}", **more}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are no transactions
        return dbapi.connect(door.url.replace("grpc://", "grpc+tcp://"), db_kwargs=options)


def test_adbc_reads_rows_and_binds_parameters(door: FlightDoor, service: PlainService) -> None:
    with connect(door, service) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM marts.orders ORDER BY id")
        table = cursor.fetch_arrow_table()
        assert table.schema == pa.schema([("id", pa.int32()), ("note", pa.string()), ("amount", pa.decimal128(29, 2))])
        assert table.column("id").to_pylist() == list(range(300_000))
        cursor.execute("SELECT id, note FROM marts.orders WHERE id IN (?, ?) AND note <> ? ORDER BY 1", (3, 5, "note 4"))
        assert cursor.fetchall() == [(3, "note 3"), (5, "note 5")]
        cursor.execute("SELECT $1::DECIMAL(10,2), $2::BLOB, $3", (Decimal("1.25"), b"\xff", None))
        assert cursor.fetchall() == [(Decimal("1.25"), b"\xff", None)]
        cursor.execute("SELECT 1 AS a, 2 AS a")
        assert cursor.fetchall() == [(1, 2)]
        cursor.execute("SELECT 1 WHERE false")
        assert cursor.fetchall() == []
        assert cursor.adbc_execute_schema("SELECT id FROM marts.orders") == pa.schema([("id", pa.int32())])


def test_adbc_sees_the_catalog(door: FlightDoor, service: PlainService) -> None:
    with connect(door, service) as connection:
        everything = connection.adbc_get_objects(depth="all").read_all().to_pylist()
        assert [catalog["catalog_name"] for catalog in everything] == ["shop"]
        (schema,) = everything[0]["catalog_db_schemas"]
        assert schema["db_schema_name"] == "marts"
        assert [(table["table_name"], table["table_type"]) for table in schema["db_schema_tables"]] == [("lines", "VIEW"), ("orders", "TABLE")]
        assert [column["xdbc_type_name"] for column in schema["db_schema_tables"][1]["table_columns"]] == ["INTEGER", "VARCHAR", "DECIMAL(29,2)"]
        some = connection.adbc_get_objects(depth="tables", table_name_filter="ord%", db_schema_filter="mart_").read_all().to_pylist()
        assert [table["table_name"] for table in some[0]["catalog_db_schemas"][0]["db_schema_tables"]] == ["orders"]
        assert connection.adbc_get_table_schema("orders", db_schema_filter="marts").names == ["id", "note", "amount"]
        assert connection.adbc_get_table_types() == ["TABLE", "VIEW"]
        assert connection.adbc_get_info()["vendor_name"] == "Headwater"


@pytest.mark.parametrize(
    ("sql", "kind", "code"),
    [
        ("SELEC 1", adbc_driver_manager.ProgrammingError, "HW-Q001"),
        ("SELECT nope", adbc_driver_manager.ProgrammingError, "HW-Q002"),
        ("SELECT CAST(note AS INTEGER) FROM marts.orders", adbc_driver_manager.ProgrammingError, "HW-Q003"),
        ("INSERT INTO marts.orders SELECT * FROM marts.orders", adbc_driver_manager.ProgrammingError, "HW-Q004"),
        ("SELECT '10:00:00+02'::TIMETZ", adbc_driver_manager.ProgrammingError, "HW-Q004"),
        ("SELECT '" + "x" * 20_000 + "'", adbc_driver_manager.ProgrammingError, "HW-P005"),
    ],
)
def test_errors_have_our_codes_and_no_trace(door: FlightDoor, service: PlainService, sql: str, kind: type[Exception], code: str) -> None:
    with connect(door, service) as connection, connection.cursor() as cursor:
        with pytest.raises(kind) as caught:
            cursor.execute(sql).fetchall()
        assert code in str(caught.value)
        assert not any(word in str(caught.value) for word in ("Traceback", ".py", "note 0"))
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == [(1,)]


def test_an_error_midway_and_a_fault_say_nothing_of_values(door: FlightDoor, service: PlainService) -> None:
    with connect(door, service) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT CASE WHEN range = 900000 THEN CAST('secret' || range AS INTEGER) ELSE range END FROM range(1000000)")
        with pytest.raises(adbc_driver_manager.Error, match="HW-Q003") as caught:
            cursor.fetch_arrow_table()
        assert "secret" not in str(caught.value)
        assert "Traceback" not in str(caught.value)
        service.failure = RuntimeError("inner secrets")
        with pytest.raises(adbc_driver_manager.Error, match="something broke") as caught:
            cursor.execute("SELECT 1")
        assert "inner" not in str(caught.value)


def test_nothing_can_be_changed(door: FlightDoor, service: PlainService) -> None:
    client, options = bare(door, service)

    def put(command: bytes) -> None:
        writer, reader = client.do_put(flight.FlightDescriptor.for_command(command), pa.schema([("a", pa.int32())]), options)
        writer.done_writing()
        reader.read()
        writer.close()

    for name in ("CommandStatementUpdate", "CommandPreparedStatementUpdate", "CommandStatementIngest"):
        with pytest.raises(flight.FlightUnauthorizedError, match="nothing is changed"):
            put(pack(name, write({1: b"DELETE FROM marts.orders"})))
    client.close()


def bare(door: FlightDoor, service: PlainService) -> tuple[Any, Any]:
    client = flight.connect(door.url)
    return client, flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {service.bobs_token}".encode())], timeout=120)


def query(sql: str) -> Any:
    return flight.FlightDescriptor.for_command(pack("CommandStatementQuery", write({1: sql.encode()})))


def test_passwords_open_a_session(door: FlightDoor, service: PlainService) -> None:
    client = flight.connect(door.url)
    header = client.authenticate_basic_token("ada", "correct horse")
    options = flight.FlightCallOptions(headers=[header])
    for _ in range(3):
        info = client.get_flight_info(query("SELECT 42 AS a"), options)
        assert client.do_get(info.endpoints[0].ticket, options).read_all().to_pylist() == [{"a": 42}]
    assert service.logins == [("ada", "flight", "127.0.0.1")]
    wrong = flight.FlightCallOptions(headers=[client.authenticate_basic_token("ada", "wrong")])
    for _ in range(2):  # the second time the session itself is gone
        with pytest.raises(flight.FlightUnauthenticatedError, match="HW-U001"):
            client.get_flight_info(query("SELECT 1"), wrong)
    assert next(iter(client.do_action(flight.Action("CloseSession", b""), options))).body.to_pybytes() == write({1: 1})
    with pytest.raises(flight.FlightUnauthenticatedError):
        client.get_flight_info(query("SELECT 1"), options)
    client.close()


@pytest.mark.parametrize("header", [None, b"", b"Bearer", b"Bearer wrong", b"Basic !!!", b"Bearer " + b"x" * 7000])
def test_nobody_known_gets_nothing(door: FlightDoor, service: PlainService, header: bytes | None) -> None:
    client = flight.connect(door.url)
    options = flight.FlightCallOptions(headers=[] if header is None else [(b"authorization", header)])
    for call in (
        lambda: client.get_flight_info(query("SELECT 1"), options),
        lambda: client.do_get(flight.Ticket(pack("CommandGetTables", b"")), options).read_all(),
        lambda: list(client.do_action(flight.Action("CancelQuery", b""), options)),
    ):
        with pytest.raises(flight.FlightUnauthenticatedError):
            call()
    with pytest.raises(pa.ArrowInvalid, match="HW-U001") as caught:
        client.get_schema(query("SELECT 1"), options)
    assert "Traceback" not in str(caught.value)
    client.close()


def test_tickets_are_for_their_owner_and_for_once(door: FlightDoor, service: PlainService) -> None:
    client, bob = bare(door, service)
    ada = flight.FlightCallOptions(headers=[client.authenticate_basic_token("ada", "correct horse")])
    ticket = client.get_flight_info(query("SELECT 42 AS a"), bob).endpoints[0].ticket
    with pytest.raises(pa.ArrowInvalid, match="no such ticket"):
        client.do_get(ticket, ada).read_all()
    assert client.do_get(ticket, bob).read_all().num_rows == 1
    with pytest.raises(pa.ArrowInvalid, match="no such ticket"):
        client.do_get(ticket, bob).read_all()
    guessed = flight.Ticket(pack("TicketStatementQuery", write({1: b"\x00" * 32})))
    with pytest.raises(pa.ArrowInvalid, match="no such ticket"):
        client.do_get(guessed, bob).read_all()
    request = pack("ActionCreatePreparedStatementRequest", write({1: b"SELECT 1"}))
    prepared = unpack(next(iter(client.do_action(flight.Action("CreatePreparedStatement", request), bob))).body.to_pybytes())[1]
    command = flight.FlightDescriptor.for_command(pack("CommandPreparedStatementQuery", write({1: prepared.data(1) or b""})))
    with pytest.raises(pa.ArrowInvalid, match="no such prepared"):
        client.get_flight_info(command, ada)
    client.close()


def test_tickets_that_nobody_fetches_are_given_back(door: FlightDoor, service: PlainService) -> None:
    client, bob = bare(door, service)
    tickets = [client.get_flight_info(query("SELECT range FROM range(1000000)"), bob).endpoints[0].ticket for _ in range(4)]
    with pytest.raises(flight.FlightUnavailableError, match="HW-U005"):
        client.get_flight_info(query("SELECT 1"), bob)
    wait_until(lambda: service.opened == service.closed)
    client.get_flight_info(query("SELECT 1"), bob)
    with pytest.raises((pa.ArrowInvalid, flight.FlightTimedOutError)):
        client.do_get(tickets[0], bob).read_all()
    client.close()


def test_the_purpose_reaches_the_principal(door: FlightDoor, service: PlainService) -> None:
    option = f"{DatabaseOptions.RPC_CALL_HEADER_PREFIX.value}x-headwater-purpose"
    with connect(door, service, **{option: "churn"}) as connection, connection.cursor() as cursor:
        assert cursor.execute("SELECT 1").fetchall() == [(1,)]
    assert (service.principals[-1].purpose, service.principals[-1].door) == ("churn", "flight")


def test_queries_can_be_cancelled(door: FlightDoor, service: PlainService) -> None:
    client, bob = bare(door, service)
    info = client.get_flight_info(query("SELECT range FROM range(100000000)"), bob)
    request = pack("ActionCancelQueryRequest", write({1: info.serialize()}))
    reader = client.do_get(info.endpoints[0].ticket, bob)
    reader.read_chunk()
    (answer,) = client.do_action(flight.Action("CancelQuery", request), bob)
    assert unpack(answer.body.to_pybytes())[1].number(1) == 1
    with pytest.raises(flight.FlightCancelledError, match="cancelled"):  # read_all would take it for a signal to this process
        list(iter(reader.read_chunk, None))
    (answer,) = client.do_action(flight.Action("CancelFlightInfo", write({1: info.serialize()})), bob)
    assert Fields(answer.body.to_pybytes()).number(1) == 3
    client.close()


def test_a_client_that_goes_away_stops_its_query(door: FlightDoor, service: PlainService) -> None:
    client, _ = bare(door, service)
    headers = [(b"authorization", f"Bearer {service.bobs_token}".encode())]
    with pytest.raises(flight.FlightTimedOutError):
        client.get_flight_info(query(LONG), flight.FlightCallOptions(headers=headers, timeout=0.5))
    wait_until(lambda: service.opened and service.opened == service.closed)
    info = client.get_flight_info(query("SELECT range FROM range(1000000000)"), flight.FlightCallOptions(headers=headers))
    reader = client.do_get(info.endpoints[0].ticket, flight.FlightCallOptions(headers=headers))
    reader.read_chunk()
    reader.cancel()
    wait_until(lambda: service.opened == service.closed)
    client.close()


def test_a_slow_reader_is_let_go(door: FlightDoor, service: PlainService) -> None:
    client, bob = bare(door, service)
    info = client.get_flight_info(query("SELECT range, repeat('x', 500) AS x FROM range(5000000)"), bob)
    reader = client.do_get(info.endpoints[0].ticket, bob)
    reader.read_chunk()
    wait_until(lambda: service.opened == service.closed)
    with pytest.raises(flight.FlightTimedOutError, match="too long"):
        reader.read_all()
    client.close()


def test_wide_rows_come_in_messages_that_clients_take(door: FlightDoor, service: PlainService) -> None:
    with connect(door, service) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT repeat('x', 10000) AS x FROM range(10000)")
        assert sum(batch.num_rows for batch in cursor.fetch_record_batch()) == 10_000


def test_keys_types_and_cross_references(door: FlightDoor, service: PlainService) -> None:
    client, bob = bare(door, service)

    def rows(name: str, fields: dict[int, Any] | None = None) -> list[dict[str, Any]]:
        command = pack(name, write(fields or {}))
        info = client.get_flight_info(flight.FlightDescriptor.for_command(command), bob)
        table = client.do_get(info.endpoints[0].ticket, bob).read_all()
        assert table.schema == info.schema == client.get_schema(flight.FlightDescriptor.for_command(command), bob).schema
        return table.to_pylist()

    assert [(row["table_name"], row["column_name"], row["key_sequence"]) for row in rows("CommandGetPrimaryKeys", {3: b"orders"})] == [
        ("orders", "id", 1)
    ]
    for name, fields in (("ImportedKeys", {3: b"lines"}), ("ExportedKeys", {3: b"orders"}), ("CrossReference", {3: b"orders", 6: b"lines"})):
        (key,) = rows(f"CommandGet{name}", fields)
        assert (key["pk_table_name"], key["pk_column_name"], key["fk_table_name"], key["fk_column_name"]) == ("orders", "id", "lines", "order_id")
    assert rows("CommandGetExportedKeys", {3: b"lines"}) == []
    assert [row["type_name"] for row in rows("CommandGetXdbcTypeInfo", {1: 4})] == ["INTEGER"]
    assert len(rows("CommandGetXdbcTypeInfo")) > 10
    assert rows("CommandGetSqlInfo", {1: b"\x00\x03"}) == [{"info_name": 0, "value": "Headwater"}, {"info_name": 3, "value": True}]
    assert rows("CommandGetDbSchemas", {1: b"other"}) == []
    assert rows("CommandGetTables", {4: b"VIEW"})[0]["table_name"] == "lines"
    client.close()


@pytest.mark.parametrize("bytes_", [b"", b"\x00", b"\xff" * 20, b"\x0a\x05abc", pack("CommandNope", b""), pack("CommandStatementQuery", b"\x08\x01")])
def test_commands_that_are_none_are_refused(door: FlightDoor, service: PlainService, bytes_: bytes) -> None:
    client, bob = bare(door, service)
    with pytest.raises((pa.ArrowInvalid, NotImplementedError)) as caught:
        client.get_flight_info(flight.FlightDescriptor.for_command(bytes_), bob)
    assert "Traceback" not in str(caught.value)
    with pytest.raises((pa.ArrowInvalid, NotImplementedError)):
        client.do_get(flight.Ticket(bytes_), bob).read_all()
    with pytest.raises((pa.ArrowInvalid, NotImplementedError)):
        list(client.do_action(flight.Action("CreatePreparedStatement", bytes_), bob))
    with pytest.raises((pa.ArrowInvalid, NotImplementedError)):
        list(client.do_action(flight.Action("BeginTransaction", bytes_), bob))
    client.close()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    try:
        name, fields = unpack(data)
    except Malformed:
        return
    assert isinstance(name, str)
    for read in (fields.text, fields.numbers, fields.data, fields.texts):
        try:
            read(1)
        except Malformed:
            continue


@given(st.dictionaries(st.integers(1, 2**20), st.one_of(st.binary(max_size=300), st.integers(0, 2**63)), max_size=5))
def test_what_is_written_is_read(fields: dict[int, bytes | int]) -> None:
    found = Fields(write(fields))
    for number, value in fields.items():
        assert (found.number(number) if isinstance(value, int) else found.data(number)) == value


def test_over_tls_with_the_made_certificate(service: PlainService, tmp_path: Path) -> None:
    certificate = made_certificate(tmp_path, ["localhost", "127.0.0.1"])
    monitor = Monitor()
    door = FlightDoor(service, monitor, "127.0.0.1", 0, certificate=certificate.chain, key=certificate.key)
    try:
        assert certificate.authority is not None
        options = {
            "username": "ada",
            "password": "correct horse",
            DatabaseOptions.TLS_ROOT_CERTS.value: certificate.authority.read_text(),
        }
        for host in ("localhost", "127.0.0.1"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                connection = dbapi.connect(f"grpc+tls://{host}:{door.port}", db_kwargs=options)
            with connection, connection.cursor() as cursor:
                cursor.execute("SELECT 42")
                assert cursor.fetchall() == [(42,)]
        untrusting = flight.connect(f"grpc+tls://localhost:{door.port}")
        with pytest.raises(flight.FlightError):
            untrusting.authenticate_basic_token("ada", "correct horse", flight.FlightCallOptions(timeout=5))
        untrusting.close()
    finally:
        monitor.close()
        door.stop()


def test_prepared_statements_take_so_many_bytes_and_no_more(door: FlightDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_MOST_PREPARED_BYTES", 10_000)
    mine = door._prepare(Principal("ada"), "SELECT 1 AS a")
    for number in range(10):
        door._prepare(Principal("bob"), f"SELECT {number} AS a -- {'x' * 2000}")
    assert next(iter(door._prepared)) in mine
    assert sum(len(one.sql) for one in door._prepared.values()) < 13_000


def test_whoever_keeps_most_prepared_statements_gives_theirs(door: FlightDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_MOST_PREPARED", 3)
    ada, bob = Principal("ada"), Principal("bob")
    mine = door._prepare(ada, "SELECT 1 AS a")
    others = [door._prepare(bob, "SELECT 1 AS a") for _ in range(5)]
    handles = list(door._prepared)
    assert len(handles) == 3
    assert handles[0] in mine
    assert all(any(handle in one for one in others[-2:]) for handle in handles[1:])


@pytest.mark.parametrize("inner", [pa.bool_(), pa.struct([("a", pa.bool_())]), pa.map_(pa.int8(), pa.bool_())])
def test_parameters_hold_so_many_values_and_no_more(inner: pa.DataType) -> None:
    one = {"a": True} if pa.types.is_struct(inner) else [(1, True)] if pa.types.is_map(inner) else True
    few, many = (pa.record_batch([pa.array([[one] * count], pa.list_(inner))], ["p"]) for count in (50, 300_000))
    assert parameters.rows_of(few) == [[[one] * 50]]
    with pytest.raises(UsageError, match="too many values"):
        parameters.rows_of(many)
