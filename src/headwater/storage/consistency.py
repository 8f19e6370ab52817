"""Whether catalog, system tables and files fit together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headwater.engine import Connection
from headwater.spec.names import EXPORTS_SCHEMA, SYSTEM_SCHEMA, TableName, quote
from headwater.storage.changes import NEVER_PUBLISHED
from headwater.storage.core import Core
from headwater.storage.files import FILES_SQL, LakeFile, files_of
from headwater.storage.state import LakeState


@dataclass(frozen=True, slots=True)
class Inconsistency:
    """One thing that doesn't fit. `rule` is stable: `missing-file`, `file-size`, `file-twice`, `outside-path`, `plain-file`, `missing-table`,
    `unknown-table`, `columns-differ`, `missing-snapshot`, `narrow-statistics`."""

    rule: Literal[
        "missing-file",
        "file-size",
        "file-twice",
        "outside-path",
        "plain-file",
        "missing-table",
        "unknown-table",
        "columns-differ",
        "missing-snapshot",
        "narrow-statistics",
    ]
    message: str
    table: TableName | None = None


def check_consistency(core: Core, *, files: bool) -> list[Inconsistency]:
    """See `Lake.check_consistency`."""
    with core.reading() as (connection, base):
        state = core.state_on(connection, base)
        found = [*_check_tables(core, connection, state), *_check_pins(core, connection, state), *_check_statistics(core, connection)]
        found += _check_paths(core, files_of(connection.execute(FILES_SQL.format(meta=core.metadata + ".")).fetchall()), files=files)
    return found


def _check_paths(core: Core, all_files: list[LakeFile], *, files: bool) -> list[Inconsistency]:
    found: list[Inconsistency] = []
    seen: set[str] = set()
    for file in all_files:
        if file.path in seen:
            found.append(Inconsistency("file-twice", f"{file.path} stands in the catalog twice, so its rows are read twice"))
        seen.add(file.path)
        if not file.is_relative:
            found.append(Inconsistency("outside-path", f"{file.path} lies outside the data folder, so no backup holds it"))
        if core.is_encrypted and not file.is_encrypted:
            found.append(Inconsistency("plain-file", f"{file.path} is a plain file in an encrypted lake and can't be read"))
        if files and core.local_data is not None:
            path = core.local_data / file.path if file.is_relative else Path(file.path)
            if not path.exists():
                found.append(Inconsistency("missing-file", f"{file.path} is gone from the data folder"))
            elif path.stat().st_size != file.size_bytes:
                found.append(Inconsistency("file-size", f"{file.path} has {path.stat().st_size} bytes, and the catalog says {file.size_bytes}"))
    return found


def _check_tables(core: Core, connection: Connection, state: LakeState) -> list[Inconsistency]:
    found: list[Inconsistency] = []
    physical: dict[tuple[str, str], dict[str, str]] = {}
    names: dict[tuple[str, str], TableName] = {}
    for schema, table, column, type_name in connection.execute(
        "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() WHERE database_name = ? AND NOT internal",
        [core.database],
    ).fetchall():
        name = TableName(schema, table)
        if schema not in (SYSTEM_SCHEMA, EXPORTS_SCHEMA):
            physical.setdefault(name.key, {})[column.lower()] = type_name
            names[name.key] = name
    known = set()
    for name, table_state in state.tables.items():
        if table_state.definition.kind == "view" or not table_state.columns:
            continue
        known.add(name.key)
        columns = physical.get(name.key)
        if columns is None:
            found.append(Inconsistency("missing-table", f"{name} has a definition and no physical table", name))
        elif columns != {column.name.lower(): column.type for column in table_state.columns}:
            found.append(Inconsistency("columns-differ", f"the columns of {name} in the lake aren't those of headwater.columns", name))
    others = connection.execute(f"SELECT DISTINCT lower(schema_name), lower(table_name) FROM {core.system}.definitions").fetchall()
    for key in physical.keys() - known - {(row[0], row[1]) for row in others}:
        found.append(Inconsistency("unknown-table", f"{names[key]} is in the lake and nobody committed it through headwater", names[key]))
    return found


def _check_pins(core: Core, connection: Connection, state: LakeState) -> list[Inconsistency]:
    existing = {row[0] for row in connection.execute(f"SELECT snapshot_id FROM {quote(core.database)}.snapshots()").fetchall()}
    return [
        Inconsistency("missing-snapshot", f"{name} is published at snapshot {table_state.published_snapshot}, which has expired", name)
        for name, table_state in state.tables.items()
        if table_state.published_snapshot not in (None, NEVER_PUBLISHED) and table_state.published_snapshot not in existing
    ]


def _check_statistics(core: Core, connection: Connection) -> list[Inconsistency]:
    """Numeric columns whose table-wide minimum or maximum leaves out rows of a file: filters on them would lose those rows."""
    meta = core.metadata
    rows = connection.execute(
        f"""
        SELECT DISTINCT s.schema_name, t.table_name, c.column_name
        FROM {meta}.ducklake_file_column_stats f
        JOIN {meta}.ducklake_data_file d ON d.data_file_id = f.data_file_id
        JOIN {meta}.ducklake_table_column_stats w ON w.table_id = f.table_id AND w.column_id = f.column_id
        JOIN {meta}.ducklake_column c ON c.table_id = f.table_id AND c.column_id = f.column_id AND c.end_snapshot IS NULL
        JOIN {meta}.ducklake_table t ON t.table_id = f.table_id AND t.end_snapshot IS NULL
        JOIN {meta}.ducklake_schema s ON s.schema_id = t.schema_id AND s.end_snapshot IS NULL
        WHERE w.min_value IS NOT NULL AND w.max_value IS NOT NULL
            AND (TRY_CAST(f.min_value AS DECIMAL(38, 9)) < TRY_CAST(w.min_value AS DECIMAL(38, 9))
                OR TRY_CAST(f.max_value AS DECIMAL(38, 9)) > TRY_CAST(w.max_value AS DECIMAL(38, 9)))
        """
    ).fetchall()
    return [
        Inconsistency(
            "narrow-statistics",
            f"the statistics of {row[0]}.{row[1]}.{row[2]} leave rows out, and filters on it lose them",
            TableName(row[0], row[1]),
        )
        for row in rows
    ]
