"""Access for a time: asked for, approved by somebody else, over by itself; and which rights nobody uses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import yaml
from people import GOOD, Clock, policies, users

from headwater.errors import ApprovalRefused, UsageError
from headwater.security.audited import Audited
from headwater.security.decisions import ColumnLabels, Resource, decide
from headwater.security.principals import OWNER, Membership
from headwater.security.requests import AccessRequest, AccessRequests, effective_policies
from headwater.security.review import review, to_yaml, uses_of
from headwater.security.users import Users
from headwater.spec.names import TableName
from headwater.spec.policies import Policies, PolicyFile
from headwater.state import StateStore

CUSTOMERS, SALARIES, DAYS = TableName("shop", "customers"), TableName("marts", "salaries"), TableName("marts", "days")
RESOURCES = {
    CUSTOMERS: Resource(CUSTOMERS, (ColumnLabels("id"), ColumnLabels("email", frozenset({"pii.email"})), ColumnLabels("country"))),
    SALARIES: Resource(SALARIES, (ColumnLabels("name"), ColumnLabels("pay", frozenset({"pay"})))),
    DAYS: Resource(DAYS, (ColumnLabels("day"), ColumnLabels("revenue"))),
}
RULES = policies(
    roles={
        "analyst": {"grants": [{"select": "marts.days"}]},
        "steward": {"grants": [{"approve": "shop.*"}]},
        "support": {
            "grants": [
                {"select": "shop.*", "unmask": ["pii.email"], "where": "country = 'NO'"},
                {"select": {"label": "pay"}},
                {"approve": "*"},
            ],
            "limits": {"rows": 10},
        },
    },
    groups={"analysts": {"roles": ["analyst"], "members": ["ada", "bo"]}, "stewards": {"roles": ["steward"], "members": ["cy", "ada"]}},
    masks={"pii.email": "partial"},
    deny=[{"role": "support", "select": "shop.customers", "columns": ["country"]}],
    network={"roles": {"support": ["10.0.0.0/8"]}},
)


@pytest.fixture
def who(store: StateStore) -> Users:
    made = users(store, RULES)
    for name in ("ada", "bo", "cy"):
        made.add(name, password=GOOD)
    made.add("root", password=GOOD, is_admin=True)
    return made


@pytest.fixture
def requests(store: StateStore) -> AccessRequests:
    return AccessRequests(store, "prod")


def ask(requests: AccessRequests, who: Users, clock: Clock, name: str = "ada", **changes: object) -> AccessRequest:
    wanted = {"action": "select", "until": clock() + timedelta(hours=8), "reason": "ticket 7", **changes}
    return requests.request(name, wanted.pop("table", CUSTOMERS), by=wanted.pop("by", who.find(name)), **wanted)  # type: ignore[arg-type]


def sees(who: Users, name: str, table: TableName, clock: Clock, rules: Policies | None = None) -> dict[str, str]:
    """The columns a user sees, and how."""
    decision = decide(rules or who.policies(), who.find(name), "select", RESOURCES[table], at=clock())
    return {column: str(sights[0].mask) for column, sights in decision.columns.items()} if decision.is_allowed else {}


def test_what_was_approved_is_there_until_it_ends_and_no_longer(who: Users, requests: AccessRequests, clock: Clock) -> None:
    assert sees(who, "ada", CUSTOMERS, clock) == {}
    asked = ask(requests, who, clock, unmask=["pii.email"], columns=["id", "email"])
    assert (asked.state, asked.requested_by) == ("waiting", "ada")
    assert sees(who, "ada", CUSTOMERS, clock) == {}
    given = requests.approve(asked.id[:6], by=who.find("cy"), policies=RULES)
    assert (given.state, given.approved_by, given.approved_at) == ("approved", "cy", clock())
    assert sees(who, "ada", CUSTOMERS, clock) == {"id": "None", "email": "None"}
    assert sees(who, "ada", DAYS, clock) == {"day": "None", "revenue": "None"}
    assert sees(who, "bo", CUSTOMERS, clock) == {}
    assert Membership(given.group, "request") in who.find("ada").memberships
    session, rules = who.login("ada", GOOD, door="http"), who.policies()
    decision = decide(rules, session, "select", RESOURCES[CUSTOMERS], at=clock())
    assert decision.valid_until == given.until
    clock.move(hours=8)
    assert not decide(rules, session, "select", RESOURCES[CUSTOMERS], at=clock()).is_allowed, "a running session with old policies loses it"
    assert who.policies() is who._policies
    assert requests.list()[0].state == "ended"


def test_taken_back_it_is_gone_for_running_sessions_too(who: Users, requests: AccessRequests, clock: Clock) -> None:
    given = requests.approve(ask(requests, who, clock).id, by=OWNER, policies=RULES)
    session = who.login("ada", GOOD, door="http")
    assert decide(who.policies(), session, "select", RESOURCES[CUSTOMERS], at=clock()).is_allowed
    requests.revoke(given.id, by=who.find("ada"), policies=RULES)
    assert not decide(who.policies(), session, "select", RESOURCES[CUSTOMERS], at=clock()).is_allowed
    with pytest.raises(UsageError, match="is revoked"):
        requests.revoke(given.id, by=OWNER, policies=RULES)
    with pytest.raises(UsageError, match="is revoked"):
        requests.approve(given.id, by=OWNER, policies=RULES)


@pytest.mark.parametrize(
    ("approver", "table", "why"), [("bo", CUSTOMERS, "can't approve"), ("cy", SALARIES, "can't approve"), ("ada", CUSTOMERS, "their own")]
)
def test_who_may_not_approve_does_not(who: Users, requests: AccessRequests, clock: Clock, approver: str, table: TableName, why: str) -> None:
    asked = ask(requests, who, clock, table=table)
    with pytest.raises(ApprovalRefused, match=why):
        requests.approve(asked.id, by=who.find(approver), policies=RULES)
    assert requests.find(asked.id).state == "waiting"


def test_an_administrator_approves_but_not_for_themselves(who: Users, requests: AccessRequests, clock: Clock) -> None:
    assert requests.approve(ask(requests, who, clock, table=SALARIES).id, by=who.find("root"), policies=RULES).state == "approved"
    with pytest.raises(ApprovalRefused, match="their own"):
        requests.approve(ask(requests, who, clock, "root").id, by=who.find("root"), policies=RULES)
    with pytest.raises(ApprovalRefused):
        requests.revoke(ask(requests, who, clock, "bo").id, by=who.find("ada"), policies=policies())


def test_it_is_never_for_longer_than_asked(who: Users, requests: AccessRequests, clock: Clock) -> None:
    asked = ask(requests, who, clock)
    with pytest.raises(UsageError, match="longer"):
        requests.approve(asked.id, by=OWNER, policies=RULES, until=asked.until + timedelta(seconds=1))
    assert requests.approve(asked.id, by=OWNER, policies=RULES, until=clock() + timedelta(hours=1)).until == clock() + timedelta(hours=1)
    late = ask(requests, who, clock, "bo", until=clock() + timedelta(minutes=1))
    clock.move(minutes=2)
    with pytest.raises(UsageError, match="is ended"):
        requests.approve(late.id, by=OWNER, policies=RULES)


def test_several_who_decide_at_once_decide_once(who: Users, requests: AccessRequests, clock: Clock) -> None:
    asked = ask(requests, who, clock)

    def attempt(_: int) -> bool:
        try:
            requests.approve(asked.id, by=OWNER, policies=RULES)
        except UsageError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(attempt, range(8))) == 1


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"action": None}, "what is asked for"),
        ({"role": "support"}, "what is asked for"),
        ({"action": "approve"}, "for a time"),
        ({"action": "admin"}, "for a time"),
        ({"action": "audit"}, "for a time"),
        ({"action": "run", "columns": ["id"]}, "whole tables"),
        ({"action": None, "role": "support", "unmask": ["pii"]}, "its own"),
        ({"reason": "  "}, "reason"),
        ({"table": TableName("shop", "*")}, "one table"),
    ],
)
def test_what_cannot_be_asked_for(who: Users, requests: AccessRequests, clock: Clock, changes: dict[str, object], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        ask(requests, who, clock, **changes)


def test_it_is_asked_for_by_whom_it_is_for_or_the_owner(who: Users, requests: AccessRequests, clock: Clock) -> None:
    with pytest.raises(UsageError, match="by whom"):
        ask(requests, who, clock, "ada", by=who.find("bo"))
    with pytest.raises(UsageError, match="no user"):
        ask(requests, who, clock, "nobody", by=OWNER)
    with pytest.raises(UsageError, match="over before"):
        ask(requests, who, clock, until=clock())
    assert ask(requests, who, clock, "ada", by=OWNER).requested_by == "owner"
    with pytest.raises(UsageError, match="no request"):
        requests.find("nothing")
    with pytest.raises(UsageError):
        requests.find("")


def test_a_role_brings_what_it_may_do_with_the_table_its_limits_addresses_and_denials(who: Users, requests: AccessRequests, clock: Clock) -> None:
    given = requests.approve(ask(requests, who, clock, action=None, role="support").id, by=OWNER, policies=RULES)
    rules = who.policies()
    assert sees(who, "ada", CUSTOMERS, clock) == {"id": "None", "email": "None"}, "country is denied to the role"
    role = rules.roles[given.group]
    assert [(grant.action, [str(on) for on in grant.on], grant.where) for grant in role.grants] == [("select", ["shop.customers"], "country = 'NO'")]
    assert role.limits.rows == 10
    assert rules.network.roles[given.group] == ("10.0.0.0/8",)
    assert sees(who, "ada", SALARIES, clock) == {}, "not by label, not beyond the table"
    assert not decide(rules, who.find("ada"), "approve", Resource(SALARIES), at=clock()).is_allowed


def test_the_version_says_what_is_in_force(who: Users, requests: AccessRequests, clock: Clock) -> None:
    versions = {RULES.version, effective_policies(RULES, (), clock()).version}
    assert versions == {"v1"}
    for name in ("ada", "bo"):
        requests.approve(ask(requests, who, clock, name).id, by=OWNER, policies=RULES)
        version = who.policies().version
        assert version == who.policies().version
        versions.add(version)
    requests.revoke(requests.list(user="ADA")[0].id, by=OWNER, policies=RULES)
    versions.add(who.policies().version)
    assert len(versions) == 4
    Policies.model_validate(who.policies().model_dump(include={"version"}))


def test_environments_keep_their_own(who: Users, requests: AccessRequests, store: StateStore, clock: Clock) -> None:
    dev = AccessRequests(store, "dev")
    given = dev.approve(ask(dev, who, clock).id, by=OWNER, policies=RULES)
    assert given.state == "approved"
    assert requests.list() == []
    assert sees(who, "ada", CUSTOMERS, clock) == {}
    with pytest.raises(UsageError):
        requests.find(given.id)


# -- rights that nobody uses -----------------------------------------------------------------------------------------

WIDE = policies(
    roles={
        "analyst": {
            "description": "Looks at figures",
            "grants": [{"select": "marts.*"}, {"select": "shop.*", "unmask": ["pii"]}, {"export": "marts.*"}, {"select": "old.*"}],
        },
        "twice": {"grants": [{"select": "marts.days"}]},
        "idle": {"grants": [{"select": "*"}]},
    },
    groups={"analysts": {"roles": ["analyst", "twice"], "members": ["ada", "bo", "gone"]}},
    masks={"pii": "redact"},
)


def used(clock: Clock, name: str, table: TableName, *columns: str, **changes: object) -> Audited:
    fields = {"tables": (str(table),), "columns": tuple(f"{table}.{column}" for column in columns), **changes}
    return Audited(clock(), "q", name, str(fields.pop("action", "select")), fields.pop("decision", "allowed"), **fields)  # type: ignore[arg-type]


def test_the_smaller_policy_serves_all_that_was_asked_and_nothing_else(clock: Clock) -> None:
    records = [
        used(clock, "ada", DAYS, "day", "revenue"),
        used(clock, "ada", DAYS, "revenue"),
        used(clock, "bo", CUSTOMERS, "id", "email"),
        used(clock, "bo", SALARIES, "pay", decision="refused"),
        used(clock, "gone", SALARIES, action="login"),
        used(clock, "owner", SALARIES, "pay"),
    ]
    uses = uses_of(records, WIDE)
    found = review(WIDE, uses, RESOURCES.get, queries=6)
    assert (found.uses, found.not_replayed) == (3, 0)
    said = {(one.kind, one.where, one.right, one.instead) for one in found.unused}
    assert ("grant", "role analyst", "select old.*", None) in said
    assert ("grant", "role analyst", "export marts.*", None) in said
    assert ("grant", "role idle", "select *.*", None) in said
    assert ("membership", "group analysts", "gone", None) in said
    assert ("part of a grant", "role analyst", "select shop.*", "select shop.customers") in said
    assert ("part of a grant", "role analyst", "select unmask pii", "select unmask pii.email") in said
    for use in uses:
        before = decide(WIDE, use.principal, "select", RESOURCES[use.table], at=clock())
        after = decide(found.smaller, use.principal, "select", RESOURCES[use.table], at=clock())
        assert after.is_allowed
        assert {name: before.columns[name] for name in after.columns} == dict(after.columns)
        assert {name.lower() for name in after.columns} >= use.columns
    ada = uses[0].principal
    assert not decide(found.smaller, ada, "select", RESOURCES[SALARIES], at=clock()).is_allowed
    written = yaml.safe_load(to_yaml(found.smaller))
    again = PolicyFile.model_validate(written)
    assert again.roles == found.smaller.roles
    assert again.groups == found.smaller.groups


def test_what_is_not_allowed_any_more_or_gone_proves_nothing(clock: Clock) -> None:
    records = [used(clock, "ada", TableName("marts", "dropped"), "x"), used(clock, "stranger", DAYS, "day"), used(clock, "ada", DAYS)]
    found = review(WIDE, uses_of(records, WIDE), RESOURCES.get)
    assert (found.uses, found.not_replayed) == (1, 2)


def test_taking_back_ones_own_request_uses_no_right(clock: Clock) -> None:
    own = used(clock, "ada", DAYS, action="revoke", sql="3f2a of ada")
    assert uses_of([own], WIDE) == []
    assert [(use.principal.name, use.action) for use in uses_of([own, used(clock, "bo", DAYS, action="revoke", sql="3f2a of ada")], WIDE)] == [
        ("bo", "approve")
    ]


def test_groups_that_a_provider_named_count(clock: Clock) -> None:
    records = [used(clock, "stranger", DAYS, "day", groups=("analysts",))]
    found = review(WIDE, uses_of(records, WIDE), RESOURCES.get)
    assert (found.uses, found.not_replayed) == (1, 0)
    assert found.smaller.roles["twice"].grants or found.smaller.roles["analyst"].grants


def test_without_any_use_no_right_is_needed(clock: Clock) -> None:
    found = review(WIDE, [], RESOURCES.get)
    assert all(not role.grants for role in found.smaller.roles.values())
    assert all(not group.members for group in found.smaller.groups.values())


def test_what_the_owner_tried_as_somebody_is_no_use_of_theirs_but_an_export_somebody_ran_is(clock: Clock) -> None:
    tried = used(clock, "ada", DAYS, "day", asked_by="owner")
    ran = used(clock, "ada", DAYS, "day", action="export", asked_by="owner")
    assert [(use.principal.name, use.action) for use in uses_of([tried, ran], WIDE)] == [("ada", "export")]


def test_the_same_columns_in_another_order_are_nothing_smaller(clock: Clock) -> None:
    rules = policies(
        roles={"r": {"grants": [{"select": "shop.customers", "columns": ["ID", "email"], "unmask": ["pii.email"]}]}},
        groups={"g": {"roles": ["r"], "members": ["ada"]}},
    )
    found = review(rules, uses_of([used(clock, "ada", CUSTOMERS, "email", "id")], rules), RESOURCES.get)
    assert (found.uses, found.unused) == (1, ())


def test_all_columns_of_a_table_are_nothing_smaller_than_all(clock: Clock) -> None:
    rules = policies(roles={"r": {"grants": [{"select": "shop.customers"}]}}, groups={"g": {"roles": ["r"], "members": ["ada"]}})
    every = [column.name for column in RESOURCES[CUSTOMERS].columns]
    assert review(rules, uses_of([used(clock, "ada", CUSTOMERS, *every)], rules), RESOURCES.get).unused == ()
    (part,) = review(rules, uses_of([used(clock, "ada", CUSTOMERS, *every[1:])], rules), RESOURCES.get).unused
    assert part.instead == f"select columns {', '.join(sorted(every[1:]))}"
