"""Column lineage: which columns a table's columns are computed from, and which decided its rows; derived from the SQL."""

from headwater.project.lineage.cache import LineageCache
from headwater.project.lineage.derive import derive_lineage, reconcile, respell
from headwater.project.lineage.project import derive_all

__all__ = ["LineageCache", "derive_all", "derive_lineage", "reconcile", "respell"]
