"""Files in S3 and at URLs, against servers of the tests' own."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from file_kit import Files

from headwater.errors import SourceDataInvalid, SourceError, SourceReadFailed, SourceUnreachable, StreamNotFound
from headwater.sources import Reading, Scan
from headwater.sources.files import again
from headwater.testing import faulty_files, read_rows

KEYS = {"key_id": "testing", "secret": "hunter22-s3", "region": "us-east-1"}


@pytest.fixture
def stored(open_files: Callable[..., Files], s3_endpoint: str, bucket: Any) -> Files:
    return open_files(connection={**KEYS, "endpoint": s3_endpoint, "path": f"s3://{bucket.name}/"})


def test_new_and_changed_objects_are_read(stored: Files, bucket: Any) -> None:
    bucket.put_object(Key="in/1.csv", Body=b"id,name\n1,one\n")
    bucket.put_object(Key="in/2.csv", Body=b"id,name\n2,two\n")
    first = stored.read("in/*.csv")
    assert set(first.position or {}) == {f"s3://{bucket.name}/in/1.csv", f"s3://{bucket.name}/in/2.csv"}
    rows = read_rows(first, keep_technical=True)
    assert {(row["id"], row["_hw_file"]) for row in rows} == {(1, f"s3://{bucket.name}/in/1.csv"), (2, f"s3://{bucket.name}/in/2.csv")}
    assert stored.read("in/*.csv", position=first.position).portions == ()
    bucket.put_object(Key="in/2.csv", Body=b"id,name\n2,twice\n")
    second = stored.read("in/*.csv", position=first.position)
    assert second.replaced_files == (f"s3://{bucket.name}/in/2.csv",)
    assert read_rows(second) == [{"id": 2, "name": "twice"}]


def test_packed_objects_and_other_formats_are_read(stored: Files, bucket: Any) -> None:
    table, packed = io.BytesIO(), io.BytesIO()
    pq.write_table(pa.table({"id": [1]}), table)
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", "id\n2\n")
    bucket.put_object(Key="a.parquet", Body=table.getvalue())
    bucket.put_object(Key="b.zip", Body=packed.getvalue())
    bucket.put_object(Key="c.ndjson.gz", Body=gzip.compress(b'{"id": 3}\n'))
    bucket.put_object(Key="d.json", Body=b'[{"id": 4}]')
    for number, name in enumerate(("a.parquet", "b.zip", "c.ndjson.gz", "d.json"), 1):
        assert read_rows(stored.read(name)) == [{"id": number}]


def _lines(reading: Reading, place: str | None = None) -> list[tuple[str, int]]:
    """Where the rows begin, by a second look at one place."""
    found = []
    for portion in reading.portions:
        assert isinstance(portion.data, Scan)
        assert portion.data.reread is not None
        part = portion.data.reread(place)
        found += [(at, line) for at, line, _ in part.rows] if part else []
    return found


def test_a_small_object_is_fetched_again_for_its_lines_unless_it_changed(stored: Files, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put_object(Key="a.csv", Body=b'id,name\n1,"one\n"\n2,two\n')
    bucket.put_object(Key="b.csv.gz", Body=gzip.compress(b"id,name\n\n3,three\n"))
    reading = stored.read("*.csv*")
    name = f"s3://{bucket.name}/a.csv"
    assert _lines(reading, name) == [(name, 2), (name, 4)]
    assert _lines(reading, f"{name}.gz") == []
    assert _lines(reading, f"s3://{bucket.name}/b.csv.gz") == [(f"s3://{bucket.name}/b.csv.gz", 3)]
    monkeypatch.setattr(again, "MOST_FETCHED_BYTES", 10)
    with pytest.raises(SourceReadFailed, match="too long to be fetched again"):
        _lines(reading, name)
    monkeypatch.undo()
    bucket.put_object(Key="a.csv", Body=b'id,name\n1,"one\n"\n2,tw\n')
    with pytest.raises(SourceReadFailed, match="has changed"):
        _lines(reading, name)


def test_a_file_of_the_web_tells_its_lines_from_the_copy_that_was_fetched(files: Files, web: str, tmp_path: Path) -> None:
    path = tmp_path / "web/a.csv"
    path.write_text("id\n\n1\n")
    reading = files.read(f"{web}/a.csv")
    path.unlink()
    assert _lines(reading) == [(f"{web}/a.csv", 2), (f"{web}/a.csv", 3)]


def test_an_object_cut_off_is_refused(stored: Files, bucket: Any, tmp_path: Path) -> None:
    bucket.put_object(Key="a.csv.gz", Body=faulty_files.truncated_gzip(tmp_path / "a.gz").read_bytes())
    with pytest.raises(SourceDataInvalid, match="cut off or damaged"):
        stored.read("a.csv.gz")


def test_what_is_not_in_the_bucket_is_told(stored: Files, bucket: Any) -> None:
    with pytest.raises(StreamNotFound):
        stored.read("nonesuch.csv")
    assert stored.read("none/*.csv").note == "no file matches"


def test_check_and_discover_look_into_the_bucket(stored: Files, bucket: Any) -> None:
    bucket.put_object(Key="orders-2024-01.csv", Body=b"id\n1\n")
    bucket.put_object(Key="orders-2024-02.csv", Body=b"id\n2\n")
    assert "2 objects" in stored.connector.check()
    [found] = stored.connector.discover()
    assert (found.name, found.definition) == ("orders", {"path": "orders-*.csv"})


def test_credentials_may_come_from_the_environment(open_files: Callable[..., Files], s3_endpoint: str, bucket: Any) -> None:
    bucket.put_object(Key="a.csv", Body=b"id\n1\n")
    environ = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "hunter22-s3", "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": s3_endpoint}
    files = open_files(environ=environ)
    assert read_rows(files.read(f"s3://{bucket.name}/a.csv")) == [{"id": 1}]


def test_an_endpoint_that_is_away_is_an_error_without_the_keys(open_files: Callable[..., Files]) -> None:
    files = open_files(connection={**KEYS, "endpoint": "http://127.0.0.1:1"})
    with pytest.raises(SourceError) as caught:
        files.read("s3://nowhere/a.csv")
    assert "hunter22" not in str(caught.value)
    assert caught.value.retry == "yes"


def test_a_url_is_read_again_only_when_its_etag_changed(files: Files, web: str, tmp_path: Path) -> None:
    path = tmp_path / "web/a.csv"
    path.write_text("id,name\n1,one\n")
    first = files.read(f"{web}/a.csv")
    assert "etag" in dict(first.position or {})[f"{web}/a.csv"]
    assert read_rows(first) == [{"id": 1, "name": "one"}]
    assert files.read(f"{web}/a.csv", position=first.position).portions == ()
    path.write_text("id,name\n1,uno\n")
    os.utime(path, ns=(5, 5))
    second = files.read(f"{web}/a.csv", position=first.position)
    assert second.replaced_files == (f"{web}/a.csv",)
    assert read_rows(second) == [{"id": 1, "name": "uno"}]


def test_a_server_without_head_is_asked_by_get(files: Files, web: str, tmp_path: Path) -> None:
    (tmp_path / "web/a.csv").write_text("id\n1\n")
    assert read_rows(files.read(f"{web}/no-head/a.csv")) == [{"id": 1}]


def test_a_download_that_breaks_off_loads_nothing(files: Files, web: str, tmp_path: Path) -> None:
    (tmp_path / "web/broken").mkdir()
    (tmp_path / "web/broken/a.csv").write_text("x")
    with pytest.raises(SourceReadFailed, match="broke off") as caught:
        files.read(f"{web}/broken/a.csv")
    assert "1000 bytes" in str(caught.value)


def test_a_url_that_is_not_there_or_away_is_told_without_its_signature(files: Files, web: str) -> None:
    with pytest.raises(StreamNotFound, match="nothing at") as missing:
        files.read(f"{web}/a.csv?signature=hunter22")
    with pytest.raises(SourceUnreachable) as away:
        files.read("http://someone:hunter22@127.0.0.1:1/a.csv?signature=hunter22")
    assert "hunter22" not in str(missing.value) + str(away.value)


def test_a_packed_url_with_a_query_keeps_its_format(files: Files, web: str, tmp_path: Path) -> None:
    (tmp_path / "web/a.csv.gz").write_bytes(gzip.compress(b"id\n1\n"))
    assert read_rows(files.read(f"{web}/a.csv.gz?version=2")) == [{"id": 1}]
