"""Writes docs/commands.md from the commands themselves. `--print` prints it instead."""

from __future__ import annotations

import sys
from enum import EnumType
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer

from headwater.cli.app import app

HEAD = """# Commands

Made from the commands' own help by `python docs/make_commands.py`.

Data goes to stdout and everything said about it to stderr. Exit codes: **0** all is well,
**1** something failed or was held, **2** the project or the call is wrong.

Every command that works on a project also takes

| option | meaning |
|---|---|
{shared}
"""


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def row(parameter: Any, kind: Any) -> str:
    """A line of the table of options. `kind` is the parameter's annotation."""
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    value = ""
    if not getattr(parameter, "is_flag", False):
        choices = [member.value for member in kind] if isinstance(kind, EnumType) else []
        value = f" `{cell(parameter.metavar or '|'.join(choices) or parameter.name.upper())}`"
    default = parameter.default
    shown = f" Default: {getattr(default, 'value', default)}." if parameter.show_default and default not in (None, False, "") else ""
    return f"| {names}{value} | {cell(parameter.help or '')}{shown} |"


def usage(parameter: Any) -> str:
    name = f"{parameter.metavar}{'...' if parameter.nargs == -1 else ''}"
    return name if parameter.required else f"[{name}]"


def describe(name: str, command: Any) -> tuple[str, dict[str, str]]:
    """A command's part of the page, and the lines of its shared options."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    lines = [
        f"## {name}",
        "",
        "```",
        " ".join(["headwater", name, *(usage(p) for p in arguments), "[OPTIONS]"]),
        "```",
        "",
        (command.help or "").strip(),
        "",
    ]
    own = [p for p in options if p.name not in SHARED]
    kinds = command.callback.__annotations__
    if arguments or own:
        lines += ["| argument or option | meaning |", "|---|---|"]
        lines += [f"| `{cell(usage(p))}` | {cell(p.help or '')} |" for p in arguments]
        lines += [row(p, kinds[p.name]) for p in own]
        lines.append("")
    return "\n".join(lines), {p.name: row(p, kinds[p.name]) for p in options if p.name in SHARED}


SHARED = ("project_dir", "env", "var", "debug")


def page() -> str:
    parts: list[str] = []
    shared: dict[str, str] = {}

    def walk(prefix: str, group: Any) -> None:
        for name, command in group.commands.items():
            full = f"{prefix}{name}"
            if hasattr(command, "commands"):
                walk(f"{full} ", command)
                continue
            text, lines = describe(full, command)
            parts.append(text)
            shared.update(lines)

    walk("", typer.main.get_command(app))
    return HEAD.format(shared="\n".join(shared[name] for name in SHARED)) + "\n" + "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    if "--print" in sys.argv:
        sys.stdout.write(page())
    else:
        (Path(__file__).parent / "commands.md").write_text(page())
