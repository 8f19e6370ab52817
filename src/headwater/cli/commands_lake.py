"""Commands that read the lake back, and those that keep it in order."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from headwater import errors
from headwater.cli import reports
from headwater.cli.options import JsonOption, TableArgument
from headwater.cli.screen import screen
from headwater.cli.session import Session, command

PANEL = "The lake"


class QueryFormat(StrEnum):
    table = "table"
    json = "json"
    csv = "csv"
    arrow = "arrow"
    parquet = "parquet"


def query(
    session: Session,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT; - reads it from stdin.", show_default=False)],
    format: Annotated[QueryFormat, typer.Option("--format", help="How to print; arrow is an IPC stream.")] = QueryFormat.table,
    head: Annotated[bool, typer.Option("--head", help="Newest rows, published or not.")] = False,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="SNAPSHOT|TIME", help="What was published then; with --head the raw lake of then.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to a file instead of stdout.", show_default=False)
    ] = None,
    as_user: Annotated[
        str | None, typer.Option("--as", metavar="USER", help="As this user sees it, by the policies of now.", show_default=False)
    ] = None,
    purpose: Annotated[str | None, typer.Option("--purpose", metavar="WORD", help="What the user states it is for.", show_default=False)] = None,
    json: JsonOption = False,
) -> None:
    """Ask published tables a question in DuckDB's SQL.

    System tables stand in the schema headwater: loads, positions, verdicts, quarantine, publications, definitions, columns, audit. The token in
    HEADWATER_TOKEN says who asks; without it, it is the lake's owner.
    """
    statement = sys.stdin.read() if sql == "-" else sql
    if json:
        format = QueryFormat.json
    if output is None and format in (QueryFormat.arrow, QueryFormat.parquet) and sys.stdout.isatty():
        raise errors.UsageError(f"{format.value} isn't for a terminal", hint="add --output FILE, or send stdout to a file")
    with session.project.query(statement, at=at, head=head, as_user=as_user, purpose=purpose) as result:
        if format is QueryFormat.table and output is None:
            screen.table(result.columns, result.fetchall())
            return
        from headwater.cli.exports import write_result

        write_result(result, format.value, output)
        if output is not None:
            screen.note(f"wrote {output}")


def snapshots(session: Session, table: TableArgument, json: JsonOption = False) -> None:
    """The versions of a table that are kept.

    When and by which run each was made, what it changed, and which one readers see.
    """
    found = session.project.lake.snapshots(table)
    if json:
        screen.json(found)
    else:
        reports.print_snapshots(found)


def diff(
    session: Session,
    table: TableArgument,
    from_: Annotated[str, typer.Option("--from", metavar="SNAPSHOT", help="The older snapshot.", show_default=False)],
    to: Annotated[str | None, typer.Option("--to", metavar="SNAPSHOT", help="The newer one; without it the newest.", show_default=False)] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="How many rows to show.")] = 20,
    json: JsonOption = False,
) -> None:
    """What changed in a table between two snapshots."""
    found = session.project.lake.diff(table, from_=from_, to=to, limit=limit)
    if json:
        screen.json(found)
    else:
        reports.print_diff(found)


def maintain(
    session: Session,
    keep: Annotated[
        str, typer.Option("--keep", metavar="DURATION", help="Snapshots younger than this stay: 7 days, 36h; an hour at the least.")
    ] = "7 days",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Tidy the lake: merge small files, expire old snapshots, remove orphans.

    What is published, pinned, or still to be read by an incremental model is kept whatever its age, and so is all of the last hour: somebody may be
    reading it. Safe while others run.
    """
    done = session.project.lake.maintain(keep=keep, dry_run=dry_run)
    if json:
        screen.json(done)
    else:
        reports.print_maintenance(done)


def backup(
    session: Session, directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.", show_default=False)], json: JsonOption = False
) -> None:
    """Copy catalog, state and data of one instant into a folder.

    Others may write meanwhile.
    """
    done = session.project.lake.backup(directory)
    if json:
        screen.json(done)
    else:
        reports.print_backup(done, directory)


def restore(
    session: Session,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What `backup` made.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Put it over a lake that is there.")] = False,
    json: JsonOption = False,
) -> None:
    """Put a backup back in the place of the project's lake and state."""
    done = session.project.lake.restore(directory, force=force)
    if json:
        screen.json(done)
    else:
        reports.print_restored(done, directory)


def register(app: typer.Typer) -> None:
    command(app, "query", rich_help_panel=PANEL)(query)
    command(app, "snapshots", rich_help_panel=PANEL)(snapshots)
    command(app, "diff", rich_help_panel=PANEL)(diff)
    command(app, "maintain", rich_help_panel=PANEL)(maintain)
    command(app, "backup", rich_help_panel=PANEL)(backup)
    command(app, "restore", rich_help_panel=PANEL)(restore)
