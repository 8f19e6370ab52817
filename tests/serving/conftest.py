"""A shop in a plain DuckDB, served over the Postgres wire."""

from __future__ import annotations

import datetime
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from headwater.engine import Engine
from headwater.serving.postgres import Server
from headwater.spec.names import TableName
from headwater.spec.tables import Column

sys.path.insert(0, str(Path(__file__).parent))

from beside_postgres import both
from plain_service import Link, PlainService, Table, serving

__all__ = ["both"]

SHOP = """
CREATE SCHEMA shop;
CREATE TABLE shop.customers (id INTEGER, email VARCHAR, country VARCHAR, born DATE, "Odd Name" VARCHAR);
INSERT INTO shop.customers VALUES (1, 'ada@x.no', 'NO', '1815-12-10', 'a'), (2, 'bob@x.se', 'SE', NULL, NULL), (3, NULL, 'NO', '2000-02-29', 'ü');
CREATE TABLE shop.orders (id BIGINT, customer_id INTEGER, amount DECIMAL(12,2), placed_at TIMESTAMP, tags VARCHAR[], extra STRUCT(a INTEGER));
INSERT INTO shop.orders
SELECT i, 1 + i % 3, i * 1.25, TIMESTAMP '2024-01-01' + INTERVAL (i) HOUR, ['t' || i, NULL], {'a': i} FROM range(100) r(i);
CREATE VIEW shop.totals AS SELECT customer_id, sum(amount) AS total FROM shop.orders GROUP BY ALL;
CREATE TABLE shop.many AS
SELECT i AS id, 'name ' || i AS name, i * 0.5 AS half, TIMESTAMP '2024-01-01' + INTERVAL (i) SECOND AS at FROM range(300000) r(i);
"""

TABLES = [
    Table(
        TableName("shop", "customers"),
        "table",
        (
            Column("id", "INTEGER", False, "the customer's number"),
            Column("email", "VARCHAR"),
            Column("country", "VARCHAR"),
            Column("born", "DATE"),
            Column("Odd Name", "VARCHAR"),
        ),
        ("id",),
        (),
        "who buys",
    ),
    Table(
        TableName("shop", "orders"),
        "table",
        (
            Column("id", "BIGINT", False),
            Column("customer_id", "INTEGER"),
            Column("amount", "DECIMAL(12,2)"),
            Column("placed_at", "TIMESTAMP"),
            Column("tags", "VARCHAR[]"),
            Column("extra", "STRUCT(a INTEGER)"),
        ),
        ("id",),
        (Link("customer_id", "shop.customers", "id"),),
    ),
    Table(TableName("shop", "totals"), "view", (Column("customer_id", "INTEGER"), Column("total", "DECIMAL(38,2)"))),
    Table(
        TableName("shop", "many"),
        "table",
        (Column("id", "BIGINT"), Column("name", "VARCHAR"), Column("half", "DECIMAL(21,1)"), Column("at", "TIMESTAMP")),
    ),
]


@pytest.fixture(scope="session")
def service() -> Iterator[PlainService]:
    with Engine() as engine:
        with engine.connection() as connection:
            connection.execute(SHOP)
        yield PlainService(engine, TABLES)


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A server's context, and its certificate as a file."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "server.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.key").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    return context, folder / "server.crt"


@pytest.fixture(scope="session")
def server(service: PlainService, tls: tuple[ssl.SSLContext, Path]) -> Iterator[Server]:
    with serving(service, tls[0]) as one:
        yield one


@pytest.fixture
def url(server: Server) -> str:
    return f"postgresql://robot:pencil@127.0.0.1:{server.port}/shop"
