"""Who may come in, what they get for a time, and what was done: users, requests for access, the audit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from headwater.errors import (
    ApprovalRefused,
    AuditBroken,
    AuthenticationFailed,
    CommitConflict,
    LakeReadOnly,
    LakeUnavailable,
    MissingDependency,
    ProtectionError,
    StateUnavailable,
    StorageFull,
    UsageError,
)
from headwater.secrets import Keyring, resolve
from headwater.spec._base import parse_duration
from headwater.spec.counting import plural
from headwater.spec.names import TableName

if TYPE_CHECKING:
    import pyarrow as pa

    from headwater.orchestration import Session
    from headwater.project import LoadedProject
    from headwater.security.accounts import TokenInfo, UserInfo
    from headwater.security.audit import AuditFilter, AuditLog, AuditRow, Verification
    from headwater.security.audited import Outcome
    from headwater.security.decisions import Resource
    from headwater.security.principals import Principal
    from headwater.security.requests import AccessRequest, AccessRequests, RequestState
    from headwater.security.review import Review
    from headwater.security.users import Users
    from headwater.spec.policies import Action
    from headwater.state import StateStore

#: A token that says who calls; without it the caller is the owner, who has the credentials of the lake anyway.
TOKEN_VARIABLE: Final = "HEADWATER_TOKEN"
_USERS: Final = "administer users"


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


class UsersRoom(Room):
    """`project.users`. Whoever HEADWATER_TOKEN says must be an administrator, but for `change_password`; without it, it is the owner who calls.
    Each change is audited."""

    def add(
        self,
        name: str,
        *,
        admin: bool = False,
        service: bool = False,
        groups: Sequence[str] = (),
        password: str | None = None,
        oidc: bool = False,
    ) -> str | None:
        """Adds a user; gives the password made for them, unless one was given, or `oidc` says that they come by a provider or tokens alone.

        Raises UsageError, PasswordRefused.
        """
        if oidc and password is not None:
            raise UsageError("a user who comes by a provider has no password here", expected="one of the two")
        with self._state() as state:
            caller = self._administrator(state, _USERS)
            made = users_of(self._loaded, state).add(
                name, kind="service" if service else "user", is_admin=admin, groups=groups, password=password, generate=not oidc
            )
            said = [word for word, is_so in (("admin", admin), ("service", service), ("oidc", oidc)) if is_so]
            self._note(state, caller, "user", f"add {name}{''.join(f' {word}' for word in said)}{''.join(f' group={group}' for group in groups)}")
            return made

    def unknown_groups(self, groups: Iterable[str]) -> Sequence[str]:
        """Those of the groups that no policy names: they bring no rights."""
        return sorted(set(groups) - set(self._loaded.policies.groups))

    def passwd(self, name: str, password: str | None = None, *, must_rotate: bool = False) -> str | None:
        """A new password; gives the one made where none is given. Sessions of the old one end. Raises UsageError, PasswordRefused."""
        with self._state() as state:
            caller = self._administrator(state, _USERS)
            made = users_of(self._loaded, state).passwd(name, password, must_rotate=must_rotate)
            self._note(state, caller, "user", f"passwd {name}")
            return made

    def takes_old_password(self, name: str) -> bool:
        """Whether the caller changes this password by `change_password` alone, which takes the old one: it is their own, and they administer nobody;
        or their token isn't good any more, so that it says nothing of who they are. Raises ApprovalRefused for somebody else's."""
        with self._state() as state:
            try:
                caller = self._caller(state)
            except AuthenticationFailed:
                return True
            if not caller.may_administer and caller.name.lower() == name.lower():
                return True
            self._administrator(state, _USERS)
            return False

    def change_password(self, name: str, old: str, new: str) -> None:
        """One's own, with the password one has, expired or not; no token takes its place. Sessions of the old one end.

        Raises AuthenticationFailed, PasswordRefused. Audited.
        """
        with self._state() as state:
            users_of(self._loaded, state).change_password(name, old, new, door="local")

    def disable(self, name: str) -> None:
        """Keeps a user out, and ends their sessions at their next statement. Raises UsageError."""
        with self._state() as state:
            caller = self._administrator(state, _USERS)
            users_of(self._loaded, state).disable(name)
            self._note(state, caller, "user", f"disable {name}")

    def enable(self, name: str) -> None:
        """Lets a user in again, and unlocks them. Raises UsageError."""
        with self._state() as state:
            caller = self._administrator(state, _USERS)
            users_of(self._loaded, state).enable(name)
            self._note(state, caller, "user", f"enable {name}")

    def token(self, name: str, *, expires: str | timedelta | None = None, scope: Sequence[str] = ()) -> tuple[str, TokenInfo]:
        """A new token, to be shown once, and what is kept of it. `expires` is a duration. Raises UsageError."""
        with self._state() as state:
            caller = self._administrator(state, _USERS)
            ends = None if expires is None else _duration(expires)
            token, info = users_of(self._loaded, state).token(name, expires=ends, scope=scope or None)
            self._note(state, caller, "user", f"token {info.user} {info.id}")
            return token, info

    def tokens(self, name: str | None = None) -> Sequence[TokenInfo]:
        """All tokens, revoked and ended ones too; never the tokens themselves. Raises UsageError."""
        with self._state() as state:
            caller = self._administrator(state, _USERS)
            self._note_of_user(state, caller, "admin", "user tokens")
            return users_of(self._loaded, state).tokens(name)

    def revoke(self, id: str) -> TokenInfo:
        """Ends a token. Raises UsageError."""
        with self._state() as state:
            caller = self._administrator(state, _USERS)
            info = users_of(self._loaded, state).revoke(id)
            self._note(state, caller, "user", f"revoke {info.user} {info.id}")
            return info

    def list(self) -> Sequence[UserInfo]:
        """All users by name."""
        with self._state() as state:
            caller = self._administrator(state, _USERS)
            self._note_of_user(state, caller, "admin", "user list")
            return users_of(self._loaded, state).list()


class RequestsRoom(Room):
    """`project.requests`: access for a time. The caller is whoever HEADWATER_TOKEN says, else the owner."""

    def __init__(
        self,
        loaded: LoadedProject,
        session: Callable[[], Session],
        session_if_any: Callable[[], Session | None],
        aware: Callable[[date | datetime], datetime],
    ) -> None:
        super().__init__(loaded)
        self._session = session
        self._session_if_any = session_if_any
        self._aware = aware

    def _requests(self, state: StateStore) -> AccessRequests:
        from headwater.security.requests import AccessRequests

        return AccessRequests(state, self._loaded.environment)

    def request(
        self,
        table: str,
        *,
        until: str | date | datetime,
        reason: str,
        user: str | None = None,
        action: Action | None = None,
        role: str | None = None,
        columns: Sequence[str] = (),
        unmask: Sequence[str] = (),
        purpose: Sequence[str] = (),
    ) -> AccessRequest:
        """Asks for access to a table: an action (without role and action: `select`), or what a role may do with it.

        Raises UsageError, UnknownSelection. `user` is whom it is for: the caller, or whom the owner says. `until` is a time, or a duration from now.
        """
        if role is not None and role not in self._loaded.policies.roles:
            raise UsageError(f"there is no role {role!r}", expected=", ".join(self._loaded.policies.roles) or "a role of policies/*.yaml")
        with self._state() as state:
            caller = self._caller(state)
            if caller.kind == "owner" and user is None:
                raise UsageError("whom is the access for?", expected="--user NAME, or a user's own token in HEADWATER_TOKEN")
            name = self._loaded.find(table)
            self._refuse_unknown(name, columns, unmask)
            asked = self._requests(state).request(
                user or caller.name,
                name,
                by=caller,
                until=self._moment(until, state.clock()),
                reason=reason,
                action=action if action is not None or role is not None else "select",
                role=role,
                columns=columns,
                unmask=unmask,
                purpose=purpose,
            )
            self._note(state, caller, "request", f"{asked.id} for {asked.user}: {asked.wanted} until {asked.until.isoformat()}", [name])
            return asked

    def _refuse_unknown(self, table: TableName, columns: Sequence[str], labels: Sequence[str]) -> None:
        """Raises UsageError for a column or label that the table hasn't. Nothing is said of a table that isn't in the lake yet."""
        from headwater.spec.policies import covers
        from headwater.storage.gate import resource_of

        session = self._session_if_any() if columns or labels else None
        state = session.lake.state().find(table) if session is not None else None
        if state is None or state.is_retired:
            return
        # of what readers see, and of what they will
        having = [(column.name, column.labels) for column in resource_of(state).columns] + [(column.name, column.labels) for column in state.columns]
        known = {name.lower() for name, _ in having}
        for column in columns:
            if column.lower() not in known:
                raise UsageError(f"{table} has no column {column!r}", state="nothing was asked for")
        carried = {label for _, given in having for label in given}
        for label in labels:
            is_column = label.lower() in {f"{table}.{name}".lower() for name in known}
            if not is_column and not any(covers(label, one) for one in carried):
                raise UsageError(f"no column of {table} has the label {label!r}", state="nothing was asked for")

    def denials(self, given: AccessRequest) -> list[str]:
        """What still keeps the user from what was approved for them: denials, which beat every grant, each with what it takes away."""
        from headwater.security.decisions import Resource, decide
        from headwater.storage.gate import resource_of

        session = self._session_if_any()
        known = session.lake.state().find(given.table) if session is not None else None
        resource = Resource(given.table) if known is None else resource_of(known)
        purpose = given.purpose[0] if given.purpose else None
        with self._state() as state:
            users = users_of(self._loaded, state)
            rules, user = users.policies(), users.find(given.user)
            role = rules.roles.get(given.group)
            actions = dict.fromkeys(grant.action for grant in role.grants) if role is not None else {}
            decided = [decide(rules, user, action, resource, at=state.clock(), purpose=purpose) for action in actions]
        return list(dict.fromkeys(f"{one.what}: {one.effect}" for decision in decided for one in decision.reasons if one.what.startswith("deny ")))

    def approve(self, id: str, *, until: str | date | datetime | None = None) -> AccessRequest:
        """Gives what was asked for, `until` then at most. Raises ApprovalRefused, UsageError."""
        with self._state() as state:
            caller = self._caller(state)
            ends = None if until is None else self._moment(until, state.clock())
            with self._refusal_noted(state, caller, "approve", id):
                given = self._requests(state).approve(id, by=caller, policies=users_of(self._loaded, state).policies(), until=ends)
            self._note(state, caller, "approve", f"{given.id} for {given.user} until {given.until.isoformat()}", [given.table])
            return given

    def revoke(self, id: str) -> AccessRequest:
        """Takes access back, or refuses it. Raises ApprovalRefused, UsageError."""
        from headwater.security.requests import told_of_revocation

        with self._state() as state:
            caller = self._caller(state)
            with self._refusal_noted(state, caller, "revoke", id):
                taken = self._requests(state).revoke(id, by=caller, policies=users_of(self._loaded, state).policies())
            self._note(state, caller, "revoke", told_of_revocation(taken), [taken.table])
            return taken

    @contextmanager
    def _refusal_noted(self, state: StateStore, caller: Principal, action: str, id: str) -> Iterator[None]:
        """Notes it when the caller may not decide about a request."""
        try:
            yield
        except ApprovalRefused:
            asked = self._requests(state).find(id)
            self._note(state, caller, action, f"{asked.id} for {asked.user}", [asked.table], decision="refused")
            raise

    def list(self, *, user: str | None = None, state: RequestState | None = None) -> Sequence[AccessRequest]:
        """Requests, the oldest first; a user who isn't an administrator sees their own and those they may decide."""
        with self._state() as store:
            caller = self._caller(store)
            found = self._requests(store).list(user=user, state=state)
            if caller.may_administer:
                return found
            from headwater.security.requests import may_decide

            rules, now = users_of(self._loaded, store).policies(), store.clock()
            return [one for one in found if one.user == caller.name or may_decide(rules, caller, one.table, at=now)]

    def review(self, *, days: int = 90) -> Review:
        """Which rights nobody used in the last `days`, by the audit, and the smaller policies that would have served all that was asked.

        Proved by deciding every audited query again. Raises UsageError, ApprovalRefused.
        """
        from headwater.security.audit import AuditFilter, AuditLog
        from headwater.security.review import review, uses_of
        from headwater.storage.gate import resource_of

        if days < 1:
            raise UsageError("a review looks back at least a day", found=str(days))
        session = self._session()
        caller = self._administrator(session.state, "review access", or_by_grant=True)
        self._note_of_user(session.state, caller, "admin", "review access")
        records = [
            row.record for row in AuditLog(session.state, self._loaded.environment).rows(AuditFilter(since=session.clock() - timedelta(days=days)))
        ]
        known = users_of(self._loaded, session.state).list()
        lake = session.lake.state()

        def seen(table: TableName) -> Resource | None:
            found = lake.find(table)
            return None if found is None else resource_of(found)

        uses = uses_of(
            records,
            self._loaded.policies,
            admins=frozenset(one.name for one in known if one.is_admin),
            services=frozenset(one.name for one in known if one.kind == "service"),
        )
        return review(self._loaded.policies, uses, seen, queries=len({record.query_id for record in records}))

    def _moment(self, text: str | date | datetime, now: datetime) -> datetime:
        if isinstance(text, str):
            try:
                return now + parse_duration(text)
            except ValueError:
                pass
            try:
                text = datetime.fromisoformat(text)
            except ValueError:
                raise UsageError(f"{text!r} is neither a time nor a duration", expected="such as 2026-12-31, 2026-12-31T18:00 or '8 hours'") from None
        return self._aware(text)


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


def _duration(text: str | timedelta) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a duration", expected="such as 30d, '8 hours' or 36h") from error
