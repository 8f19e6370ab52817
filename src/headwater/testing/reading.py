"""Running a reading from beginning to end, as a load would, into plain rows."""

from __future__ import annotations

from typing import Any

from headwater.engine import Engine, describe_query
from headwater.sources.connector import Reading, Scan
from headwater.sources.running import scan_ready
from headwater.spec.names import FILE_COLUMN, quote

_TECHNICAL = (FILE_COLUMN, "_hw_position")


def engine_for(*readings: Reading) -> Engine:
    """An engine with the extensions that the readings' scans ask for: loaded when it is made, they take no time."""
    scans = [portion.data for reading in readings for portion in reading.portions if isinstance(portion.data, Scan)]
    return Engine(extensions=[*dict.fromkeys(extension for scan in scans for extension in scan.extensions)])


def read_rows(reading: Reading, *, keep_technical: bool = False, cast: bool = True) -> list[dict[str, Any]]:
    """All rows of a reading, portion by portion, text cast to the suggested types (not with `cast=False`).

    Raises what a load would: SourceErrors, and SqlDataError for text that isn't what was suggested. Leaves nothing attached.
    """
    rows: list[dict[str, Any]] = []
    with engine_for(reading) as engine, engine.connection() as connection:
        for portion in reading.portions:
            if not isinstance(portion.data, Scan):
                for batch in portion.data.open():
                    rows.extend(batch.to_pylist())
                continue
            with scan_ready(connection, portion.data) as sql:
                items = []
                for column in describe_query(connection, sql):
                    aim = portion.data.suggested_types.get(column.name)
                    items.append(f"CAST({quote(column.name)} AS {aim}) AS {quote(column.name)}" if aim and cast else quote(column.name))
                result = connection.execute(f"SELECT {', '.join(items)} FROM ({sql})")
                names = result.columns
                rows.extend(dict(zip(names, row, strict=True)) for row in result.fetchall())
    if keep_technical:
        return rows
    return [{name: value for name, value in row.items() if name not in _TECHNICAL} for row in rows]


def read_rejects(reading: Reading) -> list[tuple[str, str, str]]:
    """What the readers had to leave out of a reading: (raw line, reason, position), in order of position."""
    rejects: list[tuple[str, str, str]] = []
    with engine_for(reading) as engine, engine.connection() as connection:
        for portion in reading.portions:
            if isinstance(portion.data, Scan) and portion.data.rejects_sql is not None:
                with scan_ready(connection, portion.data) as sql:
                    connection.execute(sql).fetchall()
                    rejects.extend(connection.execute(portion.data.rejects_sql).fetchall())
    return sorted(rejects, key=lambda reject: reject[2])


def attached_databases(engine: Engine) -> set[str]:
    """Names of the databases an engine has attached, and of its secrets: what a scan must take down again."""
    with engine.connection() as connection:
        databases = connection.execute("SELECT database_name FROM duckdb_databases()").fetchall()
        secrets = connection.execute("SELECT name FROM duckdb_secrets()").fetchall()
    return {row[0] for row in (*databases, *secrets)}
