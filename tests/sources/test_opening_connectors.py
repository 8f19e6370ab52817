"""Finding, opening and closing; messages without secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.engine import Engine
from headwater.errors import (
    Interrupted,
    LakeReadOnly,
    LakeUnavailable,
    MemoryExceeded,
    MissingDependency,
    SourceDataInvalid,
    SourceReadFailed,
    SourceUnreachable,
    SqlDataError,
    StorageFull,
    StreamNotFound,
    UnresolvedReference,
    UsageError,
)
from headwater.sources import ReadRequest, Scan, connector_types, open_connector, scan_ready
from headwater.sources.failures import explain_engine_error, scrub
from headwater.sources.registry import connector_class
from headwater.spec.sources import Source
from headwater.testing import read_rows


def test_all_built_in_types_are_known_and_can_be_imported() -> None:
    assert {"files", "postgres", "mysql", "sqlite", "duckdb", "python"} <= set(connector_types())
    for name in ("files", "postgres", "mysql", "sqlite", "duckdb", "python"):
        assert connector_class(name).type == name


def test_an_unknown_type_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        connector_class("postgress")
    assert caught.value.hint == "did you mean 'postgres'?"


def test_references_are_resolved_at_opening_and_no_earlier(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").write_text("x\n1\n")
    source = Source.model_validate({"name": "s", "type": "files", "connection": "${env:FOLDER}", "streams": {"a": {"path": "*.csv"}}})
    connector = open_connector(source, project_dir=tmp_path, environ={"FOLDER": "in"})
    assert read_rows(connector.read(ReadRequest("a", source.streams["a"]))) == [{"x": 1}]
    connector.close()
    with pytest.raises(UnresolvedReference):
        open_connector(source, project_dir=tmp_path, environ={})


def test_a_connector_whose_package_is_missing_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "odd-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[headwater.connectors]\nodd = headwater_has_no_such_module:Odd\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert connector_types()["odd"] == "headwater_has_no_such_module:Odd"
    with pytest.raises(MissingDependency, match="odd can't be imported") as caught:
        connector_class("odd")
    assert "headwater[odd]" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("at postgresql://me:hunter22@host/db", "at postgresql://me:***@host/db"),
        ("host=h password=hunter22 user=me", "host=h password=*** user=me"),
        ("password='hun ter22' x", "password=*** x"),
        ("SECRET: hunter22, then", "SECRET: ***, then"),
        ("the word hunter22 alone", "the word *** alone"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_secrets_are_blotted_out(text: str, clean: str) -> None:
    assert scrub(text, ["hunter22"]) == clean


def test_a_short_secret_does_not_blot_out_the_whole_message() -> None:
    assert scrub("at a place", ["a"]) == "at a place"


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ("IO Error: Unable to connect to Postgres at x: Connection refused", SourceUnreachable),
        ("FATAL: password authentication failed for user", SourceUnreachable),
        ("ERROR: canceling statement due to statement timeout", SourceReadFailed),
        ("Table with name x does not exist!", StreamNotFound),
        ("Invalid Input Error: CSV Error on Line: 5", SourceDataInvalid),
        ("server closed the connection unexpectedly", SourceReadFailed),
        ("ERROR: permission denied for table orders", SourceReadFailed),
    ],
)
def test_what_engines_say_becomes_a_source_error(found: str, kind: type[Exception]) -> None:
    explained = explain_engine_error(LakeUnavailable("reading or writing failed", found=found), "shop.orders")
    assert type(explained) is kind
    assert "shop.orders" in explained.what


@pytest.mark.parametrize(
    "error", [StorageFull("full"), MemoryExceeded("much"), Interrupted("stopped"), LakeReadOnly("no", found="read-only file system")]
)
def test_what_is_not_the_sources_doing_passes_unchanged(error: Exception) -> None:
    assert explain_engine_error(error, "shop.orders") is error  # type: ignore[arg-type]


def test_a_table_that_may_not_be_read_is_not_a_lake_that_cannot_be_written() -> None:
    error = LakeReadOnly("nothing can be written here", found="ERROR: permission denied for table orders")
    explained = explain_engine_error(error, "shop.orders")
    assert isinstance(explained, StreamNotFound)
    assert "grant" in str(explained.hint)


def test_values_of_rows_and_echoed_lines_stay_out_of_messages() -> None:
    found = "Conversion Error: Could not convert string 'hunter22' to INT32\nOriginal Line: hunter22,1\nPossible fixes: x"
    assert "hunter22" not in str(explain_engine_error(SqlDataError("x", found=found), "s.t"))


def test_a_scan_is_taken_down_when_its_reader_fails_midway() -> None:
    closed = []
    scan = Scan(
        sql="FROM t",
        setup=("CREATE TEMP TABLE t AS SELECT 1 AS x", "SELECT * FROM nonesuch"),
        teardown=("DROP TABLE nonesuch", "DROP TABLE t"),
        explain=lambda error: explain_engine_error(error, "s.t"),
        cleanup=lambda: closed.append(True),
    )
    with Engine() as engine, engine.connection() as connection:
        with pytest.raises(StreamNotFound), scan_ready(connection, scan):
            pass
        assert connection.execute("SELECT count(*) FROM duckdb_tables()").scalar() == 0
    assert closed == [True]
