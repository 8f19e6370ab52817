"""`tests/*.yaml`: one unit test a file, or a list of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from headwater.project.documents import Document, read_document
from headwater.project.files import ProjectFile
from headwater.project.graph import Graph
from headwater.project.problems import Report, nearest_table
from headwater.project.resources import place_in, validate
from headwater.project.variables import VarValue
from headwater.spec.names import TableName
from headwater.spec.unit_tests import THIS, UnitTest


@dataclass(frozen=True, slots=True)
class ReadTest:
    """A unit test, and where it stands: for checking it against the graph."""

    test: UnitTest
    document: Document
    path: tuple[str | int, ...]


def read_unit_tests(file: ProjectFile, values: Mapping[str, VarValue], report: Report) -> list[ReadTest]:
    """The tests of one file. A test without `name` is called like its file, and in a list also by its number."""
    document = read_document(file.text, file.path, report, values=values)
    if document is None or document.value in (None, {}):
        return []
    is_list = isinstance(document.value, list)
    found: list[ReadTest] = []
    for index, data in enumerate(document.value if is_list else [document.value]):
        path: tuple[str | int, ...] = (index,) if is_list else ()
        if not isinstance(data, dict):
            report.add("bad-value", "a unit test is a mapping", document.locate(path), expected="`model:`, `given:` and `expect:`")
            continue
        name = str(data.get("name") or (f"{file.stem}-{index + 1}" if is_list else file.stem))
        test = validate(
            UnitTest,
            {**data, "name": name, "path": file.path, "line": document.line_of(path)},
            place_in(document, path),
            report,
            f"the unit test {name}",
        )
        if isinstance(test, UnitTest):
            found.append(ReadTest(test, document, path))
    return found


def check_unit_tests(tests: list[ReadTest], graph: Graph, known: Iterable[TableName], report: Report) -> tuple[UnitTest, ...]:
    """Holds the tests against the graph: the model exists, `given` names what it reads and all of it. Names come back as the graph writes them.

    `known` are all tables, also those whose definition has mistakes: what a test says of them can't be judged.
    """
    unfit = {table.key for table in known} - {table.key for table in graph.nodes}
    checked: list[UnitTest] = []
    names: dict[str, str] = {}
    for read in tests:
        test = read.test
        if test.name in names:
            report.add("duplicate-test", f"a unit test {test.name!r} stands in {names[test.name]} too", read.document.locate([*read.path, "name"]))
        names.setdefault(test.name, test.path)
        model = graph.find(test.model)
        if test.model.key in unfit:
            continue
        if model is None or graph.nodes[model].kind != "model":
            models = [table for table, node in graph.nodes.items() if node.kind == "model"]
            report.add(
                "unknown-table",
                f"there is no model {test.model}",
                read.document.locate([*read.path, "model"]),
                did_you_mean=nearest_table(str(test.model), models),
            )
            continue
        inputs = {table.key: table for table in graph.inputs(model)}
        given = {}
        for name, rows in test.given.items():
            table = _parsed(name)
            if name == THIS or (table is not None and table.key == model.key):
                given[THIS] = rows
                continue
            named = inputs.pop(table.key, None) if table is not None else None
            if named is None:
                report.add(
                    "unknown-table",
                    f"{model} doesn't read {name}",
                    read.document.locate([*read.path, "given", name], True),
                    expected=f"one of {', '.join(map(str, graph.inputs(model)))}" if graph.inputs(model) else "no inputs: the model reads no table",
                    did_you_mean=nearest_table(name, inputs.values()),
                )
            else:
                given[str(named) if '"' not in name else name] = rows
        for table in inputs.values():
            report.add(
                "missing-input",
                f"the model reads {table}, and the test gives no rows for it",
                read.document.locate([*read.path, "given"], True),
                expected=f"`{table}: []` at least",
            )
        checked.append(test.model_copy(update={"model": model, "given": given}))
    return tuple(checked)


def _parsed(name: str) -> TableName | None:
    try:
        return TableName.parse(name)
    except ValueError:
        return None
