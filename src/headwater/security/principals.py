"""Who asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from headwater.spec.names import OWNER_NAME
from headwater.spec.policies import Door, Policies

#: How the groups and roles of approved requests begin. Nobody gets into one of them by another way.
APPROVED: Final = "approved/"


@dataclass(frozen=True, slots=True)
class Membership:
    """A group somebody is in, and who says so: `policy`, `user` (by `user add --group`), `oidc`, or `request` (approved for a time)."""

    group: str
    origin: Literal["policy", "user", "oidc", "request"]


@dataclass(frozen=True, slots=True)
class Principal:
    """One who asks, as far as decisions need to know. `roles` are all of theirs, through whatever group; `purpose` is what the session stated.

    The `owner` is who holds the credentials of the lake itself: nothing is hidden from them, and all they do is audited like everybody's.
    """

    name: str
    kind: Literal["owner", "user", "service"] = "user"
    roles: frozenset[str] = frozenset()
    memberships: tuple[Membership, ...] = ()
    is_admin: bool = False
    purpose: str | None = None
    door: Door = "local"
    address: str | None = None
    #: What the token it came with is good for; None for no narrowing.
    scope: frozenset[str] | None = field(default=None)
    #: The id of the token it came with; None for a password, and for a provider's token.
    token: str | None = None
    #: When it said who it is, and when that ends by itself.
    since: datetime | None = None
    until: datetime | None = None
    #: Who really asks, where it is somebody else with the rights of this one.
    asked_by: str | None = None

    @property
    def groups(self) -> frozenset[str]:
        return frozenset(membership.group for membership in self.memberships)

    @property
    def may_administer(self) -> bool:
        """The owner, or an administrator; by a token only where that is good for all, or for `admin`."""
        return self.kind == "owner" or (self.is_admin and (self.scope is None or "admin" in self.scope))


#: Who failed to come in under a name that nobody has: such a name may be a password typed in the wrong place, so it isn't kept.
UNKNOWN: Final = "(unknown)"
OWNER: Final = Principal(OWNER_NAME, "owner")


def memberships_of(
    name: str, policies: Policies, *, by_user: Iterable[str] = (), by_claims: Iterable[str] = ()
) -> tuple[Membership, ...]:  # fmt: skip
    """All groups of a user, each with every origin it has."""
    named = [group for group, one in policies.groups.items() if one.has(name)]
    found = [Membership(group, "request" if group.startswith(APPROVED) else "policy") for group in named]
    found += [Membership(group, "user") for group in by_user if not group.startswith(APPROVED)]
    found += [Membership(group, "oidc") for group in by_claims if not group.startswith(APPROVED)]
    return tuple(dict.fromkeys(found))


def roles_of(memberships: Iterable[Membership], policies: Policies) -> frozenset[str]:
    """The roles that groups bring. A group nobody defined brings none."""
    groups: Mapping[str, tuple[str, ...]] = {name: group.roles for name, group in policies.groups.items()}
    return frozenset(role for membership in memberships for role in groups.get(membership.group, ()))
