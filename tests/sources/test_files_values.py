"""How values come out of the text formats: nothing is guessed that could be guessed wrong."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from file_kit import Files

from headwater.sources import Scan
from headwater.testing import read_rejects, read_rows


def suggested(files: Files, path: str, **stream: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for portion in files.read(path, **stream).portions:
        assert isinstance(portion.data, Scan)
        found |= portion.data.suggested_types
    return found


@pytest.mark.parametrize(
    ("values", "type_name"),
    [
        (["1", "-2", "+3"], "BIGINT"),
        (["1", "2.5"], "DOUBLE"),
        (["1e5", ".5", "2."], "DOUBLE"),
        (["007", "1"], None),
        (["12345678901234567890"], None),
        (["true", "FALSE"], "BOOLEAN"),
        (["yes", "no"], None),
        (["2024-02-29"], "DATE"),
        (["2023-02-29"], None),
        (["03/04/2024"], None),
        (["2024-01-01", "2024-01-01 10:00"], "TIMESTAMP"),
        (["2024-01-01T10:00:00.123"], "TIMESTAMP"),
        (["2024-01-01T10:00:00Z", "2024-01-01 10:00:00+02:00"], "TIMESTAMP WITH TIME ZONE"),
        (["2024-01-01 10:00:00", "2024-01-01T10:00:00Z"], None),
        (["", ""], None),
        (["1", "x"], None),
        (["NaN", "1.0"], None),
    ],
)
def test_a_type_is_suggested_when_all_values_have_one_form(files: Files, tmp_path: Path, values: list[str], type_name: str | None) -> None:
    (tmp_path / "a.csv").write_text("k,v\n" + "".join(f"{number},{value}\n" for number, value in enumerate(values)))
    assert suggested(files, "a.csv").get("v") == type_name


def test_an_empty_field_is_null_and_other_texts_are_when_named(files: Files, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("k,v\n1,\n2,NA\n3,-\n4,5\n")
    assert [row["v"] for row in read_rows(files.read("a.csv", options={"nullstr": ["", "NA", "-"]}))] == [None, None, None, 5]
    assert suggested(files, "a.csv") == {"k": "BIGINT"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_in_the_header(files: Files, tmp_path: Path, delimiter: str) -> None:
    (tmp_path / "a.csv").write_text(delimiter.join(["id", '"a,b;c|d"', "z"]) + "\n" + delimiter.join("123") + "\n")
    assert read_rows(files.read("a.csv")) == [{"id": 1, "a,b;c|d": 2, "z": 3}]


def test_a_tsv_file_is_cut_at_tabs_alone(files: Files, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("a,b\tc\n1,5\t2\n")
    assert read_rows(files.read("a.tsv")) == [{"a,b": "1,5", "c": 2}]


def test_dialects_are_options(files: Files, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("made by X\n# a comment\n1^'it^s'^2\n")
    options = {"skip": 1, "comment": "#", "header": False, "names": ["a", "b", "c"], "delim": "^", "quote": "'"}
    assert read_rows(files.read("a.txt", options=options)) == [{"a": 1, "b": "it^s", "c": 2}]


def test_a_file_without_header_has_numbered_columns(files: Files, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,x\n2,y\n")
    assert read_rows(files.read("a.csv", options={"header": False})) == [{"column0": 1, "column1": "x"}, {"column0": 2, "column1": "y"}]


def test_blank_lines_and_comments_before_the_header_are_passed_over(files: Files, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n\na,b\n1,2\n")
    assert read_rows(files.read("a.csv")) == [{"a": 1, "b": 2}]


def test_local_numbers_and_dates_are_brought_into_the_common_form(files: Files, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("amount;day;at;code\n1.234,50;31.12.2024;31.12.2024 23:59;1,5x\n-7;01.02.2024;01.02.2024 00:00;2,5\n")
    options = {"decimal_separator": ",", "thousands": ".", "dateformat": "%d.%m.%Y", "timestampformat": "%d.%m.%Y %H:%M"}
    assert read_rows(files.read("a.csv", options=options)) == [
        {"amount": 1234.5, "day": date(2024, 12, 31), "at": datetime(2024, 12, 31, 23, 59), "code": "1,5x"},
        {"amount": -7.0, "day": date(2024, 2, 1), "at": datetime(2024, 2, 1), "code": "2,5"},
    ]


def test_a_declared_type_decides_where_the_sample_does_not(files: Files, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('amount\n"1,50"\nunknown\n')
    rows = read_rows(files.read("a.csv", options={"decimal_separator": ","}, types={"AMOUNT": "decimal(10,2)"}), cast=False)
    assert [row["amount"] for row in rows] == ["1.50", "unknown"]


def test_digits_of_numbers_are_all_there(files: Files, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("v\n0.12345678901234567890123\n123456789012345678901234567890\n")
    assert [row["v"] for row in read_rows(files.read("a.csv"), cast=False)] == ["0.12345678901234567890123", "123456789012345678901234567890"]


def test_a_line_in_the_middle_of_a_packed_file_is_told_by_its_number(files: Files, tmp_path: Path) -> None:
    import gzip

    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 5000 + b"3\n" + b"4,5\n" * 5000))
    reading = files.read("a.csv.gz")
    assert len(read_rows(reading)) == 10_000
    assert [position for _, _, position in read_rejects(reading)] == ["a.csv.gz:5002"]


def test_parquet_files_of_other_types_are_read_apart(files: Files, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": pa.array([1], pa.int32()), "v": ["x"]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"id": pa.array([2.5]), "w": [True]}), tmp_path / "2.parquet")
    pq.write_table(pa.table({"id": pa.array([3], pa.int32()), "v": ["z"]}), tmp_path / "3.parquet")
    reading = files.read("*.parquet")
    assert [portion.files for portion in reading.portions] == [("1.parquet", "3.parquet"), ("2.parquet",)]
    assert read_rows(reading) == [{"id": 1, "v": "x"}, {"id": 3, "v": "z"}, {"id": 2.5, "w": True}]


def test_zipped_and_packed_parquet_and_excel_are_read(files: Files, tmp_path: Path) -> None:
    import zipfile

    pq.write_table(pa.table({"id": [1]}), tmp_path / "one.parquet")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(tmp_path / "one.parquet", "one.parquet")
    assert read_rows(files.read("z.zip")) == [{"id": 1}]


def test_an_excel_column_keeps_the_words_below_its_numbers(files: Files, tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.create_sheet("Data")
    for row in (
        ["id", "when", "day"],
        [1, datetime(2024, 1, 2, 3, 4, 5), date(2024, 1, 2)],
        ["n/a", None, "soon"],
        [3, datetime(1999, 12, 31), None],
    ):
        sheet.append(row)
    book.save(tmp_path / "book.xlsx")
    rows = read_rows(files.read("book.xlsx", options={"sheet": "Data"}), cast=False)
    assert [row["id"] for row in rows] == ["1", "n/a", "3"]
    assert [row["when"] for row in rows] == ["2024-01-02 03:04:05.000", None, "1999-12-31 00:00:00.000"]
    assert [row["day"] for row in rows] == ["2024-01-02", "soon", None]


def test_an_unknown_sheet_is_refused_with_its_name(files: Files, tmp_path: Path) -> None:
    import openpyxl

    from headwater.errors import SourceError

    openpyxl.Workbook().save(tmp_path / "book.xlsx")
    with pytest.raises(SourceError, match="Three"):
        files.read("book.xlsx", options={"sheet": "Three"})
