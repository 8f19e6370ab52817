"""People and service accounts: making them, letting them in, and who they are as decisions see it."""

from __future__ import annotations

import re
import secrets as random
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, cast

import sqlalchemy as sa

from headwater.errors import AuthenticationFailed, PasswordExpired, PasswordRefused, UsageError
from headwater.secrets import Keyring
from headwater.security import scram
from headwater.security.audit import AuditLog, new_query_id
from headwater.security.audited import Audited
from headwater.security.network import is_welcome
from headwater.security.oidc import Identity, OidcProviders
from headwater.security.passwords import Passwords
from headwater.security.principals import OWNER, Principal, memberships_of, roles_of
from headwater.security.requests import AccessRequests, effective_policies
from headwater.security.state_seals import StateSeals
from headwater.security.tokens import PREFIX, is_token, new_password, new_token, token_hash, token_id
from headwater.spec.policies import ACTIONS, Action, Door, Policies
from headwater.state import StateStore
from headwater.state import tables as t

Kind = Literal["user", "service"]

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}", re.ASCII)
_GROUP: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:+ -]{0,127}", re.ASCII)
#: Names that mean something else.
_RESERVED: Final = frozenset({OWNER.name, "public", "(unknown)"})
#: How often it is written down that somebody came, or a token was used.
_SEEN_EVERY: Final = timedelta(minutes=1)
_SALT_KEY: Final = "scram_salt_key"
#: Who failed to come in under a name that nobody has: such a name may be a password typed in the wrong place, so it isn't kept.
UNKNOWN: Final = "(unknown)"
_ADDING: Final = 7_203_419


@dataclass(frozen=True, slots=True)
class UserInfo:
    """A user as lists show them. `password` says whose it is; `groups` are those of `user add --group` alone."""

    name: str
    kind: Kind
    is_admin: bool
    groups: tuple[str, ...]
    password: Literal["none", "own", "generated"]
    password_changed_at: datetime | None
    must_rotate: bool
    is_disabled: bool
    locked_until: datetime | None
    oidc_subject: str | None
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


def has_users(state: StateStore) -> bool:
    """Whether a store knows any user."""
    return state.read(lambda connection: connection.execute(sa.select(t.users.c.name).limit(1)).first() is not None)


class Users:
    """The users of a state store under some policies. Thread-safe, and safe beside other processes.

    `policies` are those of the files; what was approved for a time is united with them whenever somebody comes in. With `audit`, each login is
    written there before it succeeds or fails.
    """

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

        self._state.write(work, turn=_ADDING)
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

    def change_password(self, name: str, old: str, new: str, *, door: Door, address: str | None = None) -> None:
        """A person's own change, with the password they have, expired or not. Raises AuthenticationFailed, PasswordRefused."""
        row = self._authenticate(name, old, self.policies(), door, address, may_be_expired=True)
        if self._passwords.verify(self._password_hash(row), new):
            raise PasswordRefused("this password can't be used: it is the one you have", state="the password is as it was")
        self._update(row.name, self._password_columns(row.name, new, None))
        self._note("password", row.name, door, address)

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
        return has_users(self._state)

    def list(self) -> tuple[UserInfo, ...]:
        """All users by name."""
        now = self._now()

        def work(connection: sa.Connection) -> tuple[UserInfo, ...]:
            counts: dict[str, int] = {}
            for token in connection.execute(sa.select(t.tokens.c.user_name, t.tokens.c.expires_at).where(t.tokens.c.revoked_at.is_(None))):
                if token.expires_at is None or token.expires_at > now:
                    counts[token.user_name] = counts.get(token.user_name, 0) + 1
            found = connection.execute(sa.select(t.users).order_by(t.users.c.name_key))
            return tuple(_user_info(row, counts.get(row.name, 0), now) for row in found)

        return self._state.read(work)

    def tokens(self, name: str | None = None) -> tuple[TokenInfo, ...]:
        """All tokens, of one user where given, the oldest first; revoked and ended ones too. Raises UsageError."""
        query = sa.select(t.tokens).order_by(t.tokens.c.created_at, t.tokens.c.id)
        if name is not None:
            query = query.where(t.tokens.c.user_name == self._known(name).name)
        return self._state.read(lambda connection: tuple(_token_info(row) for row in connection.execute(query)))

    def find(self, name: str) -> Principal:
        """A user as decisions see them, without any login: for explaining. Raises UsageError."""
        return self._principal(self._known(name), self.policies(), "local", None)

    def policies(self) -> Policies:
        """Those of the files united with what is approved just now."""
        now = self._now()
        return effective_policies(self._policies, self._requests.approved(now), now)

    # -- coming in ---------------------------------------------------------------------------------------------------

    def login(self, name: str, password: str, *, door: Door, address: str | None = None) -> Principal:
        """Who comes with a name and a password, or with a name and a token in its place.

        Raises AuthenticationFailed, which says the same whatever is wrong and takes the same time, and PasswordExpired where the password is right.
        """
        if password.startswith(PREFIX) and token_id(password) is not None:
            return self.login_token(password, door=door, address=address, name=name)
        rules = self.policies()
        row = self._authenticate(name, password, rules, door, address, may_be_expired=False)
        principal = self._principal(row, rules, door, address)
        self._let_in(principal, row)
        return principal

    def _authenticate(self, name: str, password: str, rules: Policies, door: Door, address: str | None, *, may_be_expired: bool) -> Any:
        """The user's row when the password is right."""
        with self._turn(name):  # one at a time: guesses at once can't outrun the count
            row = self._row(name)
            why = self._why_not(row, rules, door, address)
            if row is None or why is not None or row.password_hash is None:
                self._passwords.verify_nobody(password)
                self._count_failure(UNKNOWN)  # nobody's, but it takes the time that somebody's takes
                raise self._refusal(row, door, address, why or "the user has no password")
            password_hash = self._password_hash(row)
            if not self._passwords.verify(password_hash, password):
                self._count_failure(row.name)
                raise self._refusal(row, door, address, "the password is wrong")
            if self._passwords.is_outdated(password_hash):
                self._update(row.name, {"password_hash": self._seals.seal(f"password {row.name_key}", self._passwords.hash(password))})
        is_old = not row.password_is_generated and row.kind == "user" and self._passwords.is_expired(row.password_changed_at, self._now())
        if not may_be_expired and (row.must_rotate or is_old):
            self._note("login", row.name, door, address, "the password must be changed")
            raise PasswordExpired(f"the password of {row.name} must be changed first", hint=f"headwater user passwd {row.name}")
        return row

    def login_token(self, token: str, *, door: Door, address: str | None = None, name: str | None = None) -> Principal:
        """Who comes with a token, one of ours or a provider's; where a `name` is said too it must be that user's. Raises AuthenticationFailed."""
        id = token_id(token)
        if id is None:
            if self._oidc is not None and token.count(".") == 2:
                return self.login_oidc(token, door=door, address=address, name=name)
            raise self._refusal(None, door, address, "it is no token")
        kept = self._token_row(id)
        if kept is None or not is_token(token, kept.hash):
            raise self._refusal(None, door, address, "there is no such token")
        if name is not None and name.lower() != kept.user_name.lower():
            raise self._refusal(None, door, address, f"the token {id} is another user's")
        return self._come_with_token(kept, door, address)

    def login_scram(self, name: str, credential: str, *, door: Door, address: str | None = None) -> Principal:
        """Who has proven by SCRAM to know what `credential` stands for: see `ScramExchange.credential`. Raises AuthenticationFailed."""
        row = self._row(name)
        if credential != "password":
            kept = self._token_row(credential)
            if row is None or kept is None or kept.user_name != row.name:
                raise self._refusal(row, door, address, "there is no such token")
            return self._come_with_token(kept, door, address)
        rules = self.policies()
        why = self._why_not(row, rules, door, address)
        if row is None or why is not None or not row.password_is_generated:
            raise self._refusal(row, door, address, why or "the user has no password")
        principal = self._principal(row, rules, door, address)
        self._let_in(principal, row)
        return principal

    def scram_failed(self, name: str, *, door: Door, address: str | None = None) -> None:
        """Writes down that a proof was wrong. What SCRAM proves can't be guessed, so nobody is locked out by it."""
        row = self._row(name)
        self._note("login", UNKNOWN if row is None else row.name, door, address, "the proof is wrong")

    def scram_verifier(self, name: str) -> scram.ScramSecret | None:
        """What to check a user's proofs with: their tokens and a generated password; None where a password a person chose must be asked for.

        A name that nobody has gets one or the other too, always the same, so that the answer tells nothing of who there is.
        """
        key = self._salt_key()
        row = self._row(name)
        if row is None:
            asks_password = scram.salt_of(f"which {name.lower()}", key)[0] % 2 == 0
            return None if asks_password else scram.unprovable(name.lower(), key)
        if row.password_hash is not None and not row.password_is_generated:
            return None
        now = self._now()
        usable = (t.tokens.c.user_name == row.name) & t.tokens.c.revoked_at.is_(None)
        found = self._state.read(lambda connection: connection.execute(sa.select(t.tokens).where(usable)).all())
        usable_now = [one for one in found if one.expires_at is None or one.expires_at > now]
        keys = [scram.read_keys(one.id, self._seals.open(f"token {one.id}", one.scram)) for one in usable_now]
        if row.scram is not None:
            keys.append(scram.read_keys("password", self._seals.open(f"scram {row.name_key}", row.scram)))
        salt = scram.salt_of(row.name_key, key)
        return scram.ScramSecret(salt, tuple(keys)) if keys else scram.unprovable(row.name_key, key)

    def login_oidc(self, token: str, *, door: Door, address: str | None = None, name: str | None = None, nonce: str | None = None) -> Principal:
        """Who comes with a token of a provider's, which is checked in all respects.

        Somebody new is written down as a user without a password. A user made here with `generate` False is bound to the first who comes under that
        name; one who has a password here, or is bound to somebody else, can't be come in as. Raises AuthenticationFailed, ProviderUnavailable.
        """
        if self._oidc is None:
            raise self._refusal(None, door, address, "no provider is set up")
        try:
            identity = self._oidc.verify(token, nonce=nonce, now=self._now())
        except AuthenticationFailed as error:
            raise self._refusal(None, door, address, error.found or error.what) from error
        if not _NAME.fullmatch(identity.name) or identity.name.lower() in _RESERVED:
            raise self._refusal(None, door, address, "the provider's name for the user can't be one here")
        if name is not None and name.lower() != identity.name.lower():
            raise self._refusal(None, door, address, "the provider's token is another user's")
        row, rules = self._bound_row(identity), self.policies()
        is_mine = row.oidc_subject == identity.subject
        why = self._why_not(row, rules, door, address, identity.groups) if is_mine else "the name is somebody else's here"
        if why is not None:
            raise self._refusal(row, door, address, why)
        principal = self._principal(row, rules, door, address, identity.groups, until=identity.expires_at)
        self._let_in(principal, row)
        return principal

    def _bound_row(self, identity: Identity) -> Any:
        """The user's row for a provider's identity, made or bound where that may be."""

        def work(connection: sa.Connection) -> Any:
            mine = sa.select(t.users).where(t.users.c.name_key == identity.name.lower())
            row = connection.execute(mine).first()
            if row is None:
                made = {
                    "name": identity.name,
                    "name_key": identity.name.lower(),
                    "kind": "user",
                    "is_admin": False,
                    "groups": [],
                    "password_is_generated": False,
                    "must_rotate": False,
                    "oidc_subject": identity.subject,
                    "is_disabled": False,
                    "failed_attempts": 0,
                    "created_at": self._now(),
                }
                connection.execute(sa.insert(t.users), made)
            elif row.oidc_subject is None and row.kind == "user" and row.password_hash is None:
                connection.execute(sa.update(t.users).where(t.users.c.name == row.name).values(oidc_subject=identity.subject))
            else:
                return row
            return connection.execute(mine).one()

        known = self._row(identity.name)
        return known if known is not None and known.oidc_subject is not None else self._state.write(work, turn=_ADDING)

    def renew(self, principal: Principal) -> Principal:
        """The same one as of now: with the roles of today. For sessions, before each statement.

        Raises AuthenticationFailed when they may not be here any more: disabled, the token ended or revoked, the password changed since, or the
        address no longer allowed.
        """
        return self.renewed(principal)[0]

    def renewed(self, principal: Principal) -> tuple[Principal, Policies]:
        """As `renew`, with the policies that are in force."""
        if principal.kind == "owner":
            return principal, self.policies()
        row, rules = self._row(principal.name), self.policies()
        now = self._now()
        claims = [membership.group for membership in principal.memberships if membership.origin == "oidc"]
        why = self._why_not(row, rules, principal.door, principal.address, claims, is_new=False)
        if why is None and principal.until is not None and now >= principal.until:
            why = "the token has ended"
        if why is None and principal.token is not None:
            kept = self._token_row(principal.token)
            why = "there is no such token" if kept is None else self._why_not_token(kept)
        elif why is None and principal.until is None and row is not None:
            changed = row.password_changed_at
            if principal.since is not None and (changed is None or changed > principal.since):
                why = "the password was changed"
        if row is None or why is not None:
            raise self._refusal(row, principal.door, principal.address, why or "there is no such user", what="session")
        new = self._principal(row, rules, principal.door, principal.address, claims, principal.scope, principal.token, principal.until)
        return replace(new, since=principal.since, purpose=principal.purpose), rules

    # -- parts -------------------------------------------------------------------------------------------------------

    def _now(self) -> datetime:
        return self._state.clock()

    @contextmanager
    def _turn(self, name: str) -> Iterator[None]:
        with self._turns[hash(name.lower()) % len(self._turns)]:
            yield

    def _row(self, name: str) -> Any:
        """None for a name that nobody has. Case doesn't count."""
        if not _NAME.fullmatch(name):
            return None
        return self._state.read(lambda connection: connection.execute(sa.select(t.users).where(t.users.c.name_key == name.lower())).first())

    def _known(self, name: str) -> Any:
        row = self._row(name)
        if row is None:
            raise UsageError(f"there is no user {name!r}", hint="headwater user list shows all of them")
        return row

    def _token_row(self, id: str) -> Any:
        return self._state.read(lambda connection: connection.execute(sa.select(t.tokens).where(t.tokens.c.id == id)).first())

    def _update(self, name: str, values: dict[str, Any]) -> None:
        changed = sa.update(t.users).where(t.users.c.name_key == name.lower()).values(values)
        if not self._state.write(lambda connection: connection.execute(changed).rowcount):
            self._known(name)

    def _count_failure(self, name: str) -> None:
        def work(connection: sa.Connection) -> None:
            mine = t.users.c.name == name
            connection.execute(sa.update(t.users).where(mine).values(failed_attempts=t.users.c.failed_attempts + 1))
            failures = connection.execute(sa.select(t.users.c.failed_attempts).where(mine)).scalar()
            wait = self._passwords.lockout(failures or 0)
            if wait is not None:
                connection.execute(sa.update(t.users).where(mine).values(locked_until=self._now() + wait))

        self._state.write(work)

    def _why_not(self, row: Any, rules: Policies, door: Door, address: str | None, claims: Iterable[str] = (), *, is_new: bool = True) -> str | None:
        """Why a user can't come in, whatever they bring; None when they can."""
        if row is None:
            return "there is no such user"
        if row.is_disabled:
            return "the user is disabled"
        if is_new and row.locked_until is not None and self._now() < row.locked_until:
            return "the user is locked out for a while"
        if not is_welcome(rules, self._principal(row, rules, door, address, claims)):
            return "the address isn't on the list"
        return None

    def _why_not_token(self, kept: Any) -> str | None:
        if kept.revoked_at is not None:
            return f"the token {kept.id} is revoked"
        if kept.expires_at is not None and self._now() >= kept.expires_at:
            return f"the token {kept.id} has ended"
        return None

    def _come_with_token(self, kept: Any, door: Door, address: str | None) -> Principal:
        row, rules = self._row(kept.user_name), self.policies()
        why = self._why_not_token(kept)
        if why is None and (row is None or row.is_disabled):
            why = "the user is disabled"
        if why is None and not is_welcome(rules, self._principal(row, rules, door, address)):
            why = "the address isn't on the list"
        if why is not None:
            raise self._refusal(row, door, address, why)
        scope = None if kept.scope is None else frozenset(kept.scope)
        principal = self._principal(row, rules, door, address, scope=scope, token=kept.id, until=kept.expires_at)
        now = self._now()
        self._note("login", row.name, door, address)
        if kept.last_used_at is None or now - kept.last_used_at >= _SEEN_EVERY:
            used = sa.update(t.tokens).where(t.tokens.c.id == kept.id).values(last_used_at=now)
            self._state.write(lambda connection: connection.execute(used))
        return principal

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

    def _let_in(self, principal: Principal, row: Any) -> None:
        """The audit first; then what the user's row remembers."""
        self._note("login", row.name, principal.door, principal.address, groups=principal.groups)
        now = self._now()
        if row.failed_attempts or row.locked_until is not None or row.last_login_at is None or now - row.last_login_at >= _SEEN_EVERY:
            self._update(row.name, {"failed_attempts": 0, "locked_until": None, "last_login_at": now})

    def _refusal(self, row: Any, door: Door, address: str | None, why: str, *, what: str = "login") -> AuthenticationFailed:
        """The error for people, once the audit has the reason."""
        self._note(what, UNKNOWN if row is None else row.name, door, address, why)
        if what == "session":
            return AuthenticationFailed("this session has ended", hint="log in again")
        return AuthenticationFailed(
            "the login failed",
            hint="check name and password or token; after several failures, and from some addresses, no login is taken for a while",
        )

    def _note(self, what: str, name: str, door: Door, address: str | None, why: str = "", groups: Iterable[str] = ()) -> None:
        if self._audit is None:
            return
        self._audit.append(
            Audited(
                at=self._now(),
                query_id=new_query_id(),
                principal=name,
                groups=tuple(sorted(groups)),
                door=door,
                address=address,
                action=what,
                decision="refused" if why else "allowed",
                error=why,
                policy_version=self._policies.version,
            )
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
        return bytes.fromhex(self._state.write(work, turn=_ADDING))

    def _password_hash(self, row: Any) -> str:
        return self._seals.open(f"password {row.name_key}", str(row.password_hash))

    def _salt(self, name: str) -> bytes:
        return scram.salt_of(name.lower(), self._salt_key())


def _refuse_bad_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} can't be a user's name", expected="up to 128 letters, digits and . _ - @ +, the first a letter, digit or _")
    if name.lower() in _RESERVED:
        raise UsageError(f"{name!r} can't be a user's name", found="it means something else here", hint="choose another")


def _user_info(row: Any, tokens: int, now: datetime) -> UserInfo:
    password: Literal["none", "own", "generated"] = (
        "none" if row.password_hash is None else "generated" if row.password_is_generated else "own"
    )  # fmt: skip
    return UserInfo(
        name=row.name,
        kind=row.kind,
        is_admin=row.is_admin,
        groups=tuple(row.groups),
        password=password,
        password_changed_at=row.password_changed_at,
        must_rotate=row.must_rotate,
        is_disabled=row.is_disabled,
        locked_until=row.locked_until if row.locked_until is not None and row.locked_until > now else None,
        oidc_subject=row.oidc_subject,
        created_at=row.created_at,
        last_login_at=row.last_login_at,
        tokens=tokens,
    )


def _token_info(row: Any) -> TokenInfo:
    scope = None if row.scope is None else tuple(row.scope)
    return TokenInfo(row.id, row.user_name, scope, row.created_at, row.expires_at, row.last_used_at, row.revoked_at)
