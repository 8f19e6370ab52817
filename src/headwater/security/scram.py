"""SCRAM-SHA-256, the server's side (RFC 5802, 7677), for secrets that were made by a machine: tokens and generated passwords.

All secrets of a user share one salt, which comes from their name and a key of the store: so a client that proves any of them is let in, the server
learns which one it was, and a name that nobody has is answered like one that somebody has.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final, Literal

from headwater.errors import AuthenticationFailed

MECHANISM: Final = "SCRAM-SHA-256"
MECHANISM_PLUS: Final = "SCRAM-SHA-256-PLUS"
#: What RFC 7677 asks for at least. The secrets have more than 128 bits, so nothing is gained by more.
ITERATIONS: Final = 4096
_SALT_BYTES: Final = 16
_MAX_MESSAGE: Final = 4096


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What proves one secret: neither it nor anything to log in with can be had from these. `credential` is a token's id, or `password`."""

    credential: str
    stored: bytes
    server: bytes

    def __str__(self) -> str:
        """As it is stored; `read_keys` reads it."""
        return f"{base64.b64encode(self.stored).decode()}:{base64.b64encode(self.server).decode()}"


@dataclass(frozen=True, slots=True)
class ScramSecret:
    """All that a server needs to check a user's proofs."""

    salt: bytes
    keys: tuple[ScramKeys, ...]
    iterations: int = ITERATIONS


def salt_of(name: str, key: bytes) -> bytes:
    """The salt of a user, whether there is one of that name or not. `name` is in lower case."""
    return hmac.digest(key, b"scram salt " + name.encode("utf-8", "surrogatepass"), "sha256")[:_SALT_BYTES]


def make_keys(credential: str, secret: str, salt: bytes) -> ScramKeys:
    """The keys that prove `secret`, which is ASCII (so that SASLprep leaves it as it is)."""
    salted = hashlib.pbkdf2_hmac("sha256", secret.encode("ascii"), salt, ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    return ScramKeys(credential, stored, hmac.digest(salted, b"Server Key", "sha256"))


def read_keys(credential: str, text: str) -> ScramKeys:
    stored, _, server = text.partition(":")
    return ScramKeys(credential, base64.b64decode(stored), base64.b64decode(server))


def unprovable(name: str, key: bytes) -> ScramSecret:
    """What is used for a name that nobody has: it can't be told from a user's, and no proof fits it."""
    nothing = ScramKeys("", secrets.token_bytes(32), secrets.token_bytes(32))
    return ScramSecret(salt_of(name, key), (nothing,))


class ScramExchange:
    """One exchange: `first` takes the client's first message, `final` its last; each gives what to answer. Both raise AuthenticationFailed.

    `binding` is the data of `tls-server-end-point` (RFC 5929: a hash of the certificate) where the server offers channel binding. The user's name in
    the messages is ignored, as libpq sends none: whom `secret` belongs to was said before.
    """

    def __init__(self, secret: ScramSecret, *, mechanism: str = MECHANISM, binding: bytes | None = None, nonce: str | None = None) -> None:
        if mechanism not in (MECHANISM, MECHANISM_PLUS) or (mechanism == MECHANISM_PLUS and binding is None):
            raise _failed(f"the mechanism {mechanism!r} isn't offered")
        self._secret = secret
        self._is_plus = mechanism == MECHANISM_PLUS
        self._binding = binding
        self._own_nonce = nonce or base64.b64encode(secrets.token_bytes(18)).decode()
        self._header = b""
        self._bare = ""
        self._server_first = ""
        self._nonce = ""
        self._state: Literal["new", "challenged", "done"] = "new"
        #: Which of the secrets was proven, once `final` has returned.
        self.credential: str | None = None

    def first(self, message: bytes) -> bytes:
        """The challenge."""
        if self._state != "new":
            raise _failed("a first message came twice")
        flag, _, rest = _text(message).partition(",")
        authzid, comma, bare = rest.partition(",")
        if not comma or authzid:
            raise _failed("the first message isn't one of SCRAM, or speaks for somebody else")
        self._check_binding_flag(flag)
        attributes = bare.split(",")
        if len(attributes) < 2 or not attributes[0].startswith("n=") or not attributes[1].startswith("r="):
            raise _failed("the first message isn't one of SCRAM")
        nonce = attributes[1][2:]
        if not nonce or not all("!" <= letter <= "~" for letter in nonce):
            raise _failed("the client's nonce can't be used")
        self._header = f"{flag},,".encode()
        self._bare = bare
        self._nonce = nonce + self._own_nonce
        salt = base64.b64encode(self._secret.salt).decode()
        self._server_first = f"r={self._nonce},s={salt},i={self._secret.iterations}"
        self._state = "challenged"
        return self._server_first.encode()

    def _check_binding_flag(self, flag: str) -> None:
        if self._is_plus:
            if flag != "p=tls-server-end-point":
                raise _failed("the client binds to no channel, or to one of another kind")
        elif flag == "y":
            if self._binding is not None:
                raise _failed("somebody between took the offer of channel binding away")
        elif flag != "n":
            raise _failed("the client asks for channel binding without having chosen it")

    def final(self, message: bytes) -> bytes:
        """The server's own proof; `credential` says afterwards which secret the client has."""
        if self._state != "challenged":
            raise _failed("a last message came out of turn")
        self._state = "done"
        without, comma, proof_text = _text(message).rpartition(",p=")
        attributes = without.split(",")
        if not comma or len(attributes) < 2 or not attributes[0].startswith("c="):
            raise _failed("the last message isn't one of SCRAM")
        expected = self._header + (self._binding or b"" if self._is_plus else b"")
        if not hmac.compare_digest(_decoded(attributes[0][2:]), expected):
            raise _failed("the channel isn't the one the client is bound to")
        if not hmac.compare_digest(attributes[1].encode(), f"r={self._nonce}".encode()):
            raise _failed("the nonce isn't this exchange's")
        proof = _decoded(proof_text)
        if len(proof) != 32:
            raise _failed("the proof isn't one of SCRAM-SHA-256")
        signed = f"{self._bare},{self._server_first},{without}".encode()
        found: ScramKeys | None = None
        for keys in self._secret.keys:
            signature = hmac.digest(keys.stored, signed, "sha256")
            client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
            if hmac.compare_digest(hashlib.sha256(client_key).digest(), keys.stored):
                found = keys
        if found is None:
            raise _failed("the proof is wrong")
        self.credential = found.credential
        return b"v=" + base64.b64encode(hmac.digest(found.server, signed, "sha256"))


def _text(message: bytes) -> str:
    if len(message) > _MAX_MESSAGE:
        raise _failed("a message is too long")
    try:
        return message.decode()
    except UnicodeDecodeError:
        raise _failed("a message isn't text") from None


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _failed("a message isn't base64 where it should be") from None


def _failed(why: str) -> AuthenticationFailed:
    return AuthenticationFailed("the login failed", found=why)
