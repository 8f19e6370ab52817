"""Reaching the store: its address, its driver, its version."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import sqlalchemy as sa
from sqlalchemy import exc

from headwater.errors import HeadwaterError, MissingDependency, StateError, StateUnavailable
from headwater.spec.addresses import postgres_tls
from headwater.state import tables as t
from headwater.state.address import KNOWN_VERSIONS, VERSION

_CREDENTIALS = re.compile(r"://[^/@\s]*@|password\s*=\s*\S+", re.IGNORECASE)
_BUSY_TIMEOUT_MS = 20_000
_MIGRATING = 7_203_417


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Inside it, the database's errors leave as StateErrors. `where` names the store without credentials."""
    try:
        yield
    except HeadwaterError:
        raise
    except (exc.SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise _translate(error, where) from error


def _translate(error: Exception, where: str) -> StateError:
    text = _CREDENTIALS.sub("…", str(getattr(error, "orig", None) or error).strip().splitlines()[0] if str(error) else type(error).__name__)
    low = text.lower()
    if "not a database" in low or "malformed" in low:
        return StateError(
            f"the state store {where} is damaged",
            found=text,
            state="tables, positions and publications are safe: they live in the lake",
            hint="move the file away and run again; a new one is begun from the lake",
        )
    if "readonly" in low or "read-only" in low or "permission denied" in low:
        return StateError(f"the state store {where} can't be written", found=text, hint="check the permissions of its file and folder")
    if "disk is full" in low or "no space left" in low or "disk i/o error" in low or "file too large" in low:
        return StateError(f"no space is left for the state store {where}", found=text, state="the lake is untouched", hint="free space; run again")
    hint = "check `state:` in headwater.yaml, and that the database answers"
    return StateUnavailable(f"the state store {where} can't be reached", found=text, hint=hint)


def open_sqlite(path: Path) -> sa.Engine:
    """Where file or folder can't be written, the store is opened for reading: asking it still works, and only what writes fails."""
    is_readable_only = path.exists() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))
    if not is_readable_only:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            path.touch(mode=0o600)
    # without a log beside it nobody has it open; then SQLite needn't make its shared memory there, which it couldn't
    in_peace = "" if path.with_name(path.name + "-wal").exists() else "&immutable=1"
    address = f"file:{quote(str(path))}?mode=ro{in_peace}&uri=true" if is_readable_only else str(path)
    engine = sa.create_engine(f"sqlite:///{address}", connect_args={"timeout": _BUSY_TIMEOUT_MS / 1000, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _connected(raw: sqlite3.Connection, _record: object) -> None:
        raw.isolation_level = None  # we say BEGIN ourselves: IMMEDIATE, so that two writers queue up instead of failing
        if not is_readable_only:
            raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("PRAGMA synchronous = NORMAL")

    @sa.event.listens_for(engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get("only_reads") else "BEGIN IMMEDIATE")

    return engine


def open_postgres(url: str) -> sa.Engine:
    """Takes libpq's URL with all its parameters, and `schema=` for the schema to live in (created when missing)."""
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


def ensure_version(engine: sa.Engine, where: str) -> None:
    """Brings the store to this code's version; one query when it is there already. Raises StateError for a newer one."""
    found = _found_version(engine)
    if found == VERSION:
        return
    if found is not None and found not in KNOWN_VERSIONS:
        raise StateError(
            f"the state store {where} was written by a newer Headwater",
            expected=f"version {VERSION} or older",
            found=f"version {found}",
            state="nothing was changed",
            hint="upgrade Headwater, or point `state:` at another store",
        )
    with engine.begin() as connection:  # on SQLite BEGIN IMMEDIATE keeps a second opener out; on Postgres this lock does
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
        if sa.inspect(connection).has_table(t.version.name):
            migrate(connection)
        else:
            _create(connection)


def _found_version(engine: sa.Engine) -> str | None:
    with engine.execution_options(only_reads=True).begin() as connection:
        try:
            return connection.execute(sa.select(t.version.c.version_num)).scalar()
        except (exc.OperationalError, exc.ProgrammingError) as error:
            text = str(error).lower()
            if "no such table" in text or "does not exist" in text:
                return None
            raise


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
