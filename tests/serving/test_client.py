"""`headwater.connect` against a server started as `headwater serve` starts it; its certificates, its settings, its end."""

from __future__ import annotations

import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as flight
import pytest

import headwater
from headwater.errors import (
    AnswerBroken,
    AuthenticationFailed,
    DoorClosed,
    Interrupted,
    LakeUnavailable,
    LimitReached,
    ServerFault,
    ServerUnreachable,
    SqlBindError,
    SqlSyntaxError,
    StatementRefused,
    UsageError,
)
from headwater.serving.listening import listen
from headwater.serving.server import OpenDoor, Running, serve_all
from headwater.serving.tls import made_certificate, own_certificate, served_names
from headwater.spec.project import ServeConfig
from serving.doors_service import Column, PlainService, Table

DOORS = {"http_port": 0, "flight_port": 0, "pg_port": None}


@pytest.fixture
def service() -> Iterator[PlainService]:
    service = PlainService()
    service.execute("CREATE SCHEMA marts; CREATE TABLE marts.t AS SELECT 1 AS a")
    service.tables_seen = (Table("marts.t", "table", (Column("a", "INTEGER", False, "a number"),), ("a",)),)
    yield service
    service.close()


@pytest.fixture
def running(service: PlainService, tmp_path: Path) -> Iterator[Running]:
    with serve_all(service, ServeConfig.model_validate(DOORS), directory=tmp_path) as running:
        yield running


@pytest.fixture
def client(running: Running, service: PlainService) -> headwater.Client:
    return headwater.connect(running.url("http"), service.bobs_token, purpose="churn")


def test_rows_come_as_arrow_as_rows_and_as_batches(client: headwater.Client, service: PlainService) -> None:
    assert client.query("SELECT range AS a FROM range(200000)").arrow().column("a").to_pylist() == list(range(200_000))
    assert client.query("SELECT 1.50::DECIMAL(10,2), 'é', NULL, [1]").rows() == [(Decimal("1.50"), "é", None, [1])]
    with client.query("SELECT range AS a FROM range(200000)") as answer:
        assert answer.columns == ["a"]
        first = next(answer.batches())
        assert isinstance(first, pa.RecordBatch)
    empty = client.query("SELECT 1 AS a WHERE false").arrow()
    assert (empty.num_rows, empty.schema.names) == (0, ["a"])
    assert service.principals[-1].purpose == "churn"


def test_parameters_of_every_kind_are_sent(client: headwater.Client) -> None:
    exact = [
        Decimal("1.50"),
        Decimal("-0.1"),
        Decimal(5),
        Decimal("1E+3"),
        Decimal("1E-20"),
        Decimal(10**30),
        Decimal("12345678901234567890.0123456789"),
    ]
    for given in exact:
        (found,) = client.query("SELECT ?", [given]).rows()[0]
        assert (type(found), found) == (Decimal, given)
    for given in (Decimal("1E+60"), Decimal("1E-60"), Decimal("NaN"), Decimal(10**36) + Decimal("0.01")):
        assert client.query("SELECT ?", [given]).rows() == [(str(given),)], "what no decimal holds goes as text"
    assert client.query("SELECT list_sum(?)", [[Decimal("0.1"), Decimal("0.2")]]).rows() == [(Decimal("0.3"),)]
    values = [1, "x", None, True, 1.5, Decimal("0.1"), date(2024, 2, 29), datetime(2024, 1, 1, tzinfo=UTC), [1, 2], float("nan")]
    casts = (
        "$1::INT, $2, $3, $4::BOOL, $5::DOUBLE, $6::DECIMAL(3,1), $7::DATE, $8::TIMESTAMPTZ = '2024-01-01 00:00:00+00', $9::INT[], isnan($10::DOUBLE)"
    )
    assert client.query(f"SELECT {casts}", values).rows() == [(1, "x", None, True, 1.5, Decimal("0.1"), date(2024, 2, 29), True, [1, 2], True)]
    with pytest.raises(UsageError, match="can't be sent"):
        client.query("SELECT $1", [object()])


def test_tables_are_listed(client: headwater.Client) -> None:
    (table,) = client.tables()
    assert (table.name, table.kind, table.primary_key) == ("marts.t", "table", ("a",))
    assert (table.columns[0].name, table.columns[0].type, table.columns[0].nullable, table.columns[0].description) == (
        "a",
        "INTEGER",
        False,
        "a number",
    )


def test_errors_are_those_of_the_server(client: headwater.Client, running: Running, service: PlainService) -> None:
    for sql, kind in (("SELEC", SqlSyntaxError), ("SELECT x", SqlBindError), ("DROP TABLE marts.t", StatementRefused)):
        with pytest.raises(kind) as caught:
            client.query(sql)
        assert isinstance(caught.value, headwater.HeadwaterError)
    with pytest.raises(AuthenticationFailed):
        headwater.connect(running.url("http"), "wrong").tables()
    service.failure = LimitReached("too many", hint="wait")
    with pytest.raises(LimitReached, match="wait"):
        client.query("SELECT 1")
    service.failure = ValueError("inner")
    with pytest.raises(ServerFault, match="HW-BUG"):
        client.query("SELECT 1")


def test_an_answer_that_breaks_off_is_never_taken_for_the_whole(client: headwater.Client) -> None:
    answer = client.query("SELECT CASE WHEN range = 900000 THEN CAST('x' || range AS INTEGER) ELSE range END AS a FROM range(1000000)")
    with pytest.raises(AnswerBroken):
        answer.arrow()
    with pytest.raises(UsageError, match="read already"):
        answer.rows()


def test_an_answer_let_go_stops_the_query(client: headwater.Client, service: PlainService) -> None:
    with client.query("SELECT range FROM range(10000000000)") as answer:
        next(answer.batches())
    until = time.monotonic() + 120
    while service.opened != service.closed:
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("url", ["", "shop", "ftp://x", "http://", "https://user:secret@host", "http://host/path", "http://host?x=1"])
def test_addresses_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        headwater.connect(url, "token")
    assert "secret" not in str(caught.value)


def test_who_asks_must_be_clear() -> None:
    for given in ({}, {"token": "a", "user": "b", "password": "c"}, {"user": "a"}, {"token": "a\nX-Admin: 1"}, {"token": "é"}):
        with pytest.raises(UsageError):
            headwater.connect("http://localhost:1", **given)  # type: ignore[arg-type]
    assert "secret" not in repr(headwater.connect("http://localhost:1", "secret"))


def test_servers_that_are_none_are_told_from_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        def answer(text: bytes) -> None:
            connection, _ = other.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(text)

        for text, kind in (
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", AnswerBroken),
            (b"HTTP/1.1 500 X\r\nContent-Length: 5\r\n\r\nhello", ServerFault),
            (b"HTTP/1.1 400 X\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\n\r\n[]", ServerFault),
            (b"nonsense", ServerUnreachable),
            (b"", ServerUnreachable),
        ):
            thread = threading.Thread(target=answer, args=(text,))
            thread.start()
            with pytest.raises(kind):
                headwater.connect(f"http://127.0.0.1:{port}", "token").query("SELECT 1")
            thread.join()
    with pytest.raises(ServerUnreachable):
        headwater.connect(f"http://127.0.0.1:{port}", "token").tables()


def test_the_client_needs_neither_duckdb_nor_pydantic() -> None:
    code = (
        "import sys, headwater\nheadwater.connect('http://localhost:1', 'x')\nimport pyarrow\n"
        "assert not {'duckdb', 'pydantic', 'sqlglot', 'starlette', 'uvicorn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_doors_open_and_say_so_and_close(service: PlainService, tmp_path: Path) -> None:
    said: list[OpenDoor] = []
    running = serve_all(service, ServeConfig.model_validate(DOORS), directory=tmp_path, ready=said.append)
    assert [(door.door, door.is_secure) for door in said] == [("http", False), ("flight", False)]
    assert running.doors == tuple(said)
    assert not (tmp_path / ".headwater").exists()
    port = int(running.url("http").rsplit(":", 1)[1])
    for setting in ({"http_port": port}, {"flight_port": port}):
        with pytest.raises(DoorClosed, match="can't be listened on"):
            serve_all(service, ServeConfig.model_validate({**DOORS, **setting}), directory=tmp_path)
    with pytest.raises(DoorClosed, match="no door"):
        serve_all(service, ServeConfig.model_validate(dict.fromkeys(DOORS)), directory=tmp_path)
    with pytest.raises(DoorClosed, match="give another port"):
        serve_all(service, ServeConfig.model_validate({**dict.fromkeys(DOORS), "pg_port": port}), directory=tmp_path)
    for host in ("192.0.2.1", "nowhere.invalid"):
        with pytest.raises(DoorClosed, match="give an address of this machine"):
            listen(host, 0)
    assert not running.wait(0)
    running.stop()
    running.stop()
    assert running.wait(0)
    with pytest.raises(ServerUnreachable):
        headwater.connect(running.url("http"), "x").tables()


def test_stopping_lets_queries_end_and_ends_those_that_do_not(service: PlainService, tmp_path: Path) -> None:
    running = serve_all(service, ServeConfig.model_validate(DOORS), directory=tmp_path)
    client = headwater.connect(running.url("http"), service.bobs_token)
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            client.query("SELECT count(*) FROM range(100000000000) a, range(1000) b WHERE a.range + b.range = -1")
        except headwater.HeadwaterError as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    until = time.monotonic() + 120
    while not service.opened:
        assert time.monotonic() < until
        time.sleep(0.01)
    running.stop(grace=0.5)
    thread.join(120)
    assert isinstance(caught[0], Interrupted)
    assert service.opened == service.closed


def test_a_reload_asks_the_new_service(running: Running, client: headwater.Client, service: PlainService) -> None:
    other = PlainService(bobs_token=service.bobs_token)
    other.execute("CREATE SCHEMA marts; CREATE TABLE marts.t AS SELECT 2 AS a")
    old = client.query("SELECT range FROM range(1000000)")
    running.reload(other)
    assert client.query("FROM marts.t").rows() == [(2,)]
    assert old.arrow().num_rows == 1_000_000
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {service.bobs_token}".encode())])
    with flight.connect(running.url("flight")) as bare:
        assert list(bare.list_actions(options))
    other.close()


def test_off_loopback_everything_is_tls(service: PlainService, tmp_path: Path) -> None:
    config = ServeConfig.model_validate({**DOORS, "host": "0.0.0.0", "names": ["shop.example.org"]})
    with serve_all(service, config, directory=tmp_path) as running:
        assert running.certificate is not None
        assert all(door.is_secure for door in running.doors)
        port = running.url("http").rsplit(":", 1)[1]
        with pytest.raises(ServerUnreachable, match="isn't trusted"):
            headwater.connect(f"https://127.0.0.1:{port}", service.bobs_token).tables()
        for host in ("127.0.0.1", "localhost"):
            client = headwater.connect(f"https://{host}:{port}", user="ada", password="correct horse", certificate=running.certificate.authority)
            assert client.query("SELECT 1").rows() == [(1,)]
        with pytest.raises(ServerUnreachable):
            headwater.connect(f"http://127.0.0.1:{port}", service.bobs_token).tables()
        first = ssl.get_server_certificate(("127.0.0.1", int(port)))
        made_certificate(tmp_path / ".headwater" / "tls", ["other.example.org", "127.0.0.1"])
        running.reload()
        assert ssl.get_server_certificate(("127.0.0.1", int(port))) != first


def test_made_certificates_vouch_for_their_names_alone(tmp_path: Path) -> None:
    from cryptography import x509

    made = made_certificate(tmp_path / "tls", served_names("10.0.0.7", ["Shop.Example.org"]))
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600
    assert made.authority is not None
    authority = x509.load_pem_x509_certificate(made.authority.read_bytes())
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert {str(name.value) for name in constraints.value.permitted_subtrees or ()} == {
        "localhost",
        "shop.example.org",
        "10.0.0.7/32",
        "127.0.0.1/32",
        "::1/128",
    }
    verified = ["openssl", "verify", "-x509_strict", "-CAfile", str(made.authority), "-verify_ip", "10.0.0.7", str(made.chain)]
    subprocess.run(verified, check=True, capture_output=True)
    assert made_certificate(tmp_path / "tls", served_names("10.0.0.7", ["shop.example.org"])).fingerprint == made.fingerprint
    assert made_certificate(tmp_path / "tls", served_names("10.0.0.8")).fingerprint != made.fingerprint
    made.key.write_text("no key")
    assert made_certificate(tmp_path / "tls", served_names("10.0.0.8")).fingerprint != made.fingerprint


def test_certificates_of_ones_own_are_checked(service: PlainService, tmp_path: Path) -> None:
    one, two = made_certificate(tmp_path / "a", ["localhost"]), made_certificate(tmp_path / "b", ["localhost"])
    assert own_certificate(one.chain, one.key).fingerprint == one.fingerprint
    with pytest.raises(DoorClosed, match="isn't the certificate's"):
        own_certificate(one.chain, two.key)
    with pytest.raises(DoorClosed, match="can't be read"):
        own_certificate(one.chain, tmp_path / "nope")
    with pytest.raises(DoorClosed, match="can't be read"):
        own_certificate(one.key, one.key)
    with pytest.raises(DoorClosed, match="needs its key"):
        serve_all(service, ServeConfig.model_validate({**DOORS, "certificate": "a/server.pem"}), directory=tmp_path)
    with pytest.raises(DoorClosed, match="can't be made"):
        made_certificate(tmp_path / "c", ["not a name"])
    config = ServeConfig.model_validate({**DOORS, "certificate": "a/server.pem", "key": "a/server.key"})
    with serve_all(service, config, directory=tmp_path) as running:
        assert running.url("http").startswith("https://")


def test_readiness_follows_the_service(running: Running, client: headwater.Client, service: PlainService) -> None:
    service.failure = LakeUnavailable("gone")
    with pytest.raises(LakeUnavailable):
        client.query("SELECT 1")
