"""References are resolved deeply, and what can't be says what to do, never a value."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from headwater.errors import UnresolvedReference
from headwater.secrets import redact, referenced, resolve


@pytest.fixture
def look_up(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)  # as if it weren't installed
    (tmp_path / "password.txt").write_text("from file\n", encoding="utf-8")
    environ = {"URL": "postgres://db", "EMPTY": "", "HEADWATER_SECRET_API_KEY": "hush", "HEADWATER_SECRET_exact": "quiet"}
    return lambda value: resolve(value, project_dir=tmp_path, environ=environ)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${env:URL}/x?${env:URL}", "postgres://db/x?postgres://db"),
        ("${env:MISSING:-s3://shop/lake}", "s3://shop/lake"),
        ("${env:MISSING:-}", ""),
        ("${env:EMPTY}", ""),
        ("${env:EMPTY:-x}", "x"),
        ("${env: URL }", "postgres://db"),
        ("${file:password.txt}", "from file"),
        ("${file:nothing.txt:-none}", "none"),
        ("${secret:api-key}", "hush"),
        ("${secret:exact}", "quiet"),
        ("${var:untouched} $URL ${URL}", "${var:untouched} $URL ${URL}"),
        (7, 7),
        (None, None),
        ({"a": ["${env:URL}", {"b": ("${env:URL}", True)}]}, {"a": ["postgres://db", {"b": ("postgres://db", True)}]}),
    ],
)
def test_references_are_replaced_wherever_they_stand(look_up, value, expected):
    assert look_up(value) == expected


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        ("${env:NOTHING}", "set the environment variable NOTHING"),
        ("${file:nothing.txt}", "write the file nothing.txt"),
        ("${secret:my-key}", "HEADWATER_SECRET_MY_KEY"),
    ],
)
def test_a_reference_without_a_value_says_what_to_do(look_up, reference, hint):
    with pytest.raises(UnresolvedReference) as caught:
        look_up({"connection": [f"postgres://user:hidden@{reference}"]})
    assert reference in str(caught.value)
    assert hint in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_reference_that_names_nothing_is_told(look_up):
    with pytest.raises(UnresolvedReference, match="names nothing"):
        look_up("${env:}")


def test_a_file_that_is_no_text_is_told_without_its_content(look_up, tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00s3cret")
    with pytest.raises(UnresolvedReference) as caught:
        look_up("${file:binary}")
    assert "s3cret" not in str(caught.value)


def test_an_absolute_file_is_taken_as_it_is(look_up, tmp_path_factory):
    file = tmp_path_factory.mktemp("elsewhere") / "token"
    file.write_text("abc\r\n")
    assert look_up(f"${{file:{file}}}") == "abc"


def test_the_keyring_is_asked_where_it_is_installed(tmp_path, monkeypatch):
    keyring = ModuleType("keyring")
    keyring.errors = ModuleType("keyring.errors")
    keyring.errors.KeyringError = type("KeyringError", (Exception,), {})
    stored = {("headwater", "token"): "kept"}

    def get_password(service, name):
        if name == "locked":
            raise keyring.errors.KeyringError
        return stored.get((service, name))

    keyring.get_password = get_password
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    assert resolve("${secret:token}", project_dir=tmp_path, environ={}) == "kept"
    assert resolve("${secret:token}", project_dir=tmp_path, environ={"HEADWATER_SECRET_TOKEN": "nearer"}) == "nearer"
    for name in ("locked", "absent"):
        with pytest.raises(UnresolvedReference, match=f"headwater secrets set {name}"):
            resolve(f"${{secret:{name}}}", project_dir=tmp_path, environ={})


def test_redacting_blots_out_the_longest_first_and_leaves_what_is_no_secret():
    assert redact("user:password1@host with password, id 12", ["password", "password1", "12", ""]) == "user:***@host with ***, id 12"


def test_the_values_of_references_can_be_asked_for_at_any_depth(tmp_path):
    given = {"a": ["${env:X} and ${env:Y:-more}", 3], "b": {"c": "plain"}}
    assert referenced(given, project_dir=tmp_path, environ={"X": "hush"}) == {"hush", "more"}
