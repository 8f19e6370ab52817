"""What quick commands ask of a store, asked of SQLite itself: SQLAlchemy alone would take as long as all the rest of them.

Makes and changes nothing. None where only the store itself can answer: it is in Postgres, isn't there yet, is of another version, or can't be read.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from headwater.spec.names import TableName
from headwater.spec.runs import TaskResult
from headwater.state.address import VERSION, is_postgres, sqlite_path
from headwater.state.rows import LAST_RESULTS, read_results

_PATIENCE_SECONDS = 20.0


def glance_at_results(url: str, project_dir: Path, environment: str) -> dict[TableName, tuple[str, TaskResult]] | None:
    """`StateStore.last_results` of the store at `url`."""
    rows = _rows(url, project_dir, LAST_RESULTS, {"environment": environment})
    return None if rows is None else read_results(row | {"verdicts": json.loads(row["verdicts"])} for row in rows)


def glance_for_users(url: str, project_dir: Path) -> bool | None:
    """Whether the store at `url` knows any user."""
    rows = _rows(url, project_dir, "SELECT 1 FROM users LIMIT 1", {})
    return None if rows is None else bool(rows)


def _rows(url: str, project_dir: Path, query: str, parameters: Mapping[str, str]) -> list[dict[str, Any]] | None:
    if is_postgres(url):
        return None
    address = f"file:{quote(str(sqlite_path(url, project_dir)))}?mode=rw"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE_SECONDS, isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            if found is None or found["version_num"] != VERSION:
                return None
            return [dict(row) for row in connection.execute(query, parameters)]
    except sqlite3.Error:
        return None
