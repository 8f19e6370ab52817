"""Commands about the project's files: they need no lake, but where they look at data (`show`, `check`)."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from headwater.cli import reports
from headwater.cli.options import ExcludeOption, JsonOption, SelectionArgument, SelectOption, TableArgument, united
from headwater.cli.screen import screen
from headwater.cli.session import Session, command

PANEL = "The project"
#: Where `schema --write` puts the schemas, within the project.
SCHEMAS = "schemas"


class LintFormat(StrEnum):
    text = "text"
    json = "json"
    sarif = "sarif"


class CheckFormat(StrEnum):
    text = "text"
    json = "json"
    junit = "junit"


class LineageFormat(StrEnum):
    tree = "tree"
    json = "json"
    mermaid = "mermaid"


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make; it may be there and empty.", show_default=False)],
    example: Annotated[
        str | None, typer.Option("--example", metavar="NAME", help="Begin with an example instead: nycflights13.", show_default=False)
    ] = None,
) -> None:
    """Make a project that runs."""
    from headwater.api import init as init_project

    written = init_project(directory, example=example)
    screen.note(f"made {directory} with {len(written)} files; its README.md says what they are")
    screen.next_commands(
        [
            (f"cd {directory}", ""),
            ("headwater run", "load the sources, build the models, check and publish them"),
            ("headwater ls", "the tables it defines"),
        ]
    )


def ls(
    session: Session, selection: SelectionArgument = None, select: SelectOption = None, exclude: ExcludeOption = None, json: JsonOption = False
) -> None:
    """List the project's tables in the order they are built."""
    tables = session.project.ls(*united(selection, select), exclude=united(exclude))
    if json:
        screen.json(tables)
    else:
        is_choice = bool(united(selection, select) or united(exclude))
        screen.table(*reports.listing(tables), empty=reports.no_tables(is_choice=is_choice, is_owner=session.project.users.is_owner))


def lint(
    session: Session,
    selection: SelectionArgument = None,
    select: SelectOption = None,
    exclude: ExcludeOption = None,
    format: Annotated[LintFormat, typer.Option("--format", help="How to print: text for people, json, or sarif for code hosts.")] = LintFormat.text,
    json: JsonOption = False,
) -> None:
    """Say what is wrong in the project, and what is doubtful though it runs.

    Ends with 2 when there are errors.
    """
    from headwater.api import problems_of
    from headwater.project.reports import to_json, to_sarif

    problems = problems_of(lambda: session.project.lint(*united(selection, select), exclude=united(exclude)))
    if format is LintFormat.sarif:
        screen.json(to_sarif(problems))
    elif format is LintFormat.json or json:
        screen.json(to_json(problems))
    else:
        reports.print_problems(problems)
    if any(problem.severity == "error" for problem in problems):
        raise typer.Exit(2)


def schema(
    session: Session,
    write: Annotated[bool, typer.Option("--write", help="Write them to the project's folder schemas/, where its files point editors to.")] = False,
) -> None:
    """Print the JSON Schemas of the project's files, for editors."""
    from headwater.project.schema import json_schema, write_schemas

    if write:
        for path in write_schemas(session.directory / SCHEMAS):
            screen.note(f"wrote {path}")
    else:
        screen.json(json_schema())


def lineage(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="TABLE[.COLUMN]", help="A table, or one column of it.", show_default=False)],
    upstream: Annotated[bool, typer.Option("--upstream", help="Only what it comes from.")] = False,
    downstream: Annotated[bool, typer.Option("--downstream", help="Only what comes from it.")] = False,
    format: Annotated[LineageFormat, typer.Option("--format", help="tree for people, json, or mermaid for a page.")] = LineageFormat.tree,
    json: JsonOption = False,
) -> None:
    """Where a column comes from and what comes from it, derived from the SQL.

    Columns that a value is computed from are told apart from those that only decided which rows there are (WHERE, JOIN, GROUP BY ..).
    """
    screen.text(
        session.project.lineage(name, upstream=upstream or not downstream, downstream=downstream or not upstream).render(
            "json" if json else format.value
        )
    )


def show(
    session: Session,
    model: TableArgument,
    cte: Annotated[
        str | None, typer.Option("--cte", metavar="NAME", help="One of the model's CTEs instead of its result.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many rows.")] = 20,
    json: JsonOption = False,
) -> None:
    """Run a model on published data and show its first rows.

    Nothing is stored.
    """
    with session.project.show(model, cte=cte, limit=limit) as result:
        rows = result.fetchall()
        if json:
            screen.json([dict(zip(result.columns, row, strict=True)) for row in rows])
        else:
            screen.table(result.columns, rows)


def compile_(session: Session, model: TableArgument, json: JsonOption = False) -> None:
    """Print the SQL that a run would send to the engine for a model."""
    sql = session.project.compile(model)
    if json:
        screen.json({"table": model, "sql": sql})
    else:
        screen.text(sql)


def check(
    session: Session,
    selection: SelectionArgument = None,
    select: SelectOption = None,
    exclude: ExcludeOption = None,
    format: Annotated[CheckFormat, typer.Option("--format", help="text for people, json, or junit for CI.")] = CheckFormat.text,
    json: JsonOption = False,
) -> None:
    """Run the checks alone, on each table's newest rows, published or held.

    Nothing is changed. Ends with 1 when a check of severity error fails.
    """
    results = session.project.check(*united(selection, select), exclude=united(exclude))
    if format is CheckFormat.junit:
        from headwater.cli.junit import junit  # and XML with it

        screen.text(junit(results))
    elif format is CheckFormat.json or json:
        screen.json(results)
    else:
        reports.print_verdicts(results)
    if any(verdict.holds for result in results for verdict in result.verdicts):
        raise typer.Exit(1)


def unit_tests(
    session: Session, selection: SelectionArgument = None, select: SelectOption = None, exclude: ExcludeOption = None, json: JsonOption = False
) -> None:
    """Run the unit tests of models: given rows in, expected rows out.

    They stand in tests/*.yaml. The lake isn't touched.
    """
    results = session.project.test(*united(selection, select), exclude=united(exclude))
    if json:
        screen.json(results)
    else:
        reports.print_unit_tests(results)
    if any(not result.passed for result in results):
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    command(app, "init", rich_help_panel=PANEL)(init)
    command(app, "ls", rich_help_panel=PANEL)(ls)
    command(app, "lint", rich_help_panel=PANEL)(lint)
    command(app, "schema", rich_help_panel=PANEL)(schema)
    command(app, "lineage", rich_help_panel=PANEL)(lineage)
    command(app, "show", rich_help_panel=PANEL)(show)
    command(app, "compile", rich_help_panel=PANEL)(compile_)
    command(app, "check", rich_help_panel=PANEL)(check)
    command(app, "test", rich_help_panel=PANEL)(unit_tests)
