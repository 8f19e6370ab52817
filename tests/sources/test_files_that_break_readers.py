"""Every faulty file gives a clear error naming it, or its good rows and the rest as rejects; nothing is lost without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from file_kit import Files

from headwater.engine import Engine
from headwater.errors import SourceDataInvalid, SourceUnreachable, StreamNotFound
from headwater.sources import scan_ready
from headwater.testing import faulty_files, read_rejects, read_rows


@pytest.mark.parametrize("missing_bytes", [2, 8, 40, 4000])
def test_a_gzip_file_cut_off_anywhere_is_refused_whole(files: Files, tmp_path: Path, missing_bytes: int) -> None:
    faulty_files.truncated_gzip(tmp_path / "table.csv.gz", missing_bytes=missing_bytes)
    with pytest.raises(SourceDataInvalid, match=r"table.csv.gz is cut off or damaged") as caught:
        files.read("table.csv.gz")
    assert "nothing of it was loaded" in str(caught.value)


def test_the_engine_alone_would_lose_the_end_of_a_zstd_file(tmp_path: Path) -> None:
    """When this fails the engine notices by itself, and `verify_zstd` can go."""
    path = faulty_files.truncated_zstd(tmp_path / "table.csv.zst")
    with Engine() as engine, engine.connection() as connection:
        columns = "{'a': 'VARCHAR', 'b': 'VARCHAR', 'c': 'VARCHAR'}"
        rows = connection.execute(f"SELECT count(*) FROM read_csv('{path}', auto_detect = false, header = true, columns = {columns})").scalar()
    assert rows < 2000


def test_a_zstd_file_cut_off_is_refused(files: Files, tmp_path: Path) -> None:
    faulty_files.truncated_zstd(tmp_path / "table.csv.zst")
    with pytest.raises(SourceDataInvalid, match=r"table.csv.zst is cut off or damaged"):
        files.read("table.csv.zst")


def test_a_damaged_zip_is_refused(files: Files, tmp_path: Path) -> None:
    faulty_files.damaged_zip(tmp_path / "table.zip")
    with pytest.raises(SourceDataInvalid, match=r"table.zip is cut off or damaged"):
        files.read("table.zip")


def test_lines_that_are_not_utf8_are_rejects(files: Files, tmp_path: Path) -> None:
    faulty_files.mixed_encoding(tmp_path / "table.csv")
    reading = files.read("table.csv")
    assert [row["name"] for row in read_rows(reading)] == ["Zoë", "Ünal"]
    [(raw, reason, position)] = read_rejects(reading)
    assert raw.startswith("2,Andr")
    assert "utf-8" in reason
    assert position == "table.csv:3"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le", "latin-1", "cp1252", "cp037"])
def test_other_encodings_are_read_when_named(files: Files, tmp_path: Path, encoding: str) -> None:
    faulty_files.in_encoding(tmp_path / "table.csv", encoding)
    rows = read_rows(files.read("table.csv", options={"encoding": encoding}))
    assert [row["name"] for row in rows] == ["Zoë", "André"]


@pytest.mark.parametrize("name", ["table.csv", "table.ndjson"])
def test_utf16_is_known_by_its_mark(files: Files, tmp_path: Path, name: str) -> None:
    text = '{"id": 1, "name": "Zoë"}\n' if name.endswith("ndjson") else "id,name\n1,Zoë\n"
    faulty_files.in_encoding(tmp_path / name, "utf-16", text)
    assert read_rows(files.read(name)) == [{"id": 1, "name": "Zoë"}]


def test_bytes_that_the_named_encoding_lacks_name_the_file(files: Files, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"id,name\n1,\x81\n")
    with pytest.raises(SourceDataInvalid, match=r"table.csv isn't written in cp1252") as caught:
        files.read("table.csv", options={"encoding": "cp1252"})
    assert "encoding" in str(caught.value.hint)


def test_an_unknown_encoding_is_refused(files: Files, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("id\n1\n")
    with pytest.raises(SourceDataInvalid, match="no encoding 'utf-99'"):
        files.read("table.csv", options={"encoding": "utf-99"})


def test_a_byte_order_mark_is_no_part_of_the_first_name(files: Files, tmp_path: Path) -> None:
    faulty_files.with_byte_order_mark(tmp_path / "table.csv")
    assert read_rows(files.read("table.csv")) == [{"id": 1, "name": "one"}]


def test_nul_bytes_are_kept(files: Files, tmp_path: Path) -> None:
    faulty_files.with_nul_bytes(tmp_path / "table.csv")
    assert [row["name"] for row in read_rows(files.read("table.csv"))] == ["o\x00ne", "two"]


def test_a_field_of_ten_megabytes_is_read(files: Files, tmp_path: Path) -> None:
    faulty_files.with_huge_field(tmp_path / "table.csv", 10_000_000)
    assert [len(row["name"]) for row in read_rows(files.read("table.csv"))] == [10_000_000, 3]


def test_two_thousand_columns_are_read(files: Files, tmp_path: Path) -> None:
    faulty_files.wide(tmp_path / "table.csv", 2000)
    rows = read_rows(files.read("table.csv"))
    assert [row["c1999"] for row in rows] == [1999, 3998]


def test_doubled_and_empty_column_names_get_numbers(files: Files, tmp_path: Path) -> None:
    faulty_files.with_duplicate_columns(tmp_path / "table.csv")
    assert read_rows(files.read("table.csv")) == [{"a": 1, "a_1": 2, "A_2": 3, "column3": 4, "b": 5}]


def test_a_file_may_not_bring_technical_columns(files: Files, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("_hw_file,_hw_position,_hw_load_id\na,b,c\n")
    assert read_rows(files.read("table.csv")) == [{"_hw_file_1": "a", "_hw_position_1": "b", "_hw_load_id_1": "c"}]


def test_ragged_rows_are_rejects_with_their_lines(files: Files, tmp_path: Path) -> None:
    faulty_files.ragged(tmp_path / "table.csv")
    reading = files.read("table.csv")
    assert read_rows(reading) == [{"a": 1, "b": 2, "c": 3}, {"a": 6, "b": 7, "c": 8}]
    rejects = read_rejects(reading)
    assert [position for _, _, position in rejects] == ["table.csv:3", "table.csv:5", "table.csv:6"]
    assert [raw.strip() for raw, _, _ in rejects] == ["4,5", "9,10,11,12", '13,"14,15']


@pytest.mark.parametrize("name", ["table.csv", "table.ndjson", "table.json"])
def test_an_empty_file_gives_nothing_and_is_not_read_again(files: Files, tmp_path: Path, name: str) -> None:
    faulty_files.empty(tmp_path / name)
    reading = files.read(name)
    assert reading.portions == ()
    assert "empty" in reading.note
    assert files.read(name, position=reading.position).portions == ()


def test_a_file_with_a_header_alone_gives_columns_and_no_rows(files: Files, tmp_path: Path) -> None:
    faulty_files.header_only(tmp_path / "table.csv")
    assert [column.name for column in files.connector.columns(files.request("table.csv"))] == ["id", "name"]
    assert read_rows(files.read("table.csv")) == []


def test_lines_that_are_no_json_objects_are_rejects(files: Files, tmp_path: Path) -> None:
    faulty_files.malformed_ndjson(tmp_path / "table.ndjson")
    reading = files.read("table.ndjson")
    assert read_rows(reading) == [
        {"id": 1, "name": "one", "extra": None},
        {"id": 4, "name": None, "extra": '{"deep":[1,2]}'},
        {"id": 7, "name": None, "extra": None},
    ]
    assert {(raw, reason) for raw, reason, _ in read_rejects(reading)} == {
        (raw, "not a JSON object") for raw in ('{"id": 2,', "[3]", '"five"', "6 six")
    }


def test_a_json_document_that_breaks_off_is_refused_without_its_values(files: Files, tmp_path: Path) -> None:
    faulty_files.malformed_json(tmp_path / "table.json")
    with pytest.raises(SourceDataInvalid) as caught:
        read_rows(files.read("table.json"))
    assert "table.json" in str(caught.value)
    assert "[{" not in str(caught.value)


@pytest.mark.parametrize(("text", "rejects"), [("42", 1), ("[1, 2]", 2), ('{"a": 1} {"a": 2}', 0), ("[]", 0)])
def test_json_of_another_shape_is_rejected_or_read(files: Files, tmp_path: Path, text: str, rejects: int) -> None:
    (tmp_path / "table.json").write_text(text)
    reading = files.read("table.json")
    assert len(read_rejects(reading)) == rejects
    assert read_rows(reading) == ([{"a": 1}, {"a": 2}] if "a" in text else [])


def test_a_json_key_that_comes_late_is_not_lost(files: Files, tmp_path: Path) -> None:
    lines = [f'{{"id": {number}}}' for number in range(30_000)] + ['{"id": 30000, "Late": true, "late": "two", "a/b~c": 1}']
    (tmp_path / "table.ndjson").write_text("\n".join(lines))
    rows = read_rows(files.read("table.ndjson"))
    assert len(rows) == 30_001
    assert rows[-1] == {"id": 30_000, "Late": "true", "a/b~c": "1", "late_1": "two"}


@pytest.mark.parametrize("name", ["table.parquet", "table.xlsx"])
def test_a_file_that_is_not_what_its_name_says_is_refused(files: Files, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("id,name\n1,one\n")
    with pytest.raises(SourceDataInvalid) as caught:
        read_rows(files.read(name))
    assert name in str(caught.value)


def test_mixed_line_ends_are_refused_with_the_option_that_helps(files: Files, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"a,b\r\n1,2\n3,4\r5,6\n")
    with pytest.raises(SourceDataInvalid):
        read_rows(files.read("table.csv"))
    assert len(read_rows(files.read("table.csv", options={"strict_mode": False}))) == 3


def test_times_beyond_range_stay_text_for_the_contract_to_judge(files: Files, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("at,day\n2024-01-01 00:00:00,2024-01-01\n999999-01-01 00:00:00,2024-02-30\n")
    reading = files.read("table.csv")
    assert read_rows(reading) == [{"at": "2024-01-01 00:00:00", "day": "2024-01-01"}, {"at": "999999-01-01 00:00:00", "day": "2024-02-30"}]


def test_a_hundred_thousand_files_are_listed_at_once_and_read_in_batches(files: Files, tmp_path: Path) -> None:
    """Listed and compared all; only the new thousand and one are read."""
    faulty_files.many(tmp_path / "many", 3000)
    found = files.connector._listed("many/part-*.csv")
    known: dict[str, Any] = {file.key: dict(file.stamp) for file in found[:1999]}
    known |= {f"many/old-{number}.csv": {"size": 1, "mtime": 1} for number in range(97_000)}
    reading = files.read("many/part-*.csv", position=known)
    assert [len(portion.files) for portion in reading.portions] == [1000, 1]
    assert len(read_rows(reading)) == 1001


def test_what_was_unpacked_is_gone_after_the_read(files: Files, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "table.zip", "w") as archive:
        archive.writestr("one.csv", "a\n1\n")
        archive.writestr("two.csv", "a\n2\n")
        archive.writestr("__MACOSX/one.csv", "junk")
    reading = files.read("table.zip")
    assert [row["a"] for row in read_rows(reading)] == [1, 2]
    assert [path for path in (tmp_path / "temp").rglob("*") if path.is_file()] == []


def test_a_zip_with_members_of_two_formats_gives_both(files: Files, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "table.zip", "w") as archive:
        archive.writestr("one.csv", "a\n1\n")
        archive.writestr("two.ndjson", '{"a": 2}\n')
    rows = read_rows(files.read("table.zip"), keep_technical=True)
    assert [(row["a"], row["_hw_file"], row["_hw_position"]) for row in rows] == [
        (1, "table.zip", "table.zip!one.csv"),
        (2, "table.zip", "table.zip!two.ndjson"),
    ]


def test_a_name_that_tells_no_format_asks_for_one(files: Files, tmp_path: Path) -> None:
    (tmp_path / "table.dat").write_text("a\n1\n")
    with pytest.raises(SourceDataInvalid, match="doesn't tell its format") as caught:
        files.read("table.dat")
    assert caught.value.hint == "set format: of the stream"
    assert read_rows(files.read("table.dat", format="csv")) == [{"a": 1}]


def test_an_unknown_format_is_refused(files: Files, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a\n1\n")
    with pytest.raises(SourceDataInvalid, match="no format 'avro'"):
        files.read("table.csv", format="avro")


def test_a_file_without_the_right_to_read_it_is_unreachable(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "table.csv").write_text("a\n1\n")
    (tmp_path / "table.csv").chmod(0)
    try:
        with (tmp_path / "table.csv").open():
            pytest.skip("this user may read everything")
    except PermissionError:
        pass
    with pytest.raises(SourceUnreachable, match="may not be read"):
        files.read("table.csv")


def test_a_file_taken_away_between_planning_and_reading_is_told(files: Files, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a\n1\n")
    reading = files.read("table.csv")
    (tmp_path / "table.csv").unlink()
    with pytest.raises(StreamNotFound):
        read_rows(reading)


def test_an_error_of_writing_inside_a_scan_keeps_its_kind(files: Files, tmp_path: Path) -> None:
    from headwater.errors import LakeReadOnly

    (tmp_path / "table.csv").write_text("a\n1\n")
    [portion] = files.read("table.csv").portions
    with Engine() as engine, engine.connection() as connection, pytest.raises(LakeReadOnly), scan_ready(connection, portion.data):  # type: ignore[arg-type]
        raise LakeReadOnly("nothing can be written here", found="read-only file system")


def test_a_file_of_lines_none_of_which_is_an_object_gives_rejects_alone(files: Files, tmp_path: Path) -> None:
    (tmp_path / "table.ndjson").write_bytes(b'{"a": "\xff"}\n')
    reading = files.read("table.ndjson")
    assert read_rows(reading) == []
    assert [position for _, _, position in read_rejects(reading)] == ["table.ndjson:1"]
