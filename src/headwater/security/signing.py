"""Signatures on the audit's heads: who may write the lake alone can't put one there, nor another in its place."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from headwater.errors import MissingDependency
from headwater.security.audited import AuditHead

if TYPE_CHECKING:
    from headwater.secrets import Keyring

_KIND: Final = "ed25519"


def sign_head(head: AuditHead, keyring: Keyring) -> AuditHead:
    """The head with a signature by the newest key for it. Raises KeyMissing, KeyRefused, KeyProviderUnavailable, MissingDependency."""
    key = keyring.newest("audit")
    signature = base64.b64encode(_private(key.key).sign(_said(head))).decode()
    return replace(head, signature=f"{_KIND}:{key.id}:{signature}")


class Signatures:
    """Judges signatures by all keys of the keyring, which is read once."""

    def __init__(self, keyring: Keyring) -> None:
        self._keys = {key.id: _private(key.key).public_key() for key in keyring.versions("audit")}

    def is_ours(self, head: AuditHead) -> bool:
        from cryptography.exceptions import InvalidSignature

        kind, _, rest = head.signature.partition(":")
        id, _, text = rest.partition(":")
        key = self._keys.get(id)
        if kind != _KIND or key is None:
            return False
        try:
            key.verify(base64.b64decode(text, validate=True), _said(head))
        except (InvalidSignature, binascii.Error):
            return False
        return True

    @property
    def public_keys(self) -> dict[str, str]:
        """By their ids, as 64 hexadecimal digits: with one, anybody can check a signature."""
        return {id: key.public_bytes_raw().hex() for id, key in self._keys.items()}


def _said(head: AuditHead) -> bytes:
    return f"headwater audit head\n{head.chain}\n{head.seq}\n{head.hash}".encode()


def _private(key: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise MissingDependency("signing needs the package cryptography", found=str(error), hint="pip install 'headwater[keys]'") from error
    return Ed25519PrivateKey.from_private_bytes(key)
