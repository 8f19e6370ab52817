"""Commands about what was done."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

from headwater import errors
from headwater.cli.commands_users import PANEL, FormatOption, ListFormat
from headwater.cli.options import JsonOption
from headwater.cli.screen import screen
from headwater.cli.session import Commands, Session, command
from headwater.spec.counting import plural


class Outcome(StrEnum):
    allowed = "allowed"
    refused = "refused"
    failed = "failed"


def audit_list(
    session: Session,
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="What this one did.", show_default=False)] = None,
    table: Annotated[str | None, typer.Option("--table", "-t", metavar="TABLE", help="What was done with this table.", show_default=False)] = None,
    action: Annotated[
        str | None, typer.Option("--action", metavar="ACTION", help="Only this: select, export, login, user, approve ..", show_default=False)
    ] = None,
    decision: Annotated[Outcome | None, typer.Option("--decision", help="Only what came out so.", show_default=False)] = None,
    query: Annotated[str | None, typer.Option("--query", metavar="ID", help="One query, by the id that its error names.", show_default=False)] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="From this time on: 2026-01-31T12:00.", show_default=False)] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Before this time.", show_default=False)] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many of the newest.")] = 50,
    format: FormatOption = ListFormat.table,
    json: JsonOption = False,
) -> None:
    """List what was asked for and what came of it, the newest last.

    Every query, login, grant and change of users: who, from where, which columns of which tables, how many rows, under which policies.
    """
    from headwater.security.audit import AuditFilter

    filter = AuditFilter(
        principal=user,
        action=action,
        decision=decision.value if decision is not None else None,
        table=table,
        query_id=query,
        since=_moment(since),
        until=_moment(until),
    )
    rows = session.project.audit.list(filter, limit=limit)
    is_filtered = filter != AuditFilter()
    if json or format is ListFormat.json:
        screen.json([{"seq": row.seq, "record": row.record, "hash": row.hash} for row in rows])
        return
    shown = [
        [
            row.record.at,
            row.record.principal if row.record.asked_by is None else f"{row.record.asked_by} as {row.record.principal}",
            row.record.door,
            row.record.action,
            row.record.decision,
            ", ".join(row.record.tables) or "-",
            row.record.rows,
            row.record.query_id,
            row.record.error or row.record.sql or "-",
        ]
        for row in rows
    ]
    screen.table(
        ["AT", "WHO", "DOOR", "ACTION", "DECISION", "TABLES", "ROWS", "QUERY", "WHAT"],
        shown,
        empty="there is no such row" if is_filtered else "nothing is audited yet",
    )


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise errors.UsageError(f"{text!r} is not a time", expected="such as 2026-01-31 or 2026-01-31T12:00") from None
    return found if found.tzinfo is not None else found.astimezone()


def audit_verify(session: Session, json: JsonOption = False) -> None:
    """Read the whole audit, and say whether it is as it was written.

    Finds rows that were changed, removed, added or moved, and an end that was cut off: by the chain of hashes, and by the heads of it that stand in
    the lake. Ends with 1 when something is wrong.
    """
    found = session.project.audit.verify()
    if json:
        screen.json(found)
        return
    screen.text(f"the audit is sound: {plural(found.rows, 'row')}, the first {found.anchored_seq} of them held by the lake")
    if found.rows > found.anchored_seq:
        screen.next_commands([("headwater audit anchor", "lets the lake hold the rest")])


def audit_anchor(session: Session, json: JsonOption = False) -> None:
    """Put the head of the audit's chain into the lake, so that its end can't be cut off unseen."""
    done = session.project.audit.anchor()
    if json:
        screen.json(done)
    elif done.snapshot_id is None:
        screen.note("the lake has it already" if done.rows else "nothing is audited yet")
    else:
        screen.text(f"{plural(done.rows, 'row')} {'is' if done.rows == 1 else 'are'} held by snapshot {done.snapshot_id}")


def register(app: typer.Typer) -> None:
    audit = typer.Typer(cls=Commands, no_args_is_help=True, help="What was done, by whom: list, verify, anchor.")
    command(audit, "list")(audit_list)
    command(audit, "verify")(audit_verify)
    command(audit, "anchor")(audit_anchor)
    app.add_typer(audit, name="audit", rich_help_panel=PANEL)
