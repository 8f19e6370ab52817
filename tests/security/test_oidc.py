"""OpenID Connect against a provider that answers on this machine, with real keys; and against those who forge its tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from people import GOOD, Clock, policies, users

from headwater.errors import AuthenticationFailed, ProviderUnavailable, UsageError
from headwater.security.audit import AuditLog
from headwater.security.oidc import OidcProviders
from headwater.security.principals import Membership
from headwater.spec.project import OidcConfig
from headwater.state import StateStore

RSA, RSA2, EC, ED = RSAKey.generate_key(2048), RSAKey.generate_key(2048), ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EPOCH = int(NOW.timestamp())


class Provider:
    """A provider of identities: its configuration and keys by HTTP, each answer changeable."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {"rsa": RSA, "ec": EC}
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, bytes, dict[str, str]]] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                status, body, headers = provider.answers.get(self.path) or (200, provider.body(self.path), {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}/realm"

    def body(self, path: str) -> bytes:
        if path.endswith("openid-configuration"):
            return json.dumps({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}).encode()
        keys = [{**key.as_dict(private=False), "kid": kid, "use": "sig"} for kid, key in self.keys.items()]
        return json.dumps({"keys": keys}).encode()

    def token(self, *, key: Any = RSA, alg: str = "RS256", kid: str | None = "rsa", drop: tuple[str, ...] = (), **claims: Any) -> str:
        whole = {"iss": self.issuer, "aud": "headwater", "sub": "77", "email": "ada@example.com", "email_verified": True, "groups": ["eng"]}
        whole |= {"exp": EPOCH + 600, "iat": EPOCH, **claims}
        header = {"alg": alg} if kid is None else {"alg": alg, "kid": kid}
        return jwt.encode(header, {name: value for name, value in whole.items() if name not in drop}, key, algorithms=[alg])


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join(5)


class Monotonic:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def providers(provider: Provider, monotonic: Monotonic | None = None, **settings: Any) -> OidcProviders:
    config = OidcConfig.model_validate({"issuer": provider.issuer, "audience": "headwater", **settings})
    return OidcProviders({"company": config}, monotonic=monotonic or Monotonic())


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode()]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*parts, signature))


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))  # type: ignore[no-any-return]


def test_a_token_of_the_provider_says_who_it_is(provider: Provider) -> None:
    some = providers(provider, groups={"eng": ["engineers", "readers"], "other": "x"}, algorithms=["RS256", "ES256"])
    for token in (provider.token(), provider.token(key=EC, alg="ES256", kid="ec"), provider.token(aud=["x", "headwater"], azp="headwater")):
        identity = some.verify(token, now=NOW)
        assert (identity.subject, identity.name) == (f"{provider.issuer}#77", "ada@example.com")
        assert identity.groups == ("engineers", "readers")
        assert identity.expires_at.timestamp() == EPOCH + 600
    assert len(provider.asked) == 2, "the keys are kept"


def test_groups_may_lie_deep_and_are_taken_as_they_are_without_a_map(provider: Provider) -> None:
    token = provider.token(realm_access={"roles": ["a", "b", 7, None]}, preferred_username="ada")
    some = providers(provider, groups_claim="realm_access.roles", name_claim="preferred_username")
    identity = some.verify(token, now=NOW)
    assert (identity.name, identity.groups) == ("ada", ("a", "b"))
    assert providers(provider, groups_claim="nothing.here").verify(token, now=NOW).groups == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": EPOCH - 31},
        {"exp": "soon"},
        {"exp": None},
        {"exp": True},
        {"exp": 1e300},
        {"drop": ("exp",)},
        {"nbf": EPOCH + 31},
        {"nbf": "x"},
        {"iat": EPOCH + 31},
        {"aud": "another"},
        {"aud": []},
        {"aud": {"headwater": 1}},
        {"drop": ("aud",)},
        {"aud": ["headwater", "other"], "azp": "other"},
        {"azp": 7},
        {"drop": ("sub",)},
        {"sub": ""},
        {"sub": 7},
        {"drop": ("email",)},
        {"email_verified": False},
        {"email_verified": "true"},
        {"drop": ("email_verified",)},
        {"iss": "http://127.0.0.1:1/realm"},
        {"drop": ("iss",)},
        {"kid": "another"},
        {"key": RSA2},
        {"key": EC, "alg": "ES256", "kid": "rsa"},
        {"key": RSA, "alg": "RS384"},
        {"key": RSA, "alg": "PS256"},
    ],
    ids=lambda changes: ",".join(f"{name}={type(value).__name__ if name == 'key' else value}" for name, value in changes.items()),
)
def test_a_token_that_does_not_hold_in_one_respect_is_refused(provider: Provider, changes: dict[str, Any]) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        providers(provider).verify(provider.token(**changes), now=NOW)
    assert caught.value.what == "the login failed"


def test_forged_signatures_are_refused(provider: Provider) -> None:
    some, good = providers(provider), provider.token()
    claims = claims_of(good)
    header, body, signature = good.split(".")
    public = RSA.as_pem(private=False)
    by_public_key = unsigned({"alg": "HS256", "kid": "rsa"}, claims)
    signed = by_public_key.rpartition(".")[0]
    forged = [
        unsigned({"alg": "none"}, claims),
        unsigned({"alg": "None", "kid": "rsa"}, claims),
        unsigned({"alg": "none", "kid": "rsa"}, claims, b"x"),
        unsigned({"kid": "rsa"}, claims),
        unsigned({"alg": ["RS256"], "kid": "rsa"}, claims),
        unsigned({"alg": "RS256", "kid": ["rsa"]}, claims),
        unsigned({"alg": "RS256", "kid": "rsa"}, claims),
        f"{signed}.{base64.urlsafe_b64encode(hmac.digest(public, signed.encode(), hashlib.sha256)).rstrip(b'=').decode()}",
        unsigned({"alg": "RS256", "jwk": RSA2.as_dict(private=False)}, claims),
        unsigned({"alg": "RS256", "kid": "rsa", "jku": f"{provider.issuer}/mine", "crit": ["b64"], "b64": False}, claims),
        f"{header}.{unsigned({}, {**claims, 'email': 'root@example.com'}).split('.')[1]}.{signature}",
        f"{header}.{body}.",
        f"{header}.{body}.{signature[:-4]}AAAA",
        f"{header}.{body}",
        f"{header}.{body}.{signature}.x",
        "a.b.c",
        "..",
        "",
        "ø.ø.ø",
        f"{'[' * 4000}.x.x",
        "x" * 20_000,
    ]
    for token in forged:
        with pytest.raises(AuthenticationFailed):
            some.verify(token, now=NOW)
    assert some.verify(good, now=NOW)
    assert all("mine" not in path for path in provider.asked), "no address in a token is ever asked"


def test_a_key_that_is_none_for_signing_or_kept_secret_is_never_used(provider: Provider) -> None:
    secret = b"0123456789abcdef0123456789abcdef"
    oct_key = {"kty": "oct", "kid": "shared", "k": base64.urlsafe_b64encode(secret).rstrip(b"=").decode()}
    encryption = {**RSA.as_dict(private=False), "kid": "enc", "use": "enc"}
    provider.answers["/realm/keys"] = (200, json.dumps({"keys": [oct_key, encryption, "rubbish", {"kty": 7}]}).encode(), {})
    some = providers(provider)
    for token in (provider.token(kid="enc"), provider.token(kid=None)):
        with pytest.raises(AuthenticationFailed):
            some.verify(token, now=NOW)


def test_algorithms_with_a_shared_key_or_none_cannot_even_be_set() -> None:
    for wrong in ("none", "HS256", "RS1"):
        with pytest.raises(ValueError, match="algorithms"):
            OidcConfig.model_validate({"issuer": "https://x", "audience": "a", "algorithms": [wrong]})


def test_the_nonce_must_be_the_one_that_was_sent(provider: Provider) -> None:
    some = providers(provider)
    assert some.verify(provider.token(nonce="n1"), nonce="n1", now=NOW)
    assert some.verify(provider.token(nonce="n1"), now=NOW)
    for token in (provider.token(nonce="n2"), provider.token()):
        with pytest.raises(AuthenticationFailed):
            some.verify(token, nonce="n1", now=NOW)


def test_clocks_may_differ_a_little(provider: Provider) -> None:
    assert providers(provider).verify(provider.token(exp=EPOCH - 29, nbf=EPOCH + 29, iat=EPOCH + 29), now=NOW)
    with pytest.raises(AuthenticationFailed):
        providers(provider, leeway="0 s").verify(provider.token(exp=EPOCH), now=NOW)


def test_without_a_kid_the_only_fitting_key_is_used_and_none_of_several(provider: Provider) -> None:
    assert providers(provider).verify(provider.token(kid=None), now=NOW)
    provider.keys["second"] = RSA2
    with pytest.raises(AuthenticationFailed):
        providers(provider).verify(provider.token(kid=None), now=NOW)


def test_a_new_key_is_asked_for_and_a_withdrawn_one_forgotten_in_time(provider: Provider) -> None:
    clock = Monotonic()
    some = providers(provider, clock)
    assert some.verify(provider.token(), now=NOW)
    provider.keys = {"new": RSA2}
    with pytest.raises(AuthenticationFailed):
        some.verify(provider.token(key=RSA2, kid="new"), now=NOW)
    assert len(provider.asked) == 2, "unknown keys can't make us ask again and again"
    clock.now += 31
    assert some.verify(provider.token(key=RSA2, kid="new"), now=NOW)
    with pytest.raises(AuthenticationFailed):
        some.verify(provider.token(), now=NOW)
    provider.keys = {"newest": EC}
    clock.now += 3601
    with pytest.raises(AuthenticationFailed):
        some.verify(provider.token(key=RSA2, kid="new"), now=NOW)
    assert len(provider.asked) == 6


def test_the_provider_may_say_how_long_its_keys_hold_within_bounds(provider: Provider) -> None:
    clock = Monotonic()
    provider.answers["/realm/keys"] = (200, provider.body("/realm/keys"), {"Cache-Control": "public, max-age=5"})
    some = providers(provider, clock)
    for seconds, asked in ((0, 2), (299, 2), (2, 4)):
        clock.now += seconds
        assert some.verify(provider.token(), now=NOW)
        assert len(provider.asked) == asked


def test_while_the_provider_does_not_answer_known_keys_are_used_for_a_day(provider: Provider) -> None:
    clock = Monotonic()
    some = providers(provider, clock)
    assert some.verify(provider.token(), now=NOW)
    provider.answers["/realm/.well-known/openid-configuration"] = (503, b"", {})
    clock.now += 4000
    assert some.verify(provider.token(), now=NOW)
    assert some.verify(provider.token(), now=NOW)
    assert len(provider.asked) == 3
    clock.now += 86_400
    with pytest.raises(ProviderUnavailable, match="can't be asked"):
        some.verify(provider.token(), now=NOW)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/realm/.well-known/openid-configuration", (404, b"{}", {})),
        ("/realm/.well-known/openid-configuration", (200, b"not json", {})),
        ("/realm/.well-known/openid-configuration", (200, b"[]", {})),
        ("/realm/.well-known/openid-configuration", (200, b"{}", {})),
        ("/realm/.well-known/openid-configuration", (200, b'{"issuer": "https://another"}', {})),
        ("/realm/.well-known/openid-configuration", (302, b"", {"Location": "http://127.0.0.1:1/"})),
        ("/realm/.well-known/openid-configuration", (200, b" " * (1 << 21), {})),
        ("/realm/keys", (500, b"", {})),
        ("/realm/keys", (200, b'{"keys": 7}', {})),
    ],
)
def test_a_provider_that_answers_rubbish_is_told_as_unavailable(provider: Provider, path: str, answer: tuple[int, bytes, dict[str, str]]) -> None:
    provider.answers[path] = answer
    with pytest.raises(ProviderUnavailable) as caught:
        providers(provider).verify(provider.token(), now=NOW)
    assert caught.value.retry == "yes"


def test_keys_never_come_over_plain_http(provider: Provider) -> None:
    with pytest.raises(UsageError, match="https"):
        OidcProviders({"x": OidcConfig.model_validate({"issuer": "http://login.example.com", "audience": "a"})})
    document = {"issuer": provider.issuer, "jwks_uri": "http://keys.example.com/"}
    provider.answers["/realm/.well-known/openid-configuration"] = (200, json.dumps(document).encode(), {})
    with pytest.raises(UsageError, match="https"):
        providers(provider).verify(provider.token(), now=NOW)


def test_a_provider_that_is_not_there_is_told(provider: Provider) -> None:
    token = provider.token(iss="http://127.0.0.1:1")
    some = OidcProviders({"x": OidcConfig.model_validate({"issuer": "http://127.0.0.1:1", "audience": "headwater"})})
    with pytest.raises(ProviderUnavailable):
        some.verify(token, now=NOW)


# -- users -----------------------------------------------------------------------------------------------------------

RULES = policies(
    roles={"reader": {}, "engineer": {}}, groups={"eng": {"roles": ["engineer"]}, "readers": {"roles": ["reader"], "members": ["ada@example.com"]}}
)


def test_somebody_new_comes_in_with_groups_of_every_origin(store: StateStore, provider: Provider, clock: Clock) -> None:
    audit = AuditLog(store, "prod")
    who = users(store, RULES, oidc=providers(provider), audit=audit)
    principal = who.login_token(provider.token(groups=["eng", "approved/x"]), door="http", address="10.0.0.1")
    assert principal.name == "ada@example.com"
    assert set(principal.memberships) == {Membership("readers", "policy"), Membership("eng", "oidc")}
    assert principal.roles == {"reader", "engineer"}
    assert principal.until is not None
    assert who.renew(principal).roles == {"reader", "engineer"}
    assert who.list()[0].oidc_subject == f"{provider.issuer}#77"
    assert set(who.list()[0].memberships) == set(principal.memberships)
    assert who.list()[0].claimed_at == clock()
    assert who.tried("ada@example.com").roles == {"reader", "engineer"}
    assert who.find("ada@example.com").roles == {"reader"}, "what a provider named lasts as long as its token"
    who.login_token(provider.token(groups=[]), door="http", address="10.0.0.1")
    assert who.tried("ada@example.com").roles == {"reader"}
    who.disable("ada@example.com")
    for attempt in (lambda: who.login_token(provider.token(), door="http"), lambda: who.renew(principal)):
        with pytest.raises(AuthenticationFailed):
            attempt()
    with pytest.raises(AuthenticationFailed):
        who.login_token(provider.token(exp=EPOCH - 100), door="http")
    assert [row.record.error for row in audit.rows()][-1] == "the token is over, or says no end"
    clock.move(minutes=11)
    who.enable("ada@example.com")
    with pytest.raises(AuthenticationFailed):
        who.renew(principal)


def test_a_name_is_its_first_bearers_and_never_taken_from_a_local_user(store: StateStore, provider: Provider) -> None:
    who = users(store, RULES, oidc=providers(provider, name_claim="preferred_username"))
    who.add("root", password=GOOD, is_admin=True)
    who.add("loader", kind="service", generate=False)
    who.add("eve", generate=False, groups=["eng"])
    for taken in ("root", "ROOT", "loader", "owner", "a b", "approved/x"):
        with pytest.raises(AuthenticationFailed):
            who.login_token(provider.token(preferred_username=taken), door="http")
    assert who.login_token(provider.token(preferred_username="eve", sub="1"), door="http").roles == {"engineer"}
    with pytest.raises(AuthenticationFailed):
        who.login_token(provider.token(preferred_username="eve", sub="2"), door="http")
    assert who.login_token(provider.token(preferred_username="Eve", sub="1"), door="http").name == "eve"
    with pytest.raises(AuthenticationFailed):
        who.login_token(provider.token(preferred_username="eve", sub="1"), door="http", name="root")


def test_without_a_provider_no_such_token_is_taken(store: StateStore, provider: Provider) -> None:
    with pytest.raises(AuthenticationFailed):
        users(store).login_token(provider.token(), door="http")
    assert provider.asked == []
