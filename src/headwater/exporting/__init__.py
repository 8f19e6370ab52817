"""Exports: a table's difference, as its principal sees it, to a destination. Knows nothing of the other stages."""

from __future__ import annotations

from headwater.exporting.run import ExportJob, ExportResult, run_export

__all__ = ["ExportJob", "ExportResult", "run_export"]
