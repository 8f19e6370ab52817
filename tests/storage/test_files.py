"""Tables read straight from their files: what is seen is what the lake shows, whatever is committed, changed or tidied meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lakes import T, change, definition, load, make_place, put, query

from headwater.engine import Connection, Engine
from headwater.errors import TableNotFound
from headwater.security import MaskKeys, Principal
from headwater.spec.names import TableName
from headwater.spec.policies import Policies
from headwater.spec.tables import Column
from headwater.storage import Access, DeleteAll, DeleteKeys, DeleteWhere, Lake
from headwater.storage.gate.files import PlainFiles

_numbers = itertools.count(1)


def reader(*grants: dict[str, Any], masks: dict[str, Any] | None = None, version: str = "1") -> Access:
    policies = Policies.model_validate({"roles": {"r": {"grants": list(grants)}}, "masks": masks or {}, "version": version})
    return Access(Principal("ada", roles=frozenset({"r"})), policies, MaskKeys("k1", "k2", "k3"), datetime(2026, 6, 1, tzinfo=UTC))


EVERYTHING = reader({"select": "*"})


def seen(lake: Lake, sql: str = f"FROM {T.sql}", access: Access = EVERYTHING) -> list[tuple[Any, ...]]:
    return sorted(lake.read_as(access, sql).fetchall(), key=repr)


def files(lake: Lake, table: TableName = T) -> PlainFiles | None:
    """Those that the table is read from; None where DuckLake reads it."""
    state = lake.table_state(table)
    assert state is not None
    return lake._door.files.of(state, lake.head())


@contextmanager
def another_program(lake: Lake) -> Iterator[Connection]:
    """One that knows nothing of Headwater: small changes of its go into the catalog."""
    core = lake._core
    with Engine(extensions=("ducklake", "sqlite_scanner")) as engine, engine.connection() as connection:
        connection.execute(f"ATTACH 'ducklake:sqlite:{core.address.path}' AS lake (DATA_PATH '{core.address.data}', META_JOURNAL_MODE 'WAL')")
        yield connection
        connection.execute("USE memory; DETACH lake")


@pytest.fixture
def served(lake: Lake) -> Lake:
    lake.keep_connections()
    return lake


def test_a_table_of_plain_files_is_read_from_them_by_readers_and_by_the_owner(served: Lake) -> None:
    put(served, "SELECT i AS id, i * 2 AS n FROM range(5) t(i)")
    put(served, "SELECT i AS id, i * 2 AS n FROM range(5, 10) t(i)", as_files=True)
    found = files(served)
    assert found is not None
    assert len(found.paths) == 2
    rows = [(i, i * 2) for i in range(10)]
    assert seen(served) == seen(served, access=Access.owner()) == rows
    assert seen(served, f"SELECT n FROM {T.sql} WHERE id = 7") == [(14,)]
    Path(found.paths[1]).rename(f"{found.paths[1]}.away")
    Path(found.paths[0]).write_bytes(b"not Parquet")
    with pytest.raises(Exception, match="the query failed"):
        seen(served)


def test_lakes_that_nobody_serves_are_read_by_ducklake(lake: Lake) -> None:
    put(lake, "SELECT 1 AS id")
    assert files(lake) is None


def test_encrypted_lakes_and_those_in_postgres_are_read_by_ducklake(mixed_lake: Lake) -> None:
    mixed_lake.keep_connections()
    put(mixed_lake, "SELECT 1 AS id")
    assert files(mixed_lake) is None
    assert seen(mixed_lake) == [(1,)]


def test_the_same_plan_goes_on_while_other_tables_change(served: Lake) -> None:
    put(served, "SELECT 1 AS id")
    first = files(served)
    put(served, "SELECT 1 AS id", TableName("shop", "other"))
    assert files(served) == first
    assert seen(served) == [(1,)]


def test_deleted_rows_are_never_seen_again(served: Lake) -> None:
    put(served, "SELECT i AS id FROM range(100) t(i)")
    assert files(served) is not None
    put(served, None, delete=DeleteWhere("id = 7", ()))
    assert files(served) is None
    assert len(seen(served)) == 99
    put(served, "SELECT 1 AS id", delete=DeleteAll())
    assert files(served) is not None
    assert seen(served) == [(1,)]


def test_what_waits_or_was_taken_back_is_not_seen(served: Lake) -> None:
    first = put(served, "SELECT 1 AS id")
    assert seen(served) == [(1,)]
    put(served, "SELECT 2 AS id", publish="held")
    assert seen(served) == [(1,)]
    served.publish([T])
    assert seen(served) == [(1,), (2,)]
    served.pin([T], first, reason="wrong")
    assert seen(served) == [(1,)]
    assert files(served) is not None
    put(served, None, retire=True)
    with pytest.raises(TableNotFound):
        seen(served)


def test_columns_that_changed_since_a_file_was_written_are_ducklakes_to_know(served: Lake) -> None:
    put(served, "SELECT 1 AS id, 'a' AS mail, 'x' AS old")
    assert files(served) is not None
    put(served, "SELECT 2 AS id, 'b' AS email, 'y' AS old", renames={"mail": "email"})
    assert files(served) is None
    assert seen(served) == [(1, "a", "x"), (2, "b", "y")]
    columns = (Column("id", "BIGINT"), Column("email", "VARCHAR"), Column("old", "VARCHAR"))
    put(served, "SELECT 5000000000 AS id, 'c' AS email, 'z' AS old", columns=columns, delete=DeleteAll())
    assert seen(served) == [(5_000_000_000, "c", "z")]


def test_a_column_that_comes_back_under_the_name_of_a_dropped_one_is_empty_in_older_files(served: Lake) -> None:
    put(served, "SELECT 1 AS id, 'secret' AS note")
    put(served, "SELECT 2 AS id", allow_drop=True)
    assert seen(served) == [(1,), (2,)]
    put(served, "SELECT 3 AS id, 'new' AS note")
    assert files(served) is None
    assert seen(served) == [(1, None), (2, None), (3, "new")]


def test_masks_and_filters_hold_on_files(served: Lake) -> None:
    people = TableName("shop", "people")
    columns = (Column("id", "INTEGER"), Column("country", "VARCHAR"), Column("email", "VARCHAR", labels=("pii.email",)))
    put(served, "SELECT * FROM (VALUES (1, 'NO', 'ann@x.org'), (2, 'SE', 'bo@y.se')) t(id, country, email)", people, columns=columns)
    view = TableName("shop", "mails")
    by_view = definition("view", sql="SELECT email FROM shop.people", inputs=(people,))
    put(served, None, view, definition=by_view, load=load("view"), columns=(Column("email", "VARCHAR", labels=("pii.email",)),))
    assert files(served, people) is not None
    assert files(served, view) is None
    access = reader({"select": "shop.*", "where": "true"}, masks={"pii.email": "partial"})
    filtered = reader({"select": "shop.people", "where": "country = 'NO'"}, masks={"pii.email": "partial"}, version="2")
    assert seen(served, "SELECT email FROM shop.people", access) == [("a***@***.org",), ("b***@***.se",)]
    assert seen(served, "SELECT email FROM shop.mails", access) == [("a***@***.org",), ("b***@***.se",)]
    assert seen(served, "FROM shop.people", filtered) == [(1, "NO", "a***@***.org")]
    for hostile in ("SELECT filename FROM shop.people", "SELECT file_row_number FROM shop.people", "SELECT rowid FROM shop.people"):
        with pytest.raises(Exception, match=r".") as refused:
            seen(served, hostile, access)
        assert ".parquet" not in str(refused.value)


def test_folders_that_look_like_columns_are_none(served: Lake) -> None:
    put(served, "SELECT i AS id, i % 3 AS part FROM range(9) t(i)", definition=definition(body={"partition_by": ["part"]}), partition_by=("part",))
    put(served, "SELECT i AS id, i % 3 AS part FROM range(9, 18) t(i)", partition_by=("part",))
    assert sorted(seen(served)) == [(i, i % 3) for i in range(18)]


def test_rows_that_another_program_keeps_or_deletes_in_the_catalog_count(served: Lake) -> None:
    put(served, "SELECT i AS id FROM range(10) t(i)")
    assert files(served) is not None
    with another_program(served) as theirs:
        theirs.execute(f"DELETE FROM lake.{T.sql} WHERE id = 3")
    assert sorted(seen(served)) == sorted(query(served, f"FROM lake.{T.sql}")) == [(i,) for i in range(10) if i != 3]
    assert files(served) is None
    with another_program(served) as theirs:
        theirs.execute(f"INSERT INTO lake.{T.sql} VALUES (3), (11)")
    assert sorted(seen(served)) == sorted(query(served, f"FROM lake.{T.sql}")) == [(i,) for i in (*range(10), 11)]


def test_files_that_were_merged_and_removed_are_looked_for_anew(served: Lake) -> None:
    for number in range(8):
        put(served, f"SELECT {number} AS id", as_files=True)
    before = files(served)
    assert before is not None
    served.maintain(keep=timedelta(0), reader_grace=timedelta(0), orphan_grace=timedelta(0))
    assert not before.is_there
    assert seen(served) == [(i,) for i in range(8)]
    after = files(served)
    assert after is not None
    assert len(after.paths) == 1


def test_many_files_are_ducklakes_to_choose_from(served: Lake) -> None:
    for number in range(17):
        put(served, f"SELECT {number} AS id", as_files=True)
    assert files(served) is None
    assert len(seen(served)) == 17


@pytest.mark.parametrize(
    "value",
    [
        "i % 2 = 0",
        "i::TINYINT",
        "i::UBIGINT",
        "(i / 3)::DECIMAL(12, 2)",
        "i / 3",
        "TIMESTAMP '2024-01-01' + to_seconds(i)",
        "TIMESTAMPTZ '2024-01-01 00:00:00+02' + to_seconds(i)",
        "(TIMESTAMP '2024-01-01' + to_seconds(i))::TIMESTAMP_NS",
        "(TIMESTAMP '2024-01-01' + to_seconds(i))::TIMESTAMP_S",
        "DATE '2024-01-01' + i::INTEGER",
        "TIME '00:00:00' + to_seconds(i)",
        "to_days(i::INTEGER)",
        "md5(i::VARCHAR)::UUID",
        "[i, NULL, i + 1]",
        "{'a': i, 'b': ['x' || i]}",
        "MAP {'k' || i: i}",
        "encode('x' || i)",
        "('{\"a\": ' || i || '}')::JSON",
        "CASE WHEN i % 3 = 0 THEN NULL ELSE 'nan'::DOUBLE END",
    ],
)
def test_values_of_any_type_are_the_same(served: Lake, value: str) -> None:
    put(served, f"SELECT i AS id, {value} AS v FROM range(50) t(i)")
    put(served, f"SELECT i AS id, {value} AS v FROM range(50, 100) t(i)", as_files=True)
    listed = "SELECT id, v, typeof(v) FROM {}"
    assert repr(seen(served, listed.format(T.sql))) == repr(sorted(query(served, listed.format(f"lake.{T.sql}")), key=repr))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lake, Lake]]:
    """The same lake twice: its files read straight, and by DuckLake."""
    with make_place(tmp_path_factory.mktemp("pair"), "sqlite") as place:
        straight, other = place.open(), place.open()
        straight.keep_connections()
        yield straight, other


STEPS = (
    "append",
    "append",
    "replace",
    "delete",
    "keys",
    "later",
    "held",
    "publish",
    "rollback",
    "add",
    "rename",
    "drop",
    "widen",
    "maintain",
    "theirs",
)


@given(st.lists(st.sampled_from(STEPS), max_size=10))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_what_is_seen_is_what_ducklake_shows(pair: tuple[Lake, Lake], steps: list[str]) -> None:
    straight, other = pair
    name = TableName("s", f"t{next(_numbers)}")
    first = put(straight, "SELECT i AS id, i % 7 AS n, 'a' || i AS word FROM range(40) t(i)", name)
    for number, step in enumerate(steps, 1):
        _take_a_step(straight, name, step, number, first)
        for sql in ("FROM {}", "SELECT count(*), max(id) FROM {}", "SELECT * FROM {} WHERE id = 7", "SELECT id FROM {} WHERE id > 38"):
            text = sql.format(name.sql)
            assert seen(straight, text) == seen(other, text), steps[:number]


def _take_a_step(lake: Lake, name: TableName, step: str, number: int, first: int) -> None:
    state = lake.table_state(name)
    assert state is not None
    have = [column.name for column in state.columns]
    rows = ", ".join(f"({100 * number} + i)::{'BIGINT' if column.type == 'BIGINT' else 'INTEGER'} AS {column.name}" if column.type != "VARCHAR"
        else f"'{step}' AS {column.name}" for column in state.columns)  # fmt: skip
    insert = f"SELECT {rows} FROM range(5) t(i)"
    match step:
        case "append" | "later" | "held":
            put(lake, insert, name, publish="now" if step == "append" else step, as_files=bool(number % 2))
        case "replace":
            put(lake, insert, name, delete=DeleteAll())
        case "delete":
            put(lake, None, name, delete=DeleteWhere(f"id % {number + 2} = 0", ()))
        case "keys":
            new = change(lake, insert.replace(f"({100 * number} + i)", "(i)", 1), name)
            assert new.staged is not None
            lake.commit([change(lake, None, name, delete=DeleteKeys(("id",), new.staged))])
        case "publish":
            lake.publish([name])
        case "rollback":
            lake.pin([name], first, reason="r")
        case "add":
            put(lake, f"SELECT *, {number} AS c{number} FROM ({insert})", name)
        case "rename" if "word" in have:
            put(lake, insert.replace("AS word", f"AS word{number}"), name, renames={"word": f"word{number}"})
        case "drop" if "n" in have:
            put(lake, f"SELECT * EXCLUDE n FROM ({insert})", name, allow_drop=True)
        case "widen":
            put(lake, f"SELECT * REPLACE (id::BIGINT + 5000000000 AS id) FROM ({insert})", name)
        case "maintain":
            lake.maintain(keep=timedelta(days=1))
        case "theirs":
            with another_program(lake) as theirs:
                theirs.execute(f"DELETE FROM lake.{name.sql} WHERE id = {number}")
                theirs.execute(f"INSERT INTO lake.{name.sql} SELECT * FROM lake.{name.sql} ORDER BY id LIMIT 1")
