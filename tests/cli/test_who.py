"""Users, access for a time and the audit, by the commands."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from headwater import api
from headwater.errors import ApprovalRefused, AuditBroken, AuthenticationFailed
from headwater.security.audit import AuditLog
from headwater.security.audited import Audited
from headwater.spec.policies import Policies

GOOD = "correct horse battery"
TOKEN = re.compile(r"hw_[0-9a-z]{12}_[0-9A-Za-z]{43}\n")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that take no time; the cost is tested where passwords are."""
    monkeypatch.setattr("headwater.security.passwords.Cost.__init__.__defaults__", (1, 64, 1))


def test_users_are_added_listed_disabled_and_enabled(shop: Path, quick: None, hw: Any) -> None:
    assert "owner alone" in hw(shop, "user", "list").err
    assert hw(shop, "user", "list", "--json").json == []
    made = hw(shop, "user", "add", "ada", "--admin", "--group", "analysts", "--group", "stewards")
    assert re.fullmatch(r"[a-zA-Z2-9]{24}\n", made.out)
    assert "shown this once" in made.err
    assert hw(shop, "user", "add", "loader", "--service", "--password-stdin", input="correct horse battery\n").out == ""
    hw(shop, "user", "add", "eve", "--oidc")
    users = {one["name"]: one for one in hw(shop, "user", "list", "--format", "json").json}
    assert (users["ada"]["is_admin"], users["ada"]["password"]) == (True, "generated")
    assert users["ada"]["memberships"] == [{"group": group, "origin": "user"} for group in ("analysts", "stewards")]
    assert "no policy says what the group analysts brings" in made.err
    assert (users["loader"]["kind"], users["loader"]["password"]) == ("service", "own")
    assert users["eve"]["password"] == "none"
    hw(shop, "user", "disable", "ada")
    assert "disabled" in hw(shop, "user", "list").out
    hw(shop, "user", "enable", "ada")
    assert "disabled" not in hw(shop, "user", "list").out
    assert hw(shop, "user", "passwd", "ada").out != made.out
    hw(shop, "user", "passwd", "loader", "--must-rotate", "--password-stdin", input="another good one")
    assert "must change password" in hw(shop, "user", "list").out
    assert not (shop / ".headwater" / "lake.sqlite").exists(), "users need no lake"
    state = (shop / ".headwater" / "state.sqlite").read_bytes()
    assert made.out.strip().encode() not in state
    assert b"correct horse" not in state


def test_people_change_their_own_password_with_the_one_they_have(shop: Path, quick: None, hw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = hw(shop, "user", "add", "ada").out.strip()
    hw(shop, "user", "add", "bea")
    token = hw(shop, "user", "token", "ada").out.strip()
    first = hw(shop, "user", "passwd", "ada", "--must-rotate").out.strip()
    monkeypatch.setenv("HEADWATER_TOKEN", token)
    for given, code in ((f"wrong\n{GOOD}\n", "HW-U001"), (f"{first}\nshort\n", "HW-U003"), (f"{first}\n{first}\n", "HW-U003"), (f"{GOOD}\n", "")):
        said = hw(shop, "user", "passwd", "ada", "--password-stdin", input=given, expect=None)
        assert code in said.err
    assert "two lines on stdin" in hw(shop, "user", "passwd", "ada", expect=None).err, "a token alone changes nothing"
    assert "administer users" in hw(shop, "user", "passwd", "bea", "--password-stdin", input=f"{first}\n{GOOD}\n", expect=None).err
    hw(shop, "user", "passwd", "Ada", "--password-stdin", input=f"{first}\n{GOOD}\n")
    monkeypatch.setenv("HEADWATER_TOKEN", "hw_000000000000_" + "x" * 43)
    assert "HW-U001" in hw(shop, "user", "passwd", "bea", "--password-stdin", input=f"{GOOD}\n{GOOD}2\n", expect=None).err
    hw(shop, "user", "passwd", "ada", "--password-stdin", input=f"{GOOD}\nanother good one\n")
    monkeypatch.delenv("HEADWATER_TOKEN")
    users = {one["name"]: one for one in hw(shop, "user", "list", "--json").json}
    assert (users["ada"]["must_rotate"], users["ada"]["password"], users["bea"]["password"]) == (False, "own", "generated")
    rows = hw(shop, "audit", "list", "--action", "password", "--format", "json").json
    assert [(row["record"]["principal"], row["record"]["decision"]) for row in rows] == [("ada", "allowed"), ("ada", "allowed")]


def test_tokens_are_shown_once_listed_by_id_and_revoked(shop: Path, quick: None, hw: Any) -> None:
    hw(shop, "user", "add", "ada")
    first = hw(shop, "user", "token", "ada", "--expires", "30d", "--scope", "select")
    assert TOKEN.fullmatch(first.out)
    second = hw(shop, "user", "token", "ada", "--json").json
    listed = hw(shop, "user", "tokens", "ada", "--format", "json").json
    assert {one["id"] for one in listed} == {first.out[3:15], second["id"]}
    assert first.out.strip() not in hw(shop, "user", "tokens").out
    hw(shop, "user", "revoke", second["id"])
    assert "revoked" in hw(shop, "user", "tokens").out
    assert hw(shop, "user", "list", "--json").json[0]["tokens"] == 1


@pytest.mark.parametrize(
    ("arguments", "input", "says"),
    [
        (["user", "add", "owner"], None, "HW-P005"),
        (["user", "add", "a b"], None, "HW-P005"),
        (["user", "add", "bo", "--password-stdin"], "short\n", "HW-U003"),
        (["user", "add", "bo", "--password-stdin"], "", "no password came"),
        (["user", "add", "bo", "--password-stdin", "--oidc"], "correct horse battery", "one of the two"),
        (["user", "passwd", "nobody"], None, "user list"),
        (["user", "disable", "nobody"], None, "user list"),
        (["user", "token", "nobody"], None, "user list"),
        (["user", "revoke", "nothing"], None, "user tokens"),
        (["user", "token", "ada", "--expires", "soon"], None, "duration"),
        (["user", "token", "ada", "--scope", "slect"], None, "select"),
        (["access", "request", "shop.orders", "--until", "8h", "--reason", "x"], None, "--user"),
        (["access", "request", "shop.order", "--user", "ada", "--until", "8h", "--reason", "x"], None, "shop.orders"),
        (["access", "request", "shop.orders", "--user", "ada", "--until", "someday", "--reason", "x"], None, "neither"),
        (["access", "request", "shop.orders", "--user", "ada", "--until", "2020-01-01", "--reason", "x"], None, "over before"),
        (["access", "request", "shop.orders", "--user", "ada", "--until", "8h", "--reason", "x", "--role", "r"], None, "no role"),
        (["access", "approve", "nothing"], None, "access list"),
        (["access", "revoke", "nothing"], None, "access list"),
        (["audit", "list", "--since", "yesterday"], None, "not a time"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_calls_end_with_2_and_a_way_out(shop: Path, quick: None, hw: Any, arguments: list[str], input: str | None, says: str) -> None:
    hw(shop, "user", "add", "ada")
    done = hw(shop, *arguments, input=input, expect=2)
    assert says in done.err
    assert done.out == ""


def test_access_is_asked_for_approved_and_taken_back(shop: Path, quick: None, hw: Any) -> None:
    assert "nobody asked" in hw(shop, "access", "list").err
    hw(shop, "user", "add", "ada")
    asked = hw(shop, "access", "request", "shop.orders", "--user", "ada", "--until", "8h", "--reason", "ticket 7", "--column", "id").out.strip()
    assert hw(shop, "access", "list", "--state", "waiting", "--json").json[0]["id"] == asked
    assert "approved for ada on shop.orders until" in hw(shop, "access", "approve", asked, "--until", "1h").err
    assert "approved" in hw(shop, "access", "list", "--user", "ada").out
    hw(shop, "access", "revoke", asked)
    assert hw(shop, "access", "list", "--state", "approved", "--format", "json").json == []
    actions = [row["record"]["action"] for row in hw(shop, "audit", "list", "--json").json]
    assert actions == ["user", "request", "approve", "revoke"]


def test_what_is_asked_for_is_told_whole_and_must_be_there(shop: Path, quick: None, hw: Any) -> None:
    source = shop / "sources" / "shop.yaml"
    source.write_text(source.read_text().replace("customer_id: bigint", "customer_id: {type: bigint, labels: pii.id}"))
    (shop / "policies").mkdir()
    denied = "[{user: ada, select: shop.orders, columns: [amount]}, {user: ada, select: shop.customers}]"
    (shop / "policies" / "p.yaml").write_text(f"roles: {{r: {{grants: [{{select: marts.countries}}]}}}}\ndeny: {denied}\n")
    hw(shop, "user", "add", "ada")
    ask = ["access", "request", "--user", "ada", "--until", "8h", "--reason", "x"]
    hw(shop, *ask, "shop.orders", "--column", "not yet known")
    hw(shop, "run")
    assert "shop.orders has no column 'nope'" in hw(shop, *ask, "shop.orders", "--column", "nope", expect=2).err
    assert "no column of shop.orders has the label 'nope.nope'" in hw(shop, *ask, "shop.orders", "--unmask", "nope.nope", expect=2).err
    asked = hw(shop, *ask, "shop.orders", "--column", "ID", "--unmask", "pii", "--unmask", "shop.orders.id", "--purpose", "churn").out.strip()
    wanted = "select, columns ID, pii, shop.orders.id in clear, for churn"
    assert wanted in hw(shop, "access", "list").out
    said = hw(shop, "access", "approve", asked).err
    assert wanted in said
    assert "deny select shop.orders: takes away amount" in said
    assert f"{wanted} on shop.orders" in hw(shop, "access", "revoke", asked).err
    closed = hw(shop, *ask, "shop.customers").out.strip()
    assert (
        "it stays closed by a denial, which beats what is approved: deny select shop.customers: denied" in hw(shop, "access", "approve", closed).err
    )
    assert "there is no such row" in hw(shop, "audit", "list", "--action", "foo").err
    as_role = hw(shop, *ask, "shop.orders", "--role", "r").out.strip()
    assert "role r" in hw(shop, "access", "approve", as_role).err


def test_what_is_said_is_said_for_the_case_it_is(shop: Path, quick: None, hw: Any) -> None:
    refused = hw(shop, "user", "add", "bo", "--password-stdin", input="short\n", expect=2).err
    assert "nothing was changed" in refused
    assert "as it was" not in refused
    hw(shop, "run")
    assert "the policies give no right" in hw(shop, "access", "review").err
    hw(shop, "user", "add", "ada")
    said = hw(shop, "query", "FROM shop.orders", "--as", "ada", expect=2).err
    assert "headwater ls lists" in said
    assert "the catalog" not in said
    hw(shop, "query", "SELECT nope FROM shop.customers", expect=2)
    told = hw(shop, "audit", "list", "--json", "--limit", "1").json[0]["record"]["error"]
    assert told.count('"nope" not found') == 1


def with_policies(folder: Path, token: str | None = None, **parts: Any) -> api.Project:
    project = api.open(folder)
    environ = {**project._loaded.environ, **({"HEADWATER_TOKEN": token} if token else {})}
    object.__setattr__(project._loaded, "policies", Policies.model_validate({**parts, "version": "v1"}))
    object.__setattr__(project._loaded, "environ", environ)
    return project


def test_a_token_says_who_calls_and_what_they_may(shop: Path, quick: None, hw: Any) -> None:
    tokens = {}
    for name in ("ada", "bo"):
        hw(shop, "user", "add", name)
        tokens[name] = hw(shop, "user", "token", name).out.strip()
    rules = {"roles": {"steward": {"grants": [{"approve": "shop.*"}, {"audit": "*"}]}}, "groups": {"s": {"roles": ["steward"], "members": ["bo"]}}}
    with with_policies(shop, tokens["ada"], **rules) as ada:
        asked = ada.requests.request("shop.orders", until="8h", reason="ticket")
        assert asked.user == "ada"
        for attempt in (lambda: ada.requests.approve(asked.id), ada.users.list, ada.audit.list, lambda: ada.users.add("cy"), ada.requests.review):
            with pytest.raises(ApprovalRefused):
                attempt()
        assert [one.id for one in ada.requests.list()] == [asked.id]
    with with_policies(shop, tokens["bo"], **rules) as bo:
        mine = bo.requests.request("marts.revenue", until="2099-01-01", reason="mine")
        assert {one.id for one in bo.requests.list()} == {asked.id, mine.id}
        assert bo.requests.approve(asked.id).approved_by == "bo"
        assert bo.audit.list()
        assert bo.audit.arrow().num_rows > 3
    with with_policies(shop, "hw_wrong", **rules) as nobody, pytest.raises(AuthenticationFailed):
        nobody.requests.list()


def test_the_audit_is_verified_against_the_lake(shop: Path, quick: None, hw: Any) -> None:
    assert "nothing is audited" in hw(shop, "audit", "list").err
    hw(shop, "run")
    assert "nothing is audited" in hw(shop, "audit", "anchor").err
    for name in ("ada", "bo", "cy"):
        hw(shop, "user", "add", name)
    assert "3 rows, the first 0" in hw(shop, "audit", "verify").out
    assert "3 rows are held" in hw(shop, "audit", "anchor").out
    assert "already" in hw(shop, "audit", "anchor").err
    assert hw(shop, "audit", "verify", "--json").json["anchored_seq"] == 3
    assert "add bo" in hw(shop, "audit", "list", "--action", "user", "--user", "owner", "--limit", "2").out
    assert hw(shop, "audit", "list", "--decision", "refused", "--since", "2020-01-01", "--until", "2099-01-01", "--json").json == []
    keyring = shop / ".headwater" / "keys" / "keyring.json"
    kept = keyring.read_bytes()
    keyring.unlink()
    done = hw(shop, "audit", "verify", expect=1)
    assert "isn't signed with a key of this project" in done.err
    keyring.write_bytes(kept)
    hw(shop, "user", "add", "di")
    hw(shop, "run")
    assert hw(shop, "audit", "verify", "--json").json["anchored_seq"] == 4, "a run lets the lake hold what was audited"
    with sqlite3.connect(shop / ".headwater" / "state.sqlite") as connection:
        connection.execute("DELETE FROM audit WHERE seq >= 3")
        connection.execute("UPDATE audit_chain SET seq = 2, hash = (SELECT hash FROM audit WHERE seq = 2)")
    connection.close()
    done = hw(shop, "audit", "verify", expect=1)
    assert "HW-U009" in done.err
    assert "cut off" in done.err
    with api.open(shop) as project, pytest.raises(AuditBroken):
        project.audit.verify()


def test_a_review_says_what_nobody_used(shop: Path, quick: None, hw: Any) -> None:
    hw(shop, "run")
    hw(shop, "user", "add", "ada")
    assert "the policies give no right" in hw(shop, "access", "review", "--days", "7").err
    assert hw(shop, "access", "review", "--json").json["unused"] == []
    assert hw(shop, "access", "review", "--yaml").out.startswith("roles: {}")
    rules = {"roles": {"r": {"grants": [{"select": "marts.*"}, {"select": "shop.*"}]}}, "groups": {"g": {"roles": ["r"], "members": ["ada"]}}}
    with with_policies(shop, **rules) as project:
        state = project._session.state
        record = Audited(state.clock(), "q", "ada", "select", "allowed", tables=("marts.revenue",), columns=("marts.revenue.day",))
        AuditLog(state, project.environment).append(record)
        found = project.requests.review(days=1)
    assert [(one.right, one.instead) for one in found.unused] == [
        ("select marts.*", "select marts.revenue"),
        ("select columns all", "select columns day"),
        ("select shop.*", None),
    ]
    assert json.dumps(found.smaller.model_dump(mode="json"))


def test_a_review_goes_by_the_labels_of_what_readers_see(shop: Path, quick: None, hw: Any) -> None:
    source, rules = shop / "sources" / "shop.yaml", shop / "policies" / "p.yaml"
    plain = source.read_text()
    rules.parent.mkdir()
    rules.write_text("roles: {r: {grants: [{select: shop.orders, unmask: pii}]}}\ngroups: {g: {roles: [r], members: [ada]}}\n")
    source.write_text(plain.replace("customer_id: bigint", "customer_id: {type: bigint, labels: pii.id}"))
    hw(shop, "run", "shop.orders")
    source.write_text(plain)
    hw(shop, "reload", "shop.orders")
    hw(shop, "rollback", "shop.orders")
    hw(shop, "user", "add", "ada", "--oidc")
    token = hw(shop, "user", "token", "ada").out.strip()
    sql = "SELECT customer_id FROM shop.orders WHERE customer_id IS NOT NULL LIMIT 1"
    assert hw(shop, "query", sql, "--json", env={"HEADWATER_TOKEN": token}).json[0]["customer_id"] is not None
    found = {one["right"]: one["instead"] for one in hw(shop, "access", "review", "--json").json["unused"]}
    assert found == {"select columns all": "select columns customer_id", "select unmask pii": "select unmask pii.id"}
    hw(shop, "access", "request", "shop.orders", "--user", "ada", "--until", "8h", "--reason", "x", "--unmask", "pii.id")
