"""The lake, attached here only: commits, snapshots, publications, evolution, reading back, maintenance, backup.

What is named here is imported when it is first used: a run that finds nothing to do needs little of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.spec.lazily import importing

if TYPE_CHECKING:
    from headwater.storage.backup import BackupReport, RestoreReport, read_backup, restore_lake
    from headwater.storage.catalog import LAKE_EXTENSIONS
    from headwater.storage.changes import (
        NEVER_PUBLISHED,
        THIS_COMMIT,
        Commit,
        Definition,
        Delete,
        DeleteAll,
        DeleteKeys,
        DeleteWhere,
        LoadRecord,
        Position,
        QuarantineClosing,
        Rejected,
        Staged,
        TableChange,
        TableState,
    )
    from headwater.storage.consistency import Inconsistency
    from headwater.storage.exported import DeadLetter, Difference, ExportColumn, Exported, Progress, Refused, Rows, read_sql
    from headwater.storage.gate import Access, Described, VisibleColumn, VisibleTable
    from headwater.storage.history import TableDiff, TableVersion
    from headwater.storage.lake import Lake
    from headwater.storage.maintenance import MaintenanceReport, Pin
    from headwater.storage.quarantine import QuarantinedRow
    from headwater.storage.reading import Reading
    from headwater.storage.state import LakeState

_MODULES = {
    "backup": (
        "BackupReport",
        "RestoreReport",
        "read_backup",
        "restore_lake",
    ),
    "catalog": ("LAKE_EXTENSIONS",),
    "changes": (
        "NEVER_PUBLISHED",
        "THIS_COMMIT",
        "Commit",
        "Definition",
        "Delete",
        "DeleteAll",
        "DeleteKeys",
        "DeleteWhere",
        "LoadRecord",
        "Position",
        "QuarantineClosing",
        "Rejected",
        "Staged",
        "TableChange",
        "TableState",
    ),
    "consistency": ("Inconsistency",),
    "exported": (
        "DeadLetter",
        "Difference",
        "ExportColumn",
        "Exported",
        "Progress",
        "Refused",
        "Rows",
        "read_sql",
    ),
    "gate": (
        "Access",
        "Described",
        "VisibleColumn",
        "VisibleTable",
    ),
    "history": (
        "TableDiff",
        "TableVersion",
    ),
    "lake": ("Lake",),
    "maintenance": (
        "MaintenanceReport",
        "Pin",
    ),
    "quarantine": ("QuarantinedRow",),
    "reading": ("Reading",),
    "state": ("LakeState",),
}

__all__ = [
    "LAKE_EXTENSIONS",
    "NEVER_PUBLISHED",
    "THIS_COMMIT",
    "Access",
    "BackupReport",
    "Commit",
    "DeadLetter",
    "Definition",
    "Delete",
    "DeleteAll",
    "DeleteKeys",
    "DeleteWhere",
    "Described",
    "Difference",
    "ExportColumn",
    "Exported",
    "Inconsistency",
    "Lake",
    "LakeState",
    "LoadRecord",
    "MaintenanceReport",
    "Pin",
    "Position",
    "Progress",
    "QuarantineClosing",
    "QuarantinedRow",
    "Reading",
    "Refused",
    "Rejected",
    "RestoreReport",
    "Rows",
    "Staged",
    "TableChange",
    "TableDiff",
    "TableState",
    "TableVersion",
    "VisibleColumn",
    "VisibleTable",
    "read_backup",
    "read_sql",
    "restore_lake",
]

__getattr__ = importing(__name__, _MODULES)
