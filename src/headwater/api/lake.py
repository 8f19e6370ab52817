"""The lake itself: a table's versions, what changed between them, and keeping the whole in order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.api.rooms import keyring_of
from headwater.errors import UsageError
from headwater.spec._base import parse_duration

if TYPE_CHECKING:
    from headwater.api.asking import Asking
    from headwater.api.rights import Rights
    from headwater.orchestration import Session
    from headwater.project import LoadedProject
    from headwater.storage import BackupReport, MaintenanceReport, RestoreReport, TableDiff, TableVersion

#: The state store's copy within a backup.
STATE_FILE = "state.sqlite"


class LakeRoom:
    """`project.lake`."""

    def __init__(
        self, session: Callable[[], Session], asking: Callable[[], Asking], rights: Rights, close: Callable[[], None], loaded: LoadedProject
    ) -> None:
        self._session = session
        self._asking = asking
        self._rights = rights
        self._close = close
        self._loaded = loaded

    def snapshots(self, table: str) -> list[TableVersion]:
        """The commits that changed a table, newest first, with what each did, whether it can still be read, and which one readers see.

        Raises UnknownSelection, TableNotFound (nothing of it is in the lake), ApprovalRefused for who hasn't the right `publish` on it.
        """
        name = self._loaded.find(table)
        self._rights.need("publish", "snapshots", lambda: [name])
        return self._session().lake.snapshots(name)

    def diff(self, table: str, *, from_: int | str, to: int | str | None = None, limit: int = 20) -> TableDiff:
        """What changed in a table between two snapshots (`to` None: the newest): counts of rows, columns, and the first `limit` rows.

        Raises UnknownSelection, TableNotFound, SnapshotNotFound, UsageError.
        """
        session = self._session()
        newest = session.lake.head() if to is None else _number(to)
        return session.lake.diff(session.project.find(table), _number(from_), newest, limit=limit, access=self._asking().of_caller())

    def maintain(self, *, keep: str | timedelta = timedelta(days=7), dry_run: bool = False) -> MaintenanceReport:
        """Merges small files, expires snapshots older than `keep`, removes files that nothing points at. Safe while others read and write.

        What is published, pinned in any environment, or still to be read by an incremental model stays, and so does all of the last hour, which
        somebody may be reading. Idempotent. `keep` may be written as text (`7 days`). Raises UsageError, LakeReadOnly, CommitConflict,
        ApprovalRefused for whom HEADWATER_TOKEN says, but for administrators.
        """
        self._rights.need_administrator("tidy the lake")
        session = self._session()
        running = [run.started_at for run in session.state.runs(limit=100) if run.status == "running"]
        return session.lake.maintain(keep=_duration(keep), live_since=min(running, default=None), dry_run=dry_run)

    def backup(self, directory: str | Path) -> BackupReport:
        """Copies catalog, state and data of one instant into a new or empty folder, beside writers.

        Of an encrypted lake, catalog and state are sealed with the project's keyring, whose copy lies beside them. Raises UsageError,
        LakeUnavailable, StorageFull, KeyMissing, ApprovalRefused for whom HEADWATER_TOKEN says, but for administrators.
        """
        from headwater.api.sealing import seal_backup

        self._rights.need_administrator("back up the lake")
        session = self._session()
        folder = Path(directory).absolute()
        report = session.lake.backup(folder, state_backup=lambda folder: session.state.backup_to(folder / STATE_FILE))
        if report.is_encrypted:
            seal_backup(folder, report.lake_id, STATE_FILE, keyring_of(self._loaded))
        return report

    def restore(self, directory: str | Path, *, force: bool = False) -> RestoreReport:
        """Puts a backup where the project's lake and state are; with `force` over those that are there. Nobody else may have them open.

        A sealed one needs the master key it was sealed under. Raises UsageError (no backup, or a lake is there), LakeFormatError, LakeUnavailable,
        StorageFull, KeyMissing, KeyRefused, ApprovalRefused for whom HEADWATER_TOKEN says, but for administrators.
        """
        self._rights.need_administrator("restore the lake")
        from headwater.api.restoring import restore_backup  # lake and state with it

        self._close()
        return restore_backup(self._loaded, Path(directory).absolute(), STATE_FILE, force=force)


def _duration(text: str | timedelta) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a duration", expected="such as '7 days' or '36h'") from error


def _number(snapshot: int | str) -> int:
    if isinstance(snapshot, str) and not snapshot.isdigit():
        raise UsageError(f"{snapshot!r} is not a snapshot", expected="a number", hint="headwater snapshots TABLE lists them")
    return int(snapshot)
