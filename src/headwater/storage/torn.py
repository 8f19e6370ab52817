"""A catalog that DuckLake can't read any more: seen by asking the catalog's own database, since no lake can be attached then."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from headwater.errors import LakeUnavailable
from headwater.spec.names import ColumnName, TableName, quote
from headwater.spec.project import LakeConfig
from headwater.storage.catalog import CatalogAddress

_SQL: Final = """
SELECT s.schema_name, t.table_name, c.column_name, max(c.begin_snapshot)
FROM {prefix}ducklake_column c
JOIN {prefix}ducklake_table t ON t.table_id = c.table_id AND t.end_snapshot IS NULL
JOIN {prefix}ducklake_schema s ON s.schema_id = t.schema_id AND s.end_snapshot IS NULL
WHERE c.end_snapshot IS NULL
    AND c.column_type IN ('list', 'struct', 'map')
    AND NOT EXISTS (SELECT 1 FROM {prefix}ducklake_column f WHERE f.table_id = c.table_id AND f.parent_column = c.column_id)
GROUP BY s.schema_name, t.table_name, c.column_name
ORDER BY 4, 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class TornColumn:
    """A nested column of whose fields the catalog knows nothing, and the snapshot that made it so. Early builds of Headwater made such a commit when
    a rebuild turned a column into a list, a struct or a map; nothing of the lake can be read after it."""

    column: ColumnName
    snapshot_id: int


def torn_columns(config: LakeConfig, project_dir: Path) -> list[TornColumn]:
    """The columns for which DuckLake can't read a catalog, the oldest first; none in a sound one. `config` has its references resolved.

    Raises LakeUnavailable, MissingDependency.
    """
    address = CatalogAddress.parse(config, project_dir)
    return [TornColumn(ColumnName(TableName(str(row[0]), str(row[1])), str(row[2])), int(row[3])) for row in _ask(address)]


def _ask(address: CatalogAddress) -> list[Any]:
    if address.path is None:
        with address.psycopg() as connection:
            return connection.execute(_SQL.format(prefix=f"{quote(address.schema)}.").encode()).fetchall()  # bytes: made of no one's words
    try:
        with closing(sqlite3.connect(address.path, timeout=5)) as connection:
            return connection.execute(_SQL.format(prefix="")).fetchall()
    except sqlite3.Error as error:
        raise LakeUnavailable("the lake's catalog can't be read", expected=address.describe(), found=type(error).__name__) from None
