"""Each disposition against a model in plain Python: late, repeated, changed and deleted rows, loads tried again."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loading_kit import Loads, TableConnector, WholeTableConnector, source_of

from headwater.engine import Engine
from headwater.sources import Reading, ReadRequest
from headwater.spec.project import LakeConfig
from headwater.spec.sources import Source
from headwater.storage import LAKE_EXTENSIONS, Lake

SCHEMA = pa.schema([("id", pa.int64()), ("amount", pa.int64()), ("updated_at", pa.timestamp("us")), ("gone", pa.bool_())])
START = datetime(2024, 1, 1)
Row = dict[str, Any]


def row(id: int, amount: int, minute: int, gone: bool = False) -> Row:
    return {"id": id, "amount": amount, "updated_at": START + timedelta(minutes=minute), "gone": gone}


@st.composite
def histories(draw: st.DrawFn) -> list[list[tuple[int, int, int, bool]]]:
    """Steps of a system that changes: in each, some (id, amount, minutes late, gone) are written."""
    write = st.tuples(st.integers(1, 5), st.integers(0, 3), st.integers(0, 4), st.booleans())
    return draw(st.lists(st.lists(write, max_size=5), min_size=1, max_size=3))


def quick() -> settings:
    return settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One lake for all examples: each example takes a source of its own."""
    with (
        Engine(threads=2, extensions=LAKE_EXTENSIONS) as engine,
        Lake.open(LakeConfig(), engine, project_dir=tmp_path_factory.mktemp("lake"), environment="prod") as lake,
    ):
        yield Loads(lake)


_sources = iter(range(1_000_000))


def fresh(stream: dict[str, Any]) -> tuple[Source, str]:
    name = f"shop{next(_sources)}"
    return source_of(stream, name=name), f"{name}.orders"


def play(loads: Loads, connector: TableConnector, source: Source) -> None:
    """A load prepared and thrown away, loaded, and loaded again: the second must find nothing."""
    abandoned = loads.prepare(connector, source)
    if abandoned.change is not None:
        from headwater.ingestion import staged_of

        for staged in staged_of(abandoned.change):
            loads.lake.drop_staged(staged)
    loads.load(connector, source)
    assert loads.load(connector, source).change is None


@quick()
@given(histories())
def test_merge_holds_what_the_source_holds(shared: Loads, steps: list[list[tuple[int, int, int, bool]]]) -> None:
    source, table = fresh(
        {"primary_key": "id", "cursor": {"column": "updated_at", "lag": "5 minutes"}, "deleted_when": "gone", "write_disposition": "merge"}
    )
    connector = TableConnector(SCHEMA)
    model: dict[int, Row] = {}
    for number, writes in enumerate(steps):
        for id, amount, late, gone in writes:
            model[id] = row(id, amount, 10 * number + 5 - late, gone)
        connector.rows = list(model.values())
        play(shared, connector, source)
        expected = sorted((r["id"], r["amount"], r["updated_at"]) for r in model.values() if not r["gone"])
        assert shared.rows("id, amount, updated_at", table) == expected


@quick()
@given(histories())
def test_merge_of_whole_reads_upserts_and_keeps_vanished_keys(shared: Loads, steps: list[list[tuple[int, int, int, bool]]]) -> None:
    source, table = fresh({"primary_key": "id"})
    connector = WholeTableConnector(SCHEMA)
    model: dict[int, Row] = {}
    for writes in steps:
        batch = [row(id, amount, late) for id, amount, late, _ in writes]
        model |= {r["id"]: r for r in batch}
        connector.rows = batch
        play(shared, connector, source)
        if model:
            assert shared.rows("id, amount, updated_at", table) == sorted((r["id"], r["amount"], r["updated_at"]) for r in model.values())


@quick()
@given(histories())
def test_append_with_a_key_takes_each_key_once(shared: Loads, steps: list[list[tuple[int, int, int, bool]]]) -> None:
    source, table = fresh({"primary_key": "id", "write_disposition": "append"})
    connector = WholeTableConnector(SCHEMA)
    model: dict[int, int] = {}
    for writes in steps:
        connector.rows = [row(id, amount, 0) for id, amount, _, _ in writes]
        for id, amount, _, _ in writes:
            model.setdefault(id, amount)
        play(shared, connector, source)
        assert shared.rows("id, amount", table) == sorted(model.items())


@quick()
@given(histories())
def test_append_without_a_key_adds_what_is_not_there(shared: Loads, steps: list[list[tuple[int, int, int, bool]]]) -> None:
    source, table = fresh({"cursor": {"column": "updated_at", "lag": "5 minutes"}})
    connector = TableConnector(SCHEMA)
    log: list[Row] = []
    for number, writes in enumerate(steps):
        log += [row(id, amount, 10 * number + 5 - late) for id, amount, late, _ in writes]
        connector.rows = list(log)
        play(shared, connector, source)
        found = Counter(shared.rows("id, amount, updated_at", table))
        assert found == Counter((r["id"], r["amount"], r["updated_at"]) for r in log)


@quick()
@given(histories())
def test_replace_holds_the_last_read(shared: Loads, steps: list[list[tuple[int, int, int, bool]]]) -> None:
    source, table = fresh({"write_disposition": "replace"})
    connector = WholeTableConnector(SCHEMA)
    for writes in steps:
        connector.rows = [row(id, amount, late) for id, amount, late, _ in writes]
        play(shared, connector, source)
        assert Counter(shared.rows("id, amount", table)) == Counter((id, amount) for id, amount, _, _ in writes)


@quick()
@given(histories())
def test_scd2_keeps_every_version_of_whole_reads(shared: Loads, steps: list[list[tuple[int, int, int, bool]]]) -> None:
    source, table = fresh({"primary_key": "id", "write_disposition": "scd2", "exclude": ["updated_at", "gone"]})
    connector = WholeTableConnector(SCHEMA)
    open_versions: dict[int, int] = {}
    closed: Counter[tuple[int, int]] = Counter()
    for writes in steps:
        batch = {id: amount for id, amount, _, _ in writes}
        connector.rows = [row(id, amount, 0) for id, amount in batch.items()]
        for id, amount in list(open_versions.items()):
            if batch.get(id) != amount:
                closed[(id, amount)] += 1
                del open_versions[id]
        open_versions |= batch
        play(shared, connector, source)
        found = shared.rows("id, amount, valid_from, valid_to", table)
        assert {(i, a) for i, a, _, end in found if end is None} == set(open_versions.items())
        assert Counter((i, a) for i, a, _, end in found if end is not None) == closed
        assert_no_overlap(found)


@quick()
@given(histories())
def test_scd2_by_a_cursor_does_not_depend_on_when_rows_come(shared: Loads, steps: list[list[tuple[int, int, int, bool]]]) -> None:
    stream = {"primary_key": "id", "write_disposition": "scd2", "cursor": {"column": "updated_at", "lag": "5 minutes"}, "exclude": ["gone"]}
    source, table = fresh(stream)
    connector = TableConnector(SCHEMA)
    log: dict[tuple[int, datetime], Row] = {}
    for number, writes in enumerate(steps):
        for id, amount, late, _ in writes:
            written = row(id, amount, 10 * number + 5 - late)
            log[(id, written["updated_at"])] = written
        connector.rows = list(log.values())
        play(shared, connector, source)
    expected = []
    for id in {id for id, _ in log}:
        versions: list[list[Any]] = []
        for (_, at), r in sorted((k, r) for k, r in log.items() if k[0] == id):
            if not versions or versions[-1][1] != r["amount"]:
                if versions:
                    versions[-1][3] = at
                versions.append([id, r["amount"], at, None])
        expected += [tuple(v) for v in versions]
    if log:
        assert sorted(shared.rows("id, amount, valid_from, valid_to", table), key=str) == sorted(expected, key=str)


def assert_no_overlap(found: list[tuple[Any, ...]]) -> None:
    by_key: dict[int, list[tuple[Any, ...]]] = {}
    for id, _, start, end in found:
        by_key.setdefault(id, []).append((start, end))
    for spans in by_key.values():
        spans.sort()
        assert all(end is not None and end <= following for (_, end), (following, _) in itertools.pairwise(spans))


def test_a_change_repeated_after_a_crash_before_the_commit_is_made_once(loads: Loads, tmp_path: Path) -> None:
    source = source_of({"cursor": "updated_at"})
    connector = TableConnector(SCHEMA, [row(1, 1, 0), row(2, 2, 1)])
    loads.prepare(connector, source)  # the process dies here
    loads.load(connector, source)
    assert loads.rows("id") == [(1,), (2,)]


@pytest.mark.parametrize("disposition", ["append", "replace", "merge"])
def test_what_did_not_come_as_it_stands_at_the_source_is_read_anew_and_counted_once(loads: Loads, disposition: str) -> None:
    class Misread(TableConnector):
        """Gives zeros at first, and knows better when it is asked."""

        def read(self, request: ReadRequest) -> Reading:
            reading = super().read(request)
            if not request.may_repeat:
                return reading
            true, self.rows = self.rows, [{**row, "v": 0} for row in self.rows]

            def must_repeat(is_cancelled: Callable[[], bool]) -> bool:
                self.rows = true
                return True

            return replace(reading, must_repeat=must_repeat)

    connector = Misread(pa.schema([("id", pa.int64()), ("v", pa.int64())]), [{"id": 1, "v": 10}, {"id": 2, "v": 20}])
    stream = {"function": "f", "write_disposition": disposition, **({"primary_key": "id"} if disposition == "merge" else {})}
    loaded = loads.load(connector, source_of(stream))
    assert loads.rows("id, v") == [(1, 10), (2, 20)]
    assert loaded.change is not None
    assert loaded.change.load.rows_read == 2
    assert [request.may_repeat for request in connector.requests] == [True, False]
    assert loads.staged_files() == []
