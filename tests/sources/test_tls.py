"""Sources elsewhere are spoken to over TLS and verified, unless somebody said otherwise. The servers here speak each protocol up to its handshake."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from headwater.engine import Engine
from headwater.errors import HeadwaterError, SourceUnreachable
from headwater.sources import open_connector
from headwater.spec.addresses import is_this_machine, postgres_tls
from headwater.spec.project import LakeConfig
from headwater.spec.sources import Source
from headwater.storage.catalog import CatalogAddress
from services import self_signed

VERIFIED = {"sslmode": "verify-full", "sslrootcert": "system"}


@pytest.mark.parametrize("host", ["", "localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "::1", "[::1]", "/var/run/postgresql", "@socket"])
def test_this_machine_is_known(host: str) -> None:
    assert is_this_machine(host)


@pytest.mark.parametrize("host", ["db", "10.0.0.1", "localhost.example.com", "fe80::1", "0.0.0.0", "127.0.0.1.example.com", "::ffff:10.0.0.1"])
def test_others_are_told_apart(host: str) -> None:
    assert not is_this_machine(host)


@pytest.mark.parametrize(
    ("given", "environ", "expected"),
    [
        ({"host": "db"}, {}, VERIFIED),
        ({"host": "127.0.0.1"}, {}, {}),
        ({}, {}, {}),
        ({}, {"PGHOST": "db"}, VERIFIED),
        ({"host": "localhost,db"}, {}, VERIFIED),
        ({"host": "localhost", "hostaddr": "10.0.0.1"}, {}, VERIFIED),
        ({"host": "db", "sslrootcert": "ca.pem"}, {}, {"sslmode": "verify-full"}),
        ({"host": "db"}, {"PGSSLROOTCERT": "ca.pem"}, {"sslmode": "verify-full"}),
        ({"host": "db", "sslmode": "disable"}, {}, {}),
        ({"host": "db"}, {"PGSSLMODE": "require"}, {}),
        ({"service": "shop"}, {"PGHOST": "db"}, {}),
    ],
)
def test_postgres_elsewhere_is_verified_unless_said_otherwise(given: dict[str, str], environ: dict[str, str], expected: dict[str, str]) -> None:
    assert postgres_tls(given, environ) == expected


def connection_text(kind: str, connection: Any) -> str:
    source = Source.model_validate({"name": "shop", "type": kind, "connection": connection})
    connector: Any = open_connector(source, project_dir=Path(), environ={})
    try:
        return str(connector._connection_text())
    finally:
        connector.close()


@pytest.mark.parametrize(
    ("elsewhere", "here"),
    [
        ("postgresql://u:p@db:5432/x", "postgresql://u:p@[::1]:5432/x"),
        ("postgresql://u:p@db/x", "postgresql://u:p@[::1]/x"),
        ("postgresql://u:p@localhost:5432,db:5432/x", "postgresql://u:p@localhost:5432,127.0.0.1:5433/x"),
        ("postgresql:///x?host=db", "postgresql:///x?host=/var/run/postgresql"),
        ("host=db dbname=x", "dbname=x"),
        ("dbname=x host='db' user=u", "dbname=x host='localhost' user=u"),
        ({"host": "db", "database": "x"}, {"host": "127.0.0.1", "database": "x"}),
    ],
    ids=str,
)
def test_every_way_to_name_a_postgres_server_is_understood(elsewhere: Any, here: Any) -> None:
    text = connection_text("postgres", elsewhere)
    assert "sslmode=verify-full" in text
    assert "sslrootcert=system" in text
    assert "sslmode" not in connection_text("postgres", here)
    if isinstance(elsewhere, str):
        parameters = CatalogAddress.parse(LakeConfig(catalog=elsewhere), Path()).parameters
        assert {key: parameters[key] for key in VERIFIED} == VERIFIED
        assert "sslmode" not in CatalogAddress.parse(LakeConfig(catalog=here), Path()).parameters


@pytest.mark.parametrize("given", ["disable", "prefer", "require"])
def test_postgres_without_verification_is_a_word_of_the_users(given: str) -> None:
    for connection in (f"postgresql://db/x?sslmode={given}", f"host=db sslmode={given}", {"host": "db", "sslmode": given}):
        assert "verify" not in connection_text("postgres", connection)


@pytest.mark.parametrize("connection", ["mysql://u:p@db:3306/x", "mariadb://u:p@db/x", {"host": "db", "user": "u", "database": "x"}], ids=str)
def test_mysql_elsewhere_is_verified_by_the_systems_authorities(connection: Any) -> None:
    said = parse_qs(urlsplit(connection_text("mysql", connection)).query)
    assert said["ssl-mode"] == ["VERIFY_IDENTITY"]
    assert Path(said["ssl-ca"][0]).is_file()


def test_mysql_does_as_it_is_told() -> None:
    assert connection_text("mysql", "mysql://u@127.0.0.1/x") == "mysql://u@127.0.0.1/x"
    assert connection_text("mysql", "mysql://u@db/x?ssl-mode=DISABLED") == "mysql://u@db/x?ssl-mode=DISABLED"
    said = parse_qs(urlsplit(connection_text("mysql", {"host": "db", "ssl_ca": "/a b/ca.pem"})).query)
    assert said == {"ssl-mode": ["VERIFY_IDENTITY"], "ssl-ca": ["/a b/ca.pem"]}
    # VERIFY without authorities would verify nothing
    assert "ssl-ca" in connection_text("mysql", "mysql://u@127.0.0.1/x?ssl-mode=VERIFY_CA")


# -- handshakes ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls"))


def _postgres(raw: socket.socket) -> None:
    raw.recv(8)
    raw.sendall(b"S")


def _mysql(raw: socket.socket) -> None:
    rest = b"\xff\xff\x21" + struct.pack("<HH", 2, 0x008F) + bytes([21]) + bytes(10) + b"ijklmnopqrst\0mysql_native_password\0"
    body = b"\x0a8.0.36\0" + struct.pack("<I", 1) + b"abcdefgh\0" + rest
    raw.sendall(struct.pack("<I", len(body))[:3] + b"\0" + body)
    raw.recv(36)


def _serve(begin: Callable[[socket.socket], None], certificate: Path) -> Iterator[tuple[int, list[bytes]]]:
    """The port of a server that has a certificate of its own, and what clients said to it once they trusted it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    said: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                raw, _ = server.accept()
            except OSError:
                return
            raw.settimeout(10)
            try:
                begin(raw)
                with context.wrap_socket(raw, server_side=True) as secure:
                    heard = secure.recv(1000)
                    if heard:
                        said.append(heard)
            except OSError:
                raw.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1], said
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


@pytest.fixture
def postgres(certificate: Path) -> Iterator[tuple[int, list[bytes]]]:
    yield from _serve(_postgres, certificate)


@pytest.fixture
def mysql(certificate: Path) -> Iterator[tuple[int, list[bytes]]]:
    yield from _serve(_mysql, certificate)


@pytest.fixture
def web(certificate: Path) -> Iterator[tuple[int, list[bytes]]]:
    yield from _serve(lambda raw: None, certificate)


def check(kind: str, connection: str) -> HeadwaterError:
    source = Source.model_validate({"name": "shop", "type": kind, "connection": connection})
    connector = open_connector(source, project_dir=Path(), environ={})
    try:
        with pytest.raises(HeadwaterError) as caught:
            connector.check()
    finally:
        connector.close()
    assert "hush-hush" not in str(caught.value)
    return caught.value


def test_a_postgres_server_that_is_not_trusted_gets_no_login(postgres: tuple[int, list[bytes]], certificate: Path) -> None:
    port, said = postgres
    defaults = "&".join(f"{key}={value}" for key, value in VERIFIED.items())
    error = check("postgres", f"postgresql://ann:hush-hush@127.0.0.1:{port}/x?{defaults}")
    assert isinstance(error, SourceUnreachable)
    assert "certificate verify failed" in str(error)
    assert "sslrootcert" in str(error.hint)
    assert said == []
    check("postgres", f"postgresql://ann:hush-hush@127.0.0.1:{port}/x?sslmode=verify-full&sslrootcert={certificate}")
    assert b"user\0ann" in said[0]


def test_a_mysql_server_that_is_not_trusted_gets_no_login(mysql: tuple[int, list[bytes]], certificate: Path) -> None:
    port, said = mysql
    error = check("mysql", f"mysql://ann:hush-hush@127.0.0.1:{port}/x?ssl-mode=VERIFY_IDENTITY")
    assert isinstance(error, SourceUnreachable)
    assert "certificate" in str(error)
    assert "ssl_ca" in str(error.hint)
    assert said == []
    ca = str(certificate).replace("/", "%2F")
    check("mysql", f"mysql://ann:hush-hush@127.0.0.1:{port}/x?ssl-mode=VERIFY_IDENTITY&ssl-ca={ca}")
    assert b"ann\0" in said[0]


def test_the_engine_reads_from_no_web_server_or_bucket_that_is_not_trusted(web: tuple[int, list[bytes]]) -> None:
    port, said = web
    with Engine() as engine, engine.connection() as connection:
        connection.load("httpfs")
        assert connection.execute("SELECT current_setting('enable_curl_server_cert_verification')").scalar() is True
        assert connection.execute("SELECT current_setting('enable_server_cert_verification')").scalar() is True
        connection.execute(f"CREATE SECRET s (TYPE s3, KEY_ID 'ann', SECRET 'hush-hush', ENDPOINT '127.0.0.1:{port}', URL_STYLE 'path')")
        for address in (f"https://127.0.0.1:{port}/x.txt", "s3://bucket/x.txt"):
            with pytest.raises(HeadwaterError):
                connection.execute(f"SELECT content FROM read_text('{address}')")
    assert said == []


def test_files_are_fetched_from_no_web_server_that_is_not_trusted(web: tuple[int, list[bytes]], tmp_path: Path) -> None:
    from headwater.sources.files.web import look_at_url

    port, said = web
    with pytest.raises(SourceUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
        look_at_url(f"https://127.0.0.1:{port}/x.csv")
    assert said == []
