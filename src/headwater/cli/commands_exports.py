"""Commands about exports: what leaves the lake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headwater.cli.options import JsonOption
from headwater.cli.screen import format_seconds, screen
from headwater.cli.session import Session, command, exit_code_of
from headwater.spec.counting import plural

if TYPE_CHECKING:
    from headwater.exporting import ExportResult
    from headwater.state.exports import ExportRun

PANEL = "Exports"
NamesArgument = Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Exports by name; without any: all.", show_default=False)]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="An export's name.", show_default=False)]
IdsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="Dead letters by id, as `export dead list` shows them; without any: all.", show_default=False)
]


def _no_exports(session: Session) -> str:
    if session.project.exports.is_owner:
        return "the project has no exports yet: add one in exports/"
    return "there is no export that you may run"


def export_list(session: Session, json: JsonOption = False) -> None:
    """List the exports: which table, as whom, where to."""
    found = session.project.exports.list()
    if json:
        screen.json(found)
        return
    rows = [[one.name, one.table, one.principal, one.destination, one.path] for one in found]
    screen.table(["EXPORT", "TABLE", "AS", "TO", "FILE"], rows, empty=_no_exports(session))


def export_check(session: Session, name: NameArgument, json: JsonOption = False) -> None:
    """Connect to an export's destination and say what answered, or what is wrong."""
    answer = session.project.exports.check(name)
    if json:
        screen.json({"export": name, "ok": True, "answer": answer})
    else:
        screen.text(f"{name}: {answer}")


def export_run(
    session: Session,
    names: NamesArgument = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compare, look whether the destination would take it, and send nothing.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Send every row, whatever the destination has acknowledged; dead letters too.")] = False,
    allow_deletes: Annotated[bool, typer.Option("--allow-deletes", help="Delete more rows than `max_deletes` allows.")] = False,
    json: JsonOption = False,
) -> None:
    """Send what changed since the destination last acknowledged: inserts, updates, deletes, as the export's principal sees the table.

    Each batch is acknowledged by itself: broken off at any point, the next run goes on. Ends with 1 when one failed.
    """

    def tell(run: ExportRun) -> None:
        if screen.is_live:
            screen.note(f"{run.name}: {run.acknowledged:,} of {plural(run.batches, 'batch', 'batches')}")

    results = session.project.exports.run(*(names or ()), dry_run=dry_run, full=full, allow_deletes=allow_deletes, on_progress=tell)
    if json:
        screen.json([_as_json(result) for result in results])
    for result in results:
        if not json:
            _print_result(result)
        if result.error is not None:
            screen.error(result.error)
    if not results:
        screen.note(_no_exports(session))
    waiting = [(f"headwater export dead list {result.name}", "rows that were refused") for result in results if result.waiting]
    screen.next_commands(waiting)
    codes = [exit_code_of(result.error) for result in results if result.error is not None]
    if codes:
        raise typer.Exit(max(codes))


def _as_json(result: ExportResult) -> dict[str, object]:
    names = (
        "name",
        "status",
        "destination",
        "snapshot_id",
        "rows",
        "inserted",
        "updated",
        "deleted",
        "dead",
        "waiting",
        "batches",
        "columns",
        "is_full",
    )
    found: dict[str, object] = {name: getattr(result, name) for name in names}
    return found | {"seconds": result.seconds, "error": None if result.error is None else {"code": result.error.code, "what": result.error.what}}


def _print_result(result: ExportResult) -> None:
    if result.error is not None:
        screen.outcome("failed", f"{result.name} to {result.destination}")
        return
    parts = [(result.inserted, "inserted"), (result.updated, "updated"), (result.deleted, "deleted"), (result.dead, "refused")]
    said = ", ".join(f"{count:,} {word}" for count, word in parts if count) or f"nothing of {plural(result.rows, 'row')}"
    full = " (everything)" if result.is_full else ""
    word = "would be: " if result.status == "dry run" else ""
    screen.outcome(result.status, f"{result.name} to {result.destination}: {word}{said}{full} in {format_seconds(result.seconds)}")


def export_status(session: Session, names: NamesArgument = None, json: JsonOption = False) -> None:
    """How each export is: its last run that had something to send, the snapshot acknowledged, dead letters that wait."""
    found = session.project.exports.status(*(names or ()))
    if json:
        screen.json(found)
        return
    rows: list[list[object]] = []
    for one in found:
        run = one.newest
        if run is None:
            rows.append([one.name, "never run", None, None, None, one.dead])
        else:
            batches = f"{run.acknowledged:,} of {run.batches:,}"
            rows.append([one.name, run.status, run.snapshot_id, batches, run.finished_at or run.started_at, one.dead])
    columns = ["EXPORT", "LAST RUN", "SNAPSHOT", "BATCHES", "AT", "DEAD"]
    screen.table(columns, rows, empty=_no_exports(session))


def dead_list(session: Session, name: NameArgument, json: JsonOption = False) -> None:
    """List the rows that a destination refused: their keys, and why."""
    found = session.project.exports.dead(name)
    if json:
        screen.json(found)
        return
    rows = [[one.id, ", ".join("null" if value is None else value for value in one.key), one.operation, one.reason, one.at] for one in found]
    screen.table(["ID", "KEY", "OPERATION", "REASON", "AT"], rows, empty="no row was refused")


def dead_retry(session: Session, name: NameArgument, ids: IdsArgument = None, json: JsonOption = False) -> None:
    """Let refused rows be sent by the next run, with the values they have then."""
    count = session.project.exports.retry_dead(name, *(ids or ()))
    _say_count(name, count, json, "will be tried again", "tries again")


def dead_drop(session: Session, name: NameArgument, ids: IdsArgument = None, json: JsonOption = False) -> None:
    """Give refused rows up: they aren't sent until their values change."""
    count = session.project.exports.drop_dead(name, *(ids or ()))
    _say_count(name, count, json, "given up", None)


def _say_count(name: str, count: int, json: bool, what: str, next_step: str | None) -> None:
    if json:
        screen.json({"export": name, "rows": count})
        return
    screen.text(f"{plural(count, 'row')} {what}" if count else "no dead letter waits")
    if next_step is not None and count:
        screen.next_commands([(f"headwater export run {name}", next_step)])


def register(app: typer.Typer) -> None:
    export = typer.Typer(no_args_is_help=True, help="What leaves the lake: list, check, run, status, dead letters.", rich_markup_mode="rich")
    command(export, "list")(export_list)
    command(export, "check")(export_check)
    command(export, "run")(export_run)
    command(export, "status")(export_status)
    dead = typer.Typer(no_args_is_help=True, help="Rows that a destination refused: list, retry, drop.", rich_markup_mode="rich")
    command(dead, "list")(dead_list)
    command(dead, "retry")(dead_retry)
    command(dead, "drop")(dead_drop)
    export.add_typer(dead, name="dead")
    app.add_typer(export, name="export", rich_help_panel=PANEL)
