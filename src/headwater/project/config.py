"""`headwater.yaml`, merged with `headwater.local.yaml` and with what one environment says; `.env`; vars."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from headwater.errors import Location, ProjectNotFound, UsageError
from headwater.project.documents import Document, read_document, read_text
from headwater.project.problems import Report, nearest, report_validation
from headwater.project.variables import VarValue
from headwater.spec.project import DEFAULT_ENVIRONMENT, ProjectConfig

CONFIG_FILE = "headwater.yaml"
LOCAL_FILE = "headwater.local.yaml"


@dataclass(frozen=True, slots=True)
class Settings:
    """The project's configuration with one environment merged in."""

    config: ProjectConfig
    environment: str
    vars: Mapping[str, VarValue]
    environ: Mapping[str, str]


def find_project(start: Path) -> Path:
    """The nearest folder that holds a `headwater.yaml`: `start` or one above it. Raises ProjectNotFound."""
    folder = start.resolve()
    for candidate in (folder, *folder.parents):
        if (candidate / CONFIG_FILE).is_file():
            return candidate
    raise _not_found(start)


def _not_found(directory: Path) -> ProjectNotFound:
    return ProjectNotFound(
        f"there is no {CONFIG_FILE} in {directory}",
        expected=f"a project folder, with {CONFIG_FILE} in it",
        hint="headwater init DIR writes a project that runs",
    )


def load_settings(directory: Path, report: Report, *, environment: str | None, vars: Mapping[str, VarValue] | None) -> Settings:
    """Reads the configuration. Mistakes in it go to the report, and defaults stand in, so that the rest can be looked at too.

    Raises ProjectNotFound, and UsageError for an environment that isn't defined.
    """
    if not (directory / CONFIG_FILE).is_file():
        raise _not_found(directory)
    main = _read(directory, CONFIG_FILE, report)
    local = _read(directory, LOCAL_FILE, report) if (directory / LOCAL_FILE).is_file() else None
    documents = [document for document in (local, main) if document is not None]
    base = _merged(main.value if main else {}, local.value if local else {})
    name = environment or str(base.get("default_environment") or DEFAULT_ENVIRONMENT)
    environments = base.get("environments")
    known = environments if isinstance(environments, dict) else {}
    if environment is not None and environment not in known and environment != (base.get("default_environment") or DEFAULT_ENVIRONMENT):
        guess = nearest(environment, known)
        raise UsageError(
            f"there is no environment {environment!r}",
            expected=f"one of {', '.join(known)}" if known else f"an environment defined under `environments:` in {CONFIG_FILE}",
            hint=f"did you mean {guess}?" if guess else f"define it under `environments:` in {CONFIG_FILE}",
        )
    whole = _validated(base, documents, report, ()) if main is not None else None
    if whole is None:
        whole = ProjectConfig(name="project", vars=_plain_vars(base.get("vars")))
    else:
        own = known.get(name)
        if isinstance(own, dict):
            merged = _merged(base, {key: own[key] for key in ("lake", "state", "vars") if own.get(key) is not None})
            whole = _validated(merged, documents, report, ("environments", name)) or whole
    values: dict[str, VarValue] = {**whole.vars, **(vars or {})}
    for key, value in whole.vars.items():
        if isinstance(value, str) and "${" in value:
            report.add(
                "bad-value",
                f"the var {key!r} refers to something else",
                _locate(documents, ("vars", key)),
                expected="a plain value: vars are part of the code",
            )
    _check_timezone(str(base.get("timezone") or "UTC"), documents, report)
    return Settings(whole, name, values, read_environ(directory))


def _plain_vars(value: Any) -> dict[str, VarValue]:
    """What can be used of `vars:` in a configuration with mistakes, so that not every var looks unknown."""
    return {str(key): item for key, item in value.items() if isinstance(item, (str, int, float, bool))} if isinstance(value, dict) else {}


def read_environ(directory: Path) -> dict[str, str]:
    """The process's environment over what `.env` says. Nothing is exported to the process."""
    file = directory / ".env"
    own: dict[str, str | None] = {}
    if file.is_file():
        from dotenv import dotenv_values

        own = dict(dotenv_values(file, interpolate=True))
    return {**{key: value for key, value in own.items() if value is not None}, **os.environ}


def _read(directory: Path, name: str, report: Report) -> Document | None:
    text = read_text(directory / name, name, report)
    document = read_document(text, name, report) if text is not None else None
    if document is not None and document.value is None:
        document.value = {}
    if document is not None and not isinstance(document.value, dict):
        report.add("bad-value", f"{name} isn't a mapping", document.locate(), expected="`key: value` lines, first of all `name:`")
        return None
    return document


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` wins; mappings are merged key by key."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _locate(documents: Sequence[Document], path: Sequence[str | int], at_key: bool = False) -> Location:
    """In the first of the files that has the whole path, else in the last."""
    for document in documents:
        value: Any = document.value
        for part in path:
            if not isinstance(value, dict) or part not in value:
                break
            value = value[part]
        else:
            return document.locate(path, at_key)
    return documents[-1].locate(path, at_key) if documents else Location(CONFIG_FILE)


def _validated(data: Mapping[str, Any], documents: Sequence[Document], report: Report, within: tuple[str, ...]) -> ProjectConfig | None:
    """The configuration; `within` is the environment whose values were merged in, where errors are looked for first."""
    try:
        return ProjectConfig.model_validate(dict(data))
    except ValidationError as error:

        def locate(path: Sequence[str | int], at_key: bool) -> Location:
            if within and path and path[0] in ("lake", "state", "vars"):
                return _locate(documents, [*within, *path], at_key)
            return _locate(documents, path, at_key)

        report_validation(report, error, ProjectConfig, locate, subject=CONFIG_FILE)
        return None


def _check_timezone(timezone: str, documents: Sequence[Document], report: Report) -> None:
    if timezone == "UTC":
        return
    from zoneinfo import available_timezones

    try:
        ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        report.add(
            "unknown-timezone",
            f"there is no time zone {timezone!r}",
            _locate(documents, ("timezone",)),
            expected="a name such as UTC or Europe/Oslo",
            did_you_mean=nearest(timezone, available_timezones()),
        )
