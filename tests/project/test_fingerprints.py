"""Fingerprints change with what makes the rows, and with nothing else."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from headwater.project import load_project
from headwater.spec.names import TableName

T = TableName.parse
BASE = {
    "headwater.yaml": "name: shop\nvars: {c: NO, other: 1}\n",
    "sources/shop.yaml": "type: files\nstreams:\n  orders:\n    path: orders.csv\n    columns: {i: bigint}\n  other: {path: o.csv}\n",
    "macros/m.sql": "CREATE MACRO money(x) AS round(x, 2);\nCREATE MACRO unused(x) AS x;\nCREATE MACRO deep(x) AS money(x);",
    "models/staging/v.sql": "-- headwater\n-- kind: view\nSELECT i FROM shop.orders",
    "models/staging/w.sql": "-- headwater\n-- kind: view\nSELECT i FROM staging.v",
    "models/marts/t.sql": "-- headwater\n-- description: D\nSELECT deep(i) AS m, '${var:c}' AS c FROM staging.w WHERE i > 0",
    "models/marts/u.sql": "SELECT m FROM marts.t",
}


def fingerprints(write, changes):
    project = load_project(write({**BASE, **changes}))
    return {str(table): project.fingerprint(table) for table in project.graph.order()}


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"models/marts/t.sql": BASE["models/marts/t.sql"].replace("description: D", "description: Other")}, set()),
        ({"models/marts/t.sql": BASE["models/marts/t.sql"].replace("-- description: D", "-- tags: x\n-- checks: [unique: m]\n-- owner: me")}, set()),
        ({"models/marts/t.sql": BASE["models/marts/t.sql"].replace(" FROM", "\n  /* a /* nested */ comment */ FROM -- and\n ") + ";"}, set()),
        ({"models/marts/t.sql": BASE["models/marts/t.sql"].replace("i > 0", "i > 1")}, {"marts.t"}),
        ({"models/marts/t.sql": BASE["models/marts/t.sql"].replace("'${var:c}'", "' ${var:c}'")}, {"marts.t"}),
        ({"models/marts/t.sql": BASE["models/marts/t.sql"].replace("description: D", "kind: {incremental: {time_column: c}}")}, {"marts.t"}),
        ({"models/marts/t.sql": BASE["models/marts/t.sql"].replace("description: D", "sort_by: [m]")}, {"marts.t"}),
        ({"models/staging/v.sql": BASE["models/staging/v.sql"].replace("kind: view", "kind: table")}, {"staging.v", "staging.w", "marts.t"}),
        ({"models/staging/v.sql": BASE["models/staging/v.sql"] + " WHERE true"}, {"staging.v", "staging.w", "marts.t"}),
        ({"macros/m.sql": BASE["macros/m.sql"].replace("2", "3")}, {"marts.t"}),
        ({"macros/m.sql": BASE["macros/m.sql"].replace("AS x;", "AS x + 1;")}, set()),
        ({"headwater.yaml": "name: shop\nvars: {c: SE, other: 1}\n"}, {"marts.t"}),
        ({"headwater.yaml": "name: shop\nvars: {c: NO, other: 2}\n"}, set()),
        ({"headwater.yaml": BASE["headwater.yaml"] + "timezone: Europe/Oslo\n"}, {"staging.v", "staging.w", "marts.t", "marts.u"}),
        ({"sources/shop.yaml": BASE["sources/shop.yaml"].replace("orders.csv", "o*.csv")}, {"shop.orders"}),
        ({"sources/shop.yaml": BASE["sources/shop.yaml"].replace("bigint", "{type: bigint, description: x, labels: [a]}")}, set()),
        ({"sources/shop.yaml": BASE["sources/shop.yaml"].replace("bigint", "{type: bigint, not_null: true}")}, {"shop.orders"}),
        ({"sources/shop.yaml": BASE["sources/shop.yaml"].replace("bigint", "{type: bigint, checks: [range: {min: 1}]}")}, {"shop.orders"}),
        ({"sources/shop.yaml": BASE["sources/shop.yaml"].replace("bigint", "{type: bigint, checks: [range: {min: 1, severity: warn}]}")}, set()),
        ({"sources/shop.yaml": BASE["sources/shop.yaml"] + "owner: me\n"}, set()),
        ({"sources/shop.yaml": BASE["sources/shop.yaml"] + "options: {delim: ';'}\n"}, {"shop.orders", "shop.other"}),
    ],
)
def test_a_change_reaches_exactly_the_tables_whose_rows_it_makes(write, changes, changed):
    before, after = fingerprints(write, {}), fingerprints(write, changes)
    assert {table for table in before if before[table] != after[table]} == changed


def test_checks_and_descriptions_change_the_definition_hash_alone(write):
    first = load_project(write(BASE))
    second = load_project(write({**BASE, "models/marts/t.sql": BASE["models/marts/t.sql"].replace("-- description: D", "-- checks: [not_null: m]")}))
    assert first.fingerprint(T("marts.t")) == second.fingerprint(T("marts.t"))
    assert first.definition_hash(T("marts.t")) != second.definition_hash(T("marts.t"))
    assert first.definition_hash(T("marts.u")) == second.definition_hash(T("marts.u"))
    assert first.definition_hash(T("shop.orders")) == second.definition_hash(T("shop.orders"))


def test_fingerprints_are_the_same_in_another_process_and_place(write, tmp_path_factory):
    here = fingerprints(write, {})
    other = tmp_path_factory.mktemp("other") / "place"
    for path, text in BASE.items():
        (other / path).parent.mkdir(parents=True, exist_ok=True)
        (other / path).write_bytes(text.replace("\n", "\r\n").encode())
    code = (
        "import sys, json, pathlib\nfrom headwater.project import load_project\n"
        "p = load_project(pathlib.Path(sys.argv[1]))\nprint(json.dumps({str(t): p.fingerprint(t) for t in p.graph.order()}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(other)], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "7"}
    )
    import json

    assert json.loads(run.stdout) == here


def test_a_long_chain_of_views_is_no_trouble(write):
    files = {"models/a/v0.sql": "-- headwater\n-- kind: view\nSELECT 1 AS i"}
    for index in range(1, 40):
        reads = f"FROM a.v{index - 1} JOIN a.v{max(index - 2, 0)} AS o USING (i)"
        files[f"models/a/v{index}.sql"] = f"-- headwater\n-- kind: view\n{reads}"
    last = load_project(write(files)).fingerprint(T("a.v39"))
    files["models/a/v0.sql"] += " WHERE true"
    assert load_project(write(files)).fingerprint(T("a.v39")) != last
