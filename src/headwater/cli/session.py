"""What all commands share: where the project is, and the boundary at which every error becomes words and an exit code."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from headwater import errors
from headwater.cli.screen import screen

if TYPE_CHECKING:
    from headwater.api import Project

#: Errors that say: the project or the call is wrong. Exit code 2; all others end with 1.
_WRONG_CALL = (
    errors.ProjectError,
    errors.SqlSyntaxError,
    errors.SqlBindError,
    errors.StatementRefused,
    errors.StreamNotFound,
    errors.TableNotFound,
    errors.SnapshotNotFound,
    errors.PasswordRefused,
)

#: Characters of a command's first sentence in a list of commands.
_LONGEST_SENTENCE = 200

DirectoryOption = Annotated[
    Path | None,
    typer.Option(
        "--project-dir",
        "-C",
        help="The project's folder; without it the current one, or the nearest above it with a headwater.yaml.",
        show_default=False,
    ),
]
EnvironmentOption = Annotated[
    str | None,
    typer.Option(
        "--env",
        envvar="HEADWATER_ENV",
        help="One of the project's environments; without it default_environment, else the settings at the top.",
        show_default=False,
    ),
]
VariablesOption = Annotated[
    list[str] | None, typer.Option("--var", metavar="NAME=VALUE", help="Sets a variable (${var:NAME}); repeatable.", show_default=False)
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the trace of an error in Headwater itself.")]


class Session:
    """One command at work. `project` opens at first use; what was opened is closed when the command ends."""

    def __init__(self, directory: Path | None, environment: str | None, variables: list[str]) -> None:
        self.directory = directory or _nearest_project(Path.cwd())
        self._environment = environment
        self._variables = variables
        self._project: Project | None = None

    @property
    def project(self) -> Project:
        if self._project is None:
            from headwater.api import open as open_project

            self._project = open_project(self.directory, environment=self._environment, vars=_parse_variables(self._variables))
        return self._project

    def close(self) -> None:
        if self._project is not None:
            self._project.close()


def _nearest_project(start: Path) -> Path:
    """The folder at or above `start` that holds a headwater.yaml; `start` itself where there is none, so that the error names it."""
    for folder in (start, *start.parents):
        if (folder / "headwater.yaml").is_file():
            return folder
    return start


def _parse_variables(items: list[str]) -> dict[str, str]:
    variables = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise errors.UsageError(f"--var {item}: not of the form NAME=VALUE", hint="for example --var country=NO")
        variables[name] = value
    return variables


def exit_code_of(error: errors.HeadwaterError) -> int:
    """2 when the project or the call is wrong, else 1."""
    return 2 if isinstance(error, _WRONG_CALL) else 1


@contextmanager
def guarded(debug: bool) -> Iterator[None]:
    """Inside it, an error ends the process with words on stderr and an exit code; the trace of a bug is shown with `debug` only."""
    try:
        yield
    except errors.HeadwaterError as error:
        if debug:
            screen.trace()
        screen.error(error)
        raise typer.Exit(exit_code_of(error)) from None
    except KeyboardInterrupt:
        screen.note("stopped")
        raise typer.Exit(1) from None
    except BrokenPipeError:  # `headwater query .. | head`: the reader has all it wanted
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 -- the interpreter flushes it at its end
        raise typer.Exit(0) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        if debug:
            screen.trace()
        screen.bug(error, debug)
        raise typer.Exit(1) from None


class Commands(TyperGroup):
    """Help lists the commands under the headings of their panels, each with the whole first sentence of its own help."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            one = self.commands[name]
            panel = getattr(one, "rich_help_panel", None) or "Commands"
            panels.setdefault(panel, []).append((name, one.get_short_help_str(_LONGEST_SENTENCE)))
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)


class _Command(TyperCommand):
    """Says what is wrong with a value without the name that typer's validation has for its own errors."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


def command(app: typer.Typer, name: str, **settings: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a function `f(session, ..)` as a command: the options of the project are added to its own, errors become words.

    A function whose first parameter isn't `session` gets `--debug` alone.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(function, eval_str=True)
        own = [parameter for parameter in signature.parameters.values() if parameter.name != "session"]
        takes_session = len(own) != len(signature.parameters)
        shared: list[tuple[str, Any, Any]] = [("debug", DebugOption, False)]
        if takes_session:
            shared = [("project_dir", DirectoryOption, None), ("env", EnvironmentOption, None), ("var", VariablesOption, None), *shared]
        added = [inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind) for key, kind, default in shared]

        @functools.wraps(function)
        def run(**arguments: Any) -> None:
            given = {key: arguments.pop(key) for key, _, _ in shared}
            with guarded(given["debug"]):
                if not takes_session:
                    function(**arguments)
                    return
                session = Session(given["project_dir"], given["env"], given["var"] or [])
                try:
                    function(session, **arguments)
                finally:
                    session.close()

        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + added
        setattr(run, "__signature__", inspect.Signature(parameters))  # noqa: B010 -- inspect reads it, the type doesn't know it
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return app.command(name, cls=_Command, **settings)(run)

    return decorate
