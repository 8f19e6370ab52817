"""The database servers that some tests use for real. Where one isn't there its tests are skipped with the reason; under CI=true that is a failure."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import socket
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pytest


def require_postgres() -> str:
    """The URL of a PostgreSQL database in which tests may make schemas of their own (`HEADWATER_TEST_POSTGRES`)."""
    return _require("PostgreSQL", os.environ.get("HEADWATER_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test"))


def require_mariadb() -> str:
    """The URL of a MariaDB or MySQL server in which tests may make databases of their own (`HEADWATER_TEST_MARIADB`)."""
    return _require("MariaDB", os.environ.get("HEADWATER_TEST_MARIADB", "mysql://root@127.0.0.1:3306/test"))


def require_program(name: str) -> str:
    """The path of a program that tests run. Like a server: without it they are skipped, and under CI=true they fail."""
    found = shutil.which(name)
    if found is None:
        _missing(f"no program {name} on the PATH")
    return str(found)


def without_a_terminal() -> dict[str, str]:
    """This process's environment without what says how wide its terminal is: readline gives it to children, and their messages would be folded."""
    return {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "FORCE_COLOR", "TTY_COMPATIBLE")}


def mariadb_arguments(url: str) -> dict[str, Any]:
    """What a Python driver connects with."""
    parts = urlsplit(url)
    return {
        "host": parts.hostname,
        "port": parts.port or 3306,
        "user": parts.username,
        "password": parts.password or "",
        "database": parts.path.strip("/"),
    }


def _require(name: str, url: str) -> str:
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 0), timeout=3):
            return url
    except OSError as error:
        _missing(f"no {name} answers at {parts.hostname}:{parts.port} ({error.strerror})")


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def require_redis() -> str:
    """The URL of a Redis server in which tests may make streams of their own (`HEADWATER_TEST_REDIS`)."""
    return _require("Redis", os.environ.get("HEADWATER_TEST_REDIS", "redis://127.0.0.1:6379/0"))


def require_nats() -> str:
    """The URL of a NATS server with JetStream in which tests may make streams of their own (`HEADWATER_TEST_NATS`)."""
    return _require("NATS", os.environ.get("HEADWATER_TEST_NATS", "nats://127.0.0.1:4222"))


def require_rabbitmq() -> str:
    """The URL of a RabbitMQ server in which tests may make exchanges and queues of their own (`HEADWATER_TEST_RABBITMQ`)."""
    return _require("RabbitMQ", os.environ.get("HEADWATER_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672/"))


def require_mqtt() -> str:
    """The URL of an MQTT broker that tests may use without a login (`HEADWATER_TEST_MQTT`)."""
    return _require("MQTT broker", os.environ.get("HEADWATER_TEST_MQTT", "mqtt://127.0.0.1:1883"))


def self_signed(folder: Path) -> Path:
    """A certificate for 127.0.0.1, signed by itself, in `folder`; its key lies beside it as `key.pem`."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "headwater test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return folder / "certificate.pem"
