from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from lakes import Place, make_place

from headwater.storage import Lake


@pytest.fixture(params=["sqlite", "sqlite-encrypted", "postgres", "postgres-encrypted"])
def any_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Every kind of lake in turn: what writes must be tried on all of them. One of them is worked on by two threads."""
    catalog, _, encrypted = request.param.partition("-")
    with make_place(tmp_path, catalog, encrypted=bool(encrypted)) as place:
        place.threads = 2 if request.param == "sqlite-encrypted" else 1
        yield place


@pytest.fixture
def any_lake(any_place: Place) -> Lake:
    return any_place.open()


@pytest.fixture(params=["sqlite-encrypted", "postgres"])
def mixed_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Both catalogs, one encrypted and one plain: for what the contract suite has tried on all four kinds at its core."""
    catalog, _, encrypted = request.param.partition("-")
    with make_place(tmp_path, catalog, encrypted=bool(encrypted)) as place:
        yield place


@pytest.fixture
def mixed_lake(mixed_place: Place) -> Lake:
    return mixed_place.open()


@pytest.fixture(params=["sqlite", "postgres"])
def both_places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A plain lake on each catalog."""
    with make_place(tmp_path, request.param) as place:
        yield place


@pytest.fixture
def both_lakes(both_places: Place) -> Lake:
    return both_places.open()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A plain lake on a SQLite catalog, for what doesn't depend on the kind of lake."""
    with make_place(tmp_path, "sqlite") as found:
        yield found


@pytest.fixture
def lake(place: Place) -> Lake:
    return place.open()
