"""The one place that prints. Data goes to stdout, everything said about it to stderr; nothing is lost without colour."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TextIO
from uuid import UUID

from headwater import errors
from headwater.spec.names import ColumnName, TableName

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

#: How a word of status is coloured; the word itself is always there.
STYLES = {
    "succeeded": "green",
    "fresh": "green",
    "passed": "green",
    "ok": "green",
    "held": "yellow",
    "warn": "yellow",
    "warning": "yellow",
    "stale": "yellow",
    "pinned": "yellow",
    "blocked": "yellow",
    "waiting": "yellow",
    "cancelled": "yellow",
    "failed": "bold red",
    "error": "bold red",
    "crashed": "bold red",
    "skipped": "dim",
    "unchanged": "dim",
    "never built": "dim",
    "retired": "dim",
}
#: Wide enough that no row of a table is folded when the output goes to a file or another program.
_UNLIMITED = 100_000


def _is_plain(stream: TextIO) -> bool:
    """Whether it is a file or another program that wants neither colours nor lines folded: rich need not even be imported."""
    return not stream.isatty() and not any(name in os.environ for name in ("FORCE_COLOR", "TTY_COMPATIBLE"))


class Screen:
    """stdout and stderr. `rich` is imported when something is first laid out, not before."""

    def __init__(self) -> None:
        self._consoles: dict[str, Console] = {}

    def console(self, name: str = "stderr") -> Console:
        """The rich console on `stdout` or `stderr`."""
        stream = getattr(sys, name)
        known = self._consoles.get(name)
        if known is None or known.file is not stream:
            from rich.console import Console

            width = None if stream.isatty() else _UNLIMITED  # a width that a terminal left in the environment isn't this stream's
            known = self._consoles[name] = Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=width is not None)
        return known

    @property
    def is_live(self) -> bool:
        """Whether a person looks at stderr, so that a display may redraw itself there."""
        return not _is_plain(sys.stderr) and self.console().is_terminal and not os.environ.get("CI")

    # -- data: stdout ------------------------------------------------------------------------------------------------

    def text(self, text: str) -> None:
        """A text as it is, and a newline."""
        sys.stdout.write(text if text.endswith("\n") else text + "\n")

    def json(self, value: Any) -> None:
        """A value as indented JSON."""
        self.text(json.dumps(to_json(value), indent=2, ensure_ascii=False))

    @property
    def bytes_out(self) -> BinaryIO:
        """stdout for what isn't text."""
        sys.stdout.flush()
        return sys.stdout.buffer

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str = "no rows") -> None:
        """A table for people; `empty` is said on stderr when there are no rows."""
        shown = [[cell(value) for value in row] for row in rows]
        if not shown:
            self.note(empty)
            return
        if not _is_plain(sys.stdout) and (console := self.console("stdout")).is_terminal:
            console.print(lay_out(columns, shown))
            return
        self.text("\n".join(lay_out_plainly(columns, shown)))

    def outcome(self, word: str, text: str) -> None:
        """A line of data that begins with how something came out, coloured where there are colours."""
        if _is_plain(sys.stdout):
            self.text(f"{word:<10}{text}".rstrip())
            return
        from rich.text import Text

        self.console("stdout").print(Text(f"{word:<10}", style=STYLES.get(word, "")).append(text, style="default"))

    # -- what is said: stderr ----------------------------------------------------------------------------------------

    def note(self, text: str = "", style: str | None = None) -> None:
        if _is_plain(sys.stderr):
            sys.stderr.write(text + "\n")  # a thousand lines by rich take half a second
        else:
            self.console().print(text, style=style)

    def show(self, renderable: RenderableType) -> None:
        self.console().print(renderable)

    def next_commands(self, commands: Sequence[tuple[str, str]]) -> None:
        """What to do now: commands with what each does."""
        if not commands:
            return
        width = max(len(command) for command, _ in commands)
        self.note("next:")
        for command, why in commands:
            self.note(f"  {command.ljust(width)}   {why}".rstrip())

    def error(self, error: errors.HeadwaterError) -> None:
        from rich.text import Text

        first, _, rest = str(error).partition("\n")
        line = Text("error ", style="bold red").append(first, style="not bold default")
        self.console().print(line)
        if rest:
            self.note(rest)

    def bug(self, error: Exception, debug: bool) -> None:
        """Words for what should not have happened. The exception's own text may hold data, so it is shown with `debug` only."""
        frame = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
        where = f" in {Path(frame.filename).name}:{frame.lineno}" if frame else ""
        self.note(f"error HW-BUG {type(error).__name__}{where}: this is a fault in Headwater, not in your project", style="bold red")
        if not debug:
            self.note("  hint: run the same command with --debug and report what it shows, with the output of `headwater version`")

    def trace(self) -> None:
        sys.stderr.write(traceback.format_exc())


screen = Screen()


class Cell(NamedTuple):
    """A value as a table shows it."""

    text: str
    style: str = ""
    is_number: bool = False


def cell(value: Any) -> Cell:
    if value is None:
        return Cell("-", "dim")
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, (int, float, Decimal)):
        return Cell(format_number(value), is_number=True)
    if isinstance(value, datetime):
        return Cell(format_time(value))
    text = str(value)
    return Cell(text, STYLES.get(text, ""))


def lay_out(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> RenderableType:
    """The rows below their headings, numbers to the right, nothing drawn around them."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="bold", collapse_padding=True)
    for index, name in enumerate(columns):
        is_number = any(row[index].is_number for row in rows)
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(one.text, one.style) for one in row))
    return table


def lay_out_plainly(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Iterator[str]:
    """The lines of `lay_out` without colours or a width to keep to: ten times as quick, for what nobody reads on a terminal."""
    from rich.cells import cell_len

    texts = [list(columns)] + [[one.text.replace("\n", " ") for one in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*texts, strict=True)]
    is_number = [any(row[index].is_number for row in rows) for index in range(len(columns))]
    for line in texts:
        padded = [
            " " * (width - cell_len(text)) + text if right else text + " " * (width - cell_len(text))
            for text, width, right in zip(line, widths, is_number, strict=True)
        ]
        yield "  ".join(padded).rstrip()


# -- how values are written ------------------------------------------------------------------------------------------


def format_number(value: float | Decimal) -> str:
    """Thousands separated for whole numbers: `336,776`."""
    return f"{value:,}" if isinstance(value, int) else str(value)


def format_bytes(size: int) -> str:
    """`0 B`, `12 kB`, `3.4 MB`: powers of 1000."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(amount) < 999.5 or unit == "TB":
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 99.5 else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError


def format_seconds(seconds: float) -> str:
    """`0.2 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def format_time(value: datetime) -> str:
    """To the second, in this machine's timezone when the value knows its own."""
    local = value.astimezone() if value.tzinfo else value
    return local.strftime("%Y-%m-%d %H:%M:%S")


def to_json(value: Any) -> Any:
    """A result as JSON-compatible values: dataclasses and mappings as objects, names as text, times as ISO 8601.

    A decimal that no double holds exactly is text; a number that isn't finite is null.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        if not value.is_finite():
            return None
        if value == value.to_integral_value():
            return int(value)
        return float(value) if Decimal(repr(float(value))) == value else str(value)
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return [to_json(item) for item in sorted(value, key=str)]
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, (Path, UUID, TableName, ColumnName)):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return str(value)
