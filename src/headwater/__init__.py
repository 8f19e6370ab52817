"""Headwater: the whole data engineering lifecycle in one package. `import headwater as hw; hw.open(".")`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Client", "HeadwaterError", "Project", "connect", "init", "model", "open", "table"]

if TYPE_CHECKING:
    from headwater.api import Project, init, open
    from headwater.client import Client, connect
    from headwater.errors import HeadwaterError
    from headwater.spec.python import model, table

_HOMES = {
    "Client": "headwater.client",
    "connect": "headwater.client",
    "HeadwaterError": "headwater.errors",
    "Project": "headwater.api",
    "open": "headwater.api",
    "init": "headwater.api",
    "model": "headwater.spec.python",
    "table": "headwater.spec.python",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'headwater' has no attribute {name!r}")
