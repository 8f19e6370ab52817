"""A lake to load into."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the kit beside us

from loading_kit import Loads

from headwater.engine import Engine
from headwater.spec.project import LakeConfig
from headwater.storage import LAKE_EXTENSIONS, Lake


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(threads=2, temp_directory=tmp_path / "spill", extensions=LAKE_EXTENSIONS) as engine:
        yield engine


@pytest.fixture(params=["plain", "encrypted"])
def any_lake(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path) -> Iterator[Lake]:
    config = LakeConfig(encrypted=request.param == "encrypted")
    with Lake.open(config, engine, project_dir=tmp_path, environment="prod") as lake:
        yield lake


@pytest.fixture
def lake(engine: Engine, tmp_path: Path) -> Iterator[Lake]:
    with Lake.open(LakeConfig(), engine, project_dir=tmp_path, environment="prod") as lake:
        yield lake


@pytest.fixture
def loads(lake: Lake) -> Loads:
    return Loads(lake)
