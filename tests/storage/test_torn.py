"""A catalog that lost the fields of a nested column, as early builds could leave one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from lakes import Place, T, put

import headwater as hw
from headwater.errors import QueryError
from headwater.spec.names import ColumnName, TableName
from headwater.storage import Lake
from headwater.storage.torn import TornColumn, torn_columns


def tear(lake: Lake, table: TableName, column: str) -> None:
    """DuckLake loses the fields of a nested column that is added and renamed in one transaction."""
    core = lake._core
    name = f'"{core.database}".{table.sql}'
    with core.engine.connection() as connection:
        connection.execute("BEGIN")
        connection.execute(f"ALTER TABLE {name} ADD COLUMN new INTEGER[]")
        connection.execute(f"ALTER TABLE {name} DROP COLUMN {column}")
        connection.execute(f"ALTER TABLE {name} RENAME COLUMN new TO {column}")
        connection.execute("COMMIT")


def test_a_torn_column_is_found_in_the_catalog(mixed_place: Place) -> None:
    lake = mixed_place.open()
    newest = put(lake, "SELECT 1 AS id, 1 AS v, [1] AS fine, {'a': [1]} AS deep")
    assert torn_columns(mixed_place.config, mixed_place.folder) == []
    tear(lake, T, "v")
    assert torn_columns(mixed_place.config, mixed_place.folder) == [TornColumn(ColumnName(T, "v"), newest + 1)]
    with pytest.raises(QueryError):
        lake.state()


def test_doctor_tells_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "models/marts").mkdir(parents=True)
    (tmp_path / "headwater.yaml").write_text("name: shop\n")
    (tmp_path / "models/marts/things.sql").write_text("SELECT 1 AS id, 1 AS v\n")
    with hw.open(tmp_path) as project:
        project.run()
        tear(project._session.lake, TableName("marts", "things"), "v")
    program = Path(sys.executable).with_name("headwater")
    done = subprocess.run([program, "doctor"], cwd=tmp_path, env={**os.environ, "COLUMNS": "20"}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "no fields of the nested column marts.things.v" in done.stdout
    assert "headwater restore DIR brings back a backup" in done.stdout
