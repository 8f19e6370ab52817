"""Heads of the audit in the lake: signed by the keyring, and nobody else's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headwater.secrets import Keyring
from headwater.security.audited import AuditHead
from headwater.security.signing import HeadSigner
from headwater.spec.project import KeysConfig

HEADS = [AuditHead("c1", 3, "aa"), AuditHead("c1", 10, "bb"), AuditHead("c2", 2, "cc")]


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring(KeysConfig(), project_dir=tmp_path, environ={})


def kinds(keyring: Keyring, heads: list[AuditHead]) -> list[tuple[str, int]]:
    return [(fault.kind, fault.seq) for fault in HeadSigner(keyring).faults(heads)]


def test_signed_heads_are_good_under_every_version_of_the_key(keyring: Keyring) -> None:
    signed = [HeadSigner(keyring).sign(HEADS[0])]
    keyring.rotate("audit")
    keyring.rewrap()
    signed += [HeadSigner(keyring).sign(head) for head in HEADS[1:]]
    assert kinds(keyring, signed) == []
    assert HeadSigner(keyring).sign(HEADS[1]) == signed[1]


def test_any_change_to_a_head_is_told(keyring: Keyring) -> None:
    signed = [HeadSigner(keyring).sign(head) for head in HEADS]
    for change in ({"seq": 9}, {"hash": "xx"}, {"chain": "c9"}, {"signature": "00:11"}, {"signature": ""}, {"signature": signed[0].signature}):
        assert [kind for kind, _ in kinds(keyring, [signed[0], replace(signed[1], **change), signed[2]])] == ["forged"]


def test_another_keyring_signs_nothing_here(keyring: Keyring, tmp_path: Path) -> None:
    other = HeadSigner(Keyring(KeysConfig(), project_dir=tmp_path / "other", environ={}))
    HeadSigner(keyring).sign(HEADS[0])
    assert kinds(keyring, [other.sign(head) for head in HEADS]) == [("forged", 3), ("forged", 10), ("forged", 2)]


def test_heads_from_before_there_was_a_key_are_left_and_later_ones_without_a_signature_are_not(keyring: Keyring) -> None:
    assert kinds(keyring, HEADS) == []
    last = HeadSigner(keyring).sign(HEADS[2])
    assert kinds(keyring, [*HEADS[:2], last]) == []
    assert kinds(keyring, HEADS) == [("unsigned", 2)]
    assert kinds(keyring, [HeadSigner(keyring).sign(HEADS[0]), HEADS[1], last]) == [("unsigned", 10)]
