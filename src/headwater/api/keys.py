"""The keys of a project, its secrets, and tokens turned back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from headwater.api.rooms import Room, keyring_of, users_of
from headwater.errors import UsageError
from headwater.secrets import PURPOSES, QUIET_PURPOSES, KeyInfo, Purpose, secret_file

if TYPE_CHECKING:
    from headwater.api.asking import Asking
    from headwater.api.rights import Rights
    from headwater.orchestration import Session
    from headwater.project import LoadedProject
    from headwater.secrets import SecretFile


_KEYS: Final = "administer keys"
_SECRETS: Final = "administer secrets"


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did: a purpose's new version and how many values were sealed anew with it; for `master`, how many keys it wraps now."""

    purpose: str
    version: int | None
    sealed_anew: int


class KeysRoom(Room):
    """`project.keys`. The caller must be the owner or an administrator; each change is audited."""

    def __init__(self, loaded: LoadedProject, rights: Rights) -> None:
        super().__init__(loaded)
        self._rights = rights

    def list(self) -> Sequence[KeyInfo]:
        """Every key by purpose and version, never the keys themselves."""
        self._rights.need_administrator(_KEYS)
        return keyring_of(self._loaded).entries()

    def init(self) -> Sequence[KeyInfo]:
        """Makes the keys that aren't there yet, and the master key where that is a file. Idempotent. Raises KeyMissing, KeyRefused."""
        with self._state() as state:
            caller = self._administrator(state, _KEYS)
            keyring = keyring_of(self._loaded)
            before = len(keyring.entries())
            for purpose in PURPOSES:
                keyring.newest(purpose)
            found = keyring.entries()
            if len(found) > before:
                self._note(state, caller, "keys", "init")
            return found

    def rotate(self, *purposes: str, master: bool | None = None) -> Sequence[Rotation]:
        """New versions of keys. Without any purpose: of all that nobody sees from outside (`QUIET_PURPOSES`), and a new master key.

        What older versions sealed is sealed anew, but for backups; they are kept for those. `tokens`: new tokens come out otherwise, and older ones
        are still turned back. `masks`: hashes and noise come out otherwise. `master` alone: only the master key. Killed midway, it can be done again.
        Raises UsageError, KeyMissing, KeyRefused, KeyProviderUnavailable.
        """
        chosen = _purposes(purposes) if purposes or master else QUIET_PURPOSES
        with self._state() as state:
            caller = self._administrator(state, _KEYS)
            keyring = keyring_of(self._loaded)
            done = []
            for purpose in chosen:
                version = keyring.rotate(purpose).version
                count = 0
                if purpose == "state":
                    count = users_of(self._loaded, state).reseal()
                elif purpose == "secrets":
                    count = self._secret_file().reseal()
                done.append(Rotation(purpose, version, count))
            if master or (master is None and not purposes):
                done.append(Rotation("master", None, keyring.rewrap()))
            said = " ".join(one.purpose if one.version is None else f"{one.purpose}={one.version}" for one in done)
            self._note(state, caller, "keys", f"rotate {said}")
            return done

    def _secret_file(self) -> SecretFile:
        return secret_file(self._loaded.config.security, project_dir=self._loaded.directory, environ=self._loaded.environ)


def _purposes(names: Sequence[str]) -> tuple[Purpose, ...]:
    unknown = [name for name in names if name not in PURPOSES]
    if unknown:
        raise UsageError(f"there are no keys for {unknown[0]!r}", expected=", ".join(PURPOSES))
    return tuple(purpose for purpose in PURPOSES if purpose in names)


class SecretsRoom(Room):
    """`project.secrets`: the project's own file of secrets. The caller must be the owner or an administrator; each change is audited by the name."""

    def __init__(self, loaded: LoadedProject, rights: Rights) -> None:
        super().__init__(loaded)
        self._rights = rights

    @property
    def is_asked(self) -> bool:
        """Whether `${secret:NAME}` is looked for here: `file` is among the providers of the settings."""
        return "file" in self._loaded.config.security.secrets.providers

    def list(self) -> Sequence[str]:
        """The names. Raises KeyRefused."""
        self._rights.need_administrator(_SECRETS)
        return self._file().names()

    def set(self, name: str, value: str) -> bool:
        """Keeps `value` for `${secret:name}`; says whether it replaced one. Raises UsageError, KeyMissing, KeyRefused, KeyProviderUnavailable."""
        with self._state() as state:
            caller = self._administrator(state, _SECRETS)
            was_there = self._file().set(name, value)
            self._note(state, caller, "secrets", f"set {name}")
            return was_there

    def remove(self, name: str) -> None:
        """Raises UsageError when there is none of that name."""
        with self._state() as state:
            caller = self._administrator(state, _SECRETS)
            self._file().remove(name)
            self._note(state, caller, "secrets", f"rm {name}")

    def _file(self) -> SecretFile:
        return secret_file(self._loaded.config.security, project_dir=self._loaded.directory, environ=self._loaded.environ)


class TokensRoom(Room):
    """`project.tokens`: what stands for values that masks hide. The caller is whoever HEADWATER_TOKEN says, else the owner."""

    def __init__(self, loaded: LoadedProject, session: Callable[[], Session], asking: Callable[[], Asking]) -> None:
        super().__init__(loaded)
        self._session = session
        self._asking = asking

    def detokenize(self, tokens: Sequence[str], *, purpose: str) -> list[str | None]:
        """The values that tokens stand for, in their order; None for what is no token, or one that the caller has no right to turn back.

        Written to the audit: who, for which purpose, how many; never which. Raises StatementRefused, UsageError without a purpose, KeyMissing.
        """
        if not purpose.strip():
            raise UsageError("tokens are turned back for a purpose", expected="--purpose WHY")
        session = self._session()
        caller = replace(self._caller(session.state), purpose=purpose)
        return session.lake.detokenize(self._asking().access_of(caller), tokens)
