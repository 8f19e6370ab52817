"""What connectors share: an engine of their own, opened when needed, and errors without secrets. Third parties may build on it."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from headwater.engine import Connection, Engine, Result
from headwater.errors import HeadwaterError
from headwater.sources.connector import Capabilities, ConnectorContext, DiscoveredStream
from headwater.sources.failures import explain_engine_error, scrub

_numbers = itertools.count(1)


def unique_name(kind: str) -> str:
    """A name that no other read in this process uses, for what is attached or created on a shared connection."""
    return f"hw_{kind}_{next(_numbers)}"


class ConnectorBase:
    """Keeps the context, gives `run` on a small private engine, and closes what was opened, as often as it is asked."""

    type: ClassVar[str]
    capabilities: ClassVar[Capabilities] = Capabilities()

    def __init__(self, context: ConnectorContext) -> None:
        self.context = context
        self._engine: Engine | None = None
        self._connection: Connection | None = None
        self._temp: tempfile.TemporaryDirectory[str] | None = None

    @property
    def connection(self) -> Connection:
        """A connection of the private engine: for metadata and samples, never for whole tables."""
        return self._opened()

    def load(self, extension: str) -> None:
        """Loads an extension into the private engine; quick when asked before anything else is asked of `connection`."""
        self._opened(extension).load(extension)

    def _opened(self, *extensions: str) -> Connection:
        if self._connection is None:
            self._engine = Engine(temp_directory=self.temp_dir, extensions=extensions)
            self._connection = self._engine.connection()
        return self._connection

    @property
    def temp_dir(self) -> Path:
        """A folder of this connector alone, removed by `close`."""
        if self._temp is None:
            if self.context.temp_dir is not None:
                self.context.temp_dir.mkdir(parents=True, exist_ok=True)
            self._temp = tempfile.TemporaryDirectory(prefix="source-", dir=self.context.temp_dir, ignore_cleanup_errors=True)
        return Path(self._temp.name)

    @property
    def settings(self) -> dict[str, Any]:
        """The source's options and its connection, where that is a mapping."""
        connection = self.context.connection
        return {**self.context.options, **(connection if isinstance(connection, Mapping) else {})}

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that no message may show."""
        named = ("password", "passwd", "secret", "secret_key", "key_id", "session_token", "token")
        return tuple(str(value) for key, value in self.settings.items() if key.lower() in named and value)

    def run(self, sql: str, subject: str | None = None) -> Result:
        """Runs metadata SQL on the private engine; its errors leave as SourceErrors about `subject`."""
        try:
            return self.connection.execute(sql)
        except HeadwaterError as error:
            raise self.explain(error, subject or f"source {self.context.name}") from None  # the cause may hold credentials

    def explain(self, error: HeadwaterError, subject: str) -> HeadwaterError:
        """The SourceError an engine's error means, without secrets."""
        return explain_engine_error(error, subject, self.secrets)

    def scrub(self, text: str) -> str:
        return scrub(text, self.secrets)

    def discover(self) -> list[DiscoveredStream]:
        return []

    def acknowledge(self, name: str, position: Mapping[str, Any]) -> None:
        """Nothing to tell: the position is ours to keep."""

    def close(self) -> None:
        connection, self._connection = self._connection, None
        engine, self._engine = self._engine, None
        temp, self._temp = self._temp, None
        if connection is not None:
            connection.close()
        if engine is not None:
            engine.close()
        if temp is not None:
            temp.cleanup()
