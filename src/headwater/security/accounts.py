"""People and service accounts: making and changing them, and who they are as decisions see it."""

from __future__ import annotations

import re
import secrets as random
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, cast

import sqlalchemy as sa

from headwater.errors import UsageError
from headwater.secrets import Keyring
from headwater.security import scram
from headwater.security.audit import AuditLog
from headwater.security.oidc import OidcProviders
from headwater.security.passwords import Passwords
from headwater.security.principals import OWNER, UNKNOWN, Membership, Principal, memberships_of, roles_of
from headwater.security.requests import AccessRequest, AccessRequests, effective_policies
from headwater.security.state_seals import StateSeals
from headwater.security.tokens import new_password, new_token, token_hash
from headwater.spec.policies import ACTIONS, Action, Door, Policies
from headwater.state import StateStore
from headwater.state import tables as t
from headwater.state.sharing import SharedReads

Kind = Literal["user", "service"]

USER_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}", re.ASCII)
_GROUP: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:+ -]{0,127}", re.ASCII)
#: Names that mean something else.
RESERVED_NAMES: Final = frozenset({OWNER.name, "public", UNKNOWN})
_SALT_KEY: Final = "scram_salt_key"
#: Whose turn it is to add a user or a key that others may be adding.
ADDING: Final = 7_203_419
_USER: Final = sa.select(t.users).where(t.users.c.name_key == sa.bindparam("key"))
_TOKEN: Final = sa.select(t.tokens).where(t.tokens.c.id == sa.bindparam("token"))


@dataclass(frozen=True, slots=True)
class UserInfo:
    """A user as lists show them. `password` says whose it is; memberships by `oidc` are those that a provider named at the login `claimed_at`."""

    name: str
    kind: Kind
    is_admin: bool
    memberships: tuple[Membership, ...]
    password: Literal["none", "own", "generated"]
    password_changed_at: datetime | None
    must_rotate: bool
    is_disabled: bool
    locked_until: datetime | None
    oidc_subject: str | None
    claimed_at: datetime | None
    created_at: datetime
    last_login_at: datetime | None
    #: Tokens that can be used now.
    tokens: int


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """A token as lists show it: never the token itself. `scope` None: good for all that its user may do."""

    id: str
    user: str
    scope: tuple[Action, ...] | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class _Known(NamedTuple):
    """All that the store knows of one who came in: their row, that of the token they came with, and what is approved, for anybody."""

    user: Any
    token: Any
    approved: tuple[AccessRequest, ...]


class Accounts:
    """The users of a state store under some policies, as they are written down. Thread-safe, and safe beside other processes."""

    def __init__(
        self,
        state: StateStore,
        policies: Policies,
        *,
        environment: str,
        passwords: Passwords | None = None,
        oidc: OidcProviders | None = None,
        audit: AuditLog | None = None,
        keyring: Keyring | None = None,
    ) -> None:
        """With a `keyring`, password hashes and verifiers are sealed with it; what was written without one is still read."""
        self._seals = StateSeals(state, keyring)
        self._state = state
        self._policies = policies
        self._passwords = passwords if passwords is not None else Passwords()
        self._oidc = oidc
        self._audit = audit
        self._requests = AccessRequests(state, environment)
        self._turns = [threading.Lock() for _ in range(64)]
        self._lookups: SharedReads[_Known] = SharedReads()

    # -- making and changing -----------------------------------------------------------------------------------------

    def add(
        self,
        name: str,
        *,
        kind: Kind = "user",
        is_admin: bool = False,
        groups: Sequence[str] = (),
        password: str | None = None,
        generate: bool = True,
    ) -> str | None:
        """Adds a user; gives the password that was made, to be shown once.

        With `password` it is that one and nothing is given back; with `generate` False and no password the user comes by tokens or a provider alone.
        Raises UsageError (the name can't be one, or is taken), PasswordRefused.
        """
        _refuse_bad_name(name)
        wrong = [group for group in groups if not _GROUP.fullmatch(group)]
        if wrong:
            raise UsageError(f"{wrong[0]!r} can't be a group's name", expected="letters, digits and . _ - @ : + and spaces")
        made = new_password() if password is None and generate else None
        row = {
            "name": name,
            "name_key": name.lower(),
            "kind": kind,
            "is_admin": is_admin,
            "groups": list(dict.fromkeys(groups)),
            "oidc_subject": None,
            "is_disabled": False,
            "created_at": self._now(),
            "last_login_at": None,
            **self._password_columns(name, password, made),
        }

        def work(connection: sa.Connection) -> None:
            known = connection.execute(sa.select(t.users.c.name).where(t.users.c.name_key == name.lower())).scalar()
            if known is not None:
                raise UsageError(f"there is a user {known} already", hint=f"headwater user passwd {known} gives a new password")
            connection.execute(sa.insert(t.users), row)

        self._state.write(work, turn=ADDING)
        return made

    def _password_columns(self, name: str, password: str | None, made: str | None) -> dict[str, Any]:
        """The columns of `users` that a new password sets: one that somebody chose, one that was made, or none."""
        if password is not None:
            self._passwords.refuse_bad(password, name=name)
        chosen = made if made is not None else password
        return {
            "password_hash": None if chosen is None else self._seals.seal(f"password {name.lower()}", self._passwords.hash(chosen)),
            "password_is_generated": made is not None,
            "scram": None if made is None else self._seals.seal(f"scram {name.lower()}", str(scram.make_keys("password", made, self._salt(name)))),
            "password_changed_at": None if chosen is None else self._now(),
            "must_rotate": False,
            "failed_attempts": 0,
            "locked_until": None,
        }

    def passwd(self, name: str, password: str | None = None, *, must_rotate: bool = False) -> str | None:
        """Sets a new password, and unlocks the user; without `password` one is made and given back, to be shown once.

        With `must_rotate` the user has to change it before it is good for anything else. Sessions that began with the old one end. Raises UsageError
        (no such user), PasswordRefused.
        """
        self._known(name)
        made = new_password() if password is None else None
        columns = {**self._password_columns(name, password, made), "must_rotate": must_rotate}
        self._update(name, columns)
        return made

    def disable(self, name: str) -> None:
        """Keeps a user out, with all their tokens; sessions end at their next statement. Raises UsageError."""
        self._update(name, {"is_disabled": True})

    def enable(self, name: str) -> None:
        """Lets a user in again, and forgets failed attempts. Raises UsageError."""
        self._update(name, {"is_disabled": False, "failed_attempts": 0, "locked_until": None})

    def token(self, name: str, *, expires: timedelta | None = None, scope: Iterable[str] | None = None) -> tuple[str, TokenInfo]:
        """A new token, to be shown once, and what is kept of it. Raises UsageError (no such user, or a disabled one; no such action)."""
        row = self._known(name)
        if row.is_disabled:
            raise UsageError(f"{name} is disabled", hint=f"headwater user enable {name}")
        if expires is not None and expires <= timedelta():
            raise UsageError("a token ends after it begins", expected="a duration such as 30d")
        actions = None if scope is None else tuple(dict.fromkeys(scope))
        unknown = [action for action in actions or () if action not in ACTIONS]
        if unknown or actions == ():
            raise UsageError(f"there is no action {unknown[0]!r}" if unknown else "a scope names at least one action", expected=", ".join(ACTIONS))
        id, token = new_token()
        now = self._now()
        info = TokenInfo(id, row.name, cast("tuple[Action, ...] | None", actions), now, None if expires is None else now + expires, None, None)
        kept = {
            "id": id,
            "user_name": row.name,
            "hash": token_hash(token),
            "scram": self._seals.seal(f"token {id}", str(scram.make_keys(id, token, self._salt(row.name)))),
            "scope": None if actions is None else list(actions),
            "created_at": now,
            "expires_at": info.expires_at,
        }
        self._state.write(lambda connection: connection.execute(sa.insert(t.tokens), kept))
        return token, info

    def revoke(self, id: str) -> TokenInfo:
        """Ends a token at once. Raises UsageError when there is none of that id. Idempotent."""

        def work(connection: sa.Connection) -> TokenInfo:
            row = connection.execute(sa.select(t.tokens).where(t.tokens.c.id == id)).first()
            if row is None:
                raise UsageError(f"there is no token {id!r}", hint="headwater user tokens lists them by id")
            if row.revoked_at is None:
                connection.execute(sa.update(t.tokens).where(t.tokens.c.id == id).values(revoked_at=self._now()))
            return _token_info(connection.execute(sa.select(t.tokens).where(t.tokens.c.id == id)).one())

        return self._state.write(work)

    def reseal(self) -> int:
        """Seals all that is kept of passwords and tokens anew, with the newest key; gives how many values."""
        return self._seals.reseal()

    # -- looking -----------------------------------------------------------------------------------------------------

    def has_any(self) -> bool:
        """Whether there is any user; without one the lake is open to its owner alone."""
        return self._state.has_users()

    def list(self) -> tuple[UserInfo, ...]:
        """All users by name."""
        now, rules = self._now(), self.policies()

        def work(connection: sa.Connection) -> tuple[UserInfo, ...]:
            counts: dict[str, int] = {}
            for token in connection.execute(sa.select(t.tokens.c.user_name, t.tokens.c.expires_at).where(t.tokens.c.revoked_at.is_(None))):
                if token.expires_at is None or token.expires_at > now:
                    counts[token.user_name] = counts.get(token.user_name, 0) + 1
            found = connection.execute(sa.select(t.users).order_by(t.users.c.name_key))
            return tuple(_user_info(row, _memberships(row, rules), counts.get(row.name, 0), now) for row in found)

        return self._state.read(work)

    def tokens(self, name: str | None = None) -> tuple[TokenInfo, ...]:
        """All tokens, of one user where given, the oldest first; revoked and ended ones too. Raises UsageError."""
        query = sa.select(t.tokens).order_by(t.tokens.c.created_at, t.tokens.c.id)
        if name is not None:
            query = query.where(t.tokens.c.user_name == self._known(name).name)
        return self._state.read(lambda connection: tuple(_token_info(row) for row in connection.execute(query)))

    def find(self, name: str) -> Principal:
        """A user as decisions see them, without any login and what it would bring. Raises UsageError."""
        return self._principal(self._known(name), self.policies(), "local", None)

    def tried(self, name: str) -> Principal:
        """A user as after their last login, for the owner who tries what they see: in the groups that a provider named then, too.

        Raises UsageError: no such user, or a disabled one.
        """
        row = self._known(name)
        if row.is_disabled:
            raise UsageError(f"{row.name} is disabled, and sees nothing", hint=f"headwater user enable {row.name}")
        return self._principal(row, self.policies(), "local", None, row.claimed_groups or ())

    def policies(self) -> Policies:
        """Those of the files united with what is approved just now."""
        now = self._now()
        return effective_policies(self._policies, self._requests.approved(now), now)

    # -- parts -------------------------------------------------------------------------------------------------------

    def _now(self) -> datetime:
        return self._state.clock()

    @contextmanager
    def _turn(self, name: str) -> Iterator[None]:
        with self._turns[hash(name.lower()) % len(self._turns)]:
            yield

    def _row(self, name: str) -> Any:
        """None for a name that nobody has. Case doesn't count."""
        return self._state.read(lambda connection: row_on(connection, name))

    def _known_of(self, principal: Principal) -> _Known:
        """Read anew, once for all sessions of one user that ask at the same time."""

        def work(connection: sa.Connection) -> _Known:
            kept = None if principal.token is None else connection.execute(_TOKEN, {"token": principal.token}).first()
            return _Known(row_on(connection, principal.name), kept, self._requests.approved_on(connection, self._now()))

        return self._lookups.get((principal.name, principal.token), lambda: self._state.read(work))

    def _known(self, name: str) -> Any:
        row = self._row(name)
        if row is None:
            raise UsageError(f"there is no user {name!r}", hint="headwater user list shows all of them")
        return row

    def _token_row(self, id: str) -> Any:
        return self._state.read(lambda connection: connection.execute(_TOKEN, {"token": id}).first())

    def _update(self, name: str, values: dict[str, Any]) -> None:
        changed = sa.update(t.users).where(t.users.c.name_key == name.lower()).values(values)
        if not self._state.write(lambda connection: connection.execute(changed).rowcount):
            self._known(name)

    def _principal(
        self,
        row: Any,
        policies: Policies,
        door: Door,
        address: str | None,
        claims: Iterable[str] = (),
        scope: frozenset[str] | None = None,
        token: str | None = None,
        until: datetime | None = None,
    ) -> Principal:
        memberships = memberships_of(row.name, policies, by_user=row.groups, by_claims=claims)
        return Principal(
            row.name,
            row.kind,
            roles_of(memberships, policies),
            memberships,
            row.is_admin,
            door=door,
            address=address,
            scope=scope,
            token=token,
            since=self._now(),
            until=until,
        )

    def _salt_key(self) -> bytes:
        """Made once by whoever needs it first."""

        def work(connection: sa.Connection) -> str:
            known = connection.execute(find).scalar()
            if known is None:
                connection.execute(sa.insert(t.identity), {"name": _SALT_KEY, "value": sealed})
                return made
            return self._seals.open(_SALT_KEY, str(known))

        find = sa.select(t.identity.c.value).where(t.identity.c.name == _SALT_KEY)
        found = self._state.read(lambda connection: connection.execute(find).scalar())
        if found is not None:
            return bytes.fromhex(self._seals.open(_SALT_KEY, str(found)))
        made = random.token_hex(32)
        sealed = self._seals.seal(_SALT_KEY, made)
        return bytes.fromhex(self._state.write(work, turn=ADDING))

    def _password_hash(self, row: Any) -> str:
        return self._seals.open(f"password {row.name_key}", str(row.password_hash))

    def _salt(self, name: str) -> bytes:
        return scram.salt_of(name.lower(), self._salt_key())


def row_on(connection: sa.Connection, name: str) -> Any:
    """A user's row; None for a name that nobody has. Case doesn't count."""
    return connection.execute(_USER, {"key": name.lower()}).first() if USER_NAME.fullmatch(name) else None


def _refuse_bad_name(name: str) -> None:
    if not USER_NAME.fullmatch(name):
        raise UsageError(f"{name!r} can't be a user's name", expected="up to 128 letters, digits and . _ - @ +, the first a letter, digit or _")
    if name.lower() in RESERVED_NAMES:
        raise UsageError(f"{name!r} can't be a user's name", found="it means something else here", hint="choose another")


def _memberships(row: Any, policies: Policies) -> tuple[Membership, ...]:
    """With those that a provider named at the last login by it."""
    return memberships_of(row.name, policies, by_user=row.groups, by_claims=row.claimed_groups or ())


def _user_info(row: Any, memberships: tuple[Membership, ...], tokens: int, now: datetime) -> UserInfo:
    password: Literal["none", "own", "generated"] = (
        "none" if row.password_hash is None else "generated" if row.password_is_generated else "own"
    )  # fmt: skip
    return UserInfo(
        name=row.name,
        kind=row.kind,
        is_admin=row.is_admin,
        memberships=memberships,
        password=password,
        password_changed_at=row.password_changed_at,
        must_rotate=row.must_rotate,
        is_disabled=row.is_disabled,
        locked_until=row.locked_until if row.locked_until is not None and row.locked_until > now else None,
        oidc_subject=row.oidc_subject,
        claimed_at=row.claimed_at,
        created_at=row.created_at,
        last_login_at=row.last_login_at,
        tokens=tokens,
    )


def _token_info(row: Any) -> TokenInfo:
    scope = None if row.scope is None else tuple(row.scope)
    return TokenInfo(row.id, row.user_name, scope, row.created_at, row.expires_at, row.last_used_at, row.revoked_at)
