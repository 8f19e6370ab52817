"""The store as SQLAlchemy sees it: engines, tables made and migrated, versions."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import sqlalchemy as sa

from headwater.errors import MissingDependency
from headwater.spec.addresses import postgres_tls
from headwater.state import tables as t
from headwater.state.address import VERSION

_MIGRATING = 7_203_417


def sqlite_engine(path: Path, connect: Callable[[], sqlite3.Connection]) -> sa.Engine:
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)), creator=connect)

    @sa.event.listens_for(engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get("only_reads") else "BEGIN IMMEDIATE")

    return engine


def postgres_engine(url: str) -> sa.Engine:
    """Takes libpq's URL with all its parameters, and `schema=` for the schema to live in (created when missing). Raises MissingDependency."""
    parts = urlsplit(url)
    parameters = dict(parse_qsl(parts.query))
    schema = parameters.pop("schema", None)
    hosts = ",".join(host.rpartition(":")[0] if re.search(r":\d*$", host) else host for host in parts.netloc.rpartition("@")[2].split(","))
    parameters.update(postgres_tls({"host": unquote(hosts), **parameters}, os.environ))
    address = urlunsplit(("postgresql+psycopg", parts.netloc, parts.path, urlencode(parameters), ""))
    try:
        engine = sa.create_engine(address, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        hint = "pip install 'headwater[postgres]'"
        raise MissingDependency("a state store in Postgres needs psycopg", found="it isn't installed", hint=hint) from error
    if schema:
        quoted = '"' + schema.replace('"', '""') + '"'

        @sa.event.listens_for(engine, "connect")
        def _connected(raw: sa.engine.interfaces.DBAPIConnection, _record: object) -> None:
            cursor = raw.cursor()
            cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,))
            if cursor.fetchone() is None:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATING,))
                cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted}")
            cursor.execute(f"SET search_path TO {quoted}")
            raw.commit()

    return engine


def bring_up(engine: sa.Engine) -> None:
    """Makes the tables of a store in Postgres that has none; else carries out all migrations that it hasn't had."""
    with engine.begin() as connection:  # on SQLite BEGIN IMMEDIATE keeps a second opener out; on Postgres this lock does
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
        if sa.inspect(connection).has_table(t.version.name):
            migrate(connection)
        else:
            _create(connection)


def _create(connection: sa.Connection) -> None:
    """A new store, at this code's version. (Making one by the migrations gives the same tables, and takes the import of Alembic: 0.3 s.)"""
    t.metadata.create_all(connection)
    t.version.create(connection)
    connection.execute(sa.insert(t.version).values(version_num=VERSION))


def migrate(connection: sa.Connection) -> None:
    """All migrations that the store hasn't had."""
    from alembic.command import upgrade
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("version_path_separator", "os")
    config.attributes["connection"] = connection
    upgrade(config, "head")
