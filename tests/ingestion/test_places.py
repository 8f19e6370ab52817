"""Rejected rows of delimited files tell their lines, right ones or none."""

from __future__ import annotations

import gzip
import os
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loading_kit import FileLoads, source_of

from headwater.errors import Interrupted
from headwater.ingestion import places
from headwater.sources import Connector, Reread, Scan
from headwater.sources.files import again
from headwater.storage import Lake

_TYPED: dict[str, Any] = {"columns": {"id": "bigint", "n": "bigint"}}


@pytest.fixture
def files(lake: Lake, tmp_path: Path) -> FileLoads:
    return FileLoads(lake, tmp_path)


@pytest.fixture
def rereads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels of files that are read a second time."""
    asked: list[str] = []
    opened = again.open_unpacked

    def noted(file: Any) -> Any:
        asked.append(file.label)
        return opened(file)

    monkeypatch.setattr(again, "open_unpacked", noted)
    return asked


@pytest.mark.parametrize(
    ("content", "options", "lines"),
    [
        ('id,n\n1,10\n2,x\n3,"30"\n4,"y"\n', {}, [3, 5]),
        ('id,n,note\n1,10,"two\nlines"\n2,x,\n3,x,"a\n\nb"\n4,x,\n', {}, [4, 5, 8]),
        ("id,n\n\n\n1,10\n\n2,x\n", {}, [6]),
        ("id,n\r\n1,10\r\n\r\n2,x\r\n", {}, [4]),
        ('id,n,note\r\n1,10,"a\r\nb"\r\n2,x,"c\r\nd"\r\n', {}, [4]),
        ("\ufeffid,n\n1,x\n2,2\n", {}, [2]),
        ("# made by hand\nid,n\n# half\n1,10\n2,x # sic\n3,x\n", {"comment": "#"}, [5, 6]),
        ('report "of\nmany\nid,n\n1,10\n2,x\n', {"skip": 2}, [5]),
        ("1,10\n2,x\n", {"header": False, "names": ["id", "n"]}, [2]),
        ("id,n\n1,10\n2,x\n1,10\n2,x\n2,x", {}, [3, 5, 6]),
        ("id,n\n1,10\nid,n\n2,20\n", {}, [3]),
        ("id,n\n1,10\n2,NA\n3,oops\n,oops\n", {"nullstr": ["NA", ""]}, [4, 5]),
        ("id;n\n1;1.000\n2;1.000,5\n3;x\n", {"decimal_separator": ",", "thousands": "."}, [3, 4]),
        ("id,n\n1,10\n2\n3,x\n", {"null_padding": True}, [4]),
        ("id|n\n'1|1'|2\n3|4\n5|'x\n''y'\n6|x\n", {"delim": "|", "quote": "'"}, [2, 4, 6]),
        ('id,n,note\n1,10,"a\\"\n,b"\n2,x,"a\\\\"\n3,x,\n', {"escape": "\\"}, [4, 5]),
        ('id,n\n1,10\n1,"2\n2,x\n', {"quote": ""}, [3, 4]),
        ("id\tn\n1\t10\n2\tx\n".encode("utf-16"), {"delim": "\t"}, [3]),
        ("id,n,note\n1,10,é\n2,x,é\n".encode("latin-1"), {"encoding": "latin-1"}, [3]),
        ("id,n,note\n1,10,é\n2,x,€\n".encode("cp1252"), {"encoding": "cp1252"}, [3]),
        (b"id,n\n1,10\n2,\xff\n3,x\n", {}, [3, 4]),
        ("id,n\r1,10\r2,x\r", {}, [3]),
        ('id,n\n1,10,\n2,x,\n3,x,,""\n4,40,1\n', {}, [3, 4, 5]),
        ('id,n\n1,10\n2,"x" "\ny\n3,x" \n4,x\n', {}, [3, 6]),
    ],
)
def test_a_row_that_breaks_its_contract_tells_its_line(files: FileLoads, content: str | bytes, options: dict[str, Any], lines: Sequence[int]) -> None:
    files.write("a.csv", content)
    files.run({"path": "a.csv", "options": options, **_TYPED})
    assert files.at() == [f"a.csv:{line}" for line in lines]


def test_lines_that_the_reader_refuses_count_the_newlines_in_fields_before_them(files: FileLoads) -> None:
    files.write("a.csv", 'id,n,note\n1,10,"two\nlines"\n2,20,x,extra\n\n3,30\n4,x,\n5,5,5\n')
    files.run({"path": "a.csv", **_TYPED})
    assert files.at() == ["a.csv:4", "a.csv:6", "a.csv:7"]


@pytest.mark.parametrize("disposition", [{}, {"primary_key": "id"}, {"write_disposition": "replace"}])
def test_of_several_files_each_row_tells_its_own_and_the_others_are_not_read_again(
    files: FileLoads, rereads: list[str], disposition: dict[str, Any]
) -> None:
    files.write("a.csv", "id,n\n1,10\n2,x\n")
    files.write("b.csv", "id,n\n3,10\n4,20\n")
    files.write("c.csv", "n,id\ny,5\n1,6\n")
    files.run({"path": "*.csv", **disposition, **_TYPED})
    assert files.at() == ["a.csv:3", "c.csv:2"]
    assert rereads == ["a.csv", "c.csv"]


def test_packed_files_and_members_of_archives_tell_lines(files: FileLoads) -> None:
    text = 'id,n\n1,"1\n"\n2,x\n'
    files.write("a.csv.gz", gzip.compress(text.encode()))
    with pa.output_stream(str(files.folder / "b.csv.zst"), compression="zstd") as out:
        out.write(text.replace("2", "3").encode())
    with zipfile.ZipFile(files.folder / "c.zip", "w") as archive:
        archive.writestr("one.csv", text.replace("2", "4"))
        archive.writestr("two.csv", "id,n\n\n5,x\n")
    files.run({"path": ["*.csv.*", "*.zip"], **_TYPED})
    assert files.at() == ["a.csv.gz:4", "b.csv.zst:4", "c.zip!one.csv:4", "c.zip!two.csv:3"]


def test_a_load_without_rejects_reads_nothing_again(files: FileLoads, rereads: list[str]) -> None:
    files.write("a.csv", "id,n\n1,10\n")
    files.run({"path": "a.csv", **_TYPED})
    assert rereads == []


def test_rows_that_wait_already_are_not_looked_for_again(files: FileLoads, rereads: list[str]) -> None:
    stream = {"path": "*.csv", "write_disposition": "replace", **_TYPED}
    files.write("a.csv", "id,n\n1,10\n2,x\n")
    files.run(stream)
    files.write("b.csv", "id,n\n3,30\n")
    files.run(stream)
    assert rereads == ["a.csv"]
    files.write("a.csv", "id,n\n2,x\n1,10\n2,x\n")
    files.run(stream)
    assert files.at() == ["a.csv:3", "a.csv:4"]


@pytest.mark.parametrize("disposition", [{}, {"primary_key": "id"}])
def test_rows_of_text_alone_that_fail_a_check_tell_their_lines(files: FileLoads, disposition: dict[str, Any]) -> None:
    columns = {"id": "varchar", "n": {"type": "varchar", "checks": [{"accepted_values": ["yes", "no"]}]}}
    files.write("a.csv", 'id,n\na,yes\n"b\n",no\nc,perhaps\n')
    files.write("b.csv", 'id,n,more\nd,yes,\ne,"\n",x\n')
    files.run({"path": "*.csv", "columns": columns, **disposition})
    assert files.at() == ["a.csv:5", "b.csv:3"]


def test_two_thousand_columns(files: FileLoads) -> None:
    names = [f"c{number}" for number in range(2000)]
    good, bad = ["1"] * 2000, ["1"] * 1999 + ["x"]
    files.write("a.csv", "\n".join(",".join(row) for row in (names, good, bad, good)))
    files.run({"path": "a.csv", "columns": {"c1999": "bigint"}})
    assert files.at() == ["a.csv:3"]


def test_selected_columns_are_compared_alone_and_rows_equal_in_them_tell_their_lines(files: FileLoads) -> None:
    files.write("a.csv", "id,n,more\n1,x,1\n2,10,2\n1,x,3\n")
    files.run({"path": "a.csv", "select": ["id", "n"], "columns": {"n": "bigint"}})
    assert files.at() == ["a.csv:2", "a.csv:4"]


class _Meddling:
    """A connector whose files are changed once they were read, before they are read again."""

    def __init__(self, connector: Connector, meddle: Any) -> None:
        self._connector, self._meddle = connector, meddle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connector, name)

    def read(self, request: Any) -> Any:
        reading = self._connector.read(request)

        def meddled(scan: Scan) -> Scan:
            assert scan.reread is not None
            reread = scan.reread

            def first_meddle(place: str | None) -> Reread | None:
                self._meddle()
                return reread(place)

            return replace(scan, reread=first_meddle)

        return replace(reading, portions=tuple(replace(p, data=meddled(p.data)) for p in reading.portions))


def _change(path: Path, text: str) -> None:
    path.write_text(text)
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("meddle", [Path.unlink, lambda path: _change(path, "id,n\n2,x\n1,10\n"), lambda path: path.write_bytes(b"\xff\xfe\x00")])
def test_a_file_changed_or_gone_before_the_second_look_is_told_alone(files: FileLoads, meddle: Any) -> None:
    path = files.write("a.csv", "id,n\n1,10\n2,x\n")
    source = source_of({"path": "a.csv", **_TYPED}, type="files")
    connector = files.open(source)
    prepared = files.load(_Meddling(connector, lambda: meddle(path)), source)
    connector.close()
    assert prepared.rows_rejected == 1
    assert files.at() == ["a.csv"]
    assert files.rows("id, n") == [(1, 10)]


def test_beyond_the_most_rejects_the_file_is_told_alone(files: FileLoads, rereads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MOST_REJECTS", 2)
    files.write("a.csv", "id,n\n1,10\n2,x\n3,x\n4,x\n")
    files.write("b.csv", "id,n\n1,10\n5,x\n")
    files.run({"path": "*.csv", **_TYPED})
    assert files.at() == ["a.csv", "a.csv", "a.csv", "b.csv:3"]
    assert rereads == ["b.csv"]


@pytest.mark.parametrize(("limit", "most"), [("MOST_REJECTS", 3), ("MOST_REJECT_BYTES", 3 * len('{"id":"1","n":"x"}'))])
def test_files_beyond_the_most_rejects_of_one_load_are_told_alone(
    files: FileLoads, rereads: list[str], monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    monkeypatch.setattr(places, limit, most)
    files.write("a.csv", "id,n\n1,x\n2,x\n3,x\n4,x\n")
    files.write("b.csv", "id,n\n5,x\n6,60\n")
    files.write("c.csv", "id,n\n7,x\n8,x\n")
    files.write("d.csv", "id,n\n9,x\n")
    files.run({"path": "*.csv", **_TYPED})
    assert files.at() == ["a.csv"] * 4 + ["b.csv:2", "c.csv:2", "c.csv:3", "d.csv"]
    assert rereads == ["b.csv", "c.csv"]


@pytest.mark.parametrize("limit", ["MOST_BYTES", "MAX_LINE_BYTES"])
def test_beyond_the_most_bytes_the_file_is_told_alone(files: FileLoads, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(again, limit, 10)
    files.write("a.csv.gz", gzip.compress(b'id,n\n1,10\n2,"x\n' + b"x" * 100 + b'"\n'))
    files.run({"path": "a.csv.gz", **_TYPED})
    assert files.at() == ["a.csv.gz"]


@pytest.mark.parametrize(("most", "lines"), [(240, ["a.csv.gz:3", "b.csv.gz:3"]), (239, ["-", "-"])])
@pytest.mark.parametrize("other_header", ["id,n", "n,id"])
def test_of_files_whose_rows_are_not_told_apart_the_most_bytes_are_of_all_together(
    files: FileLoads, monkeypatch: pytest.MonkeyPatch, other_header: str, most: int, lines: list[str]
) -> None:
    monkeypatch.setattr(again, "MOST_BYTES", most)
    columns = {"id": "varchar", "n": {"type": "varchar", "checks": [{"accepted_values": ["1", "2"]}]}}
    for name, header, row in (("a", "id,n", "2,x"), ("b", other_header, "x,3" if other_header == "n,id" else "3,x")):
        files.write(f"{name}.csv.gz", gzip.compress(f"{header}\n1,1\n{row}\n".ljust(120, "\n").encode()))
    files.run({"path": "*.csv.gz", "columns": columns, "primary_key": "id"})
    assert files.at() == lines


def test_a_cancelled_load_stops_in_the_second_look(files: FileLoads) -> None:
    files.write("a.csv", "id,n\n1,10\n2,x\n")
    source = source_of({"path": "a.csv", **_TYPED}, type="files")
    connector = files.open(source)
    cancelled: list[bool] = []
    with pytest.raises(Interrupted):
        files.load(_Meddling(connector, lambda: cancelled.append(True)), source, is_cancelled=lambda: bool(cancelled))
    connector.close()


@pytest.mark.parametrize("disposition", [{}, {"primary_key": "id"}])
def test_a_corrected_file_ends_the_waiting_of_its_lines_too(files: FileLoads, disposition: dict[str, Any]) -> None:
    stream = {"path": "*.csv", **disposition, **_TYPED}
    files.write("a.csv", "id,n\n1,10\n2,20,extra\n3,x\n")
    files.write("b.csv", "id,n\n4,10\n5,20,extra\n")
    files.run(stream)
    assert files.at() == ["a.csv:3", "a.csv:4", "b.csv:3"]
    files.write("a.csv", "id,n\n1,10\n2,20\n3,30\n")
    files.run(stream)
    assert files.at() == ["b.csv:3"]


@pytest.mark.parametrize("disposition", [{}, {"primary_key": "id"}])
def test_so_does_a_corrected_file_whose_name_has_exclamation_marks(files: FileLoads, disposition: dict[str, Any]) -> None:
    def pack(*rows: str) -> None:
        with zipfile.ZipFile(files.folder / "c!.zip", "w") as archive:
            archive.writestr("odd!.csv", "\n".join(("id,n", *rows)))

    stream = {"path": ["*.csv", "*.zip"], **disposition, **_TYPED}
    files.write("a!b.csv", "id,n\n1,10\n2,20,extra\n3,x\n")
    files.write("b.csv", "id,n\n4,10\n5,20,extra\n")
    pack("6,60", "7,70,extra", "8,x")
    files.run(stream)
    assert files.at() == ["a!b.csv:3", "a!b.csv:4", "b.csv:3", "c!.zip!odd!.csv:3", "c!.zip!odd!.csv:4"]
    files.write("a!b.csv", "id,n\n1,10\n2,20\n3,30\n")
    pack("6,60", "7,70", "8,80")
    files.run(stream)
    assert files.at() == ["b.csv:3"]


_FIELD = st.text(st.sampled_from('x1, "\n'), max_size=4)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.one_of(st.tuples(_FIELD, st.sampled_from(["1", "x", "y y"])), st.none()), max_size=12), end=st.sampled_from(["\n", "\r\n"]))
def test_every_rejected_row_of_any_file_tells_the_line_it_begins_on(lake: Lake, tmp_path: Path, rows: list[Any], end: str) -> None:
    files = FileLoads(lake, tmp_path)
    text, expected = f"note,n{end}good,1{end}", []
    for row in rows:
        line = text.count("\n") + 1
        if row is not None:
            note, n = row
            text += '"' + note.replace('"', '""') + '",' + n
            expected += [f"a.csv:{line}"] if n != "1" else []
        text += end
    files.write("a.csv", text)
    name = f"t{len(list(tmp_path.iterdir()))}_{abs(hash(text))}"
    source = source_of({"path": "a.csv", "columns": {"n": "bigint"}}, type="files", stream_name=name)
    connector = files.open(source)
    files.load(connector, source, name)
    connector.close()
    assert files.at(f"shop.{name}") == sorted(expected)
