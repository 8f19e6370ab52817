"""Which files are read, and what the position says of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from file_kit import Files

from headwater.errors import StreamNotFound, UnresolvedReference
from headwater.sources import ConnectorContext, resolved_stream
from headwater.sources.files import FilesConnector
from headwater.spec.sources import Stream
from headwater.testing import read_rows


def write(path: Path, text: str, *, at: int = 1) -> None:
    """The file with a time of change of its own, so that no test waits for a clock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, ns=(at, at))


def test_only_new_and_changed_files_are_read_and_changed_ones_are_named(files: Files, tmp_path: Path) -> None:
    write(tmp_path / "in/a.csv", "x\n1\n")
    write(tmp_path / "in/b.csv", "x\n2\n")
    first = files.read("in/*.csv")
    assert first.is_delta
    assert dict(first.position or {}) == {"in/a.csv": {"size": 4, "mtime": 1}, "in/b.csv": {"size": 4, "mtime": 1}}
    assert first.replaced_files == ()
    write(tmp_path / "in/b.csv", "x\n3\n", at=2)
    write(tmp_path / "in/c.csv", "x\n4\n")
    second = files.read("in/*.csv", position=first.position)
    assert set(second.position or {}) == {"in/b.csv", "in/c.csv"}
    assert second.replaced_files == ("in/b.csv",)
    assert [(row["x"], row["_hw_file"]) for row in read_rows(second, keep_technical=True)] == [(3, "in/b.csv"), (4, "in/c.csv")]
    merged = {**(first.position or {}), **(second.position or {})}
    assert files.read("in/*.csv", position=json.loads(json.dumps(merged))).portions == ()


def test_what_is_not_new_is_counted_in_words(files: Files, tmp_path: Path) -> None:
    write(tmp_path / "in/a.csv", "x\n1\n")
    first = files.read("in/*.csv")
    assert files.read("in/*.csv", position=first.position).note == "1 file, neither new nor changed"
    write(tmp_path / "in/b.csv", "x\n1\n")
    both = files.read("in/*.csv")
    assert files.read("in/*.csv", position=both.position).note == "2 files, none new or changed"


def test_a_path_may_come_from_the_environment(open_files: Callable[..., Files], tmp_path: Path) -> None:
    write(tmp_path / "in/a.csv", "x\n1\n")
    stream = resolved_stream(Stream(path=("${env:FOLDER}/*.csv",)), project_dir=tmp_path, environ={"FOLDER": "in"})
    assert read_rows(open_files().read(*stream.path)) == [{"x": 1}]
    with pytest.raises(UnresolvedReference, match="FOLDER"):
        resolved_stream(Stream(path=("${env:FOLDER}/*.csv",)), project_dir=tmp_path, environ={})


def test_a_file_that_changed_its_time_alone_is_read_again(files: Files, tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "x\n1\n")
    position = files.read("a.csv").position
    os.utime(tmp_path / "a.csv", ns=(5, 5))
    assert files.read("a.csv", position=position).replaced_files == ("a.csv",)


def test_a_file_that_is_gone_is_nothing_new_to_an_appended_stream(files: Files, tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "x\n1\n")
    write(tmp_path / "b.csv", "x\n1\n")
    position = files.read("*.csv").position
    (tmp_path / "a.csv").unlink()
    assert files.read("*.csv", position=position).portions == ()


@pytest.mark.parametrize("stream", [{"write_disposition": "replace"}, {"write_disposition": "scd2", "primary_key": ["x"]}])
def test_a_replaced_stream_reads_all_files_when_any_is_new_changed_or_gone(files: Files, tmp_path: Path, stream: dict[str, object]) -> None:
    write(tmp_path / "a.csv", "x\n1\n")
    write(tmp_path / "b.csv", "x\n2\n")
    first = files.read("*.csv", **stream)
    assert not first.is_delta
    assert first.replaced_files == ()
    assert files.read("*.csv", position=first.position, **stream).portions == ()
    write(tmp_path / "b.csv", "x\n3\n", at=2)
    second = files.read("*.csv", position=first.position, **stream)
    assert sorted(row["x"] for row in read_rows(second)) == [1, 3]
    (tmp_path / "a.csv").unlink()
    third = files.read("*.csv", position=second.position, **stream)
    assert [row["x"] for row in read_rows(third)] == [3]
    assert set(third.position or {}) == {"b.csv"}


def test_a_replaced_stream_is_not_emptied_when_all_its_files_are_gone(files: Files, tmp_path: Path) -> None:
    write(tmp_path / "in/a.csv", "x\n1\n")
    position = files.read("in/*.csv", write_disposition="replace").position
    (tmp_path / "in/a.csv").unlink()
    reading = files.read("in/*.csv", position=position, write_disposition="replace")
    assert reading.portions == ()
    assert reading.note == "no file matches"


def test_a_merged_stream_has_no_file_column(files: Files, tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "x\n1\n")
    [row] = read_rows(files.read("a.csv", primary_key=["x"]), keep_technical=True)
    assert row == {"x": 1, "_hw_position": "a.csv"}


def test_a_file_that_became_empty_replaces_its_rows_with_none(files: Files, tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "x\n1\n")
    position = files.read("a.csv").position
    write(tmp_path / "a.csv", "", at=2)
    reading = files.read("a.csv", position=position)
    assert reading.replaced_files == ("a.csv",)
    assert len(reading.portions) == 1
    assert read_rows(reading) == []


def test_files_with_other_headers_are_read_apart_and_matched_by_name(files: Files, tmp_path: Path) -> None:
    write(tmp_path / "1.csv", "id,name\n1,one\n")
    write(tmp_path / "2.csv", "name,id,extra\ntwo,2,x\n")
    reading = files.read("*.csv")
    assert len(reading.portions) == 2
    assert read_rows(reading) == [{"id": 1, "name": "one"}, {"name": "two", "id": 2, "extra": "x"}]
    assert [column.name for column in files.connector.columns(files.request("*.csv"))] == ["id", "name", "extra"]


def test_types_are_suggested_over_all_files_together(files: Files, tmp_path: Path) -> None:
    write(tmp_path / "1.csv", "id,name,day\n1,,2024-01-01\n")
    write(tmp_path / "2.csv", "id,name,extra,day\n1.5,7,x,\n")
    types = {column.name: column.type for column in files.connector.columns(files.request("*.csv"))}
    assert types == {"id": "DOUBLE", "name": "BIGINT", "day": "DATE", "extra": "VARCHAR"}


def test_a_folder_means_the_files_in_it_and_hidden_ones_are_left_out(files: Files, tmp_path: Path) -> None:
    write(tmp_path / "in/a.csv", "x\n1\n")
    write(tmp_path / "in/.b.csv", "x\n2\n")
    write(tmp_path / "in/deep/c.csv", "x\n3\n")
    assert set(files.read("in").position or {}) == {"in/a.csv"}
    assert set(files.read("in/**").position or {}) == {"in/a.csv", "in/deep/c.csv"}
    assert set(files.read(["in/a.csv", "in/*.csv", "in/deep/c.csv"]).position or {}) == {"in/a.csv", "in/deep/c.csv"}


def test_names_with_quotes_blanks_and_other_scripts_are_read(files: Files, tmp_path: Path) -> None:
    name = 'in/it\'s a "größe" 漢字.csv'
    write(tmp_path / name, "x\n1\n")
    [row] = read_rows(files.read("in/*.csv"), keep_technical=True)
    assert row == {"x": 1, "_hw_file": name, "_hw_position": name}


def test_files_outside_the_project_keep_their_whole_path(open_files: Callable[..., Files], tmp_path: Path) -> None:
    write(tmp_path / "outside/a.csv", "x\n1\n")
    project = tmp_path / "project"
    project.mkdir()
    connector = FilesConnector(ConnectorContext("stuff", project, connection=str(tmp_path / "outside")))
    request = Files(tmp_path).request("*.csv")
    [row] = read_rows(connector.read(request), keep_technical=True)
    assert row["_hw_file"] == str(tmp_path / "outside/a.csv")
    connector.close()


def test_what_is_not_there_is_told_and_an_empty_folder_is_not_an_error(files: Files, tmp_path: Path) -> None:
    with pytest.raises(StreamNotFound, match=r"no file nonesuch\.csv"):
        files.read("nonesuch.csv")
    with pytest.raises(StreamNotFound, match="no folder for nonesuch/"):
        files.read("nonesuch/*.csv")
    with pytest.raises(StreamNotFound, match="names no file"):
        files.read([])
    (tmp_path / "in").mkdir()
    assert files.read("in/*.csv").note == "no file matches"


def test_a_preview_reads_few_rows(files: Files, tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "x\n" + "1\n" * 1000)
    assert len(read_rows(files.read("a.csv", limit=3))) == 3


def test_discovery_takes_files_that_differ_in_digits_as_one_stream(files: Files, tmp_path: Path) -> None:
    for month in ("01", "02"):
        write(tmp_path / f"data/orders-2024-{month}.csv", "id\n1\n")
    write(tmp_path / "data/people.ndjson", '{"id": 1}\n')
    write(tmp_path / "data/readme.md", "no data")
    found = {stream.name: stream.definition["path"] for stream in files.connector.discover()}
    assert found == {"orders": "data/orders-*.csv", "people": "data/people.ndjson"}
