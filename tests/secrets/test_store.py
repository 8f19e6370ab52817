"""The project's own file of secrets."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import KeyRefused, UsageError
from headwater.secrets import Keyring, SecretFile, resolve
from headwater.spec.project import KeysConfig, SecurityConfig


def secrets_in(folder: Path) -> SecretFile:
    return SecretFile(folder / ".headwater" / "secrets.json", Keyring(KeysConfig(), project_dir=folder, environ={}))


def test_a_secret_is_kept_sealed_and_given_to_references(tmp_path: Path) -> None:
    assert secrets_in(tmp_path).set("shop/password", "hush-hush") is False
    assert resolve("x${secret:shop/password}y", project_dir=tmp_path, environ={}) == "xhush-hushy"
    path = tmp_path / ".headwater" / "secrets.json"
    assert "hush-hush" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secrets_in(tmp_path).set("shop/password", "other") is True
    assert secrets_in(tmp_path).names() == ["shop/password"]
    near = {"HEADWATER_SECRET_SHOP_PASSWORD": "nearer"}
    assert resolve("${secret:shop/password}", project_dir=tmp_path, environ=near) == "nearer"
    without = SecurityConfig.model_validate({"secrets": {"providers": ["keyring"]}})
    assert resolve("${secret:shop/password:-none}", project_dir=tmp_path, environ={}, security=without) == "none"
    secrets_in(tmp_path).remove("shop/password")
    assert resolve("${secret:shop/password:-none}", project_dir=tmp_path, environ={}) == "none"


def test_looking_for_what_is_not_there_makes_nothing(tmp_path: Path) -> None:
    assert resolve("${secret:absent:-none}", project_dir=tmp_path, environ={}) == "none"
    assert list(tmp_path.iterdir()) == []


def test_one_secret_is_not_another(tmp_path: Path) -> None:
    secrets_in(tmp_path).set("cheap", "hush")
    path = tmp_path / ".headwater" / "secrets.json"
    found = json.loads(path.read_text())
    found["secrets"]["precious"] = found["secrets"]["cheap"]
    path.write_text(json.dumps(found))
    with pytest.raises(KeyRefused):
        secrets_in(tmp_path).get("precious")


@pytest.mark.parametrize("name", ["", "a b", "ä", "-x", "x" * 129, "a\nb", "${x}"])
def test_what_can_be_no_name_is_refused_without_the_value(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        secrets_in(tmp_path).set(name, "hush-hush")
    assert "hush" not in str(caught.value)
    with pytest.raises(UsageError):
        secrets_in(tmp_path).set("fine", "")
    with pytest.raises(UsageError, match="there is no secret"):
        secrets_in(tmp_path).remove("absent")


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=4))
def test_it_is_a_mapping_that_outlives_every_rotation(tmp_path_factory: pytest.TempPathFactory, values: dict[str, str]) -> None:
    folder = tmp_path_factory.mktemp("secrets")
    for name, value in values.items():
        secrets_in(folder).set(name, value)
    keyring = Keyring(KeysConfig(), project_dir=folder, environ={})
    keyring.rotate("secrets")
    keyring.rewrap()
    assert secrets_in(folder).reseal() == len(values)
    assert {name: secrets_in(folder).get(name) for name in secrets_in(folder).names()} == values
