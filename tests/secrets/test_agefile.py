"""Secrets from a file that is encrypted with age."""

from __future__ import annotations

from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from headwater.errors import HeadwaterError, KeyMissing, KeyRefused, UnresolvedReference
from headwater.secrets import resolve
from headwater.spec.project import SecurityConfig

SECRETS = "shop/db: hush  # a comment\npin: 0123\nlong: |\n  one\n  two\n"


def seal(folder: Path, text: str, *recipients: object, armored: bool = False) -> None:
    (folder / "secrets.age").write_bytes(pyrage.encrypt(text.encode(), [*recipients], armored=armored))


def ask(folder: Path, name: str, given: object, **settings: str) -> str:
    security = SecurityConfig.model_validate({"secrets": {"providers": ["age"], "age": settings}})
    return resolve(f"${{secret:{name}}}", project_dir=folder, environ={"HEADWATER_AGE_IDENTITY": str(given)}, security=security)


@pytest.mark.parametrize("armored", [False, True])
def test_each_recipient_reads_values_as_they_were_written(tmp_path: Path, armored: bool) -> None:
    people = [pyrage.x25519.Identity.generate() for _ in range(3)]
    seal(tmp_path, SECRETS, *(one.to_public() for one in people[:2]), armored=armored)
    for one in people[:2]:
        assert [ask(tmp_path, name, one) for name in ("shop/db", "pin", "long")] == ["hush", "0123", "one\ntwo\n"]
    both = f"# created: 2026\n# public key: x\n{people[2]}\n\n{people[0]}\n"
    assert ask(tmp_path, "pin", both) == "0123"
    (tmp_path / "keys.txt").write_text(both)
    assert ask(tmp_path, "pin", "", identity="${file:keys.txt}") == "0123"
    (tmp_path / "secrets.age").rename(tmp_path / "other.age")
    assert ask(tmp_path, "pin", people[0], file="other.age") == "0123"
    with pytest.raises(KeyMissing, match="encrypted for others"):
        ask(tmp_path, "pin", people[2], file="other.age")


def test_a_private_ssh_key_is_an_identity_too(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    seal(tmp_path, SECRETS, pyrage.ssh.Recipient.from_str(public))
    assert ask(tmp_path, "pin", key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()) == "0123"


def test_a_name_or_a_file_that_is_not_there_is_left_to_the_next_provider(tmp_path: Path) -> None:
    one = pyrage.x25519.Identity.generate()
    with pytest.raises(UnresolvedReference, match="has no value") as caught:
        ask(tmp_path, "pin", one)
    assert caught.value.hint == "keep it in one of security.secrets.providers (age), or set the environment variable HEADWATER_SECRET_PIN"
    seal(tmp_path, SECRETS, one.to_public())
    with pytest.raises(UnresolvedReference, match=r"\$\{secret:other\} has no value"):
        ask(tmp_path, "other", one)
    assert ask(tmp_path, "other:-default", one) == "default"


@pytest.mark.parametrize(
    "text", ["- pin", "pin: [hush]", "pin: {a: hush}", "pin: [hush", "hush", "pin: 'hush\n", "", "\x00hush", "[" * 5000 + "hush"]
)
def test_what_is_no_list_of_names_is_refused_without_telling_any_of_it(tmp_path: Path, text: str) -> None:
    one = pyrage.x25519.Identity.generate()
    seal(tmp_path, text, one.to_public())
    with pytest.raises(KeyRefused) as caught:
        ask(tmp_path, "pin", one)
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("content", [b"", b"hush", b"age-encryption.org/v1\n-> X25519 hush\n", b"x" * (1 << 20) + b"hush"])
def test_a_file_that_age_did_not_make_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secrets.age").write_bytes(content)
    with pytest.raises(KeyRefused, match="can't be read"):
        ask(tmp_path, "pin", pyrage.x25519.Identity.generate())


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    one = pyrage.x25519.Identity.generate()
    seal(tmp_path, SECRETS, one.to_public())
    sealed = bytearray((tmp_path / "secrets.age").read_bytes())
    sealed[-5] ^= 1
    (tmp_path / "secrets.age").write_bytes(sealed)
    with pytest.raises(KeyRefused):
        ask(tmp_path, "pin", one)


@pytest.mark.parametrize(
    ("identity", "kind"), [("", KeyMissing), ("# a comment alone", KeyMissing), ("AGE-SECRET-KEY-1HUSH", KeyRefused), ("hush", KeyRefused)]
)
def test_an_identity_that_is_none_is_refused_without_telling_it(tmp_path: Path, identity: str, kind: type[HeadwaterError]) -> None:
    seal(tmp_path, SECRETS, pyrage.x25519.Identity.generate().to_public())
    with pytest.raises(kind) as caught:
        ask(tmp_path, "pin", identity)
    assert "hush" not in str(caught.value).lower()


def test_what_opens_the_file_is_no_secret_of_its_own(tmp_path: Path) -> None:
    seal(tmp_path, SECRETS, pyrage.x25519.Identity.generate().to_public())
    with pytest.raises(UnresolvedReference, match="of its own"):
        ask(tmp_path, "pin", "", identity="${secret:identity}")
