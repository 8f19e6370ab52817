"""Commands that run the graph, and those that tell what happened."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from headwater import errors
from headwater.cli import reports
from headwater.cli.options import ExcludeOption, JsonOption, SelectionArgument, SelectOption, united
from headwater.cli.progress import run_display
from headwater.cli.screen import screen
from headwater.cli.session import Session, command

PANEL = "Runs"

ThreadsOption = Annotated[int | None, typer.Option("--threads", min=1, help="How many tasks run side by side.", show_default=False)]
RunArgument = Annotated[str | None, typer.Argument(metavar="RUN", help="A run's id or the beginning of it; `latest`.", show_default=False)]


def parse_time(text: str | None, option: str) -> datetime | None:
    """An ISO date or time. Raises UsageError."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise errors.UsageError(f"{option} {text}: not a date or time", expected="2026-01-31 or 2026-01-31T12:00:00") from None


def run(
    session: Session,
    selection: SelectionArgument = None,
    select: SelectOption = None,
    exclude: ExcludeOption = None,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Build incrementals and snapshots anew, and read streams from their beginning.")
    ] = False,
    allow_drop: Annotated[
        bool,
        typer.Option(
            "--allow-drop",
            help="Drop columns that a model no longer has, or that neither a stream nor its source has; else they stay, empty for new rows.",
        ),
    ] = False,
    threads: ThreadsOption = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="Restates incrementals from here on, and what follows from them.", show_default=False)
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="DATE", help="Restates up to here, itself excluded.", show_default=False)] = None,
    json: JsonOption = False,
) -> None:
    """Load what is new, build what changed, check it, publish it.

    What is unchanged is skipped, and the reason told. A task that fails doesn't stop those that don't depend on it; a table whose check fails is
    held back from readers together with what is built on it. Ctrl-C stops cleanly: what was committed stays.
    """
    start, end = parse_time(from_, "--from"), parse_time(to, "--to")
    with run_display(json=json) as display:
        summary = session.project.run(
            *united(selection, select),
            exclude=united(exclude),
            full_refresh=full_refresh,
            allow_drop=allow_drop,
            threads=threads,
            from_=start,
            to=end,
            on_event=display.on_event,
        )
    reports.finish_run(summary, json=json)


def retry(session: Session, threads: ThreadsOption = None, json: JsonOption = False) -> None:
    """Run again what failed, was blocked or was held in the last run."""
    with run_display(json=json) as display:
        summary = session.project.retry(threads=threads, on_event=display.on_event)
    reports.finish_run(summary, json=json)


def status(
    session: Session, selection: SelectionArgument = None, select: SelectOption = None, exclude: ExcludeOption = None, json: JsonOption = False
) -> None:
    """How each table is: fresh, stale, held or failed, since when, how many rows.

    Ends with 1 when one is held or failed.
    """
    tables = session.project.status(*united(selection, select), exclude=united(exclude))
    if json:
        screen.json(tables)
    else:
        is_choice = bool(united(selection, select) or united(exclude))
        reports.print_status(tables, is_choice=is_choice, is_owner=session.project.users.is_owner)
    if any(table.is_bad for table in tables):
        raise typer.Exit(1)


def history(
    session: Session,
    run_id: RunArgument = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many runs.")] = 20,
    json: JsonOption = False,
) -> None:
    """The runs that were, newest first; or one of them, task by task.

    With the git commit each ran from, whether files were changed, and who ran it.
    """
    if run_id is not None:
        found = session.project.history(run_id)[0]
        if json:
            screen.json(found)
        else:
            reports.print_run(found)
        return
    runs = session.project.history(limit=limit)
    if json:
        screen.json(runs)
    else:
        screen.table(*reports.runs(runs), empty="nothing has run yet: headwater run")


def logs(
    session: Session,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id or the beginning of it; `latest`.", show_default=False)],
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="One table of it.", show_default=False)] = None,
    json: JsonOption = False,
) -> None:
    """What happened in a run, event by event."""
    events = session.project.logs(run_id, task)
    if json:
        screen.json(events)
    else:
        reports.print_events(events)


def doctor(session: Session, json: JsonOption = False) -> None:
    """Look whether all is well, and say what to do.

    Looks at versions, the project, the lake and the state store, and at pins and the bytes they keep. Ends with 1 when something must be mended.
    """
    findings = session.project.doctor()
    if json:
        screen.json(findings)
    else:
        reports.print_findings(findings)
    if any(finding.status == "failed" for finding in findings):
        raise typer.Exit(1)


def version(json: JsonOption = False) -> None:
    """The versions of Headwater, Python and the engine."""
    from headwater.api import versions

    found = versions()
    if json:
        screen.json(found)
    else:
        for name, number in found.items():
            screen.text(f"{name} {number}")


def register(app: typer.Typer) -> None:
    command(app, "run", rich_help_panel=PANEL)(run)
    command(app, "retry", rich_help_panel=PANEL)(retry)
    command(app, "status", rich_help_panel=PANEL)(status)
    command(app, "history", rich_help_panel=PANEL)(history)
    command(app, "logs", rich_help_panel=PANEL)(logs)
    command(app, "doctor", rich_help_panel=PANEL)(doctor)
    command(app, "version", rich_help_panel=PANEL)(version)
