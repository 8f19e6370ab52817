"""Tokens: `hw_<id>_<secret>`. The whole of it is shown once; what is kept tells nothing of it."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from typing import Final

PREFIX: Final = "hw_"
_ALPHABET: Final = string.ascii_letters + string.digits
_ID_LENGTH: Final = 12
#: 43 of 62 letters: 256 bits.
_SECRET_LENGTH: Final = 43
_FORM: Final = re.compile(rf"{PREFIX}([0-9a-z]{{{_ID_LENGTH}}})_([0-9A-Za-z]{{{_SECRET_LENGTH}}})", re.ASCII)
#: Letters and digits that nobody takes for one another.
_READABLE: Final = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def new_id() -> str:
    """An id unlike any other: 12 letters of `[0-9a-z]`."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(_ID_LENGTH))


def new_token() -> tuple[str, str]:
    """The id of a new token, and the token."""
    id = new_id()
    return id, f"{PREFIX}{id}_{''.join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))}"


def new_password() -> str:
    """A password made by a machine: 24 letters that can be read aloud, more than 138 bits."""
    return "".join(secrets.choice(_READABLE) for _ in range(24))


def token_id(token: str) -> str | None:
    """The id within a token; None for what isn't one."""
    found = _FORM.fullmatch(token)
    return found[1] if found else None


def token_hash(token: str) -> str:
    """What is kept. A token is random through and through, so a plain SHA-256 can't be turned around."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_token(token: str, kept: str) -> bool:
    return hmac.compare_digest(token_hash(token), kept)
