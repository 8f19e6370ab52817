"""Column lineage: which columns a table's columns are computed from, and which decided its rows; derived from the SQL.

What is named here is imported when it is first used: a run that builds nothing derives nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.spec.lazily import importing

if TYPE_CHECKING:
    from headwater.project.lineage.cache import LineageCache
    from headwater.project.lineage.derive import derive_lineage, reconcile, respell
    from headwater.project.lineage.project import derive_all

_MODULES = {"cache": ("LineageCache",), "derive": ("derive_lineage", "reconcile", "respell"), "project": ("derive_all",)}

__all__ = ["LineageCache", "derive_all", "derive_lineage", "reconcile", "respell"]

__getattr__ = importing(__name__, _MODULES)
