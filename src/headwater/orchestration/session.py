"""What every command that touches the lake works with: project, engine, lake and state, opened together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from zoneinfo import ZoneInfo

from headwater.engine import Engine
from headwater.errors import UsageError
from headwater.project import LoadedProject
from headwater.secrets import resolve
from headwater.spec.names import OWNER_NAME
from headwater.spec.project import LakeConfig
from headwater.state import StateStore, utc_now
from headwater.storage import LAKE_EXTENSIONS, Lake


class Session:
    """One project over one lake. Not for several threads at once; close it, or use `with`."""

    def __init__(
        self, project: LoadedProject, engine: Engine, lake: Lake, state_url: str, temp_directory: Path, clock: Callable[[], datetime]
    ) -> None:
        self.project = project
        self.engine = engine
        self.lake = lake
        self.temp_directory = temp_directory
        self.clock = clock
        #: Who calls: what runs are written down under.
        self.principal = OWNER_NAME
        self._state_url = state_url
        self._state: StateStore | None = None

    @property
    def state(self) -> StateStore:
        """The state store, opened when it is first asked for. Raises StateError kinds."""
        if self._state is None:
            self._state = StateStore.open(self._state_url, self.project.directory, clock=self.clock)
        return self._state

    @property
    def environment(self) -> str:
        return self.project.environment

    def started_now(self) -> datetime:
        """This instant in the project's timezone: what becomes a run's clock."""
        return self.clock().astimezone(ZoneInfo(self.project.config.timezone))

    def close(self) -> None:
        self.lake.close()
        self.engine.close()
        if self._state is not None:
            self._state.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def lake_config_of(project: LoadedProject) -> LakeConfig:
    """Where the lake is, references resolved. Raises UnresolvedReference."""
    return LakeConfig.model_validate(_resolved(project.config.lake.model_dump(), project))


def open_session(
    project: LoadedProject,
    *,
    read_only: bool = False,
    create: bool = True,
    with_state: bool = True,
    clock: Callable[[], datetime] = utc_now,
) -> Session:
    """Opens the lake and the state store of a project's environment.

    With `create` False, a lake that isn't there is an error (LakeUnavailable). With `with_state` False, the store is opened when it is first asked
    for, if ever. Raises LakeError and StateError kinds, UnresolvedReference, UsageError for a timezone nobody knows.
    """
    config = project.config
    lake_config = lake_config_of(project)
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
    try:
        lake = Lake.open(lake_config, engine, project_dir=project.directory, environment=project.environment, read_only=read_only, create=create)
    except BaseException:
        engine.close()
        raise
    session = Session(project, engine, lake, state_url, temp_directory=temp_directory, clock=clock)
    if with_state:
        try:
            session.state  # noqa: B018 -- opened now, so that what is wrong with it is told before anything is done
        except BaseException:
            session.close()
            raise
    return session


def _resolved(value: Any, project: LoadedProject) -> Any:
    return resolve(value, project_dir=project.directory, environ=project.environ, security=project.config.security)
