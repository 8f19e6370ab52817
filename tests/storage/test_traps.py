"""The traps of the lake's format and engine: each test notices when one reaches us, or when it closes and a guard can go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from lakes import Place, T, change, make_place, put, query, rows

from headwater.engine import Engine
from headwater.errors import CommitConflict, HeadwaterError, ModelOutputInvalid
from headwater.spec.names import TableName
from headwater.storage import Access, DeleteAll, DeleteKeys, DeleteWhere, Lake

TYPES = [
    ("sum(bigint)", "(SELECT sum(x) FROM (VALUES (9007199254740993::BIGINT), (0)) v(x))"),
    ("hugeint", "170141183460469231731687303715884::HUGEINT"),
    ("hugeint in a struct", "{'a': [9007199254740993::HUGEINT]}"),
    ("decimal", "123456789012345678901234567890.12345678::DECIMAL(38,8)"),
    ("ubigint", "18446744073709551615::UBIGINT"),
    ("double", "'nan'::DOUBLE"),
    ("date", "DATE '0001-01-01'"),
    ("infinite", "'infinity'::TIMESTAMP"),
    ("timestamptz", "TIMESTAMPTZ '2024-03-31 01:30:00+00'"),
    ("timestamp_ns", "'2024-01-01 00:00:00.123456789'::TIMESTAMP_NS"),
    ("time", "TIME '23:59:59.999999'"),
    ("timetz", "'12:00:00+02'::TIMETZ"),
    ("interval", "INTERVAL '1 month 2 days 3 hours'"),
    ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::UUID"),
    ("blob", "'\\x00\\xFF'::BLOB"),
    ("json", "'{\"a\": [1, null]}'::JSON"),
    ("enums", "['x'::ENUM ('x', 'y')]"),
    ("enum", "'x'::ENUM ('x', 'y')"),
    ("fixed array", "[1, 2, 3]::INTEGER[3]"),
    ("map", "MAP {'a': {'b': 1}}"),
    ("nested", "[{'a b': [1, NULL], 'c': NULL::DATE}]"),
    ("text", "'å ☃ \U0001f409 ''quoted'' \"double\"'"),
    ("null", "NULL"),
]


@pytest.mark.parametrize("as_files", [True, False])
def test_every_type_comes_back_as_it_was_kept(mixed_lake: Lake, as_files: bool) -> None:
    select = "SELECT " + ", ".join(f'{sql} AS "{name}"' for name, sql in TYPES)
    staged = put(mixed_lake, select, as_files=as_files)
    assert staged
    names = [f'"{name}"' for name, _ in TYPES]
    casts = ", ".join(
        f"CAST({sql} AS {column.type}) AS {name}" for (_, sql), name, column in zip(TYPES, names, mixed_lake.table_state(T).columns, strict=True)
    )
    same = " , ".join(f"t.{name} IS NOT DISTINCT FROM e.{name}" for name in names)
    found = mixed_lake.read_as_system(f"SELECT {same} FROM lake.shop.orders t, (SELECT {casts}) e").fetchone()
    assert found is not None
    assert [name for name, is_same in zip(names, found, strict=True) if not is_same] == []


def test_hugeint_in_parquet_is_still_rounded_to_a_double(tmp_path: Path) -> None:
    with Engine() as engine, engine.connection() as connection:
        file = tmp_path / "x.parquet"
        connection.execute(f"COPY (SELECT 9007199254740993::HUGEINT AS x) TO '{file}'")
        assert connection.execute(f"SELECT x::BIGINT FROM '{file}'").scalar() == 9007199254740992


@pytest.mark.parametrize("name", ["row_id", "rowid", "begin_snapshot", "end_snapshot", "snapshot_id", "select", 'a "b"'])
def test_columns_may_have_any_name(mixed_lake: Lake, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    for as_files in (True, False):
        put(mixed_lake, f"SELECT 1 AS {quoted}", as_files=as_files)
    put(mixed_lake, None, delete=DeleteWhere(f"{quoted} > 5"))
    assert rows(mixed_lake) == [(1,), (1,)]


@pytest.mark.parametrize("sql", ["SELECT 1 AS _ducklake_internal_row_id", 'SELECT 1 AS " "'])
def test_a_column_the_lake_cannot_keep_is_refused_when_staged(lake: Lake, sql: str) -> None:
    with pytest.raises(ModelOutputInvalid):
        put(lake, sql)


def test_an_error_of_the_catalog_tells_no_values(both_lakes: Lake) -> None:
    """DuckLake quotes the whole statement that failed, with every column's minimum and maximum."""
    put(both_lakes, "SELECT 'a secret value' AS v")
    statements = ["CREATE TABLE lake.shop.bad (_ducklake_internal_row_id INTEGER)", "INSERT INTO lake.shop.orders VALUES ('a secret value')"]
    with both_lakes.engine.connection() as connection, pytest.raises(HeadwaterError) as caught:
        connection.execute("; ".join(["BEGIN", *statements, "INSERT INTO lake.shop.bad VALUES (1)", "COMMIT"]))
    assert "secret" not in str(caught.value)
    assert "INSERT" not in str(caught.value)


@pytest.mark.parametrize("name", ["my table", "ü", "a.b", "x/y", "order", 'a"b', "T-1", "日本"])
def test_tables_may_have_any_name_and_their_files_stay_inside_the_data_folder(mixed_lake: Lake, name: str) -> None:
    table = TableName(name, name)
    for as_files in (True, False, True):
        put(mixed_lake, "SELECT range AS id FROM range(3)", table, as_files=as_files)
    assert len(rows(mixed_lake, table)) == 9
    assert mixed_lake.check_consistency() == []


def test_a_sqlite_catalog_is_in_wal_mode(place: Place, lake: Lake) -> None:
    import sqlite3

    assert lake.address.path is not None
    place.close()
    with sqlite3.connect(lake.address.path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_no_row_is_ever_inlined_in_the_catalog(mixed_lake: Lake) -> None:
    put(mixed_lake, "SELECT 1 AS id")
    put(mixed_lake, "SELECT 2 AS id", delete=DeleteWhere("id = 1"))
    assert query(mixed_lake, f"SELECT table_name FROM {mixed_lake._core.metadata}.ducklake_inlined_data_tables") == []
    assert rows(mixed_lake) == [(2,)]


def test_a_table_may_have_more_columns_than_a_table_of_the_catalog(both_lakes: Lake) -> None:
    """2,000 in SQLite, 1,600 in Postgres: that many DuckLake would ask of them to keep small inserts there."""
    select = "SELECT " + ", ".join(f"{number} AS c{number}" for number in range(2002))
    for as_files in (True, False):
        put(both_lakes, select, as_files=as_files)
    assert [row[-1] for row in rows(both_lakes)] == [2001, 2001]


def _deleted_rows_that_a_transaction_sees(lake: Lake) -> int:
    """Of 100 rows, some of which are deleted and come anew while a transaction reads: how many it sees twice."""
    others = TableName("shop", "others")
    for table in (T, others):
        put(lake, "SELECT range AS id FROM range(100)", table)
        for number in (1, 2):
            replaced = change(lake, f"SELECT {number} AS id", table)
            assert replaced.staged is not None
            lake.commit([replace(replaced, delete=DeleteKeys(("id",), replaced.staged))])
    with lake.engine.connection() as reader:
        reader.execute("BEGIN")
        count = f"SELECT count(*) - count(DISTINCT id) FROM {lake.database}.{T.sql}"
        assert reader.execute(count).scalar() == 0
        put(lake, None, delete=DeleteWhere("id = 3"))
        seen = reader.execute(count).scalar()
        reader.execute("COMMIT")
        assert reader.execute(count).scalar() == 0
    return int(seen or 0)


def test_rows_deleted_before_do_not_come_back_while_another_commit_replaces_their_list(both_places: Place) -> None:
    both_places.threads = 2
    assert _deleted_rows_that_a_transaction_sees(both_places.open()) == 0


def test_scans_of_a_sqlite_catalog_by_several_threads_still_see_several_moments(place: Place) -> None:
    """The setting that `storage.catalog` makes against it can go when this fails."""
    place.threads = 2
    lake = place.open()
    with lake.engine.connection() as connection:
        connection.execute("SET GLOBAL sqlite_disable_multithreaded_scans = false")
    assert _deleted_rows_that_a_transaction_sees(lake) == 2


def test_a_delete_that_matches_nothing_still_conflicts(both_places: Place) -> None:
    """DuckLake alone lets two such transactions through, and a key stands there twice; the compare-and-swap doesn't."""
    one, two = both_places.open(), both_places.open()
    put(one, "SELECT 1 AS id")
    first, second = one.engine.connection(), two.engine.connection()
    for connection in (first, second):
        connection.execute("BEGIN")
        connection.execute("DELETE FROM lake.shop.orders WHERE id = 7")
        connection.execute("INSERT INTO lake.shop.orders VALUES (7)")
    first.execute("COMMIT")
    with pytest.raises(CommitConflict):
        second.execute("COMMIT")
    first.close()
    second.close()
    assert rows(one) == [(1,), (7,)]


def test_any_commit_conflicts_with_any_other_that_began_before_it(both_places: Place) -> None:
    """What the whole design of commits rests on."""
    one, two = both_places.open(), both_places.open()
    put(one, "SELECT 1 AS id")
    put(one, "SELECT 1 AS id", TableName("a", "b"))
    connection = two.engine.connection()
    connection.execute("BEGIN")
    base = connection.execute("SELECT id FROM lake.current_snapshot()").scalar()
    connection.execute("INSERT INTO lake.a.b VALUES (2)")
    put(one, "SELECT 2 AS id")
    with pytest.raises(CommitConflict):
        connection.execute("COMMIT")
    connection.close()
    assert one.head() == base + 1


def test_rebuilding_with_narrower_values_leaves_history_right(mixed_lake: Lake) -> None:
    first = put(mixed_lake, "SELECT range AS id, 'a' || range AS name FROM range(1000)")
    put(mixed_lake, "SELECT 5::BIGINT AS id, 'b' AS name", delete=DeleteAll())
    put(mixed_lake, None, delete=DeleteAll())
    read = mixed_lake.read_as(Access.owner(), "SELECT count(*), max(id), max(name) FROM shop.orders WHERE id > 500", at=first)
    assert read.fetchall() == [(499, 999, "a999")]
    top = mixed_lake.read_as(Access.owner(), "SELECT id FROM shop.orders ORDER BY id DESC LIMIT 1", at=first)
    assert top.fetchall() == [(999,)]


def test_the_lakes_own_rewrite_still_breaks_history(lake: Lake) -> None:
    """Why `maintain` never calls it."""
    first = put(lake, "SELECT range AS id FROM range(1000)")
    put(lake, None, delete=DeleteWhere("id > 10"))
    lake.read_as_system("CALL ducklake_rewrite_data_files('lake', 'orders', schema => 'shop', delete_threshold => 0)").fetchall()
    read = lake.read_as(Access.owner(), "SELECT count(*) FROM shop.orders WHERE id > 500", at=first)
    assert read.scalar() != 499


def test_a_plain_file_added_to_an_encrypted_lake_still_spoils_the_table(tmp_path: Path) -> None:
    """Why staged files are copied there; and `check_consistency` tells it."""
    with make_place(tmp_path, "sqlite", encrypted=True) as place:
        lake = place.open()
        put(lake, "SELECT 1 AS id")
        file = tmp_path / "plain.parquet"
        lake.read_as_system(f"COPY (SELECT 2 AS id) TO '{file}'")
        lake.read_as_system(f"CALL ducklake_add_data_files('lake', 'orders', '{file}', schema => 'shop')")
        with pytest.raises(HeadwaterError):
            rows(lake)
        assert {found.rule for found in lake.check_consistency()} == {"plain-file", "outside-path"}


def test_an_encrypted_lake_is_encrypted_whatever_the_settings_say_later(tmp_path: Path) -> None:
    with make_place(tmp_path, "sqlite", encrypted=True) as place:
        put(place.open(), "SELECT 1 AS id")
        place.config = place.config.model_copy(update={"encrypted": False})
        lake = place.open()
        put(lake, "SELECT 2 AS id", as_files=True)
        assert rows(lake) == [(1,), (2,)]
        secret = b"a value nobody should find"
        put(lake, f"SELECT '{secret.decode()}' AS id, 3 AS n", TableName("a", "b"))
        files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
        assert files
        assert not [path for path in files if secret in path.read_bytes()]


def test_ducklake_keeps_the_keys_and_the_extremes_of_its_files_in_clear_in_the_catalog(tmp_path: Path) -> None:
    """Why SECURITY.md says that the catalog must be kept as the data is, and why backups of it are sealed."""
    with make_place(tmp_path, "sqlite", encrypted=True) as place:
        lake = place.open()
        put(lake, "SELECT 'the greatest value' AS id, 3 AS n", TableName("a", "b"), as_files=False)
        assert lake.address.path is not None
        meta = "__ducklake_metadata_lake"
        path, key = lake.read_as_system(
            f"SELECT f.path, f.encryption_key FROM {meta}.ducklake_data_file f JOIN {meta}.ducklake_table t USING (table_id) WHERE t.table_name = 'b'"
        ).fetchall()[0]
        (file,) = list((tmp_path / "data").rglob(path))
        assert b"the greatest value" not in file.read_bytes()
        with Engine() as other, other.connection() as connection:
            other.load("httpfs")
            sql = f"SELECT id FROM read_parquet('{file}', encryption_config = {{footer_key_value: from_base64('{key}')}})"
            assert connection.execute(sql).fetchall() == [("the greatest value",)]
        extremes = f"SELECT max_value FROM {meta}.ducklake_file_column_stats"
        assert ("the greatest value",) in lake.read_as_system(extremes).fetchall()


def test_a_file_added_twice_is_told(lake: Lake) -> None:
    staged = change(lake, "SELECT 1 AS id", as_files=True)
    lake.commit([staged])
    assert staged.staged is not None
    lake.read_as_system(f"CALL ducklake_add_data_files('lake', 'orders', '{staged.staged.files[0]}', schema => 'shop')")
    assert "file-twice" in {found.rule for found in lake.check_consistency()}


def test_a_view_model_never_becomes_a_view_in_the_lake(lake: Lake) -> None:
    from lakes import definition, load

    put(lake, "SELECT 1 AS id")
    put(lake, None, TableName("marts", "v"), definition=definition("view", sql="FROM shop.orders", inputs=(T,)), load=load("view"))
    assert query(lake, f"SELECT count(*) FROM {lake._core.metadata}.ducklake_view") == [(0,)]


def test_merging_by_keys_that_come_twice_deletes_each_row_once(mixed_lake: Lake) -> None:
    put(mixed_lake, "SELECT range AS id FROM range(4)")
    keys = change(mixed_lake, "SELECT * FROM (VALUES (1), (1), (2)) v(id)").staged
    assert keys is not None
    commit = mixed_lake.commit([change(mixed_lake, None, delete=DeleteKeys(("id",), keys))])
    assert commit.rows_deleted == {T: 2}


def test_a_catalog_of_another_ducklake_version_is_refused(place: Place) -> None:
    import sqlite3

    from headwater.errors import LakeFormatError

    place.open()
    place.close()
    with sqlite3.connect(place.folder / "lake.sqlite") as connection:
        connection.execute("UPDATE ducklake_metadata SET value = '9.0' WHERE key = 'version'")
    connection.close()
    with pytest.raises(LakeFormatError):
        place.open()


def test_changing_partitions_beside_a_plain_file_never_reaches_the_engine(mixed_lake: Lake) -> None:
    """In one transaction that is a fatal error, after which the whole engine is dead."""
    put(mixed_lake, "SELECT 1 AS id, 'a' AS k", partition_by=("k",))
    put(mixed_lake, "SELECT 2 AS id, 'b' AS k", as_files=True)
    put(mixed_lake, "SELECT 3 AS id, 'c' AS k", partition_by=("k",), as_files=True)
    assert len(rows(mixed_lake)) == 3
