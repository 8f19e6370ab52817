"""What the tests of exports share: the lakes of the storage's tests, and the places that exports write to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "storage"), str(HERE.parent / "destinations")]

from export_kit import Bench, open_bench  # noqa: E402 -- once it can be found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_bench(tmp_path) as opened:
        yield opened
