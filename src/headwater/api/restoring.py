"""Putting a backup back: done before lake and state are opened."""

from __future__ import annotations

import tempfile
from pathlib import Path

from headwater.api.rooms import keyring_of
from headwater.api.sealing import is_sealed_backup, unseal_backup
from headwater.engine import Engine
from headwater.orchestration import open_session
from headwater.project import LoadedProject
from headwater.secrets import resolve
from headwater.spec.project import LakeConfig
from headwater.storage import LAKE_EXTENSIONS, RestoreReport, read_backup, restore_lake


def restore_backup(project: LoadedProject, directory: Path, state_file: str, *, force: bool) -> RestoreReport:
    """See `LakeRoom.restore`. The lake first, then the state: a state older than its lake is mended by the next run, the reverse isn't needed."""
    given = project.config.lake.model_dump()
    resolved = resolve(given, project_dir=project.directory, environ=project.environ, security=project.config.security)
    config = LakeConfig.model_validate(resolved)
    with tempfile.TemporaryDirectory(prefix="headwater-restore-") as name:
        opened = directory
        if is_sealed_backup(directory):
            opened = Path(name)
            unseal_backup(directory, read_backup(directory).lake_id, opened, keyring_of(project))
        with Engine(timezone=project.config.timezone, extensions=LAKE_EXTENSIONS) as engine:
            report = restore_lake(directory, config, engine, project_dir=project.directory, force=force, catalog_dir=opened)
        if (opened / state_file).is_file():
            with open_session(project) as session:
                session.state.restore_from(opened / state_file)
    return report
