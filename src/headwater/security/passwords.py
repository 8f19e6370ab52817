"""Passwords: what is asked of them, how they are kept (argon2id), and checking one in a time that tells nothing."""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
import time
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from headwater.errors import MissingDependency, PasswordRefused
from headwater.spec.project import PasswordConfig

if TYPE_CHECKING:
    from argon2 import PasswordHasher

#: Beyond this a password is refused unread: nobody types it.
MAX_BYTES: Final = 1024
#: How many passwords are hashed at once in a process: each takes 64 MB and a core or more for some tenths of a second.
_AT_ONCE: Final = threading.BoundedSemaphore(2)
#: How long a password that was right is known to be, so that fifty connections of a pool don't cost fifty hashes.
_KNOWN_SECONDS: Final = 300.0
_MAX_KNOWN: Final = 10_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What an argon2id hash takes: rounds, memory (KiB), lanes. The default is RFC 9106's second choice."""

    time: int = 3
    memory: int = 65_536
    lanes: int = 4


class Passwords:
    """The policy and the hashing; thread-safe. `directory` is what a relative `breach_list` is looked for in."""

    def __init__(self, config: PasswordConfig | None = None, directory: Path | None = None, cost: Cost | None = None) -> None:
        self.config = config if config is not None else PasswordConfig()
        self._directory = directory if directory is not None else Path()
        self._cost = cost if cost is not None else Cost()
        self._nobodys: str | None = None
        self._key = os.urandom(32)
        self._known: dict[str, tuple[bytes, float]] = {}
        self._lock = threading.Lock()

    @cached_property
    def _hasher(self) -> PasswordHasher:
        return _hasher(self._cost)

    # -- keeping and checking ----------------------------------------------------------------------------------------

    def hash(self, password: str) -> str:
        """The password as it is kept: a PHC string of argon2id."""
        with _AT_ONCE:
            return self._hasher.hash(_normal(password))

    def verify(self, kept: str, password: str) -> bool:
        """Whether `password` is the one that was hashed to `kept`. A while after it was found right this is quick."""
        text = _normal(password)
        mark = hmac.digest(self._key, kept.encode() + b"\0" + text.encode("utf-8", "surrogatepass"), "sha256")
        with self._lock:
            known = self._known.get(kept)
        if known is not None and known[1] > time.monotonic() and hmac.compare_digest(known[0], mark):
            return True
        if not self._is_right(kept, text):
            return False
        with self._lock:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[kept] = (mark, time.monotonic() + _KNOWN_SECONDS)
        return True

    def verify_nobody(self, password: str) -> None:
        """Takes the time of a `verify`: for names that nobody has, and users who can't come in now."""
        if self._nobodys is None:
            self._nobodys = self.hash("nobody's")
        self._is_right(self._nobodys, _normal(password))

    def _is_right(self, kept: str, text: str) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError

        if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
            text = ""  # it can't be anybody's; the time stays the same
        with _AT_ONCE:
            try:
                return self._hasher.verify(kept, text)
            except (VerificationError, InvalidHashError, UnicodeEncodeError):
                return False

    def is_outdated(self, kept: str) -> bool:
        """Whether a hash was made at another cost than today's."""
        return self._hasher.check_needs_rehash(kept)

    # -- the policy --------------------------------------------------------------------------------------------------

    def refuse_bad(self, password: str, *, name: str) -> None:
        """Raises PasswordRefused for a password that a person may not have, and says why; never what it was."""
        length = len(_normal(password))
        if len(password.encode("utf-8", "surrogatepass")) > MAX_BYTES:
            raise _refused("it is too long", f"at most {MAX_BYTES} bytes")
        if length < self.config.min_length:
            raise _refused("it is too short", f"at least {self.config.min_length} characters", f"{length}")
        if any("\ud800" <= letter <= "\udfff" or unicodedata.category(letter) == "Cc" for letter in password):
            raise _refused("it holds characters that can't be typed", "text")
        if name.casefold() in password.casefold() and len(name) >= 4:
            raise _refused("it holds the user's name", "a password that can't be guessed from the name")
        if len(set(password.casefold())) < 4:
            raise _refused("it is too simple", "at least 4 different characters")
        if self.config.breach_list is not None and self._is_breached(password):
            raise _refused("it is on the list of known passwords", "one that nobody has seen yet")

    def is_expired(self, changed_at: datetime | None, now: datetime) -> bool:
        """Whether a person's password is older than `rotate_after`."""
        limit = self.config.rotate_after
        return limit is not None and (changed_at is None or now - changed_at >= limit)

    def lockout(self, failures: int) -> timedelta | None:
        """How long to wait after so many failures in a row: it doubles with each; None for not at all."""
        over = failures - self.config.lockout_after
        if over < 0:
            return None
        return min(self.config.lockout * float(2 ** min(over, 20)), self.config.lockout_max)

    def _is_breached(self, password: str) -> bool:
        path = self._directory / Path(str(self.config.breach_list)).expanduser()
        digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper().encode()
        try:
            with path.open("rb") as file:
                first = file.readline().strip()
                if _is_hash(first):
                    return _is_among_sorted(file, path.stat().st_size, digest)
                file.seek(0)
                wanted = {_normal(password).encode(), _normal(password).casefold().encode()}
                return any(line.rstrip(b"\r\n") in wanted for line in file)
        except OSError as error:
            raise PasswordRefused(
                "the password can't be checked against the list of known ones",
                expected=str(self.config.breach_list),
                found=error.strerror or type(error).__name__,
                hint="security.passwords.breach_list names a file: passwords or SHA-1 hashes, one a line",
            ) from error


def _hasher(cost: Cost) -> PasswordHasher:
    try:
        from argon2 import PasswordHasher, Type
    except ModuleNotFoundError as error:
        raise MissingDependency("passwords need argon2", found="it isn't installed", hint="pip install 'headwater[serve]'") from error
    return PasswordHasher(time_cost=cost.time, memory_cost=cost.memory, parallelism=cost.lanes, type=Type.ID)


def _normal(password: str) -> str:
    """As RFC 8265 has it: the same letters are the same password, however a keyboard composes them."""
    return unicodedata.normalize("NFC", password)


def _is_hash(line: bytes) -> bool:
    digest = line.partition(b":")[0]
    return len(digest) == 40 and all(letter in b"0123456789abcdefABCDEF" for letter in digest)


def _is_among_sorted(file: BinaryIO, size: int, digest: bytes) -> bool:
    """Looks a hash up in lines `HASH[:COUNT]` in order, of which there may be a thousand million."""
    low, high = 0, size
    while low < high:  # the wanted line, if there, begins in [low, high)
        middle = (low + high) // 2
        file.seek(max(middle - 1, 0))
        if middle:
            file.readline()
        begin = file.tell()
        line = file.readline()
        found = line.partition(b":")[0].strip().upper()
        if begin >= high or not line:
            high = middle
        elif found == digest:
            return True
        elif found < digest:
            low = begin + len(line)
        else:
            high = middle
    return False


def _refused(why: str, expected: str, found: str | None = None) -> PasswordRefused:
    return PasswordRefused(f"this password can't be used: {why}", expected=expected, found=found, state="nothing was changed")
