"""Commands about keys and secrets, and tokens turned back."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from headwater import errors
from headwater.cli.options import JsonOption
from headwater.cli.screen import screen
from headwater.cli.session import Session, command
from headwater.spec.counting import plural

PANEL = "Access"


def keys_list(session: Session, json: JsonOption = False) -> None:
    """List the keys by purpose and version; never the keys themselves."""
    found = session.project.keys.list()
    if json:
        screen.json(found)
        return
    rows = [[one.purpose, one.version, one.id, "in use" if one.is_newest else "opens what it sealed", one.created_at] for one in found]
    screen.table(["PURPOSE", "VERSION", "KEY", "STATE", "MADE"], rows, empty="there are no keys yet: they are made when first needed")


def keys_init(
    session: Session,
    print_: Annotated[bool, typer.Option("--print", help="Print a new master key for HEADWATER_MASTER_KEY, and change nothing.")] = False,
) -> None:
    """Make the master key and the keyring, where they aren't there yet.

    What needs a key makes it by itself; this is for having them, and a copy of the master key elsewhere, before anything is encrypted.
    """
    if print_:
        import secrets

        screen.note("a new master key; keep it where nobody but the project's servers can read it:")
        screen.text(secrets.token_hex(32))
        return
    found = session.project.keys.init()
    screen.note(f"keys: {len(found)}. Keep a copy of the master key elsewhere: without it nothing that is encrypted opens")


def keys_rotate(
    session: Session,
    purposes: Annotated[
        list[str] | None, typer.Argument(metavar="[PURPOSE]...", help="tokens, masks, state, secrets, backups or audit.", show_default=False)
    ] = None,
    master: Annotated[bool, typer.Option("--master", help="Wrap all keys with a new master key.")] = False,
    json: JsonOption = False,
) -> None:
    """Make new keys, and seal anew what the old ones sealed.

    Without a purpose: state, secrets, backups and audit, and the master key. With tokens, values have new tokens from now on, and the old ones are
    still turned back. With masks, hashes and noise come out otherwise, and no longer match those that were stored somewhere.
    """
    done = session.project.keys.rotate(*(purposes or ()), master=master or None)
    if json:
        screen.json(done)
        return
    for one in done:
        if one.version is None:
            screen.note(f"{one.purpose}: wraps {plural(one.sealed_anew, 'key')}")
        else:
            anew = f", {plural(one.sealed_anew, 'value')} sealed anew" if one.sealed_anew else ""
            screen.note(f"{one.purpose}: version {one.version}{anew}")


def secrets_set(session: Session, name: Annotated[str, typer.Argument(metavar="NAME", help="What ${secret:NAME} says.", show_default=False)]) -> None:
    """Keep a secret, encrypted, for ${secret:NAME}.

    Its value comes from stdin, or is asked for; it is never an argument, which other users of the machine can read.
    """
    value = getpass.getpass(f"{name}: ") if sys.stdin.isatty() else sys.stdin.read().removesuffix("\n").removesuffix("\r")
    was_there = session.project.secrets.set(name, value)
    kept = f"{name} is {'changed' if was_there else 'kept'}"
    if session.project.secrets.is_asked:
        screen.note(f"{kept}; ${{secret:{name}}} stands for it")
    else:
        screen.note(f"{kept}, but ${{secret:{name}}} isn't looked for here: put `file` into security.secrets.providers")


def secrets_list(session: Session, json: JsonOption = False) -> None:
    """List the names of the project's secrets."""
    names = session.project.secrets.list()
    if json:
        screen.json(names)
    else:
        screen.table(["SECRET"], [[name] for name in names], empty="there are no secrets")


def secrets_rm(session: Session, name: Annotated[str, typer.Argument(metavar="NAME", help="Its name.", show_default=False)]) -> None:
    """Forget a secret."""
    session.project.secrets.remove(name)
    screen.note(f"{name} is gone")


def detokenize(
    session: Session,
    tokens: Annotated[list[str], typer.Argument(metavar="TOKEN...", help="Tokens; - reads them from stdin, one a line.", show_default=False)],
    purpose: Annotated[str, typer.Option("--purpose", metavar="WHY", help="What for: the right to it is for a purpose.", show_default=False)],
    json: JsonOption = False,
) -> None:
    """Turn tokens back into the values they stand for.

    For the owner, or whoever HEADWATER_TOKEN says, by the right `detokenize`. Each use is in the audit: who, for what, how many. What is no token, or
    one that isn't theirs to turn back, comes out empty.
    """
    given = [line for one in tokens for line in (sys.stdin.read().splitlines() if one == "-" else [one])]
    if not given:
        raise errors.UsageError("no token came", expected="tokens, or - and one a line on stdin")
    values = session.project.tokens.detokenize(given, purpose=purpose)
    if json:
        screen.json(values)
        return
    for value in values:
        screen.text("" if value is None else value)


def register(app: typer.Typer) -> None:
    keys = typer.Typer(no_args_is_help=True, help="The keys of masks, tokens, secrets and backups: list, init, rotate.", rich_markup_mode="rich")
    command(keys, "list")(keys_list)
    command(keys, "init")(keys_init)
    command(keys, "rotate")(keys_rotate)
    app.add_typer(keys, name="keys", rich_help_panel=PANEL)
    secrets = typer.Typer(no_args_is_help=True, help="What ${secret:NAME} stands for: set, list, rm.", rich_markup_mode="rich")
    command(secrets, "set")(secrets_set)
    command(secrets, "list")(secrets_list)
    command(secrets, "rm")(secrets_rm)
    app.add_typer(secrets, name="secrets", rich_help_panel=PANEL)
    command(app, "detokenize", rich_help_panel=PANEL)(detokenize)
