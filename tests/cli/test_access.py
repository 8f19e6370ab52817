"""`labels` and `access explain`: what they say of a small shop with policies."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

FILES = {
    "headwater.yaml": "name: shop\nthreads: 1\ntimezone: Europe/Oslo\n",
    "sources/crm.yaml": (
        "type: files\nstreams:\n  people:\n    path: data/p.csv\n"
        "    columns: {id: bigint, email: {type: varchar, labels: pii.email}, born: {type: date, labels: [pii.birthdate]}, land: varchar}\n"
    ),
    "models/staging/people.sql": "SELECT id, lower(email) AS mail, email || born AS both, land FROM crm.people\n",
    "models/marts/lands.sql": (
        "-- headwater\n-- kind: view\n-- columns: {land: {labels: place}}\nSELECT land, count(*) AS n FROM staging.people GROUP BY 1\n"
    ),
    "models/marts/later.sql": "SELECT 1 AS i\n",
    "data/p.csv": "id,email,born,land\n1,ada@x.no,1990-05-17,NO\n",
    "policies/p.yaml": """\
roles:
  analyst:
    grants:
      - {select: marts.*, until: 2099-01-01}
      - {select: staging.people, columns: [id, mail], where: "land = 'NO'", purpose: churn}
  support:
    grants: [{select: 'staging.*', unmask: pii}]
groups:
  analysts: {roles: [analyst], members: [ada]}
  helpers: {roles: [support]}
masks: {pii.email: partial, pii.birthdate: {generalise: year}}
deny: [{user: eve, select: '*'}]
""",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, hw: Any) -> Path:
    folder = tmp_path_factory.mktemp("access")
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    hw(folder, "run", "+staging.people", "marts.lands")
    return folder


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_labels_says_where_each_came_from(shop: Path, hw: Any) -> None:
    assert lines(hw(shop, "labels", "staging.people").out)[1:] == [
        "id BIGINT - -",
        "mail VARCHAR pii.email crm.people.email",
        "both VARCHAR pii.birthdate crm.people.born",
        "both VARCHAR pii.email crm.people.email",
        "land VARCHAR - -",
    ]
    assert lines(hw(shop, "labels", "MARTS.lands").out)[1] == "land VARCHAR place its own definition"
    assert "email VARCHAR pii.email its own definition" in lines(hw(shop, "labels", "crm.people").out)


def test_other_rights_are_explained_too(shop: Path, hw: Any) -> None:
    said = hw(shop, "access", "explain", "ada", "staging.people", "--action", "export", expect=1).out
    assert said.startswith("ada may not export staging.people")


@pytest.mark.parametrize("option", [["--format", "json"], ["--json"]])
def test_labels_for_programs(shop: Path, hw: Any, option: list[str]) -> None:
    found = hw(shop, "labels", "staging.people", *option).json
    assert [column["name"] for column in found["columns"]] == ["id", "mail", "both", "land"]
    assert found["columns"][1]["labels"] == [{"label": "pii.email", "origins": ["crm.people.email"], "is_own": False}]


def test_explain_tells_grant_mask_filter_and_end(shop: Path, hw: Any) -> None:
    said = lines(hw(shop, "access", "explain", "ada", "staging.people", "--purpose", "churn").out)
    assert said == [
        "ada sees staging.people",
        "there is no user ada yet: this is what the policies alone say",
        "in the group analysts (policy): analyst",
        "COLUMN LABELS SEEN",
        "id - in clear where land = 'NO'",
        "mail pii.email partial where land = 'NO'",
        "both pii.birthdate, pii.email hidden",
        "land - hidden",
        "rows: (land = 'NO')",
        "until: the policies change",
        "role analyst: select staging.people: allows columns id, mail rows where land = 'NO'",
        "mask pii.email: mail is shown as partial",
    ]


def test_explain_of_one_column(shop: Path, hw: Any) -> None:
    said = lines(hw(shop, "access", "explain", "ada", "staging.people.ID", "--purpose", "churn").out)
    assert said[0] == "ada sees staging.people.id"
    assert not any(line.startswith("mask") for line in said)
    assert (
        "ada sees nothing of staging.people.land" in hw(shop, "access", "explain", "ada", "staging.people.land", "--purpose", "churn", expect=1).out
    )


def test_explain_says_why_nothing_is_seen(shop: Path, hw: Any) -> None:
    assert lines(hw(shop, "access", "explain", "ada", "staging.people", expect=1).out) == [
        "ada sees nothing of staging.people",
        "there is no user ada yet: this is what the policies alone say",
        "in the group analysts (policy): analyst",
        "role analyst: select staging.people: needs the purpose churn",
    ]
    assert lines(hw(shop, "access", "explain", "bob", "marts.lands", expect=1).out)[2:] == [
        "in no group, so without a role",
        "no grant covers it: denied",
    ]
    assert "deny select *.*: denied" in hw(shop, "access", "explain", "eve", "marts.lands", expect=1).out


def test_explain_looks_at_other_times(shop: Path, hw: Any) -> None:
    now = hw(shop, "access", "explain", "ada", "marts.lands", "--json").json
    assert now["until"].startswith("2099-01-01T00:00:00")
    then = hw(shop, "access", "explain", "ada", "marts.lands", "--at", "2099-01-01T02:00", "--json", expect=1).json
    assert then["is_allowed"] is False
    assert then["reasons"] == [{"what": "role analyst: select marts.*", "effect": "ended on 2099-01-01"}]
    assert hw(shop, "access", "explain", "ada", "marts.lands", "--at", "2099-01-01T00:30", "--json").json["is_allowed"]  # in Oslo it is an hour later


def test_groups_from_elsewhere_can_be_given_in_python(shop: Path) -> None:
    import headwater as hw

    with hw.open(shop) as project:
        found = project.access.explain("carol", "staging.people", by_user=["helpers", "strangers"])
        assert [(group.group, group.origin, group.roles) for group in found.groups] == [("helpers", "user", ("support",)), ("strangers", "user", ())]
        assert found.is_allowed
        assert all(way.mask is None for column in found.columns for way in column.seen)
        assert found.policy_version == project.access.explain("ada", "marts.lands").policy_version
        assert not project.access.explain("ada", "marts.lands", action="export").is_allowed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["labels", "staging.peple"], "did you mean staging.people?"),
        (["labels", "marts.later"], "headwater run +marts.later"),
        (["access", "explain", "ada", "staging.peple"], "did you mean staging.people?"),
        (["access", "explain", "ada", "staging.people.male"], "did you mean staging.people.mail?"),
        (["access", "explain", "ada", "marts.later"], "headwater run +marts.later"),
        (["access", "explain", "ada", "marts.lands", "--at", "tomorrow"], "'tomorrow' is not a time"),
        (["access", "explain", "ada"], "Missing argument"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(shop: Path, hw: Any, arguments: list[str], says: str) -> None:
    assert says in hw(shop, *arguments, expect=2).err


def test_without_a_lake_nothing_is_made(shop: Path, tmp_path: Path, hw: Any) -> None:
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    shutil.rmtree(tmp_path / ".headwater", ignore_errors=True)
    assert "headwater run +marts.lands" in hw(tmp_path, "labels", "marts.lands", expect=2).err
    assert not (tmp_path / ".headwater" / "lake.sqlite").exists()


def test_lint_finds_masks_that_meet_on_a_column_and_are_equally_specific(shop: Path, hw: Any, tmp_path: Path) -> None:
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    for folder in (shop, tmp_path):  # with a lake and without
        found = [problem for problem in hw(folder, "lint", "--json", expect=2).json if problem["rule"] == "conflicting-masks"]
        assert [(problem["path"], problem["line"], problem["severity"]) for problem in found] == [("policies/p.yaml", 11, "error")]
        assert "staging.people.both" in found[0]["message"]
        assert "the stricter, generalise(year), is applied" in found[0]["message"]
    policies = tmp_path / "policies" / "p.yaml"
    policies.write_text(policies.read_text() + "# noqa: conflicting-masks\n")
    assert "conflicting-masks" not in hw(tmp_path, "lint").out


def test_a_label_given_since_counts_for_the_older_version_that_readers_see(tmp_path: Path, hw: Any) -> None:
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    hw(tmp_path, "run", "+staging.people")
    hw(tmp_path, "user", "add", "ada", "--oidc")
    model, source = tmp_path / "models/staging/people.sql", tmp_path / "sources/crm.yaml"
    model.write_text(model.read_text().replace("SELECT id", "SELECT id + 1 AS id"))
    hw(tmp_path, "run", "+staging.people")
    hw(tmp_path, "rollback", "staging.people")
    ask = ["--purpose", "churn"]
    assert "mail pii.email partial where" in " ".join(lines(hw(tmp_path, "access", "explain", "ada", "staging.people", *ask).out))
    source.write_text(source.read_text().replace("email: {type: varchar, labels: pii.email}", "email: {type: varchar, labels: [pii.email, hr.mail]}"))
    hw(tmp_path, "run", "+staging.people")
    seen = hw(tmp_path, "query", "SELECT id, mail FROM staging.people", "--as", "ada", *ask, "--json").json
    assert seen == [{"id": 1, "mail": "***"}], "the stricter of both labels' masks, over the rows of before"
    assert "mail hr.mail, pii.email redact where" in " ".join(lines(hw(tmp_path, "access", "explain", "ada", "staging.people", *ask).out))
    assert "mail VARCHAR hr.mail crm.people.email" in lines(hw(tmp_path, "labels", "staging.people").out)
