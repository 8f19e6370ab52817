"""Commands about access for a time, and about rights that nobody uses."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from headwater.cli.commands_users import FormatOption, ListFormat
from headwater.cli.options import JsonOption, TableArgument
from headwater.cli.screen import screen
from headwater.cli.session import Session, command
from headwater.spec.counting import plural


class RequestState(StrEnum):
    waiting = "waiting"
    approved = "approved"
    ended = "ended"
    revoked = "revoked"


class RequestAction(StrEnum):
    select = "select"
    export = "export"
    run = "run"
    publish = "publish"
    quarantine = "quarantine"
    detokenize = "detokenize"


IdArgument = Annotated[str, typer.Argument(metavar="ID", help="A request's id, or the beginning of it.", show_default=False)]


def access_request(
    session: Session,
    table: TableArgument,
    until: Annotated[str, typer.Option("--until", metavar="WHEN", help="When it is to end: 2026-12-31, or 8h from now.", show_default=False)],
    reason: Annotated[str, typer.Option("--reason", help="Why; for whoever decides, and for the audit.", show_default=False)],
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="Whom it is for, where the owner asks.", show_default=False)] = None,
    action: Annotated[RequestAction | None, typer.Option("--action", help="What to do with the table; without role and action: select.")] = None,
    role: Annotated[
        str | None, typer.Option("--role", metavar="ROLE", help="What this role may do with the table, instead of an action.", show_default=False)
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option("--column", metavar="COLUMN", help="These columns alone; repeatable.", show_default=False)
    ] = None,
    unmask: Annotated[
        list[str] | None, typer.Option("--unmask", metavar="LABEL", help="A label to see in clear; repeatable.", show_default=False)
    ] = None,
    purpose: Annotated[
        list[str] | None, typer.Option("--purpose", metavar="PURPOSE", help="For this purpose alone; repeatable.", show_default=False)
    ] = None,
    json: JsonOption = False,
) -> None:
    """Ask for access to a table until a time.

    The token in HEADWATER_TOKEN says who asks; without it, it is the lake's owner, who says for whom. It is given by somebody else, with
    `access approve`.
    """
    asked = session.project.requests.request(
        table,
        until=until,
        reason=reason,
        user=user,
        action=action.value if action is not None else None,
        role=role,
        columns=column or (),
        unmask=unmask or (),
        purpose=purpose or (),
    )
    if json:
        screen.json(asked)
        return
    screen.text(asked.id)
    screen.next_commands([(f"headwater access approve {asked.id}", f"gives it, by somebody who may approve on {asked.table}")])


def access_approve(
    session: Session,
    id: IdArgument,
    until: Annotated[str | None, typer.Option("--until", metavar="WHEN", help="End it sooner than asked for.", show_default=False)] = None,
    json: JsonOption = False,
) -> None:
    """Give what was asked for.

    Takes a grant of `approve` or `admin` on the table, or an administrator; nobody approves their own. It ends by itself, for running sessions too.
    """
    given = session.project.requests.approve(id, until=until)
    if json:
        screen.json(given)
    else:
        until_then = f"until {given.until.astimezone():%Y-%m-%d %H:%M}"
        screen.note(f"approved for {given.user} on {given.table} {until_then}: {given.wanted}")
        for denial in session.project.requests.denials(given):
            screen.note(f"but it stays closed by a denial, which beats what is approved: {denial}")


def access_revoke(session: Session, id: IdArgument, json: JsonOption = False) -> None:
    """Take access back, or refuse what was asked for: at once, for running sessions too."""
    taken = session.project.requests.revoke(id)
    if json:
        screen.json(taken)
    else:
        screen.note(f"{taken.user} has it no longer: {taken.wanted} on {taken.table}")


def access_list(
    session: Session,
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="This user's.", show_default=False)] = None,
    state: Annotated[RequestState | None, typer.Option("--state", help="Only those.", show_default=False)] = None,
    format: FormatOption = ListFormat.table,
    json: JsonOption = False,
) -> None:
    """List what was asked for: by whom, until when, and who decided."""
    found = session.project.requests.list(user=user, state=state.value if state is not None else None)
    if json or format is ListFormat.json:
        screen.json(found)
        return
    rows = [[one.id, one.user, one.wanted, one.table, one.state, one.until, one.approved_by or one.revoked_by, one.reason] for one in found]
    screen.table(["ID", "USER", "WHAT", "TABLE", "STATE", "UNTIL", "DECIDED BY", "REASON"], rows, empty="nobody asked for anything")


def access_review(
    session: Session,
    days: Annotated[int, typer.Option("--days", min=1, help="How far to look back.")] = 90,
    yaml: Annotated[bool, typer.Option("--yaml", help="Print the smaller roles and groups, as policies/*.yaml has them.")] = False,
    json: JsonOption = False,
) -> None:
    """Say which rights nobody used, and what policy would have been enough.

    By the audit of the last days. The smaller policy is proved: every audited query is decided again under it, and comes out the same.
    """
    found = session.project.requests.review(days=days)
    if yaml:
        from headwater.security.review import to_yaml

        screen.text(to_yaml(found.smaller))
    elif json:
        screen.json({"queries": found.queries, "uses": found.uses, "not_replayed": found.not_replayed, "unused": found.unused})
    else:
        rows = [[one.where, one.kind, one.right, one.instead] for one in found.unused]
        screen.table(
            ["WHERE", "WHAT", "NOT USED", "ENOUGH"],
            rows,
            empty="every right was used" if any(role.grants for role in found.smaller.roles.values()) else "the policies give no right",
        )
    said = f"{plural(found.uses, 'way')} of using rights in {plural(found.queries, 'audited statement')}"
    screen.note(f"{said}, decided again under the smaller policy: all the same")
    if found.not_replayed:
        screen.note(f"{found.not_replayed} more {'is' if found.not_replayed == 1 else 'are'} not allowed any longer, or of tables that are gone")


def add_to(access: typer.Typer) -> None:
    """Registers these commands in the group `access`."""
    command(access, "request")(access_request)
    command(access, "approve")(access_approve)
    command(access, "revoke")(access_revoke)
    command(access, "list")(access_list)
    command(access, "review")(access_review)
