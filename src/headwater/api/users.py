"""Who may come in: users and their tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from headwater.api.rooms import Room, users_of
from headwater.errors import AuthenticationFailed, UsageError
from headwater.spec._base import parse_duration

if TYPE_CHECKING:
    from headwater.security.accounts import TokenInfo, UserInfo

_USERS: Final = "administer users"


class UsersRoom(Room):
    """`project.users`. Whoever HEADWATER_TOKEN says must be an administrator, but for `change_password`; without it, it is the owner who calls.
    Each change is audited."""

    def add(
        self,
        name: str,
        *,
        admin: bool = False,
        service: bool = False,
        groups: Sequence[str] = (),
        password: str | None = None,
        oidc: bool = False,
    ) -> str | None:
        """Adds a user; gives the password made for them, unless one was given, or `oidc` says that they come by a provider or tokens alone.

        Raises UsageError, PasswordRefused.
        """
        if oidc and password is not None:
            raise UsageError("a user who comes by a provider has no password here", expected="one of the two")
        with self._state() as state:
            caller = self._administrator(state, _USERS)
            made = users_of(self._loaded, state).add(
                name, kind="service" if service else "user", is_admin=admin, groups=groups, password=password, generate=not oidc
            )
            said = [word for word, is_so in (("admin", admin), ("service", service), ("oidc", oidc)) if is_so]
            self._note(state, caller, "user", f"add {name}{''.join(f' {word}' for word in said)}{''.join(f' group={group}' for group in groups)}")
            return made

    def unknown_groups(self, groups: Iterable[str]) -> Sequence[str]:
        """Those of the groups that no policy names: they bring no rights."""
        return sorted(set(groups) - set(self._loaded.policies.groups))

    def passwd(self, name: str, password: str | None = None, *, must_rotate: bool = False) -> str | None:
        """A new password; gives the one made where none is given. Sessions of the old one end. Raises UsageError, PasswordRefused."""
        with self._state() as state:
            caller = self._administrator(state, _USERS)
            made = users_of(self._loaded, state).passwd(name, password, must_rotate=must_rotate)
            self._note(state, caller, "user", f"passwd {name}")
            return made

    def takes_old_password(self, name: str) -> bool:
        """Whether the caller changes this password by `change_password` alone, which takes the old one: it is their own, and they administer nobody;
        or their token isn't good any more, so that it says nothing of who they are. Raises ApprovalRefused for somebody else's."""
        with self._state() as state:
            try:
                caller = self._caller(state)
            except AuthenticationFailed:
                return True
            if not caller.may_administer and caller.name.lower() == name.lower():
                return True
            self._administrator(state, _USERS)
            return False

    def change_password(self, name: str, old: str, new: str) -> None:
        """One's own, with the password one has, expired or not; no token takes its place. Sessions of the old one end.

        Raises AuthenticationFailed, PasswordRefused. Audited.
        """
        with self._state() as state:
            users_of(self._loaded, state).change_password(name, old, new, door="local")

    def disable(self, name: str) -> None:
        """Keeps a user out, and ends their sessions at their next statement. Raises UsageError."""
        with self._state() as state:
            caller = self._administrator(state, _USERS)
            users_of(self._loaded, state).disable(name)
            self._note(state, caller, "user", f"disable {name}")

    def enable(self, name: str) -> None:
        """Lets a user in again, and unlocks them. Raises UsageError."""
        with self._state() as state:
            caller = self._administrator(state, _USERS)
            users_of(self._loaded, state).enable(name)
            self._note(state, caller, "user", f"enable {name}")

    def token(self, name: str, *, expires: str | timedelta | None = None, scope: Sequence[str] = ()) -> tuple[str, TokenInfo]:
        """A new token, to be shown once, and what is kept of it. `expires` is a duration. Raises UsageError."""
        with self._state() as state:
            caller = self._administrator(state, _USERS)
            ends = None if expires is None else _duration(expires)
            token, info = users_of(self._loaded, state).token(name, expires=ends, scope=scope or None)
            self._note(state, caller, "user", f"token {info.user} {info.id}")
            return token, info

    def tokens(self, name: str | None = None) -> Sequence[TokenInfo]:
        """All tokens, revoked and ended ones too; never the tokens themselves. Raises UsageError."""
        with self._state() as state:
            caller = self._administrator(state, _USERS)
            self._note_of_user(state, caller, "admin", "user tokens")
            return users_of(self._loaded, state).tokens(name)

    def revoke(self, id: str) -> TokenInfo:
        """Ends a token. Raises UsageError."""
        with self._state() as state:
            caller = self._administrator(state, _USERS)
            info = users_of(self._loaded, state).revoke(id)
            self._note(state, caller, "user", f"revoke {info.user} {info.id}")
            return info

    def list(self) -> Sequence[UserInfo]:
        """All users by name."""
        with self._state() as state:
            caller = self._administrator(state, _USERS)
            self._note_of_user(state, caller, "admin", "user list")
            return users_of(self._loaded, state).list()


def _duration(text: str | timedelta) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a duration", expected="such as 30d, '8 hours' or 36h") from error
