"""`policies/*.yaml`: read into one `Policies`; every mistake at its place, what is doubtful as lint findings."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import jsonschema
import pytest

from headwater.errors import DefinitionErrors
from headwater.project import load_project
from headwater.project.documents import read_document
from headwater.project.lint import LINT_RULES, lint_project
from headwater.project.problems import Report
from headwater.project.schema import json_schema
from headwater.spec.policies import Mask, TablePattern

SHOP = """
type: files
streams:
  customers:
    path: c.csv
    columns: {id: bigint, email: {type: varchar, labels: pii.email}, born: {type: date, labels: [pii.birthdate]}, country: varchar}
  entitlements: {path: e.csv}
"""
MODEL = "-- headwater\n-- description: D\n-- checks: [unique: id]\nSELECT id, email FROM shop.customers"
PROJECT = {"sources/shop.yaml": SHOP, "models/marts/people.sql": MODEL, "models/marts/salaries.sql": MODEL}

WHOLE = """
roles:
  analyst:
    description: Looks at figures
    grants:
      - select: marts.*
      - select: shop.customers
        columns: [id, country, email]
        where: country = 'NO' AND id IN (SELECT id FROM shop.entitlements WHERE who = current_user() OR list_contains(current_groups(), team))
        from: 2026-01-01
        until: 2026-12-31
        purpose: [churn]
      - run: [marts.people, marts.salaries]
    limits: {rows: 1000, bytes: 1MB, seconds: 2.5, memory: 512MB}
  support:
    grants:
      - select: shop.*
        unmask: [pii.email]
      - detokenize: {label: pii}
groups:
  analysts: {roles: [analyst], members: [ada]}
masks:
  pii.email: partial
  pii.birthdate: {generalise: year}
  pii: redact
  shop.customers.country: null
deny:
  - {role: analyst, select: marts.salaries}
declassify:
  - {column: marts.people.email, labels: pii.email, by: review, reason: only our own addresses}
influence: true
network:
  doors: {postgres: [10.0.0.0/8]}
  roles: {analyst: 2001:db8::1}
"""


def load(write, *texts, **files):
    for file in (write(PROJECT) / "policies").glob("*.yaml"):
        file.unlink()
    named = {f"policies/p{index}.yaml": text for index, text in enumerate(texts, 1)}
    return load_project(write({**PROJECT, **named, **files}))


def problems(write, *texts):
    with pytest.raises(DefinitionErrors) as raised:
        load(write, *texts)
    return raised.value.problems


def told(write, *texts):
    return [f"{p.location} {p.rule}: {p.message}" + (f" [{p.did_you_mean}]" if p.did_you_mean else "") for p in problems(write, *texts)]


def findings(write, *texts):
    return [f"{p.location} {p.rule} {p.severity}" + (f" [{p.did_you_mean}]" if p.did_you_mean else "") for p in load(write, *texts).warnings]


def test_every_word_of_the_format_is_read(write):
    policies = load(write, WHOLE).policies
    first, second, third = policies.roles["analyst"].grants
    assert (first.action, [str(pattern) for pattern in first.on], first.columns) == ("select", ["marts.*"], ())
    assert (second.columns, second.purpose) == (("id", "country", "email"), ("churn",))
    assert (second.from_, second.until) == (date(2026, 1, 1), date(2026, 12, 31))
    assert (third.action, [str(pattern) for pattern in third.on]) == ("run", ["marts.people", "marts.salaries"])
    assert policies.roles["analyst"].limits.rows == 1000
    assert policies.roles["analyst"].limits.memory == 512_000_000
    assert policies.roles["analyst"].limits.bytes == 1_000_000
    assert str(policies.roles["support"].grants[1].on[0]) == "label pii"
    assert policies.groups["analysts"].members == ("ada",)
    assert policies.masks == {
        "pii.email": Mask(kind="partial"),
        "pii.birthdate": Mask(kind="generalise", argument="year"),
        "pii": Mask(kind="redact"),
        "shop.customers.country": Mask(kind="null"),
    }
    assert (policies.deny[0].role, policies.deny[0].on) == ("analyst", (TablePattern(schema="marts", name="salaries"),))
    assert policies.declassify[0].labels == ("pii.email",)
    assert policies.influence is True
    assert policies.network.roles == {"analyst": ("2001:db8::1/128",)}
    assert load(write, WHOLE).warnings == ()


def test_a_project_without_policies_has_empty_ones_with_a_version(write):
    empty = load(write).policies
    assert (empty.roles, empty.masks, empty.deny) == ({}, {}, ())
    assert len(empty.version) == 64


def test_files_are_united(write):
    project = load(
        write,
        "roles: {a: {grants: [select: marts.*]}}\ndeny: [{role: b, select: marts.people}]",
        "roles: {b: }\nmasks: {pii: redact}\ngroups: {g: {roles: [a, b]}, empty: }\ndeny: [{group: g, run: '*'}]",
        "# nothing but words",
    )
    assert list(project.policies.roles) == ["a", "b"]
    assert [deny.action for deny in project.policies.deny] == ["select", "run"]


def test_the_version_follows_what_is_said_and_not_where_or_how_it_is_written(write):
    one = load(write, "roles: {a: {grants: [select: marts.*]}}\nmasks: {pii: redact, pii.email: hash}").policies.version
    other = load(write, "masks:\n  pii.email: hash\n  pii: redact\n", "roles:\n  a:\n    grants:\n      - {select: [marts.*]}").policies.version
    changed = load(write, "roles: {a: {grants: [select: marts.*]}}\nmasks: {pii: redact, pii.email: 'null'}").policies.version
    assert one == other != changed


def test_vars_are_put_in(write):
    files = {"headwater.yaml": "name: x\nvars: {land: NO, until: '2026-05-01'}\n"}
    text = "roles: {a: {grants: [{select: shop.*, where: \"country = '${var:land}'\", until: '${var:until}'}]}}"
    (grant,) = load_project(write({**PROJECT, **files, "policies/a.yaml": text})).policies.roles["a"].grants
    assert (grant.where, grant.until) == ("country = 'NO'", date(2026, 5, 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a", "policies/p1.yaml:1:1 bad-value: a file of policies is a mapping"),
        ("rols: {}", "policies/p1.yaml:1:1 unknown-key: there is no key 'rols' here [roles]"),
        ("roles:\n  a:\n    grants:\n      - selct: marts.*", "policies/p1.yaml:4:9 missing-key: a grant says no action [select]"),
        ("roles:\n  a:\n    grants:\n      - columns: [id]", "policies/p1.yaml:4:9 missing-key: a grant says no action"),
        ("roles:\n  a:\n    grants: [marts.people]", "policies/p1.yaml:3:14 bad-value: a grant is a mapping"),
        ("roles:\n  a:\n    grants: {select: x.y}", "policies/p1.yaml:3:13 bad-value: roles.a.grants has the wrong type of value"),
        ("roles: [a]", "policies/p1.yaml:1:8 bad-value: roles has the wrong type of value"),
        ("roles: {a: 1}", "policies/p1.yaml:1:12 bad-value: roles.a has the wrong type of value"),
        (
            "roles:\n  a:\n    grants:\n      - select: marts.*\n        run: marts.*",
            "policies/p1.yaml:5:9 bad-value: a grant has one action, and here are select and run",
        ),
        (
            "roles:\n  a:\n    grants:\n      - select: marts.*\n        wher: id = 1",
            "policies/p1.yaml:5:9 unknown-key: there is no key 'wher' here [where]",
        ),
        ("roles: {a: {grants: [{select: marts.*, on: x.y}]}}", "policies/p1.yaml:1:40 unknown-key: there is no key 'on' here"),
        ("roles: {a: {grants: [{action: select, on: x.y}]}}", "policies/p1.yaml:1:22 missing-key: a grant says no action"),
        ("roles: {a: {grants: [{select: people}]}}", "policies/p1.yaml:1:31 bad-pattern: 'people' is no pattern of tables"),
        ("roles: {a: {grants: [{select: [marts.*, a.b.c]}]}}", "policies/p1.yaml:1:41 bad-pattern: 'a.b.c' is no pattern of tables"),
        ("roles: {a: {grants: [{select: {lable: pii}}]}}", "policies/p1.yaml:1:31 bad-pattern: {'lable': 'pii'} is no pattern of tables"),
        ("roles: {a: {grants: [{select: []}]}}", "policies/p1.yaml:1:31 bad-pattern: select is on no table"),
        (
            "roles: {a: {grants: [{run: marts.*, where: id = 1}]}}",
            "policies/p1.yaml:1:22 bad-value: a grant of run is on whole tables: it has neither columns, where nor unmask",
        ),
        (
            "roles: {a: {grants: [{select: marts.*, from: 2026-02-01, until: 2026-02-01T00:00:00Z}]}}",
            "policies/p1.yaml:1:22 bad-value: a grant ends after it begins",
        ),
        ("roles: {a: {grants: [{select: marts.*, until: soon}]}}", "policies/p1.yaml:1:47 bad-value: until has the wrong type of value"),
        ("roles: {a: {limits: {rows: 0}}}", "policies/p1.yaml:1:28 bad-value: roles.a.limits.rows: input should be greater than or equal to 1"),
        ("roles: {a: {limits: {memory: 1MB}}}", "policies/p1.yaml:1:30 bad-value: roles.a.limits.memory: expected 32MiB at least"),
        ("roles: {a: {limits: {memory: much}}}", "policies/p1.yaml:1:30 bad-value: roles.a.limits.memory: 'much' is no number of bytes"),
        (
            "groups:\n  g: {roles: [analist]}\nroles: {analyst: }",
            "policies/p1.yaml:2:15 unknown-role: the group g names the role analist, and there is",
        ),
        ("groups: {g: {member: [a]}}", "policies/p1.yaml:1:14 unknown-key: there is no key 'member' here [members]"),
        ("deny: [{role: x, select: marts.*}]", "policies/p1.yaml:1:15 unknown-role: a denial names the role x, and there is no such role"),
        ("deny: [{select: marts.*}]", "policies/p1.yaml:1:8 bad-value: a denial is for one of role, group or user"),
        ("deny: [{user: a, group: g, select: marts.*}]", "policies/p1.yaml:1:8 bad-value: a denial is for one of role, group or user"),
        ("deny: [{user: a, run: marts.*, columns: id}]", "policies/p1.yaml:1:8 bad-value: a denial of run is of whole tables: it has no columns"),
        ("masks: {pii: redactt}", "policies/p1.yaml:1:14 bad-mask: there is no mask 'redactt' [redact]"),
        ("masks: {pii: generalise}", "policies/p1.yaml:1:14 bad-mask: the mask generalise says how far"),
        ("masks: {pii: {generalise: jear}}", "policies/p1.yaml:1:14 bad-mask: the mask generalise knows no 'jear'"),
        ("masks: {pii: {generalise: 0}}", "policies/p1.yaml:1:14 bad-mask: the mask generalise knows no 0"),
        ("masks: {pii: {generalise: .inf}}", "policies/p1.yaml:1:14 bad-mask: the mask generalise knows no inf"),
        ("masks: {pii: {generalise: {prefix: true}}}", "policies/p1.yaml:1:14 bad-mask: the mask generalise can't be told from {'prefix': True}"),
        ("masks: {pii: {noise: 2}}", "policies/p1.yaml:1:14 bad-mask: the mask noise takes a share of the value"),
        ("masks: {pii: {partial: iban}}", "policies/p1.yaml:1:14 bad-mask: the mask partial knows no 'iban'"),
        ("masks: {pii: {hash: 1}}", "policies/p1.yaml:1:14 bad-mask: the mask hash takes no argument"),
        ("masks: {pii: [redact]}", "policies/p1.yaml:1:14 bad-mask: there is no mask ['redact']"),
        ("masks: {pii: true}", "policies/p1.yaml:1:14 bad-mask: there is no mask True"),
        ("network: {doors: {ftp: 10.0.0.0/8}}", "policies/p1.yaml:1:24 bad-value: network.doors.ftp"),
        ("network: {users: {ada: 10.0.0.0/99}}", "policies/p1.yaml:1:18 bad-value: network.users: '10.0.0.0/99' is no address or network"),
        ("network: {roles: {x: 10.0.0.1}}", "policies/p1.yaml:1:19 unknown-role: network names the role x, and there is no such role"),
        ('groups: {g: {members: ["${env:NAME}"]}}', "policies/p1.yaml:1:24 bad-value: policies are read as they are written"),
        ("influence: maybe", "policies/p1.yaml:1:12 bad-value: influence has the wrong type of value"),
        (
            "declassify: [{column: marts.people, labels: pii, by: hash, reason: r}]",
            "policies/p1.yaml:1:23 bad-value: declassify.0.column: 'marts.people' is not a column's name of the form schema.table.column",
        ),
        (
            "declassify: [{column: marts.peopl.email, labels: pii, by: hash, reason: r}]",
            "policies/p1.yaml:1:23 unknown-table: declassify names marts.peopl.email, and there is no such table [marts.people]",
        ),
        (
            "declassify: [{column: shop.customers.email, labels: pii, by: hash, reason: r}]",
            "policies/p1.yaml:1:23 bad-value: declassify names shop.customers.email, a column of a stream",
        ),
        ("declassify: [{column: a.b.c, labels: pii, by: hash}]", "policies/p1.yaml:1:14 missing-key: the key 'reason' is missing"),
        (
            "declassify: [{column: marts.people.id, labels: pii, by: magic, reason: r}]",
            "policies/p1.yaml:1:57 bad-value: declassify.0.by has a value",
        ),
        ("declassify: [{column: marts.people.id, labels: [], by: hash, reason: r}]", "policies/p1.yaml:1:48 bad-value: declassify.0.labels"),
        ("roles:\n  a:\n   b: [", "policies/p1.yaml"),
    ],
)
def test_a_mistake_is_told_at_its_place(write, text, expected):
    found = told(write, text)
    assert len(found) == 1
    assert found[0].startswith(expected), found


def test_an_unknown_key_is_told_with_those_there_are(write):
    (problem,) = problems(write, "roles: {a: {grants: [{select: marts.*, colums: [id]}]}}")
    assert problem.expected is not None
    assert "select, export" in problem.expected
    assert "from, until" in problem.expected
    assert "from_" not in problem.expected


def test_all_mistakes_of_all_files_are_told_at_once(write):
    found = told(
        write,
        "roles: {a: {grants: [{selct: x.y}, {select: oops}, {select: marts.*, where: 'id ='}]}}\nmasks: {pii: blur}",
        "groups: {g: {roles: [b]}}\ndeny: [{role: c, select: marts.*}]",
    )
    assert [line.partition(": ")[0].rpartition(" ")[2] for line in found] == [
        "missing-key", "bad-pattern", "sql-syntax", "bad-mask", "unknown-role", "unknown-role",
    ]  # fmt: skip


def test_what_two_files_define_is_an_error_at_the_second(write):
    text = "roles: {a: }\ngroups: {g: }\nmasks: {pii: redact, Shop.customers.id: hash}\nnetwork: {users: {ada: 10.0.0.1}}"
    other = "roles: {a: }\ngroups: {g: }\nmasks: {pii: hash, shop.customers.ID: hash}\nnetwork: {users: {ada: 10.0.0.2}}"
    assert told(write, text, other) == [
        "policies/p2.yaml:1:9 duplicate-policy: the role a is defined in policies/p1.yaml too",
        "policies/p2.yaml:2:10 duplicate-policy: the group g is defined in policies/p1.yaml too",
        "policies/p2.yaml:3:9 duplicate-policy: the mask pii is defined in policies/p1.yaml too",
        "policies/p2.yaml:3:20 duplicate-policy: the mask shop.customers.ID is defined in policies/p1.yaml too",
        "policies/p2.yaml:4:19 duplicate-policy: where ada may come from is defined in policies/p1.yaml too",
    ]
    assert told(write, "roles:\n  a:\n  a:") == ["policies/p1.yaml:3:3 duplicate-key: the key 'a' stands here twice"]


def test_a_mistake_in_a_model_does_not_make_policies_wrong(write):
    broken = {"models/marts/people.sql": "-- headwater\n-- knd: view\nSELECT 1"}
    text = "roles: {a: {grants: [{select: marts.people}]}}\ndeclassify: [{column: marts.people.email, labels: pii, by: hash, reason: r}]"
    with pytest.raises(DefinitionErrors) as raised:
        load(write, text, **broken)
    assert [problem.location.path for problem in raised.value.problems] == ["models/marts/people.sql"]


# -- row filters -----------------------------------------------------------------------------------------------------


def condition(write, where):
    return told(write, f"roles: {{a: {{grants: [{{select: shop.customers, where: {json.dumps(where)}}}]}}}}")


@pytest.mark.parametrize(
    "where",
    [
        "country = 'NO'",
        "active",
        "current_user() = owner",
        "list_contains(current_groups(), team) -- the team's own",
        "id IN (SELECT id FROM shop.entitlements WHERE who = current_user())",
        "EXISTS (SELECT * FROM shop.entitlements e WHERE e.id = customers.id)",
        "id IN (WITH mine AS (SELECT id FROM shop.entitlements) SELECT id FROM mine)",
        "true",
        "country = 'a;b' AND note <> '--'",
    ],
)
def test_a_row_filter_is_one_condition(write, where):
    load(write, f"roles: {{a: {{grants: [{{select: shop.customers, where: {json.dumps(where)}}}]}}}}")


@pytest.mark.parametrize(
    ("where", "rule", "says"),
    [
        ("country =", "sql-syntax", "the row filter of the role a: syntax error"),
        ("true) OR (true", "sql-syntax", 'syntax error at or near ")"'),
        ("true LIMIT 3", "sql-syntax", "syntax error"),
        ("true UNION SELECT 2", "sql-syntax", "syntax error"),
        ("true USING SAMPLE 3", "sql-syntax", "syntax error"),
        ("true WINDOW w AS (ORDER BY 1)", "sql-syntax", "syntax error"),
        ("1; DROP TABLE x", "sql-syntax", "syntax error"),
        ("true /*", "sql-syntax", ""),
        ("a AS b", "sql-syntax", "syntax error"),
        ("", "sql-syntax", "syntax error"),
        ("'NO'", "bad-condition", "it is a value"),
        ("1", "bad-condition", "it is a value"),
        ("id = $1", "bad-condition", "it has a parameter"),
        ("id = (SELECT ?)", "bad-condition", "it has a parameter"),
        ("row_number() OVER () = 1", "bad-condition", "it looks at other rows"),
        ("COLUMNS(*) > 1", "bad-condition", "it has a *"),
        ("id IN (SELECT id FROM shop.entitlement)", "unknown-table", "reads shop.entitlement, and there is no such table [shop.entitlements]"),
        ("id IN (SELECT id FROM entitlements)", "unqualified-table", "without a schema [shop.entitlements]"),
        ("id IN (SELECT snapshot_id FROM headwater.loads)", "system-table", "reads headwater.loads"),
    ],
)
def test_what_is_not_one_condition_is_refused(write, where, rule, says):
    (found,) = condition(write, where)
    assert found.startswith("policies/p1.yaml:1:54 " if where else "policies/p1.yaml:1:47 ")
    assert f" {rule}: the row filter of the role a" in found
    assert says in found


# -- findings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("roles: {a: {grants: [{select: mart.*}]}}", ["policies/p1.yaml:1:31 pattern-matches-nothing warning [marts.*]"]),
        ("roles: {a: {grants: [{select: marts.peple}]}}", ["policies/p1.yaml:1:31 pattern-matches-nothing warning [marts.people]"]),
        ("deny: [{user: a, select: zzz.*}]", ["policies/p1.yaml:1:26 pattern-matches-nothing warning"]),
        ("roles: {a: {grants: [{select: headwater.audit}, {select: '*'}, {select: '*.people'}]}}", []),
        ("masks: {pii.emial: redact}", ["policies/p1.yaml:1:9 label-not-carried note [pii.email]"]),
        ("masks: {pii: redact, pii.email: hash, marts.people.id: hash, nobody.has.it: hash}", ["policies/p1.yaml:1:62 label-not-carried note"]),
        ("masks: {pii.email.work: redact}", ["policies/p1.yaml:1:9 label-not-carried note [pii.email]"]),
        ("roles: {a: {grants: [{select: {label: gdpr}}]}}", ["policies/p1.yaml:1:31 label-not-carried note"]),
        (
            "roles: {a: {grants: [{select: shop.*, unmask: [pii, pii.phone, shop.customers.id]}]}}",
            ["policies/p1.yaml:1:47 label-not-carried note"],
        ),
        ("deny: [{group: analists, select: marts.*}]\ngroups: {analysts: }", ["policies/p1.yaml:1:16 unknown-group note [analysts]"]),
        (
            "roles: {a: {grants: [{select: marts.people}]}}\ndeny: [{role: a, select: marts.*}]",
            ["policies/p1.yaml:1:23 denied-grant warning"],
        ),
        (
            "roles: {a: {grants: [{select: shop.*, columns: [ID]}]}}\ndeny: [{role: a, select: shop.*, columns: [id, email]}]",
            ["policies/p1.yaml:1:23 denied-grant warning"],
        ),
        (
            "roles: {a: {grants: [{select: {label: pii.email}}]}}\ndeny: [{role: a, select: {label: pii}}]",
            ["policies/p1.yaml:1:23 denied-grant warning"],
        ),
        ("roles: {a: {grants: [{select: marts.*}]}}\ndeny: [{role: a, select: marts.people}]", []),
        ("roles: {a: {grants: [{select: marts.people}]}}\ndeny: [{role: a, run: marts.*}, {user: u, select: marts.*}]", []),
        ("roles: {a: {grants: [{select: shop.*}]}}\ndeny: [{role: a, select: shop.*, columns: [id]}]", []),
        (
            "declassify: [{column: marts.people.id, labels: [gdpr], by: hash, reason: r}]",
            ["policies/p1.yaml:1:48 label-not-carried note"],
        ),
    ],
)
def test_what_is_doubtful_is_found(write, text, expected):
    assert findings(write, text) == expected


def test_findings_are_lint_rules_and_can_be_silenced(write):
    project = load(write, "roles: {a: {grants: [{select: mart.*}]}}  # noqa: pattern-matches-nothing\nmasks: {gdpr: redact}")
    assert {problem.rule for problem in project.warnings} == {"pattern-matches-nothing", "label-not-carried"}
    assert all(LINT_RULES[problem.rule][0] == problem.severity for problem in project.warnings)
    assert [problem.rule for problem in lint_project(project) if problem.location.path.startswith("policies")] == ["label-not-carried"]


# -- schema ----------------------------------------------------------------------------------------------------------


def schema_errors(text):
    value = json.loads(json.dumps(read_document(text, "x", Report()).value, default=str))
    return [error.message for error in jsonschema.Draft202012Validator(json_schema()["policy"]).iter_errors(value)]


def test_the_schema_takes_what_the_loader_takes(write):
    assert schema_errors(WHOLE) == []
    assert schema_errors("roles: {a: , b: {grants: [{select: '*'}]}}\nmasks: {a: , b: 'null', c: {noise: 0.1}, d: {generalise: {prefix: 2}}}") == []


@pytest.mark.parametrize(
    "text",
    [
        "rols: {}",
        "roles: {a: {grants: [{selct: x.y}]}}",
        "roles: {a: {grants: [{select: x.y, run: x.y}]}}",
        "roles: {a: {grants: [{select: people}]}}",
        "roles: {a: {grants: [{action: select, on: x.y}]}}",
        "deny: [{select: x.y}]",
        "masks: {a: blur}",
        "masks: {a: noise}",
        "masks: {a: {noise: 2}}",
        "masks: {a: {generalise: jear}}",
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(text):
    assert schema_errors(text)


def test_times_are_instants(write):
    text = "roles: {a: {grants: [{select: shop.*, from: 2026-01-01T12:00:00+02:00, until: 2026-01-01T11:00:00Z}]}}"
    (grant,) = load(write, text).policies.roles["a"].grants
    assert grant.until == datetime(2026, 1, 1, 11, tzinfo=UTC)
