"""Arguments and options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

SelectionArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SELECT",
        help="Which tables: a name, staging.*, +NAME (with what it is built from), NAME+ (with what is built from it), 2+NAME, tag:T, source:S, "
        "export:E, path:FOLDER, state:modified, result:error. Several are united, a comma intersects. Without any: all.",
        show_default=False,
    ),
]
SelectOption = Annotated[
    list[str] | None, typer.Option("--select", "-s", metavar="SELECT", help="The same as an argument; repeatable.", show_default=False)
]
ExcludeOption = Annotated[list[str] | None, typer.Option("--exclude", metavar="SELECT", help="Leaves these out; repeatable.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
TableArgument = Annotated[str, typer.Argument(metavar="TABLE", help="A table's name, such as marts.revenue.", show_default=False)]
TablesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="SELECT", help="Which tables: a name such as marts.revenue, or any other selector, as for `run`.", show_default=False),
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept with the publication.", show_default=False)]


def united(*parts: list[str] | None) -> list[str]:
    """Selectors given as arguments and as options, in one list."""
    return [item for part in parts for item in part or ()]
