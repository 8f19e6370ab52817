"""The house stands: imports point down, and what is said of them as absences is so."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "headwater"


def test_the_import_contracts_are_kept() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_screen_prints() -> None:
    for path in sorted((SOURCE / "cli").rglob("*.py")):
        if path.name == "screen.py":
            continue
        calls = {node.func.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
        assert not calls & {"print"}, path
        assert "sys.stdout.write" not in path.read_text(), path


def test_every_room_is_drawn_in_the_architecture() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    rooms = {
        path.stem for path in SOURCE.iterdir() if not path.stem.startswith("_") and (path.is_dir() or path.suffix == ".py") and path.stem != "py"
    }
    assert {room for room in rooms if room not in page} == set()
