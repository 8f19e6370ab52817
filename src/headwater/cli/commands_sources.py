"""Commands about sources and about rows in quarantine."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater.cli import reports
from headwater.cli.options import ExcludeOption, JsonOption, SelectionArgument, SelectOption, united
from headwater.cli.screen import screen
from headwater.cli.session import Commands, Session, command

PANEL = "Sources"

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A source's name.", show_default=False)]
RowsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ID|SELECT",
        help="Rows by id, as `quarantine list --rows` shows them; or tables by name or any other selector, as for `run`: all rows waiting for them.",
        show_default=False,
    ),
]
TableOption = Annotated[str | None, typer.Option("--table", "-t", metavar="TABLE", help="All rows waiting for this table.", show_default=False)]


def source_list(session: Session, json: JsonOption = False) -> None:
    """List the sources, their types and streams."""
    sources = session.project.sources.list()
    if json:
        screen.json(sources)
    else:
        screen.table(*reports.sources(sources), empty="the project has no sources yet: add one as sources/NAME.yaml")


def source_discover(
    session: Session,
    name: NameArgument,
    write: Annotated[bool, typer.Option("--write", help="Add the streams found to the source's YAML file.")] = False,
    json: JsonOption = False,
) -> None:
    """Look what a source holds: streams, columns, keys, estimates of rows."""
    found = session.project.sources.discover(name, write=write)
    if json:
        screen.json(found)
    else:
        reports.print_discovery(found)


def source_check(session: Session, name: NameArgument, json: JsonOption = False) -> None:
    """Connect to a source and say what answered, or what is wrong."""
    answer = session.project.sources.check(name)
    if json:
        screen.json({"source": name, "ok": True, "answer": answer})
    else:
        screen.text(f"{name}: {answer}")


def quarantine_list(
    session: Session,
    selection: SelectionArgument = None,
    select: SelectOption = None,
    exclude: ExcludeOption = None,
    rows: Annotated[bool, typer.Option("--rows", help="Each row with its id, instead of counts.")] = False,
    json: JsonOption = False,
) -> None:
    """Count the rows that broke their contract and wait, by table and reason."""
    waiting = session.project.quarantine.list(*united(selection, select), exclude=united(exclude))
    if json:
        screen.json(waiting if rows else reports.quarantine_counts(waiting))
        return
    reports.print_quarantine(waiting, each_row=rows)


def quarantine_show(
    session: Session, id: Annotated[str, typer.Argument(metavar="ID", help="A row's id.", show_default=False)], json: JsonOption = False
) -> None:
    """Show one waiting row as it came: its load, its place in the source, what is wrong with it."""
    row = session.project.quarantine.show(id)
    if json:
        screen.json(row)
    else:
        reports.print_quarantined(row)


def quarantine_replay(
    session: Session,
    rows: RowsArgument = None,
    table: TableOption = None,
    select: SelectOption = None,
    exclude: ExcludeOption = None,
    json: JsonOption = False,
) -> None:
    """Judge waiting rows by today's contract and load those that now fit.

    A load of its own: the source's position stays. In merge and scd2 a newer row is never overwritten (the waiting one is closed as superseded).
    Replaying twice changes nothing.
    """
    run = session.project.quarantine.replay(*united(rows, select), exclude=united(exclude), table=table)
    reports.finish_run(run, json=json)


def quarantine_drop(
    session: Session,
    rows: RowsArgument = None,
    table: TableOption = None,
    select: SelectOption = None,
    exclude: ExcludeOption = None,
    json: JsonOption = False,
) -> None:
    """Give waiting rows up: they are marked as dropped and never loaded."""
    run = session.project.quarantine.drop(*united(rows, select), exclude=united(exclude), table=table)
    reports.finish_run(run, json=json)


def register(app: typer.Typer) -> None:
    source = typer.Typer(cls=Commands, no_args_is_help=True, help="What data comes from: list, discover, check.")
    command(source, "list")(source_list)
    command(source, "discover")(source_discover)
    command(source, "check")(source_check)
    app.add_typer(source, name="source", rich_help_panel=PANEL)
    quarantine = typer.Typer(cls=Commands, no_args_is_help=True, help="Rows that broke their contract: list, show, replay, drop.")
    command(quarantine, "list")(quarantine_list)
    command(quarantine, "show")(quarantine_show)
    command(quarantine, "replay")(quarantine_replay)
    command(quarantine, "drop")(quarantine_drop)
    app.add_typer(quarantine, name="quarantine", rich_help_panel=PANEL)
