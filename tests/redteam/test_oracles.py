"""What hidden rows hold must not be told by errors, by what another reader was shown before, or by an older moment."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from kit import KEYS, NOW
from lakes import change, definition, keep_hot, load, make_place, put

from headwater.errors import HeadwaterError, StatementRefused
from headwater.security import Principal
from headwater.spec.names import TableName
from headwater.spec.policies import Policies
from headwater.spec.tables import Column
from headwater.storage import Access, Lake

BASE, VIEW, LATE = TableName("s", "t"), TableName("v", "safe"), TableName("s", "late")
TYPES = {"id": "BIGINT", "who": "VARCHAR", "hid": "BOOLEAN", "t": "VARCHAR", "n": "BIGINT", "d": "DATE", "z": "TIMESTAMP WITH TIME ZONE", "u": "UUID"}
#: Every hidden row holds what functions fail on, and the values repeat: files keep them in dictionaries.
ROWS = """
SELECT i AS id, ['ada', 'bob'][i % 2 + 1] AS who, i % 8 = 7 AS hid, CASE WHEN i % 8 = 7 THEN 's3cr3t(' ELSE 'ab' END AS t,
    CASE WHEN i % 8 = 7 THEN 9223372036854775807 ELSE 3 END AS n, CASE WHEN i % 8 = 7 THEN DATE '5881580-07-10' ELSE DATE '2020-01-02' END AS d,
    CASE WHEN i % 8 = 7 THEN 'infinity'::TIMESTAMPTZ ELSE TIMESTAMPTZ '2020-01-02' END AS z,
    CASE WHEN i % 8 = 7 THEN uuid 'ffffffff-ffff-4fff-bfff-ffffffffffff' ELSE uuid '00000000-0000-7000-8000-000000000000' END AS u
FROM range(4000) r(i)
"""
#: Of the engine's functions that it takes to be safe, and that fail.
FAILING = (
    "hamming(t, 'ab')",
    "mismatches('ab', t)",
    "left('ab', n)",
    "substr('ab', n, 3)",
    "substring_grapheme('ab', 3, n)",
    "array_extract('ab', n)",
    "last_day(d)",
    "z - TIMESTAMPTZ '2020-01-01'",
    "regexp_full_match('ab', t)",
    "regexp_replace('ab', t, 'x')",
    "str_split_regex('ab', t)",
    "uuid_extract_timestamp(u)",
    "CAST(z AS TIMETZ)",
    "list_transform([t], x -> hamming(x, 'ab'))",
    "CASE WHEN id >= 0 THEN hamming(t, 'ab') END",
)


@pytest.fixture(scope="module", params=["lake", "files", "memory"])
def lake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with make_place(tmp_path_factory.mktemp("oracles"), "sqlite") as place:
        lake = place.open()
        body = definition("view", sql="SELECT id, who, t, n, d, z, u FROM s.t WHERE NOT hid", inputs=(BASE,))
        shown = tuple(Column(name, type_name) for name, type_name in TYPES.items() if name != "hid")
        lake.commit(
            [
                change(lake, ROWS, BASE, columns=tuple(Column(*column) for column in TYPES.items())),
                change(lake, None, VIEW, definition=body, load=load("view"), columns=shown),
            ]
        )
        if request.param == "files":
            lake.keep_connections()
        elif request.param == "memory":
            keep_hot(lake)
        yield lake


def reader(*grants: dict[str, Any], name: str = "ada", version: str = "") -> Access:
    policies = Policies.model_validate({"roles": {"r": {"grants": list(grants)}}, "version": version or repr(grants)})
    return Access(Principal(name, roles=frozenset({"r"})), policies, KEYS, NOW)


@pytest.mark.parametrize(
    ("table", "access"),
    [
        ("s.t", reader({"select": "s.t", "where": "NOT hid"})),
        ("s.t", reader({"select": "s.t", "columns": ["id"]}, {"select": "s.t", "where": "NOT hid"})),
        ("v.safe", reader({"select": "v.*"})),
    ],
    ids=["rows", "cells", "a view"],
)
def test_no_function_is_computed_for_what_a_reader_does_not_see(lake: Lake, table: str, access: Access) -> None:
    for call in FAILING:
        # a list of a cell that isn't seen is one of null
        assert lake.read_as(access, f"SELECT count({call}) FROM {table}").fetchall() in ([(3500,)], [(4000,)]), call
        assert lake.read_as(access, f"SELECT count(*) >= 3500 FROM {table} WHERE ({call}) IS NULL OR t IS NULL OR t = 'ab'").fetchall() == [(True,)]


def test_a_view_is_put_apart_once_the_right_to_its_rows_is_over(lake: Lake) -> None:
    access = reader({"select": "v.*"}, {"select": "s.t", "until": "2026-07-01"})
    sql = "SELECT count(hamming(t, 'ab')) FROM v.safe"
    with suppress(HeadwaterError):  # of rows that the reader may see
        lake.read_as(access, sql).fetchall()
    later = replace(access, at=datetime(2026, 7, 2, tzinfo=UTC))
    assert lake.read_as(later, sql).fetchall() == [(3500,)]


def test_the_oracles_have_teeth(lake: Lake) -> None:
    failed = 0
    for call in FAILING:
        try:
            lake.read_as(reader({"select": "*"}), f"SELECT count({call}) FROM s.t").fetchall()
        except Exception:
            failed += 1
    assert failed == len(FAILING)


@pytest.mark.parametrize("who", ["current_user()", "CURRENT_USER", "Current_User()", "user()", "session_user", "current_role()"])
def test_what_one_reader_was_shown_is_not_shown_to_the_next(lake: Lake, who: str) -> None:
    grant = {"select": "s.t", "where": f"who = {who}"}
    for name in ("ada", "bob", "eve"):
        found = lake.read_as(reader(grant, name=name), "SELECT DISTINCT who FROM s.t").fetchall()
        assert found == ([] if name == "eve" else [(name,)])


def test_a_filter_by_a_macro_is_the_macro_of_now(lake: Lake) -> None:
    access = reader({"select": "s.t", "where": "is_mine(who)"})
    for name in ("ada", "bob"):
        macros = (f"CREATE MACRO is_mine(x) AS x = '{name}'",)
        for sql in ("SELECT DISTINCT who FROM s.t", "SELECT min(who) FROM s.t", "SELECT max(who) FROM s.t"):
            assert lake.read_as(access, sql, macros=macros).fetchall() == [(name,)]


@pytest.mark.parametrize("written", ["SELECT who FROM s.entitled", "TABLE s.entitled", "WITH w AS (TABLE s.entitled) TABLE w"])
def test_a_filter_reads_who_is_entitled_now_however_it_is_written(tmp_path_factory: pytest.TempPathFactory, written: str) -> None:
    with make_place(tmp_path_factory.mktemp("entitled"), "sqlite") as place:
        lake = place.open()
        lake.keep_connections()  # tables are read from the files that they have then
        put(lake, "SELECT unnest(['ada', 'bob']) AS who", BASE)
        access = reader({"select": "s.t", "where": f"who IN ({written})"})
        entitled: list[str] = []
        for more in (["ada"], ["bob"]):
            put(lake, f"SELECT unnest({more}::VARCHAR[]) AS who", TableName("s", "entitled"), as_files=True)
            entitled += more
            for sql in ("SELECT who FROM s.t ORDER BY 1", f"SELECT who AS w{len(entitled)} FROM s.t ORDER BY 1"):
                assert [row[0] for row in lake.read_as(access, sql).fetchall()] == entitled


def test_an_older_moment_is_shown_under_the_labels_of_now(tmp_path_factory: pytest.TempPathFactory) -> None:
    with make_place(tmp_path_factory.mktemp("late"), "sqlite") as place:
        lake = place.open()
        before = put(lake, "SELECT 1 AS id, 's3cr3t' AS mail", LATE, columns=(Column("id", "INTEGER"), Column("mail", "VARCHAR")))
        put(lake, "SELECT 2 AS id, 'x' AS mail", LATE, columns=(Column("id", "INTEGER"), Column("mail", "VARCHAR", labels=("pii.email",))))
        assert lake.read_as(reader({"select": "s.*"}), "FROM s.late", at=before).fetchall() == [(1, "***")]
        assert lake.read_as(reader({"select": "s.*", "unmask": ["pii"]}), "FROM s.late", at=before).fetchall() == [(1, "s3cr3t")]


def test_a_reader_does_not_raise_what_the_whole_process_may_recurse(lake: Lake) -> None:
    """While it is raised, a nested document in another request ends the process."""
    found: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.001):
            found.append(sys.getrecursionlimit())

    watcher = threading.Thread(target=watch)
    limit = sys.getrecursionlimit()
    watcher.start()
    try:
        sys.setrecursionlimit(700)
        with pytest.raises(StatementRefused, match="nested too deeply"):
            lake.read_as(reader({"select": "s.t"}), f"{'SELECT * FROM (' * 450}SELECT 1 AS a{')' * 450}").fetchall()
    finally:
        sys.setrecursionlimit(limit)
        done.set()
        watcher.join()
    assert max(found, default=0) <= limit
    assert lake.read_as(reader({"select": "s.t"}), f"{'SELECT * FROM (' * 40}SELECT 1 AS a{')' * 40}").fetchall() == [(1,)]


@pytest.mark.parametrize("body", ["f(x)", "g(x)", "(SELECT max(t) FROM s.t)", "(SELECT x FROM f(x))"])
def test_macros_that_call_themselves_or_read_tables_are_refused(lake: Lake, body: str) -> None:
    macros = (f"CREATE MACRO f(x) AS {body}", "CREATE MACRO g(x) AS f(x)", "CREATE MACRO lower(x) AS x")
    for call in ("f(t)", "g(t)", "lower(t)"):
        with pytest.raises(Exception, match="HW-Q00") as caught:
            lake.read_as(reader({"select": "s.t", "where": "NOT hid"}), f"SELECT {call} FROM s.t", macros=macros).fetchall()
        assert "s3cr3t" not in str(caught.value)
