"""What of the state store is sealed with the keyring: hashes of passwords, SCRAM's verifiers, the key of its salts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa

from headwater.errors import KeyMissing
from headwater.secrets import Keyring, is_sealed
from headwater.state import StateStore
from headwater.state import tables as t

#: Names, in the table `identity`, a key of the keyring that sealed the first of them.
_MARK: Final = "state_key"
_PURPOSE: Final = "state"


class StateSeals:
    """Seals texts of one store. Without a keyring they stay as they are; what isn't sealed is read as it is."""

    def __init__(self, state: StateStore, keyring: Keyring | None) -> None:
        self._state = state
        self._keyring = keyring

    def seal(self, context: str, text: str) -> str:
        """Raises KeyMissing where the store is sealed with a keyring that isn't this one; KeyRefused, KeyProviderUnavailable."""
        if self._keyring is None:
            return text
        key = self._keyring.newest(_PURPOSE)
        mark = self._state.read(lambda connection: connection.execute(sa.select(t.identity.c.value).where(t.identity.c.name == _MARK)).scalar())
        if mark is None:
            self._state.write(lambda connection: _put_mark(connection, key.id))
        elif mark not in {one.id for one in self._keyring.entries()}:
            raise KeyMissing(
                "the secrets of this state store are sealed with another keyring",
                expected=f"the key {mark}",
                found=str(self._keyring.path),
                state="nothing was changed",
                hint="servers of one state store share the keyring and its master key: bring them here",
            )
        return self._keyring.seal(_PURPOSE, _context(context), text.encode())

    def open(self, context: str, text: str) -> str:
        """Raises KeyMissing, KeyRefused, KeyProviderUnavailable."""
        if not is_sealed(text):
            return text
        if self._keyring is None:
            raise KeyMissing("the secrets of this state store are sealed", expected="the keyring they were sealed with")
        return self._keyring.unseal(text, _context(context)).decode()

    def reseal(self) -> int:
        """Seals all of them anew with the newest key, those that never were among them; gives how many. Each is changed by itself."""
        identity = sa.select(t.identity.c.name, t.identity.c.value).where(t.identity.c.name != _MARK)
        users = self._rows(sa.select(t.users.c.name, t.users.c.name_key, t.users.c.password_hash, t.users.c.scram))
        tokens = self._rows(sa.select(t.tokens.c.id, t.tokens.c.scram))
        done = 0
        for row in self._rows(identity):
            done += self._resealed(t.identity, t.identity.c.name == row.name, "value", row.name, row.value)
        for row in users:
            done += self._resealed(t.users, t.users.c.name == row.name, "password_hash", f"password {row.name_key}", row.password_hash)
            done += self._resealed(t.users, t.users.c.name == row.name, "scram", f"scram {row.name_key}", row.scram)
        for row in tokens:
            done += self._resealed(t.tokens, t.tokens.c.id == row.id, "scram", f"token {row.id}", row.scram)
        return done

    def _resealed(self, table: sa.Table, mine: sa.ColumnElement[bool], column: str, context: str, was: str | None) -> int:
        """One value; one that somebody changed meanwhile is sealed with the newest key already, and stays."""
        if was is None:
            return 0
        sealed = self.seal(context, self.open(context, was))
        change = sa.update(table).where(mine, table.c[column] == was).values({column: sealed})
        return int(self._state.write(lambda connection: connection.execute(change).rowcount))

    def _rows(self, query: sa.Select[Any]) -> list[Any]:
        read: Callable[[sa.Connection], list[Any]] = lambda connection: list(connection.execute(query).all())  # noqa: E731 -- the type helps
        return self._state.read(read)


def _put_mark(connection: sa.Connection, id: str) -> None:
    if connection.execute(sa.select(t.identity.c.name).where(t.identity.c.name == _MARK)).first() is None:
        connection.execute(sa.insert(t.identity), {"name": _MARK, "value": id})


def _context(what: str) -> str:
    return f"headwater state {what}"
