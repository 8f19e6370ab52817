"""Which columns a database destination takes: every value as it is, or the column is refused by its name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from places import Place, mysql_place, postgres_place

from headwater.destinations.destination import Batch, Column, DestinationContext, Shape
from headwater.destinations.files import FilesDestination
from headwater.destinations.mysql import MySqlDestination
from headwater.destinations.postgres import PostgresDestination
from headwater.errors import DestinationRefused
from headwater.spec.exports import TARGETS

KINDS: dict[str, tuple[Callable[[str], AbstractContextManager[Place]], type[Any]]] = {
    "postgres": (postgres_place, PostgresDestination),
    "mysql": (mysql_place, MySqlDestination),
}


def opened(kind: str, place: Place, **options: Any) -> Any:
    given = TARGETS[kind].model_validate({**place.options, **options}).model_dump()
    return KINDS[kind][1](DestinationContext("things", Path(), given))


def shape(*columns: tuple[str, str], key: tuple[str, ...] = ("id",)) -> Shape:
    return Shape((Column("id", "BIGINT"), *(Column(*column) for column in columns)), key)


def batch(shape: Shape, *rows: tuple[str | None, ...]) -> Batch:
    table = pa.table({f"c{index}": pa.array(column, pa.string()) for index, column in enumerate(zip(*rows, strict=True))})
    return Batch("b", tuple("r" * len(rows)), 0, "1", ("insert",) * len(rows), shape.columns, table)


TAKEN = [
    ("postgres", "SMALLINT", "bigint", "-5"),
    ("postgres", "BIGINT", "numeric(20,0)", "9007199254740993"),
    ("postgres", "BIGINT", "text", "7"),
    ("postgres", "UBIGINT", "numeric", "18446744073709551615"),
    ("postgres", "DECIMAL(12,2)", "numeric(14,3)", "1.25"),
    ("postgres", "DECIMAL(38,0)", "numeric", "9" * 38),
    ("postgres", "DOUBLE", "double precision", "0.1"),
    ("postgres", "DOUBLE", "double precision", "nan"),
    ("postgres", "FLOAT", "real", "1.5"),
    ("postgres", "BOOLEAN", "boolean", "true"),
    ("postgres", "VARCHAR", "varchar(20)", "x"),
    ("postgres", "JSON", "jsonb", '{"a": [1, null]}'),
    ("postgres", "UUID", "uuid", "00000000-0000-0000-0000-000000000001"),
    ("postgres", "DATE", "date", "0044-03-15 (BC)"),
    ("postgres", "TIME", "time", "01:02:03.000004"),
    ("postgres", "TIMESTAMP", "timestamp", "2024-01-01 10:00:00.123456"),
    ("postgres", "TIMESTAMP WITH TIME ZONE", "timestamptz", "2024-01-01 10:00:00+00"),
    ("postgres", "BLOB", "bytea", "00ff5c"),
    ("mysql", "BIGINT", "bigint", "9007199254740993"),
    ("mysql", "UBIGINT", "bigint unsigned", "18446744073709551615"),
    ("mysql", "DECIMAL(12,2)", "decimal(14,3)", "1.25"),
    ("mysql", "DOUBLE", "double", "0.1"),
    ("mysql", "BOOLEAN", "tinyint(1)", "true"),
    ("mysql", "VARCHAR", "varchar(20)", "100% `q` \\ 漢"),
    ("mysql", "JSON", "json", '{"a": 1}'),
    ("mysql", "DATE", "date", "2024-02-29"),
    ("mysql", "TIME", "time(6)", "01:02:03.000004"),
    ("mysql", "TIMESTAMP", "datetime(6)", "2024-01-01 10:00:00.123456"),
    ("mysql", "TIMESTAMP WITH TIME ZONE", "timestamp(6) NULL", "2024-01-01 10:00:00+00"),
    ("mysql", "BLOB", "longblob", "00ff5c"),
]


@pytest.mark.parametrize(("kind", "given", "there", "value"), TAKEN)
def test_a_column_that_holds_it_is_written(kind: str, given: str, there: str, value: str) -> None:
    with KINDS[kind][0](f"id bigint PRIMARY KEY, v {there}") as place:
        destination = opened(kind, place)
        wanted = shape(("v", given))
        destination.prepare(wanted)
        for _ in range(2):
            assert destination.send(batch(wanted, ("1", value), ("2", None))).because is None
        destination.close()
        if "BC" not in value:  # the driver's own dates end at the year 1
            assert len(place.read()) == 2
        else:
            assert place.extra.execute(f"SELECT v::text FROM {place.options['table']} WHERE id = 1").fetchone() == ("0044-03-15 BC",)


REFUSED = [
    ("postgres", "BIGINT", "double precision"),
    ("postgres", "DECIMAL(12,3)", "numeric(12,2)"),
    ("postgres", "DECIMAL(12,2)", "double precision"),
    ("postgres", "DOUBLE", "real"),
    ("postgres", "DOUBLE", "integer"),
    ("postgres", "VARCHAR", "integer"),
    ("postgres", "VARCHAR", "char(10)"),
    ("postgres", "TIMESTAMP", "timestamptz"),
    ("postgres", "TIMESTAMP", "timestamp(0)"),
    ("postgres", "TIMESTAMP WITH TIME ZONE", "timestamp"),
    ("postgres", "TIMESTAMP", "date"),
    ("postgres", "BLOB", "text"),
    ("postgres", "INTEGER[]", "integer[]"),
    ("postgres", "STRUCT(a INTEGER)", "jsonb"),
    ("postgres", "INTERVAL", "interval"),
    ("mysql", "BIGINT", "double"),
    ("mysql", "DECIMAL(12,3)", "decimal(12,2)"),
    ("mysql", "TIMESTAMP", "datetime"),
    ("mysql", "TIMESTAMP WITH TIME ZONE", "datetime(6)"),
    ("mysql", "DOUBLE", "float"),
    ("mysql", "BLOB", "longtext"),
    ("mysql", "INTEGER[]", "json"),
]


@pytest.mark.parametrize(("kind", "given", "there"), REFUSED)
def test_a_column_that_would_change_it_is_refused_by_name(kind: str, given: str, there: str) -> None:
    with KINDS[kind][0](f"id bigint PRIMARY KEY, v {there}") as place:
        destination = opened(kind, place)
        with pytest.raises(DestinationRefused, match="can't hold the column v") as caught:
            destination.prepare(shape(("v", given)))
        assert given in caught.value.what
        destination.close()


@pytest.mark.parametrize("kind", list(KINDS))
def test_columns_keys_and_tables_that_are_missing_are_named(kind: str) -> None:
    with KINDS[kind][0]("id bigint, other int, UNIQUE (id, other)") as place:
        destination = opened(kind, place)
        with pytest.raises(DestinationRefused, match="has no column v"):
            destination.prepare(shape(("v", "BIGINT")))
        with pytest.raises(DestinationRefused, match="has no unique index on id") as caught:
            destination.prepare(shape(("other", "INTEGER")))
        assert "UNIQUE" in str(caught.value.hint)
        destination.prepare(shape(("other", "INTEGER"), key=("other", "id")))
        destination.close()
        missing = opened(kind, place, table=place.options["table"] + "_nonesuch")
        with pytest.raises(DestinationRefused, match="there is no table"):
            missing.prepare(shape())
        missing.close()


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_table_that_is_made_takes_what_comes(kind: str) -> None:
    made = [(f"c{index}", given) for index, (one, given, _, _) in enumerate(TAKEN) if one == kind]
    with KINDS[kind][0]("id bigint") as place:
        table = place.options["table"] + "_made"
        try:
            for _ in range(2):
                destination = opened(kind, place, table=table, create=True)
                wanted = shape(*made)
                destination.prepare(wanted)
                values = [value.removesuffix(" (BC)") for one, _, _, value in TAKEN if one == kind]
                assert destination.send(batch(wanted, ("1", *values))).because is None
                destination.close()
            broken = opened(kind, place, table=table + "2", create=True)
            with pytest.raises(DestinationRefused, match="can't hold the column l"):
                broken.prepare(shape(("l", "INTEGER[]")), dry_run=True)
            broken.close()
        finally:
            with place.extra.cursor() as cursor:
                cursor.execute(f"DROP TABLE IF EXISTS {table}")


def test_parquet_has_no_place_for_intervals(tmp_path: Path) -> None:
    destination = FilesDestination(DestinationContext("things", tmp_path, {"path": "out", "format": "parquet"}))
    with pytest.raises(DestinationRefused, match="can't hold the column v"):
        destination.prepare(shape(("v", "INTERVAL")))
