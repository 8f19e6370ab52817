"""The gate: every statement is taken apart by DuckDB's own parser, walked, and put together again with what its reader may see of each table."""

from headwater.storage.gate.access import Access, Described, VisibleColumn, VisibleTable
from headwater.storage.gate.door import Door

__all__ = ["Access", "Described", "Door", "VisibleColumn", "VisibleTable"]
