"""Secrets from a file that is encrypted with age, for a few people and servers: it may stand in git. Inside it is YAML, a name and a value a line."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final

import yaml

from headwater.errors import KeyMissing, KeyRefused, MissingDependency

_MOST_BYTES: Final = 1 << 20


def read_age(path: Path, identity: str, name: str) -> str | None:
    """The secret of that name in the file; None where it has none. `identity` is the text of a file of age's identities, or a private SSH key.

    Raises MissingDependency, KeyMissing (no identity, or none that it was encrypted for), KeyRefused for a file or an identity that can't be read.
    Nothing of what is inside is told.
    """
    age = _library()
    identities = _identities(age, identity)
    try:
        with path.open("rb") as file:
            sealed = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise _broken(path, type(error).__name__) from None
    if len(sealed) > _MOST_BYTES:
        raise _broken(path, f"more than {_MOST_BYTES:,} bytes")
    try:
        plain = age.decrypt(sealed, identities)
    except age.DecryptError as error:
        if "No matching keys" in str(error):
            raise KeyMissing(
                f"{path.name} was encrypted for others",
                expected="the identity of one of its recipients",
                hint="encrypt it for this identity too, or look at security.secrets.age.identity",
            ) from None
        raise _broken(path, "what age can't open") from None
    try:
        values = yaml.load(plain, yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise _broken(path, "no YAML inside") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) and isinstance(value, str) for key, value in values.items()):
        raise _broken(path, "something else than names and texts inside")
    found: str | None = values.get(name)
    return found


def _library() -> Any:
    try:
        return import_module("pyrage")
    except ImportError as error:
        raise MissingDependency("a file of age needs the package pyrage", found=str(error), hint="pip install 'headwater[age]'") from None


def _identities(age: Any, text: str) -> list[Any]:
    lines = [line.strip() for line in text.splitlines()]
    words = [line for line in lines if line and not line.startswith("#")]
    if not words:
        raise KeyMissing("there is no identity for age", expected="security.secrets.age.identity", hint="age-keygen makes one")
    try:
        if "PRIVATE KEY" in words[0]:
            return [age.ssh.Identity.from_buffer(f"{text.strip()}\n".encode())]
        return [age.x25519.Identity.from_str(word) for word in words]
    except age.IdentityError:
        raise KeyRefused("the identity for age can't be read", expected="AGE-SECRET-KEY-1.., or a private SSH key without a passphrase") from None


def _broken(path: Path, found: str) -> KeyRefused:
    return KeyRefused(f"{path.name} can't be read", expected="YAML of names and texts, encrypted with age", found=found)
