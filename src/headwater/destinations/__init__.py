"""Destinations: where exports write. Each implements `destination.Destination` and knows nothing of the lake."""

from __future__ import annotations

from headwater.destinations.destination import Batch, Column, Destination, DestinationContext, Refusal, Sent, Shape
from headwater.destinations.registry import destination_types, open_destination, target_id

__all__ = [
    "Batch",
    "Column",
    "Destination",
    "DestinationContext",
    "Refusal",
    "Sent",
    "Shape",
    "destination_types",
    "open_destination",
    "target_id",
]
