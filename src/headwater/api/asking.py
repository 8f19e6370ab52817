"""Who asks the lake, under which rules, and what the audit is told of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from headwater.api.rooms import TOKEN_VARIABLE, keyring_of, users_of
from headwater.errors import AuditUnwritable, UsageError

if TYPE_CHECKING:
    from headwater.orchestration import Session
    from headwater.project import LoadedProject
    from headwater.secrets import Keyring
    from headwater.security import MaskKeys, Principal
    from headwater.security.audit import AuditLog
    from headwater.security.users import Users
    from headwater.spec.policies import Action, Policies
    from headwater.storage.gate import Access


class Asking:
    """Makes the `Access` that each question to the lake takes, over an open session. Thread-safe."""

    def __init__(self, loaded: LoadedProject, session: Session) -> None:
        self._loaded = loaded
        self._session = session
        self._keys: tuple[int, MaskKeys] | None = None

    @cached_property
    def _keyring(self) -> Keyring:
        return keyring_of(self._loaded)

    @cached_property
    def users(self) -> Users:
        return users_of(self._loaded, self._session.state)

    @cached_property
    def audit(self) -> AuditLog:
        from headwater.security.audit import AuditLog

        return AuditLog(self._session.state, self._loaded.environment)

    def _mask_keys(self) -> MaskKeys:
        """Those of today: keys may be rotated while this is open."""
        from headwater.security.keys import mask_keys

        keyring = self._keyring
        try:
            stamp = keyring.path.stat().st_mtime_ns
        except OSError:
            stamp = 0
        known = self._keys
        if known is None or known[0] != stamp:
            known = self._keys = (stamp, mask_keys(keyring))
        return known[1]

    def access(self, principal: Principal) -> Access:
        """Theirs as they are now: disabled, out of groups, or with what was approved meanwhile. Raises AuthenticationFailed."""
        return self._access(*self.users.renewed(principal))

    def access_of(self, principal: Principal, action: Action = "select") -> Access:
        """For one who isn't in a session that could have ended: what they may see by the right to `action`."""
        return self._access(principal, self.users.policies(), action)

    def _access(self, principal: Principal, policies: Policies, action: Action = "select") -> Access:
        from headwater.security.network import limits_of
        from headwater.storage.gate import Access

        return Access(
            principal,
            policies,
            self._mask_keys(),
            self._session.clock(),
            limits_of(policies, principal),
            audit=self.audit.append,
            audit_end=self.audit.append_soon,
            audit_rows=self.audit.table,
            database=self._loaded.config.name,
            action=action,
        )

    def of_caller(self, user: str | None = None, purpose: str | None = None) -> Access:
        """Whoever calls on this machine: the user of the token in HEADWATER_TOKEN, else the owner; as `user` sees it, where the owner says one.

        What the owner tries is audited as theirs: with the user's rights, `asked_by` the owner. A user who comes by a provider has the groups of
        their last login by it.
        The owner's questions are audited as soon as there are users. Raises AuthenticationFailed, UsageError.
        """
        from headwater.security.principals import OWNER
        from headwater.storage.gate import Access

        token = self._loaded.environ.get(TOKEN_VARIABLE)
        if token:
            caller = self.users.login_token(token, door="local")
            if user is not None and user.lower() != caller.name.lower():
                self._note_refused(caller, f"ask as {user}")
                raise UsageError(f"{caller.name} can't ask as somebody else", expected="the owner", hint=f"unset {TOKEN_VARIABLE}")
            return self.access(replace(caller, purpose=purpose))
        if user is not None:
            return self.access_of(replace(self.users.tried(user), purpose=purpose, asked_by=OWNER.name))
        if purpose is not None:
            raise UsageError("the owner needs no purpose", hint="add --as USER")
        owner = replace(Access.owner(at=self._session.clock()), audit_rows=lambda: self.audit.table())
        if not self._session.state.has_users():
            return owner
        return replace(owner, audit=self.audit.append, audit_end=self.audit.append_soon)

    def _note_refused(self, caller: Principal, what: str) -> None:
        from headwater.security.audited import Audited, new_query_id

        now, groups = self._session.clock(), tuple(sorted(caller.groups))
        version = self.users.policies().version
        self.audit.append(Audited(now, new_query_id(), caller.name, "select", "refused", sql=what, policy_version=version, groups=groups))

    def close(self) -> None:
        """Writes what of the audit still waits."""
        if "audit" in self.__dict__:
            with suppress(AuditUnwritable):
                self.audit.flush()
