"""Finding and opening connectors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from headwater.errors import HeadwaterError, MissingDependency, ProtectionError, UnresolvedReference, UsageError, UserCodeError
from headwater.secrets import redact, referenced, resolve
from headwater.sources.connector import Connector, ConnectorContext
from headwater.spec.project import SecurityConfig
from headwater.spec.sources import Source, Stream

GROUP = "headwater.connectors"
_DEFAULTS = SecurityConfig()
#: Our own, by type: imported when first used.
_BUILT_IN: Mapping[str, str] = MappingProxyType(
    {
        "files": "headwater.sources.files:FilesConnector",
        "postgres": "headwater.sources.postgres:PostgresConnector",
        "mysql": "headwater.sources.mysql:MySqlConnector",
        "sqlite": "headwater.sources.sqlite:SqliteConnector",
        "duckdb": "headwater.sources.duckdb:DuckDbConnector",
        "python": "headwater.sources.python:PythonConnector",
    }
)


def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def connector_types() -> dict[str, str]:
    """The types a source may have, each with where its connector comes from (`module:class`), in order. Imports none of them."""
    return dict(sorted({**{name: point.value for name, point in _installed().items()}, **_BUILT_IN}.items()))


def connector_class(type_name: str) -> type[Connector]:
    """The connector's class. Raises UsageError for an unknown type, MissingDependency when its package can't be imported."""
    installed = {} if type_name in _BUILT_IN else _installed()
    if type_name not in _BUILT_IN and type_name not in installed:
        known = connector_types()
        near = difflib.get_close_matches(type_name, known, 1)
        raise UsageError(
            f"no connector is called {type_name!r}",
            expected=", ".join(known),
            hint=f"did you mean {near[0]!r}?" if near else "install the package that brings it",
        )
    try:
        if type_name in _BUILT_IN:
            module, _, name = _BUILT_IN[type_name].partition(":")
            found: Any = getattr(import_module(module), name)
        else:
            found = installed[type_name].load()
    except ImportError as error:
        raise MissingDependency(
            f"the connector {type_name} can't be imported", found=str(error), hint=f"install what it needs: pip install 'headwater[{type_name}]'"
        ) from error
    return cast("type[Connector]", found)


def open_connector(
    source: Source,
    *,
    project_dir: Path,
    environ: Mapping[str, str],
    security: SecurityConfig = _DEFAULTS,
    temp_dir: Path | None = None,
    now: datetime | None = None,
) -> Connector:
    """The connector of a source, its references resolved. Connects to nothing yet. Close it.

    `environ` is the environment with the project's .env in it; `temp_dir` where compressed files are unpacked (the system's by default); `now` the
    start of the run. Raises UnresolvedReference, UsageError (unknown type), MissingDependency.
    """
    factory = connector_class(source.type)
    return factory(
        ConnectorContext(
            name=source.name,
            project_dir=project_dir,
            connection=resolve(source.connection, project_dir=project_dir, environ=environ, security=security),
            options=resolve(source.options, project_dir=project_dir, environ=environ, security=security),
            statement_timeout=source.statement_timeout,
            temp_dir=temp_dir,
            now=now,
            environ=environ,
        )
    )


def resolved_stream(stream: Stream, *, project_dir: Path, environ: Mapping[str, str], security: SecurityConfig = _DEFAULTS) -> Stream:
    """The stream as connectors are to read it, its references resolved. Never store or print it. Raises UnresolvedReference."""
    given = {"path": stream.path, "table": stream.table, "query": stream.query, "options": stream.options}
    found = resolve(given, project_dir=project_dir, environ=environ, security=security)
    return stream if found == given else stream.model_copy(update=found)


@contextmanager
def unspoken(
    source: Source, streams: Iterable[Stream], *, project_dir: Path, environ: Mapping[str, str], security: SecurityConfig = _DEFAULTS
) -> Iterator[None]:
    """Inside it, errors leave without the values that references stand for in `table`, `query` and `options` of the streams.

    An error of the user's own code, which may say anything, leaves without those of the whole source, and without what it came from.
    """
    try:
        yield
    except HeadwaterError as error:
        given: list[object] = [(stream.table, stream.query, stream.options) for stream in streams]
        if isinstance(error, UserCodeError):
            given += [source.connection, source.options]
        with suppress(UnresolvedReference, ProtectionError):
            secrets = referenced(given, project_dir=project_dir, environ=environ, security=security)
            error.what = redact(error.what, secrets)
            error.expected, error.found, error.hint = (text and redact(text, secrets) for text in (error.expected, error.found, error.hint))
            if isinstance(error, UserCodeError):
                error.user_traceback = redact(error.user_traceback, secrets)
                error.__cause__, error.__suppress_context__ = None, True
        raise
