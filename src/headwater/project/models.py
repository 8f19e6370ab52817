"""`models/<schema>/<table>.sql` with its header or sidecar, made into a `Model` and what is known of its code."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from headwater.engine import parse_statements, syntax_error_offset, tables_named
from headwater.errors import Location, SqlSyntaxError
from headwater.project import sqltext
from headwater.project.cache import FileCache, content_key
from headwater.project.documents import Document, read_document
from headwater.project.files import ProjectFile
from headwater.project.problems import Locate, Report
from headwater.project.resources import place_in, prepare, validate
from headwater.project.variables import Substituted, VarValue, substitute
from headwater.spec.models import Model, ModelHeader
from headwater.spec.names import TableName


@dataclass(frozen=True, slots=True)
class CodeFacts:
    """What a statement's text says without binding it: tables as written, functions called, a hash that spacing and comments don't change."""

    tables: tuple[tuple[str, ...], ...] = ()
    functions: frozenset[str] = frozenset()
    code_hash: str = ""
    is_dynamic_pivot: bool = False


@dataclass(frozen=True, slots=True)
class ReadModel:
    """A model as read from its file, its inputs not looked up yet."""

    model: Model
    facts: CodeFacts


@dataclass(frozen=True, slots=True)
class Sidecar:
    """One model's entry in a sidecar file. `path` leads to it within the document."""

    document: Document
    data: dict[str, Any]
    path: tuple[str, ...]


def table_of(file: ProjectFile, report: Report) -> TableName | None:
    """The table a model's file stands for: the first folder under `models` is the schema, the file the table."""
    if len(file.folders) < 2:
        report.add(
            "bad-name",
            "a model lies in a folder that names its schema",
            Location(file.path),
            expected=f"models/<schema>/{file.path.rpartition('/')[2]}",
        )
        return None
    return TableName(file.folders[1], file.stem)


def read_sidecars(file: ProjectFile, values: Mapping[str, VarValue], report: Report) -> dict[TableName, Sidecar]:
    """The headers a sidecar holds: under `models:`, by table."""
    document = read_document(file.text, file.path, report, values=values)
    if document is None or document.value in (None, {}):
        return {}
    if len(file.folders) < 2:
        report.add("bad-name", "a sidecar lies in the folder of its schema", Location(file.path), expected="models/<schema>/_name.yml")
        return {}
    entries = document.value.get("models") if isinstance(document.value, dict) else None
    if not isinstance(entries, dict):
        report.add(
            "bad-value",
            "a sidecar holds the headers of the folder's models",
            document.locate(),
            expected="`models:`, and under it each table with its header",
        )
        return {}
    for key in document.value:
        if key != "models":
            report.add("unknown-key", f"there is no key {key!r} here", document.locate([key], True), expected="models")
    found: dict[TableName, Sidecar] = {}
    for name, data in entries.items():
        if data is not None and not isinstance(data, dict):
            report.add(
                "bad-value",
                f"the header of {name} isn't a mapping",
                document.locate(["models", name]),
                expected="keys such as kind, description, checks, columns",
            )
            continue
        found[TableName(file.folders[1], name)] = Sidecar(document, data or {}, ("models", name))
    return found


@dataclass(frozen=True, slots=True)
class SqlFile:
    """A model's file as far as it can be told without parsing its query. `entry` is of JSON's types and dates, as the cache keeps it."""

    file: ProjectFile
    table: TableName
    key: str
    entry: dict[str, Any]
    #: Where the query begins in the file, and whether nothing was wrong so far; None for an entry of the cache, which lacks nothing.
    unparsed: tuple[Location, bool] | None


def open_sql_model(file: ProjectFile, table: TableName, values: Mapping[str, VarValue], report: Report, cache: FileCache) -> SqlFile | None:
    """The first half of reading a model; None and problems when there is no header or query to go on with."""
    key = content_key(file.text, values)
    entry = cache.get(file.path, key)
    if _is_entry(entry):
        return SqlFile(file, table, key, entry, None)
    before = len(report.errors)
    split = sqltext.split_header(file.text)
    if split.unclosed:
        report.add("bad-header", "the header has no end", Location(file.path, split.first_line - 1, 1), expected="a line that is only */")
        return None
    header: dict[str, Any] | None = None
    if split.header is not None:
        document = read_document(split.header, file.path, report, values=values, first_line=split.first_line, widths=split.widths)
        header = header_of(document, report, file.path) if document is not None else {}
    query = _read_query(file, split, values, report)
    if query is None:
        return None
    facts, place, is_whole = query
    return SqlFile(file, table, key, {**facts, "header": header, "is_good": len(report.errors) == before}, (place, is_whole))


def _is_entry(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether the cache gave what this code puts there: an entry of another shape is none."""
    return (
        isinstance(value, dict)
        and value.keys() == {"sql", "sql_line", "tables", "functions", "code_hash", "is_dynamic_pivot", "header"}
        and isinstance(value["sql"], str)
        and isinstance(value["sql_line"], int)
        and isinstance(value["header"], dict | None)
        and all(isinstance(value[key], list) for key in ("tables", "functions"))
    )


def read_sql_model(opened: SqlFile, sidecar: Sidecar | None, report: Report, cache: FileCache) -> ReadModel | None:
    """The second half: the model that the file defines; None and problems when it doesn't."""
    file, table, entry = opened.file, opened.table, opened.entry
    if opened.unparsed is not None:
        place, is_whole = opened.unparsed
        try:
            entry["tables"] = [list(parts) for parts in sorted(tables_named(entry["sql"]))]
        except SqlSyntaxError as error:
            if is_whole:
                report.add("sql-not-understood", error.found or error.what, place)
            return None
        if entry.pop("is_good"):
            cache.put(file.path, opened.key, entry)
    header = entry["header"]
    if sidecar is not None:
        locate = place_in(sidecar.document, sidecar.path)
        if header is not None:
            place = sidecar.document.locate(sidecar.path, True)
            report.add("described-twice", f"{table} has a header in its own file {file.path} too", place, expected="one of the two")
        else:
            header = prepare(sidecar.data, locate, report, has_kind=True)
            if validate(ModelHeader, header, locate, report, f"the header of {table}") is None:
                header = {"checks": header.get("checks", ())}
    facts = CodeFacts(tuple(map(tuple, entry["tables"])), frozenset(entry["functions"]), entry["code_hash"], entry["is_dynamic_pivot"])
    data = {**(header or {}), "name": table, "path": file.path, "sql": entry["sql"], "sql_line": entry["sql_line"], "code_hash": facts.code_hash}
    return ReadModel(Model.model_validate(data), facts)


def header_of(document: Document, report: Report, subject: str) -> dict[str, Any]:
    """The header's plain values once they are known to be good; its mistakes go to the report, and only its good checks are kept."""
    data = document.value if document.value is not None else {}
    if not isinstance(data, dict):
        report.add("bad-header", "the header isn't a mapping", document.locate(), expected="keys such as kind, description, checks, columns")
        return {}
    locate: Locate = place_in(document)
    errors = len(report.errors)
    prepared = prepare(data, locate, report, has_kind=True)
    validated = validate(ModelHeader, prepared, locate, report, f"the header of {subject}")
    if validated is not None and len(report.errors) == errors:
        return data
    return {"checks": prepared.get("checks", ())}  # enough to look up the tables they name


def _read_query(
    file: ProjectFile, split: sqltext.SplitFile, values: Mapping[str, VarValue], report: Report
) -> tuple[dict[str, Any], Location, bool] | None:
    """What the query's text says, where it begins, and whether nothing was wrong with it so far."""
    written = split.sql
    places = sqltext.LineIndex(written)

    def place(offset: int) -> Location:
        line, column = places.at(min(offset, len(written)))
        return Location(file.path, split.sql_line + line - 1, column)

    problems = len(report)
    resolved = substitute(
        written,
        values,
        lambda offset, message, guess: report.add(
            "unknown-var" if message.startswith("there is no var") else "bad-reference", message, place(offset), did_you_mean=guess
        ),
        allow_secrets=False,
    )
    is_whole = len(report) == problems
    statement = _one_statement(resolved, place, report if is_whole else Report())  # without its vars, what it lacks is no syntax error
    if statement is None:
        return None
    start, end, is_pivot = statement
    sql = resolved.text[start:end].rstrip()
    begin = resolved.original(start)
    facts = {
        "sql": sql,
        "sql_line": split.sql_line + written.count("\n", 0, begin),
        "functions": sorted(sqltext.functions_named(sql)),
        "code_hash": hashlib.sha256(sqltext.normalise(sql).encode("utf-8", "surrogatepass")).hexdigest(),
        "is_dynamic_pivot": is_pivot,
    }
    return facts, place(begin), is_whole


def _one_statement(resolved: Substituted, place: Any, report: Report) -> tuple[int, int, bool] | None:
    """Where the file's one query lies, without blank lines before it and the semicolon after it, and whether it is a dynamic PIVOT."""
    text = resolved.text
    spans = sqltext.statement_spans(text)
    if not spans:
        report.add("no-query", "the file holds no query", place(0), expected="one SELECT statement")
        return None
    try:
        types = [statement.type for statement in parse_statements(text)]
    except SqlSyntaxError as error:
        offset = syntax_error_offset(error, text)
        report.add(
            "sql-syntax",
            (error.found or error.what).removeprefix("Parser Error: "),
            place(resolved.original(offset if offset is not None else spans[0][0])),
        )
        return None
    if len(spans) > 1:
        second = spans[1][0]
        while second < len(text) and text[second].isspace():
            second += 1
        report.add(
            "several-statements", f"the file holds {len(spans)} statements", place(resolved.original(second)), expected="one SELECT statement a model"
        )
        return None
    start, end = spans[0]
    while text[start].isspace():
        start += 1
    word = sqltext.mask(text[start:end]).split(maxsplit=1)
    # DuckDB gives a PIVOT without IN as a CREATE TYPE and a SELECT
    is_pivot = types[-1:] == ["SELECT"] and set(types[:-1]) == {"CREATE"} and bool(word) and word[0].upper() != "CREATE"
    is_pivot = is_pivot or types == ["MULTI"]
    if types != ["SELECT"] and not is_pivot:
        report.add(
            "not-a-query",
            f"the statement is {_article(types[0])}",
            place(resolved.original(start)),
            expected="a SELECT: a model is a query, and Headwater stores its result",
        )
        return None
    return start, end, is_pivot


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'AEIOU' else 'a'} {kind}"


def place_of_table(file_text: str, sql_line: int, path: str, parts: Sequence[str]) -> Location:
    """Where a model's file names a table; the statement's first line when it isn't found as written (a var put it there)."""
    split = sqltext.split_header(file_text)
    offset = sqltext.find_table(split.sql, parts)
    if offset is None:
        return Location(path, sql_line)
    line, column = sqltext.line_and_column(split.sql, offset)
    return Location(path, split.sql_line + line - 1, column)
