"""The gate: every statement is taken apart by DuckDB's own parser, walked, and put together again with what its reader may see of each table."""

from headwater.storage.gate.access import Access, Described, Relationship, VisibleColumn, VisibleTable, WrittenOut
from headwater.storage.gate.door import Door
from headwater.storage.gate.hot import HotReport
from headwater.storage.gate.limited import LimitedDoors
from headwater.storage.gate.tables import resource_of

__all__ = ["Access", "Described", "Door", "HotReport", "LimitedDoors", "Relationship", "VisibleColumn", "VisibleTable", "WrittenOut", "resource_of"]
