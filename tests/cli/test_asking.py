"""Who asks: the owner, the user of a token, a user as the owner tries them; and what the audit says of it, as a table too."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import headwater
from headwater.api.rooms import open_state
from headwater.state import tables as t

POLICIES = """\
roles:
  analyst:
    grants:
      - {select: shop.customers, columns: [id, country], where: "country = 'NO'"}
      - {select: marts.revenue, purpose: planning}
  auditor:
    grants: [{audit: '*'}]
  operator:
    grants: [{run: 'marts.*'}, {publish: marts.revenue}, {quarantine: shop.orders}]
groups:
  analysts: {roles: [analyst], members: [ada]}
  auditors: {roles: [auditor], members: [eve]}
  operators: {roles: [operator], members: [bot]}
"""


@pytest.fixture
def guarded(make_shop: Callable[..., Path], hw: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("headwater.security.passwords.Cost.__init__.__defaults__", (1, 64, 1))
    folder = make_shop({"policies/p.yaml": POLICIES})
    hw(folder, "run")
    for name in ("ada", "eve", "bot"):
        hw(folder, "user", "add", name)
    return folder


def token(hw: Any, folder: Path, name: str) -> str:
    return str(hw(folder, "user", "token", name).out.strip())


def test_the_owner_sees_what_a_user_would_see(guarded: Path, hw: Any) -> None:
    asked = hw(guarded, "query", "FROM shop.customers ORDER BY id", "--as", "ada", "--json").json
    assert asked == [{"id": 1, "country": "NO"}, {"id": 3, "country": "NO"}]
    assert "there is no table marts.revenue" in hw(guarded, "query", "FROM marts.revenue", "--as", "ada", expect=2).err
    assert hw(guarded, "query", "SELECT count(*) AS n FROM marts.revenue", "--as", "ada", "--purpose", "planning", "--json").json[0]["n"] > 0
    assert "what isn't published" in hw(guarded, "query", "FROM shop.customers", "--as", "ada", "--head", expect=2).err
    assert "no user 'nobody'" in hw(guarded, "query", "SELECT 1", "--as", "nobody", expect=2).err
    assert "add --as USER" in hw(guarded, "query", "SELECT 1", "--purpose", "x", expect=2).err


def test_explain_knows_the_groups_that_users_were_added_to(guarded: Path, hw: Any) -> None:
    hw(guarded, "user", "add", "zoe", "--group", "analysts")
    said = hw(guarded, "access", "explain", "zoe", "shop.customers").out
    assert "in the group analysts (user): analyst" in said
    assert "(country = 'NO')" in said
    assert len(hw(guarded, "query", "FROM shop.customers", "--as", "zoe", "--json").json) == 2


def test_a_token_says_who_asks(guarded: Path, hw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_TOKEN", token(hw, guarded, "ada"))
    assert len(hw(guarded, "query", "FROM shop.customers", "--json").json) == 2
    assert "there is no table" in hw(guarded, "diff", "shop.customers", "--from", "1", expect=2).err
    assert hw(guarded, "quarantine", "list", "--rows", "--json").json == []
    assert "can't ask as somebody else" in hw(guarded, "query", "SELECT 1", "--as", "eve", expect=2).err
    for deed in (["run"], ["show", "marts.revenue"], ["publish", "marts.revenue"], ["reload", "shop.orders"]):
        assert "ada may not" in hw(guarded, *deed, expect=1).err
    monkeypatch.setenv("HEADWATER_TOKEN", "hw_nonsense")
    assert "token" in hw(guarded, "query", "SELECT 1", expect=1).err


def test_rights_on_some_tables_are_rights_on_these(guarded: Path, hw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_TOKEN", token(hw, guarded, "bot"))
    hw(guarded, "run", "marts.*")
    assert "bot may not run shop.customers" in hw(guarded, "run", expect=1).err
    assert "bot may not publish marts.countries" in hw(guarded, "rollback", "marts.countries", expect=1).err
    assert "bot may not publish" not in hw(guarded, "publish", "marts.revenue").err
    rows = hw(guarded, "quarantine", "list", "--rows", "--json").json
    assert len(rows) == 1
    hw(guarded, "quarantine", "drop", rows[0]["id"])


def test_the_audit_is_a_table_for_who_has_its_right(guarded: Path, hw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hw(guarded, "query", "FROM shop.customers", "--as", "ada")
    hw(guarded, "query", "SELECT nonsense FROM shop.customers", "--as", "ada", expect=2)
    hw(guarded, "query", "SELECT count(*) FROM shop.orders")
    asked = "SELECT principal, decision, rows FROM headwater.audit WHERE action = 'select' ORDER BY seq"
    found = [tuple(row.values()) for row in hw(guarded, "query", asked, "--json").json]
    assert found == [("ada", "allowed", None), ("ada", "allowed", 2), ("ada", "failed", None), ("owner", "allowed", None), ("owner", "allowed", 1)]
    assert "there is no table headwater.audit" in hw(guarded, "query", asked, "--as", "ada", expect=2).err
    monkeypatch.setenv("HEADWATER_TOKEN", token(hw, guarded, "eve"))
    joined = "SELECT count(*) AS n FROM headwater.audit a JOIN headwater.audit b USING (query_id) WHERE a.rows IS NULL AND b.rows = 2"
    assert hw(guarded, "query", joined, "--json").json == [{"n": 1}]
    for name in ("temp.main.hw_audit", "temp.hw_audit", "main.hw_audit", "hw_audit"):
        hw(guarded, "query", f"SELECT a.seq FROM headwater.audit a, {name}", expect=2)
    assert "the audit is sound" in hw(guarded, "audit", "verify").out


def test_a_query_read_in_part_counts_what_left(guarded: Path) -> None:
    with headwater.open(guarded) as project:
        with project.query("FROM range(100_000)") as result:
            result.fetchmany(10)
        project.query("FROM range(7)").arrow()
        with project.query("SELECT 1 / 0 FROM shop.customers", as_user="ada") as result:
            assert result.fetchall()
        ends = [row.record for row in project.audit.list() if row.record.action == "select" and row.record.rows is not None]
    assert [end.rows for end in ends] == [10, 7, 2]
    assert all(end.sql == "" for end in ends)
    assert all(end.seconds is not None for end in ends)


def test_without_users_nothing_is_audited_and_the_owner_reads_all(shop: Path, hw: Any) -> None:
    hw(shop, "run")
    hw(shop, "query", "FROM shop.customers")
    assert hw(shop, "query", "SELECT count(logged_at) AS n FROM headwater.audit", "--json").json == [{"n": 0}]


def test_what_the_owner_tries_as_somebody_is_audited_as_the_owners(guarded: Path, hw: Any) -> None:
    hw(guarded, "query", "FROM shop.customers", "--as", "ada")
    asked = "SELECT principal, asked_by FROM headwater.audit WHERE action = 'select' ORDER BY seq LIMIT 1"
    assert hw(guarded, "query", asked, "--json").json == [{"principal": "ada", "asked_by": "owner"}]
    assert "owner as ada" in hw(guarded, "audit", "list", "--user", "owner", "--action", "select").out
    assert hw(guarded, "access", "review", "--json").json["uses"] == 0
    hw(guarded, "user", "disable", "ada")
    assert "ada is disabled" in hw(guarded, "query", "FROM shop.customers", "--as", "ada", expect=2).err


def test_the_groups_that_a_provider_named_are_shown_as_of_that_login(guarded: Path, hw: Any) -> None:
    hw(guarded, "user", "add", "olga@example.com", "--oidc")
    with headwater.open(guarded) as project, closing(open_state(project._loaded)) as state:
        claimed = {"claimed_groups": ["analysts", "strangers"], "claimed_at": state.clock()}
        state.write(lambda connection: connection.execute(sa.update(t.users).where(t.users.c.name == "olga@example.com").values(claimed)))
    said = hw(guarded, "access", "explain", "OLGA@example.com", "shop.customers").out
    assert "olga@example.com sees shop.customers" in said
    assert "in the group analysts (oidc, as of the login at 20" in said
    assert "analysts (oidc, 20" in hw(guarded, "user", "list").out
    assert len(hw(guarded, "query", "FROM shop.customers", "--as", "olga@example.com", "--json").json) == 2


def test_explain_says_who_is_unknown_and_who_administers(guarded: Path, hw: Any) -> None:
    hw(guarded, "user", "add", "root", "--admin")
    hw(guarded, "user", "disable", "ada")
    assert "there is no user zed yet" in hw(guarded, "access", "explain", "zed", "shop.customers", expect=1).out
    assert "an administrator" in hw(guarded, "access", "explain", "root", "shop.customers", expect=1).out
    assert "disabled: nothing" in hw(guarded, "access", "explain", "ada", "shop.customers").out
