"""Fixtures of this room."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import stamina

sys.path.insert(0, str(Path(__file__).parent))  # for what several files of this folder share

from folders import Folder, small_project


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return small_project(tmp_path / "project")


@pytest.fixture(autouse=True)
def no_pauses() -> None:
    """Retries don't wait."""
    stamina.set_testing(True, attempts=3, cap=True)
