"""DuckDB's extensions, from their PyPI wheels; nothing is installed into the home folder."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

import duckdb

from headwater.errors import MissingDependency

#: Extensions we load, and the extra that brings each.
EXTENSIONS: Final = {
    "ducklake": "the core",
    "sqlite_scanner": "the core",
    "httpfs": "the core",
    "postgres_scanner": "headwater[postgres]",
    "mysql_scanner": "headwater[mysql]",
    "excel": "headwater[excel]",
    "tpch": "headwater[bench]",
    "tpcds": "headwater[bench]",
}


def _file_of(name: str) -> Path | None:
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    if spec is None or not spec.submodule_search_locations:
        return None
    for folder in spec.submodule_search_locations:
        path = Path(folder) / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
        if path.exists():
            return path
    return None


def extension_available(name: str) -> bool:
    """Whether the wheel of extension `name` for this very DuckDB version is installed."""
    return _file_of(name) is not None


def load_extension(raw: duckdb.DuckDBPyConnection, name: str) -> None:
    """Loads `name` from its wheel; idempotent. Falls back to what the user has INSTALLed. Raises MissingDependency."""
    path = _file_of(name)
    try:
        raw.execute(f"LOAD '{path}'" if path else f"LOAD {name}")
        if name == "httpfs":
            # its way through curl verifies certificates by default; its other way, where there is no curl, must be told
            raw.execute("SET GLOBAL enable_server_cert_verification = true")
    except duckdb.Error as error:
        raise MissingDependency(
            f"DuckDB's extension {name} can't be loaded",
            expected=f"the wheel duckdb-extension-{name.replace('_', '-')}=={duckdb.__version__}",
            found=str(error).splitlines()[0],
            hint=f"pip install {EXTENSIONS.get(name, name)}",
        ) from error
