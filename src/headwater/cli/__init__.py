"""The command line: typer commands, and one place that prints. It decides nothing: what is done is done by `headwater.api`."""

from __future__ import annotations

import atexit
import gc


def main() -> None:
    """The installed command `headwater`."""
    gc.set_threshold(250_000, 20, 50)  # half a million objects come with the imports: looking through them for garbage takes a tenth of the time
    atexit.register(gc.freeze)  # so that the interpreter doesn't look through all of them once more before it ends
    from headwater.cli.app import app

    app(prog_name="headwater")
