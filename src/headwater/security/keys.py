"""The keys behind keyed masks and the hashes of exported rows, from a project's keyring."""

from __future__ import annotations

import hmac

from headwater.secrets import DataKey, Keyring
from headwater.security.masks import MaskKeys


def mask_keys(keyring: Keyring) -> MaskKeys:
    """The keys of a project's masks; made where there are none yet.

    Hashes and noise come from the newest key `masks`; with another they come out otherwise. Tokens are made with the newest key `tokens`, and turned
    back with any. Raises KeyMissing, KeyRefused, KeyProviderUnavailable.
    """
    newest, *former = keyring.versions("tokens")
    masks = keyring.newest("masks")
    return MaskKeys(
        _derived(masks, "hash"),
        _derived(newest, "token"),
        _derived(masks, "noise"),
        newest.version,
        tuple((one.version, _derived(one, "token")) for one in former),
    )


def export_key(keyring: Keyring) -> str:
    """The key behind the hashes of exported rows. It stays when keys are rotated: with another one, every row would count as changed."""
    return _derived(keyring.versions("masks")[-1], "export")


def _derived(key: DataKey, what: str) -> str:
    return hmac.digest(key.key, f"headwater mask {what}".encode(), "sha256").hex()
