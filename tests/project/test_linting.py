"""Lint: each rule once where it holds and once where it doesn't; SARIF and JSON."""

from __future__ import annotations

import json

import pytest

from headwater.project import load_project
from headwater.project.lint import LINT_RULES, lint_project
from headwater.project.reports import to_json, to_sarif
from headwater.spec.names import TableName

CLEAN = "-- headwater\n-- description: D\n-- checks: [unique: i]\n"
SHOP = "type: files\nstreams:\n  orders: {path: o.csv, schema_contract: enforced, columns: {i: bigint, v: bigint}}\n"
USES = "SELECT i, v FROM shop.orders"


def lint(write, files, *, known_columns=None):
    project = load_project(write({"sources/shop.yaml": SHOP, "models/a/uses.sql": CLEAN + USES, **files}))
    return lint_project(project, known_columns=known_columns)


def test_a_clean_project_has_nothing_to_say(write):
    assert lint(write, {}) == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"models/a/b.sql": CLEAN + "SELECT i,\n  random() AS r FROM shop.orders"}, ["models/a/b.sql:5:3 random-values warning"]),
        ({"models/a/b.sql": CLEAN + "SELECT i FROM shop.orders USING SAMPLE 5 ROWS"}, ["models/a/b.sql:4:27 random-values warning"]),
        ({"models/a/b.sql": CLEAN + "SELECT i, current_date AS d FROM shop.orders"}, ["models/a/b.sql:4:11 clock-function note"]),
        (
            {"macros/m.sql": "CREATE MACRO stamp() AS now();", "models/a/b.sql": CLEAN + "SELECT i, stamp() AS d FROM shop.orders"},
            ["models/a/b.sql:4 clock-function note"],
        ),
        ({"models/a/b.sql": CLEAN + "SELECT a FROM read_csv('x.csv')"}, ["models/a/b.sql:4:15 file-read-in-model warning"]),
        ({"models/a/b.sql": CLEAN + "SELECT a FROM 'in/x.parquet'"}, ["models/a/b.sql:4:15 file-read-in-model warning"]),
        ({"models/a/b.sql": CLEAN + "SELECT o.* FROM shop.orders o"}, ["models/a/b.sql:4:10 select-star note"]),
        ({"models/a/b.sql": CLEAN + "SELECT count(*) AS n, 2 * i AS i FROM shop.orders GROUP BY ALL"}, []),
        ({"models/a/b.sql": "-- headwater\n-- checks: [unique: i]\n" + USES}, ["models/a/b.sql missing-description note"]),
        ({"models/a/b.sql": "-- headwater\n-- description: D\n" + USES}, ["models/a/b.sql no-checks note"]),
        ({"models/a/b.sql": "-- headwater\n-- description: D\n-- kind: view\n" + USES}, []),
        ({"sources/crm.yaml": "type: files\nstreams: {people: {path: p.csv}}\n"}, ["sources/crm.yaml unused-stream warning"]),
        (
            {
                "sources/db.yaml": "type: postgres\nstreams:\n  a: {table: a, primary_key: i, cursor: t}\n  b: {table: b, primary_key: i}\n"
                "  c: {table: c, primary_key: i, cursor: t, deleted_when: gone}\n  d: {table: d}\n",
                "models/a/b.sql": CLEAN + "SELECT a.i FROM db.a JOIN db.b USING (i) JOIN db.c USING (i) JOIN db.d USING (i)",
            },
            ["sources/db.yaml deletes-not-seen warning", "sources/db.yaml merge-without-cursor note"],
        ),
        (
            {
                "models/a/p.py": """
                from headwater import model, table
                @model(description="D", kind="view")
                def p(o=table("shop.orders")):
                    return o
                """
            },
            ["models/a/p.py python-lineage note"],
        ),
        ({"models/a/b.sql": CLEAN + "SELECT nothing FROM shop.orders"}, ["models/a/b.sql:4 lineage-not-derived warning"]),
        ({"alerts/a.yaml": "x: 1"}, ["alerts folder-not-read note"]),
    ],
)
def test_a_rule_speaks_where_it_holds(write, files, expected):
    told = [f"{problem.location} {problem.rule} {problem.severity}" for problem in lint(write, files)]
    assert told == expected


def test_lineage_is_judged_only_where_the_inputs_are_known(write):
    files = {
        "sources/crm.yaml": "type: files\nstreams: {people: {path: p.csv}}\n",
        "models/a/b.sql": CLEAN + "SELECT p.i AS i, nme AS n FROM crm.people p",
    }
    assert lint(write, files) == []
    told = lint(write, files, known_columns={TableName("crm", "people"): ["i", "name"]})
    assert [problem.rule for problem in told] == ["lineage-not-derived"]
    assert lint(write, files, known_columns={TableName("crm", "people"): ["i", "nme"]}) == []


def test_a_star_that_duckdb_writes_itself_is_no_star(write):
    assert lint(write, {"models/a/b.sql": CLEAN + "VALUES (1), (2)", "models/a/c.sql": CLEAN + "SELECT COLUMNS(c -> c > 'h') FROM shop.orders"}) == []


def test_a_pivot_that_takes_its_columns_from_the_data_is_told_before_its_inputs_are_known(write):
    open_shop = "type: files\nstreams:\n  orders: {path: o.csv}\n"
    found = lint(write, {"sources/shop.yaml": open_shop, "models/a/b.sql": CLEAN + "PIVOT shop.orders ON i"})
    assert [problem.rule for problem in found] == ["lineage-not-derived"]


def test_a_rule_is_silenced_in_a_file_by_name(write):
    noisy = CLEAN + "SELECT i, random() AS r, current_date AS d FROM shop.orders"
    assert {problem.rule for problem in lint(write, {"models/a/b.sql": noisy})} == {"random-values", "clock-function"}
    assert [problem.rule for problem in lint(write, {"models/a/b.sql": noisy + " -- noqa: random-values"})] == ["clock-function"]
    assert lint(write, {"models/a/b.sql": noisy + " -- noqa: clock-function, random-values"}) == []


def test_rules_have_stable_names_and_say_what_they_mean():
    assert all(name == name.lower() and "_" not in name and text.endswith(".") for name, (_, text) in LINT_RULES.items())


def test_sarif_carries_rule_place_and_message(write):
    problems = lint(write, {"models/a b/x.sql": CLEAN + "SELECT i, random() AS r FROM shop.orders", "models/a/z.sql": "SELECT i FROM shop.orders"})
    log = json.loads(json.dumps(to_sarif(problems)))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    results = run["results"]
    assert len(results) == len(problems) == 3
    for result in results:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    place = results[0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "models/a%20b/x.sql"
    assert place["region"] == {"startLine": 4, "startColumn": 11}
    assert "region" not in results[1]["locations"][0]["physicalLocation"]
    assert [result["level"] for result in results] == ["warning", "note", "note"]


def test_json_has_one_object_a_problem(write):
    (problem,) = to_json(lint(write, {"models/a/b.sql": CLEAN + "SELECT * FROM shop.orders"}))
    assert problem == {
        "rule": "select-star",
        "severity": "note",
        "message": "a.b selects *",
        "path": "models/a/b.sql",
        "line": 4,
        "column": 8,
        "expected": "its columns by name",
        "did_you_mean": None,
    }
