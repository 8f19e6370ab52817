"""Whether all is well, and what to do where it isn't. Looks, and changes nothing."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version

from headwater import errors
from headwater.api.results import Finding
from headwater.api.rooms import keyring_of
from headwater.engine import extension_available
from headwater.orchestration import Session, open_session
from headwater.orchestration.session import lake_config_of
from headwater.project import LoadedProject
from headwater.spec.counting import plural
from headwater.storage import Inconsistency, Lake
from headwater.storage.opening import OWNER_FILE
from headwater.storage.torn import torn_columns

#: Connectors that need an extension of the engine.
_EXTENSIONS = {"postgres": "postgres_scanner", "mysql": "mysql_scanner", "sqlite": "sqlite_scanner"}


def findings(project: LoadedProject) -> list[Finding]:
    """What was looked at, each with how it is."""
    found = [*_installation(project), _files(project), *_keys(project)]
    try:
        session = open_session(project, create=False)
    except (errors.LakeError, errors.StateError, errors.ProjectError, errors.QueryError, errors.SourceError, errors.ProtectionError) as error:
        if isinstance(error, errors.LakeUnavailable) and _has_no_catalog(project):
            if not _has_data(project):
                return [*found, Finding("lake", "ok", "there is none yet", "headwater run makes it")]
            return [*found, Finding("lake", "failed", "its catalog is gone, its data is still there", "headwater restore DIR brings a backup back")]
        return [*found, *(_torn(project) or [Finding("lake", "failed", _words(error), error.hint or "")])]
    with session:
        found += _lake(session.lake)
        found += _state(session)
    return found


def _torn(project: LoadedProject) -> list[Finding]:
    """Why DuckLake can't read a catalog that is there, where that is known."""
    try:
        torn = torn_columns(lake_config_of(project), project.directory)
    except errors.HeadwaterError:
        return []  # what is wrong is told by what opening it said
    said = "the catalog knows no fields of the nested column {}, made by snapshot {}, so nothing of the lake can be read: a fault of early builds"
    hint = "headwater restore DIR brings back a backup from before it; without one, move the catalog and the data folder away and run anew"
    return [Finding("lake", "failed", said.format(one.column, one.snapshot_id), hint) for one in torn]


def _has_no_catalog(project: LoadedProject) -> bool:
    catalog = project.config.lake.catalog
    return "://" not in catalog and "${" not in catalog and not (project.directory / catalog).exists()


def _has_data(project: LoadedProject) -> bool:
    """Whether a lake has its mark in the data folder, as far as that is a folder here."""
    return (project.directory / project.config.lake.data / OWNER_FILE).exists()


def _words(error: errors.HeadwaterError) -> str:
    return f"{error.code} {error.what}{f' ({error.found})' if error.found else ''}"


def _installation(project: LoadedProject) -> Iterator[Finding]:
    yield Finding("versions", "ok", f"headwater {version('headwater')}, Python {platform.python_version()}, DuckDB {version('duckdb')}")
    needed = {
        "ducklake",
        "sqlite_scanner",
        "httpfs",
        *(_EXTENSIONS[source.type] for source in project.sources.values() if source.type in _EXTENSIONS),
    }
    missing = {name for name in needed if not extension_available(name)}
    if missing:
        listed = ", ".join(sorted(missing))
        yield Finding("extensions", "failed", f"not installed for this version of DuckDB: {listed}", "pip install 'headwater[all]'")


def _files(project: LoadedProject) -> Finding:
    said = f"tables: {len(project.graph.nodes)}, sources: {len(project.sources)}, environment: {project.environment}"
    if project.warnings:
        return Finding("project", "warning", f"{said}; {len(project.warnings)} doubtful", "headwater lint")
    return Finding("project", "ok", said)


def _keys(project: LoadedProject) -> Iterator[Finding]:
    """Whether the master key opens the keyring. Of a project that has none yet there is nothing to say."""
    keyring = keyring_of(project)
    try:
        known = keyring.entries()
        for one in known:
            if one.is_newest:
                keyring.newest(one.purpose)
    except (errors.ProtectionError, errors.UsageError, errors.MissingDependency) as error:
        yield Finding("keys", "failed", _words(error), error.hint or "")
        return
    if known:
        yield Finding("keys", "ok", f"{len(known)} in {keyring.path.name}, and the master key opens them")


def _lake(lake: Lake) -> Iterator[Finding]:
    state = lake.state()
    yield Finding("lake", "ok", f"{lake.address.describe()}, snapshot {state.snapshot_id}, tables: {len(state.tables)}")
    if lake.read_only:
        yield Finding("lake", "warning", "nothing can be written there", "look at the permissions of its catalog and folder")
    faults = lake.check_consistency()
    for fault in faults:
        yield Finding("lake", "failed", f"{fault.table or 'lake'}: {fault.message} [{fault.rule}]", _mending(fault))
    if not faults:
        yield Finding("lake", "ok", "catalog, system tables and files fit together")
    for pin in lake.pins():
        kept = f"{pin.publication} at snapshot {pin.snapshot_id} since {pin.recorded_at:%Y-%m-%d} in {pin.environment}"
        why = f": {pin.reason}" if pin.reason else ""
        yield Finding("pin", "warning", f"{pin.table} is {kept}{why}; it keeps {pin.size_bytes:,} bytes", f"headwater publish {pin.table}")
    waiting = lake.quarantine_counts()
    if waiting:
        said = ", ".join(f"{count:,} of {table}" for table, count in sorted(waiting.items()))
        yield Finding("quarantine", "warning", f"rows wait: {said}", "headwater quarantine list")


def _mending(fault: Inconsistency) -> str:
    hint = "headwater restore DIR brings a backup back"
    return f"{hint}; without one, headwater run TABLE --full-refresh makes its table anew" if fault.rule == "missing-file" else hint


def _state(session: Session) -> Iterator[Finding]:
    store = session.state
    runs = store.runs(environment=session.environment, limit=1)
    yield Finding("state", "ok", f"{store.where}, {'last run ' + runs[0].run_id if runs else 'nothing has run yet'}")
    newest, head = store.newest_snapshot(session.environment), session.lake.head()
    if newest is not None and newest > head:
        said = f"the state knows snapshot {newest}, the lake ends at {head}: the lake was restored from an older copy"
        yield Finding("state", "warning", said, "headwater run goes on from what the lake holds")
    known = store.known_runs({state.load.run_id for state in session.lake.state().tables.values() if state.load is not None})
    unknown = {state.load.run_id for state in session.lake.state().tables.values() if state.load is not None} - known
    if unknown:
        said = f"the lake holds {plural(len(unknown), 'run')} that the state doesn't know: the state was lost, or is an older copy"
        yield Finding("state", "warning", said, "headwater run writes them down again; nothing is lost")
    for holder in store.held_leases(session.environment).values():
        if holder.is_alive is False:
            yield Finding("state", "warning", f"run {holder.run_id} ended without letting go of its tables", "headwater run takes them over")
