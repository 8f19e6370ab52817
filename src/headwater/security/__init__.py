"""Identity and rights: who asks, what they may do, what they see instead. Decisions are pure; nothing here reads the lake.

What keeps users, tokens, requests and the audit in the state store is imported from its own module: `security.users`, `security.audit` and so on.
"""

from headwater.security.decisions import CLOSED, ColumnLabels, Decision, Reason, Resource, Sight, decide
from headwater.security.masks import MaskKeys, mask_sql
from headwater.security.principals import OWNER, Membership, Principal, memberships_of, roles_of

__all__ = [
    "CLOSED",
    "OWNER",
    "ColumnLabels",
    "Decision",
    "MaskKeys",
    "Membership",
    "Principal",
    "Reason",
    "Resource",
    "Sight",
    "decide",
    "mask_sql",
    "memberships_of",
    "roles_of",
]
