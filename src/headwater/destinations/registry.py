"""Finding and opening destinations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

from headwater.destinations.destination import Destination, DestinationContext
from headwater.errors import HeadwaterError, MissingDependency, UsageError
from headwater.secrets import redact, referenced, resolve
from headwater.spec.exports import TARGETS, Export

GROUP: Final = "headwater.destinations"
#: Our own, by type: imported when first used.
_BUILT_IN: Mapping[str, str] = MappingProxyType(
    {
        "postgres": "headwater.destinations.postgres:PostgresDestination",
        "mysql": "headwater.destinations.mysql:MySqlDestination",
        "http": "headwater.destinations.http:HttpDestination",
        "files": "headwater.destinations.files:FilesDestination",
        "redis": "headwater.destinations.redis:RedisDestination",
        "nats": "headwater.destinations.nats:NatsDestination",
        "rabbitmq": "headwater.destinations.rabbitmq:RabbitMqDestination",
        "mqtt": "headwater.destinations.mqtt:MqttDestination",
    }
)


def destination_types() -> dict[str, str]:
    """The types an export may go to, each with where its class comes from (`module:class`), in order. Imports none of them."""
    return dict(sorted({**{point.name: point.value for point in entry_points(group=GROUP)}, **_BUILT_IN}.items()))


def destination_class(type_name: str) -> type[Destination]:
    """Raises UsageError for an unknown type, MissingDependency when its package can't be imported."""
    place = destination_types().get(type_name)
    if place is None:
        raise UsageError(f"no destination is called {type_name!r}", expected=", ".join(destination_types()))
    module, _, name = place.partition(":")
    try:
        found: Any = getattr(import_module(module), name)
    except ImportError as error:
        raise MissingDependency(
            f"the destination {type_name} can't be imported", found=str(error), hint=f"install what it needs: pip install 'headwater[{type_name}]'"
        ) from error
    return cast("type[Destination]", found)


@contextmanager
def open_destination(export: Export, *, project_dir: Path, environ: Mapping[str, str]) -> Iterator[Destination]:
    """The destination of an export, its references resolved. Connects to nothing yet.

    Errors that leave the block do so without what the references stand for. Raises UnresolvedReference, UsageError (an option that, resolved, isn't
    one), MissingDependency.
    """
    options = resolve(export.options, project_dir=project_dir, environ=environ)
    secrets = referenced(export.options, project_dir=project_dir, environ=environ)
    model = TARGETS.get(export.to)
    if model is not None:
        try:
            options = model.model_validate(options).model_dump()
        except ValueError:
            raise UsageError(f"the settings of the export {export.name} aren't ones of {export.to} once references are resolved") from None
    destination: Destination | None = None
    try:
        destination = destination_class(export.to)(DestinationContext(export.name, project_dir, options))
        yield destination
    except HeadwaterError as error:
        error.what = redact(error.what, secrets)
        error.expected, error.found, error.hint = (text and redact(text, secrets) for text in (error.expected, error.found, error.hint))
        raise
    finally:
        if destination is not None:
            destination.close()


def target_id(destination: Destination) -> str:
    """A hash of where it writes."""
    return hashlib.sha256(destination.identity.encode()).hexdigest()
