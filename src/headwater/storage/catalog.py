"""Where a lake is, and attaching it."""

from __future__ import annotations

import os
import platform
import random
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from headwater.engine import Connection, Engine
from headwater.errors import (
    CommitConflict,
    HeadwaterError,
    LakeError,
    LakeFormatError,
    LakeReadOnly,
    LakeUnavailable,
    MissingDependency,
    NetworkFileSystem,
    StorageFull,
    UsageError,
)
from headwater.spec.addresses import postgres_tls
from headwater.spec.names import quote, quote_literal
from headwater.spec.project import LakeConfig

if TYPE_CHECKING:
    import psycopg

#: File systems on which SQLite's locks and shared memory don't work between machines.
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afpfs", "webdav", "9p", "fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.gcsfuse"}
    | {"macfuse", "afs", "ceph", "fuse.ceph", "glusterfs", "fuse.glusterfs", "lustre", "ncpfs", "ocfs2", "gfs2", "beegfs", "fuse.goofys"}
)
BUSY_TIMEOUT_MS = 5000
OPEN_TIMEOUT_SECONDS = 60.0
#: With less than this on its disk, SQLite can't open a catalog for writing.
_LEAST_FREE_BYTES = 1 << 20


#: What attaching any lake needs: an engine that is made with them loads them quicker.
LAKE_EXTENSIONS: Final = ("ducklake", "sqlite_scanner", "postgres_scanner", "httpfs")


@dataclass(frozen=True, slots=True)
class CatalogAddress:
    """A lake's catalog and data folder, resolved.

    `path` is the SQLite file; `parameters` are libpq's for Postgres (without `schema`, which is ours). `data` is an absolute folder or an `s3://`
    prefix, with a final slash.
    """

    kind: Literal["sqlite", "postgres"]
    data: str
    path: Path | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    schema: str = "lake"

    @classmethod
    def parse(cls, config: LakeConfig, project_dir: Path) -> CatalogAddress:
        """From the settings as resolved. Raises UsageError for a catalog that is neither a path nor Postgres."""
        data = _data_folder(config.data, project_dir)
        text = config.catalog.strip()
        if text.startswith(("postgresql://", "postgres://")):
            return cls._postgres(data, _url_parameters(text))
        if "://" in text:
            raise UsageError(
                "the lake's catalog can't be understood",
                expected="a path, postgresql://user@host/db?schema=lake, or libpq parameters such as service=lake",
                found=text.split("://")[0] + "://..",
            )
        if _looks_like_parameters(text):
            return cls._postgres(data, _keyword_parameters(text))
        path = Path(text).expanduser()
        return cls("sqlite", data, path=path if path.is_absolute() else project_dir / path)

    @classmethod
    def _postgres(cls, data: str, parameters: dict[str, str]) -> CatalogAddress:
        schema = parameters.pop("schema", "lake")
        parameters = {**parameters, **postgres_tls(parameters, os.environ)}
        return cls("postgres", data, parameters=parameters, schema=schema)

    @property
    def is_remote_data(self) -> bool:
        return "://" in self.data

    @property
    def libpq(self) -> str:
        """The parameters as libpq's keyword string."""
        return " ".join(f"{key}='{_escape_parameter(value)}'" for key, value in self.parameters.items())

    def describe(self) -> str:
        """For messages; holds no password."""
        if self.kind == "sqlite":
            return str(self.path)
        shown = {key: value for key, value in self.parameters.items() if key in ("host", "port", "dbname", "service", "user")}
        return "postgres " + " ".join(f"{key}={value}" for key, value in shown.items()) + f" schema={self.schema}"

    def psycopg(self) -> psycopg.Connection[Any]:
        """A connection of our own to a Postgres catalog. Raises LakeUnavailable, MissingDependency."""
        try:
            import psycopg
        except ImportError as error:
            raise MissingDependency("a Postgres catalog needs psycopg", hint="pip install headwater[postgres]") from error
        try:
            return psycopg.connect(self.libpq, autocommit=True)
        except psycopg.Error as error:
            raise LakeUnavailable("the lake's catalog can't be reached", expected=self.describe(), found=_first_line(error)) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _data_folder(text: str, project_dir: Path) -> str:
    if "://" in text:
        return text.rstrip("/") + "/"
    path = Path(text).expanduser()
    return str((path if path.is_absolute() else project_dir / path).absolute()).rstrip("/") + "/"


def _looks_like_parameters(text: str) -> bool:
    return "=" in text and not text.startswith(("/", ".", "~")) and text.split("=")[0].strip().isidentifier()


def _keyword_parameters(text: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    rest = text.strip()
    while rest:
        key, separator, rest = rest.partition("=")
        if not separator:
            raise UsageError("the lake's catalog can't be understood", expected="libpq parameters key=value")
        rest = rest.lstrip()
        value = ""
        if rest.startswith("'"):
            index = 1
            while index < len(rest) and rest[index] != "'":
                index += 1 if rest[index] == "\\" else 0
                value += rest[index]
                index += 1
            rest = rest[index + 1 :]
        else:
            value, _, rest = rest.partition(" ")
        parameters[key.strip()] = value
        rest = rest.lstrip()
    return parameters


def _url_parameters(text: str) -> dict[str, str]:
    parts = urlsplit(text)
    hosts = parts.netloc.rpartition("@")[2]
    parameters: dict[str, str] = {}
    if hosts:
        pairs = [_host_and_port(item) for item in hosts.split(",")]
        if any(host for host, _ in pairs):
            parameters["host"] = ",".join(host for host, _ in pairs)
        if any(port for _, port in pairs):
            parameters["port"] = ",".join(port for _, port in pairs)
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    if user:
        parameters["user"] = unquote(user)
    if password:
        parameters["password"] = unquote(password)
    if parts.path.strip("/"):
        parameters["dbname"] = unquote(parts.path.strip("/"))
    parameters.update(parse_qsl(parts.query))
    return parameters


def _host_and_port(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":")
    host, _, port = text.partition(":")
    return unquote(host), port


def _escape_parameter(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


# -- network file systems --------------------------------------------------------------------------------------------


def read_mounts() -> list[tuple[str, str]]:
    """(mount point, file system type) of this machine; empty where it can't be told."""
    if platform.system() == "Linux":
        try:
            lines = Path("/proc/self/mounts").read_text().splitlines()
        except OSError:
            return []
        parts = [line.split(" ") for line in lines]
        return [(part[1].encode().decode("unicode_escape"), part[2]) for part in parts if len(part) > 2]
    try:
        output = subprocess.run(["mount"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    mounts = []
    for line in output.splitlines():
        before, _, options = line.rpartition(" (")
        mounts.append((before.partition(" on ")[2], options.split(",")[0].rstrip(")")))
    return mounts


def refuse_network_file_system(path: Path, mounts: list[tuple[str, str]] | None = None) -> None:
    """Raises NetworkFileSystem when `path` (which need not exist yet) lies on one."""
    resolved = str(path.expanduser().resolve())
    best, kind = "", ""
    for point, file_system in read_mounts() if mounts is None else mounts:
        inside = resolved == point or resolved.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, file_system
    if kind.lower() in NETWORK_FILE_SYSTEMS:
        raise NetworkFileSystem(
            "a SQLite catalog can't live on a network file system: its locks don't hold there, and the lake would be damaged",
            expected="a local disk",
            found=f"{kind} at {best}",
            hint="move lake.catalog to a local disk, or use a Postgres catalog: postgresql://user@host/db?schema=lake",
        )


# -- attaching -------------------------------------------------------------------------------------------------------


def attach(engine: Engine, address: CatalogAddress, config: LakeConfig, name: str, *, read_only: bool, create: bool) -> None:
    """Attaches the lake as `name`, making catalog and folders when `create`. Waits out other processes that do the same just now.

    Raises LakeUnavailable, LakeReadOnly, LakeFormatError, NetworkFileSystem.
    """
    engine.load("ducklake")
    engine.load("sqlite_scanner" if address.kind == "sqlite" else "postgres_scanner")
    engine.load("httpfs")  # remote data needs it, and so does writing to an encrypted lake
    # a project folder may have been moved: files are kept by relative paths, and opening.py sees that it is the right folder
    # rows kept in the catalog would be plain text beside an encrypted lake, forbid column names and conflict row by row. Only this form also spares
    # the table that DuckLake makes for them beside every table of ours, which takes time and has no place for more columns than the catalog's tables
    options = [f"DATA_PATH {quote_literal(address.data)}", "OVERRIDE_DATA_PATH true", "DATA_INLINING_ROW_LIMIT 0"]
    if address.kind == "sqlite":
        assert address.path is not None
        refuse_network_file_system(address.path)
        if not address.path.exists() and not create:
            raise LakeUnavailable("there is no lake here yet", expected=str(address.path), hint="run `headwater run` first")
        if create and not read_only:
            _make_folder(address.path.parent)
        target = f"ducklake:sqlite:{address.path}"
        options.append(f"META_BUSY_TIMEOUT {BUSY_TIMEOUT_MS}")
        if not read_only:
            options.append("META_JOURNAL_MODE 'WAL'")
    else:
        if create and not read_only:
            _make_schema(address)
        target = f"ducklake:postgres:{address.libpq}"
        options.append(f"META_SCHEMA {quote_literal(address.schema)}")
    if create and not read_only and not address.is_remote_data:
        _make_folder(Path(address.data))
    if config.encrypted:
        options.append("ENCRYPTED")
    if read_only:
        options.append("READ_ONLY")
    if read_only or not create:
        options.append("CREATE_IF_NOT_EXISTS false")
    is_new = address.path is not None and not address.path.exists()
    with engine.connection() as connection:
        prepare_connection(connection, address, config, name)
        if config.encrypted:
            connection.execute("SET GLOBAL temp_file_encryption = true")
        # a failed COMMIT must come back to us instead of being tried again by DuckLake with what we read before (commit.py)
        connection.execute("SET GLOBAL ducklake_max_retry_count = 0")
        if address.kind == "sqlite":
            # with several threads each scan of a catalog's table looks at a moment of its own, and only at the rows whose numbers were given out when
            # the transaction began: a commit in between that replaces a list of deleted rows hides that list, and all rows on it come back
            connection.execute("SET GLOBAL sqlite_disable_multithreaded_scans = true")
        _attach_patiently(connection, f"ATTACH {quote_literal(target)} AS {quote(name)} ({', '.join(options)})", address, create=create)
    if is_new and address.path is not None:
        _keep_to_owner(address.path)


def _keep_to_owner(catalog: Path) -> None:
    """A new catalog is its owner's alone: it holds the keys of an encrypted lake, and the smallest and greatest values of every column."""
    for path in (catalog, catalog.with_name(catalog.name + "-wal"), catalog.with_name(catalog.name + "-shm")):
        try:
            path.chmod(0o600)
        except OSError:
            pass  # another process has made it, or none of its log is there yet


def prepare_connection(connection: Connection, address: CatalogAddress, config: LakeConfig, name: str) -> None:
    """Lets the engine reach the data folder where that is an object store."""
    if address.is_remote_data:
        connection.load("httpfs")
        _make_secret(connection, config.s3, address.data, name)


def explained(error: HeadwaterError, catalog: Path | None) -> HeadwaterError:
    """SQLite says no more than `disk I/O error` when there is no room for its log or its shared memory beside `catalog`."""
    if catalog is None or "disk i/o error" not in (error.found or "").lower():
        return error
    free = shutil.disk_usage(catalog.parent).free
    if free > _LEAST_FREE_BYTES:
        return LakeUnavailable("the lake's catalog can't be read or written", found=error.found, state="nothing was committed")
    return StorageFull(
        "no space is left for the lake's catalog", found=f"{free} bytes free", state="nothing was committed", hint="free space, then run again"
    )


def _attach_patiently(connection: Connection, statement: str, address: CatalogAddress, *, create: bool) -> None:
    deadline = time.monotonic() + OPEN_TIMEOUT_SECONDS
    pause = 0.02
    while True:
        try:
            connection.execute(statement)
            return
        except LakeReadOnly:
            raise
        except HeadwaterError as error:
            text = (error.found or "").lower()
            if "version" in text and ("mismatch" in text or "ducklake version" in text or "only ducklake versions" in text):
                raise LakeFormatError(
                    "the lake's catalog was written by another version of DuckLake",
                    expected="a catalog of DuckLake 1.0",
                    found=error.found,
                    state="nothing was changed",
                    hint="use the version of headwater that wrote it, or a newer one",
                ) from error
            if "failed to set encryption" in text:
                raise LakeError(
                    "the lake here is not encrypted, and lake.encrypted asks for it",
                    state="nothing was changed",
                    hint="a lake is encrypted from its first day or never: choose another catalog and load it anew",
                ) from error
            if "file is not a database" in text or "malformed" in text:
                raise LakeError(
                    "the lake's catalog is damaged",
                    found=f"{address.describe()}: {error.found}",
                    state="nothing was changed",
                    hint="headwater restore DIR --force brings a backup back",
                ) from error
            full = explained(error, address.path)
            if isinstance(full, StorageFull):
                raise full from error
            passing = isinstance(error, CommitConflict) or any(mark in text for mark in (_RACES if create else _RACES[:1]))
            if not passing or time.monotonic() > deadline:
                raise LakeUnavailable(
                    "the lake can't be opened",
                    expected=address.describe(),
                    found=error.found or error.what,
                    hint=f"check lake.catalog in headwater.yaml{'' if address.path is not None else ' and that its server runs'}",
                ) from error
        time.sleep(pause * random.uniform(0.5, 1.5))
        pause = min(pause * 2, 0.5)


#: What two processes creating one catalog at once see of each other.
_RACES = (
    "database is locked",
    "already exists",
    "duplicate key",
    "unique constraint",
    "tuple concurrently",
    "concurrent",
    "does not exist",
    "no such table",
    "could not serialize",
)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LakeReadOnly(
            "the lake's folder can't be made", found=f"{error.strerror}: {path}", hint="check the permissions, or lake.catalog and lake.data"
        ) from error


def _make_schema(address: CatalogAddress) -> None:
    import psycopg
    from psycopg import sql

    with address.psycopg() as connection:
        found = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [address.schema]).fetchone()
        if found:
            return
        try:
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(address.schema)))
        except psycopg.errors.UniqueViolation:
            pass  # another process made it at the same moment
        except psycopg.errors.InsufficientPrivilege as error:
            raise LakeReadOnly(
                f"the schema {address.schema} can't be made", found=_first_line(error), hint="create it, or choose ?schema="
            ) from error


def _make_secret(connection: Connection, s3: dict[str, Any], data: str, name: str) -> None:
    parts = ["TYPE s3", f"SCOPE {quote_literal(data)}"]
    if not s3.get("key_id"):
        parts.append("PROVIDER config")
    for key, value in s3.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        parts.append(f"{key.upper()} {quote_literal(text)}")
    connection.execute(f"CREATE OR REPLACE SECRET {quote('headwater_' + name)} ({', '.join(parts)})")
