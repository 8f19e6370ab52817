"""Models written to lose a label on the way: whatever holds a labelled value carries the label, or isn't served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headwater import api
from headwater.security import Principal
from headwater.spec.policies import Policies

FILES = {
    "headwater.yaml": "name: lab\nthreads: 1\n",
    "sources/s.yaml": "type: files\nstreams:\n  people:\n    path: people.csv\n"
    "    columns: {id: bigint, email: {type: varchar, labels: pii.email}, country: varchar}\n"
    "  other: {path: other.csv, columns: {oid: bigint, pid: bigint, note: varchar}}\n",
    "people.csv": "id,email,country\n1,ann@s3cr3t.org,NO\n2,bo@s3cr3t.org,SE\n",
    "other.csv": "oid,pid,note\n1,1,x\n2,2,y\n",
    "macros/m.sql": "CREATE MACRO shout(x) AS upper(x);\nCREATE MACRO again(x) AS shout(x);\n"
    "CREATE MACRO ppl() AS TABLE SELECT id, email AS em FROM s.people;\n",
    "models/m/py.py": "from headwater import model, table\n\n\n@model()\ndef py(people=table('s.people', as_='arrow')):\n    return people\n",
}
#: By the column that must carry the label in each; the others are `id` and the like.
MODELS = {
    "pack": "SELECT id, struct_pack(a := email, b := id) AS x FROM s.people",
    "unpack": "SELECT id, x.a AS x FROM m.pack",
    "unpack2": "SELECT unnest(x) FROM m.pack",
    "agg": "SELECT country, list(email ORDER BY id) AS x FROM s.people GROUP BY country",
    "unagg": "SELECT country, unnest(x) AS x FROM m.agg",
    "js": "SELECT id, to_json(people) AS x FROM s.people",
    "unjs": "SELECT id, x->>'email' AS x FROM m.js",
    "jseach": "SELECT j.value AS x FROM s.people p, json_each(to_json([p.email])) j",
    "row": "SELECT people AS x FROM s.people",
    "unrow": "SELECT (x).email AS x FROM m.row",
    "rank": "SELECT id, row_number() OVER (ORDER BY email) AS x FROM s.people",
    "both": "SELECT oid AS id, note AS x FROM s.other UNION ALL SELECT id, email FROM s.people",
    "named": "SELECT 'x' AS x UNION ALL BY NAME SELECT email AS x FROM s.people",
    "pivoted": "PIVOT s.people ON country IN ('NO' AS x) USING first(email) GROUP BY id",
    "unpivoted": "UNPIVOT (SELECT id, email, country FROM s.people) ON email, country INTO NAME n VALUE x",
    "sub": "SELECT oid, (SELECT max(email) FROM s.people p WHERE p.id = o.pid) AS x FROM s.other o",
    "arr": "SELECT oid, ARRAY(SELECT email FROM s.people) AS x FROM s.other",
    "inq": "SELECT oid, note IN (SELECT email FROM s.people) AS x FROM s.other",
    "ex": "SELECT oid, EXISTS (FROM s.people p WHERE p.email LIKE 'a%' AND p.id = o.pid) AS x FROM s.other o",
    "cased": "SELECT id, CASE WHEN email LIKE 'ann%' THEN 'A' ELSE 'B' END AS x FROM s.people",
    "counted": "SELECT count(*) FILTER (WHERE email LIKE 'a%') AS x FROM s.people",
    "by": "SELECT arg_max(id, email) AS x FROM s.people",
    "ordered": "SELECT list(id ORDER BY email) AS x FROM s.people",
    "lam": "SELECT list_transform([email], e -> upper(e))[1] AS x FROM s.people",
    "rec": "WITH RECURSIVE r AS (SELECT id, 'z' AS x, 1 AS d FROM s.people UNION ALL "
    "SELECT p.id, p.email, d + 1 FROM r JOIN s.people p USING (id) WHERE d < 2) SELECT id, x FROM r",
    "lat": "SELECT o.oid, l.x FROM s.other o, LATERAL (SELECT email AS x FROM s.people p WHERE p.id = o.pid) l",
    "vals": "SELECT x FROM s.people p, (VALUES (p.email)) v(x)",
    "tf": "SELECT g.x FROM s.people p, unnest([p.email]) g(x)",
    "cols": "SELECT COLUMNS('(e).*') AS \"x\" FROM (SELECT email FROM s.people)",
    "repl": "SELECT id, country AS x FROM (SELECT * REPLACE (email AS country) FROM s.people)",
    "ren": "SELECT * RENAME (email AS x) FROM s.people",
    "pos": "FROM s.people SELECT #2 AS x",
    "win": "SELECT id, lag(email) OVER (ORDER BY id) AS x FROM s.people",
    "asof": "SELECT o.oid, p.email AS x FROM s.other o ASOF JOIN s.people p ON o.pid >= p.id",
    "nat": "SELECT x FROM (SELECT email AS x, id AS pid FROM s.people) NATURAL JOIN s.other",
    "meet": "SELECT email AS x FROM s.people INTERSECT SELECT email FROM s.people",
    "hist": "SELECT map_keys(histogram(email)) AS x FROM s.people",
    "whole": "SELECT hash(people) AS x FROM s.people",
    "alias": "SELECT email AS a, a || 'x' AS b, b AS x FROM s.people",
    "shadow": "WITH people AS (SELECT email AS country FROM s.people) SELECT country AS x FROM people",
    "macro": "SELECT again(email) AS x FROM s.people",
    "tmacro": "SELECT id, em AS x FROM ppl()",
    "fmt": "SELECT format('{} {}', email, id) AS x FROM s.people",
    "deep": "SELECT {'k': {'z': email}}['k']['z'] AS x FROM s.people",
    "uni": "SELECT union_extract(union_value(a := email), 'a') AS x FROM s.people",
    "mapped": "SELECT map([email], [id])[email] AS x FROM s.people",
    "summed": "SELECT min AS x FROM (SUMMARIZE SELECT email FROM s.people)",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("labels")
    for name, text in {**FILES, **{f"models/m/{name}.sql": f"{sql}\n" for name, sql in MODELS.items()}}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with api.open(folder) as project:
        summary = project.run()
        assert summary.status == "succeeded", summary
        yield project


def test_no_model_loses_a_label(project: Any) -> None:
    lost = []
    for name in (*MODELS, "py"):
        columns = project.access.labels(f"m.{name}").columns
        rows = project.query(f"SELECT * FROM m.{name}").fetchall()
        lost += [
            f"{name}.{column.name}"
            for index, column in enumerate(columns)
            if not column.labels and (column.name == "x" or any("s3cr3t" in str(row[index]).lower() for row in rows))
        ]
    assert not lost


def test_who_may_read_all_tables_but_no_label_sees_no_value(project: Any) -> None:
    from headwater.security import MaskKeys
    from headwater.storage import Access

    rules = Policies.model_validate({"roles": {"r": {"grants": [{"select": "*"}]}}, "version": "labels"})
    access = Access(Principal("eve", roles=frozenset({"r"})), rules, MaskKeys("a", "b", "c"), project._session.clock())
    for name in (*MODELS, "py"):
        found = project._session.lake.read_as(access, f"SELECT * FROM m.{name}", macros=project._loaded.macros).fetchall()
        assert "s3cr3t" not in repr(found).lower(), name
