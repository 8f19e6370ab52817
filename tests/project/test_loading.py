"""Loading: settings, vars, header forms, names, Python models, macros, unit tests, the cache."""

# ruff: noqa: E501  # messages and files stand whole, so that they can be searched for

from __future__ import annotations

import json
import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from headwater.engine import CLOCK_FUNCTIONS
from headwater.errors import DefinitionErrors, UnknownSelection, UserCodeError
from headwater.project import find_project, load_project
from headwater.project.python_models import load_function
from headwater.spec.models import IncrementalKind, SnapshotKind, TableKind, ViewKind
from headwater.spec.names import TableName

T = TableName.parse
SHOP = "type: files\nstreams:\n  orders: {path: orders.csv}\n"


# -- settings --------------------------------------------------------------------------------------------------------


def test_the_local_file_wins_over_the_project_and_the_environment_over_both(write):
    directory = write(
        {
            "headwater.yaml": """
            name: shop
            lake: {catalog: a.sqlite, data: files}
            vars: {country: NO, size: 3}
            environments:
              dev: {lake: {catalog: dev.sqlite}, state: dev-state.sqlite, vars: {country: SE}}
            """,
            "headwater.local.yaml": "lake: {data: mine}\nvars: {size: 5}\nthreads: 2\n",
        }
    )
    local, dev = load_project(directory), load_project(directory, environment="dev")
    assert (local.environment, local.config.lake.catalog, local.config.lake.data) == ("local", "a.sqlite", "mine")
    assert (dev.environment, dev.config.lake.catalog, dev.config.lake.data, dev.config.state) == ("dev", "dev.sqlite", "mine", "dev-state.sqlite")
    assert local.vars == {"country": "NO", "size": 5}
    assert dev.vars == {"country": "SE", "size": 5}
    assert dev.config.threads == 2


def test_the_default_environment_may_be_another(write):
    directory = write({"headwater.yaml": "name: shop\ndefault_environment: dev\nenvironments: {dev: {state: d.sqlite}}\n"})
    project = load_project(directory)
    assert (project.environment, project.config.state) == ("dev", "d.sqlite")


def test_dotenv_is_read_into_a_mapping_below_the_process_and_never_exported(write, monkeypatch):
    monkeypatch.setenv("HW_TEST_BOTH", "process")
    directory = write({".env": "HW_TEST_BOTH=file\nHW_TEST_OWN='two words'\n"})
    project = load_project(directory)
    assert (project.environ["HW_TEST_BOTH"], project.environ["HW_TEST_OWN"]) == ("process", "two words")
    assert "HW_TEST_OWN" not in os.environ
    assert "two words" not in repr(project)


def test_vars_reach_yaml_with_their_type_and_sql_as_text(write):
    directory = write(
        {
            "headwater.yaml": "name: shop\nvars: {share: 0.25, country: NO, strict: true}\n",
            "sources/shop.yaml": "type: files\nowner: team ${var:country}\nstreams:\n  orders:\n    path: in/${var:country}/*.csv\n"
            "  customers:\n    path: ${env:FOLDER:-x}/c.csv\n    max_rejected: ${var:share}\n",
            "models/a/b.sql": "SELECT '${var:country}' AS c, ${var:strict} AS s, '${var:other:-none}' AS o FROM shop.orders",
        }
    )
    project = load_project(directory)
    assert project.models[T("a.b")].sql == "SELECT 'NO' AS c, true AS s, 'none' AS o FROM shop.orders"
    assert project.sources["shop"].owner == "team NO"
    assert project.sources["shop"].streams["orders"].path == ("in/NO/*.csv",)
    assert project.sources["shop"].streams["customers"].path == ("${env:FOLDER:-x}/c.csv",)
    assert project.sources["shop"].streams["customers"].max_rejected == 0.25
    assert load_project(directory, vars={"country": "DK"}).models[T("a.b")].sql.startswith("SELECT 'DK'")


def test_yaml_words_of_old_are_text(write):
    directory = write(
        {"headwater.yaml": "name: shop\nvars: {country: NO, answer: yes, switch: on, time: 12:30, n: 010, e: 1e3, truth: true, nothing: 'null'}\n"}
    )
    assert load_project(directory).vars == {
        "country": "NO",
        "answer": "yes",
        "switch": "on",
        "time": "12:30",
        "n": 10,
        "e": 1000.0,
        "truth": True,
        "nothing": "null",
    }


def test_anchors_and_merges_work(write):
    directory = write(
        {
            "sources/shop.yaml": """
            type: files
            streams:
              a: &base {path: a.csv, primary_key: [id], tags: [x]}
              b: {<<: *base, path: b.csv}
            """
        }
    )
    stream = load_project(directory).sources["shop"].streams["b"]
    assert (stream.path, stream.primary_key, stream.tags) == (("b.csv",), ("id",), ("x",))


def test_a_project_is_found_from_a_folder_inside_it(write):
    directory = write({"models/a/b.sql": "SELECT 1 AS i"})
    assert find_project(directory / "models" / "a") == directory.resolve()


# -- models ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "-- headwater\n-- kind: view\n-- checks:\n--   - unique: [i]\nSELECT 1 AS i",
        "\n\n--headwater\n-- kind: view\n--\n-- checks:\n--   - unique: [i]\n\n-- an ordinary comment\nSELECT 1 AS i;",
        "/* headwater\nkind: view\nchecks:\n  - unique: [i]  # matches '*/' and /* nothing */ else\n*/\nSELECT 1 AS i; -- done",
        "\ufeff-- headwater\r\n-- kind: view\r\n-- checks: [unique: i]\r\nSELECT 1 AS i;\r\n;\r\n",
    ],
)
def test_a_header_is_read_in_each_of_its_forms(write, text):
    directory = write({})
    (directory / "models" / "a").mkdir(parents=True)
    (directory / "models" / "a" / "b.sql").write_bytes(text.encode())
    model = load_project(directory).models[T("a.b")]
    assert model.kind == ViewKind()
    assert [check.label for check in model.checks] == ["unique(i)"]
    assert model.sql.endswith("SELECT 1 AS i")
    lines = text.replace("\r\n", "\n").lstrip("\ufeff").split("\n")
    assert lines[model.sql_line - 1].lstrip("; ").startswith(("SELECT", "-- an"))


def test_a_sidecar_holds_headers_of_its_folder(write):
    directory = write(
        {
            "models/a/b.sql": "SELECT 1 AS i",
            "models/a/deeper/c.sql": "FROM a.b",
            "models/a/_a.yml": "models:\n  b: {description: One}\n  c:\n    kind: {snapshot: {key: i, check: '*'}}\n    columns: {i: The key}\n",
        }
    )
    project = load_project(directory)
    assert project.model("a.b").description == "One"
    assert project.model("a.c").kind == SnapshotKind(key=("i",), check=("*",))
    assert project.model("a.c").columns["i"].description == "The key"


def test_kinds_are_read_with_their_arguments(write):
    directory = write(
        {
            "models/a/t.sql": "SELECT 1 AS i",
            "models/a/i.sql": "-- headwater\n-- kind: {incremental: {time_column: d, lookback: 3 days, unique_key: i}}\nSELECT 1 AS i, DATE '2024-01-01' AS d",
        }
    )
    project = load_project(directory)
    assert project.model("a.t").kind == TableKind()
    assert project.model("a.i").kind == IncrementalKind(time_column="d", lookback=timedelta(days=3), unique_key=("i",))


@pytest.mark.parametrize(
    ("sql", "inputs"),
    [
        ("FROM shop.orders", ["shop.orders"]),
        ('FROM SHOP.Orders o JOIN "shop"."orders" p USING (i)', ["shop.orders"]),
        ("WITH x AS (FROM shop.orders) SELECT * FROM x QUALIFY row_number() OVER (PARTITION BY i) = 1", ["shop.orders"]),
        ("PIVOT shop.orders ON country USING sum(amount);", ["shop.orders"]),
        ("SELECT * FROM (PIVOT shop.orders ON country USING sum(amount)) p", ["shop.orders"]),
        (
            'SELECT * EXCLUDE (a) REPLACE (b + 1 AS b) FROM shop.orders ASOF JOIN "æøå tabell"."odd.näme" o USING (t)',
            ["shop.orders", "æøå tabell.odd.näme"],
        ),
        ("VALUES (1)", []),
        ("SELECT ';' AS a, $$ ; -- $$ AS b, 1 AS \";\"", []),
    ],
)
def test_inputs_are_the_tables_named(write, sql, inputs):
    directory = write({"sources/shop.yaml": SHOP, "models/æøå tabell/odd.näme.sql": "SELECT 1 AS t", "models/a/b.sql": sql})
    project = load_project(directory)
    assert [str(table) for table in project.graph.inputs(T("a.b"))] == inputs


def test_names_from_a_file_system_that_takes_letters_apart_are_put_together(write):
    directory = write({"models/a/b.sql": "FROM a.caf\u00e9", "models/a/cafe\u0301.sql": "SELECT 1 AS i"})
    assert TableName("a", "caf\u00e9") in load_project(directory).models


def test_models_and_streams_are_found_in_any_case(write):
    directory = write({"sources/shop.yaml": SHOP, "models/Marts/Revenue.sql": "FROM shop.orders"})
    project = load_project(directory)
    assert project.model("marts.REVENUE").name == TableName("Marts", "Revenue")
    source, name, stream = project.stream("SHOP.orders")
    assert (source.name, name, stream.path) == ("shop", "orders", ("orders.csv",))
    with pytest.raises(UnknownSelection, match=r"did you mean Marts\.Revenue"):
        project.model("marts.revenu")


def test_reserved_folders_are_noted_and_not_read(write):
    directory = write({"alerts/crm.yaml": "a: [", "models/a/b.sql": "SELECT 1 AS i", "models/a/notes.yml": "x: 1"})
    assert [(problem.rule, problem.severity) for problem in load_project(directory).warnings] == [
        ("folder-not-read", "note"),
        ("ignored-file", "warning"),
    ]


def test_renamed_from_may_leave_the_schema_out(write):
    directory = write({"models/a/b.sql": "-- headwater\n-- renamed_from: old\nSELECT 1 AS i"})
    assert load_project(directory).former_name(T("a.b")) == T("a.old")


# -- Python ----------------------------------------------------------------------------------------------------------

SCORES = """
from headwater import model, table
from lib.money import RATE

@model(kind="table", description="Scores", checks=[{"unique": ["i"]}], tags="daily")
def scores(orders=table("shop.orders", as_="arrow"), factor=RATE):
    return orders
"""


def test_a_python_model_declares_its_inputs_as_parameters(write):
    directory = write({"sources/shop.yaml": SHOP, "models/a/scores.py": SCORES, "lib/money.py": "RATE = 2\n"})
    project = load_project(directory)
    model = project.model("a.scores")
    assert (model.language, model.function, model.arguments, model.tags) == ("python", "scores", {"orders": T("shop.orders")}, ("daily",))
    assert project.graph.inputs(T("a.scores")) == (T("shop.orders"),)
    assert load_function(directory, model)(orders=7) == 7


def test_a_file_may_hold_a_list_of_models(write):
    directory = write(
        {
            "models/a/many.py": """
            from headwater import model, table

            def build(country):
                @model(name=f"sales.{country}", kind="view")
                def one():
                    return country
                return one

            models = [build(country) for country in ("no", "se")]
            """
        }
    )
    project = load_project(directory)
    assert [str(name) for name in project.models] == ["sales.no", "sales.se"]
    assert [load_function(directory, model)() for model in project.models.values()] == ["no", "se"]


def test_models_made_in_a_loop_are_all_found(write):
    code = """\
from headwater import model, table

for country in ("no", "se"):
    @model(name=f"marts.only_{country}")
    def build(orders=table("staging.orders"), country=country):
        return orders.filter(f"country = '{country}'")
"""
    project = load_project(write({"models/staging/orders.sql": "SELECT 'no' AS country", "models/marts/only.py": code}))
    assert {str(name) for name in project.models} == {"staging.orders", "marts.only_no", "marts.only_se"}
    made = {str(name): load_function(project.directory, model).__defaults__[1] for name, model in project.models.items() if model.function}
    assert made == {"marts.only_no": "no", "marts.only_se": "se"}


def test_the_code_hash_of_a_python_model_covers_the_modules_it_imports(write):
    files = {"sources/shop.yaml": SHOP, "models/a/scores.py": SCORES, "lib/money.py": "RATE = 2\n"}
    first = load_project(write(files)).fingerprint(T("a.scores"))
    second = load_project(write({**files, "lib/money.py": "RATE = 3\n"})).fingerprint(T("a.scores"))
    third = load_project(write({**files, "lib/other.py": "X = 1\n"})).fingerprint(T("a.scores"))
    assert first == third
    assert first != second


def test_an_import_leaves_nothing_behind(write):
    import sys

    directory = write({"sources/shop.yaml": SHOP, "models/a/scores.py": SCORES, "lib/money.py": "RATE = 2\n"})
    path, modules = list(sys.path), set(sys.modules)
    load_project(directory)
    assert sys.path == path
    assert not {name for name in set(sys.modules) - modules if name.startswith(("lib", "headwater_project"))}
    assert not list(directory.rglob("__pycache__"))


def test_a_function_that_fails_to_import_at_run_time_raises_the_users_error(write):
    directory = write({"sources/shop.yaml": SHOP, "models/a/scores.py": SCORES, "lib/money.py": "RATE = 2\n"})
    model = load_project(directory).model("a.scores")
    (directory / "lib" / "money.py").write_text("raise RuntimeError('gone')\n")
    with pytest.raises(UserCodeError) as caught:
        load_function(directory, model)
    assert 'File "lib/money.py", line 1' in caught.value.user_traceback


# -- macros ----------------------------------------------------------------------------------------------------------


def test_macros_come_in_an_order_they_can_be_created_in(write):
    directory = write(
        {
            "headwater.yaml": "name: shop\nvars: {rate: 3}\n",
            "sources/shop.yaml": SHOP,
            "macros/a.sql": "CREATE MACRO outer_one(x) AS inner_one(x) + 1;",
            "macros/b.sql": "-- the inner one\nCREATE OR REPLACE MACRO inner_one(x) AS x * ${var:rate}, (x, y) AS x * y;",
            "macros/c.sql": "CREATE MACRO recent(n) AS TABLE SELECT * FROM shop.orders LIMIT n;\nCREATE MACRO top() AS (SELECT max(i) FROM shop.orders);",
            "models/a/b.sql": "SELECT outer_one(1) AS i, now() AS t FROM recent(3)",
            "models/a/c.sql": "SELECT top() AS i",
            "models/a/d.sql": "SELECT 'recent(1)' AS i -- top()",
        }
    )
    project = load_project(directory)
    assert [statement.split("(")[0].split()[-1] for statement in project.macros] == ["inner_one", "outer_one"]
    assert "x * 3" in project.macros[0]
    assert project.table_macros(T("a.c")) == ("CREATE MACRO top() AS (SELECT max(i) FROM shop.orders)",)
    assert project.table_macros(T("a.b")) == ("CREATE MACRO recent(n) AS TABLE SELECT * FROM shop.orders LIMIT n",)
    assert [project.graph.inputs(T(f"a.{name}")) for name in "bcd"] == [(T("shop.orders"),), (T("shop.orders"),), ()]
    again = load_project(directory)
    assert again.graph.inputs(T("a.c")) == (T("shop.orders"),)
    assert again.macros == project.macros


def test_functions_are_known_through_macros_and_views(write):
    directory = write(
        {
            "macros/a.sql": "CREATE MACRO stamp() AS now();",
            "models/a/v.sql": "-- headwater\n-- kind: view\nSELECT stamp() AS t, random() AS r",
            "models/a/t.sql": "SELECT t FROM a.v",
            "models/a/u.sql": "SELECT t FROM a.t",
            "models/a/w.sql": "SELECT current_date AS d, 'now()' AS x, \"localtime\" AS l FROM a.u -- random()",
        }
    )
    project = load_project(directory)
    assert project.functions(T("a.t")) & CLOCK_FUNCTIONS == {"now"}
    assert project.is_always_stale(T("a.t"))
    assert not project.is_always_stale(T("a.u"))
    assert project.functions(T("a.w")) & CLOCK_FUNCTIONS == {"current_date"}


# -- unit tests ------------------------------------------------------------------------------------------------------


def test_unit_tests_are_read_alone_and_in_lists(write):
    directory = write(
        {
            "sources/shop.yaml": SHOP,
            "models/a/b.sql": "FROM Shop.Orders",
            "tests/one.yaml": "model: A.B\ngiven:\n  SHOP.orders: [{d: 2024-01-01, n: null}]\nexpect: [{d: 2024-01-01}]\nnow: 2024-01-02 10:00:00Z\n",
            "tests/more.yaml": "- {model: a.b, given: {shop.orders: {columns: {i: int}}}, expect: []}\n- {name: named, model: a.b, given: {shop.orders: }, expect: [], ordered: true}\n",
            "tests/empty.yaml": "",
        }
    )
    tests = {test.name: test for test in load_project(directory).unit_tests}
    assert set(tests) == {"one", "more-1", "named"}
    assert tests["one"].model == T("a.b")
    assert tests["one"].given["shop.orders"].rows == ({"d": date(2024, 1, 1), "n": None},)
    assert tests["one"].now == datetime(2024, 1, 2, 10, tzinfo=UTC)
    assert tests["more-1"].inputs[T("shop.orders")].columns == {"i": "int"}
    assert (tests["named"].path, tests["named"].line, tests["named"].ordered) == ("tests/more.yaml", 2, True)


# -- the cache -------------------------------------------------------------------------------------------------------

DATED = "-- headwater\n-- checks:\n--   - range: {column: d, min: 2024-01-01, max: 2024-06-30 12:00:00}\nSELECT d FROM shop.orders"


def _cache(directory: Path) -> Path:
    return directory / ".headwater" / "cache" / "files-local.json"


def test_a_load_from_the_cache_equals_a_load_without_it(write):
    files = {
        "sources/shop.yaml": SHOP,
        "models/a/b.sql": DATED,
        "models/a/c.sql": "SELECT now() AS t FROM a.b",
        "models/a/p.sql": "PIVOT a.b ON d USING count(*)",
    }
    directory = write(files)
    cold = load_project(directory)
    assert _cache(directory).exists()
    warm = load_project(directory)
    assert warm.models == cold.models
    assert warm.facts == cold.facts
    assert {table: warm.fingerprint(table) for table in warm.graph.order()} == {table: cold.fingerprint(table) for table in cold.graph.order()}


def test_the_cache_is_used(write):
    directory = write({"sources/shop.yaml": SHOP, "models/a/b.sql": "FROM shop.orders"})
    load_project(directory)
    content = json.loads(_cache(directory).read_text())
    content["files"]["models/a/b.sql"][1]["sql"] = "FROM shop.orders WHERE from_cache"
    _cache(directory).write_text(json.dumps(content))
    assert load_project(directory).models[T("a.b")].sql.endswith("from_cache")


@pytest.mark.parametrize(
    "entry", [{}, [], {"header": 3, "tables": None}, {"header": {"kind": {"type": "gone"}}, "tables": [["shop", "orders"]]}, {"$time": 3}]
)
def test_an_entry_of_another_shape_is_none(write, entry):
    directory = write({"sources/shop.yaml": SHOP, "models/a/b.sql": "FROM shop.orders", "macros/m.sql": "CREATE MACRO m(x) AS x + 1;"})
    load_project(directory)
    content = json.loads(_cache(directory).read_text())
    for found in content["files"].values():
        found[1] = entry
    _cache(directory).write_text(json.dumps(content))
    assert load_project(directory).models[T("a.b")].sql == "FROM shop.orders"


def test_an_edit_is_noticed_even_with_the_same_size_and_time(write):
    directory = write({"models/a/b.sql": "SELECT 1 AS i"})
    file = directory / "models" / "a" / "b.sql"
    before = file.stat()
    first = load_project(directory).fingerprint(T("a.b"))
    file.write_text("SELECT 2 AS i")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert load_project(directory).fingerprint(T("a.b")) != first


def test_a_changed_var_or_environment_is_noticed(write):
    directory = write(
        {"headwater.yaml": "name: s\nvars: {c: a, unused: 1}\nenvironments: {dev: {vars: {c: b}}}\n", "models/a/b.sql": "SELECT '${var:c}' AS c"}
    )
    assert [load_project(directory, environment=e).models[T("a.b")].sql for e in (None, "dev", None)] == [
        "SELECT 'a' AS c",
        "SELECT 'b' AS c",
        "SELECT 'a' AS c",
    ]
    assert load_project(directory, vars={"c": "x"}).models[T("a.b")].sql == "SELECT 'x' AS c"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "other", "files": {}}', '{"format": 1}'])
def test_a_damaged_cache_is_as_good_as_none(write, content):
    directory = write({"models/a/b.sql": "SELECT 1 AS i"})
    load_project(directory)
    _cache(directory).write_text(content)
    assert load_project(directory).models[T("a.b")].sql == "SELECT 1 AS i"


def test_files_with_mistakes_are_not_cached(write):
    directory = write({"models/a/b.sql": "SELECT 1 AS i"})
    load_project(directory)
    (directory / "models" / "a" / "c.sql").write_text("-- headwater\n-- knd: view\nSELECT 1 AS i")
    for _ in range(2):
        with pytest.raises(DefinitionErrors, match="knd"):
            load_project(directory)
    (directory / "models" / "a" / "c.sql").unlink()
    assert list(load_project(directory).models) == [T("a.b")]
    assert list(json.loads(_cache(directory).read_text())["files"]) == ["models/a/b.sql"]


def test_a_project_that_cannot_be_written_to_loads_all_the_same(write):
    directory = write({"models/a/b.sql": "SELECT 1 AS i", ".headwater": "a file where the folder would be"})
    assert load_project(directory).models[T("a.b")].sql == "SELECT 1 AS i"


def test_the_cached_parse_depends_on_nothing_but_the_text(write):
    directory = write({"models/a/b.sql": "SELECT 1 AS i", "models/c/b.sql": "SELECT 1 AS i"})
    for _ in range(2):
        project = load_project(directory)
        assert [model.path for model in project.models.values()] == ["models/a/b.sql", "models/c/b.sql"]


# -- odd files -------------------------------------------------------------------------------------------------------


def test_statements_nested_deeper_than_the_stack_load(write):
    union = " UNION ALL ".join(f"SELECT {number} AS i" for number in range(1500)) + " UNION ALL FROM shop.orders"
    directory = write({"sources/shop.yaml": SHOP, "models/a/union.sql": union})
    assert load_project(directory).graph.inputs(T("a.union")) == (T("shop.orders"),)


def test_links_that_lead_in_a_circle_are_not_followed(write):
    directory = write({"models/a/b.sql": "SELECT 1 AS i"})
    (directory / "models" / "a" / "up").symlink_to("..")
    assert list(load_project(directory).models) == [T("a.b")]


def test_line_ends_and_a_byte_order_mark_change_no_fingerprint(write):
    text = "-- headwater\n-- kind: table\nSELECT 1 AS i,\n  2 AS j\n"
    directory = write({"models/a/b.sql": text})
    first = load_project(directory).fingerprint(T("a.b"))
    (directory / "models" / "a" / "b.sql").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert load_project(directory).fingerprint(T("a.b")) == first


def test_unchanged_models_load_in_a_fraction_of_the_time(write):
    files = {
        f"models/s{n % 3}/m{n}.sql": f"-- headwater\n-- checks: [unique: i]\nSELECT i + {n} AS i FROM {'shop.orders' if n < 3 else f's{n % 3}.m{n - 3}'}"
        for n in range(400)
    }
    directory = write({"sources/shop.yaml": SHOP, **files})
    seconds = []
    for _ in range(3):
        before = time.process_time()
        assert len(load_project(directory).models) == 400
        seconds.append(time.process_time() - before)
    assert min(seconds[1:]) < seconds[0] / 2
