"""Commands of `headwater`, as they are installed or within this process, and how they ended."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from headwater.cli.app import app
from services import without_a_terminal

PROGRAM = Path(sys.executable).with_name("headwater")


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def all_commands() -> list[tuple[str, ...]]:
    """Every command that there is, by its words."""
    found: list[tuple[str, ...]] = []

    def walk(prefix: tuple[str, ...], group: object) -> None:
        for name, command in group.commands.items():  # type: ignore[attr-defined]  # typer has no public type for it
            if hasattr(command, "commands"):
                walk((*prefix, name), command)
            else:
                found.append((*prefix, name))

    walk((), typer.main.get_command(app))
    return found


def run_installed(
    folder: Path, *arguments: str, expect: int | None = 0, env: dict[str, str] | None = None, may_trace: bool = False, input: str | None = None
) -> Done:
    """Runs the installed command in `folder`; fails the test when it ends with another code than `expect` (None: with any), or with a traceback."""
    environment = {**without_a_terminal(), "NO_COLOR": "1", "PYTHONWARNINGS": "error", **(env or {})}
    done = subprocess.run([PROGRAM, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, input=input)
    return _judged(Done(done.returncode, done.stdout, done.stderr), arguments, expect, may_trace)


def run_here(
    folder: Path, *arguments: str, expect: int | None = 0, env: dict[str, str] | None = None, may_trace: bool = False, input: str | None = None
) -> Done:
    """The same within this process, which spares a second of imports. `expect` None: it may end as it likes."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(folder)
        for name, value in {"NO_COLOR": "1", **(env or {})}.items():
            patch.setenv(name, value)
        if input is not None:
            patch.setattr(sys, "stdin", io.StringIO(input))
        try:
            app([*arguments], prog_name="headwater")
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    said = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]  # made of BytesIO above
    return _judged(Done(code, *said), arguments, expect, may_trace)


def _judged(done: Done, arguments: tuple[str, ...], expect: int | None, may_trace: bool) -> Done:
    said = f"headwater {' '.join(arguments)} ended with {done.code}\n--- stdout\n{done.out}\n--- stderr\n{done.err}"
    assert expect is None or done.code == expect, said
    assert may_trace or "Traceback" not in done.err, said
    return done
