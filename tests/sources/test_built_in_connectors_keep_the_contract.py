"""Every connector of ours runs the public suite, over a system that holds the known rows."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pymysql
import pytest

from headwater.engine import Engine
from headwater.sources import ConnectorContext
from headwater.sources.duckdb import DuckDbConnector
from headwater.sources.files import FilesConnector
from headwater.sources.mysql import MySqlConnector
from headwater.sources.postgres import PostgresConnector
from headwater.sources.python import PythonConnector
from headwater.sources.sqlite import SqliteConnector
from headwater.spec.sources import Stream
from headwater.testing import KNOWN_ROWS, ConnectorContract, FakeSource
from services import mariadb_arguments, require_mariadb, require_postgres

SECRET = "hunter22-never-shown"


def known_table() -> pa.Table:
    types = {"id": pa.int64(), "amount": pa.decimal128(12, 2), "ratio": pa.float64(), "happened_at": pa.timestamp("us")}
    return pa.table({name: pa.array([row[name] for row in KNOWN_ROWS], types.get(name)) for name in KNOWN_ROWS[0]})


class FilesContract(ConnectorContract):
    connector = FilesConnector
    file = "data/things.csv"

    def context(self, directory: Path) -> ConnectorContext:
        path = directory / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        self.write(path)
        return ConnectorContext("stuff", directory, temp_dir=directory / "temp")

    def write(self, path: Path) -> None:
        raise NotImplementedError

    def stream(self, **changes: Any) -> Stream:
        return Stream.model_validate({"path": self.file, **changes})

    def missing_stream(self) -> Stream:
        return Stream.model_validate({"path": "data/nonesuch.csv"})


class TestCsvFiles(FilesContract):
    loose_columns = ("amount",)

    def write(self, path: Path) -> None:
        with Engine() as engine, engine.connection() as connection:
            connection.register("things", known_table())
            connection.execute(f"COPY things TO '{path}' (HEADER)")


class TestZippedCsvFiles(TestCsvFiles):
    file = "data/things.zip"

    def write(self, path: Path) -> None:
        import zipfile

        plain = path.with_suffix(".csv")
        super().write(plain)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(plain, "inner/things.csv")
        plain.unlink()

    discovers = False  # the name of an archive doesn't tell what is in it


class TestNdjsonFiles(FilesContract):
    file = "data/things.ndjson.gz"
    loose_columns = ("amount",)

    def write(self, path: Path) -> None:
        with Engine() as engine, engine.connection() as connection:
            connection.register("things", known_table())
            connection.execute(f"COPY things TO '{path}' (FORMAT json, COMPRESSION gzip)")


class TestJsonFiles(FilesContract):
    file = "data/things.json"
    loose_columns = ("amount",)

    def write(self, path: Path) -> None:
        with Engine() as engine, engine.connection() as connection:
            connection.register("things", known_table())
            connection.execute(f"COPY things TO '{path}' (FORMAT json, ARRAY true)")


class TestParquetFiles(FilesContract):
    file = "data/things.parquet"

    def write(self, path: Path) -> None:
        pq.write_table(known_table(), path)


class TestExcelFiles(FilesContract):
    file = "data/things.xlsx"
    loose_columns = ("id", "amount", "ratio", "happened_at")

    def write(self, path: Path) -> None:
        import openpyxl

        book = openpyxl.Workbook()
        sheet = book.active
        assert sheet is not None
        sheet.append(list(KNOWN_ROWS[0]))
        for row in KNOWN_ROWS:
            # a workbook knows doubles only, and writes numbers past 2**53 as such
            sheet.append([str(value) if name == "id" else value for name, value in row.items()])
        book.save(path)


class TestDuckDbFile(ConnectorContract):
    connector = DuckDbConnector

    def context(self, directory: Path) -> ConnectorContext:
        with Engine() as engine, engine.connection() as connection:
            connection.register("known", known_table())
            connection.execute(f"ATTACH '{directory / 'things.duckdb'}' AS made")
            connection.execute("CREATE TABLE made.things AS FROM known")
            connection.execute("DETACH made")
        return ConnectorContext("stuff", directory, connection="things.duckdb")

    def stream(self, **changes: Any) -> Stream:
        return Stream.model_validate({"table": "things", **changes})

    def missing_stream(self) -> Stream:
        return Stream.model_validate({"table": "nonesuch"})


class TestSqliteFile(ConnectorContract):
    connector = SqliteConnector
    loose_columns = ("amount",)

    def context(self, directory: Path) -> ConnectorContext:
        with sqlite3.connect(directory / "things.db") as connection:
            connection.execute(
                "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT, amount DECIMAL(12,2), ratio REAL, is_open BOOLEAN, happened_at DATETIME)"
            )
            for row in KNOWN_ROWS:
                values = [str(value) if name in ("amount", "happened_at") and value is not None else value for name, value in row.items()]
                connection.execute("INSERT INTO things VALUES (?, ?, ?, ?, ?, ?)", values)
        connection.close()
        return ConnectorContext("stuff", directory, connection="things.db")

    def stream(self, **changes: Any) -> Stream:
        return Stream.model_validate({"table": "things", **changes})

    def missing_stream(self) -> Stream:
        return Stream.model_validate({"table": "nonesuch"})


@pytest.fixture(scope="module")
def postgres_things() -> Iterator[tuple[str, str]]:
    """A schema that holds the known rows: the URL and its name."""
    url, schema = require_postgres(), f"hw_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        connection.execute(
            f"CREATE TABLE {schema}.things"
            " (id bigint PRIMARY KEY, name text, amount numeric(12,2), ratio double precision, is_open boolean, happened_at timestamp)"
        )
        with connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {schema}.things VALUES (%s, %s, %s, %s, %s, %s)", [tuple(row.values()) for row in KNOWN_ROWS])
        yield url, schema
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


class TestPostgres(ConnectorContract):
    connector = PostgresConnector
    secret = SECRET

    @pytest.fixture(autouse=True)
    def filled(self, postgres_things: tuple[str, str]) -> None:
        self.url, self.schema = postgres_things

    def context(self, directory: Path) -> ConnectorContext:
        return ConnectorContext("stuff", directory, connection=self.url, options={"schemas": self.schema})

    def stream(self, **changes: Any) -> Stream:
        return Stream.model_validate({"table": f"{self.schema}.things", **changes})

    def missing_stream(self) -> Stream:
        return Stream.model_validate({"table": f"{self.schema}.nonesuch"})

    def broken_context(self, directory: Path) -> ConnectorContext:
        return ConnectorContext("stuff", directory, connection=f"postgresql://someone:{SECRET}@127.0.0.1:1/nowhere")


class TestPostgresByQuery(TestPostgres):
    def stream(self, **changes: Any) -> Stream:
        return Stream.model_validate({"query": f"SELECT * FROM {self.schema}.things;", **changes})

    def missing_stream(self) -> Stream:
        return Stream.model_validate({"query": f"SELECT * FROM {self.schema}.nonesuch"})

    def broken_context(self, directory: Path) -> ConnectorContext:
        return ConnectorContext(
            "stuff", directory, connection={"host": "127.0.0.1", "port": 1, "user": "someone", "password": SECRET, "database": "x"}
        )


class TestPostgresInRanges(TestPostgresByQuery):
    def stream(self, **changes: Any) -> Stream:
        return super().stream(parallel={"column": "id", "parts": 3}, **changes)


@pytest.fixture(scope="module")
def mariadb_things() -> Iterator[str]:
    """A database that holds the known rows: its URL."""
    url, database = require_mariadb(), f"hw_{uuid.uuid4().hex[:12]}"
    connection = pymysql.connect(**mariadb_arguments(url), autocommit=True, charset="utf8mb4")
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {database} CHARACTER SET utf8mb4")
        cursor.execute(
            f"CREATE TABLE {database}.things"
            " (id bigint PRIMARY KEY, name text, amount decimal(12,2), ratio double, is_open boolean, happened_at datetime)"
        )
        cursor.executemany(f"INSERT INTO {database}.things VALUES (%s, %s, %s, %s, %s, %s)", [tuple(row.values()) for row in KNOWN_ROWS])
        yield url.rpartition("/")[0] + "/" + database
        cursor.execute(f"DROP DATABASE {database}")
    connection.close()


class TestMySql(ConnectorContract):
    connector = MySqlConnector
    secret = SECRET
    loose_columns = ("is_open",)  # a boolean is a tinyint(1)

    @pytest.fixture(autouse=True)
    def filled(self, mariadb_things: str) -> None:
        self.url = mariadb_things

    def context(self, directory: Path) -> ConnectorContext:
        return ConnectorContext("stuff", directory, connection=self.url)

    def stream(self, **changes: Any) -> Stream:
        return Stream.model_validate({"table": "things", **changes})

    def missing_stream(self) -> Stream:
        return Stream.model_validate({"table": "nonesuch"})

    def broken_context(self, directory: Path) -> ConnectorContext:
        return ConnectorContext("stuff", directory, connection=f"mysql://root:{SECRET}@127.0.0.1:1/nowhere")


class TestMySqlInRanges(TestMySql):
    def stream(self, **changes: Any) -> Stream:
        return super().stream(parallel={"column": "id", "parts": 3}, **changes)


FUNCTION = """
import pickle
from pathlib import Path

ROWS = pickle.loads((Path(__file__).parent / "rows.pickle").read_bytes())


def things():
    yield ROWS[0]
    yield ROWS[1:3]
    yield from ROWS[3:]
"""


class TestPythonFunction(ConnectorContract):
    connector = PythonConnector

    def context(self, directory: Path) -> ConnectorContext:
        import pickle

        (directory / "rows.pickle").write_bytes(pickle.dumps(list(KNOWN_ROWS)))
        (directory / "feed.py").write_text(FUNCTION)
        return ConnectorContext("stuff", directory, connection="feed.py")

    def stream(self, **changes: Any) -> Stream:
        return Stream.model_validate({"function": "feed.py:things", **changes})

    def missing_stream(self) -> Stream:
        return Stream.model_validate({"function": "feed.py:nonesuch"})

    def pushes_cursor(self) -> bool:
        return False


class TestFakeSource(ConnectorContract):
    connector = FakeSource

    def context(self, directory: Path) -> ConnectorContext:
        return ConnectorContext("stuff", directory, options={"tables": {"things": KNOWN_ROWS}})

    def stream(self, **changes: Any) -> Stream:
        return Stream.model_validate({"table": "things", **changes})

    def missing_stream(self) -> Stream:
        return Stream.model_validate({"table": "nonesuch"})

    def pushes_cursor(self) -> bool:
        return True
