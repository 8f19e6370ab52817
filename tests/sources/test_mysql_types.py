"""What MariaDB holds arrives in full: no date that is none becomes null, no number is cut, no boolean is made of a number."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pymysql
import pytest

from headwater.engine import Engine, describe_query
from headwater.errors import SourceDataInvalid, SourceReadFailed
from headwater.sources import ConnectorContext, CursorBound, ReadRequest, Scan, scan_ready
from headwater.sources.mysql import MySqlConnector, map_column
from headwater.spec.sources import Stream
from headwater.testing import read_rows
from services import mariadb_arguments, require_mariadb

#: Type, the literal in SQL, the type it arrives as, the type suggested for its text, the value as text.
VALUES = [
    ("tinyint(1)", "5", "TINYINT", None, "5"),
    ("tinyint unsigned", "255", "UTINYINT", None, "255"),
    ("smallint unsigned", "65535", "USMALLINT", None, "65535"),
    ("mediumint", "-8388608", "INTEGER", None, "-8388608"),
    ("int unsigned", "4294967295", "UINTEGER", None, "4294967295"),
    ("bigint", "-9223372036854775808", "BIGINT", None, "-9223372036854775808"),
    ("bigint unsigned", "18446744073709551615", "UBIGINT", None, "18446744073709551615"),
    ("int(5) unsigned zerofill", "42", "UINTEGER", None, "42"),
    ("decimal(10,2)", "-12345678.91", "DECIMAL(10,2)", None, "-12345678.91"),
    ("decimal(65,30)", "12345678901234567890123456789012345.123456789012345678901234567890", "VARCHAR", None, None),
    ("float", "1.1", "FLOAT", None, "1.1"),
    ("double", "0.1", "DOUBLE", None, "0.1"),
    ("date", "'2024-02-29'", "VARCHAR", "DATE", "2024-02-29"),
    ("date", "'0000-00-00'", "VARCHAR", "DATE", "0000-00-00"),
    ("date", "'2024-00-15'", "VARCHAR", "DATE", "2024-00-15"),
    ("datetime(6)", "'2024-01-02 03:04:05.123456'", "VARCHAR", "TIMESTAMP", "2024-01-02 03:04:05.123456"),
    ("datetime", "'0000-00-00 00:00:00'", "VARCHAR", "TIMESTAMP", "0000-00-00 00:00:00"),
    ("timestamp(3)", "'2024-06-01 12:00:00.5'", "VARCHAR", "TIMESTAMP WITH TIME ZONE", "2024-06-01 10:00:00.500+00"),
    ("time(2)", "'-838:59:59.00'", "VARCHAR", None, "-838:59:59"),
    ("year", "2024", "INTEGER", None, "2024"),
    ("enum('a','b')", "'b'", "VARCHAR", None, "b"),
    ("set('x','y')", "'x,y'", "VARCHAR", None, "x,y"),
    ("json", """'{"a": 1}'""", "VARCHAR", None, '{"a": 1}'),
    ("bit(1)", "1", "BOOLEAN", None, "true"),
    ("bit(10)", "b'1010101010'", "UBIGINT", None, "682"),
    ("blob", "x'00ff'", "BLOB", None, "\\x00\\xFF"),
    ("binary(3)", "'ab'", "BLOB", None, "ab\\x00"),
    ("char(5)", "'ab'", "VARCHAR", None, "ab"),
    ("varchar(20) character set latin1", "'é'", "VARCHAR", None, "é"),
    ("varchar(20) collate utf8mb4_bin", "'é漢🙂'", "VARCHAR", None, "é漢🙂"),
    ("longtext", "'größe'", "VARCHAR", None, "größe"),
    ("point", "ST_GeomFromText('POINT(1 2)')", "VARCHAR", None, "POINT(1 2)"),
    ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "VARCHAR", None, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("inet6", "'::1'", "VARCHAR", None, "::1"),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server, name = require_mariadb(), f"hw_{uuid.uuid4().hex[:12]}"
    connection = pymysql.connect(**mariadb_arguments(server), autocommit=True, charset="utf8mb4")
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        cursor.execute(f"USE {name}")
        cursor.execute("SET sql_mode = '', time_zone = '+02:00'")
        columns = ", ".join(f"v{number} {value[0]} NULL" for number, value in enumerate(VALUES))
        cursor.execute(f"CREATE TABLE every (id int PRIMARY KEY, {columns})")
        cursor.execute("INSERT INTO every (id) VALUES (1)")
        cursor.execute(f"INSERT INTO every VALUES (2, {', '.join(value[1] for value in VALUES)})")
        cursor.execute("CREATE TABLE `odd.``name` (`a b` int PRIMARY KEY, `c``d` text)")
        cursor.execute("INSERT INTO `odd.``name` VALUES (1, 'x')")
        yield server.rpartition("/")[0] + "/" + name
        cursor.execute(f"DROP DATABASE {name}")
    connection.close()


@pytest.fixture
def mysql(tmp_path: Path, url: str) -> Iterator[MySqlConnector]:
    connector = MySqlConnector(ConnectorContext("shop", tmp_path, connection=url))
    yield connector
    connector.close()


def request(cursor: CursorBound | None = None, **stream: Any) -> ReadRequest:
    return ReadRequest("things", Stream.model_validate(stream), cursor=cursor)


def test_every_type_arrives_in_full(mysql: MySqlConnector) -> None:
    [portion] = mysql.read(request(table="every")).portions
    assert isinstance(portion.data, Scan)
    with Engine(extensions=["mysql_scanner"]) as engine, engine.connection() as connection, scan_ready(connection, portion.data) as sql:
        types = {column.name: column.type for column in describe_query(connection, sql)}
        nulls, values = connection.execute(f"SELECT COLUMNS(* EXCLUDE id)::VARCHAR FROM ({sql}) ORDER BY id").fetchall()
    # a timestamp's null gets the time of the insert from the server
    assert {value for value, (kind, *_) in zip(nulls, VALUES, strict=True) if not kind.startswith("timestamp")} == {None}
    for number, (kind, literal, type_name, suggested, text) in enumerate(VALUES):
        assert (types[f"v{number}"], values[number]) == (type_name, literal if text is None else text), kind
        assert portion.data.suggested_types.get(f"v{number}") == suggested, kind


def test_the_reader_alone_would_break_off_at_a_date_that_is_none(url: str) -> None:
    """When this fails the reader has changed, and dates need no longer come as text."""
    from headwater.errors import HeadwaterError

    number = [value[:2] for value in VALUES].index(("date", "'2024-00-15'"))
    with Engine(extensions=["mysql_scanner"]) as engine, engine.connection() as connection:
        connection.load("mysql_scanner")
        connection.execute(f"ATTACH '{url}' AS bare (TYPE mysql, READ_ONLY)")
        with pytest.raises(HeadwaterError):
            connection.execute(f"SELECT v{number} FROM bare.{url.rpartition('/')[2]}.every").fetchall()


def test_names_with_blanks_dots_and_quotes_are_read(mysql: MySqlConnector) -> None:
    rows = read_rows(mysql.read(request(table='"odd.`name"', cursor=CursorBound("a b", start=1))))
    assert rows == [{"a b": 1, "c`d": "x"}]
    found = {stream.definition["table"]: stream for stream in mysql.discover()}
    assert found['"odd.`name"'].primary_key == ("a b",)


def test_a_query_gives_its_dates_as_text(mysql: MySqlConnector) -> None:
    rows = read_rows(mysql.read(request(query="SELECT id, v13 AS d FROM every WHERE id = 2 -- done")), cast=False)
    assert rows == [{"id": 2, "d": "0000-00-00"}]


@pytest.mark.parametrize("query", ["DELETE FROM every", "DELETE FROM every RETURNING id", "INSERT INTO every (id) VALUES (5) RETURNING id"])
def test_a_query_that_writes_is_refused(mysql: MySqlConnector, query: str) -> None:
    with pytest.raises(SourceDataInvalid, match="doesn't read"):
        mysql.read(request(query=query))
    assert len(read_rows(mysql.read(request(table="every", select=["id"])))) == 2


def test_a_statement_that_takes_too_long_is_ended(url: str, tmp_path: Path) -> None:
    connector = MySqlConnector(ConnectorContext("shop", tmp_path, connection=url, statement_timeout=timedelta(milliseconds=200)))
    with pytest.raises(SourceReadFailed, match="statement timeout"):
        read_rows(connector.read(request(query="SELECT id, sleep(5) AS s FROM every")))
    assert len(read_rows(connector.read(request(table="every", select=["id"])))) == 2
    connector.close()


def test_a_password_may_hold_anything(url: str, tmp_path: Path) -> None:
    arguments = mariadb_arguments(url)
    server = pymysql.connect(**arguments, autocommit=True)
    user, password = f"hw_{uuid.uuid4().hex[:8]}", "p@ss:w/ord?#% '\""
    with server.cursor() as cursor:
        cursor.execute("CREATE USER %s@'%%' IDENTIFIED BY %s", (user, password))
        cursor.execute(f"GRANT SELECT ON {arguments['database']}.* TO %s@'%%'", (user,))
        try:
            connection = {**arguments, "user": user, "password": password}
            connector = MySqlConnector(ConnectorContext("shop", tmp_path, connection=connection))
            assert "tables readable" in connector.check()
            connector.close()
        finally:
            cursor.execute("DROP USER %s@'%%'", (user,))
    server.close()


def test_a_mysql_server_is_told_its_timeout_by_a_hint(tmp_path: Path) -> None:
    connector = MySqlConnector(ConnectorContext("shop", tmp_path, connection="mysql://h/d", statement_timeout=timedelta(seconds=2)))
    connector._is_mariadb = False
    assert connector.limited("SELECT 1") == "SELECT /*+ MAX_EXECUTION_TIME(2000) */ 1"


def test_types_of_mysql_alone_are_mapped() -> None:
    assert map_column("v", "geomcollection", "geomcollection", True).server == "ST_AsText({})"
    assert map_column("v", "vector", "vector(3)", True).server == "CAST({} AS CHAR)"
