"""The sources of a project: what there is, what they hold, whether they answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headwater.api.results import DiscoveredTable, Discovery, ListedSource
from headwater.api.source_files import add_streams
from headwater.errors import UnknownSelection
from headwater.project import LoadedProject
from headwater.project.problems import nearest
from headwater.spec.sources import Source

if TYPE_CHECKING:
    from headwater.sources import Connector, DiscoveredStream


class Sources:
    """`project.sources`. Touches neither lake nor state."""

    def __init__(self, loaded: LoadedProject) -> None:
        self._loaded = loaded

    def list(self) -> list[ListedSource]:
        """All sources, by name."""
        found = sorted(self._loaded.sources.values(), key=lambda source: source.name)
        return [ListedSource(source.name, source.type, source.path, tuple(source.streams), source.description) for source in found]

    def check(self, name: str) -> str:
        """Connects and says what answered, in a line. Raises UnknownSelection, SourceUnreachable, MissingDependency, UnresolvedReference."""
        with self._connector(self._find(name)) as connector:
            return connector.check()

    def discover(self, name: str, *, write: bool = False) -> Discovery:
        """What a source holds. With `write`, the streams that aren't defined yet are added to the source's file; all else in it stays as it is.

        Raises UnknownSelection, SourceUnreachable, MissingDependency, UnresolvedReference.
        """
        source = self._find(name)
        with self._connector(source) as connector:
            found = connector.discover()
        known = {stream.lower() for stream in source.streams}
        read = {stream.table.lower() for stream in source.streams.values() if stream.table is not None}
        defined = {stream.name for stream in found if stream.name.lower() in known or not read.isdisjoint(_table_names(stream))}
        tables = tuple(
            DiscoveredTable(
                stream.name, {column.name: column.type for column in stream.columns}, stream.primary_key, stream.rows, stream.name in defined
            )
            for stream in found
        )
        added: tuple[str, ...] = ()
        if write:
            new = {stream.name: dict(stream.definition) for stream in found if stream.name not in defined}
            added = add_streams(self._loaded.directory / source.path, new)
        return Discovery(source.name, source.path, tables, added)

    def _find(self, name: str) -> Source:
        sources = self._loaded.sources
        for source in sources.values():
            if source.name.lower() == name.lower():
                return source
        guess = nearest(name, sources)
        raise UnknownSelection(f"there is no source {name!r}", hint=f"did you mean {guess}?" if guess else "headwater source list shows them")

    @contextmanager
    def _connector(self, source: Source) -> Iterator[Connector]:
        from headwater.sources import open_connector  # drivers and their like: only where a source is talked to

        project = self._loaded
        connector = open_connector(source, project_dir=project.directory, environ=project.environ)
        try:
            yield connector
        finally:
            connector.close()


def _table_names(stream: DiscoveredStream) -> set[str]:
    """How a stream's `table:` may name what was discovered: in full and, where its schema is the one the source looks into, without it."""
    full = str(stream.definition.get("table") or "").lower()
    return {full, stream.name.lower()} if full.endswith(f".{stream.name.lower()}") else {full}
