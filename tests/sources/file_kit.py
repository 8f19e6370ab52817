"""The connector `files` on one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headwater.sources import ConnectorContext, Reading, ReadRequest
from headwater.sources.files import FilesConnector
from headwater.spec.sources import Stream


class Files:
    """The connector `files` on one folder, with `context` changes; `read` plans a read of a stream so defined."""

    def __init__(self, folder: Path, **context: Any) -> None:
        self.folder = folder
        self.connector = FilesConnector(ConnectorContext("stuff", folder, temp_dir=folder / "temp", **context))

    def request(self, path: str | list[str], *, position: Any = None, types: Any = None, limit: int | None = None, **stream: Any) -> ReadRequest:
        return ReadRequest("things", Stream.model_validate({"path": path, **stream}), position=position, column_types=types or {}, limit=limit)

    def read(self, path: str | list[str], **changes: Any) -> Reading:
        return self.connector.read(self.request(path, **changes))
