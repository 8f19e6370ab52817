"""All commands. Nothing heavy is imported here: `headwater --help` answers at once."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater.cli import (
    commands_access,
    commands_audit,
    commands_exports,
    commands_files,
    commands_keys,
    commands_lake,
    commands_publication,
    commands_runs,
    commands_serve,
    commands_sources,
    commands_users,
)
from headwater.cli.screen import screen
from headwater.cli.session import Commands

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help is plain text: rich alone would take as long as all the rest of it
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
    help="""From sources to published tables that people can query: one folder of definitions, one command.

Begin with `headwater init DIR`, then in it `headwater run` and `headwater query "SELECT .."`.

Exit codes: 0 all is well, 1 something failed or was held, 2 the project or the call is wrong.""",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from headwater import __version__

        screen.text(f"headwater {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_print_version)] = False,
) -> None:
    pass


for _module in (
    commands_files,
    commands_sources,
    commands_runs,
    commands_lake,
    commands_publication,
    commands_users,
    commands_access,
    commands_audit,
    commands_keys,
    commands_exports,
    commands_serve,
):
    _module.register(app)
