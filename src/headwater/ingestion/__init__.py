"""Loading: read, conform to the contract, set broken rows apart, work out what changes. Nothing here commits.

What is named here is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.spec.lazily import importing

if TYPE_CHECKING:
    from headwater.ingestion.context import LoadContext, PreparedLoad
    from headwater.ingestion.load import prepare_load, staged_of
    from headwater.ingestion.replay import prepare_replay

_MODULES = {"context": ("LoadContext", "PreparedLoad"), "load": ("prepare_load", "staged_of"), "replay": ("prepare_replay",)}

__all__ = ["LoadContext", "PreparedLoad", "prepare_load", "prepare_replay", "staged_of"]

__getattr__ = importing(__name__, _MODULES)
