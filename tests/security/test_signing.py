"""Signatures on the audit's heads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headwater.secrets import Keyring
from headwater.security.audited import AuditHead
from headwater.security.signing import Signatures, sign_head
from headwater.spec.project import KeysConfig

HEAD = AuditHead("c1", 7, "ab" * 32)


def keyring(folder: Path) -> Keyring:
    return Keyring(KeysConfig(), project_dir=folder, environ={})


def test_a_head_is_known_by_its_signature_and_others_are_not(tmp_path: Path) -> None:
    signed = sign_head(HEAD, keyring(tmp_path))
    assert signed == HEAD
    assert signed.signature != HEAD.signature
    judge = Signatures(keyring(tmp_path))
    assert judge.is_ours(signed)
    for other in (replace(signed, seq=8), replace(signed, chain="c2"), replace(signed, hash="cd" * 32)):
        assert not judge.is_ours(other)


@pytest.mark.parametrize("text", ["", "ed25519", "ed25519::", "rsa:1:AAAA", "ed25519:audit-1:!!", "ed25519:nobody:AAAA", "\0:\n:"])
def test_what_is_no_signature_is_none(tmp_path: Path, text: str) -> None:
    sign_head(HEAD, keyring(tmp_path))
    assert not Signatures(keyring(tmp_path)).is_ours(replace(HEAD, signature=text))


def test_signatures_outlive_the_rotation_of_their_key(tmp_path: Path) -> None:
    first = sign_head(HEAD, keyring(tmp_path))
    keyring(tmp_path).rotate("audit")
    second = sign_head(HEAD, keyring(tmp_path))
    assert first.signature != second.signature
    judge = Signatures(keyring(tmp_path))
    assert judge.is_ours(first)
    assert judge.is_ours(second)
    assert {len(key) for key in judge.public_keys.values()} == {64}
    assert len(judge.public_keys) == 2


def test_another_projects_signature_is_not_ours(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    signed = sign_head(HEAD, keyring(tmp_path / "other"))
    assert not Signatures(keyring(tmp_path / "one")).is_ours(signed)
