"""Maintenance, pins, backup and consistency."""

from __future__ import annotations

import shutil
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lakes import POSTGRES, Place, T, change, definition, drop_schema, load, make_place, put, query, rows

from headwater.engine import Engine
from headwater.errors import DataFileGone, HeadwaterError, SnapshotNotFound, UsageError
from headwater.spec.names import TableName
from headwater.spec.project import LakeConfig
from headwater.storage import LAKE_EXTENSIONS, Access, DeleteAll, DeleteWhere, Lake, Position, TableChange, read_backup, restore_lake

U = TableName("shop", "customers")
V = TableName("marts", "v")
NO_GRACE = {"keep": timedelta(0), "reader_grace": timedelta(0), "orphan_grace": timedelta(0)}


def data_files(place: Place) -> list[Path]:
    return list((place.folder / "data").rglob("*.parquet"))


# -- maintain --------------------------------------------------------------------------------------------------------


def test_maintenance_keeps_what_is_read_and_frees_the_rest(mixed_place: Place) -> None:
    lake = mixed_place.open()
    for number in range(12):
        put(lake, f"SELECT {number} AS id, 'x' || {number} AS name")
    pinned = put(lake, "SELECT 99 AS id, 'y' AS name", U)
    put(lake, "SELECT 100 AS id, 'z' AS name", U, publish="held")
    before = (rows(lake), rows(lake, U), rows(lake, U, head=True))
    files = len(data_files(mixed_place))
    report = lake.maintain(**NO_GRACE)
    assert T in report.merged_tables
    assert report.snapshots_expired > 5
    assert report.files_removed > 10
    assert (rows(lake), rows(lake, U), rows(lake, U, head=True)) == before
    assert len(data_files(mixed_place)) < files
    assert [(pin.table, pin.snapshot_id, pin.publication) for pin in report.pins] == [(U, pinned, "held")]
    assert lake.check_consistency() == []
    put(lake, "SELECT 7 AS id, 'w' AS name")
    assert len(rows(lake)) == 13
    again = lake.maintain(**NO_GRACE)
    assert (rows(lake, U), again.orphans_removed) == ([(99, "y")], 0)


def test_a_dry_run_says_and_does_nothing(lake: Lake, place: Place) -> None:
    for number in range(6):
        put(lake, f"SELECT {number} AS id")
    head, files = lake.head(), sorted(data_files(place))
    report = lake.maintain(**NO_GRACE, dry_run=True)
    assert report.is_dry_run
    assert T in report.merged_tables
    assert report.snapshots_expired > 0
    assert (lake.head(), sorted(data_files(place))) == (head, files)


def test_history_within_the_window_stays_readable_by_snapshot_and_time(lake: Lake) -> None:
    first = put(lake, "SELECT 1 AS id")
    for number in range(6):
        put(lake, f"SELECT {number} AS id", delete=DeleteAll())
    lake.maintain()
    assert rows(lake, at=first) == [(1,)]
    lake.maintain(**NO_GRACE)
    with pytest.raises((SnapshotNotFound, HeadwaterError)):
        rows(lake, at=first)


def test_reading_what_has_expired_says_so(lake: Lake) -> None:
    first = put(lake, "SELECT 1 AS id")
    put(lake, "SELECT 2 AS id", delete=DeleteAll())
    lake.maintain(**NO_GRACE)
    with pytest.raises(SnapshotNotFound, match="expired"):
        rows(lake, at=first)
    with pytest.raises(SnapshotNotFound, match="expired"):
        lake.pin([T], first)
    with pytest.raises(SnapshotNotFound):
        lake.diff(T, first, lake.head())


def test_a_pin_of_any_environment_is_kept(place: Place) -> None:
    prod, dev = place.open(environment="prod"), place.open(environment="dev")
    put(dev, "SELECT 1 AS id", U)
    put(dev, "SELECT 2 AS id", U, publish="held")
    put(prod, "SELECT 1 AS id")
    prod.maintain(**NO_GRACE)
    assert rows(dev, U) == [(1,)]


def test_rows_mostly_deleted_are_rewritten_and_history_stays_right(both_places: Place) -> None:
    lake = both_places.open()
    first = put(lake, "SELECT range AS id, 'n' || range AS name FROM range(1000)")
    put(lake, None, delete=DeleteWhere("id >= 10"))
    changed = lake.table_state(T).changed_snapshot
    report = lake.maintain()
    assert report.rewritten_tables == (T,)
    assert len(rows(lake)) == 10
    assert lake.table_state(T).changed_snapshot == changed, "rewriting changes nothing that anybody reads"
    assert lake.read_as(Access.owner(), "SELECT count(*), max(name) FROM shop.orders WHERE id > 500", at=first).fetchall() == [(499, "n999")]
    assert lake.maintain().rewritten_tables == ()


def test_merging_leaves_history_right(both_places: Place) -> None:
    lake = both_places.open()
    snapshots = [put(lake, f"SELECT {number} AS id", as_files=number % 2 == 0) for number in range(8)]
    lake.maintain()
    for number, snapshot in enumerate(snapshots):
        assert rows(lake, at=snapshot) == [(value,) for value in range(number + 1)]


def test_orphans_go_after_their_grace_and_never_those_of_live_runs(lake: Lake, place: Place) -> None:
    put(lake, "SELECT 1 AS id")
    staged = change(lake, "SELECT 2 AS id", as_files=True)
    assert lake.maintain().orphans_removed == 0
    assert lake.maintain(**NO_GRACE, live_since=datetime.now(UTC)).orphans_removed == 0
    lake.commit([staged])
    dead = change(lake, "SELECT 3 AS id", as_files=True)
    assert dead.staged is not None
    assert lake.maintain(**NO_GRACE).orphans_removed == 1
    assert not Path(dead.staged.files[0]).exists()
    assert rows(lake) == [(1,), (2,)]


def test_system_tables_are_compacted_too(lake: Lake) -> None:
    for number in range(8):
        put(lake, f"SELECT {number} AS id")
    report = lake.maintain()
    assert TableName("headwater", "loads") in report.merged_tables
    lake._core.forget()
    assert lake.table_state(T).load is not None
    assert len(lake.snapshots(T)) == 8


def test_many_position_deltas_become_one_value(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    from headwater.storage import maintenance

    monkeypatch.setattr(maintenance, "COMPACT_POSITIONS_FROM", 3)
    for number in range(5):
        previous = lake.state().find(T)
        put(
            lake,
            f"SELECT {number} AS id",
            position=Position({f"{number}.csv": number}, is_delta=number > 0),
            previous_position=previous.position if previous else None,
        )
    before = lake.table_state(T)
    expected = {f"{number}.csv": number for number in range(5)}
    assert lake.maintain().positions_compacted == 1
    assert lake.table_state(T).position == expected
    assert lake.maintain().positions_compacted == 0
    put(lake, "SELECT 9 AS id", position=Position({"9.csv": 9}, is_delta=True), previous_position=before.position)
    lake._core.forget()
    assert lake.table_state(T).position == {**expected, "9.csv": 9}


def test_maintenance_runs_beside_a_writer_and_a_reader(both_places: Place) -> None:
    lake, other = both_places.open(), both_places.open()
    put(lake, "SELECT 0 AS id")
    failures: list[BaseException] = []
    done = threading.Event()

    def write() -> None:
        try:
            for number in range(1, 8):
                put(other, f"SELECT {number} AS id")
        except BaseException as error:
            failures.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not done.is_set():
        lake.maintain(keep=timedelta(0), reader_grace=timedelta(minutes=1))
        found = rows(lake)
        assert found == [(number,) for number in range(len(found))]
    thread.join()
    assert failures == []
    assert len(rows(lake)) == 8
    assert lake.check_consistency() == []


def test_a_pin_tells_the_bytes_it_keeps(lake: Lake) -> None:
    put(lake, "SELECT range AS id FROM range(1000)")
    put(lake, "SELECT range AS id FROM range(2000)", delete=DeleteAll(), publish="held", reason="rows")
    (pin,) = lake.pins()
    assert (pin.table, pin.reason, pin.environment) == (T, "rows", "prod")
    assert pin.size_bytes > 1000


# -- backup ----------------------------------------------------------------------------------------------------------


def test_a_backup_made_beside_a_writer_is_restored_elsewhere(mixed_place: Place, tmp_path_factory: pytest.TempPathFactory) -> None:
    lake, writer = mixed_place.open(), mixed_place.open()
    put(lake, "SELECT range AS id, 'a' AS name FROM range(10)", as_files=True)
    put(lake, "SELECT 10::BIGINT AS id, 'b' AS name")
    put(lake, None, delete=DeleteWhere("id = 3"))
    put(lake, None, V, definition=definition("view", sql="SELECT count(*) AS n FROM shop.orders", inputs=(T,)), load=load("view"))
    put(lake, "SELECT 1 AS id", U)
    put(lake, "SELECT 2 AS id", U, publish="held", reason="rows")
    thread = threading.Thread(target=lambda: [put(writer, f"SELECT {number}::BIGINT AS id", TableName("x", "y")) for number in range(5)])
    thread.start()
    target = tmp_path_factory.mktemp("backup") / "b"
    called: list[Path] = []
    report = lake.backup(target, state_backup=called.append)
    thread.join()
    assert called == [target]
    assert read_backup(target) == report
    expected = (rows(lake), rows(lake, V), rows(lake, U), rows(lake, U, head=True))
    new = tmp_path_factory.mktemp("restored")
    schema = f"{mixed_place.schema}_r" if mixed_place.schema else None
    config = mixed_place.config.model_copy(update={"catalog": f"{POSTGRES}?schema={schema}" if schema else "new.sqlite", "data": "elsewhere"})
    try:
        with Engine(extensions=LAKE_EXTENSIONS) as engine:
            restore_lake(target, config, engine, project_dir=new)
            with pytest.raises(UsageError):
                restore_lake(target, config, engine, project_dir=new)
        mixed_place.close()
        shutil.rmtree(mixed_place.folder / "data")
        with Engine(extensions=LAKE_EXTENSIONS) as engine, Lake.open(config, engine, project_dir=new, environment="prod") as restored:
            assert (rows(restored), rows(restored, V), rows(restored, U), rows(restored, U, head=True)) == expected
            assert restored.check_consistency() == []
            put(restored, "SELECT 77::BIGINT AS id, 'n' AS name", as_files=True)
            restored.publish([U])
            assert rows(restored, U) == [(1,), (2,)]
            assert len(rows(restored)) == len(expected[0]) + 1
        with Engine(extensions=LAKE_EXTENSIONS) as engine:
            restore_lake(target, config, engine, project_dir=new, force=True)
        with Engine(extensions=LAKE_EXTENSIONS) as engine, Lake.open(config, engine, project_dir=new, environment="prod") as restored:
            assert rows(restored) == expected[0]
    finally:
        if schema:
            drop_schema(schema)


def test_a_backup_never_finished_is_not_restored(lake: Lake, tmp_path: Path) -> None:
    put(lake, "SELECT 1 AS id")
    lake.backup(tmp_path / "b")
    (tmp_path / "b" / "backup.json").unlink()
    with Engine(extensions=LAKE_EXTENSIONS) as engine, pytest.raises(UsageError):
        restore_lake(tmp_path / "b", LakeConfig(), engine, project_dir=tmp_path / "new")
    with pytest.raises(UsageError):
        lake.backup(tmp_path / "b")


def test_a_backup_by_hard_links_holds_the_same_bytes(lake: Lake, tmp_path: Path) -> None:
    put(lake, "SELECT range AS id FROM range(100)")
    lake.backup(tmp_path / "b", hard_links=True)
    linked = list((tmp_path / "b" / "data").rglob("*.parquet"))
    assert linked
    assert all(path.stat().st_nlink == 2 for path in linked)


# -- consistency and history -----------------------------------------------------------------------------------------


def test_a_missing_file_is_told(lake: Lake, place: Place) -> None:
    put(lake, "SELECT 1 AS id")
    assert lake.check_consistency() == []
    next(path for path in data_files(place) if "orders" in str(path)).unlink()
    assert [found.rule for found in lake.check_consistency()] == ["missing-file"]


def test_tables_changed_behind_our_back_are_told(lake: Lake) -> None:
    put(lake, "SELECT 1 AS id")
    put(lake, "SELECT 1 AS id", U)
    lake.read_as_system("ALTER TABLE lake.shop.orders ADD COLUMN extra INTEGER")
    lake.read_as_system("DROP TABLE lake.shop.customers")
    lake.read_as_system("CREATE TABLE lake.shop.foreign (id INTEGER)")
    assert sorted(found.rule for found in lake.check_consistency()) == ["columns-differ", "missing-table", "unknown-table"]


def test_versions_of_a_table_are_listed_newest_first(both_lakes: Lake) -> None:
    first = put(both_lakes, "SELECT 1 AS id")
    put(both_lakes, "SELECT 1 AS id", U)
    put(both_lakes, None, definition=definition(description="no rows"))
    second = put(both_lakes, "SELECT 2 AS id", delete=DeleteAll(), publish="later")
    versions = both_lakes.snapshots(T)
    assert [(version.snapshot_id, version.is_head, version.is_published) for version in versions] == [(second, True, False), (first, False, True)]
    assert (versions[0].rows_written, versions[0].rows_deleted) == (1, 1)


def test_a_difference_by_key_tells_what_was_added_removed_and_changed(both_lakes: Lake) -> None:
    body = {"primary_key": ["id"]}
    what = definition("stream", body=body)
    first = put(both_lakes, "SELECT * FROM (VALUES (1, 'a'), (2, 'b'), (3, 'c')) v(id, name)", definition=what)
    second = put(both_lakes, "SELECT * FROM (VALUES (1, 'a'), (2, 'B'), (4, NULL)) v(id, name)", delete=DeleteAll(), definition=what)
    diff = both_lakes.diff(T, first, second)
    assert (diff.added, diff.removed, diff.changed, diff.key) == (1, 1, 1, ("id",))
    assert diff.sample == (("changed", (2, "B")), ("removed", (3, "c")), ("added", (4, None)))
    bare = both_lakes.diff(T, first, second, key=(), limit=1)
    assert (bare.added, bare.removed, bare.changed, len(bare.sample)) == (2, 2, 0, 1)
    with pytest.raises(UsageError):
        both_lakes.diff(T, first, second, key=("nope",))


def test_quarantined_rows_wait_until_they_are_closed(both_lakes: Lake) -> None:
    from headwater.storage import QuarantineClosing, Rejected

    with both_lakes.engine.connection() as connection:
        sql = "SELECT 'raw' || range AS raw, 'type: id' AS reason, 'id' AS column_name, '{}' AS position FROM range(3)"
        bad = both_lakes.stage(connection, T, sql)
    put(both_lakes, "SELECT 1 AS id", rejected=Rejected(bad))
    waiting = both_lakes.quarantine()
    assert sorted(row.raw or "" for row in waiting) == ["raw0", "raw1", "raw2"]
    assert both_lakes.quarantine_counts() == {T: 3}
    put(both_lakes, None, closings=(QuarantineClosing((waiting[0].id,), "dropped"),))
    assert both_lakes.quarantine_counts() == {T: 2}
    (dropped,) = both_lakes.quarantine(T, state="dropped")
    assert (dropped.id, dropped.raw) == (waiting[0].id, waiting[0].raw)
    assert len(both_lakes.quarantine(state=None)) == 3
    assert both_lakes.quarantine(ids=[waiting[1].id])[0].id == waiting[1].id


def test_a_change_without_rows_leaves_the_version_alone(lake: Lake) -> None:
    first = put(lake, "SELECT 1 AS id")
    put(lake, "SELECT 1 AS id WHERE false")
    put(lake, None, delete=DeleteWhere("id > 5"))
    assert lake.table_state(T).changed_snapshot == first
    assert isinstance(change(lake, None), TableChange)
    assert query(lake, "SELECT count(*) FROM lake.headwater.loads") == [(3,)]


def test_two_lakes_never_share_a_data_folder(tmp_path: Path) -> None:
    with make_place(tmp_path, "sqlite") as place:
        put(place.open(), "SELECT 1 AS id")
        other = place.config.model_copy(update={"catalog": "other.sqlite"})
        with Engine(extensions=LAKE_EXTENSIONS) as engine, pytest.raises(HeadwaterError, match="belongs to another lake"):
            Lake.open(other, engine, project_dir=tmp_path, environment="prod")


# -- files that are gone ---------------------------------------------------------------------------------------------


def test_a_table_whose_file_is_gone_says_what_to_do_and_is_made_anew_by_a_rebuild(mixed_place: Place) -> None:
    lake = mixed_place.open()
    first = put(lake, "SELECT 1 AS id, 'x' AS name")
    put(lake, "SELECT 5 AS id", U)
    for file in data_files(mixed_place):
        if "orders" in file.parts:
            file.unlink()
    with pytest.raises(DataFileGone) as caught:
        rows(lake)
    for way in ("headwater doctor", "headwater restore", "--full-refresh"):
        assert way in (caught.value.hint or "")
    assert [fault.rule for fault in lake.check_consistency()] == ["missing-file"]
    put(lake, "SELECT 2 AS id, 'y' AS name", delete=DeleteAll())
    assert rows(lake) == [(2, "y")]
    put(lake, "SELECT 3 AS id, 'z' AS name")
    assert rows(lake) == [(2, "y"), (3, "z")]
    assert [version.snapshot_id for version in lake.snapshots(T)][-1] == first
    mixed_place.close()
    lake = mixed_place.open()
    assert (rows(lake), rows(lake, U)) == ([(2, "y"), (3, "z")], [(5,)])
    lake.maintain(**NO_GRACE)
    assert lake.check_consistency() == []
    assert rows(lake) == [(2, "y"), (3, "z")]
