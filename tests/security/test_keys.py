from __future__ import annotations

import hmac
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headwater.errors import KeyRefused
from headwater.secrets import Keyring
from headwater.security import MaskKeys
from headwater.security.keys import mask_keys
from headwater.spec.project import KeysConfig


def keys_of(folder: Path) -> MaskKeys:
    return mask_keys(Keyring(KeysConfig(), project_dir=folder, environ={}))


def test_keys_stay_the_same_and_differ_by_purpose_and_project(tmp_path: Path) -> None:
    one, again, other = keys_of(tmp_path / "a"), keys_of(tmp_path / "a"), keys_of(tmp_path / "b")
    assert one == again
    assert len({one.hash, one.token, one.noise, other.hash, other.token}) == 5


def test_keys_are_made_once_by_many_at_the_same_moment(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: keys_of(tmp_path).hash, range(16)))) == 1


def test_rotated_tokens_keep_the_former_keys_and_hashes_their_own(tmp_path: Path) -> None:
    before = keys_of(tmp_path)
    Keyring(KeysConfig(), project_dir=tmp_path, environ={}).rotate("tokens")
    after = keys_of(tmp_path)
    assert (after.hash, after.noise) == (before.hash, before.noise)
    assert after.token != before.token
    assert (after.token_version, after.former_tokens) == (2, ((1, before.token),))


def test_the_key_of_masks_from_before_the_keyring_is_taken_over(tmp_path: Path) -> None:
    file = tmp_path / ".headwater" / "keys" / "masks"
    file.parent.mkdir(parents=True)
    file.write_text("ab" * 32 + "\n")
    found = keys_of(tmp_path)
    assert not file.exists()
    assert found == keys_of(tmp_path)
    key = bytes.fromhex("ab" * 32)
    assert found.hash == hmac.digest(key, b"headwater mask hash", "sha256").hex()


@pytest.mark.parametrize("text", ["", "no key", "00ff"])
def test_a_former_file_that_holds_no_key_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / ".headwater" / "keys" / "masks"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(KeyRefused, match="can't be read as a key"):
        keys_of(tmp_path)
    assert file.read_text() == text


def test_keys_are_never_shown(tmp_path: Path) -> None:
    found = keys_of(tmp_path)
    assert found.token not in repr(found)
    assert found.token not in repr(found.tokens)
