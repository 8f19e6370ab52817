"""Commands about who may come in."""

from __future__ import annotations

import getpass
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from headwater import errors
from headwater.cli.options import JsonOption
from headwater.cli.screen import format_time, screen
from headwater.cli.session import Commands, Session, command

if TYPE_CHECKING:
    from headwater.security.accounts import TokenInfo, UserInfo
    from headwater.security.principals import Membership

PANEL = "Access"


class ListFormat(StrEnum):
    table = "table"
    json = "json"


NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A user's name.", show_default=False)]
FormatOption = Annotated[ListFormat, typer.Option("--format", help="How to print: a table for people, or json.")]
PasswordOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from stdin, a line; without it one is made and shown once.")
]


def _password(is_given: bool) -> str | None:
    if not is_given:
        return None
    line = sys.stdin.readline()
    if not line.endswith("\n") and not line:
        raise errors.UsageError("no password came on stdin", hint="printf '%s\\n' \"$PASSWORD\" | headwater user .. --password-stdin")
    return line.rstrip("\r\n")


def _old_and_new(name: str, is_given: bool) -> tuple[str, str]:
    """The password that somebody has and the one they want: two lines of stdin, or asked for."""
    if is_given:
        old, new = (sys.stdin.readline().rstrip("\r\n") for _ in range(2))
    elif sys.stdin.isatty():
        old, new = getpass.getpass(f"the password of {name}: "), getpass.getpass("the new one: ")
        if getpass.getpass("the new one again: ") != new:
            raise errors.UsageError("the new password isn't the same both times", state="the password is as it was")
    else:
        old, new = "", ""
    if not old or not new:
        raise errors.UsageError(
            "one's own password is changed with the one that is good now",
            expected="two lines on stdin: the old one, the new one",
            hint=f'printf \'%s\\n\' "$OLD" "$NEW" | headwater user passwd {name} --password-stdin',
        )
    return old, new


def _show_once(what: str, secret: str) -> None:
    screen.note(f"{what}; it is shown this once, and can't be shown again:")
    screen.text(secret)


def user_add(
    session: Session,
    name: NameArgument,
    admin: Annotated[bool, typer.Option("--admin", help="May approve access everywhere, and administer.")] = False,
    service: Annotated[bool, typer.Option("--service", help="A program's account, not a person's.")] = False,
    group: Annotated[list[str] | None, typer.Option("--group", metavar="GROUP", help="A group to be in; repeatable.", show_default=False)] = None,
    oidc: Annotated[bool, typer.Option("--oidc", help="No password: they come by a provider's login, or by tokens.")] = False,
    password_stdin: PasswordOption = False,
) -> None:
    """Add somebody who may come in from elsewhere.

    Without any user the lake is open to its owner alone, who has the credentials of catalog and data. What a user may see is said by
    policies/*.yaml: without a grant, nothing.
    """
    for unknown in session.project.users.unknown_groups(group or ()):
        screen.note(f"no policy says what the group {unknown} brings: groups: {{{unknown}: {{roles: [..]}}}} in policies/*.yaml")
    made = session.project.users.add(name, admin=admin, service=service, groups=group or (), password=_password(password_stdin), oidc=oidc)
    if made is not None:
        _show_once(f"the password of {name}", made)
    else:
        screen.note(f"added {name}")


def user_passwd(
    session: Session,
    name: NameArgument,
    must_rotate: Annotated[bool, typer.Option("--must-rotate", help="The user must change it before it is good for anything else.")] = False,
    password_stdin: PasswordOption = False,
) -> None:
    """Give a user a new password, or change your own.

    The owner and administrators set anybody's, and unlock them by it. By anybody else's token in HEADWATER_TOKEN it is their own, which is changed
    with the one they have, expired or not: it is asked for, as is the new one, or --password-stdin reads both, a line each. Sessions that began with
    the old one end at their next statement; tokens go on.
    """
    if session.project.users.takes_old_password(name):
        if must_rotate:
            raise errors.UsageError("only the owner or an administrator says that a password must be changed")
        session.project.users.change_password(name, *_old_and_new(name, password_stdin))
        screen.note(f"{name} has the new password")
        return
    made = session.project.users.passwd(name, _password(password_stdin), must_rotate=must_rotate)
    if made is not None:
        _show_once(f"the password of {name}", made)
    else:
        screen.note(f"{name} has the new password")


def user_token(
    session: Session,
    name: NameArgument,
    expires: Annotated[str | None, typer.Option("--expires", metavar="DURATION", help="How long it is good: 30d.", show_default=False)] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope", metavar="ACTION", help="What it is good for, such as select; repeatable. Without: all its user may do.", show_default=False
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make a token: a password for programs, which ends by itself and can be revoked alone."""
    token, info = session.project.users.token(name, expires=expires, scope=scope or ())
    if json:
        screen.json({"token": token, "id": info.id, "user": info.user, "scope": info.scope, "expires_at": info.expires_at})
    else:
        _show_once(f"the token {info.id} of {info.user}", token)


def user_tokens(
    session: Session,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A user's name; without it, all tokens.", show_default=False)] = None,
    format: FormatOption = ListFormat.table,
    json: JsonOption = False,
) -> None:
    """List tokens by id: whose, good for what, until when, last used. Never the tokens themselves."""
    tokens = session.project.users.tokens(name)
    if json or format is ListFormat.json:
        screen.json(tokens)
        return
    rows = [[one.id, one.user, ", ".join(one.scope or ()) or "all", _state(one), one.expires_at, one.last_used_at, one.created_at] for one in tokens]
    screen.table(["TOKEN", "USER", "SCOPE", "STATE", "EXPIRES", "LAST USED", "MADE"], rows, empty="there are no tokens")


def _state(token: TokenInfo) -> str:
    from datetime import UTC, datetime

    if token.revoked_at is not None:
        return "revoked"
    return "ended" if token.expires_at is not None and token.expires_at <= datetime.now(UTC) else "good"


def user_revoke(session: Session, id: Annotated[str, typer.Argument(metavar="TOKEN", help="A token's id.", show_default=False)]) -> None:
    """End a token at once."""
    info = session.project.users.revoke(id)
    screen.note(f"the token {info.id} of {info.user} is revoked")


def user_list(session: Session, format: FormatOption = ListFormat.table, json: JsonOption = False) -> None:
    """List the users: kind, groups, password, tokens, and who is kept out."""
    users = session.project.users.list()
    if json or format is ListFormat.json:
        screen.json(users)
        return
    rows = [
        [
            one.name,
            f"{one.kind}, admin" if one.is_admin else one.kind,
            ", ".join(f"{membership.group} ({_origin(membership, one)})" for membership in one.memberships) or "-",
            "by a provider" if one.oidc_subject is not None else one.password,
            one.tokens,
            "disabled" if one.is_disabled else "locked" if one.locked_until is not None else "must change password" if one.must_rotate else "ok",
            one.last_login_at,
        ]
        for one in users
    ]
    screen.table(
        ["USER", "KIND", "GROUPS", "PASSWORD", "TOKENS", "STATE", "LAST LOGIN"], rows, empty="there are no users: the lake is open to its owner alone"
    )


def _origin(membership: Membership, user: UserInfo) -> str:
    """Who says that they are in the group; a provider, when they last came by it."""
    if membership.origin == "oidc" and user.claimed_at is not None:
        return f"{membership.origin}, {format_time(user.claimed_at)}"
    return membership.origin


def user_disable(session: Session, name: NameArgument) -> None:
    """Keep a user out, with all their tokens. Sessions end at their next statement."""
    session.project.users.disable(name)
    screen.note(f"{name} is disabled")


def user_enable(session: Session, name: NameArgument) -> None:
    """Let a user in again who is disabled, or locked out after wrong passwords."""
    session.project.users.enable(name)
    screen.note(f"{name} is enabled")


def register(app: typer.Typer) -> None:
    user = typer.Typer(cls=Commands, no_args_is_help=True, help="Who may come in: add, token, list, disable, passwd.")
    command(user, "add")(user_add)
    command(user, "list")(user_list)
    command(user, "passwd")(user_passwd)
    command(user, "disable")(user_disable)
    command(user, "enable")(user_enable)
    command(user, "token")(user_token)
    command(user, "tokens")(user_tokens)
    command(user, "revoke")(user_revoke)
    app.add_typer(user, name="user", rich_help_panel=PANEL)
