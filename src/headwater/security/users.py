"""Letting people and service accounts in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa

from headwater.errors import AuthenticationFailed, PasswordExpired, PasswordRefused
from headwater.security import scram
from headwater.security.accounts import ADDING, RESERVED_NAMES, USER_NAME, Accounts
from headwater.security.audited import Audited, new_query_id
from headwater.security.network import is_welcome
from headwater.security.oidc import Identity
from headwater.security.principals import UNKNOWN, Principal
from headwater.security.requests import effective_policies
from headwater.security.tokens import PREFIX, is_token, token_id
from headwater.spec.policies import Door, Policies
from headwater.state import tables as t

#: How often it is written down that somebody came, or a token was used.
_SEEN_EVERY: Final = timedelta(minutes=1)


class Users(Accounts):
    """The users of a state store under some policies. Thread-safe, and safe beside other processes.

    `policies` are those of the files; what was approved for a time is united with them whenever somebody comes in. With `audit`, each login is
    written there before it succeeds or fails.
    """

    def change_password(self, name: str, old: str, new: str, *, door: Door, address: str | None = None) -> None:
        """A person's own change, with the password they have, expired or not. Raises AuthenticationFailed, PasswordRefused."""
        row = self._authenticate(name, old, self.policies(), door, address, may_be_expired=True)
        if self._passwords.verify(self._password_hash(row), new):
            raise PasswordRefused("this password can't be used: it is the one you have", state="the password is as it was")
        self._update(row.name, self._password_columns(row.name, new, None))
        self._note("password", row.name, door, address)

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
        if not may_be_expired:
            self._refuse_expired(row, door, address)
        return row

    def _refuse_expired(self, row: Any, door: Door, address: str | None) -> None:
        """For a password that is right. Raises PasswordExpired."""
        is_old = not row.password_is_generated and row.kind == "user" and self._passwords.is_expired(row.password_changed_at, self._now())
        if row.must_rotate or is_old:
            self._note("login", row.name, door, address, "the password must be changed")
            hint = f"headwater user passwd {row.name}: with the old one and {row.name}'s token in HEADWATER_TOKEN, or by an administrator"
            raise PasswordExpired(f"the password of {row.name} must be changed first", hint=hint)

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
        """Who has proven by SCRAM to know what `credential` stands for: see `ScramExchange.credential`.

        Raises AuthenticationFailed, and PasswordExpired where the password is right.
        """
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
        self._refuse_expired(row, door, address)
        principal = self._principal(row, rules, door, address)
        self._let_in(principal, row)
        return principal

    def scram_failed(self, name: str, *, door: Door, address: str | None = None) -> None:
        """Writes down that a proof was wrong. What SCRAM proves can't be guessed, so nobody is locked out by it."""
        row = self._row(name)
        self._note("login", UNKNOWN if row is None else row.name, door, address, "the proof is wrong")

    def scram_verifier(self, name: str, *, may_ask: bool = True) -> scram.ScramSecret | None:
        """What to check a user's proofs with: their tokens and a generated password; None where a password a person chose must be asked for.

        A name that nobody has gets one or the other too, always the same, so that the answer tells nothing of who there is. Where nothing may be
        asked for in clear (`may_ask` False) it is never None: then people with a password of their own come by their tokens alone.
        """
        key = self._salt_key()
        row = self._row(name)
        if row is None:
            asks_password = may_ask and scram.salt_of(f"which {name.lower()}", key)[0] % 2 == 0
            return None if asks_password else scram.unprovable(name.lower(), key)
        if may_ask and row.password_hash is not None and not row.password_is_generated:
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
        if not USER_NAME.fullmatch(identity.name) or identity.name.lower() in RESERVED_NAMES:
            raise self._refusal(None, door, address, "the provider's name for the user can't be one here")
        if name is not None and name.lower() != identity.name.lower():
            raise self._refusal(None, door, address, "the provider's token is another user's")
        row, rules = self._bound_row(identity), self.policies()
        is_mine = row.oidc_subject == identity.subject
        why = self._why_not(row, rules, door, address, identity.groups) if is_mine else "the name is somebody else's here"
        if why is not None:
            raise self._refusal(row, door, address, why)
        principal = self._principal(row, rules, door, address, identity.groups, until=identity.expires_at)
        self._let_in(principal, row, identity.groups)
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
        return known if known is not None and known.oidc_subject is not None else self._state.write(work, turn=ADDING)

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
        row, kept, approved = self._known_of(principal)
        now = self._now()
        rules = effective_policies(self._policies, approved, now)
        claims = [membership.group for membership in principal.memberships if membership.origin == "oidc"]
        why = self._why_not(row, rules, principal.door, principal.address, claims, is_new=False)
        if why is None and principal.until is not None and now >= principal.until:
            why = "the token has ended"
        if why is None and principal.token is not None:
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
            came = sa.update(t.users).where(t.users.c.name == row.name).values(last_login_at=now)
            self._state.write(lambda connection: (connection.execute(used), connection.execute(came)))
        return principal

    def _let_in(self, principal: Principal, row: Any, claims: Sequence[str] | None = None) -> None:
        """The audit first; then what the user's row remembers. `claims` are the groups that a provider named."""
        self._note("login", row.name, principal.door, principal.address, groups=principal.groups)
        now = self._now()
        is_new = row.failed_attempts or row.locked_until is not None or row.last_login_at is None or now - row.last_login_at >= _SEEN_EVERY
        claimed = {} if claims is None else {"claimed_groups": list(claims), "claimed_at": now}
        if is_new or (claims is not None and row.claimed_groups != list(claims)):
            self._update(row.name, {"failed_attempts": 0, "locked_until": None, "last_login_at": now, **claimed})

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
