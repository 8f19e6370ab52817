"""Connectors to the world: what is there, and how to read it. They know no lake; one file each, found by entry point `headwater.connectors`."""

from headwater.sources.connector import (
    Batches,
    Capabilities,
    Connector,
    ConnectorContext,
    CursorBound,
    DiscoveredColumn,
    DiscoveredStream,
    Portion,
    Reading,
    ReadRequest,
    Reread,
    Scan,
)
from headwater.sources.registry import connector_class, connector_types, open_connector, resolved_stream, unspoken
from headwater.sources.running import scan_ready

__all__ = [
    "Batches",
    "Capabilities",
    "Connector",
    "ConnectorContext",
    "CursorBound",
    "DiscoveredColumn",
    "DiscoveredStream",
    "Portion",
    "ReadRequest",
    "Reading",
    "Reread",
    "Scan",
    "connector_class",
    "connector_types",
    "open_connector",
    "resolved_stream",
    "scan_ready",
    "unspoken",
]
