"""The group `access`: who may see what."""

from __future__ import annotations

import typer

from headwater.cli import commands_access_requests
from headwater.cli.commands_users import PANEL


def register(app: typer.Typer) -> None:
    access = typer.Typer(no_args_is_help=True, help="Access for a time, and rights that nobody uses.", rich_markup_mode="rich")
    commands_access_requests.add_to(access)
    app.add_typer(access, name="access", rich_help_panel=PANEL)
