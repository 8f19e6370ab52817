"""The audit's heads in the lake: on every kind of lake, by several at once, and never changed by what comes later."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from lakes import Place, put, rows

from headwater.errors import LakeReadOnly, TableNotFound
from headwater.security.audited import AuditHead
from headwater.storage import Access, Lake

FIRST, SECOND = AuditHead("c1", 3, "aa"), AuditHead("c1", 10, "bb")


def test_a_head_stands_in_the_lake_once_and_outlives_maintenance(any_lake: Lake) -> None:
    put(any_lake, "SELECT 1 AS id")
    before = any_lake.head()
    assert any_lake.audit_anchors() == []
    assert any_lake.anchor_audit(FIRST, author="ada") == before + 1
    assert any_lake.anchor_audit(FIRST) is None
    assert any_lake.anchor_audit(SECOND) == before + 2
    any_lake.maintain(keep=timedelta(), reader_grace=timedelta(), orphan_grace=timedelta())
    assert any_lake.audit_anchors() == [FIRST, SECOND]
    assert rows(any_lake) == [(1,)]
    assert any_lake.check_consistency() == []


def test_a_new_lake_and_one_that_is_only_read_have_none_and_take_none(both_places: Place) -> None:
    put(both_places.open(), "SELECT 1 AS id")
    lake = both_places.open(read_only=True)
    assert lake.audit_anchors() == []
    with pytest.raises(LakeReadOnly):
        lake.anchor_audit(FIRST)


def test_several_environments_and_threads_anchor_side_by_side(both_places: Place) -> None:
    one, two = both_places.open(), both_places.open(environment="dev")
    heads = [AuditHead("c1", number, "x") for number in range(1, 7)]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda pair: pair[0].anchor_audit(pair[1]), [(lake, head) for head in heads for lake in (one, two)]))
    assert sum(snapshot is not None for snapshot in done) == len(heads)
    assert sorted(head.seq for head in one.audit_anchors()) == [1, 2, 3, 4, 5, 6]


def test_readers_do_not_see_them_as_a_table(lake: Lake) -> None:
    put(lake, "SELECT 1 AS id")
    lake.anchor_audit(FIRST)
    with pytest.raises(TableNotFound):
        lake.read_as(Access.owner(), "FROM headwater.audit_heads")


def test_a_signature_is_kept_and_a_table_from_before_signatures_gets_them(lake: Lake) -> None:
    put(lake, "SELECT 1 AS id")
    columns = "snapshot_id BIGINT, chain VARCHAR, seq BIGINT, hash VARCHAR, recorded_at TIMESTAMPTZ, author VARCHAR"
    lake.read_as_system(f"CREATE TABLE lake.headwater.audit_heads ({columns})")
    lake.read_as_system("INSERT INTO lake.headwater.audit_heads VALUES (1, 'c1', 3, 'aa', now(), 'ada')")
    assert lake.audit_anchors() == [FIRST]
    signed = AuditHead("c1", 10, "bb", "key:digest")
    lake.anchor_audit(signed)
    assert lake.anchor_audit(signed) is None
    assert lake.audit_anchors() == [FIRST, signed]
