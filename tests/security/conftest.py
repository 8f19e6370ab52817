"""A state store on SQLite and on Postgres, with a clock that stands still, and users who are quick to check."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from people import Clock

from headwater.state import StateStore
from services import require_postgres


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield "state.sqlite"
        return
    server = require_postgres()
    schema = f"who_{uuid.uuid4().hex[:10]}"
    yield f"{server}?schema={schema}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')


@pytest.fixture
def store(url: str, tmp_path: Path, clock: Clock) -> Iterator[StateStore]:
    with StateStore.open(url, tmp_path, clock=clock) as opened:
        yield opened
