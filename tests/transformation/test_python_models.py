from __future__ import annotations

import re

import pytest
from lakehouse import NOON, House, python_model

from headwater.errors import ModelOutputInvalid, UserCodeError
from headwater.spec.names import ColumnName, TableName
from headwater.transformation.python_models import python_query

HEAD = "from headwater import model, table\n\n"
ROWS = TableName("staging", "rows")


def write(house: House, body: str, *, as_: str = "relation", before: str = "") -> None:
    code = "\n".join("    " + line for line in body.strip().splitlines())
    house.write("models/marts/scores.py", f'{HEAD}{before}\n@model()\ndef scores(rows=table("staging.rows", as_="{as_}")):\n{code}\n')


def build(house: House, body: str, *, as_: str = "relation", before: str = "", **more: object) -> list[tuple[object, ...]]:
    write(house, body, as_=as_, before=before)
    house.build(python_model("scores", **more))
    return house.rows("marts.scores")


EXPECTED = [(i, i * 2) for i in range(3)]


@pytest.mark.parametrize(
    ("as_", "body"),
    [
        ("relation", "return rows.filter('id < 3').project('id, v')"),
        ("arrow", "return rows.select(['id', 'v']).slice(0, 3)"),
        ("arrow", "return rows.select(['id', 'v']).slice(0, 3).to_batches()"),
        ("arrow", "return rows.select(['id', 'v']).slice(0, 3).to_reader()"),
        ("arrow", "return rows.select(['id', 'v']).slice(0, 3).to_batches()[0]"),
        ("batches", "for batch in rows:\n    yield batch.select(['id', 'v']).slice(0, 3)"),
        ("polars", "return rows[['id', 'v']].head(3)"),
        ("polars", "return rows.lazy().select('id', 'v').head(3)"),
        ("pandas", "return rows[['id', 'v']].head(3)"),
    ],
)
def test_tables_go_in_and_come_out_in_every_form(shared_house: House, as_: str, body: str) -> None:
    assert build(shared_house, body, as_=as_) == EXPECTED


def test_batches_are_streamed_and_written_as_files(house: House) -> None:
    body = """
import pyarrow as pa
for start in range(0, 400_000, 20_000):
    yield pa.RecordBatch.from_pydict({"id": range(start, start + 20_000)})
"""
    write(house, body)
    change = house.change(python_model("scores"))
    assert change.staged is not None
    assert change.staged.rows == 400_000
    assert change.staged.files


def test_modules_of_the_project_can_be_imported_at_the_top_and_inside(house: House) -> None:
    house.write("helpers/money.py", "def double(relation):\n    return relation.project('id, v')\n")
    assert build(house, "return double(rows.filter('id < 3'))", before="from helpers.money import double\n") == EXPECTED
    assert build(house, "from helpers.money import double\nreturn double(rows.filter('id < 3'))") == EXPECTED


def test_the_other_kinds_work_with_python_too(house: House) -> None:
    for kind in ({"incremental": {"time_column": "day", "lookback": "1 day"}}, {"snapshot": {"key": "id", "check": "*"}}):
        for as_ in ("relation", "batches"):
            body = "return rows" if as_ == "relation" else "yield from rows"
            assert len(build(house, body, as_=as_, kind=kind)) == 100
            assert len(build(house, body, as_=as_, kind=kind)) == 100


def test_declared_types_hold_for_python(house: House) -> None:
    build(house, "return rows", columns={"v": {"type": "DECIMAL(9,2)"}})
    assert house.lake.table_state(TableName("marts", "scores")).columns[2].type == "DECIMAL(9,2)"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("pass", r"returned no table[^$]*nothing \(None\)"),
        ("return 42", "returned no table[^$]*int"),
        ("return [{'a': 1}]", "something else than a batch[^$]*dict"),
        ("return []", "gave no batch at all"),
        ("return 'SELECT 1'", "returned no table[^$]*str"),
        ("import pyarrow as pa\nreturn pa.table([[1], [2]], names=['a', 'A'])", "two columns named 'A'"),
        ("import pyarrow as pa\nreturn pa.table({})", "without columns"),
        ("import pandas as pd\nreturn pd.DataFrame({'a': [1, 'x', {}]})", "mixed types"),
        ("import pyarrow as pa\nyield pa.RecordBatch.from_pydict({'a': [1]})\nyield pa.RecordBatch.from_pydict({'b': [1]})", "different columns"),
    ],
)
def test_what_is_no_table_is_told(shared_house: House, body: str, says: str) -> None:
    write(shared_house, body)
    with pytest.raises(ModelOutputInvalid, match=says):
        shared_house.change(python_model("scores"))


def test_a_python_model_cannot_be_a_view(house: House) -> None:
    write(house, "return rows")
    with pytest.raises(ModelOutputInvalid, match="can't be a view"):
        house.change(python_model("scores", kind="view"))


@pytest.mark.parametrize(
    "body",
    [
        "return fail(rows)",
        "import pyarrow as pa\nyield pa.RecordBatch.from_pydict({'a': [1]})\nfail(rows)",
        "fail(rows)\nyield",
        (
            "import pyarrow as pa\nschema = pa.schema([('a', pa.int64())])\ndef batches():\n    fail(rows)\n    yield\n"
            "return pa.RecordBatchReader.from_batches(schema, batches())"
        ),
    ],
)
def test_what_user_code_raises_keeps_its_own_frames_only(shared_house: House, body: str) -> None:
    shared_house.write("helpers/broken.py", "def fail(rows):\n    raise ValueError('no luck today')\n")
    write(shared_house, body, before="from helpers.broken import fail\n")
    with pytest.raises(UserCodeError) as caught:
        shared_house.change(python_model("scores"))
    text = caught.value.user_traceback
    assert "ValueError: no luck today" in text
    assert re.findall(r'File "([^"]+)"', text)[-1] == "helpers/broken.py"
    assert set(re.findall(r'File "([^"]+)"', text)) == {"models/marts/scores.py", "helpers/broken.py"}


def test_sql_that_fails_inside_a_model_is_the_users_error(house: House) -> None:
    write(house, "return rows.filter('nothing > 1')")
    with pytest.raises(UserCodeError, match=r"models/marts/scores\.py"):
        house.change(python_model("scores"))


def test_a_relation_of_another_duckdb_works(house: House) -> None:
    assert build(house, "import duckdb\nreturn duckdb.connect().sql('SELECT i AS id, i * 2 AS v FROM range(3) t(i)')") == EXPECTED


def test_a_relation_over_a_frame_works(house: House) -> None:
    assert build(house, "import duckdb\nframe = rows.df().head(3)\nreturn duckdb.from_df(frame[['id', 'v']])") == EXPECTED


@pytest.mark.parametrize("name", ["o", "rows", "sql", "pg_tables"])
def test_the_name_that_a_relation_has_in_a_query_wins_over_all_that_have_it_elsewhere(house: House, name: str) -> None:
    """A table of the project, another input, a variable of ours, a view of the engine."""
    house.inputs["staging.o"] = "SELECT 77 AS id, 77 AS v"
    assert build(house, f"return rows.query('{name}', 'SELECT id, v FROM {name} WHERE id < 3')") == EXPECTED


@pytest.mark.parametrize("body", ["return rows.query('o', 'SELECT id, v FROM temp.o WHERE id < 3')", "return rows.filter('id < 3').project('id, v')"])
def test_no_view_of_a_relation_stays_behind(house: House, body: str) -> None:
    write(house, body)
    with house.workspace() as workspace, workspace.connection() as connection:
        with python_query(connection, workspace, python_model("scores"), house.directory) as output:
            assert connection.execute(f"{output.sql} ORDER BY id").fetchall() == EXPECTED
        left = connection.execute("SELECT database_name, view_name FROM duckdb_views() WHERE view_name LIKE 'hw_output_%'").fetchall()
        assert left == []


def test_the_clock_of_the_run_holds_in_relations(house: House) -> None:
    assert build(house, "return rows.limit(1).project('now() AS at')") == [(NOON,)]


def test_a_relations_lineage_comes_from_its_sql(house: House) -> None:
    write(house, "return rows.filter('id < 3').project('v * 2 AS double')")
    lineage = house.change(python_model("scores")).definition.body["lineage"]
    assert lineage["is_complete"]
    assert lineage["value"] == {"double": [["staging", "rows", "v"]]}
    assert lineage["influence"] == [["staging", "rows", "id"]]


@pytest.mark.parametrize(
    "body",
    [
        "return many.arrow()",
        "yield from many.to_arrow_reader(1000)",
        "return many.pl(lazy=True)",
        "return many.filter('v >= 0')",
    ],
)
@pytest.mark.timeout(120)
def test_rows_may_be_read_from_a_relation_while_the_output_is_read(house: House, body: str) -> None:
    """On one connection the reading would wait for the output, and the output for the reading."""
    crossed = "many = rows.query('r', 'SELECT c AS v FROM r a, r b, range(100) x(c)')"
    write(house, f"{crossed}\n{body}")
    house.build(python_model("scores"))
    assert house.rows("marts.scores", "count(*), sum(v)::BIGINT") == [(1_000_000, 10_000 * 4_950)]


@pytest.mark.parametrize(
    "body",
    [
        "return rows.df()",
        "newest = rows.max('id').fetchone()[0]\nreturn rows.filter(f'id = {newest}')",
        "yield from rows.arrow().to_batches() if hasattr(rows.arrow(), 'to_batches') else rows.arrow()",
    ],
)
def test_the_lineage_of_opaque_models_is_conservative(shared_house: House, body: str) -> None:
    write(shared_house, body)
    change = shared_house.change(python_model("scores"), lineage=None)
    lineage = change.definition.body["lineage"]
    everything = ColumnName(ROWS, "*")
    assert not lineage["is_complete"]
    assert lineage["influence"] == [["staging", "rows", everything.column]]
    assert set(lineage["value"]) == {"id", "day", "v"}
