"""Real files, good and bad, through the connector `files`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from loading_kit import FileLoads

from headwater.ingestion import staged_of
from headwater.storage import Lake


@pytest.fixture
def files(any_lake: Lake, tmp_path: Path) -> FileLoads:
    return FileLoads(any_lake, tmp_path)


@pytest.fixture
def plain(lake: Lake, tmp_path: Path) -> FileLoads:
    return FileLoads(lake, tmp_path)


def test_each_file_is_loaded_once_and_a_changed_one_replaces_its_rows(files: FileLoads) -> None:
    stream = {"path": "*.csv"}
    files.write("a.csv", "id,n\n1,10\n2,20\n")
    files.run(stream)
    assert files.run(stream).change is None
    files.write("b.csv", "id,n\n3,30\n")
    files.write("a.csv", "id,n\n1,11\n2,20\n9,90\n")
    files.run(stream)
    assert files.rows("id, n, _hw_file") == [(1, 11, "a.csv"), (2, 20, "a.csv"), (3, 30, "b.csv"), (9, 90, "a.csv")]
    assert files.run(stream).change is None


def test_merge_by_key_takes_the_last_line_of_a_key(files: FileLoads) -> None:
    files.write("a.csv", "id,n\n1,10\n1,11\n2,20\n")
    files.run({"path": "*.csv", "primary_key": "id"})
    files.write("b.csv", "id,n\n2,21\n")
    files.run({"path": "*.csv", "primary_key": "id"})
    assert files.rows("id, n") == [(1, 11), (2, 21)]


def test_broken_lines_and_broken_values_wait_with_file_and_line(plain: FileLoads) -> None:
    plain.write("a.csv", 'id,amount\n1,1.50\n2,abc\n3,1.00,extra\n4,2.00\n"5,3\n')
    prepared = plain.run({"path": "a.csv", "columns": {"id": "bigint", "amount": "decimal(10,2)"}})
    assert plain.rows("id") == [(1,), (4,)]
    waiting = plain.waiting("reason, position")
    assert prepared.rows_rejected == len(waiting) == 3
    assert "type: amount is not DECIMAL(10,2)" in [reason for reason, _ in waiting]
    assert all("a.csv" in position for _, position in waiting)


def test_a_corrected_file_ends_the_waiting_of_its_rows(plain: FileLoads) -> None:
    stream = {"path": "*.csv", "columns": {"n": "bigint"}}
    plain.write("a.csv", "id,n\n1,x\n2,20\n")
    plain.write("b.csv", "id,n\n3,y\n4,40\n")
    plain.run(stream)
    assert len(plain.waiting()) == 2
    plain.write("a.csv", "id,n\n1,10\n2,20\n")
    plain.run(stream)
    assert [position for (position,) in plain.waiting("json_extract_string(position, '$.file')")] == ["b.csv"]
    assert plain.rows("id, n") == [(1, 10), (2, 20), (4, 40)]


def test_an_inferred_column_is_not_turned_into_text_by_one_bad_value(plain: FileLoads) -> None:
    plain.write("a.csv", "id,n\n1,10\n2,20\n")
    plain.run({"path": "*.csv"})
    plain.write("b.csv", "id,n\n3,30\n4,oops\n")
    plain.run({"path": "*.csv"})
    assert plain.rows("id, n") == [(1, 10), (2, 20), (3, 30)]
    assert plain.waiting() == [("type: n is not BIGINT",)]


def test_json_values_of_the_wrong_type_do_not_vanish(plain: FileLoads) -> None:
    plain.write("a.ndjson", '{"id": 1, "n": 5, "tags": ["a"]}\n{"id": 2, "n": "five", "tags": []}\n{"id": 3, "n": 1.5}\n{"id": 4}\nnot json\n')
    plain.run({"path": "a.ndjson", "columns": {"n": "bigint", "tags": "varchar[]"}})
    assert plain.rows("id, n, tags") == [(1, 5, ["a"]), (4, None, None)]
    assert sorted(reason.split(":")[0] for (reason,) in plain.waiting()) == ["line", "type", "type"]


def test_dates_are_read_by_the_streams_format(plain: FileLoads) -> None:
    plain.write("a.csv", "d\n31.12.2024\n2024-12-31\n")
    plain.run({"path": "a.csv", "columns": {"d": "date"}, "options": {"date_format": "%d.%m.%Y"}})
    assert plain.rows("d::VARCHAR") == [("2024-12-31",)]
    assert len(plain.waiting()) == 1


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("\ufeffid,name\n1,Zoë\n", [(1, "Zoë")]),
        ("id,name\r\n1,x\r\n", [(1, "x")]),
        ('id,name\n1,"two\nlines"\n', [(1, "two\nlines")]),
        ("id,name\n", []),
    ],
)
def test_files_of_many_kinds_load(plain: FileLoads, content: str, rows: list[Any]) -> None:
    plain.write("a.csv", content)
    plain.run({"path": "a.csv", "columns": {"id": "bigint", "name": "varchar"}})
    assert plain.rows("id, name") == rows


def test_an_empty_file_makes_the_declared_table_or_none(plain: FileLoads) -> None:
    plain.write("a.csv", "")
    assert plain.run({"path": "a.csv"}).change is None
    plain.write("b.csv", "id\n1\n")
    plain.run({"path": "*.csv"})
    assert plain.rows("id") == [(1,)]


def test_a_replaced_stream_of_equal_content_is_not_committed(plain: FileLoads) -> None:
    stream = {"path": "a.csv", "write_disposition": "replace"}
    plain.write("a.csv", "id\n1\n2\n")
    plain.run(stream)
    plain.write("a.csv", "id\n2\n1\n")
    prepared = plain.run(stream)
    assert prepared.change is not None  # the position of the file moved
    assert staged_of(prepared.change) == ()
    plain.write("a.csv", "id\n3\n")
    plain.run(stream)
    assert plain.rows("id") == [(3,)]
