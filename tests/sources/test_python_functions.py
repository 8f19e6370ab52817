"""Functions of the project as sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import HeadwaterError, SourceDataInvalid, StreamNotFound, UserCodeError
from headwater.sources import Batches, ConnectorContext, CursorBound, ReadRequest
from headwater.sources.python import BATCH_ROWS, PythonConnector
from headwater.spec.sources import Stream
from headwater.testing import read_rows


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """Writes a function `f` into the project and gives what reading it gives."""
    connectors: list[PythonConnector] = []

    def run_it(
        source: str,
        *,
        position: Any = None,
        cursor: CursorBound | None = None,
        types: Any = None,
        limit: int | None = None,
        context: Any = None,
        **stream: Any,
    ) -> list[dict[str, Any]]:
        (tmp_path / "feed.py").write_text(source)
        connectors.append(PythonConnector(ConnectorContext("feed", tmp_path, **(context or {}))))
        request = ReadRequest(
            "f",
            Stream.model_validate({"function": "feed.py:f", **stream}),
            position=position,
            cursor=cursor,
            column_types=types or {},
            limit=limit,
        )
        return read_rows(connectors[-1].read(request))

    yield run_it
    for connector in connectors:
        connector.close()


Run = Callable[..., list[dict[str, Any]]]


@pytest.mark.parametrize(
    "body",
    [
        "yield {'a': 1, 'b': 'x'}; yield {'a': 2, 'b': None}",
        "return [{'a': 1, 'b': 'x'}, {'a': 2}]",
        "yield [{'a': 1, 'b': 'x'}]; yield [{'b': None, 'a': 2}]",
        "import pyarrow as pa; return pa.table({'a': [1, 2], 'b': ['x', None]})",
        "import pyarrow as pa; yield from pa.table({'a': [1, 2], 'b': ['x', None]}).to_batches(1)",
        "import pyarrow as pa; t = pa.table({'a': [1, 2], 'b': ['x', None]}); return t.to_reader()",
        "import polars as pl; return pl.DataFrame({'a': [1, 2], 'b': ['x', None]})",
        "import polars as pl; yield pl.LazyFrame({'a': [1, 2], 'b': ['x', None]})",
        "import pandas as pd; return pd.DataFrame({'a': [1, 2], 'b': ['x', None]}, index=[7, 8])",
        "import pandas as pd; yield pd.DataFrame({'a': [1], 'b': ['x']}); yield {'a': 2, 'b': None}",
        "return ({'a': n, 'b': 'x' if n == 1 else None} for n in (1, 2))",
    ],
)
def test_whatever_a_function_gives_becomes_rows(run: Run, body: str) -> None:
    assert run(f"def f():\n    {body}\n") == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]


def test_nothing_given_is_no_rows(run: Run) -> None:
    assert run("def f():\n    return None\n") == []
    assert run("def f():\n    return []\n") == []


def test_python_values_keep_their_kind(run: Run) -> None:
    source = (
        "import datetime as d, decimal, uuid\n"
        "def f():\n"
        "    yield {'t': d.datetime(2024, 1, 1, tzinfo=d.timezone.utc), 'd': d.date(2024, 1, 1), 'n': decimal.Decimal('1.25'),\n"
        "           'l': [1, 2], 's': {'x': 1}, 'u': uuid.UUID(int=5), 'b': b'\\x00', 'm': None}\n"
    )
    [row] = run(source)
    assert row["t"] == datetime(2024, 1, 1, tzinfo=UTC)
    assert (row["d"], row["n"], row["l"], row["s"], row["b"], row["m"]) == (date(2024, 1, 1), Decimal("1.25"), [1, 2], {"x": 1}, b"\x00", None)
    assert str(row["u"]) == "00000000-0000-0000-0000-000000000005"


def test_a_function_takes_what_it_asks_for_by_name(run: Run) -> None:
    source = (
        "def f(position, cursor, options, connection, now, limit=None, other='own'):\n"
        "    yield {'all': repr((position, cursor, options, connection, now.year, limit, other))}\n"
    )
    [row] = run(
        source,
        position={"cursor": "5"},
        cursor=CursorBound("id", start=4),
        options={"b": 2},
        context={"options": {"a": 1}, "connection": "somewhere", "now": datetime(2024, 1, 1, tzinfo=UTC)},
    )
    assert row["all"] == repr(({"cursor": "5"}, 4, {"a": 1, "b": 2}, "somewhere", 2024, None, "own"))


def test_a_parameter_that_nobody_gives_is_told(run: Run) -> None:
    with pytest.raises(SourceDataInvalid, match="asks for nonsense"):
        run("def f(nonsense): return []\n")


def test_an_error_of_the_user_keeps_the_users_frames_alone(run: Run) -> None:
    source = "def helper():\n    raise ValueError('wrong')\n\n\ndef f():\n    yield {'a': 1}\n    helper()\n"
    with pytest.raises(UserCodeError, match="raised ValueError") as caught:
        run(source)
    trace = caught.value.user_traceback
    assert trace.count("File ") == 2
    assert "feed.py" in trace
    assert "line 2, in helper" in trace
    assert "headwater/sources" not in trace
    assert trace.endswith("ValueError: wrong")


@pytest.mark.parametrize("source", ["def f(:\n", "import nonesuch_module\n", "1 / 0\n"])
def test_a_file_that_cannot_be_imported_is_the_users_error(run: Run, source: str) -> None:
    with pytest.raises(UserCodeError, match=r"feed\.py can't be imported") as caught:
        run(source)
    assert "headwater/sources" not in caught.value.user_traceback


@pytest.mark.parametrize("function", ["feed.py:nonesuch", "nonesuch.py:f", "nonesuch_module:f", "f", None])
def test_a_function_that_is_not_there_is_told_before_anything_runs(run: Run, function: str | None) -> None:
    with pytest.raises(StreamNotFound):
        run("def f(): return []\n", function=function)


def test_an_installed_module_is_named_by_its_dots(tmp_path: Path) -> None:
    connector = PythonConnector(ConnectorContext("feed", tmp_path))
    request = ReadRequest("f", Stream.model_validate({"function": "sqlite3:nonesuch"}))
    with pytest.raises(StreamNotFound, match="no function nonesuch in sqlite3"):
        connector.read(request)
    connector.close()


@pytest.mark.parametrize("body", ["return 5", "return 'text'", "yield [1, 2]", "yield object()"])
def test_what_is_no_row_is_refused_by_its_kind(run: Run, body: str) -> None:
    with pytest.raises(SourceDataInvalid, match="gave a"):
        run(f"def f():\n    {body}\n")


def test_values_of_several_kinds_within_a_batch_are_text(run: Run) -> None:
    assert run("def f():\n    return [{'a': 1}, {'a': 'x'}, {'a': None}]\n") == [{"a": "1"}, {"a": "x"}, {"a": None}]


def test_a_kind_that_changes_in_a_later_batch_is_refused_and_a_declared_one_helps(run: Run) -> None:
    source = f"def f():\n    yield from ({{'a': n}} for n in range({BATCH_ROWS}))\n    yield {{'a': 1.5}}\n"
    with pytest.raises(SourceDataInvalid, match="changed the type of a midway") as caught:
        run(source)
    assert "declare" in str(caught.value.hint)
    rows = run(source, types={"a": "DOUBLE"})
    assert (len(rows), rows[-1]["a"]) == (BATCH_ROWS + 1, 1.5)


def test_decimals_may_grow_and_never_lose_digits(run: Run) -> None:
    source = (
        "from decimal import Decimal as D\n"
        "def f():\n"
        f"    yield from ({{'a': D('1.5')}} for n in range({BATCH_ROWS}))\n"
        "    yield {'a': D('123456.%s')}\n"
    )
    assert run(source % "123456789")[-1]["a"] == Decimal("123456.123456789")
    with pytest.raises(SourceDataInvalid, match="changed the type"):
        run(source % "1234567891")


def test_a_column_that_comes_late_is_refused_and_one_that_stays_away_is_null(run: Run) -> None:
    with pytest.raises(SourceDataInvalid, match="new columns midway: b"):
        run(f"def f():\n    yield from ({{'a': n}} for n in range({BATCH_ROWS}))\n    yield {{'a': 1, 'b': 2}}\n")
    rows = run(f"def f():\n    yield from ({{'a': n, 'b': n}} for n in range({BATCH_ROWS}))\n    yield {{'a': 1}}\n")
    assert rows[-1] == {"a": 1, "b": None}


def test_a_preview_does_not_run_a_generator_to_its_end(run: Run) -> None:
    source = f"def f():\n    yield from ({{'a': n}} for n in range({BATCH_ROWS}))\n    raise AssertionError('too far')\n"
    assert run(source, limit=2) == [{"a": 0}, {"a": 1}]


def test_columns_are_found_by_the_first_batch(tmp_path: Path) -> None:
    (tmp_path / "feed.py").write_text(
        "import decimal\ndef f():\n    yield {'a': 1, 'b': decimal.Decimal('1.5'), 'c': [True], 'd': None}\ndef _hidden(): ...\ng = 5\n"
    )
    connector = PythonConnector(ConnectorContext("feed", tmp_path, connection="feed.py"))
    columns = connector.columns(ReadRequest("f", Stream.model_validate({"function": "f"})))
    assert {column.name: column.type for column in columns} == {"a": "BIGINT", "b": "DECIMAL(38,9)", "c": "BOOLEAN[]", "d": "VARCHAR"}
    assert [stream.definition for stream in connector.discover()] == [{"function": "feed.py:f"}]
    connector.close()


def test_an_error_raised_on_purpose_passes_as_it_is(run: Run) -> None:
    with pytest.raises(HeadwaterError, match="the feed is closed on Sundays"):
        run("from headwater.errors import SourceUnreachable\ndef f():\n    raise SourceUnreachable('the feed is closed on Sundays')\n")


def test_rows_flow_in_batches_and_the_read_can_be_begun_again(tmp_path: Path) -> None:
    (tmp_path / "feed.py").write_text(f"def f():\n    yield from ({{'a': n}} for n in range({2 * BATCH_ROWS + 5}))\n")
    connector = PythonConnector(ConnectorContext("feed", tmp_path))
    [portion] = connector.read(ReadRequest("f", Stream.model_validate({"function": "feed.py:f"}))).portions
    assert isinstance(portion.data, Batches)
    for _ in range(2):
        assert [batch.num_rows for batch in portion.data.open()] == [BATCH_ROWS, BATCH_ROWS, 5]
    connector.close()
