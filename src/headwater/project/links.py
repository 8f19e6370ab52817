"""From definitions to the graph: which tables the names in the SQL stand for, and what is wrong between files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headwater.engine import tables_named
from headwater.errors import Location, SqlSyntaxError
from headwater.project.documents import Document
from headwater.project.fingerprints import macros_used
from headwater.project.graph import Graph, Node
from headwater.project.macros import Macro
from headwater.project.models import ReadModel
from headwater.project.problems import Report, nearest, nearest_table
from headwater.spec.checks import Check, Expression, Query, Relationships
from headwater.spec.counting import plural
from headwater.spec.models import Model, ViewKind
from headwater.spec.names import SYSTEM_SCHEMA, TableName
from headwater.spec.sources import Source, Stream

#: Gives the place where a model's code names a table.
PlaceOfTable = Callable[[Model, tuple[str, ...]], Location]
_FILE_MARKS = ("/", ".csv", ".parquet", ".json", ".xlsx", ".tsv", "*", "://")


@dataclass(frozen=True, slots=True)
class Defined:
    """A table and where it is defined, for messages about two of one name."""

    table: TableName
    kind: str
    place: Location


def looks_like_file(parts: tuple[str, ...]) -> bool:
    """Whether a one-part name in FROM is a file's."""
    return len(parts) == 1 and any(mark in parts[0].lower() for mark in _FILE_MARKS)


def check_unique(defined: list[Defined], report: Report) -> None:
    """Two definitions of one table, with case set aside."""
    first: dict[tuple[str, str], Defined] = {}
    for one in defined:
        other = first.setdefault(one.table.key, one)
        if other is one:
            continue
        spelling = "" if str(other.table) == str(one.table) else f", written {other.table} there: names that differ by case alone are one table"
        report.add(
            "duplicate-table",
            f"the table {one.table} is defined twice, as a {other.kind} in {other.place.path} too{spelling}",
            one.place,
            expected="one definition a table",
        )


class Linker:
    """Looks names up among the project's tables."""

    def __init__(self, tables: list[TableName], report: Report) -> None:
        self._by_key = {table.key: table for table in tables}
        self._tables = tables
        self._report = report

    def find(self, parts: tuple[str, ...]) -> TableName | None:
        return self._by_key.get((parts[0].lower(), parts[1].lower())) if len(parts) == 2 else None

    def find_text(self, text: str) -> TableName | None:
        try:
            return self._by_key.get(TableName.parse(text).key)
        except ValueError:
            return None

    def complain(self, parts: tuple[str, ...], where: Location, subject: str) -> None:
        """Says why these parts are no table that `subject` could read."""
        name = ".".join(parts)
        if len(parts) == 2 and parts[0].lower() == SYSTEM_SCHEMA:
            self._report.add("system-table", f"{subject} reads {name}: Headwater's own tables are there for queries, not for models", where)
        elif len(parts) == 2 and parts[0].lower() in ("information_schema", "pg_catalog"):
            self._report.add(
                "system-table", f"{subject} reads {name}, which describes the engine's own session", where, expected="a table of the project"
            )
        elif len(parts) == 1:
            guess = nearest_table(name, self._tables)
            self._report.add("unqualified-table", f"{subject} reads {name} without a schema", where, expected="schema.table", did_you_mean=guess)
        elif len(parts) > 2:
            guess = nearest_table(".".join(parts[-2:]), self._tables)
            self._report.add(
                "unknown-table", f"{subject} reads {name}, a name of {plural(len(parts), 'part')}", where, expected="schema.table", did_you_mean=guess
            )
        else:
            self._report.add("unknown-table", f"{subject} reads {name}, and there is no such table", where, did_you_mean=self._nearest(name))

    def _nearest(self, name: str) -> str | None:
        return nearest(name, self._tables) or nearest_table(name, self._tables)

    def inputs(self, read: ReadModel, macros: Mapping[str, Macro], place: PlaceOfTable) -> tuple[TableName, ...]:
        """The tables a model reads, itself or through macros, sorted. Names that are none go to the report."""
        found: set[TableName] = set()
        model = read.model
        for parts in read.facts.tables:
            table = self.find(parts)
            if table is not None:
                found.add(table)
            elif not looks_like_file(parts):
                self.complain(parts, place(model, parts), str(model.name))
        if macros:
            for name in macros_used(read.facts.functions, macros):
                found.update(table for parts in macros[name].tables if (table := self.find(parts)) is not None)
        return tuple(sorted(found))

    def check_macros(self, macros: Mapping[str, Macro]) -> None:
        """Tables that macros read must be there as well."""
        for macro in macros.values():
            for parts in macro.tables:
                if self.find(parts) is None and not looks_like_file(parts):
                    self.complain(parts, Location(macro.path, macro.line, 1), f"the macro {macro.name}")

    def check_renames(self, resources: list[tuple[TableName, Model | Stream, Callable[[], Location]]]) -> None:
        """`renamed_from` names a table that is gone, and no two tables take over the same one."""
        heirs: dict[tuple[str, str], TableName] = {}
        for table, resource, place in resources:
            if resource.renamed_from is None:
                continue
            try:
                former = former_name(table, resource.renamed_from)
            except ValueError:
                self._report.add("bad-name", f"renamed_from: {resource.renamed_from!r} is not a table's name", place(), expected="schema.table")
                continue
            if former.key in self._by_key:
                self._report.add(
                    "bad-rename",
                    f"{table} is renamed from {former}, and {former} is still defined",
                    place(),
                    expected="the name of a table that is gone",
                )
            elif former.key in heirs:
                self._report.add("bad-rename", f"{table} and {heirs[former.key]} are both renamed from {former}", place(), expected="one heir")
            heirs.setdefault(former.key, table)

    def check_checks(self, table: TableName, checks: tuple[Check, ...], place: Callable[[Check], Location]) -> None:
        """Tables that checks name must be there, and their SQL must parse."""
        for check in checks:
            if isinstance(check, Relationships):
                if self.find_text(check.to) is None:
                    self._report.add(
                        "unknown-table",
                        f"a check of {table} looks into {check.to}, and there is no such table",
                        place(check),
                        did_you_mean=self._nearest(check.to),
                    )
            elif isinstance(check, Query):
                self._check_query(table, check, place)
            elif isinstance(check, Expression):
                self._check_expression(table, check, place)

    def _check_expression(self, table: TableName, check: Expression, place: Callable[[Check], Location]) -> None:
        try:
            tables_named(f"SELECT (\n{check.sql}\n)")
        except SqlSyntaxError as error:
            self._report.add("sql-syntax", f"the check {check.name} of {table}: {error.found or error.what}", place(check))

    def _check_query(self, table: TableName, check: Query, place: Callable[[Check], Location]) -> None:
        try:
            named = sorted(tables_named(check.sql))
        except SqlSyntaxError as error:
            self._report.add("sql-syntax", f"the check {check.name} of {table}: {error.found or error.what}", place(check))
            return
        for parts in named:
            if self.find(parts) is None:
                self.complain(parts, place(check), f"the check {check.name} of {table}")


def former_name(table: TableName, renamed_from: str) -> TableName:
    """The table that `renamed_from` means: `schema.table`, or a bare name in the same schema. Raises ValueError."""
    return TableName.parse(renamed_from) if "." in renamed_from else TableName(table.schema, renamed_from.strip('"'))


def build_graph(sources: Mapping[str, Source], models: Mapping[TableName, Model], inputs: Mapping[TableName, tuple[TableName, ...]]) -> Graph:
    """The graph of all streams and models."""
    nodes: list[Node] = []
    for source in sources.values():
        for name, stream in source.streams.items():
            nodes.append(Node(source.table_name(name), "stream", (), tuple(dict.fromkeys((*source.tags, *stream.tags))), source.path, source.name))
    nodes.extend(Node(model.name, "model", inputs[model.name], model.tags, model.path) for model in models.values())
    return Graph(nodes)


def check_cycles(graph: Graph, models: Mapping[TableName, Model], place: PlaceOfTable, report: Report) -> None:
    """Tables that are made from themselves, each circle with its path."""
    for path in graph.cycles():
        model = models[path[0]]
        following = path[1]
        report.add(
            "cycle",
            f"{path[0]} is made from itself: {' -> '.join(map(str, path))} (each reads the next)" if len(path) > 2 else f"{path[0]} reads itself",
            place(model, (following.schema, following.name)),
            expected="tables that can be put in an order",
        )


def check_views(models: Mapping[TableName, ReadModel], report: Report) -> None:
    """A PIVOT whose columns are found in the data can't be a view."""
    for read in models.values():
        if read.facts.is_dynamic_pivot and isinstance(read.model.kind, ViewKind):
            report.add(
                "view-cannot-pivot",
                f"{read.model.name} is a view, and its PIVOT takes its columns from the data",
                Location(read.model.path, read.model.sql_line, 1),
                expected="kind: table, or PIVOT .. ON column IN (values)",
            )


def place_of_check(document: Document | None, path: tuple[str, ...], fallback: Location, check: Check) -> Location:
    """Where a check stands: under `checks:` of the resource at `path`, or of one of its columns."""
    if document is None:
        return fallback
    value: Any = document.value
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    if not isinstance(value, dict):
        return fallback
    columns = value.get("columns")
    lists: list[tuple[tuple[str, ...], Any]] = [(("checks",), value.get("checks"))]
    if isinstance(columns, dict):
        lists += [(("columns", name, "checks"), column.get("checks")) for name, column in columns.items() if isinstance(column, dict)]
    wanted = getattr(check, "to", None) or getattr(check, "sql", None) or getattr(check, "pattern", None)
    for within, items in lists:
        for index, item in enumerate(items if isinstance(items, list) else []):
            arguments = item.get(check.type) if isinstance(item, dict) else None
            if arguments == wanted or (isinstance(arguments, dict) and wanted in arguments.values()):
                return document.locate([*path, *within, index, check.type], True)
    return fallback
