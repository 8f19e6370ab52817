"""Resolving references. What comes out is never logged, stored or printed; errors name the reference, never a value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from headwater.errors import UnresolvedReference
from headwater.secrets.keyring import Keyring
from headwater.secrets.store import SecretFile
from headwater.spec.project import SecurityConfig, VaultConfig

_REFERENCE = re.compile(r"\$\{(env|file|secret):([^}]*)\}")
#: The variable `${secret:NAME}` falls back to, and the service its keyring entries belong to.
_SECRET_PREFIX = "HEADWATER_SECRET_"
_KEYRING_SERVICE = "headwater"

_DEFAULTS = SecurityConfig()

T = TypeVar("T")


def resolve(value: T, *, project_dir: Path, environ: Mapping[str, str], security: SecurityConfig = _DEFAULTS) -> T:
    """The value with every reference in it replaced, through lists and mappings; other values come back as they are.

    `environ` is where `${env:..}` looks (the process's environment over `.env`); a set but empty variable counts as set, unless a default is
    given with `:-`. `${file:path}` is the file's text without the line break at its end, a relative path being the project's. `${secret:NAME}` is
    the variable HEADWATER_SECRET_NAME, else what the first of the providers of `security.secrets` has: the project's own file, the system's keyring
    (service `headwater`, where the package keyring is installed), a server, a file encrypted with age. Raises
    UnresolvedReference, and ProtectionErrors where a provider fails.
    """
    return _resolve(value, _Places(project_dir, environ, security))  # type: ignore[no-any-return]  # the shape is the input's


def referenced(value: Any, *, project_dir: Path, environ: Mapping[str, str], security: SecurityConfig = _DEFAULTS) -> set[str]:
    """The values that the references in `value` stand for, for `redact`. Raises as `resolve` does."""
    places = _Places(project_dir, environ, security)
    return {_look_up(kind, text, places) for kind, text in _references(value)}


def secret_file(security: SecurityConfig, *, project_dir: Path, environ: Mapping[str, str]) -> SecretFile:
    """The project's own file of secrets."""
    return SecretFile(project_dir / Path(security.secrets.file).expanduser(), Keyring(security.keys, project_dir=project_dir, environ=environ))


@dataclass(frozen=True, slots=True)
class _Places:
    """Where references are looked up."""

    project_dir: Path
    environ: Mapping[str, str]
    security: SecurityConfig


def _references(value: Any) -> list[tuple[str, str]]:
    if isinstance(value, str):
        return _REFERENCE.findall(value)
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return [found for item in items for found in _references(item)]


def _resolve(value: Any, places: _Places) -> Any:
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: _look_up(match[1], match[2], places), value) if "${" in value else value
    if isinstance(value, Mapping):
        return {key: _resolve(item, places) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_resolve(item, places) for item in value])
    return value


def _look_up(kind: str, text: str, places: _Places) -> str:
    name, has_default, default = text.partition(":-")
    name = name.strip()
    if not name:
        raise UnresolvedReference(f"the reference ${{{kind}:{text}}} names nothing", expected=f"${{{kind}:NAME}}")
    match kind:
        case "env":
            found = places.environ.get(name) or (None if has_default else places.environ.get(name))
            hint = f"set the environment variable {name}, or write {name}=.. into the project's .env"
        case "file":
            found = _read(name, places.project_dir)
            hint = f"write the file {name}; a relative path is looked for in the project's folder"
        case _:
            found = _secret(name, places)
            hint = _where_to_keep(name, places.security)
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


def _secret(name: str, places: _Places) -> str | None:
    for variable in (f"{_SECRET_PREFIX}{name}", f"{_SECRET_PREFIX}{_variable(name)}"):
        if variable in places.environ:
            return places.environ[variable]
    for provider in places.security.secrets.providers:
        match provider:
            case "file":
                found = secret_file(places.security, project_dir=places.project_dir, environ=places.environ).get(name)
            case "keyring":
                found = _from_keyring(name)
            case "vault":
                found = _from_vault(name, places)
            case "age":
                found = _from_age(name, places)
        if found is not None:
            return found
    return None


def _where_to_keep(name: str, security: SecurityConfig) -> str:
    providers, by_variable = security.secrets.providers, f"set the environment variable {_SECRET_PREFIX}{_variable(name)}"
    if "file" in providers:
        return f"store it with `headwater secrets set {name}`, or {by_variable}"
    return f"keep it in one of security.secrets.providers ({', '.join(providers)}), or {by_variable}" if providers else by_variable


def _from_keyring(name: str) -> str | None:
    try:
        keyring = import_module("keyring")
    except ImportError:
        return None
    try:
        found: str | None = keyring.get_password(_KEYRING_SERVICE, name)
    except keyring.errors.KeyringError:
        return None
    return found


def _from_vault(name: str, places: _Places) -> str | None:
    from headwater.secrets.vault import read_vault  # what speaks HTTP and TLS takes a tenth of a second to import

    config = places.security.secrets.vault
    if config is None:
        return None
    given = _resolved_apart("vault", config.model_dump(mode="json"), places)
    return read_vault(VaultConfig.model_validate({**given, "timeout": config.timeout}), name)


def _from_age(name: str, places: _Places) -> str | None:
    from headwater.secrets.agefile import read_age

    config = places.security.secrets.age
    path = places.project_dir / Path(config.file).expanduser()
    if not path.exists():
        return None
    return read_age(path, _resolved_apart("age", {"identity": config.identity}, places)["identity"], name)


def _resolved_apart(provider: str, settings: dict[str, Any], places: _Places) -> dict[str, Any]:
    """The settings of a provider of secrets, which can't be among those that it gives."""
    if any(kind == "secret" for kind, _ in _references(settings)):
        raise UnresolvedReference(f"security.secrets.{provider} can't hold a ${{secret:..}} of its own", expected="${env:..} or ${file:..}")
    return dict(_resolve(settings, places))


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text with every one of these values blotted out; values shorter than four characters are left, since they are no secrets."""
    for secret in sorted((value for value in secrets if len(value) >= 4), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
