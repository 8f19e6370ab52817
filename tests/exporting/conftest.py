"""What the tests of exports share: the lakes of the storage's tests, and the places that exports write to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "storage"), str(HERE.parent / "destinations")]

from export_kit import SHOP, Bench, customers, open_bench, write  # noqa: E402 -- once it can be found

from commands import run_here  # noqa: E402


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_bench(tmp_path) as opened:
        yield opened


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    write(tmp_path, SHOP)
    customers(tmp_path, {number: f"n{number}" for number in range(1, 41)})
    run_here(tmp_path, "run")
    run_here(tmp_path, "user", "add", "crm_bot", "--service", "--oidc", "--group", "exporters")
    return tmp_path
