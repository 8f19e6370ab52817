"""The audit's heads in the lake are signed: who may write both stores, and hasn't the keyring, can't put a chain of their own there."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from headwater.secrets import Keyring
from headwater.security.audit import Fault
from headwater.security.audited import AuditHead

_PURPOSE: Final = "audit"


class HeadSigner:
    """Signs heads by HMAC-SHA256 with the newest key `audit`; knows those of every version."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def sign(self, head: AuditHead) -> AuditHead:
        """Raises KeyMissing, KeyRefused, KeyProviderUnavailable."""
        key = self._keyring.newest(_PURPOSE)
        return replace(head, signature=f"{key.id}:{_digest(key.key, head)}")

    def faults(self, heads: Sequence[AuditHead]) -> list[Fault]:
        """What is wrong with the signatures of all heads, the oldest first. From before there was a key, heads have none."""
        if not any(one.purpose == _PURPOSE for one in self._keyring.entries()):
            return []
        keys = {one.id: one.key for one in self._keyring.versions(_PURPOSE)}
        found = []
        was_signed = False
        for number, head in enumerate(heads):
            id, _, digest = (head.signature or "").partition(":")
            if head.signature is None:
                if was_signed or number == len(heads) - 1:
                    found.append(Fault("unsigned", head.seq, f"the head at row {head.seq} that the lake keeps isn't signed"))
                continue
            was_signed = True
            if id not in keys or not hmac.compare_digest(_digest(keys[id], head), digest):
                found.append(Fault("forged", head.seq, f"the head at row {head.seq} that the lake keeps has another's signature"))
        return found


def _digest(key: bytes, head: AuditHead) -> str:
    return hmac.digest(key, f"headwater audit head {head.chain} {head.seq} {head.hash}".encode(), "sha256").hex()
