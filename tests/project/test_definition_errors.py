"""Broken projects, and what is said of them: file, line, column, what was expected, the nearest valid name."""

# ruff: noqa: E501  # messages and files stand whole, so that they can be searched for

from __future__ import annotations

import pytest

from headwater.errors import DefinitionErrors, ProjectNotFound, UsageError
from headwater.project import load_project

SHOP = """
type: files
streams:
  orders: {path: orders.csv}
  customers: {path: customers.csv}
"""

#: name: files, and the beginning of each message in order
CASES = {
    "columns that can't be": (
        {
            "sources/shop.yaml": """type: files
streams:
  orders:
    path: o.csv
    partition_by: [mnth(day), day]
    columns:
      id: bigin
      Amount: {type: "struct(a int, b map(varchar, decmal(3,1)))[]"}
      amount: int
      email: {checks: [matches: "(?=x"]}
"""
        },
        [
            "sources/shop.yaml:5:20: 'mnth(day)' is no partition; expected a column, or year, month, day, hour or identity of one, or bucket(NUMBER, COLUMN); did you mean 'month'? [bad-partition]",
            "sources/shop.yaml:7:11: there is no type 'bigin'; did you mean 'bigint'? [unknown-type]",
            "sources/shop.yaml:8:22: there is no type 'decmal'; did you mean 'decimal'? [unknown-type]",
            "sources/shop.yaml:9:7: the columns 'Amount' and 'amount' differ by case alone; expected one of the two: they are one column [duplicate-column]",
            "sources/shop.yaml:10:24: '(?=x' is no regular expression:",
        ],
    ),
    "a model's columns that can't be": (
        {"models/a/b.sql": "-- headwater\n-- columns: {x: {type: intt}}\nSELECT 1 AS x\n"},
        ["models/a/b.sql:2:24: there is no type 'intt'; did you mean 'int'? [unknown-type]"],
    ),
    "a misspelt key of headwater.yaml": (
        {"headwater.yaml": "name: shop\nlake:\n  catalgo: x\n"},
        ["headwater.yaml:3:3: there is no key 'catalgo' here; expected one of catalog, data, encrypted, s3; did you mean 'catalog'? [unknown-key]"],
    ),
    "a lookback that is no duration": (
        {"models/a/b.sql": "-- headwater\n-- kind: {incremental: {time_column: d, lookback: 3 dys}}\nSELECT 1 AS d\n"},
        ["models/a/b.sql:2:51: lookback: '3 dys' is not a duration; expected one such as '10 minutes', '1 day' or '36h' [bad-value]"],
    ),
    "a view to be kept in memory": (
        {"models/a/b.sql": "-- headwater\n-- kind: view\n-- hot: true\nSELECT 1 AS d\n"},
        [
            "models/a/b.sql:2:4: the header of models/a/b.sql: a view is stored nowhere; mark the tables it reads as hot, or make it a table [bad-value]"
        ],
    ),
    "a budget of memory that is none": (
        {"headwater.yaml": "name: shop\nserve: {hot: {memory: much}}\n"},
        ["headwater.yaml:2:23: serve.hot.memory: 'much' is no number of bytes; expected one such as '512MB' or '2GiB' [bad-value]"],
    ),
    "a type with a comma in braces": (
        {"sources/shop.yaml": "type: files\nstreams:\n  orders: {path: o.csv, columns: {v: {type: decimal(12,2)}}}\n"},
        [
            "sources/shop.yaml:3:56: the comma before '2)' ends a value within { }; expected quotes around such a type: \"decimal(12,2)\" [unknown-key]"
        ],
    ),
    "checks that say nothing, or nothing that parses": (
        {
            "models/a/b.sql": '-- headwater\n-- checks:\n--   - range: {column: v}\n--   - rows: {}\n--   - expression: {name: e, sql: "v >"}\nSELECT 1 AS v\n'
        },
        [
            "models/a/b.sql:3:8: the check range: without min and max it would pass always; expected at least one of them [bad-value]",
            "models/a/b.sql:4:8: the check rows: without min and max it would pass always; expected at least one of them [bad-value]",
            "models/a/b.sql:5:8: the check e of a.b: syntax error",
        ],
    ),
    "a project without a name": (
        {"headwater.yaml": "timezone: UTC\n"},
        ["headwater.yaml:1:1: the key 'name' is missing in headwater.yaml [missing-key]"],
    ),
    "an empty headwater.yaml": ({"headwater.yaml": ""}, ["headwater.yaml:1:1: the key 'name' is missing in headwater.yaml [missing-key]"]),
    "a list for headwater.yaml": (
        {"headwater.yaml": "- name: shop\n"},
        ["headwater.yaml:1:1: headwater.yaml isn't a mapping; expected `key: value` lines, first of all `name:` [bad-value]"],
    ),
    "a wrong type in the local file": (
        {"headwater.local.yaml": "# mine\nthreads: many\n"},
        ["headwater.local.yaml:2:10: threads has the wrong type of value; expected a whole number [bad-value]"],
    ),
    "a wrong value in an environment": (
        {"headwater.yaml": "name: shop\nenvironments:\n  prod:\n    lake: {encrypted: perhaps}\n"},
        ["headwater.yaml:4:23: environments.prod.lake.encrypted has the wrong type of value; expected true or false [bad-value]"],
    ),
    "a time zone nobody has": (
        {"headwater.yaml": "name: shop\ntimezone: Europe/Olso\n"},
        [
            "headwater.yaml:2:11: there is no time zone 'Europe/Olso'; expected a name such as UTC or Europe/Oslo; did you mean 'Europe/Oslo'? [unknown-timezone]"
        ],
    ),
    "a key that stands twice": (
        {"headwater.yaml": "name: shop\nname: shap\n"},
        ["headwater.yaml:2:1: the key 'name' stands here twice [duplicate-key]"],
    ),
    "a tab": (
        {"sources/shop.yaml": "type: files\nstreams:\n\torders: {}\n"},
        ["sources/shop.yaml:3:1: this is not valid YAML: found character that cannot start any token; expected spaces for indentation, not tabs"],
    ),
    "a colon in a plain text": (
        {"sources/shop.yaml": "type: files\ndescription: note: this\n"},
        ["sources/shop.yaml:2:18: this is not valid YAML: mapping values are not allowed in this context; expected quotes around a text"],
    ),
    "a date that isn't one": (
        {"sources/shop.yaml": "type: files\nstreams:\n  a: {path: a.csv, cursor: {column: d, start: 2024-02-31}}\n"},
        ["sources/shop.yaml:3:47: '2024-02-31' is no valid timestamp [bad-value]"],
    ),
    "an unknown source type": (
        {"sources/shop.yaml": "type: postgress\n"},
        ["sources/shop.yaml:1:7: there is no source type 'postgress'; expected one of files, postgres"],
    ),
    "mistakes in a stream, each at its place": (
        {
            "sources/shop.yaml": """
            type: files
            streams:
              orders:
                path: a.csv
                write_dispositon: merge
                max_rejected: 200%
                columns:
                  id: {type: bigint, not_nul: true, checks: [not_nul, {range: {mn: 1}}]}
                  _hw_load_id: text
                schema_contract: enforce
              customers:
                write_disposition: mergee
              returns:
                write_disposition: merge
            """
        },
        [
            "sources/shop.yaml:5:5: there is no key 'write_dispositon' here; expected one of checks, table",
            "sources/shop.yaml:6:19: streams.orders.max_rejected: '200%' is no share of the rows; expected 0% to 100%, or 0 to 1 [bad-value]",
            "sources/shop.yaml:8:26: there is no key 'not_nul' here; expected one of checks, type, not_null, labels, description, renamed_from; "
            "did you mean 'not_null'?",
            "sources/shop.yaml:8:50: there is no check 'not_nul'; expected one of not_null, unique",
            "sources/shop.yaml:8:68: there is no key 'mn' here; expected one of severity, tolerance, column, min, max; did you mean 'min'?",
            "sources/shop.yaml:10:22: streams.orders.schema_contract: expected one of enforced, evolve, agnostic",
            "sources/shop.yaml:12:24: streams.customers.write_disposition has a value that isn't allowed; expected one of append, merge, replace, scd2; "
            "did you mean 'merge'?",
            "sources/shop.yaml:13:3: streams.returns: write_disposition merge needs a primary_key [bad-value]",
        ],
    ),
    "a column that Headwater adds": (
        {"sources/shop.yaml": "type: files\nstreams:\n  a:\n    columns:\n      _hw_load_id: text\n"},
        ["sources/shop.yaml:5:7: the column _hw_load_id is added by Headwater itself [reserved-name]"],
    ),
    "a reserved schema": (
        {"sources/headwater.yaml": "type: files\nstreams: {a: {path: a.csv}}\n", "models/main/x.sql": "SELECT 1 AS a"},
        [
            "models/main/x.sql: the model main.x would make the schema 'main', which is reserved; expected another name [reserved-name]",
            "sources/headwater.yaml:1:1: the source headwater would make the schema 'headwater', which is reserved; expected another name [reserved-name]",
        ],
    ),
    "two sources of one name": (
        {"sources/a.yaml": "type: files\nname: shop\n", "sources/b.yaml": "type: files\nname: Shop\n"},
        ["sources/b.yaml:2:7: the source Shop is defined in sources/a.yaml too; expected one file a source [duplicate-source]"],
    ),
    "mistakes in a header, at their place behind the comment marks": (
        {
            "sources/shop.yaml": SHOP,
            "models/staging/orders.sql": """
            -- headwater
            -- descripton: Orders
            -- kind: {incremental: {time_colum: day}}
            -- checks:
            --   - uniq: [id]
            --   - range: {column: amount, minn: 0}
            --   - relationships: {column: c, to: shop.customer, field: id}

            SELECT * FROM shop.orders
            """,
        },
        [
            "models/staging/orders.sql:2:4: there is no key 'descripton' here; expected one of checks, kind, description",
            "models/staging/orders.sql:3:25: there is no key 'time_colum' here; expected one of time_column, unique_key, lookback; did you mean 'time_column'?",
            "models/staging/orders.sql:5:8: there is no check 'uniq'; expected one of not_null, unique",
            "models/staging/orders.sql:6:32: there is no key 'minn' here; expected one of severity, tolerance, column, min, max; did you mean 'min'?",
            "models/staging/orders.sql:7:8: a check of staging.orders looks into shop.customer, and there is no such table; did you mean 'shop.customers'?",
        ],
    ),
    "a kind that isn't one": (
        {"models/a/b.sql": "-- headwater\n-- kind: tabel\nSELECT 1 AS a", "models/a/c.sql": "-- headwater\n-- kind: incremental\nSELECT 1 AS a"},
        [
            "models/a/b.sql:2:10: there is no kind 'tabel'; expected one of view, table, incremental, snapshot; did you mean 'table'? [bad-kind]",
            "models/a/c.sql:2:10: incremental without arguments is reserved for maintenance by changes; expected {incremental:",
        ],
    ),
    "a snapshot with both strategies": (
        {"models/a/b.sql": "-- headwater\n-- kind:\n--   snapshot: {key: id, updated_at: t, check: [a]}\nSELECT 1 AS a"},
        ["models/a/b.sql:3:16: kind snapshot: a snapshot takes either updated_at or check [bad-value]"],
    ),
    "a block header without its end": (
        {"models/a/b.sql": "\n\n/* headwater\ndescription: x */\nSELECT 1 AS a"},
        ["models/a/b.sql:2:1: the header has no end; expected a line that is only */ [bad-header]"],
    ),
    "a header in two places": (
        {"models/a/b.sql": "-- headwater\n-- owner: me\nSELECT 1 AS a", "models/a/_a.yml": "models:\n  b: {owner: you}\n"},
        ["models/a/_a.yml:2:3: a.b has a header in its own file models/a/b.sql too; expected one of the two [described-twice]"],
    ),
    "a sidecar for a model that isn't there": (
        {"models/a/revenue.sql": "SELECT 1 AS a", "models/a/_a.yml": "models:\n  revenu:\n    description: x\n"},
        ["models/a/_a.yml:2:3: there is no model a.revenu; did you mean 'revenue'? [unknown-table]"],
    ),
    "a syntax error behind a header and a var": (
        {
            "headwater.yaml": "name: shop\nvars: {country: Norwegian}\n",
            "models/a/b.sql": "-- headwater\n-- kind: view\nSELECT '${var:country}' AS c,\n  b FRM x",
        },
        ['models/a/b.sql:4:9: syntax error at or near "x" [sql-syntax]'],
    ),
    "a syntax error on a long line after a var": (
        {"headwater.yaml": "name: shop\nvars: {v: abc}\n", "models/a/b.sql": "SELECT " + "'${var:v}', " * 30 + "1 a b FROM x"},
        ['models/a/b.sql:1:372: syntax error at or near "b" [sql-syntax]'],
    ),
    "a statement that ends too early": ({"models/a/b.sql": "SELECT (1,\n"}, ["models/a/b.sql:1:11: syntax error at end of input [sql-syntax]"]),
    "several statements": (
        {"models/a/b.sql": "SELECT 1 AS a;\n-- and\n  SELECT 2 AS b"},
        ["models/a/b.sql:2:1: the file holds 2 statements; expected one SELECT statement a model [several-statements]"],
    ),
    "a statement that writes": (
        {"models/a/b.sql": "\n\nINSERT INTO x SELECT 1", "models/a/c.sql": "CREATE TABLE x AS SELECT 1"},
        [
            "models/a/b.sql:2:1: the statement is an INSERT; expected a SELECT: a model is a query, and Headwater stores its result [not-a-query]",
            "models/a/c.sql:1:1: the statement is a CREATE; expected a SELECT: a model is a query, and Headwater stores its result [not-a-query]",
        ],
    ),
    "a file with nothing but comments": (
        {"models/a/b.sql": "-- to do\n"},
        ["models/a/b.sql:1:1: the file holds no query; expected one SELECT statement [no-query]"],
    ),
    "tables that aren't there": (
        {
            "sources/shop.yaml": SHOP,
            "models/a/b.sql": "SELECT *\nFROM shop.ordrs\nJOIN Customers USING (i)\nJOIN headwater.loads USING (i)\nJOIN x.shop.orders USING (i)\n"
            "JOIN information_schema.tables USING (i)",
        },
        [
            "models/a/b.sql:2:6: a.b reads shop.ordrs, and there is no such table; did you mean 'shop.orders'? [unknown-table]",
            "models/a/b.sql:3:6: a.b reads Customers without a schema; expected schema.table; did you mean 'shop.customers'? [unqualified-table]",
            "models/a/b.sql:4:6: a.b reads headwater.loads: Headwater's own tables are there for queries, not for models [system-table]",
            "models/a/b.sql:5:6: a.b reads x.shop.orders, a name of 3 parts; expected schema.table; did you mean 'shop.orders'? [unknown-table]",
            "models/a/b.sql:6:6: a.b reads information_schema.tables, which describes the engine's own session; expected a table of the project",
        ],
    ),
    "a mention in a comment or string isn't the place": (
        {"models/a/b.sql": "-- x.y\nSELECT 'x.y' AS t\nFROM \"x\".y"},
        ["models/a/b.sql:3:6: a.b reads x.y, and there is no such table"],
    ),
    "unknown vars and secrets in SQL": (
        {"headwater.yaml": "name: shop\nvars: {country: NO}\n", "models/a/b.sql": "SELECT '${var:contry}' AS a,\n '${env:PASSWORD}' AS b"},
        [
            "models/a/b.sql:1:9: there is no var 'contry'; did you mean 'country'? [unknown-var]",
            "models/a/b.sql:2:3: ${env:..} can't stand here: SQL is stored and shown, so it takes ${var:..} only [bad-reference]",
        ],
    ),
    "an unknown var in YAML": (
        {"headwater.yaml": "name: shop\nvars: {country: NO}\n", "sources/shop.yaml": "type: files\nowner: of ${var:countri}\n"},
        ["sources/shop.yaml:2:11: there is no var 'countri'; did you mean 'country'? [unknown-var]"],
    ),
    "two files for one table, by case": (
        {"models/a/b.sql": "SELECT 1 AS a", "models/a/more/B.sql": "SELECT 1 AS a"},
        [
            "models/a/more/B.sql: the table a.B is defined twice, as a model in models/a/b.sql too, written a.b there: "
            "names that differ by case alone are one table"
        ],
    ),
    "a model and a stream of one name": (
        {"sources/shop.yaml": SHOP, "models/shop/orders.sql": "SELECT 1 AS a"},
        ["models/shop/orders.sql: the table shop.orders is defined twice, as a stream in sources/shop.yaml too; expected one definition a table"],
    ),
    "a circle": (
        {"models/a/x.sql": "SELECT *\n FROM a.y", "models/a/y.sql": "FROM a.z", "models/a/z.sql": 'FROM A."X"', "models/a/below.sql": "FROM a.x"},
        [
            "models/a/x.sql:2:7: a.x is made from itself: a.x -> a.y -> a.z -> a.x (each reads the next); expected tables that can be put in an order [cycle]"
        ],
    ),
    "two circles and one table alone": (
        {"models/a/x.sql": "FROM a.x", "models/b/p.sql": "FROM b.q", "models/b/q.sql": "FROM b.p JOIN a.x USING (i)"},
        ["models/a/x.sql:1:6: a.x reads itself;", "models/b/p.sql:1:6: b.p is made from itself: b.p -> b.q -> b.p (each reads the next);"],
    ),
    "renamed from a table that is still there": (
        {
            "models/a/x.sql": "SELECT 1 AS i",
            "models/a/y.sql": "-- headwater\n-- renamed_from: a.X\nSELECT 1 AS i",
            "models/a/p.sql": "-- headwater\n-- renamed_from: a.old\nSELECT 1 AS i",
            "models/a/q.sql": "-- headwater\n-- renamed_from: old\nSELECT 1 AS i",
        },
        [
            "models/a/q.sql:2:18: a.q and a.p are both renamed from a.old; expected one heir [bad-rename]",
            "models/a/y.sql:2:18: a.y is renamed from a.X, and a.X is still defined; expected the name of a table that is gone [bad-rename]",
        ],
    ),
    "a model outside any schema": (
        {"models/top.sql": "SELECT 1 AS a"},
        ["models/top.sql: a model lies in a folder that names its schema; expected models/<schema>/top.sql [bad-name]"],
    ),
    "a view whose columns are in the data": (
        {"sources/shop.yaml": SHOP, "models/a/p.sql": "-- headwater\n-- kind: view\nPIVOT shop.orders ON x USING sum(y)"},
        ["models/a/p.sql:3:1: a.p is a view, and its PIVOT takes its columns from the data; expected kind: table, or PIVOT .. ON column IN (values)"],
    ),
    "macros that can't be created": (
        {
            "macros/m.sql": "CREATE MACRO f(a) AS nosuch(a);\nCREATE TABLE x(i int);\nCREATE MACRO g(a) AS a;\nCREATE MACRO G(a) AS 1;\nCREATE TEMP MACRO t(a) AS a;"
        },
        [
            "macros/m.sql:1:1: the macro f can't be created: Scalar Function with name nosuch does not exist!",
            "macros/m.sql:2:1: the statement is no macro; expected CREATE MACRO name(parameters) AS .. [not-a-macro]",
            "macros/m.sql:4:1: the macro g is defined in macros/m.sql:3 too [duplicate-macro]",
            "macros/m.sql:5:1: a macro of a project is neither temporary nor in a schema; expected CREATE MACRO t(..) AS .. [bad-macro]",
        ],
    ),
    "a macro over a table that isn't there": (
        {"sources/shop.yaml": SHOP, "macros/m.sql": "CREATE MACRO f() AS TABLE FROM shop.ordrs;"},
        ["macros/m.sql:1:1: the macro f reads shop.ordrs, and there is no such table; did you mean 'shop.orders'? [unknown-table]"],
    ),
    "unit tests of what isn't there": (
        {
            "sources/shop.yaml": SHOP,
            "models/a/b.sql": "FROM shop.orders JOIN shop.customers USING (i)",
            "tests/t.yaml": "- model: a.c\n  expect: []\n- model: a.b\n  given:\n    shop.order: []\n  expct: []\n- model: a.b\n  given:\n    shop.order: []\n"
            "  expect: []\n",
        },
        [
            "tests/t.yaml:1:10: there is no model a.c; did you mean 'a.b'? [unknown-table]",
            "tests/t.yaml:6:3: there is no key 'expct' here; expected one of name, model, description, given, expect, ordered, now; did you mean 'expect'?",
            "tests/t.yaml:8:3: the model reads shop.customers, and the test gives no rows for it; expected `shop.customers: []` at least [missing-input]",
            "tests/t.yaml:8:3: the model reads shop.orders, and the test gives no rows for it",
            "tests/t.yaml:9:5: a.b doesn't read shop.order; expected one of shop.customers, shop.orders; did you mean 'shop.orders'? [unknown-table]",
        ],
    ),
    "a check's query that reads nothing known": (
        {
            "models/a/b.sql": "-- headwater\n-- checks:\n--   - query: {name: q, sql: FROM a.bb}\n--   - query: {name: r, sql: SELEC}\nSELECT 1 AS a",
        },
        [
            "models/a/b.sql:3:8: the check q of a.b reads a.bb, and there is no such table; did you mean 'a.b'? [unknown-table]",
            "models/a/b.sql:4:8: the check r of a.b: ",
        ],
    ),
    "mistakes in @model": (
        {
            "models/a/s.py": """
            from headwater import model, table

            @model(kind="tabel", descriptin="x", checks=[{"unique": "id"}, "foo"])
            def s(x, o=table("a.orderz")):
                return o
            """,
            "models/a/t.py": "x = 1\n",
            "models/a/u.py": "def f(:\n",
            "models/a/v.py": 'from headwater import model, table\n\n@model()\ndef v(o=table("a.nothing")):\n    return o\n',
        },
        [
            "models/a/s.py:3:13: there is no kind 'tabel'; expected one of view, table, incremental, snapshot; did you mean 'table'? [bad-kind]",
            "models/a/s.py:3:22: there is no key 'descriptin' here;",
            "models/a/s.py:3:64: there is no check 'foo';",
            "models/a/s.py:4:7: the parameter 'x' stands for no table; expected x=table(\"schema.table\") [bad-parameter]",
            "models/a/t.py:1:1: the file defines no model; expected a function decorated with @model(..) [no-model]",
            "models/a/u.py:1:7: invalid syntax [python-syntax]",
            "models/a/v.py:4:15: a.v reads a.nothing, and there is no such table",
        ],
    ),
}


@pytest.mark.parametrize(("files", "expected"), CASES.values(), ids=CASES.keys())
def test_every_mistake_is_told_at_its_place(write, files, expected):
    directory = write(files)
    with pytest.raises(DefinitionErrors) as caught:
        load_project(directory)
    told = [str(problem) for problem in caught.value.problems]
    assert len(told) == len(expected), "\n".join(told)
    for message, beginning in zip(told, expected, strict=True):
        assert message.startswith(beginning), "\n".join(told)


def test_a_second_load_of_a_broken_project_says_the_same(write):
    directory = write(CASES["mistakes in a header, at their place behind the comment marks"][0])
    messages = []
    for _ in range(2):
        with pytest.raises(DefinitionErrors) as caught:
            load_project(directory)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_the_traceback_of_a_failing_import_is_kept_without_our_frames(write):
    directory = write(
        {"models/a/s.py": "from models_lib.helper import half\n\nhalf(0)\n", "models_lib/helper.py": "def half(n):\n    return 1 / n\n"}
    )
    with pytest.raises(DefinitionErrors) as caught:
        load_project(directory)
    (problem,) = caught.value.problems
    assert problem.rule == "python-import-failed"
    assert (problem.location.path, problem.location.line) == ("models/a/s.py", 3)
    assert 'File "models/a/s.py", line 3' in problem.message
    assert 'File "models_lib/helper.py", line 2, in half' in problem.message
    assert "ZeroDivisionError: division by zero" in problem.message
    assert "importlib" not in problem.message
    assert "headwater/project" not in problem.message


def test_bytes_that_are_not_utf8_are_located_and_readers_of_the_table_not_blamed(write):
    directory = write({"models/a/b.sql": "FROM a.latin"})
    (directory / "models/a/latin.sql").write_bytes(b"SELECT 1 AS i,\n 'caf\xe9' AS c")
    with pytest.raises(DefinitionErrors) as caught:
        load_project(directory)
    assert [str(p) for p in caught.value.problems] == [
        "models/a/latin.sql:2:6: the file holds bytes that aren't UTF-8; expected a file saved as UTF-8 [not-utf8]"
    ]


def test_what_reads_a_table_with_mistakes_is_not_blamed(write):
    directory = write(
        {
            "sources/shop.yaml": "type: files\nstreams:\n  orders: {pth: a.csv}\n",
            "models/a/b.sql": "SELEC 1",
            "models/a/c.sql": "FROM a.b JOIN shop.orders USING (i)",
        }
    )
    with pytest.raises(DefinitionErrors) as caught:
        load_project(directory)
    assert {problem.location.path for problem in caught.value.problems} == {"sources/shop.yaml", "models/a/b.sql"}


def test_a_connection_never_stands_in_a_message(write):
    directory = write({"sources/shop.yaml": "type: postgres\nconnection: [s3cret]\nstreams: {a: {table: t, primary_ky: id}}\n"})
    with pytest.raises(DefinitionErrors) as caught:
        load_project(directory)
    assert "s3cret" not in str(caught.value)


def test_a_folder_without_a_project_is_told(tmp_path):
    with pytest.raises(ProjectNotFound, match=r"headwater\.yaml"):
        load_project(tmp_path)


def test_an_environment_that_is_not_defined_is_told_with_the_nearest(write):
    directory = write({"headwater.yaml": "name: shop\nenvironments: {staging: {}}\n"})
    with pytest.raises(UsageError) as caught:
        load_project(directory, environment="stagin")
    assert "did you mean staging?" in str(caught.value)


def test_an_alias_inside_itself_is_told(write):
    directory = write({"sources/shop.yaml": "type: files\noptions: &a\n  b: *a\n"})
    with pytest.raises(DefinitionErrors, match="an alias stands inside what it stands for"):
        load_project(directory)


def test_characters_that_cannot_be_shown_are_located(write):
    directory = write({"sources/shop.yaml": "type: files\ndescription: 'a\x07b'\n"})
    with pytest.raises(DefinitionErrors, match=r"sources/shop\.yaml:2:16: this is not valid YAML: the character U\+0007"):
        load_project(directory)


def test_yaml_nested_without_end_is_told(write):
    directory = write({"sources/shop.yaml": "type: files\noptions: " + "[" * 2000 + "]" * 2000})
    with pytest.raises(DefinitionErrors, match="nested more than 100 deep"):
        load_project(directory)


def test_a_file_name_that_cannot_be_shown_is_told(write):
    directory = write({"models/a/b.sql": "SELECT 1 AS i"})
    (directory / "models" / "a" / "tab\there.sql").write_text("SELECT 1 AS i")
    with pytest.raises(DefinitionErrors, match="it holds characters that can't be shown"):
        load_project(directory)


def test_a_var_that_nothing_knows_is_refused(write) -> None:
    directory = write({"headwater.yaml": "name: shop\nvars: {country: NO}\n", "models/a/b.sql": "SELECT '${var:other:-x}' AS c\n"})
    with pytest.raises(UsageError) as caught:
        load_project(directory, vars={"contry": "DK"})
    assert (caught.value.what, caught.value.hint) == ("there is no var 'contry'", "did you mean country?")
    load_project(directory, vars={"country": "DK", "other": "y"})
