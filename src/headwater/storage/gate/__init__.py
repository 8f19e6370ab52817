"""The gate: every statement is taken apart by DuckDB's own parser, walked, and put together again with what its reader may see of each table."""

from headwater.storage.gate.access import Access, Described, VisibleColumn, VisibleTable
from headwater.storage.gate.door import Door
from headwater.storage.gate.hot import HotReport

__all__ = ["Access", "Described", "Door", "HotReport", "VisibleColumn", "VisibleTable"]
