"""Commands about who may see what."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headwater.cli import commands_access_requests
from headwater.cli.commands_users import PANEL
from headwater.cli.options import JsonOption, TableArgument
from headwater.cli.screen import format_time, screen
from headwater.cli.session import Commands, Session, command

if TYPE_CHECKING:
    from headwater.api.access import ExplainedColumn, Explanation, TableLabels


class LabelsFormat(StrEnum):
    text = "text"
    json = "json"


def labels(
    session: Session,
    table: TableArgument,
    format: Annotated[LabelsFormat, typer.Option("--format", help="text for people, or json.")] = LabelsFormat.text,
    json: JsonOption = False,
) -> None:
    """The labels of a table's columns, and where each came from.

    As readers see the table: those committed with what is published.
    """
    found = session.project.access.labels(table)
    if format is LabelsFormat.json or json:
        screen.json(found)
    else:
        screen.table(["COLUMN", "TYPE", "LABEL", "FROM"], _label_rows(found))


def _label_rows(found: TableLabels) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for column in found.columns:
        for label in column.labels:
            places = (["its own definition"] if label.is_own else []) + list(label.origins)
            rows.append([column.name, column.type, label.label, ", ".join(places)])
        if not column.labels:
            rows.append([column.name, column.type, "-", "-"])
    return rows


class ExplainedAction(StrEnum):
    """The rights that show rows of tables, or do something with all of them."""

    select = "select"
    export = "export"
    quarantine = "quarantine"
    detokenize = "detokenize"
    run = "run"
    publish = "publish"
    approve = "approve"
    admin = "admin"


def access_explain(
    session: Session,
    user: Annotated[str, typer.Argument(metavar="USER", help="A user's name.", show_default=False)],
    name: Annotated[str, typer.Argument(metavar="TABLE[.COLUMN]", help="A table, or one of its columns.", show_default=False)],
    purpose: Annotated[
        str | None, typer.Option("--purpose", metavar="PURPOSE", help="As if the session stated this purpose.", show_default=False)
    ] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="As it is at this time; without it now.", show_default=False)] = None,
    action: Annotated[ExplainedAction, typer.Option("--action", help="By which right.")] = ExplainedAction.select,
    json: JsonOption = False,
) -> None:
    """What a user sees of a table, and why.

    Which grants and denials decide it, which mask stands before which column, which rows, and until when. Ends with 1 when nothing is seen.
    """
    found = session.project.access.explain(user, name, purpose=purpose, at=at, action=action.value)
    if json:
        screen.json(found)
    else:
        _print_explanation(found)
    if not found.is_allowed:
        raise typer.Exit(1)


def _print_explanation(found: Explanation) -> None:
    what = str(found.table) if len(found.columns) != 1 else f"{found.table}.{found.columns[0].name}"
    if found.action == "select":
        screen.text(f"{found.user} {'sees' if found.is_allowed else 'sees nothing of'} {what}")
    else:
        screen.text(f"{found.user} {'may' if found.is_allowed else 'may not'} {found.action} {what}")
    if not found.is_known:
        screen.text(f"there is no user {found.user} yet: this is what the policies alone say")
    if found.is_disabled:
        screen.text("disabled: nothing of this can be used until they are enabled again")
    if found.is_admin:
        screen.text("an administrator: besides what follows, they may run, publish, approve and administer")
    for group in found.groups:
        origin = group.origin if group.as_of is None else f"{group.origin}, as of the login at {format_time(group.as_of)}"
        screen.text(f"in the group {group.group} ({origin}): {', '.join(group.roles) or 'no role'}")
    if not found.groups:
        screen.text("in no group, so without a role")
    screen.text("")
    if found.is_allowed:
        rows = [[column.name, ", ".join(column.labels) or "-", _seen(column)] for column in found.columns]
        screen.table(["COLUMN", "LABELS", "SEEN"], rows)
        screen.text("")
        screen.text(f"rows: {' or '.join(f'({where})' for where in found.rows) or 'all'}")
        screen.text(f"until: {format_time(found.until) if found.until is not None else 'the policies change'}")
        screen.text("")
    for reason in found.reasons:
        screen.text(f"{reason.what}: {reason.effect}")


def _seen(column: ExplainedColumn) -> str:
    ways = [f"{'in clear' if way.mask is None else way.mask}{f' where {way.where}' if way.where is not None else ''}" for way in column.seen]
    return "; else ".join(ways) or "hidden"


def register(app: typer.Typer) -> None:
    command(app, "labels", rich_help_panel=PANEL)(labels)
    access = typer.Typer(cls=Commands, no_args_is_help=True, help="Who may see what, and why.")
    command(access, "explain")(access_explain)
    commands_access_requests.add_to(access)
    app.add_typer(access, name="access", rich_help_panel=PANEL)
