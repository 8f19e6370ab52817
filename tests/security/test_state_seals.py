"""What the state store keeps of passwords and tokens is sealed: nothing in it can be tried without the master key, and everybody still comes in."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from people import CHEAP, GOOD, policies, users

from headwater.errors import AuthenticationFailed, KeyMissing, KeyRefused
from headwater.secrets import Keyring, is_sealed
from headwater.security.passwords import Passwords
from headwater.security.scram import ScramExchange
from headwater.security.users import Users
from headwater.spec.project import KeysConfig, PasswordConfig
from headwater.state import StateStore
from headwater.state import tables as t


def sealed(store: StateStore, folder: Path) -> Users:
    keyring = Keyring(KeysConfig(), project_dir=folder, environ={})
    return Users(store, policies(), environment="prod", passwords=Passwords(PasswordConfig(), cost=CHEAP), keyring=keyring)


def kept(store: StateStore) -> list[str]:
    """Everything in the store that is, or was, a secret."""

    def work(connection: sa.Connection) -> list[str]:
        found = [value for row in connection.execute(sa.select(t.users.c.password_hash, t.users.c.scram)) for value in row]
        found += connection.execute(sa.select(t.tokens.c.scram)).scalars()
        found += connection.execute(sa.select(t.identity.c.value).where(t.identity.c.name != "state_key")).scalars()
        return [value for value in found if value is not None]

    return store.read(work)


def fill(people: Users) -> tuple[str, str]:
    people.add("ada", password=GOOD)
    made = people.add("bot", kind="service")
    assert made is not None
    return made, people.token("bot")[0]


def come_in(people: Users, made: str, token: str) -> None:
    assert people.login("ada", GOOD, door="http").name == "ada"
    assert people.login("bot", made, door="http").name == "bot"
    assert people.login_token(token, door="http").name == "bot"
    with pytest.raises(AuthenticationFailed):
        people.login("ada", "wrong horse battery", door="http")
    secret = people.scram_verifier("bot")
    assert secret is not None
    assert {keys.credential for keys in secret.keys} >= {"password"}
    assert ScramExchange(secret).first(b"n,,n=,r=abc")


def test_everything_is_sealed_and_everybody_comes_in(store: StateStore, tmp_path: Path) -> None:
    made, token = fill(sealed(store, tmp_path))
    assert len(kept(store)) == 5
    assert all(is_sealed(value) for value in kept(store))
    come_in(sealed(store, tmp_path), made, token)
    sealed(store, tmp_path).change_password("ada", GOOD, "another horse battery", door="http")
    assert all(is_sealed(value) for value in kept(store))


def test_a_store_from_before_is_read_and_sealed_by_a_rotation(store: StateStore, tmp_path: Path) -> None:
    made, token = fill(users(store))
    assert not any(is_sealed(value) for value in kept(store))
    people = sealed(store, tmp_path)
    come_in(people, made, token)
    assert people.reseal() == 5
    assert all(is_sealed(value) for value in kept(store))
    come_in(sealed(store, tmp_path), made, token)


def test_rotated_keys_reseal_all_and_let_everybody_in(store: StateStore, tmp_path: Path) -> None:
    made, token = fill(sealed(store, tmp_path))
    keyring = Keyring(KeysConfig(), project_dir=tmp_path, environ={})
    newest = keyring.rotate("state")
    before = kept(store)
    assert sealed(store, tmp_path).reseal() == 5
    assert not set(before) & set(kept(store))
    assert {value.split(":")[1] for value in kept(store)} == {newest.id}
    keyring.rewrap()
    come_in(sealed(store, tmp_path), made, token)


def test_another_keyring_opens_nothing_and_is_not_used_to_write(store: StateStore, tmp_path: Path) -> None:
    made, token = fill(sealed(store, tmp_path / "one"))
    other = sealed(store, tmp_path / "other")
    with pytest.raises(KeyMissing):
        other.login("ada", GOOD, door="http")
    with pytest.raises(KeyMissing, match="another keyring"):
        other.add("eve")
    with pytest.raises(KeyMissing):
        users(store).login("ada", GOOD, door="http")
    come_in(sealed(store, tmp_path / "one"), made, token)


def test_what_is_one_users_cannot_be_made_anothers(store: StateStore, tmp_path: Path) -> None:
    people = sealed(store, tmp_path)
    fill(people)
    people.add("eve", password="eve's own battery")
    hashes = sa.select(t.users.c.password_hash).where(t.users.c.name == "eve")
    eves = store.read(lambda connection: connection.execute(hashes).scalar())
    store.write(lambda connection: connection.execute(sa.update(t.users).where(t.users.c.name == "ada").values(password_hash=eves)))
    with pytest.raises(KeyRefused):
        people.login("ada", "eve's own battery", door="http")
