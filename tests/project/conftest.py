"""Projects written from a mapping of paths to texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

Write = Callable[[Mapping[str, str]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files (texts are dedented) into one project folder; `headwater.yaml` is there from the start."""

    def write_files(files: Mapping[str, str]) -> Path:
        for path, text in {"headwater.yaml": "name: shop\n", **files}.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text).removeprefix("\n"), encoding="utf-8")
        return tmp_path

    return write_files
