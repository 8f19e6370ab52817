"""The four verbs for trouble. The help of each says what becomes of rows and positions."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater.cli import reports
from headwater.cli.options import ExcludeOption, JsonOption, ReasonOption, SelectOption, TablesArgument, united
from headwater.cli.progress import run_display
from headwater.cli.session import Session, command

PANEL = "Publication"


def publish(
    session: Session,
    tables: TablesArgument = None,
    select: SelectOption = None,
    exclude: ExcludeOption = None,
    force: Annotated[bool, typer.Option("--force", help="Publish though checks fail; needs --reason.")] = False,
    reason: ReasonOption = "",
    json: JsonOption = False,
) -> None:
    """Let readers see the newest rows of tables that are held or rolled back.

    The checks run first; with --force and a reason their failing doesn't matter. From then on the tables follow their newest commit again.
    The other members of a publish_group come along: all of them or none.

    Rows: untouched. Positions: untouched.
    """
    chosen = united(tables, select)
    reports.finish_run(session.project.publish(*chosen, exclude=united(exclude), force=force, reason=reason), json=json)


def rollback(
    session: Session,
    tables: TablesArgument = None,
    select: SelectOption = None,
    exclude: ExcludeOption = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="SNAPSHOT|TIME", help="Which version readers see; without it the one published before.", show_default=False),
    ] = None,
    reason: ReasonOption = "",
    json: JsonOption = False,
) -> None:
    """Show readers an older version of tables until `publish`.

    Runs go on loading and building; readers don't see it.

    Rows: untouched. Positions: untouched.
    """
    chosen = united(tables, select)
    reports.finish_run(session.project.rollback(*chosen, exclude=united(exclude), to=to, reason=reason), json=json)


def discard(
    session: Session,
    tables: TablesArgument = None,
    select: SelectOption = None,
    exclude: ExcludeOption = None,
    reason: ReasonOption = "",
    json: JsonOption = False,
) -> None:
    """Throw away what was committed but isn't published: the newest rows become the published ones again.

    Rows: the tables' newest rows are replaced by the published ones, in a new commit. Positions: set back to those of the published rows where the
    source can be read again; where it can't, the discarded loads go to quarantine and the position stays.
    """
    chosen = united(tables, select)
    reports.finish_run(session.project.discard(*chosen, exclude=united(exclude), reason=reason), json=json)


def reload(
    session: Session,
    table: Annotated[str, typer.Argument(metavar="TABLE", help="A stream's table, such as shop.orders.", show_default=False)],
    from_: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="POSITION", help="A cursor value to read from (itself included); without it from the beginning.", show_default=False
        ),
    ] = None,
    reason: ReasonOption = "",
    json: JsonOption = False,
) -> None:
    """Read a stream again from a position.

    What depends on it is built by the next run.

    Rows: those that come again replace or join the old ones as the stream's write disposition says. Positions: set to what was read, in the same
    commit.
    """
    with run_display(json=json) as display:
        summary = session.project.reload(table, from_=from_, reason=reason, on_event=display.on_event)
    reports.finish_run(summary, json=json)


def register(app: typer.Typer) -> None:
    command(app, "publish", rich_help_panel=PANEL)(publish)
    command(app, "rollback", rich_help_panel=PANEL)(rollback)
    command(app, "discard", rich_help_panel=PANEL)(discard)
    command(app, "reload", rich_help_panel=PANEL)(reload)
