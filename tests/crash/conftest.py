"""Fixtures of the crash suite."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for what several files of this folder share

from crashing import Zygote, catalog_url
from shop import Shop


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    process = Zygote()
    yield process
    process.close()


@pytest.fixture(params=["sqlite", "postgres"])
def catalog(request: pytest.FixtureRequest) -> Iterator[str]:
    with catalog_url(request.param) as url:
        yield url


@pytest.fixture
def shop(tmp_path: Path, catalog: str) -> Shop:
    """One on each catalog. Beside a Postgres catalog the engine has a thread, which takes half the time; beside SQLite all that it likes."""
    return Shop(tmp_path / "shop", catalog, threads=1 if "://" in catalog else None).create()


@pytest.fixture
def sqlite_shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop", threads=1).create()
