from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.engine import Connection, Engine

sys.path.insert(0, str(Path(__file__).parent))  # for what several files of this folder share

from lakehouse import House, open_house


@pytest.fixture(scope="module")
def module_connection() -> Iterator[Connection]:
    """A connection shared by a module's property tests."""
    with Engine(threads=1) as engine, engine.connection() as connection:
        yield connection


@pytest.fixture
def connection() -> Iterator[Connection]:
    with Engine(threads=1) as engine, engine.connection() as connection:
        yield connection


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path) as house:
        yield house


@pytest.fixture(scope="module")
def shared_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One for all cases of a module's tests that don't mind what is there already."""
    with open_house(tmp_path_factory.mktemp("house")) as house:
        yield house
