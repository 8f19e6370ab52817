"""Who is at the door: what stands in an Authorization header becomes a principal.

Passwords are hashed slowly, so what they opened is remembered a while.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import secrets
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

from headwater.errors import AuthenticationFailed, PasswordInClear, UsageError
from headwater.security.principals import Principal
from headwater.serving.session import Service
from headwater.spec.policies import Door

#: How long a password that was right is taken again without hashing it anew, in seconds.
REMEMBERED: Final = 60.0
#: How long a session's token is good, in seconds since it was last used, and since it was given.
SESSION_IDLE: Final = 3600.0
SESSION_MOST: Final = 12 * 3600.0
#: How long credentials of a handshake wait for the first call, in seconds.
PENDING: Final = 60.0
#: What of each kind may be kept at once.
MOST_KEPT: Final = 10_000
#: Characters of an Authorization header and of a purpose.
MOST_CREDENTIALS: Final = 8192
MOST_PURPOSE: Final = 256


@dataclass(frozen=True, slots=True)
class Basic:
    """A name and a password."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Basic({self.user!r}, ..)"


@dataclass(slots=True)
class _Kept:
    """Who came in, from where."""

    ends: float
    last: float
    principal: Principal
    address: str | None = None


@dataclass(frozen=True, slots=True)
class _Pending:
    """A handshake whose first call hasn't come yet: nobody has looked at its credentials."""

    ends: float
    credentials: Basic


def parse_authorization(header: str | None) -> Basic | str:
    """A token, or a name with a password. Raises AuthenticationFailed."""
    if header is None:
        raise AuthenticationFailed("who is asking isn't said", expected="Authorization: Bearer TOKEN")
    scheme, _, rest = header.strip().partition(" ")
    rest = rest.strip()
    if len(header) > MOST_CREDENTIALS or not rest or scheme.lower() not in ("bearer", "basic"):
        raise AuthenticationFailed("the authorization can't be read", expected="Authorization: Bearer TOKEN")
    if scheme.lower() == "bearer":
        return rest
    try:
        # drivers written in Go leave the padding out
        user, colon, password = base64.b64decode(rest.rstrip("=") + "=" * (-len(rest.rstrip("=")) % 4), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        user, colon, password = "", "", ""
    if not user or not colon or "\x00" in user + password:
        raise AuthenticationFailed("the authorization can't be read", expected="Basic with base64 of name:password")
    return Basic(user, password)


def is_loopback(address: str | None) -> bool:
    """Whether the address is this machine itself."""
    try:
        found = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


class Logins:
    """The logins of one door. Thread-safe. Tokens and passwords are kept as keyed hashes, but for a handshake's until its first call."""

    def __init__(self, service: Service, door: Door) -> None:
        self._service = service
        self._door = door
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._sessions: dict[bytes, _Kept] = {}
        # apart, so that handshakes, which anybody may make, crowd out nobody who came in
        self._pending: dict[bytes, _Pending] = {}
        self._remembered: dict[bytes, _Kept] = {}

    def principal(self, header: str | None, address: str | None, purpose: str | None = None, *, is_private: bool = True) -> Principal:
        """The principal of one call. Raises what the service raises, or AuthenticationFailed; PasswordInClear where passwords aren't taken:
        when the connection isn't `is_private` (TLS, or from this machine)."""
        given = parse_authorization(header)
        found = self._by_password(given, address, is_private) if isinstance(given, Basic) else self._by_token(given, address, is_private)
        if purpose is None:
            return found
        return replace(found, purpose=checked_purpose(purpose))

    def open_session(self, given: Basic) -> str:
        """A token that stands for these credentials, which the first call with it checks: only then is it known where the client calls from."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._pending) >= MOST_KEPT:
                del self._pending[next(iter(self._pending))]
            self._pending[self._hash(token)] = _Pending(time.monotonic() + PENDING, given)
        return token

    def close_session(self, header: str | None) -> bool:
        """Forgets a session's token; False when there is none."""
        given = parse_authorization(header)
        if not isinstance(given, str):
            return False
        key = self._hash(given)
        with self._lock:
            return self._sessions.pop(key, None) is not None or self._pending.pop(key, None) is not None

    def tidy(self) -> None:
        """Forgets what has ended."""
        now = time.monotonic()
        with self._lock:
            for kept in (self._sessions, self._remembered):
                for key in [key for key, one in kept.items() if _has_ended(one, now)]:
                    del kept[key]
            for key in [key for key, one in self._pending.items() if now > one.ends]:
                del self._pending[key]

    def _by_password(self, given: Basic, address: str | None, is_private: bool) -> Principal:
        if not is_private:
            raise PasswordInClear("a password is taken over TLS only", hint="connect with TLS, or use a token")
        key = self._hash(f"{address}\x00{given.user}\x00{given.password}")
        now = time.monotonic()
        with self._lock:
            kept = self._remembered.get(key)
            if kept is not None and not _has_ended(kept, now):
                return kept.principal
        found = self._service.login_password(given.user, given.password, door=self._door, address=address)
        with self._lock:
            _make_room(self._remembered)
            self._remembered[key] = _Kept(now + REMEMBERED, now, found)
        return found

    def _by_token(self, token: str, address: str | None, is_private: bool) -> Principal:
        key = self._hash(token)
        now = time.monotonic()
        with self._lock:
            kept = self._sessions.get(key)
            if kept is not None and _has_ended(kept, now):
                del self._sessions[key]
                kept = None
            if kept is not None:
                kept.last = now
            pending = self._pending.get(key) if kept is None else None
        if pending is not None and now <= pending.ends:
            kept = self._begun(key, pending, address, is_private)
        if kept is None:
            return self._service.login_token(token, door=self._door, address=address)
        if kept.address != address:
            raise AuthenticationFailed("the session was begun at another address", hint="log in again")
        return kept.principal

    def _begun(self, key: bytes, pending: _Pending, address: str | None, is_private: bool) -> _Kept:
        """The session of a handshake, at its first call. Calls that come at once are all let in."""
        made: _Kept | None = None
        try:
            found = self._by_password(pending.credentials, address, is_private)
            now = time.monotonic()
            made = _Kept(now + SESSION_MOST, now, found, address)
            return made
        finally:
            with self._lock:
                self._pending.pop(key, None)
                if made is not None:
                    _make_room(self._sessions)
                    self._sessions[key] = made

    def _hash(self, text: str) -> bytes:
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


def checked_purpose(purpose: str) -> str:
    """Raises UsageError for what can't be one."""
    text = purpose.strip()
    if not text or len(text) > MOST_PURPOSE or not text.isprintable():
        raise UsageError("that can't be a purpose", expected=f"a word of policies/*.yaml, up to {MOST_PURPOSE} characters")
    return text


def _has_ended(kept: _Kept, now: float) -> bool:
    return now > kept.ends or now > kept.last + SESSION_IDLE


def _make_room(kept: dict[bytes, _Kept]) -> None:
    """Whoever keeps most gives the oldest of theirs."""
    while len(kept) >= MOST_KEPT:
        most = Counter(one.principal.name for one in kept.values()).most_common(1)[0][0]
        del kept[next(key for key, one in kept.items() if one.principal.name == most)]
