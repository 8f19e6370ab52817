"""`macros/*.sql`: CREATE MACRO statements, in an order in which they can be created, with what each one uses."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from headwater.engine import Engine, parse_statements, syntax_error_offset, tables_named
from headwater.errors import HeadwaterError, Location, SqlSyntaxError
from headwater.project import sqltext
from headwater.project.cache import FileCache
from headwater.project.files import ProjectFile
from headwater.project.problems import Report, first_line
from headwater.project.variables import VarValue, substitute

_HEAD = re.compile(
    r'\s*CREATE\s+(OR\s+REPLACE\s+)?(TEMP\s+|TEMPORARY\s+)?(?:MACRO|FUNCTION)\s+(IF\s+NOT\s+EXISTS\s+)?("(?:[^"]|"")+"|[^\W\d]\w*)(\s*\.)?',
    re.IGNORECASE,
)
#: Where a body begins: after `(parameters) AS`, and `TABLE` for a table macro.
_OVERLOAD = re.compile(r"\((?:[^()]|\([^()]*\))*\)\s*AS\b\s*(?P<table>TABLE\b)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Macro:
    """One macro. `tables` are those its body reads, as written; `functions` those it calls.

    One that `needs_tables` reads some, itself or through other macros, and can be created only where they are.
    """

    name: str
    sql: str
    path: str
    line: int
    needs_tables: bool
    tables: tuple[tuple[str, ...], ...] = ()
    functions: frozenset[str] = frozenset()
    code_hash: str = ""


def read_macros(files: Sequence[ProjectFile], values: Mapping[str, VarValue], report: Report, cache: FileCache) -> tuple[Macro, ...]:
    """All macros of the project, each after those it calls. Their mistakes go to the report."""
    if not files:
        return ()
    found: dict[str, Macro] = {}
    for file in files:
        for macro in _split(file, values, report):
            other = found.get(macro.name)
            if other is not None:
                report.add(
                    "duplicate-macro", f"the macro {macro.name} is defined in {other.path}:{other.line} too", Location(macro.path, macro.line, 1)
                )
            else:
                found[macro.name] = macro
    ordered = _ordered(found)
    key = hashlib.sha256("\0".join(macro.sql for macro in ordered).encode()).hexdigest()
    known = cache.get("macros/", key)
    if known is not None:
        with suppress(TypeError, ValueError):  # an entry of another shape is none
            return tuple(
                replace(macro, tables=tuple(map(tuple, tables)), needs_tables=needs) for macro, (tables, needs) in zip(ordered, known, strict=True)
            )
    before = len(report.errors)
    complete = _with_tables(ordered, report)
    if len(report.errors) == before:
        cache.put("macros/", key, [[macro.tables, macro.needs_tables] for macro in complete])
    return complete


def _split(file: ProjectFile, values: Mapping[str, VarValue], report: Report) -> list[Macro]:
    places = sqltext.LineIndex(file.text)

    def place(offset: int) -> Location:
        return Location(file.path, *places.at(offset))

    resolved = substitute(
        file.text, values, lambda offset, message, guess: report.add("unknown-var", message, place(offset), did_you_mean=guess), allow_secrets=False
    )
    try:
        parse_statements(resolved.text)
    except SqlSyntaxError as error:
        offset = syntax_error_offset(error, resolved.text)
        report.add("sql-syntax", (error.found or error.what).removeprefix("Parser Error: "), place(resolved.original(offset or 0)))
        return []
    macros = []
    for start, end in sqltext.statement_spans(resolved.text):
        text = resolved.text[start:end]
        masked = sqltext.mask(text)
        start += len(masked) - len(masked.lstrip())
        at = place(resolved.original(start))
        head = _HEAD.match(masked)
        if head is None:
            report.add("not-a-macro", "the statement is no macro", at, expected="CREATE MACRO name(parameters) AS ..")
            continue
        if head[2] or head[5]:
            report.add("bad-macro", "a macro of a project is neither temporary nor in a schema", at, expected=f"CREATE MACRO {head[4]}(..) AS ..")
            continue
        raw = head[4]
        name = (raw[1:-1].replace('""', '"') if raw.startswith('"') else raw).lower()
        body = text[head.end() :]
        code_hash = hashlib.sha256(sqltext.normalise(text).encode()).hexdigest()
        functions = sqltext.functions_named(body)
        macros.append(Macro(name, text.strip(), file.path, at.line or 1, False, (), functions, code_hash))
    return macros


def _ordered(macros: Mapping[str, Macro]) -> list[Macro]:
    """Each after those it calls, else as found. Macros that call one another in a circle stay as found; creating them will fail."""
    done: dict[str, Macro] = {}

    def visit(macro: Macro, above: frozenset[str]) -> None:
        for name in sorted(macro.functions & macros.keys() - above):
            if name not in done:
                visit(macros[name], above | {name})
        done.setdefault(macro.name, macro)

    for macro in macros.values():
        visit(macro, frozenset({macro.name}))
    return list(done.values())


def _with_tables(macros: Sequence[Macro], report: Report) -> tuple[Macro, ...]:
    """The macros with the tables they read. Those that read none, themselves or through others, are created to see that they can be."""
    complete: list[Macro] = []
    needing: set[str] = set()
    with Engine(threads=1) as engine, engine.connection() as connection:
        for macro in macros:
            try:
                tables = _tables_of(macro)
                needs_tables = bool(tables) or bool(macro.functions & needing)
                if needs_tables:
                    needing.add(macro.name)
                else:
                    connection.execute(macro.sql)
            except HeadwaterError as error:
                message, guess = first_line(error.found or error.what)
                report.add(
                    "bad-macro", f"the macro {macro.name} can't be created: {message}", Location(macro.path, macro.line, 1), did_you_mean=guess
                )
                continue
            complete.append(replace(macro, tables=tuple(sorted(tables)), needs_tables=needs_tables))
    return tuple(complete)


def _tables_of(macro: Macro) -> set[tuple[str, ...]]:
    """The tables named in a macro's bodies."""
    return {name for query in macro_queries(macro.sql) for name in tables_named(query)}


def macro_name(sql: str) -> str | None:
    """The name, in lower case, that a CREATE MACRO statement gives; None for any other statement."""
    head = _HEAD.match(sqltext.mask(sql))
    if head is None:
        return None
    raw = head[4]
    return (raw[1:-1].replace('""', '"') if raw.startswith('"') else raw).lower()


def macro_queries(sql: str) -> list[str]:
    """The bodies of a CREATE MACRO statement, of each overload one, as queries; parameters stand in them as columns do."""
    masked = sqltext.mask(sql)
    edges = [match for match in _OVERLOAD.finditer(masked) if _depth(masked, match.start()) == 0]
    if edges and edges[0]["table"]:
        edges = [match for match in edges if match["table"]]  # else an alias: SELECT a, (b) AS c
    found = []
    for match, following in zip(edges, [*edges[1:], None], strict=True):
        body = sql[match.end() : following.start() if following else len(sql)].rstrip().rstrip(",;")
        found.append(body if match["table"] else f"SELECT {body}")
    return found


def temporary_macro(sql: str) -> str:
    """The CREATE MACRO statement for one connection alone, in place of one that is there."""
    masked = sqltext.mask(sql)
    head = _HEAD.match(masked)
    if head is None:
        return sql
    return f"CREATE OR REPLACE TEMP MACRO {sql[head.start(4) :]}"


def _depth(masked: str, offset: int) -> int:
    return masked.count("(", 0, offset) - masked.count(")", 0, offset)
