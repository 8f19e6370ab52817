"""Draws docs/images/ from a real run of the demo: what a terminal shows, as SVG."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

IMAGES = Path(__file__).parent / "images"
HEADWATER = Path(sys.executable).with_name("headwater")
COLUMNS = 118


def seen(folder: Path, *arguments: str) -> str:
    """What the command leaves on a terminal of COLUMNS columns, escape codes and all."""
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "LINES": "50", "TERM": "xterm-256color"}
    environment.pop("CI", None)
    environment.pop("NO_COLOR", None)
    controller, terminal = pty.openpty()
    process = subprocess.Popen([HEADWATER, *arguments], cwd=folder, env=environment, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    parts = []
    while True:
        try:
            part = os.read(controller, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(controller)
    process.wait()
    return b"".join(parts).decode()


def settled(text: str) -> str:
    """The text without the lines that a live display drew and wiped again."""
    lines: list[str] = []
    for raw in text.replace("\r\n", "\n").split("\n"):
        while "\x1b[1A" in raw:
            before, _, raw = raw.partition("\x1b[1A")
            if lines:
                lines.pop()
            raw = raw.replace("\x1b[2K", "", 1)
            del before
        lines.append(raw.replace("\x1b[2K", "").replace("\x1b[?25l", "").replace("\x1b[?25h", "").rpartition("\r")[2])
    return "\n".join(lines).strip("\n")


def draw(name: str, parts: list[tuple[str, str]]) -> None:
    """One picture of commands and what they showed."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor")
        for command, output in parts:
            console.print(Text(f"$ {command}", style="bold"))
            console.print(Text.from_ansi(output))
            console.print()
        IMAGES.mkdir(exist_ok=True)
        picture = console.export_svg(title="headwater")
        # Only fonts of the reader's own: a picture fetches nothing.
        picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL).replace("Fira Code, monospace", "monospace")
        (IMAGES / f"{name}.svg").write_text(picture)


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="headwater-pictures-"))
    try:
        demo = folder / "demo"
        subprocess.run([HEADWATER, "init", str(demo), "--example", "nycflights13"], check=True, capture_output=True)
        run = settled(seen(demo, "run"))
        query = "SELECT place, airline, flights, share_late FROM marts.airline_ranking ORDER BY place LIMIT 4"
        draw("run", [("headwater run", run), (f'headwater query "{query}"', settled(seen(demo, "query", query)))])
        draw(
            "status", [("headwater status", settled(seen(demo, "status"))), ("headwater quarantine list", settled(seen(demo, "quarantine", "list")))]
        )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
