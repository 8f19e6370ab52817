"""What the tests of users share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from headwater.security.audit import AuditLog
from headwater.security.oidc import OidcProviders
from headwater.security.passwords import Cost, Passwords
from headwater.security.users import Users
from headwater.spec.policies import Policies
from headwater.spec.project import PasswordConfig
from headwater.state import StateStore

#: Quick to compute: what argon2 costs isn't what these tests are about.
CHEAP = Cost(time=1, memory=64, lanes=1)
GOOD = "correct horse battery"


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


def policies(version: str = "v1", **parts: Any) -> Policies:
    return Policies.model_validate({**parts, "version": version})


def users(
    store: StateStore, rules: Policies | None = None, *, audit: AuditLog | None = None, oidc: OidcProviders | None = None, **settings: Any
) -> Users:
    passwords = Passwords(PasswordConfig.model_validate(settings), cost=CHEAP)
    return Users(store, rules if rules is not None else policies(), environment="prod", passwords=passwords, audit=audit, oidc=oidc)
