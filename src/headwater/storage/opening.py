"""Opening a lake: attach it, make or check its system tables, see that its data folder is its own."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import uuid
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from headwater.engine import Connection, Engine
from headwater.errors import HeadwaterError, LakeError, LakeFormatError, LakeReadOnly, LakeUnavailable, SqlBindError
from headwater.spec.names import quote_literal
from headwater.spec.project import LakeConfig
from headwater.storage import boundaries
from headwater.storage.catalog import CatalogAddress, attach
from headwater.storage.core import Core, patiently, rollback
from headwater.storage.system import FORMAT_VERSION, SystemRows, create_statements

#: Lies in the data folder and names the lake that owns it: another lake would take all its files for orphans.
OWNER_FILE = "headwater-lake.json"


def open_core(config: LakeConfig, engine: Engine, project_dir: Path, environment: str, database: str, *, read_only: bool, create: bool) -> Core:
    """See `Lake.open`."""
    address = CatalogAddress.parse(config, project_dir)
    copy: Path | None = None
    try:
        attach(engine, address, config, database, read_only=read_only, create=create)
    except LakeReadOnly:
        if address.path is None or not address.path.exists():
            raise
        read_only = True
        copy = _attach_readable(engine, address, config, database)
    core = Core(engine, config, address, database, environment, read_only=read_only, copy=copy)
    try:
        _check(core, create=create)
    except BaseException:
        core.close()
        raise
    return core


def _attach_readable(engine: Engine, address: CatalogAddress, config: LakeConfig, database: str) -> Path | None:
    """Attaches a lake that can't be written; returns the folder of the private copy of its catalog, where one had to be made.

    SQLite can't read a catalog in WAL mode without making its shared memory beside it; then a copy of this moment is read.
    """
    try:
        attach(engine, address, config, database, read_only=True, create=False)
        return None
    except LakeReadOnly:
        assert address.path is not None
    folder = Path(tempfile.mkdtemp(prefix="headwater-catalog-"))
    copied = folder / address.path.name
    try:
        shutil.copyfile(address.path, copied)
        log = address.path.with_name(address.path.name + "-wal")
        if log.exists():
            shutil.copyfile(log, copied.with_name(log.name))
        attach(engine, replace(address, path=copied), config, database, read_only=True, create=False)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise LakeUnavailable("the lake's catalog can't be read", expected=address.describe(), found=error.strerror) from error
        raise
    return folder


def _check(core: Core, *, create: bool) -> None:
    _refuse_missing_data(core)
    found = _format_of(core)
    if found is None:
        if core.read_only or not create:
            raise LakeUnavailable("there is no lake here yet", expected=core.address.describe(), hint="run `headwater run` first")
        found = core.write(lambda: _create(core), "making the lake's system tables")
    if found[0] > FORMAT_VERSION:
        raise LakeFormatError(
            "the lake was written by a newer version of headwater",
            expected=f"format {FORMAT_VERSION} or older",
            found=f"format {found[0]}",
            state="nothing was changed",
            hint="upgrade headwater: pip install --upgrade headwater",
        )
    if _refuse_foreign_data(core, found[1]) and not core.read_only:
        _write_owner(core, found[1])


def _format_of(core: Core) -> tuple[int, str] | None:
    """The newest format recorded in the lake, and the lake's id; None where there are no system tables yet."""
    with core.engine.connection() as connection:
        try:
            return patiently(lambda: _read_format(core, connection))
        except SqlBindError:
            return None


def _read_format(core: Core, connection: Connection) -> tuple[int, str] | None:
    row = connection.execute(f"SELECT max(version), any_value(lake_id) FROM {core.system}.format").fetchone()
    return None if row is None or row[0] is None else (int(row[0]), str(row[1]))


def _create(core: Core) -> tuple[int, str]:
    """The format and the id of the new lake. One transaction; whoever loses the race finds the tables made. Raises LakeError for another's folder."""
    is_marked = _owner_of(core) is not None  # before the tables: another process that makes this very lake marks its folder when it has done so
    lake_id = uuid.uuid4().hex
    with core.engine.connection() as connection:
        core.begin(connection)
        try:
            for statement in create_statements(core.database):
                connection.execute(statement)
            found = _read_format(core, connection)
            if found is not None:
                rollback(connection)
                return found
            if is_marked:
                _refuse_foreign_data(core, None)
            rows = SystemRows()
            rows.add("format", {"version": FORMAT_VERSION, "lake_id": lake_id, "written_by": _package_version(), "created_at": datetime.now(UTC)})
            rows.write(connection, core.database)
            boundaries.reached("lake.create")
            connection.execute("COMMIT")
        except BaseException:
            rollback(connection)
            raise
    return FORMAT_VERSION, lake_id


def _package_version() -> str:
    try:
        return version("headwater")
    except PackageNotFoundError:
        return "unknown"


# -- whose data folder it is -----------------------------------------------------------------------------------------


def _refuse_missing_data(core: Core) -> None:
    """Raises LakeError when the catalog names files and the folder is neither where they were written nor marked as moved from there."""
    with core.engine.connection() as connection:
        sql = f"""
            SELECT value, EXISTS (SELECT 1 FROM {core.metadata}.ducklake_data_file)
            FROM {core.metadata}.ducklake_metadata
            WHERE key = 'data_path'
        """
        row = patiently(lambda: connection.execute(sql).fetchone())
    if row is not None and row[1] and row[0] != core.address.data and _owner_of(core) is None:
        raise LakeError(
            "the lake's data isn't where lake.data points",
            expected=str(row[0]),
            found=core.address.data,
            state="nothing was changed",
            hint=f"correct lake.data, or move the whole folder with its {OWNER_FILE}",
        )


def _refuse_foreign_data(core: Core, lake_id: str | None) -> bool:
    """Whether the folder has no owner yet. Raises LakeError when it has another."""
    owner = _owner_of(core)
    if owner is not None:
        if owner != lake_id:
            raise LakeError(
                "the data folder belongs to another lake, which would lose its files to this one's maintenance",
                expected=f"a folder of its own for the catalog {core.address.describe()}",
                found=core.address.data,
                state="nothing was changed",
                hint=f"choose another lake.data; if that other lake is gone for good, remove {OWNER_FILE} there",
            )
        return False
    return True


def _owner_of(core: Core) -> str | None:
    path = core.address.data + OWNER_FILE
    if not core.address.is_remote_data:
        try:
            return str(json.loads(Path(path).read_text())["lake_id"])
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError) as error:
            raise LakeError(
                f"{OWNER_FILE} of the data folder can't be read", found=type(error).__name__, hint="it names the lake; mend or remove it"
            ) from error
    with core.engine.connection() as connection:
        found = connection.execute(f"SELECT count(*) FROM glob({quote_literal(path[:-1] + '*')})").scalar()
        if not found:
            return None
        return str(connection.execute(f"SELECT json_extract_string(content, 'lake_id') FROM read_text({quote_literal(path)})").scalar())


def _write_owner(core: Core, lake_id: str) -> None:
    path = core.address.data + OWNER_FILE
    if not core.address.is_remote_data:
        draft = Path(f"{path}.{uuid.uuid4().hex}")  # whoever looks meanwhile finds the whole mark or none
        try:
            with draft.open("w") as out:
                out.write(json.dumps({"lake_id": lake_id}) + "\n")
                out.flush()
                os.fsync(out.fileno())  # else a power cut may leave the name with nothing in it
            draft.replace(path)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            raise LakeReadOnly("the lake's data folder can't be written", found=error.strerror, hint="check the permissions of lake.data") from error
        return
    with core.engine.connection() as connection:
        try:
            connection.execute(f"COPY (SELECT {quote_literal(lake_id)} AS lake_id) TO {quote_literal(path)} (FORMAT json)")
        except HeadwaterError as error:
            raise LakeReadOnly("the lake's bucket can't be written", found=error.found, hint="check the key's rights on lake.data") from error
