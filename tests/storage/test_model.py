"""Random histories of commits, pins and maintenance, held against a model in plain Python."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lakes import change, load, make_place, put

from headwater.errors import TableNotFound
from headwater.spec.names import TableName
from headwater.storage import Access, DeleteAll, DeleteKeys, DeleteWhere, Lake
from headwater.storage.state import StateReader, read_state

TABLES = [TableName("s", "a"), TableName("s", "b")]
Row = tuple[int, int]

rows_of = st.lists(st.tuples(st.integers(0, 5), st.integers(-100, 100)), max_size=4)
commit_of = st.tuples(
    st.just("commit"),
    st.lists(
        st.tuples(
            st.sampled_from([0, 1]),
            rows_of,
            st.sampled_from(["none", "all", "keys", "where"]),
            st.sampled_from(["now", "later", "held", "keep"]),
            st.booleans(),
        ),
        min_size=1,
        max_size=2,
        unique_by=lambda item: item[0],
    ),
)
steps = st.lists(
    st.one_of(
        commit_of,
        commit_of,
        st.tuples(st.just("publish"), st.sampled_from([0, 1])),
        st.tuples(st.just("pin"), st.sampled_from([0, 1]), st.integers(0, 20)),
        st.tuples(st.just("discard"), st.sampled_from([0, 1])),
        st.tuples(st.just("maintain"), st.booleans()),
        st.tuples(st.just("reopen")),
    ),
    min_size=1,
    max_size=9,
)


@dataclass
class Modelled:
    """One table: its rows at head, the rows of each version, and what readers see (None: nothing)."""

    head: Counter[Row] = field(default_factory=Counter)
    exists: bool = False
    pinned: Counter[Row] | None = None
    is_pinned: bool = False
    is_rolled_back: bool = False
    versions: dict[int, Counter[Row]] = field(default_factory=dict)

    def seen(self) -> Counter[Row] | None:
        return self.pinned if self.is_pinned else self.head

    def pin(self, before: Counter[Row] | None) -> None:
        if not self.is_pinned:
            self.is_pinned, self.pinned = True, before


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(history=steps)
def test_a_random_history_reads_back_as_the_model_says(history: list[Any]) -> None:
    _live_through(history)


@pytest.mark.stress
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=steps)
def test_many_random_histories_read_back_as_the_model_says(history: list[Any]) -> None:
    _live_through(history)


def _live_through(history: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder, make_place(Path(folder), "sqlite") as place:
        lake = place.open()
        model = [Modelled(), Modelled()]
        for step in history:
            match step:
                case ("commit", parts):
                    _commit(lake, model, parts)
                case ("publish", number) if model[number].exists:
                    lake.publish([TABLES[number]])
                    model[number].is_pinned = model[number].is_rolled_back = False
                case ("pin", number, choice) if model[number].versions:
                    _pin(lake, model[number], TABLES[number], choice)
                case ("discard", number) if model[number].exists and model[number].is_pinned and model[number].pinned is not None:
                    with lake.engine.connection() as connection:
                        discard = lake.restore_change(connection, TABLES[number], load("discard"), token=1)
                    made = lake.commit([discard])
                    table = model[number]
                    assert table.pinned is not None
                    table.head = Counter(table.pinned)
                    table.is_pinned = table.is_rolled_back = False
                    if made.versions[TABLES[number]] == made.snapshot_id:
                        table.versions[made.snapshot_id] = Counter(table.head)
                case ("maintain", forgets):
                    grace = timedelta(0) if forgets else timedelta(hours=1)
                    lake.maintain(keep=grace, reader_grace=grace)
                    if forgets:
                        _forget_expired(lake, model)
                case ("reopen",):
                    place.close()
                    lake = place.open()
                case _:
                    pass
            _compare(lake, model)
        assert lake.check_consistency() == []


def _commit(lake: Lake, model: list[Modelled], parts: list[Any]) -> None:
    changes = []
    new_heads = []
    for number, rows, how, publish, as_files in parts:
        table, modelled = TABLES[number], model[number]
        values = ", ".join(f"({k}, {v})" for k, v in rows)
        sql = f"SELECT k::INTEGER AS k, v::INTEGER AS v FROM (VALUES {values}) t(k, v)" if rows else "SELECT 1 AS k, 1 AS v WHERE false"
        made = change(lake, sql, table, as_files=as_files, publish=publish)
        assert made.staged is not None
        head = Counter(modelled.head)
        delete: Any = None
        match how:
            case "all":
                delete, head = DeleteAll(), Counter()
            case "keys":
                keys = {row[0] for row in rows}
                delete = DeleteKeys(("k",), made.staged)
                head = Counter({row: count for row, count in head.items() if row[0] not in keys})
            case "where":
                delete = DeleteWhere("v < ?", (0,))
                head = Counter({row: count for row, count in head.items() if row[1] >= 0})
            case _:
                pass
        head.update(rows)
        changes.append(change(lake, None, table, delete=delete, publish=publish, columns=made.staged.columns))
        changes[-1] = type(made)(**{name: getattr(changes[-1], name) for name in made.__dataclass_fields__} | {"staged": made.staged})
        new_heads.append((number, publish, head))
    commit = lake.commit(changes)
    for number, publish, head in new_heads:
        table = model[number]
        before = Counter(table.head) if table.exists else None
        if not table.is_rolled_back:
            if publish in ("later", "held"):
                table.pin(before)
            elif publish == "now":
                table.is_pinned = False
        table.head, table.exists = head, True
        if commit.versions[TABLES[number]] == commit.snapshot_id:
            table.versions[commit.snapshot_id] = Counter(head)


def _pin(lake: Lake, table: Modelled, name: TableName, choice: int) -> None:
    version = sorted(table.versions)[choice % len(table.versions)]
    lake.pin([name], version)
    table.is_pinned = table.is_rolled_back = True
    table.pinned = Counter(table.versions[version])


def _forget_expired(lake: Lake, model: list[Modelled]) -> None:
    for name, table in zip(TABLES, model, strict=True):
        if table.exists:
            readable = {version.snapshot_id for version in lake.snapshots(name) if version.readable_at is not None}
            table.versions = {version: rows for version, rows in table.versions.items() if version in readable}


def _compare(lake: Lake, model: list[Modelled]) -> None:
    for name, table in zip(TABLES, model, strict=True):
        if not table.exists:
            assert lake.state().find(name) is None
            continue
        assert _read(lake, name, head=True) == table.head
        seen = table.seen()
        if seen is None:
            with pytest.raises(TableNotFound):
                _read(lake, name)
        else:
            assert _read(lake, name) == seen
    newest = max((version for table in model for version in table.versions), default=None)
    if newest is not None:
        for name, table in zip(TABLES, model, strict=True):
            for version in sorted(table.versions)[-3:]:
                assert _read(lake, name, head=True, at=version) == table.versions[version]
    _state_carried_forward_is_the_state_read_whole(lake)


def _read(lake: Lake, name: TableName, **how: Any) -> Counter[Row]:
    return Counter(lake.read_as(Access.owner(), f"SELECT k, v FROM {name.sql}", **how).fetchall())


def _state_carried_forward_is_the_state_read_whole(lake: Lake) -> None:
    core = lake._core
    with core.reading() as (connection, base):
        whole = read_state(StateReader(connection, core.database, core.environment), core.environment, base, core.load_position)
        assert core.state_on(connection, base).tables == whole.tables


def test_the_state_of_another_process_commits_is_carried_forward_too(tmp_path: Path) -> None:
    with make_place(tmp_path, "sqlite") as place:
        mine, other = place.open(), place.open()
        put(mine, "SELECT 1 AS k, 1 AS v", TABLES[0])
        mine.state()
        put(other, "SELECT 1 AS k, 1 AS v, 2 AS w", TABLES[0], publish="later")
        put(other, "SELECT 1 AS k, 1 AS v", TABLES[1], publish="held", reason="x")
        other.publish([TABLES[0]])
        assert dict(mine.state().tables) == dict(other.state().tables)
        _state_carried_forward_is_the_state_read_whole(mine)
