"""Where a store is, and the versions of it that this code knows."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

#: The newest migration in `migrations/versions`; a store at this version is opened without looking at the migrations at all.
VERSION = "0005"
#: All versions this code knows, oldest first. A store at any other was written by newer code.
KNOWN_VERSIONS = ("0001", "0002", "0003", "0004", "0005")


def is_postgres(url: str) -> bool:
    return url.startswith(("postgresql:", "postgres:"))


def sqlite_path(url: str, project_dir: Path) -> Path:
    """Where the file of a SQLite store lies. Relative paths are the project's."""
    text = unquote(url[len("sqlite:///") :]) if url.startswith("sqlite:///") else url
    return (project_dir / Path(text).expanduser()).resolve()
