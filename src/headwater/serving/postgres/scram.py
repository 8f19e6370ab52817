"""The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), as Postgres speaks it: no channel binding, the user's name from the start message."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

from headwater.serving.session import ScramSecret


class ScramFailed(Exception):
    """The exchange broke the rules, or the proof is wrong."""


class ScramServer:
    """One exchange: `first` with the client's first message, then `final` with its last."""

    def __init__(self, secret: ScramSecret) -> None:
        self._secret = secret
        self._messages = ""
        self._nonce = ""
        self._binding = ""

    def first(self, client: bytes) -> bytes:
        """The challenge. libpq sends an empty user name; whatever stands there is ignored, as Postgres does. Raises ScramFailed."""
        text = _ascii(client)
        header, _, rest = text.partition(",")
        authorisation, _, bare = rest.partition(",")
        if header not in ("n", "y") or (authorisation and not authorisation.startswith("a=")):
            raise ScramFailed("channel binding isn't offered")
        attributes = bare.split(",")
        if len(attributes) < 2 or not attributes[0].startswith("n=") or not attributes[1].startswith("r=") or len(attributes[1]) < 3:
            raise ScramFailed("the first SCRAM message can't be read")
        self._binding = f"{header},{authorisation},"
        self._nonce = attributes[1][2:] + secrets.token_urlsafe(18)
        challenge = f"r={self._nonce},s={base64.b64encode(self._secret.salt).decode()},i={self._secret.iterations}"
        self._messages = f"{bare},{challenge}"
        return challenge.encode()

    def final(self, client: bytes) -> bytes:
        """The server's own proof, when the client's is right. Raises ScramFailed."""
        without_proof, mark, proof = _ascii(client).rpartition(",p=")
        attributes = dict(part.partition("=")[::2] for part in without_proof.split(","))
        if not mark or attributes.get("r") != self._nonce or not self._nonce:
            raise ScramFailed("the last SCRAM message can't be read")
        if attributes.get("c") != base64.b64encode(self._binding.encode()).decode():
            raise ScramFailed("the SCRAM messages contradict each other")
        signed = f"{self._messages},{without_proof}".encode()
        try:
            given = base64.b64decode(proof, validate=True)
        except binascii.Error:
            raise ScramFailed("the last SCRAM message can't be read") from None
        signature = hmac.digest(self._secret.stored_key, signed, "sha256")
        if len(given) != len(signature):
            raise ScramFailed("the proof is wrong")
        client_key = bytes(one ^ other for one, other in zip(given, signature, strict=True))
        if not hmac.compare_digest(hashlib.sha256(client_key).digest(), self._secret.stored_key):
            raise ScramFailed("the proof is wrong")
        return b"v=" + base64.b64encode(hmac.digest(self._secret.server_key, signed, "sha256"))


def _ascii(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ScramFailed("a SCRAM message can't be read") from None
