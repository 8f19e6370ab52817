"""The sources of a project: what there is, what they hold, whether they answer."""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from headwater.api.results import DiscoveredTable, Discovery, ListedSource
from headwater.api.source_files import add_streams
from headwater.errors import HeadwaterError, UnknownSelection
from headwater.project import LoadedProject
from headwater.project.problems import nearest
from headwater.spec.sources import Source, Stream

if TYPE_CHECKING:
    from headwater.api.rights import Rights
    from headwater.sources import Connector, DiscoveredStream

#: Rows that a function is asked for, to see what columns it gives.
FIRST_ROWS = 100


class Sources:
    """`project.sources`. Touches neither lake nor state. Whoever HEADWATER_TOKEN says must be an administrator, else ApprovalRefused is raised."""

    def __init__(self, loaded: LoadedProject, rights: Rights) -> None:
        self._loaded = loaded
        self._rights = rights

    def list(self) -> list[ListedSource]:
        """All sources, by name."""
        self._rights.need_administrator("list the sources")
        found = sorted(self._loaded.sources.values(), key=lambda source: source.name)
        return [ListedSource(source.name, source.type, source.path, tuple(source.streams), source.description) for source in found]

    def check(self, name: str) -> str:
        """Connects and says what answered, in a line. Raises UnknownSelection, SourceUnreachable, MissingDependency, UnresolvedReference."""
        self._rights.need_administrator("connect to the sources")
        with self._connector(self._find(name)) as connector:
            return connector.check()

    def discover(self, name: str, *, write: bool = False) -> Discovery:
        """What a source holds, and what its streams read. With `write`, the streams that aren't defined yet are added to the source's file; all else
        in it stays as it is.

        Raises UnknownSelection, SourceUnreachable, MissingDependency, UnresolvedReference.
        """
        self._rights.need_administrator("look into the sources")
        source = self._find(name)
        with self._connector(source) as connector:
            found = connector.discover()
            readers = {stream.name: _reader(stream, source) for stream in found}
            defined = {stream.name for stream in found if readers[stream.name] is not None}
            tables = [
                DiscoveredTable(
                    stream.name,
                    {column.name: column.type for column in stream.columns},
                    stream.primary_key,
                    stream.rows,
                    stream.name in defined,
                    _reads(stream.definition),
                )
                for stream in found
            ]
            others = [name for name in source.streams if name not in readers.values()]
            tables += [_defined(connector, name, source.streams[name]) for name in others]
        added: tuple[str, ...] = ()
        if write:
            known = {name.lower() for name in source.streams}
            new = {_free_name(stream.name, known): dict(stream.definition) for stream in found if stream.name not in defined}
            added = add_streams(self._loaded.directory / source.path, new)
        return Discovery(source.name, source.path, tuple(tables), added)

    def _find(self, name: str) -> Source:
        sources = self._loaded.sources
        for source in sources.values():
            if source.name.lower() == name.lower():
                return source
        guess = nearest(name, sources)
        raise UnknownSelection(f"there is no source {name!r}", hint=f"did you mean {guess}?" if guess else "headwater source list shows them")

    @contextmanager
    def _connector(self, source: Source) -> Iterator[Connector]:
        from headwater.sources import open_connector, unspoken  # drivers and their like: only where a source is talked to

        project = self._loaded
        directory, environ, security = project.directory, project.environ, project.config.security
        connector = open_connector(source, project_dir=directory, environ=environ, security=security)
        try:
            with unspoken(source, source.streams.values(), project_dir=directory, environ=environ, security=security):
                yield connector
        finally:
            connector.close()


def _free_name(name: str, known: Set[str]) -> str:
    """The name, with a number behind it where a stream that reads something else has it."""
    names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
    return next(free for free in names if free.lower() not in known)


def _reader(found: DiscoveredStream, source: Source) -> str | None:
    """The stream of the source that reads what was found, by its name, table, function or path; None when there is none."""
    names, path = _table_names(found), found.definition.get("path")
    for name, stream in source.streams.items():
        can_compare = path is not None and stream.path and not any("${" in pattern for pattern in stream.path)
        same_name = name.lower() == found.name.lower() and not can_compare
        same_table = stream.table is not None and stream.table.lower() in names
        same_function = stream.function is not None and stream.function == found.definition.get("function")
        if same_name or same_table or same_function or (can_compare and any(_same_files(str(path), pattern) for pattern in stream.path)):
            return name
    return None


def _same_files(found: str, given: str) -> bool:
    """Whether a stream's path names files of those found under one pattern; a folder names all in it."""
    given = given if "://" in given else posixpath.normpath(given)
    return fnmatchcase(found, given) or fnmatchcase(given, found) or fnmatchcase(found, f"{given}/*")


def _reads(definition: Mapping[str, Any]) -> str:
    said = next((definition[key] for key in ("table", "path", "function", "query") if definition.get(key)), "")
    return said if isinstance(said, str) else ", ".join(said)


def _defined(connector: Connector, name: str, stream: Stream) -> DiscoveredTable:
    """A stream that the source didn't name by itself (a function, a query, a file elsewhere), with its columns as far as the first rows tell."""
    from headwater.sources import ReadRequest

    types = {column: contract.type for column, contract in stream.columns.items() if contract.type}
    try:
        columns = connector.columns(ReadRequest(name, stream, column_types=types, limit=FIRST_ROWS))
    except HeadwaterError:
        columns = ()  # listed all the same: reading it will say what is wrong
    reads = _reads({"table": stream.table, "path": stream.path, "function": stream.function, "query": stream.query})
    return DiscoveredTable(name, {column.name: column.type for column in columns}, tuple(stream.primary_key), None, True, reads)


def _table_names(stream: DiscoveredStream) -> set[str]:
    """How a stream's `table:` may name what was discovered: in full and, where its schema is the one the source looks into, without it."""
    full = str(stream.definition.get("table") or "").lower()
    return {full, stream.name.lower()} if full.endswith(f".{stream.name.lower()}") else {full}
