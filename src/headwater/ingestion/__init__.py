"""Loading: read, conform to the contract, set broken rows apart, work out what changes. Nothing here commits."""

from headwater.ingestion.context import LoadContext, PreparedLoad
from headwater.ingestion.load import prepare_load, staged_of
from headwater.ingestion.replay import prepare_replay

__all__ = ["LoadContext", "PreparedLoad", "prepare_load", "prepare_replay", "staged_of"]
