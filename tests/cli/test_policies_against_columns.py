"""Lint holds policies against the columns that tables have: what could only fail when somebody reads is said before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

CONTACTS: Final = """\
type: files
streams:
  people:
    path: data/people.csv
    schema_contract: enforced
    columns: {id: bigint, email: {type: varchar, labels: pii.email}, born: {type: date, labels: pii.born}}
  entitlements: {path: data/entitlements.csv, write_disposition: replace}
"""
POLICIES: Final = """\
roles:
  analyst:
    grants:
      - select: marts.revenue
        where: nope = 1
      - select: shop.*
        where: country = 'NO'
      - select: marts.countries
        columns: [dday]
      - select: marts.revenue
        where: getenv('HOME') = 'x'
      - select: marts.revenue
        where: current_setting('TimeZone') = 'UTC'
      - select: marts.revenue
        where: day = 'x'::DATE + 'y'
      - select: marts.revenue
        where: country = 'NO' AND list_contains(current_groups(), country)
      - select: contacts.people
        where: id IN (SELECT person FROM contacts.entitlements WHERE who = current_user())
      - select: contacts.people
        where: id IN (SELECT persn FROM contacts.entitlements)
masks:
  contacts.people.nocol: redact
  contacts.peple.email: redact
  marts.revenue.day: {noise: 0.1}
  marts.revenue.country: partial
  pii.born: partial
deny:
  - {role: analyst, select: marts.revenue, columns: [revenu]}
"""
FILES: Final = {
    "policies/p.yaml": POLICIES,
    "sources/contacts.yaml": CONTACTS,
    "data/people.csv": "id,email,born\n1,a@example.com,1980-01-01\n",
    "data/entitlements.csv": "who,person\nada,1\n",
}


@pytest.fixture(scope="module")
def linted(lasting_shop: Callable[..., Path], hw: Any) -> dict[int, list[dict[str, Any]]]:
    """What lint says of the policies once the lake is built, by line."""
    folder = lasting_shop(FILES)
    hw(folder, "run")
    found: dict[int, list[dict[str, Any]]] = {}
    for problem in hw(folder, "lint", "--json", expect=2).json:
        if problem["path"] == "policies/p.yaml":
            found.setdefault(problem["line"], []).append(problem)
    return found


@pytest.mark.parametrize(
    ("line", "rule", "severity", "words"),
    [
        (5, "filter-not-applicable", "error", "names nope, and there is no such column in marts.revenue"),
        (7, "filter-not-applicable", "error", "names country, and there is no such column in shop.orders"),
        (9, "unknown-policy-column", "error", "names the column dday, which no table that it is on has (marts.countries)"),
        (11, "filter-not-applicable", "error", "calls getenv(), and there is no such function"),
        (13, "filter-not-applicable", "error", "calls current_setting(), which nobody but the owner may"),
        (15, "filter-not-applicable", "error", "can't be computed ("),
        (21, "filter-not-applicable", "error", "names persn, and there is no such column"),
        (23, "unknown-policy-column", "error", "a mask is for contacts.people.nocol, and contacts.people has no such column"),
        (24, "unknown-policy-column", "error", "there is no table contacts.peple"),
        (25, "mask-not-applicable", "error", "noise(0.1) can't be applied to marts.revenue.day, which is DATE"),
        (27, "mask-hides", "warning", "leaves nothing of contacts.people.born, which is DATE"),
        (29, "unknown-policy-column", "error", "a denial names the column revenu"),
    ],
)
def test_what_could_only_fail_when_somebody_reads_is_said(
    linted: dict[int, list[dict[str, Any]]], line: int, rule: str, severity: str, words: str
) -> None:
    assert [(one["rule"], one["severity"]) for one in linted[line]] == [(rule, severity)]
    assert words in linted[line][0]["message"]


def test_nothing_is_said_of_what_can_be_applied(linted: dict[int, list[dict[str, Any]]]) -> None:
    assert sorted(linted) == [5, 7, 9, 11, 13, 15, 21, 23, 24, 25, 27, 29]


def test_without_a_lake_only_what_contracts_and_lineage_tell_is_claimed(make_shop: Callable[..., Path], hw: Any) -> None:
    folder = make_shop(FILES)
    found = [one for one in hw(folder, "lint", "--json", expect=2).json if one["path"] == "policies/p.yaml"]
    lines = {one["line"] for one in found}
    assert {5, 9, 23, 24, 27} <= lines
    assert lines.isdisjoint({7, 17, 19, 21, 26}), "the columns of a stream without a frozen contract aren't known before it is loaded"


def test_a_stream_that_a_row_filter_looks_into_is_used(make_shop: Callable[..., Path], hw: Any) -> None:
    folder = make_shop(FILES)
    unused = [one["message"] for one in hw(folder, "lint", "--json", expect=2).json if one["rule"] == "unused-stream"]
    assert [message.split()[0] for message in unused] == ["contacts.people"]


def _said(hw: Any, folder: Path, *, expect: int = 0) -> list[str]:
    found = hw(folder, "lint", "--json", expect=expect).json
    return [one["message"] for one in found if one["path"] == "policies/p.yaml"]


def test_a_column_that_comes_with_the_policy_about_it_is_no_error(make_shop: Callable[..., Path], hw: Any) -> None:
    contacts = "type: files\nstreams:\n  people: {path: data/people.csv, columns: {id: bigint}}\n"
    files = {"models/marts/all_of.sql": "SELECT * FROM contacts.people\n", "models/marts/top.sql": "SELECT * FROM marts.all_of\n"}
    folder = make_shop({**files, "sources/contacts.yaml": contacts, "data/people.csv": "id,name\n1,ada\n"})
    hw(folder, "run")
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies/p.yaml").write_text(
        "roles:\n  analyst:\n    grants:\n"
        + "".join(
            f"      - {{select: {table}, where: \"region = 'north'\", columns: [id, region]}}\n"
            for table in ("contacts.people", "marts.all_of", "marts.top")
        )
        + "masks: {contacts.people.region: partial, marts.top.region: partial}\n"
    )
    assert len(_said(hw, folder, expect=2)) == 8
    (folder / "sources/contacts.yaml").write_text(contacts.replace("id: bigint", "id: bigint, region: {type: varchar}"))
    (folder / "data/people.csv").write_text("id,name,region\n1,ada,north\n")
    assert _said(hw, folder) == []
    hw(folder, "run")
    assert _said(hw, folder) == []


def test_a_type_that_changes_with_the_policy_about_it_is_no_error(make_shop: Callable[..., Path], hw: Any) -> None:
    folder = make_shop({"models/marts/days.sql": "SELECT '2024-05-01' AS s\n", "models/marts/top.sql": "SELECT * FROM marts.days\n"})
    hw(folder, "run")
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies/p.yaml").write_text(
        "roles:\n  analyst:\n    grants:\n      - {select: marts.days, where: year(s) = 2024}\n      - {select: marts.top, where: year(s) = 2024}\n"
        "masks: {marts.days.s: {generalise: month}}\n"
    )
    assert len(_said(hw, folder, expect=2)) == 3
    (folder / "models/marts/days.sql").write_text("SELECT '2024-05-01'::DATE AS s\n")
    assert _said(hw, folder) == []
    (folder / "policies/p.yaml").write_text("roles: {analyst: {grants: [{select: marts.top, where: nope = 1}]}}\n")
    assert _said(hw, folder, expect=2) == ["the row filter of the role analyst names nope, and there is no such column in marts.top"]
