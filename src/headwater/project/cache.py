"""What was found out about unchanged SQL files, kept between commands in `.headwater/cache/`. Losing it costs time only.

Keyed by the file's content and the vars it uses, so an edit is always noticed, whatever the clock says.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from headwater.project.variables import VarValue, vars_named

#: To be raised whenever what an entry holds, or how it is found in the text, changes.
_FORMAT = 2
_FOLDER = ".headwater/cache"


def content_key(text: str, values: Mapping[str, VarValue]) -> str:
    """A hash of a file's text and of the vars that it uses."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for name in vars_named(text):
        digest.update(f"\0{name}={values.get(name)!r}".encode())
    return digest.hexdigest()


class FileCache:
    """Entries by file, each good for one content. `save` writes what this load used; a reader-only folder is no error."""

    def __init__(self, directory: Path, environment: str) -> None:
        self._file = directory / _FOLDER / f"files-{re.sub(r'[^A-Za-z0-9_-]', '_', environment)}.json"
        self._before = self._read()
        self._now: dict[str, Any] = {}
        self._changed = False

    def get(self, path: str, key: str) -> Any | None:
        """The entry for a file with this content; None when there is none."""
        found = self._before.get(path)
        if not isinstance(found, list) or len(found) != 2 or found[0] != key:
            return None
        self._now[path] = found
        return found[1]

    def put(self, path: str, key: str, entry: Any) -> None:
        """Keeps an entry made of JSON's types, dates and times."""
        self._now[path] = [key, entry]
        self._changed = True

    def save(self) -> None:
        """Replaces the file in one step, when anything changed."""
        if not self._changed and len(self._now) == len(self._before):
            return
        temporary = self._file.with_suffix(f".{os.getpid()}.tmp")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps({"format": _FORMAT, "files": self._now}, separators=(",", ":"), default=_encoded), encoding="utf-8")
            temporary.replace(self._file)
        except OSError:
            pass  # only the next load's time is lost

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"), object_hook=_decoded)
        except (OSError, ValueError, TypeError, RecursionError):  # whatever it is, it isn't ours
            return {}
        if not isinstance(content, dict) or content.get("format") != _FORMAT or not isinstance(content.get("files"), dict):
            return {}
        files: dict[str, Any] = content["files"]
        return files


def _encoded(value: Any) -> dict[str, str]:
    """Called by the JSON writer for what JSON has no word for."""
    if isinstance(value, datetime):
        return {"$time": value.isoformat()}
    if isinstance(value, date):
        return {"$date": value.isoformat()}
    raise TypeError(f"a {type(value).__name__} can't be kept")


def _decoded(value: dict[str, Any]) -> Any:
    """Called by the JSON reader for every object."""
    if len(value) == 1:
        if "$time" in value:
            return datetime.fromisoformat(value["$time"])
        if "$date" in value:
            return date.fromisoformat(value["$date"])
    return value
