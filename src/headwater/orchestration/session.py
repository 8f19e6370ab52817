"""What every command that touches the lake works with: project, engine, lake and state, opened together."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from headwater.engine import Engine
from headwater.errors import UsageError
from headwater.project import LoadedProject
from headwater.secrets import resolve
from headwater.spec.project import LakeConfig
from headwater.state import utc_now
from headwater.storage import LAKE_EXTENSIONS, Lake

if TYPE_CHECKING:
    from headwater.state import StateStore


@dataclass(slots=True)
class Session:
    """One project over one lake. Not for several threads at once; close it, or use `with`."""

    project: LoadedProject
    engine: Engine
    lake: Lake
    state: StateStore
    temp_directory: Path
    clock: Callable[[], datetime] = utc_now

    @property
    def environment(self) -> str:
        return self.project.environment

    def started_now(self) -> datetime:
        """This instant in the project's timezone: what becomes a run's clock."""
        return self.clock().astimezone(ZoneInfo(self.project.config.timezone))

    def close(self) -> None:
        self.lake.close()
        self.engine.close()
        self.state.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_session(project: LoadedProject, *, read_only: bool = False, create: bool = True, clock: Callable[[], datetime] = utc_now) -> Session:
    """Opens the lake and the state store of a project's environment.

    With `create` False, a lake that isn't there is an error (LakeUnavailable). Raises LakeError and StateError
    kinds, UnresolvedReference, UsageError for a timezone nobody knows.
    """
    config = project.config
    lake_config = LakeConfig.model_validate(_resolved(config.lake.model_dump(), project))
    state_url = _resolved(config.state, project)
    temp_directory = project.directory / ".headwater" / "tmp"
    try:
        ZoneInfo(config.timezone)
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(f"there is no timezone {config.timezone!r}", expected="a name such as UTC or Europe/Oslo") from error
    engine = Engine(
        threads=config.threads,
        memory_limit=config.memory_limit,
        temp_directory=temp_directory,
        timezone=config.timezone,
        extensions=LAKE_EXTENSIONS,
    )
    importing = threading.Thread(target=importlib.import_module, args=("headwater.state.store",), name="headwater-import")
    importing.start()  # while the engine works on the lake
    try:
        lake = Lake.open(lake_config, engine, project_dir=project.directory, environment=project.environment, read_only=read_only, create=create)
        try:
            importing.join()
            from headwater.state import StateStore

            state = StateStore.open(state_url, project.directory, clock=clock)
        except BaseException:
            lake.close()
            raise
    except BaseException:
        engine.close()
        raise
    return Session(project, engine, lake, state, temp_directory, clock)


def _resolved(value: Any, project: LoadedProject) -> Any:
    return resolve(value, project_dir=project.directory, environ=project.environ, security=project.config.security)
