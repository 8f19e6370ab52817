"""Resolving references. What comes out is never logged, stored or printed; errors name the reference, never a value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from headwater.errors import UnresolvedReference

_REFERENCE = re.compile(r"\$\{(env|file|secret):([^}]*)\}")
#: The variable `${secret:NAME}` falls back to, and the service its keyring entries belong to.
_SECRET_PREFIX = "HEADWATER_SECRET_"
_KEYRING_SERVICE = "headwater"

T = TypeVar("T")


def resolve(value: T, *, project_dir: Path, environ: Mapping[str, str]) -> T:
    """The value with every reference in it replaced, through lists and mappings; other values come back as they are.

    `environ` is where `${env:..}` looks (the process's environment over `.env`); a set but empty variable counts as set, unless a default is
    given with `:-`. `${file:path}` is the file's text without the line break at its end, a relative path being the project's. `${secret:NAME}` is
    the variable HEADWATER_SECRET_NAME, else what the system's keyring holds (service `headwater`), where the package keyring is installed.
    Raises UnresolvedReference.
    """
    return _resolve(value, project_dir, environ)  # type: ignore[no-any-return]  # the shape is the input's


def referenced(value: Any, *, project_dir: Path, environ: Mapping[str, str]) -> set[str]:
    """The values that the references in `value` stand for, for `redact`. Raises UnresolvedReference."""
    if isinstance(value, str):
        return {_look_up(kind, text, project_dir, environ) for kind, text in _REFERENCE.findall(value)}
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return set[str]().union(*(referenced(item, project_dir=project_dir, environ=environ) for item in items))


def _resolve(value: Any, project_dir: Path, environ: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: _look_up(match[1], match[2], project_dir, environ), value) if "${" in value else value
    if isinstance(value, Mapping):
        return {key: _resolve(item, project_dir, environ) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_resolve(item, project_dir, environ) for item in value])
    return value


def _look_up(kind: str, text: str, project_dir: Path, environ: Mapping[str, str]) -> str:
    name, has_default, default = text.partition(":-")
    name = name.strip()
    if not name:
        raise UnresolvedReference(f"the reference ${{{kind}:{text}}} names nothing", expected=f"${{{kind}:NAME}}")
    match kind:
        case "env":
            found = environ.get(name) or (None if has_default else environ.get(name))
            hint = f"set the environment variable {name}, or write {name}=.. into the project's .env"
        case "file":
            found = _read(name, project_dir)
            hint = f"write the file {name}; a relative path is looked for in the project's folder"
        case _:
            found = _secret(name, environ)
            hint = f"store it with `keyring set {_KEYRING_SERVICE} {name}`, or set the environment variable {_SECRET_PREFIX}{_variable(name)}"
    if found is not None:
        return found
    if has_default:
        return default
    raise UnresolvedReference(f"${{{kind}:{name}}} has no value", hint=hint)


def _read(name: str, project_dir: Path) -> str | None:
    file = project_dir / Path(name).expanduser()
    try:
        return file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UnresolvedReference(
            f"${{file:{name}}} can't be read", found=type(error).__name__, hint="check that it is a text file you may read"
        ) from error


def _variable(name: str) -> str:
    return re.sub(r"\W", "_", name).upper()


def _secret(name: str, environ: Mapping[str, str]) -> str | None:
    for variable in (f"{_SECRET_PREFIX}{name}", f"{_SECRET_PREFIX}{_variable(name)}"):
        if variable in environ:
            return environ[variable]
    try:
        keyring = import_module("keyring")
    except ImportError:
        return None
    try:
        found: str | None = keyring.get_password(_KEYRING_SERVICE, name)
    except keyring.errors.KeyringError:
        return None
    return found


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text with every one of these values blotted out; values shorter than four characters are left, since they are no secrets."""
    for secret in sorted((value for value in secrets if len(value) >= 4), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
