"""Runs of exports: what is refused, what becomes of rows that are, how often it is tried, what is written down."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from export_kit import BOT, OPEN, TABLE, Bench, export, policies

from headwater.errors import DestinationRefused, DestinationUnreachable, ExportKeyInvalid, ExportRefused, ExportTakenOver, TooManyDead
from headwater.security.audit import AuditFilter, AuditLog
from headwater.state.exports import ExportRuns
from headwater.storage import Access

PEOPLE = {number: (f"name-{number}", "Oslo" if number % 2 else "Bergen") for number in range(1, 31)}


# -- who -------------------------------------------------------------------------------------------------------------


def test_without_the_right_to_export_nothing_leaves(bench: Bench) -> None:
    bench.rows({1: ("Ada", None)})
    bench.policies = policies("reader", roles={"exporter": {"grants": [{"action": "select", "on": ["marts.*"]}]}})
    with pytest.raises(ExportRefused, match=r"crm_bot can't export marts\.customers"):
        bench.run()
    assert bench.destination.batches == []


def test_a_right_that_ended_deletes_nothing_at_the_destination(bench: Bench) -> None:
    bench.rows({1: ("Ada", None)})
    bench.run()
    bench.policies = policies("ended", roles={"exporter": {"grants": [{**OPEN["grants"][0], "until": "2026-01-01"}]}})
    with pytest.raises(ExportRefused):
        bench.run()
    assert bench.held() == {"1": ("1", "Ada", None)}


def test_what_may_not_be_read_may_not_be_sent_out(bench: Bench) -> None:
    bench.rows({1: ("Ada", None)})
    bench.policies = policies("denied", deny=[{"action": "select", "on": ["marts.*"], "user": "crm_bot"}])
    with pytest.raises(ExportRefused):
        bench.run()


def test_a_mask_put_on_later_overwrites_what_was_sent_in_clear(bench: Bench) -> None:
    bench.rows({1: ("Ada", "Oslo")})
    bench.run()
    assert bench.held() == {"1": ("1", "Ada", "Oslo")}
    bench.policies = policies("masked", mask="redact")
    assert bench.run().updated == 1
    assert "Ada" not in str(bench.held())
    assert bench.held() == bench.seen()


def test_rows_that_a_filter_takes_away_later_are_deleted(bench: Bench) -> None:
    bench.rows({1: ("Ada", "Oslo"), 2: ("Bo", "Bergen")})
    bench.run()
    bench.policies = policies("filtered", where="city = 'Oslo'")
    assert bench.run().deleted == 1
    assert list(bench.held()) == ["1"]


def test_a_column_that_is_no_longer_seen_stops_the_export_until_somebody_decides(bench: Bench) -> None:
    bench.rows({1: ("Ada", "Oslo")})
    bench.run()
    bench.policies = policies("narrow", roles={"exporter": {"grants": [{**OPEN["grants"][0], "columns": ["id", "city"]}]}})
    with pytest.raises(ExportRefused, match=r"doesn't see name of marts\.customers any more"):
        bench.run()
    assert bench.run(is_full=True).columns == ("id", "city")
    assert bench.run().status == "unchanged"


def test_a_column_that_the_principal_does_not_see_is_named_with_the_nearest(bench: Bench) -> None:
    bench.rows({1: ("Ada", "Oslo")})
    with pytest.raises(ExportRefused, match="sees no column nme") as caught:
        bench.run(export(columns={"id": "id", "nme": "mail"}))
    assert caught.value.hint == "did you mean name?"


def test_the_owner_may_be_the_principal(bench: Bench) -> None:
    bench.rows({1: ("Ada", "Oslo")})
    owner = replace(Access.owner(), action="export")
    assert bench.run(export(**{"as": "owner"}), access=owner).inserted == 1


def test_it_is_audited_before_the_first_row_leaves_and_at_the_end(bench: Bench) -> None:
    bench.rows({1: ("Ada", None), 2: ("Bo", None)})
    audit = AuditLog(bench.state, "prod")
    before: list[Any] = []
    bench.destination.before = lambda batch: before.extend(audit.rows(AuditFilter(action="export")))
    bench.run(export(columns={"id": "id", "name": "mail"}))
    assert [row.record.rows for row in before][-1] == 2
    assert before[-1].record.columns == ("marts.customers.id", "marts.customers.name")
    rows = [row.record for row in audit.rows(AuditFilter(action="export"))]
    assert {row.principal for row in rows} == {"crm_bot"}
    assert len({row.query_id for row in rows[-3:]}) == 1
    assert rows[-1].rows == 2
    assert "Ada" not in str(rows)


def test_an_audit_that_cannot_be_written_keeps_every_row_in(bench: Bench) -> None:
    bench.rows({1: ("Ada", None)})

    def broken(record: object) -> None:
        raise DestinationUnreachable("the audit can't be written")

    with pytest.raises(DestinationUnreachable, match="audit"):
        bench.run(access=replace(bench.access(), audit=broken))
    assert bench.destination.batches == []


# -- what is sent ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", ["SELECT 1::BIGINT AS id, 'a' AS name UNION ALL SELECT 1, 'b'", "SELECT NULL::BIGINT AS id, 'a' AS name"])
def test_a_key_that_tells_no_rows_apart_is_refused(bench: Bench, rows: str) -> None:
    bench.sql(rows)
    with pytest.raises(ExportKeyInvalid) as caught:
        bench.run()
    assert caught.value.state == "nothing was sent"


def test_a_masked_key_is_refused_as_one(bench: Bench) -> None:
    bench.rows({1: ("Ada", None), 2: ("Bo", None)})
    bench.policies = policies("masked", mask="redact")
    with pytest.raises(ExportKeyInvalid):
        bench.run(export(key=["name"]))


def test_a_dry_run_counts_and_changes_nothing(bench: Bench) -> None:
    bench.rows({1: ("Ada", None), 2: ("Bo", None)})
    bench.run()
    bench.rows({2: ("Bo!", None), 3: ("Cy", None)})
    head = bench.lake.head()
    result = bench.run(dry_run=True)
    assert (result.status, result.inserted, result.updated, result.deleted) == ("dry run", 1, 1, 1)
    assert bench.lake.head() == head
    assert sorted(bench.held()) == ["1", "2"]


def test_a_dry_run_says_what_the_destination_could_not_take(bench: Bench) -> None:
    bench.rows({1: ("Ada", None)})
    bench.destination.unknown_columns = ("city",)
    with pytest.raises(DestinationRefused, match="city"):
        bench.run(dry_run=True)


def test_deletes_may_be_ignored_or_forbidden(bench: Bench) -> None:
    bench.rows({1: ("Ada", None), 2: ("Bo", None)})
    bench.run()
    bench.rows({2: ("Bo", None)})
    with pytest.raises(ExportRefused, match=r"1 row of marts\.customers is gone"):
        bench.run(export(deletes="fail"))
    assert bench.run(export(deletes="ignore")).status == "unchanged"
    assert sorted(bench.held()) == ["1", "2"]
    assert bench.run().deleted == 1


def test_an_empty_table_does_not_empty_the_destination_unless_told_to(bench: Bench) -> None:
    bench.rows(PEOPLE)
    spec = export(max_deletes="50%", batch=100)
    bench.run(spec)
    bench.rows({})
    with pytest.raises(ExportRefused, match="would delete 30 of the 30 rows"):
        bench.run(spec)
    assert len(bench.held()) == 30
    assert bench.run(spec, allow_deletes=True).deleted == 30
    assert bench.held() == {}


def test_deletes_come_before_what_may_clash_with_them(bench: Bench) -> None:
    bench.rows({1: ("Ada", None)})
    bench.run()
    bench.rows({2: ("Ada", None)})
    bench.run()
    assert [batch.operations for batch in bench.destination.batches[1:]] == [("delete",), ("insert",)]


def test_values_of_every_type_are_compared_and_sent(bench: Bench) -> None:
    sql = """
        SELECT 1::BIGINT AS id, {number}::DECIMAL(38,10) AS d, {real}::DOUBLE AS f, TIMESTAMPTZ '2024-01-01 12:00:00+02' AS t, '\\xAB'::BLOB AS b,
            [1, {item}] AS l, {{'a': 1, 'b': [NULL, 'x']}} AS s, MAP {{'k': 1}} AS m, '{{"a": 1}}'::JSON AS j, TIME '01:02:03' AS h
    """
    bench.sql(sql.format(number="1.0000000001", real="0.1", item=2))
    bench.run()
    row = bench.destination.rows[("1",)]
    assert row["d"] == "1.0000000001"
    assert row["t"] == "2024-01-01 10:00:00+00"
    assert row["b"] == "ab"
    assert row["l"] == "[1,2]"
    assert row["s"] == '{"a":1,"b":[null,"x"]}'
    for changed in ({"number": "1.0000000002"}, {"real": "0.1000000000000001"}, {"item": 3}):
        bench.sql(sql.format(**{"number": "1.0000000001", "real": "0.1", "item": 2, **changed}))
        assert bench.run().updated == 1


# -- rows that are refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alone", [False, True])
def test_refused_rows_wait_as_dead_letters_and_the_others_get_through(bench: Bench, alone: bool) -> None:
    bench.rows(PEOPLE)
    bench.destination.refuses = lambda row: row.get("name") in ("name-7", "name-8", "name-20")
    bench.destination.refuses_alone = alone
    spec = export(batch=10)
    result = bench.run(spec)
    assert (result.inserted, result.dead, result.waiting) == (27, 3, 3)
    letters = bench.lake.dead_letters_as(bench.access(), "crm", TABLE)
    assert sorted(letter.key for letter in letters) == [("20",), ("7",), ("8",)]
    assert {letter.reason for letter in letters} == {"refused by the fake"}
    assert sorted(bench.held(), key=int) == [str(number) for number in PEOPLE if number not in (7, 8, 20)]
    sent = len(bench.destination.batches)
    assert bench.run(spec).status == "unchanged"  # they aren't tried again by themselves
    assert len(bench.destination.batches) == sent


def test_a_dead_letter_is_sent_when_its_values_change_or_somebody_says_so(bench: Bench) -> None:
    bench.rows({1: ("bad", None), 2: ("bad", None), 3: ("Cy", None)})
    bench.destination.refuses = lambda row: row.get("name") == "bad"
    bench.run()
    assert list(bench.held()) == ["3"]
    bench.rows({1: ("good", None), 2: ("bad", None), 3: ("Cy", None)})
    bench.run()
    assert sorted(bench.held()) == ["1", "3"]
    (letter,) = bench.lake.dead_letters_as(bench.access(), "crm", TABLE)
    assert letter.key == ("2",)
    bench.destination.refuses = lambda row: False
    assert bench.run().status == "unchanged"
    assert bench.lake.exported("crm").change_dead([letter.id], drop=False) == 1
    assert bench.run().inserted == 1
    assert bench.held() == bench.seen()


def test_a_dropped_dead_letter_is_not_shown_and_not_sent_until_it_changes(bench: Bench) -> None:
    bench.rows({1: ("bad", None)})
    bench.destination.refuses = lambda row: row.get("name") == "bad"
    bench.run()
    ledger = bench.lake.exported("crm")
    assert ledger.change_dead([letter.id for letter in ledger.dead_letters()], drop=True) == 1
    assert ledger.dead_letters() == []
    assert bench.run().status == "unchanged"
    bench.rows({1: ("good", None)})
    assert bench.run().inserted == 1


def test_a_dead_letter_survives_a_death_right_after_it(bench: Bench) -> None:
    bench.rows({1: ("bad", None), 2: ("Bo", None)})
    bench.destination.refuses = lambda row: row.get("name") == "bad"
    for at in range(8):
        if not bench.die(at):
            break
        bench.run()
        assert [letter.key for letter in bench.lake.exported("crm").dead_letters()] == [("1",)]
        bench.lake.exported("crm").change_dead([letter.id for letter in bench.lake.exported("crm").dead_letters()], drop=False)


def test_a_row_refused_and_then_gone_is_deleted(bench: Bench) -> None:
    bench.rows({1: ("Ada", None)})
    bench.run()
    bench.rows({1: ("bad", None)})
    bench.destination.refuses = lambda row: row.get("name") == "bad"
    bench.run()
    assert bench.held() == {"1": ("1", "Ada", None)}
    bench.rows({})
    bench.run()
    assert bench.held() == {}
    assert bench.lake.exported("crm").dead_letters() == []


def test_a_destination_that_refuses_everything_is_stopped(bench: Bench) -> None:
    bench.rows({number: (f"n{number}", None) for number in range(200)})
    bench.destination.refuses = lambda row: True
    spec = export(max_dead="1%", batch=50)
    with pytest.raises(TooManyDead) as caught:
        bench.run(spec)
    assert caught.value.found == "refused by the fake"
    assert len(bench.lake.exported("crm").dead_letters()) == 11
    run = ExportRuns(bench.state, "prod").newest("crm")
    assert run is not None
    assert (run.status, run.error_code) == ("failed", "HW-E005")
    bench.destination.refuses = lambda row: False
    bench.run(spec)
    assert len(bench.held()) == 189  # those that wait need somebody's word


def test_who_may_not_see_the_table_whole_does_not_see_its_dead_letters(bench: Bench) -> None:
    from headwater.errors import TableNotFound

    bench.rows({1: ("bad", None)})
    bench.policies = policies("filtered", where="id > 0")
    with pytest.raises(TableNotFound):
        bench.lake.dead_letters_as(bench.access(), "crm", TABLE)


# -- a destination that isn't well -----------------------------------------------------------------------------------


def test_it_is_tried_again_with_growing_pauses_and_waits_as_long_as_it_is_asked_to(bench: Bench) -> None:
    bench.rows({1: ("Ada", None)})
    bench.destination.before = _fails(bench, 3)
    bench.run()
    assert len(bench.slept) == 3
    assert bench.slept == sorted(bench.slept)
    bench.rows({1: ("Bo", None)})
    bench.slept.clear()
    bench.destination.wait_seconds = 42.0
    bench.destination.before = _fails(bench, 1)
    bench.run()
    assert bench.slept == [42.0]


def test_patience_ends_and_the_next_run_goes_on_with_the_same_batch(bench: Bench) -> None:
    bench.rows({1: ("Ada", None), 2: ("Bo", None), 3: ("Cy", None)})
    bench.destination.wait_seconds = 1e6
    bench.destination.before = _fails(bench, 1, after=1)
    with pytest.raises(DestinationUnreachable):
        bench.run(export(patience="1 minute"))
    run = ExportRuns(bench.state, "prod").newest("crm")
    assert run is not None
    assert (run.status, run.acknowledged, run.batches) == ("failed", 1, 2)
    bench.destination.before = lambda batch: None
    result = bench.run()
    assert result.inserted == 1
    assert bench.held() == bench.seen()
    again = ExportRuns(bench.state, "prod").newest("crm")
    assert again is not None
    assert again.epoch == run.epoch


def _fails(bench: Bench, times: int, after: int = 0) -> Any:
    left = [after, times]

    def before(batch: object) -> None:
        if left[0] > 0:
            left[0] -= 1
        elif left[1] > 0:
            left[1] -= 1
            error = DestinationUnreachable("not now")
            error.wait_seconds = bench.destination.wait_seconds
            raise error

    return before


def test_requests_are_made_no_faster_than_allowed(bench: Bench) -> None:
    bench.rows(dict.fromkeys(range(1, 9), ("x", None)))
    bench.run(export(rate="2/s"))
    assert len(bench.slept) == 3
    assert sum(bench.slept) == pytest.approx(3 * 0.5 * 2, abs=1.5)


def test_a_run_that_was_taken_over_stops(bench: Bench) -> None:
    bench.rows(dict.fromkeys(range(1, 9), ("x", None)))
    with pytest.raises(ExportTakenOver):
        bench.run(is_ours=lambda: len(bench.destination.batches) < 2)
    bench.run()
    assert bench.held() == bench.seen()


def test_a_run_that_slept_while_another_went_on_can_acknowledge_nothing(bench: Bench) -> None:
    bench.rows({1: ("Ada", None), 2: ("Bo", None), 3: ("Cy", None)})

    def overtake(batch: object) -> None:
        bench.destination.before = lambda batch: None
        bench.rows({1: ("newer", None)})
        bench.run()

    bench.destination.before = overtake
    with pytest.raises(ExportTakenOver):
        bench.run()
    bench.run()
    assert bench.held() == bench.seen()
    assert bench.run().status == "unchanged"


def test_what_a_run_that_slept_sent_while_another_is_at_work_is_sent_again(bench: Bench) -> None:
    bench.rows({1: ("Ada", None), 2: ("Bo", None), 3: ("Cy", None)})

    def overtake(batch: object) -> None:
        bench.destination.before = lambda batch: None
        bench.rows({1: ("newer", None), 2: ("newer", None), 3: ("newer", None)})
        bench.die(4)  # a plan, and its first batch acknowledged; the second was sent

    bench.destination.before = overtake
    with pytest.raises(ExportTakenOver):
        bench.run()
    bench.run()
    assert bench.held() == bench.seen()


def test_nothing_of_a_row_stands_in_the_state_store(bench: Bench) -> None:
    bench.rows({471108150815: ("Ada-Lovelace-secret", "Bergen-secret")})
    bench.destination.refuses = lambda row: True
    bench.run()
    bench.now += timedelta(days=1)
    bench.state.make_durable()
    files = [file.read_bytes() for file in bench.folder.glob("state.sqlite*")]
    assert not any(word in content for content in files for word in (b"Ada-Lovelace", b"Bergen-secret", b"471108150815"))
    assert BOT.name.encode() in b"".join(files)
