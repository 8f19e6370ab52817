"""References to what must not stand in files: `${env:NAME}`, `${env:NAME:-default}`, `${file:path}`, `${secret:NAME}`. Resolved when connecting.
And the keys that a project keeps: master key, keyring, and what is sealed with them."""

from headwater.secrets.files import seal_file, unseal_file
from headwater.secrets.keyring import PURPOSES, QUIET_PURPOSES, DataKey, KeyInfo, Keyring, Purpose, is_sealed
from headwater.secrets.masterkeys import KeyProvider, LocalKeys, aes, opened
from headwater.secrets.references import redact, referenced, resolve, secret_file
from headwater.secrets.store import SecretFile

__all__ = [
    "PURPOSES",
    "QUIET_PURPOSES",
    "DataKey",
    "KeyInfo",
    "KeyProvider",
    "Keyring",
    "LocalKeys",
    "Purpose",
    "SecretFile",
    "aes",
    "is_sealed",
    "opened",
    "redact",
    "referenced",
    "resolve",
    "seal_file",
    "secret_file",
    "unseal_file",
]
