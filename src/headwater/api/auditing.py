"""What was done: the audit, and the anchors of its chain in the lake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.api.rooms import Room, keyring_of, users_of
from headwater.errors import (
    ApprovalRefused,
    AuditBroken,
    CommitConflict,
    LakeReadOnly,
    LakeUnavailable,
    MissingDependency,
    ProtectionError,
    StateUnavailable,
    StorageFull,
)
from headwater.spec.counting import plural

if TYPE_CHECKING:
    import pyarrow as pa

    from headwater.orchestration import Session
    from headwater.project import LoadedProject
    from headwater.security.audit import AuditFilter, AuditLog, AuditRow, Verification
    from headwater.state import StateStore


@dataclass(frozen=True, slots=True)
class Anchored:
    """Where the audit's chain ended, and the lake's snapshot that keeps it; None where it was there already, or nothing is audited yet."""

    rows: int
    snapshot_id: int | None


class AuditRoom(Room):
    """`project.audit`."""

    def __init__(
        self, loaded: LoadedProject, session: Callable[[], Session], settle: Callable[[], None], need_administrator: Callable[[str], None]
    ) -> None:
        """`settle` writes what the project's own queries still have to say; `need_administrator` is that of `Rights`."""
        super().__init__(loaded)
        self._session = session
        self._need_administrator = need_administrator
        self._settle = settle

    def _log(self, state: StateStore) -> AuditLog:
        from headwater.security.audit import AuditLog

        self._settle()
        return AuditLog(state, self._loaded.environment)

    def list(self, filter: AuditFilter | None = None, *, limit: int | None = 50) -> list[AuditRow]:
        """The newest rows that the filter lets through, the oldest of them first. Raises ApprovalRefused for who hasn't the right `audit`."""
        with self._state() as state:
            self._auditor(state, "list")
            return self._log(state).rows(filter, limit=limit)

    def arrow(self, filter: AuditFilter | None = None) -> pa.Table:
        """The same as an Arrow table, all of it: what `headwater.audit` holds."""
        with self._state() as state:
            self._auditor(state, "list")
            return self._log(state).arrow(filter)

    def _auditor(self, state: StateStore, what: str) -> None:
        """Whoever calls must have the right `audit`; of a user it is noted what they did with it, or weren't allowed to."""
        from headwater.security.decisions import Resource, decide

        caller = self._caller(state)
        is_allowed = decide(users_of(self._loaded, state).policies(), caller, "audit", Resource(), at=state.clock()).is_allowed
        self._note_of_user(state, caller, "audit", what, "allowed" if is_allowed else "refused")
        if not is_allowed:
            raise ApprovalRefused(f"{caller.name} can't read the audit", expected="a grant of `audit`")

    def anchor(self) -> Anchored:
        """Signs the head of the audit's chain and puts it into the lake. Idempotent. Raises LakeReadOnly, CommitConflict, ProtectionError kinds,
        ApprovalRefused for whom HEADWATER_TOKEN says, but for administrators.
        """
        self._need_administrator("anchor the audit")
        return self._anchor()

    def _anchor(self) -> Anchored:
        session = self._session()
        head = self._log(session.state).head()
        if head is None:
            return Anchored(0, None)
        from headwater.security.signing import sign_head

        return Anchored(head.seq, session.lake.anchor_audit(sign_head(head, keyring_of(self._loaded)), author="headwater"))

    def hold(self) -> None:
        """`anchor`, where there is something to hold; for after a run. What keeps it from being done now doesn't matter: the next run does it."""
        from headwater.security.audited import noted_head

        try:
            self._settle()
            if noted_head(self._session().state) is not None:
                self._anchor()
        except (CommitConflict, LakeReadOnly, LakeUnavailable, StorageFull, StateUnavailable, ProtectionError, MissingDependency):
            pass

    def public_keys(self) -> dict[str, str]:
        """What anybody can check the lake's heads with: Ed25519 keys, 64 hexadecimal digits, by their ids. Raises ProtectionError kinds."""
        from headwater.security.signing import Signatures

        return Signatures(keyring_of(self._loaded)).public_keys

    def verify(self) -> Verification:
        """Reads the whole audit and compares it with the heads in the lake and their signatures.

        Raises AuditBroken with the first of what is wrong, ApprovalRefused for who hasn't the right `audit`.
        """
        session = self._session()
        self._auditor(session.state, "verify")
        anchors = session.lake.audit_anchors()
        if anchors:
            from headwater.security.signing import Signatures

            found = self._log(session.state).verify(anchors, Signatures(keyring_of(self._loaded)).is_ours)
        else:
            found = self._log(session.state).verify()
        if not found.is_sound:
            first = found.faults[0]
            more = f", and {len(found.faults) - 1} more" if len(found.faults) > 1 else ""
            raise AuditBroken(
                "the audit isn't as it was written",
                expected=f"one unbroken chain, holding the {plural(found.anchors, 'head')} that the lake keeps",
                found=f"{first.message}{more}",
                state="nothing was changed",
                hint="keep a copy of the state store as it is (headwater backup DIR), then look at the rows named",
            )
        return found
