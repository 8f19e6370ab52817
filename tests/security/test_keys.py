from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headwater.errors import UsageError
from headwater.security.keys import mask_keys


def test_keys_stay_the_same_and_differ_by_purpose_and_project(tmp_path: Path) -> None:
    one, again, other = mask_keys(tmp_path / "a"), mask_keys(tmp_path / "a"), mask_keys(tmp_path / "b")
    assert one == again
    assert len({one.hash, one.token, one.noise, other.hash}) == 4


def test_the_file_is_its_owners_alone_and_made_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: mask_keys(tmp_path).hash, range(16)))
    assert len(found) == 1
    file = tmp_path / ".headwater" / "keys" / "masks"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["masks"]


@pytest.mark.parametrize("text", ["", "no key", "00ff"])
def test_a_file_that_holds_no_key_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / ".headwater" / "keys" / "masks"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(UsageError, match="can't be read as a key"):
        mask_keys(tmp_path)
