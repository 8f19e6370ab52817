"""What the rooms of who may do what share: the state store, its users and keys, who calls, and what is written down of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Final

from headwater.errors import ApprovalRefused
from headwater.secrets import Keyring, resolve
from headwater.spec.names import TableName

if TYPE_CHECKING:
    from headwater.project import LoadedProject
    from headwater.security.audited import Outcome
    from headwater.security.principals import Principal
    from headwater.security.users import Users
    from headwater.state import StateStore

#: A token that says who calls; without it the caller is the owner, who has the credentials of the lake anyway.
TOKEN_VARIABLE: Final = "HEADWATER_TOKEN"


def open_state(loaded: LoadedProject) -> StateStore:
    """The state store of a project's environment. Raises StateError kinds, UnresolvedReference."""
    from headwater.state import StateStore

    url = resolve(loaded.config.state, project_dir=loaded.directory, environ=loaded.environ, security=loaded.config.security)
    return StateStore.open(url, loaded.directory)


def users_of(loaded: LoadedProject, state: StateStore) -> Users:
    """The users of a project's environment, as its settings want them let in, each login audited."""
    from headwater.security.audit import AuditLog
    from headwater.security.oidc import OidcProviders
    from headwater.security.passwords import Passwords
    from headwater.security.users import Users
    from headwater.spec.project import OidcConfig

    security = loaded.config.security
    providers = {
        name: OidcConfig.model_validate(resolve(config.model_dump(), project_dir=loaded.directory, environ=loaded.environ, security=security))
        for name, config in security.oidc.items()
    }
    return Users(
        state,
        loaded.policies,
        environment=loaded.environment,
        passwords=Passwords(security.passwords, loaded.directory),
        oidc=OidcProviders(providers) if providers else None,
        audit=AuditLog(state, loaded.environment),
        keyring=keyring_of(loaded),
    )


def keyring_of(loaded: LoadedProject) -> Keyring:
    """The keys of a project. Reads nothing yet."""
    return Keyring(loaded.config.security.keys, project_dir=loaded.directory, environ=loaded.environ)


class Room:
    """What all of them need: the project and its state store, open as long as a call lasts."""

    def __init__(self, loaded: LoadedProject) -> None:
        self._loaded = loaded

    @property
    def is_owner(self) -> bool:
        """Whether it is the owner who calls: nobody's token is given."""
        return not self._loaded.environ.get(TOKEN_VARIABLE)

    def _state(self) -> closing[StateStore]:
        return closing(open_state(self._loaded))

    def _caller(self, state: StateStore) -> Principal:
        """Who calls: the user of the token in HEADWATER_TOKEN, else the owner. Raises AuthenticationFailed."""
        from headwater.security.principals import OWNER

        token = self._loaded.environ.get(TOKEN_VARIABLE)
        return users_of(self._loaded, state).login_token(token, door="local") if token else OWNER

    def _administrator(self, state: StateStore, deed: str, *, or_by_grant: bool = False) -> Principal:
        """Who calls: the owner or an administrator, who may do what `deed` says; with `or_by_grant` somebody with `admin` on all tables, too.

        Raises AuthenticationFailed, ApprovalRefused, which is audited.
        """
        from headwater.security.decisions import Resource, decide

        caller = self._caller(state)
        may = caller.may_administer
        if or_by_grant and not may:
            may = decide(users_of(self._loaded, state).policies(), caller, "admin", Resource(), at=state.clock()).is_allowed
        if not may:
            self._note(state, caller, "admin", deed, decision="refused")
            expected = "a token that is good for `admin`" if caller.is_admin else "the owner, or an administrator"
            expected += ", or a grant `admin: '*'`" if or_by_grant and not caller.is_admin else ""
            raise ApprovalRefused(f"{caller.name} may not {deed}", expected=expected, state="nothing was changed")
        return caller

    def _note_of_user(self, state: StateStore, caller: Principal, action: str, what: str, decision: Outcome = "allowed") -> None:
        """Notes what takes the owner no right: of them it would say nothing."""
        if caller.kind != "owner":
            self._note(state, caller, action, what, decision=decision)

    def _note(
        self,
        state: StateStore,
        caller: Principal,
        action: str,
        what: str,
        tables: Sequence[TableName] = (),
        policy_version: str | None = None,
        *,
        decision: Outcome = "allowed",
    ) -> None:
        """Writes into the audit what the caller did, or may not do; under the project's policies where no version is given."""
        from headwater.security.audit import AuditLog
        from headwater.security.audited import Audited, new_query_id

        record = Audited(
            at=state.clock(),
            query_id=new_query_id(),
            principal=caller.name,
            action=action,
            decision=decision,
            sql=what,
            tables=tuple(map(str, tables)),
            policy_version=self._loaded.policies.version if policy_version is None else policy_version,
            groups=tuple(sorted(caller.groups)),
        )
        AuditLog(state, self._loaded.environment).append(record)
