"""The command line: typer commands, and one place that prints. It decides nothing: what is done is done by `headwater.api`."""

from __future__ import annotations


def main() -> None:
    """The installed command `headwater`."""
    from headwater.cli.app import app

    app(prog_name="headwater")
