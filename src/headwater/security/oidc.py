"""OpenID Connect: who a provider's token says somebody is. Any provider that publishes its keys.

A token is taken only when all of it holds: signed by a key that the provider publishes now, by an algorithm on the list (never `none`, never one
with a shared key), by the issuer we know, for us, not over, and with the nonce that was sent where one was.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from headwater.errors import AuthenticationFailed, MissingDependency, ProviderUnavailable, UsageError
from headwater.spec.project import OidcConfig

if TYPE_CHECKING:
    from joserfc.jwk import Key

_TIMEOUT_SECONDS: Final = 10.0
_MAX_BYTES: Final = 1 << 20
_MAX_TOKEN: Final = 16_384
#: Keys are asked for again after this, unless the provider says otherwise within the bounds.
_KEYS_SECONDS: Final = 3600.0
_KEYS_BOUNDS: Final = (300.0, 86_400.0)
#: A key that isn't known makes us ask again, but not more often than this: anybody can send an unknown one.
_ASK_AGAIN_SECONDS: Final = 30.0
#: How long keys are used on while the provider doesn't answer.
_KEYS_STALE_SECONDS: Final = 86_400.0
_KEY_TYPES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a token is about. `subject` is unlike any other, of whatever provider; `groups` are those here that the provider's mean."""

    subject: str
    name: str
    groups: tuple[str, ...]
    expires_at: datetime


class OidcProviders:
    """The providers of a project. Thread-safe. References in `configs` are resolved."""

    def __init__(self, configs: Mapping[str, OidcConfig], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._providers = {config.issuer: OidcProvider(name, config, monotonic=monotonic) for name, config in configs.items()}

    def verify(self, token: str, *, nonce: str | None = None, now: datetime | None = None) -> Identity:
        """Who the token is about. Raises AuthenticationFailed (with the reason in `found`, for the audit) and ProviderUnavailable."""
        if len(token) > _MAX_TOKEN:
            raise _refused("the token is too long")
        provider = self._providers.get(str(_part(token, 1).get("iss")))
        if provider is None:
            raise _refused("no provider of that name is set up")
        return provider.verify(token, nonce=nonce, now=now)


class OidcProvider:
    """One provider: its keys, fetched when first needed and again as they change."""

    def __init__(self, name: str, config: OidcConfig, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._config = config
        self._monotonic = monotonic
        self._refuse_plain(config.issuer)
        self._keys: dict[str | None, list[dict[str, Any]]] = {}
        self._asked_at: float | None = None
        self._read_at: float | None = None
        self._fresh_seconds = _KEYS_SECONDS
        self._lock = threading.Lock()

    def verify(self, token: str, *, nonce: str | None = None, now: datetime | None = None) -> Identity:
        """See `OidcProviders.verify`."""
        try:
            from joserfc import jwt
            from joserfc.errors import JoseError
        except ModuleNotFoundError as error:
            raise MissingDependency("OpenID Connect needs joserfc", found="it isn't installed", hint="pip install 'headwater[serve]'") from error
        header = _part(token, 0)
        algorithm = header.get("alg")
        if algorithm not in self._config.algorithms:
            raise _refused("the token is signed in a way that isn't allowed")
        key = self._key_for(header.get("kid"), str(algorithm))
        try:
            claims = jwt.decode(token, key, algorithms=list(self._config.algorithms)).claims
        except (JoseError, ValueError, TypeError) as error:
            raise _refused(f"the token's signature doesn't hold ({type(error).__name__})") from error
        return self._identity(claims, nonce, now if now is not None else datetime.now(UTC))

    # -- claims ------------------------------------------------------------------------------------------------------

    def _identity(self, claims: Mapping[str, Any], nonce: str | None, now: datetime) -> Identity:
        config, leeway = self._config, self._config.leeway.total_seconds()
        if claims.get("iss") != config.issuer:
            raise _refused("the token is another issuer's")
        audience = _texts(claims.get("aud"))
        if not set(audience) & set(config.audience):
            raise _refused("the token is meant for somebody else")
        party = claims.get("azp")
        if (len(audience) > 1 and "azp" in claims and party not in config.audience) or (party is not None and not isinstance(party, str)):
            raise _refused("the token was given to somebody else")
        instant = now.timestamp()
        expires = _instant(claims.get("exp"))
        if expires is None or instant >= expires + leeway:
            raise _refused("the token is over, or says no end")
        for name in ("nbf", "iat"):
            begins = _instant(claims.get(name))
            if (name in claims and begins is None) or (begins is not None and instant < begins - leeway):
                raise _refused("the token isn't valid yet")
        if nonce is not None and claims.get("nonce") != nonce:
            raise _refused("the token answers another login")
        subject, user = claims.get("sub"), claims.get(config.name_claim)
        if not isinstance(subject, str) or not subject or not isinstance(user, str) or not user:
            raise _refused(f"the token doesn't say who it is about: the claims sub and {config.name_claim} are needed")
        if config.name_claim == "email" and claims.get("email_verified") is not True:
            raise _refused("the provider hasn't verified the address")
        try:
            end = datetime.fromtimestamp(expires, UTC)
        except (ValueError, OverflowError, OSError):
            raise _refused("the token is over, or says no end") from None
        return Identity(f"{config.issuer}#{subject}", user, self._groups(_at(claims, config.groups_claim)), end)

    def _groups(self, claimed: object) -> tuple[str, ...]:
        names = _texts(claimed)
        if not self._config.groups:
            return tuple(dict.fromkeys(names))
        return tuple(dict.fromkeys(group for name in names for group in self._config.groups.get(name, ())))

    # -- keys --------------------------------------------------------------------------------------------------------

    def _key_for(self, kid: object, algorithm: str) -> Key:
        """The one key the token says it is signed with; without saying it, the only one that fits the algorithm."""
        from joserfc.jwk import JWKRegistry

        if kid is not None and not isinstance(kid, str):
            raise _refused("the token names no key of the provider's")
        with self._lock:
            fitting = self._fitting(kid, algorithm)
            if not self._is_fresh() or (not fitting and self._may_ask_again()):
                self._ask()
                fitting = self._fitting(kid, algorithm)
        if len(fitting) != 1:
            raise _refused("the token names no key of the provider's")
        try:
            return JWKRegistry.import_key(fitting[0])
        except Exception as error:  # what a provider publishes may be anything
            raise _refused(f"the provider's key can't be used ({type(error).__name__})") from error

    def _fitting(self, kid: str | None, algorithm: str) -> list[dict[str, Any]]:
        candidates = self._keys.get(kid, []) if kid is not None else [key for keys in self._keys.values() for key in keys]
        kind = _KEY_TYPES[algorithm[:2]]
        return [key for key in candidates if key["kty"] == kind and key.get("alg", algorithm) == algorithm]

    def _is_fresh(self) -> bool:
        now = self._monotonic()
        if self._read_at is None:
            return False
        if now - self._read_at < self._fresh_seconds:
            return True
        return not self._may_ask_again() and now - self._read_at < _KEYS_STALE_SECONDS

    def _may_ask_again(self) -> bool:
        return self._asked_at is None or self._monotonic() - self._asked_at >= _ASK_AGAIN_SECONDS

    def _ask(self) -> None:
        """Reads the provider's keys anew. While it doesn't answer, those known are used on for a day."""
        self._asked_at = self._monotonic()
        try:
            document, _ = self._get(self._config.issuer.rstrip("/") + "/.well-known/openid-configuration")
            if document.get("issuer") != self._config.issuer:
                raise self._unavailable("its configuration is another issuer's")
            address = document.get("jwks_uri")
            if not isinstance(address, str):
                raise self._unavailable("its configuration doesn't say where its keys are")
            self._refuse_plain(address)
            keys, seconds = self._get(address)
            found: dict[str | None, list[dict[str, Any]]] = {}
            for key in keys.get("keys") or ():
                if isinstance(key, dict) and key.get("kty") in _KEY_TYPES.values() and key.get("use", "sig") == "sig":
                    kid = key.get("kid")
                    public = {name: value for name, value in key.items() if name not in ("d", "p", "q", "dp", "dq", "qi", "k")}
                    found.setdefault(kid if isinstance(kid, str) else None, []).append(public)
        except (ProviderUnavailable, TypeError, AttributeError) as error:
            if self._read_at is not None and self._monotonic() - self._read_at < _KEYS_STALE_SECONDS:
                return
            raise error if isinstance(error, ProviderUnavailable) else self._unavailable("its keys can't be read") from error
        self._keys, self._read_at, self._fresh_seconds = found, self._monotonic(), seconds

    def _get(self, address: str) -> tuple[dict[str, Any], float]:
        """A JSON object, and for how many seconds it may be kept."""
        request = urllib.request.Request(address, headers={"Accept": "application/json", "User-Agent": "headwater"})
        try:
            with urllib.request.build_opener(_NoRedirects).open(request, timeout=_TIMEOUT_SECONDS) as answer:
                body = answer.read(_MAX_BYTES + 1)
                seconds = _max_age(answer.headers.get("Cache-Control", ""))
        except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
            reason = type(error).__name__
            if isinstance(error, urllib.error.HTTPError):
                reason = f"HTTP {error.code}"
                error.close()
            raise self._unavailable(reason) from error
        try:
            value = json.loads(body) if len(body) <= _MAX_BYTES else None
        except (ValueError, RecursionError) as error:
            raise self._unavailable("what it answered isn't JSON") from error
        if not isinstance(value, dict):
            raise self._unavailable("what it answered isn't an object, or is too large")
        return value, seconds

    def _unavailable(self, found: str) -> ProviderUnavailable:
        return ProviderUnavailable(
            f"the identity provider {self._name} can't be asked for its keys",
            expected=f"{self._config.issuer.rstrip('/')}/.well-known/openid-configuration",
            found=found,
            hint=f"check security.oidc.{self._name}.issuer in headwater.yaml, and that the provider answers",
        )

    def _refuse_plain(self, address: str) -> None:
        """Keys that came over plain HTTP could be anybody's; on this very machine it may be."""
        parts = urlsplit(address)
        if parts.scheme == "https" and parts.hostname:
            return
        if parts.scheme == "http" and _is_loopback(parts.hostname or ""):
            return
        raise UsageError(
            f"the identity provider {self._name} isn't reached by https", expected="https://..", hint=f"security.oidc.{self._name}.issuer"
        )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _max_age(header: str) -> float:
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name.lower() == "max-age" and value.isdigit():
            return min(max(float(value), _KEYS_BOUNDS[0]), _KEYS_BOUNDS[1])
    return _KEYS_SECONDS


def _part(token: str, index: int) -> dict[str, Any]:
    """The header (0) or the claims (1) of a token, before anything is known of whether they are true."""
    parts = token.split(".")
    if len(parts) != 3:
        raise _refused("it isn't a signed token")
    try:
        value = json.loads(base64.b64decode(parts[index] + "=" * (-len(parts[index]) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _refused("the token can't be read") from None
    if not isinstance(value, dict):
        raise _refused("the token can't be read")
    return value


def _at(claims: Mapping[str, Any], path: str) -> object:
    """A claim by its name, or by a path such as `realm_access.roles`."""
    if path in claims:
        return claims[path]
    value: object = claims
    for part in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def _texts(value: object) -> Sequence[str]:
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, Iterable) and not isinstance(value, Mapping) else []


def _instant(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _refused(why: str) -> AuthenticationFailed:
    return AuthenticationFailed("the login failed", found=why)
