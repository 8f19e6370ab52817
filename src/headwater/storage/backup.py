"""A lake's copy of one instant, and putting it back, perhaps elsewhere.

A backup is a folder: `backup.json` (what it is), the catalog (`catalog.sqlite`, or `catalog/` with one file per Postgres table), and `data/` with
every file that catalog names. The catalog is copied at once; data files never change once written, and none is removed while the history is kept.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote as quote_path

from headwater.engine import Engine
from headwater.errors import LakeError, LakeFormatError, LakeUnavailable, StorageFull, UsageError
from headwater.spec.project import LakeConfig
from headwater.storage.catalog import CatalogAddress, prepare_connection, refuse_network_file_system
from headwater.storage.core import Core
from headwater.storage.files import FILES_SQL, LakeFile, copy_failed, copy_file, files_of
from headwater.storage.opening import OWNER_FILE
from headwater.storage.system import FORMAT_VERSION

if TYPE_CHECKING:
    import psycopg

BACKUP_FORMAT: Final = 1
MANIFEST: Final = "backup.json"


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What a backup holds. `snapshot_id` is the lake's newest snapshot in it."""

    format: int
    lake_format: int
    catalog: str
    lake_id: str
    snapshot_id: int
    created_at: str
    files: int
    size_bytes: int
    is_encrypted: bool


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was put back, and where."""

    backup: BackupReport
    catalog: str
    data: str


# -- making one ------------------------------------------------------------------------------------------------------


def backup_lake(core: Core, directory: Path, state_backup: Callable[[Path], None] | None, hard_links: bool) -> BackupReport:
    """See `Lake.backup`."""
    if directory.exists() and any(directory.iterdir()):
        raise UsageError("a backup needs a folder of its own", expected="a new or empty folder", found=str(directory))
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise copy_failed(error, str(directory)) from error
    if state_backup is not None:
        state_backup(directory)
    with core.history_kept():
        if core.address.kind == "sqlite":
            rows, snapshot, lake_id = _copy_sqlite(core, directory / "catalog.sqlite")
        else:
            rows, snapshot, lake_id = _copy_postgres(core, directory / "catalog")
        files = files_of(rows)
        _copy_data(core, files, directory / "data", hard_links)
    (directory / "data").mkdir(exist_ok=True)
    report = BackupReport(
        format=BACKUP_FORMAT,
        lake_format=FORMAT_VERSION,
        catalog=core.address.kind,
        lake_id=lake_id,
        snapshot_id=snapshot,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        files=len(files),
        size_bytes=sum(file.size_bytes for file in files),
        is_encrypted=core.is_encrypted,
    )
    (directory / MANIFEST).write_text(json.dumps(asdict(report), indent=2) + "\n")
    return report


def _copy_data(core: Core, files: list[LakeFile], target: Path, hard_links: bool) -> None:
    with core.engine.connection() as connection:
        for file in files:
            if not file.is_relative:
                raise LakeError(f"{file.path} lies outside the data folder and can't be backed up", hint="headwater doctor names its table")
            copy_file(core.address.data + file.path, str(target / file.path), connection, hard_link=hard_links)


def _lake_id(core: Core) -> str:
    with core.engine.connection() as connection:
        return str(connection.execute(f"SELECT any_value(lake_id) FROM {core.system}.format").scalar())


#: Run by a process of its own: closing a file gives up all locks that a process has on it, and ours has the catalog open through the engine.
_SQLITE_COPIER: Final = """
import sqlite3, sys
source = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, timeout=30)
copy = sqlite3.connect(sys.argv[2])
source.backup(copy)
copy.execute("PRAGMA journal_mode = DELETE")
copy.close()
source.close()
"""


def _copy_sqlite(core: Core, target: Path) -> tuple[list[tuple[Any, ...]], int, str]:
    assert core.address.path is not None
    source = quote_path(str(core.address.path))
    done = subprocess.run([sys.executable, "-c", _SQLITE_COPIER, source, str(target)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        found = (done.stderr.strip().splitlines() or ["the copying process ended"])[-1]
        if "full" in found.lower():
            raise StorageFull("no space is left to copy the catalog to", found=found, state="the backup is incomplete", hint="free space, begin anew")
        raise LakeUnavailable("the catalog can't be copied", found=found, state="the backup is incomplete", hint="try again")
    copy = sqlite3.connect(target)
    try:
        rows = copy.execute(FILES_SQL.format(meta="")).fetchall()
        snapshot = copy.execute("SELECT max(snapshot_id) FROM ducklake_snapshot").fetchone()[0]
    finally:
        copy.close()
    return rows, int(snapshot), _lake_id(core)


def _copy_postgres(core: Core, target: Path) -> tuple[list[tuple[Any, ...]], int, str]:
    import psycopg
    from psycopg import sql

    target.mkdir()
    schema = core.address.schema
    tables: list[dict[str, Any]] = []
    try:
        with core.address.psycopg() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            for name in _postgres_tables(connection, schema):
                columns = connection.execute(_COLUMNS, [schema, name]).fetchall()
                keys = connection.execute(_KEYS, [schema, name]).fetchall()
                file = f"{len(tables)}.copy"
                tables.append({"name": name, "file": file, "columns": [list(column) for column in columns], "key": [key[0] for key in keys]})
                statement = sql.SQL("COPY {}.{} TO STDOUT").format(sql.Identifier(schema), sql.Identifier(name))
                with (target / file).open("wb") as out, connection.cursor().copy(statement) as copy:
                    for block in copy:
                        out.write(block)
            meta = sql.SQL(FILES_SQL.replace("{meta}", "{meta}.")).format(meta=sql.Identifier(schema))
            rows = connection.execute(meta).fetchall()
            snapshot = connection.execute(sql.SQL("SELECT max(snapshot_id) FROM {}.ducklake_snapshot").format(sql.Identifier(schema))).fetchone()
    except psycopg.Error as error:
        raise LakeUnavailable(
            "the catalog can't be copied", found=str(error).splitlines()[0], state="the backup is incomplete", hint="try again"
        ) from error
    except OSError as error:
        raise copy_failed(error, "the catalog") from error
    (target / "tables.json").write_text(json.dumps(tables, indent=1))
    assert snapshot is not None
    return rows, int(snapshot[0]), _lake_id(core)


_COLUMNS = """
    SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
    FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
"""
_KEYS = """
    SELECT a.attname
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
    WHERE n.nspname = %s AND c.relname = %s AND i.indisprimary
    ORDER BY array_position(i.indkey::int[], a.attnum::int)
"""


def _postgres_tables(connection: psycopg.Connection[Any], schema: str) -> list[str]:
    rows = connection.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind = 'r' "
        "AND c.relname LIKE 'ducklake%%' ORDER BY 1",
        [schema],
    ).fetchall()
    return [row[0] for row in rows]


# -- putting it back -------------------------------------------------------------------------------------------------


def read_backup(directory: Path) -> BackupReport:
    """What the folder holds. Raises UsageError when it is no (whole) backup, LakeFormatError when a newer headwater made it."""
    try:
        found = json.loads((directory / MANIFEST).read_text())
        report = BackupReport(**found)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            "this is not a backup, or one that was never finished", expected=f"a folder with {MANIFEST}", found=str(directory)
        ) from error
    if report.format > BACKUP_FORMAT or report.lake_format > FORMAT_VERSION:
        raise LakeFormatError("the backup was made by a newer version of headwater", hint="upgrade headwater: pip install --upgrade headwater")
    return report


def restore_lake(
    directory: Path, config: LakeConfig, engine: Engine, *, project_dir: Path, force: bool = False, catalog_dir: Path | None = None
) -> RestoreReport:
    """Puts the backup in `directory` where `config` says, data first and the catalog last. Nobody may have that lake open.

    The place may be another than the backup came from; the kind of catalog may not. Without `force` nothing may be there yet; with it, the lake that
    is there is replaced. `catalog_dir` is where the catalog's copy lies, if not in the backup itself. Killed midway, it can be done again with
    `force`. Raises UsageError, LakeFormatError, LakeUnavailable, StorageFull.
    """
    report = read_backup(directory)
    address = CatalogAddress.parse(config, project_dir)
    if address.kind != report.catalog:
        raise UsageError("a backup is restored into the kind of catalog it came from", expected=report.catalog, found=address.kind)
    if address.path is not None:
        refuse_network_file_system(address.path)
    if not force and _is_there(address):
        raise UsageError("there is a lake already", found=address.describe(), hint="choose another place, or add --force to replace it")
    with engine.connection() as connection:
        prepare_connection(connection, address, config, "restore")
        for file in sorted(path for path in (directory / "data").rglob("*") if path.is_file()):
            copy_file(str(file), address.data + file.relative_to(directory / "data").as_posix(), connection)
        with tempfile.TemporaryDirectory() as folder:  # a backup may lie where nothing can be written
            owner = Path(folder) / OWNER_FILE
            owner.write_text(json.dumps({"lake_id": report.lake_id}) + "\n")
            copy_file(str(owner), address.data + OWNER_FILE, connection)
    if address.kind == "sqlite":
        _restore_sqlite((catalog_dir or directory) / "catalog.sqlite", address)
    else:
        _restore_postgres((catalog_dir or directory) / "catalog", address)
    return RestoreReport(report, address.describe(), address.data)


def _is_there(address: CatalogAddress) -> bool:
    if address.path is not None:
        return address.path.exists()
    with address.psycopg() as connection:
        return bool(_postgres_tables(connection, address.schema))


def _restore_sqlite(source: Path, address: CatalogAddress) -> None:
    assert address.path is not None
    path = address.path
    part = path.with_name(path.name + ".restoring")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, part)
        part.chmod(0o600)
        connection = sqlite3.connect(part)
        try:
            with connection:
                connection.execute("UPDATE ducklake_metadata SET value = ? WHERE key = 'data_path'", [address.data])
        finally:
            connection.close()
        for name in ("-wal", "-shm"):
            path.with_name(path.name + name).unlink(missing_ok=True)
        part.replace(path)
    except OSError as error:
        raise copy_failed(error, path.name) from error
    except sqlite3.Error as error:
        raise LakeError("the backup's catalog can't be read", found=str(error)) from error


def _restore_postgres(source: Path, address: CatalogAddress) -> None:
    import psycopg
    from psycopg import sql

    tables = json.loads((source / "tables.json").read_text())
    schema = sql.Identifier(address.schema)
    try:
        with address.psycopg() as connection, connection.transaction():
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
            for name in _postgres_tables(connection, address.schema):
                connection.execute(sql.SQL("DROP TABLE {}.{}").format(schema, sql.Identifier(name)))
            for table in tables:
                target = sql.SQL("{}.{}").format(schema, sql.Identifier(table["name"]))
                parts = [
                    sql.SQL("{} {}{}").format(sql.Identifier(name), sql.SQL(type_name), sql.SQL(" NOT NULL" if not_null else ""))
                    for name, type_name, not_null in table["columns"]
                ]
                if table["key"]:
                    parts.append(sql.SQL("PRIMARY KEY ({})").format(sql.SQL(", ").join(map(sql.Identifier, table["key"]))))
                connection.execute(sql.SQL("CREATE TABLE {} ({})").format(target, sql.SQL(", ").join(parts)))
                with (source / table["file"]).open("rb") as data, connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(target)) as copy:
                    while block := data.read(1 << 20):
                        copy.write(block)
            connection.execute(sql.SQL("UPDATE {}.ducklake_metadata SET value = %s WHERE key = 'data_path'").format(schema), [address.data])
    except psycopg.Error as error:
        raise LakeUnavailable("the catalog can't be restored", found=str(error).splitlines()[0], state="the catalog there is as it was") from error
