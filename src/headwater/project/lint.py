"""Lint: what loads and runs, and still is doubtful. Each rule has a stable name; `-- noqa: rule` (or `# noqa: rule`) in a file silences it there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from headwater.engine import CLOCK_FUNCTIONS, parse_tree, tables_named, with_room
from headwater.errors import Location, Problem
from headwater.project import sqltext
from headwater.project.lineage import LineageCache, derive_all
from headwater.project.links import looks_like_file
from headwater.project.loaded import RANDOM_FUNCTIONS, LoadedProject
from headwater.spec.models import Model
from headwater.spec.names import TECHNICAL_COLUMNS, TableName

Severity = Literal["error", "warning", "note"]
#: Names of columns, or names to types.
Columns = Sequence[str] | Mapping[str, str]
#: Where the lineage derived before is kept, within the project.
LINEAGE_CACHE = ".headwater/cache/lineage.json"

#: Every rule: how serious it is, and what it says.
LINT_RULES: Final[Mapping[str, tuple[Severity, str]]] = {
    "random-values": ("warning", "A model draws at random, so it is always stale and no two builds of it are alike."),
    "clock-function": ("note", "A model uses the run's time, so it is rebuilt when that value, as used, changed."),
    "file-read-in-model": ("warning", "A model reads a file itself: no contract, no position, and no rebuild when the file changes."),
    "deletes-not-seen": ("warning", "A stream read by cursor can't see rows deleted at the source; deleted_when: or a replace would."),
    "merge-without-cursor": ("note", "A database stream is merged without a cursor, so every load reads the whole table."),
    "unused-stream": ("warning", "A stream is loaded and nothing reads it: no model, row filter or export."),
    "missing-description": ("note", "A model says nothing of what it holds."),
    "select-star": ("note", "A model takes whatever columns its input has, so a change upstream changes it unseen."),
    "lineage-not-derived": (
        "warning",
        "The column lineage of a model can't be derived; every column of its inputs counts as feeding every one of its own.",
    ),
    "python-lineage": ("note", "A Python model's column lineage isn't known before it runs; every column of its inputs counts until then."),
    "pattern-matches-nothing": ("warning", "A grant or denial is on tables of which there are none."),
    "denied-grant": ("error", "A role is granted what it is denied, so the grant gives nothing."),
    "filter-not-applicable": ("error", "A row filter can't be applied to a table of its grant, so that nothing of the table can be read by it."),
    "unknown-policy-column": ("error", "A grant, denial or mask names a column that none of its tables has."),
    "mask-not-applicable": ("error", "A mask is for a column of a type that it can't be applied to."),
    "mask-hides": ("warning", "A mask of a label can't be applied to the type of a column with that label, which is hidden instead."),
    "conflicting-masks": ("error", "A column carries labels whose masks are equally specific and differ; the stricter one is applied."),
    "label-not-carried": ("note", "A policy names a label that no column is given."),
    "unknown-group": ("note", "A denial is for a group that no policy defines."),
    "no-checks": ("note", "A stored model has no check, so nothing would hold it back."),
}
_FILE_FUNCTIONS = frozenset(
    {
        "read_csv",
        "read_csv_auto",
        "sniff_csv",
        "read_parquet",
        "parquet_scan",
        "parquet_metadata",
        "read_json",
        "read_json_auto",
        "read_json_objects",
        "read_ndjson",
        "read_ndjson_auto",
        "read_ndjson_objects",
        "read_text",
        "read_blob",
        "read_xlsx",
        "glob",
        "sqlite_scan",
        "postgres_scan",
        "postgres_query",
        "mysql_scan",
        "mysql_query",
        "iceberg_scan",
        "delta_scan",
    }
)
#: Where DuckDB says something stands that isn't written: the star of a VALUES.
_NOWHERE = 2**64 - 1
_DATABASES = frozenset({"postgres", "mysql", "sqlite", "duckdb"})
_NOQA = re.compile(r"(?:--|#)\s*noqa:\s*([a-z][a-z, -]*)")


def lint_project(
    project: LoadedProject, *, known_columns: Mapping[TableName, Columns] | None = None, further: Iterable[Problem] = ()
) -> list[Problem]:  # fmt: skip
    """All that is doubtful in a project, by file and line: what the load warned of, and the rules of `LINT_RULES`.

    `known_columns` are columns of tables as the lake knows them, for lineage through streams without a full contract. `further` are problems that
    others found; they can be silenced in the files like all.
    """
    problems = [*map(_as_lint, project.warnings), *further, *_lint_streams(project)]
    for model in project.models.values():
        if model.language == "sql":
            problems += _lint_sql(project, model)
        problems += _lint_definition(model)
    problems += _lint_lineage(project, known_columns or {})
    silenced: dict[str, frozenset[str]] = {}
    kept = []
    for problem in dict.fromkeys(problems):
        path = problem.location.path
        if path not in silenced:
            silenced[path] = _silenced_in(project, path)
        if problem.rule not in silenced[path]:
            kept.append(problem)
    return sorted(kept, key=lambda problem: (problem.location.path, problem.location.line or 0, problem.location.column or 0, problem.rule))


def _silenced_in(project: LoadedProject, path: str) -> frozenset[str]:
    try:
        text = (project.directory / path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return frozenset()
    return frozenset(rule.strip() for match in _NOQA.finditer(text) for rule in match[1].split(","))


def _as_lint(problem: Problem) -> Problem:
    """What keeps no project from being loaded may be an error here."""
    return replace(problem, severity=LINT_RULES[problem.rule][0]) if problem.rule in LINT_RULES else problem


def _problem(rule: str, message: str, location: Location, expected: str | None = None) -> Problem:
    return Problem(rule, message, location, expected, severity=LINT_RULES[rule][0])


def _lint_streams(project: LoadedProject) -> Iterator[Problem]:
    used = {table for node in project.graph.nodes.values() for table in node.inputs} | _read_otherwise(project)
    for source in project.sources.values():
        for name, stream in source.streams.items():
            table = source.table_name(name)
            place = Location(source.path)
            if stream.disposition == "merge" and stream.cursor is not None and stream.deleted_when is None:
                yield _problem(
                    "deletes-not-seen",
                    f"{table} is read by the cursor {stream.cursor.column}: rows deleted at the source stay here",
                    place,
                    "deleted_when: a condition, where the source marks deleted rows",
                )
            if stream.disposition == "merge" and stream.cursor is None and source.type in _DATABASES:
                yield _problem(
                    "merge-without-cursor", f"{table} is merged without a cursor: every load reads all of it", place, "cursor: a column that grows"
                )
            if table not in used:
                yield _problem("unused-stream", f"{table} is loaded, and nothing reads it", place)


def _read_otherwise(project: LoadedProject) -> set[TableName]:
    """Tables that no model has to read: row filters look into them, or they are sent out."""
    filters = [grant.where for role in project.policies.roles.values() for grant in role.grants if grant.where is not None]
    named = {parts for where in filters for parts in tables_named(f"SELECT 1 WHERE (\n{where}\n)")}
    found = {project.graph.find(TableName(*parts)) for parts in named if len(parts) == 2}
    return {table for table in found if table is not None} | set(project.export_tables.values())


def _lint_sql(project: LoadedProject, model: Model) -> Iterator[Problem]:
    facts = project.facts[model.name]

    def place(offset: int | None) -> Location:
        if offset is None:
            return Location(model.path, model.sql_line)  # a macro or a view above uses it
        line, column = sqltext.line_and_column(model.sql, offset)
        return Location(model.path, model.sql_line + line - 1, column)

    functions = project.functions(model.name)
    for name in sorted(functions & RANDOM_FUNCTIONS):
        called = "a random sample" if name == "tablesample" else f"{name}()"
        yield _problem("random-values", f"{model.name} uses {called}: it is always stale", place(sqltext.find_function(model.sql, name)))
    for name in sorted(functions & CLOCK_FUNCTIONS):
        yield _problem(
            "clock-function", f"{model.name} uses {name}: it is rebuilt when its value changed", place(sqltext.find_function(model.sql, name))
        )
    for name in sorted(facts.functions & _FILE_FUNCTIONS):
        yield _problem(
            "file-read-in-model",
            f"{model.name} calls {name}()",
            place(sqltext.find_function(model.sql, name)),
            "a source of type files, and its stream",
        )
    for parts in facts.tables:
        if looks_like_file(parts):
            yield _problem(
                "file-read-in-model",
                f"{model.name} reads a file",
                place(sqltext.find_table(model.sql, parts)),
                "a source of type files, and its stream",
            )
    if not facts.is_dynamic_pivot and with_room(lambda: _has_star(parse_tree(model.sql))):
        yield _problem("select-star", f"{model.name} selects *", place(_star_offset(model.sql)), "its columns by name")


def _has_star(node: Any) -> bool:
    """Whether a `*` (not count(*), not COLUMNS(..), nor one that DuckDB put there itself) stands in the tree DuckDB parsed."""
    if isinstance(node, list):
        return any(_has_star(item) for item in node)
    if not isinstance(node, dict):
        return False
    if node.get("class") == "STAR" and not node.get("columns") and node.get("expr") is None and node.get("query_location") != _NOWHERE:
        return True
    return any(_has_star(value) for value in node.values())


def _star_offset(sql: str) -> int | None:
    match = re.search(r"(?:\bselect\s+(?:distinct\s+)?|[,.]\s*)(\*)", sqltext.mask(sql, quoted=True), re.IGNORECASE)
    return match.start(1) if match else None


def _lint_definition(model: Model) -> Iterator[Problem]:
    place = Location(model.path)
    if not model.description:
        yield _problem("missing-description", f"{model.name} has no description", place)
    if model.kind.type != "view" and not model.table_checks:
        yield _problem("no-checks", f"{model.name} has no check", place, "checks: such as unique, not_null")


def _lint_lineage(project: LoadedProject, known: Mapping[TableName, Columns]) -> Iterator[Problem]:
    """Models whose columns can't be traced though those of their inputs are known."""
    columns = {**_promised_columns(project), **known}
    cache = LineageCache(project.directory / LINEAGE_CACHE)
    lineages = derive_all(project, columns, cache=cache)
    cache.save()
    traced = {table.key for table in columns} | {table.key for table, lineage in lineages.items() if lineage.columns_known}
    for table, lineage in lineages.items():
        model = project.models[table]
        if model.language != "sql":
            yield _problem(
                "python-lineage", f"{table} is written in Python: its columns can be traced after it ran, at the earliest", Location(model.path)
            )
        elif not lineage.is_complete and (project.facts[table].is_dynamic_pivot or all(read.key in traced for read in project.graph.inputs(table))):
            place = Location(model.path, model.sql_line)
            yield _problem(
                "lineage-not-derived", f"the columns of {table} can't be traced: {lineage.reason or 'the statement is not understood'}", place
            )


def _promised_columns(project: LoadedProject) -> dict[TableName, Columns]:
    """The columns of streams whose contract forbids others."""
    return {
        source.table_name(name): (*stream.columns, *TECHNICAL_COLUMNS)
        for source in project.sources.values()
        for name, stream in source.streams.items()
        if stream.columns and stream.schema_contract.columns == "freeze"
    }
