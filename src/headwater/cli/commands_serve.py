"""The command that opens the doors."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from headwater.cli.commands_users import PANEL
from headwater.cli.screen import screen
from headwater.cli.session import Session, command
from headwater.errors import HeadwaterError

if TYPE_CHECKING:
    from headwater.serving.server import OpenDoor

_NAMES = {"postgres": "Postgres", "flight": "Flight SQL", "http": "HTTP"}
#: How often the project's files are looked at for changes.
_LOOK_SECONDS = 2.0

PortOption = Annotated[int | None, typer.Option(min=0, max=65535, help="Its port; 0 takes any that is free.", show_default=False)]


def serve(
    session: Session,
    host: Annotated[
        str | None, typer.Option("--host", metavar="ADDRESS", help="The address to listen on; 127.0.0.1 by default.", show_default=False)
    ] = None,
    pg_port: PortOption = None,
    flight_port: PortOption = None,
    http_port: PortOption = None,
) -> None:
    """Let people and programs query the lake: by the Postgres wire, Arrow Flight SQL and HTTP.

    Who may come in are the users (`headwater user add`); what they see, the policies say. With TLS but on this machine alone. Goes on until
    Ctrl-C; policies and definitions that change on disk are taken up while it runs.
    """
    from headwater.serving.limits import hold_memory

    project = session.project

    def told(door: OpenDoor) -> None:
        screen.note(f"{_NAMES[door.door]:<10} ready at {door.url}{'' if door.is_secure else '  (without TLS)'}")

    with project.serve(host=host, pg_port=pg_port, flight_port=flight_port, http_port=http_port, on_ready=told) as server:
        hold_memory()  # not before: whoever may not serve goes on as they were
        made = server.certificate
        if made is not None and made.authority is not None:
            screen.note(f"the certificate was made here; clients must be told to trust {made.authority}")
            screen.note(f"its SHA-256 fingerprint is {made.fingerprint}, and it ends on {made.ends:%Y-%m-%d}; serve: certificate takes one of yours")
        stopping = threading.Event()

        def stop(number: int, frame: FrameType | None) -> None:
            stopping.set()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        while not stopping.wait(_LOOK_SECONDS):
            try:
                if project.reload_definitions(server):
                    screen.note("the project changed: its policies and definitions are in force from now on")
            except HeadwaterError as error:
                screen.note(f"the project changed and can't be read; what was in force stays so\n{error}")
        screen.note("stopping: queries that run may end")


def register(app: typer.Typer) -> None:
    command(app, "serve", rich_help_panel=PANEL)(serve)
