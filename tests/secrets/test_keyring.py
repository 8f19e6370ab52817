"""The keyring: wrapped by a master key of whatever provider, versions kept, nothing readable without the master key."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import KeyMissing, KeyProviderUnavailable, KeyRefused, UsageError
from headwater.secrets import KeyProvider, Keyring, LocalKeys, is_sealed, masterkeys
from headwater.spec.project import KeysConfig


class Remote:
    """A key service of somebody else's, as the entry points of `headwater.keys` give one."""

    def __init__(self, options: Mapping[str, Any], project_dir: Path, environ: Mapping[str, str]) -> None:
        self._local = LocalKeys([bytes.fromhex(environ["SERVICE_KEY"])])
        self._is_down = bool(options.get("down"))

    def wrap(self, key: bytes, context: str) -> bytes:
        return self._local.wrap(key, context)

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        if self._is_down:
            raise TimeoutError(f"no answer for {wrapped!r}")
        return self._local.unwrap(wrapped, context)


@pytest.fixture(params=["file", "env", "remote"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(sys.modules, "a_key_service", sys.modules[__name__])
    points = [EntryPoint("remote", "a_key_service:Remote", masterkeys.GROUP)]
    monkeypatch.setattr(masterkeys, "entry_points", lambda group: points)
    return str(request.param)


ENVIRON = {"HEADWATER_MASTER_KEY": "11" * 32, "SERVICE_KEY": "22" * 32}


def ring(folder: Path, kind: str = "file", environ: Mapping[str, str] = ENVIRON, **options: Any) -> Keyring:
    return Keyring(KeysConfig(provider=kind, options=options), project_dir=folder, environ=environ)


def test_what_is_sealed_opens_for_its_context_alone(tmp_path: Path, kind: str) -> None:
    sealed = ring(tmp_path, kind).seal("state", "user ada", b"hush")
    assert is_sealed(sealed)
    assert "hush" not in sealed
    assert ring(tmp_path, kind).unseal(sealed, "user ada") == b"hush"
    with pytest.raises(KeyRefused) as caught:
        ring(tmp_path, kind).unseal(sealed, "user bob")
    assert "hush" not in str(caught.value)


def test_after_rotations_everything_older_still_opens(tmp_path: Path, kind: str) -> None:
    sealed = []
    for number in range(3):
        sealed.append(ring(tmp_path, kind).seal("secrets", "x", str(number).encode()))
        assert ring(tmp_path, kind).rotate("secrets").version == number + 2
    assert ring(tmp_path, kind).rewrap() == 4
    assert [ring(tmp_path, kind).unseal(one, "x") for one in sealed] == [b"0", b"1", b"2"]
    assert [one.version for one in ring(tmp_path, kind).versions("secrets")] == [4, 3, 2, 1]
    assert [(one.version, one.is_newest) for one in ring(tmp_path, kind).entries()] == [(1, False), (2, False), (3, False), (4, True)]


def test_the_files_are_their_owners_alone_and_hold_no_key_in_clear(tmp_path: Path) -> None:
    keyring = ring(tmp_path)
    key = keyring.newest("tokens")
    folder = tmp_path / ".headwater" / "keys"
    assert {path.name for path in folder.iterdir()} >= {"keyring.json", "master"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    text = keyring.path.read_text()
    assert key.key.hex() not in text
    assert (folder / "master").read_text().strip() not in text
    assert key.key.hex() not in repr(key)


def test_a_new_master_key_replaces_the_old_one(tmp_path: Path) -> None:
    sealed = ring(tmp_path).seal("state", "x", b"hush")
    master = tmp_path / ".headwater" / "keys" / "master"
    old_master, old_ring = master.read_text(), ring(tmp_path).path.read_text()
    ring(tmp_path).rewrap()
    assert master.read_text() != old_master
    assert len(master.read_text().split()) == 1
    assert ring(tmp_path).unseal(sealed, "x") == b"hush"
    # killed between the two files: the old keyring beside both master keys
    master.write_text(master.read_text() + old_master)
    ring(tmp_path).path.write_text(old_ring)
    assert ring(tmp_path).unseal(sealed, "x") == b"hush"


def test_a_master_key_in_a_variable_is_changed_by_giving_both(tmp_path: Path) -> None:
    sealed = ring(tmp_path, "env").seal("state", "x", b"hush")
    both = {"HEADWATER_MASTER_KEY": "33" * 32 + "," + "11" * 32}
    assert ring(tmp_path, "env", both).rewrap() == 1
    assert ring(tmp_path, "env", {"HEADWATER_MASTER_KEY": "33" * 32}).unseal(sealed, "x") == b"hush"
    with pytest.raises(KeyMissing):
        ring(tmp_path, "env").unseal(sealed, "x")


def test_without_the_master_key_nothing_opens_and_none_is_made_in_its_place(tmp_path: Path) -> None:
    sealed = ring(tmp_path).seal("state", "x", b"hush")
    master = tmp_path / ".headwater" / "keys" / "master"
    master.unlink()
    with pytest.raises(KeyMissing):
        ring(tmp_path).unseal(sealed, "x")
    with pytest.raises(KeyMissing):
        ring(tmp_path).rotate("state")
    assert not master.exists()


def test_a_key_that_is_not_in_the_keyring_is_told_by_its_id(tmp_path: Path) -> None:
    sealed = ring(tmp_path / "a").seal("state", "x", b"hush")
    with pytest.raises(KeyMissing, match=sealed.split(":")[1]):
        ring(tmp_path / "b").unseal(sealed, "x")


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"format": 9, "keys": []}', '{"format": 1, "keys": [{"purpose": "state"}]}', '{"format": 1, "keys": 3}']
)
def test_a_keyring_that_is_none_is_refused_and_left(tmp_path: Path, text: str) -> None:
    keyring = ring(tmp_path)
    keyring.path.parent.mkdir(parents=True)
    keyring.path.write_text(text)
    for attempt in (keyring.entries, lambda: keyring.newest("state")):
        with pytest.raises(KeyRefused, match="can't be read"):
            attempt()
    assert keyring.path.read_text() == text


def test_a_key_that_was_changed_or_moved_to_another_purpose_is_refused(tmp_path: Path) -> None:
    ring(tmp_path).newest("state")
    path = ring(tmp_path).path
    good = json.loads(path.read_text())
    for change in ({"purpose": "tokens"}, {"version": 2}, {"wrapped": "AAAA"}, {"wrapped": "%"}):
        path.write_text(json.dumps({**good, "keys": [{**good["keys"][0], **change}]}))
        with pytest.raises((KeyRefused, KeyMissing)):
            ring(tmp_path).versions(change.get("purpose", "state"))


@pytest.mark.parametrize("text", ["", "xy", "11" * 31, "11" * 32 + " zz"])
def test_a_master_key_that_is_none_is_told_without_its_text(tmp_path: Path, text: str) -> None:
    with pytest.raises((KeyRefused, KeyMissing)) as caught:
        ring(tmp_path, "env", {"HEADWATER_MASTER_KEY": text}).newest("state")
    assert not text.strip() or text not in str(caught.value)


def test_a_provider_that_fails_is_told_by_its_kind_alone(tmp_path: Path, kind: str) -> None:
    if kind != "remote":
        pytest.skip("only a service can be down")
    ring(tmp_path, kind).newest("state")
    with pytest.raises(KeyProviderUnavailable) as caught:
        ring(tmp_path, kind, down=True).newest("state")
    assert "TimeoutError" in str(caught.value)
    assert "no answer for" not in str(caught.value)
    with pytest.raises(KeyProviderUnavailable):
        ring(tmp_path, kind, {}).newest("state")  # its factory fails
    assert isinstance(Remote({}, tmp_path, ENVIRON), KeyProvider)


def test_an_unknown_provider_names_those_there_are(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UsageError, match="remote"):
        ring(tmp_path, "kms").newest("state")
