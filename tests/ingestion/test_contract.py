"""Contracts: what is refused before anything is read, what evolves, what goes to quarantine."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from loading_kit import Loads, TableConnector, WholeTableConnector, source_of

from headwater.errors import ContractRefused, EvolutionRefused, Interrupted, SourceReadFailed, TooManyRejected

AT = datetime(2024, 1, 1, 10, 0, 0, 123456)


def table(**columns: Any) -> WholeTableConnector:
    """A source whose columns are given as lists of values, or (type, values)."""
    fields, values = [], {}
    for name, given in columns.items():
        kind, items = given if isinstance(given, tuple) else (None, given)
        array = pa.array(items, type=kind)
        fields.append(pa.field(name, array.type))
        values[name] = items
    rows = [dict(zip(values, items, strict=True)) for items in zip(*values.values(), strict=True)]
    return WholeTableConnector(pa.schema(fields), rows)


def types_of(loads: Loads) -> dict[str, str]:
    return {column.name: column.type for column in loads.lake.state().tables[source_of({}).table_name("orders")].columns}


def test_the_first_load_takes_the_columns_as_they_come_and_adds_the_technical_ones(loads: Loads) -> None:
    prepared = loads.load(table(id=[1, 2], name=["a", None]), source_of({}))
    assert prepared.rows_read == 2
    assert types_of(loads) == {"id": "BIGINT", "name": "VARCHAR", "_hw_load_id": "VARCHAR", "_hw_loaded_at": "TIMESTAMP WITH TIME ZONE"}
    assert loads.rows("id, name") == [(1, "a"), (2, None)]


def test_evolve_adds_a_new_column_and_widens_one(loads: Loads) -> None:
    source = source_of({"primary_key": "id"})
    loads.load(table(id=(pa.int32(), [1]), n=(pa.int32(), [7])), source)
    loads.load(table(id=(pa.int32(), [2]), n=(pa.int64(), [2**40]), extra=["x"]), source)
    assert types_of(loads)["n"] == "BIGINT"
    assert loads.rows("id, n, extra") == [(1, 7, None), (2, 2**40, "x")]


@pytest.mark.parametrize("disposition", ["append", "merge", "scd2"])
def test_a_declared_type_that_stored_rows_can_not_take_is_refused_with_the_way_out(loads: Loads, disposition: str) -> None:
    keys = {"primary_key": "id", "write_disposition": disposition}
    loads.load(table(id=[1], n=["7"]), source_of({**keys, "columns": {"n": "bigint"}}))
    with pytest.raises(EvolutionRefused, match="BIGINT to INTEGER") as caught:
        loads.load(table(id=[2], n=["[7]"]), source_of({**keys, "columns": {"n": "integer[]"}}))
    assert "--full-refresh" in (caught.value.hint or "")
    assert loads.rows("id, n") == [(1, 7)]


def test_a_column_that_became_text_in_the_source_is_text_from_then_on(loads: Loads) -> None:
    source = source_of({"primary_key": "id"})
    loads.load(table(id=[1], code=[7]), source)
    loads.load(table(id=[2], code=["A7"]), source)
    assert loads.rows("id, code") == [(1, "7"), (2, "A7")]


def test_a_column_missing_from_one_read_is_null_and_stays(loads: Loads) -> None:
    source = source_of({"primary_key": "id"})
    loads.load(table(id=[1], note=["x"]), source)
    loads.load(table(id=[2]), source)
    assert loads.rows("id, note") == [(1, "x"), (2, None)]


def test_enforced_refuses_a_change_with_the_whole_difference(loads: Loads) -> None:
    source = source_of({"schema_contract": "enforced", "primary_key": "id"})
    loads.load(table(id=[1], gone=["x"], kind=[1]), source)
    with pytest.raises(ContractRefused) as refused:
        loads.prepare(table(id=[1], added=[1], kind=["text"]), source)
    assert refused.value.found is not None
    assert {part.split(" ")[0] + part.split(" ")[1] for part in refused.value.found.split("; ")} == {"+added", "-gone", "~kind"}
    assert loads.rows("id") == [(1,)]


def test_enforced_takes_what_select_names_and_refuses_what_it_does_not_declare(loads: Loads) -> None:
    columns = {"id": {"type": "bigint"}}
    loads.load(table(id=[1], other=[2]), source_of({"schema_contract": "enforced", "columns": columns, "select": ["id", "other"]}))
    with pytest.raises(ContractRefused, match="differs"):
        loads.prepare(table(id=[1], other=[2]), source_of({"schema_contract": "enforced", "columns": columns}, name="shop2"))


def test_agnostic_keeps_text_and_json(loads: Loads) -> None:
    source = source_of({"schema_contract": "agnostic"})
    loads.load(table(n=[1.5], parts=[[1, 2]]), source)
    assert types_of(loads)["n"] == "VARCHAR"
    assert loads.rows("n, parts") == [("1.5", "[1,2]")]


@pytest.mark.parametrize(
    ("mode", "kept", "reasons"), [("discard_value", [(1,), (2,)], []), ("discard_row", [(1,)], ["column: new is not in the contract"])]
)
def test_an_unknown_column_can_cost_the_value_or_the_row(loads: Loads, mode: str, kept: list[Any], reasons: list[str]) -> None:
    source = source_of({"schema_contract": {"columns": mode}, "columns": {"id": "bigint"}})
    loads.load(table(id=[1, 2], new=[None, "x"]), source)
    assert loads.rows("id") == kept
    assert [row[0] for row in loads.waiting()] == reasons


def test_a_value_of_the_wrong_type_can_become_null_where_the_contract_says_so(loads: Loads) -> None:
    loads.load(table(n=["1", "x"]), source_of({"schema_contract": {"data_type": "discard_value"}, "columns": {"n": "bigint"}}))
    assert loads.rows("n") == [(1,), (None,)]
    assert loads.waiting() == []


def test_rows_that_break_the_contract_wait_with_all_reasons_and_the_raw_row(loads: Loads) -> None:
    columns = {
        "id": {"type": "bigint"},
        "amount": {"type": "decimal(10,2)", "not_null": True, "checks": [{"range": {"min": 0}}]},
        "email": {"checks": [{"matches": "@"}]},
    }
    source = source_of({"primary_key": "id", "columns": columns})
    rows = table(id=["1", None, "3", "4"], amount=["1.50", "1.005", None, "-1"], email=["a@b", "a@b", "a@b", "nope"])
    prepared = loads.load(rows, source)
    assert (prepared.rows_read, prepared.rows_rejected) == (4, 3)
    assert loads.rows("id, amount::VARCHAR") == [(1, "1.50")]
    assert [row[0] for row in loads.waiting()] == [
        "check: range(amount); check: matches(email)",
        "null: amount",
        "type: amount is not DECIMAL(10,2); null: id (primary key)",
    ]
    assert ('{"id":"4","amount":"-1","email":"nope"}', "amount") in loads.waiting("raw, column_name")


def test_a_value_of_a_wrong_type_is_not_told_as_a_null_too(loads: Loads) -> None:
    columns = {"id": {"type": "bigint"}, "n": {"type": "integer", "not_null": True}, "m": {"type": "integer", "not_null": True}}
    rows = table(id=["1", "x", "3"], n=["1", "1", "x"], m=["1", "1", None])
    loads.load(rows, source_of({"primary_key": "id", "columns": columns}))
    assert [row[0] for row in loads.waiting()] == ["type: id is not BIGINT", "type: n is not INTEGER; null: m"]


def test_raw_rows_of_typed_sources_lose_nothing(loads: Loads) -> None:
    columns = {"id": {"not_null": True}}
    rows = table(id=(pa.int64(), [None, 1]), f=[float("nan"), 0.1], at=[AT, AT], d=(pa.decimal128(38, 2), [None, None]), big=[2**62, 1])
    loads.load(rows, source_of({"columns": columns}))
    assert loads.waiting("raw") == [('{"id":null,"f":"nan","at":"2024-01-01 10:00:00.123456","d":null,"big":4611686018427387904}',)]


def test_reading_rejected_rows_again_adds_nothing_to_quarantine(loads: Loads) -> None:
    source = source_of({"primary_key": "id", "columns": {"n": "bigint"}})
    loads.load(table(id=[1, 2, 3], n=["1", "x", "x"]), source)
    assert loads.load(table(id=[1, 2, 3], n=["1", "x", "x"]), source).change is None
    loads.load(table(id=[1, 2, 3], n=["1", "x", "7"]), source)
    assert len(loads.waiting()) == 1
    assert loads.rows("id, n") == [(1, 1), (3, 7)]


def test_too_many_rejects_stop_the_load_and_say_why_without_values(loads: Loads) -> None:
    source = source_of({"max_rejected": "10%", "columns": {"n": "bigint"}})
    with pytest.raises(TooManyRejected) as refused:
        loads.prepare(table(n=["1", "secret", "3"]), source)
    assert refused.value.found == "1 time type: n is not BIGINT"
    assert "secret" not in str(refused.value)
    assert loads.staged_files() == []
    loads.load(table(n=[str(i) for i in range(9)] + ["x"]), source)
    assert len(loads.rows("n")) == 9


def test_a_first_load_that_is_rubbish_as_a_whole_fails(loads: Loads) -> None:
    with pytest.raises(TooManyRejected):
        loads.prepare(table(n=["x", "y"]), source_of({"columns": {"n": "bigint"}}))


@pytest.mark.parametrize(
    ("stream", "columns", "message"),
    [
        ({}, {"id": [1], "_hw_load_id": ["x"]}, "keeps for itself"),
        ({}, {"id": [1], "_hw_anything": ["x"]}, "begin with _hw_"),
        ({}, {"Id": [1], "id": [2]}, "differ by case alone"),
        ({"select": ["idd"]}, {"id": [1]}, "did you mean id"),
        ({"primary_key": "key"}, {"id": [1]}, "`primary_key` names key"),
        ({"primary_key": "id", "exclude": ["id"]}, {"id": [1], "n": [1]}, "which is left out"),
        ({"columns": {"id": "bigit"}}, {"id": [1]}, "there is no type bigit"),
        ({"columns": {"id": {"checks": [{"expression": "idd > 0"}]}}}, {"id": [1]}, "can't be evaluated"),
        ({"columns": {"must": {"not_null": True}}}, {"id": [1]}, "differs from its contract"),
        ({"primary_key": "id", "write_disposition": "scd2"}, {"id": [1], "valid_from": [1]}, "adds a column valid_from"),
        ({"exclude": ["id"]}, {"id": [1]}, "gives no columns"),
    ],
)
def test_a_contract_that_can_not_hold_is_told_before_anything_is_read(
    loads: Loads, stream: dict[str, Any], columns: dict[str, Any], message: str
) -> None:
    with pytest.raises(ContractRefused) as refused:
        loads.prepare(table(**columns), source_of(stream))
    assert message in str(refused.value)


def test_doubled_column_names_are_told(loads: Loads) -> None:
    schema = pa.schema([("a", pa.int64()), ("a", pa.int64())])
    with pytest.raises(ContractRefused, match="gives a twice"):
        loads.prepare(WholeTableConnector(schema), source_of({}))


def test_a_renamed_column_keeps_its_rows(loads: Loads) -> None:
    loads.load(table(id=[1], mail=["a@b"]), source_of({"primary_key": "id"}))
    renamed = source_of({"primary_key": "id", "columns": {"email": {"renamed_from": "mail"}}})
    loads.load(table(id=[2], email=["c@d"]), renamed)
    assert loads.rows("id, email") == [(1, "a@b"), (2, "c@d")]
    loads.load(table(id=[3], mail=["e@f"]), renamed)  # a source that still has the old name
    assert loads.rows("id, email") == [(1, "a@b"), (2, "c@d"), (3, "e@f")]


def test_two_thousand_columns_with_contracts_are_prepared(loads: Loads) -> None:
    columns = {f"c{i}": ["1", "x"] for i in range(2000)}
    contract = {f"c{i}": {"type": "bigint", "not_null": True} for i in range(2000)}
    prepared = loads.prepare(table(**columns), source_of({"columns": contract}))
    assert (prepared.rows_read, prepared.rows_rejected) == (2, 1)
    assert prepared.change is not None
    assert prepared.change.staged is not None
    assert loads.lake.read_as_system(f"SELECT c0, c1999 FROM {prepared.change.staged.relation}").fetchall() == [(1, 1)]


def test_a_ten_megabyte_text_loads(loads: Loads) -> None:
    loads.load(table(text=["é" * 5_000_000]), source_of({}))
    assert loads.rows("strlen(text)") == [(10_000_000,)]


def test_an_empty_read_makes_an_empty_table(loads: Loads) -> None:
    loads.load(WholeTableConnector(pa.schema([("id", pa.int64())])), source_of({"primary_key": "id"}))
    assert loads.rows("*") == []
    assert loads.load(WholeTableConnector(pa.schema([("id", pa.int64())])), source_of({"primary_key": "id"})).change is None


def test_a_source_that_dies_in_the_middle_is_read_again_from_the_start(loads: Loads) -> None:
    connector = WholeTableConnector(pa.schema([("id", pa.int64())]), [{"id": i} for i in range(30)], dies_after=4)
    with pytest.raises(SourceReadFailed) as failed:
        loads.prepare(connector, source_of({}))
    assert failed.value.retry == "yes"
    connector.dies_after = None
    loads.load(connector, source_of({}))
    assert len(loads.rows("id")) == 30


def test_a_cancelled_load_stops(loads: Loads) -> None:
    connector = WholeTableConnector(pa.schema([("id", pa.int64())]), [{"id": i} for i in range(30)])
    with pytest.raises(Interrupted):
        loads.prepare(connector, source_of({}), is_cancelled=lambda: True)


def test_a_failed_read_leaves_no_file(loads: Loads) -> None:
    connector = WholeTableConnector(pa.schema([("id", pa.int64())]), [{"id": i} for i in range(30)], dies_after=4)
    with pytest.raises(SourceReadFailed):
        loads.prepare(connector, source_of({}))
    assert loads.staged_files() == []


def test_progress_tells_rows_and_bytes(loads: Loads) -> None:
    told: list[tuple[int, int]] = []
    loads.load(table(id=[1, 2, 3]), source_of({}), on_progress=lambda rows, size: told.append((rows, size)))
    assert told[-1][0] == 3


def test_a_changed_definition_is_committed_without_rows(loads: Loads) -> None:
    connector = TableConnector(pa.schema([("id", pa.int64())]), [{"id": 1}])
    loads.load(connector, source_of({"primary_key": "id"}))
    described = source_of({"primary_key": "id", "columns": {"id": {"description": "The order's number"}}})
    assert loads.load(connector, described).change is None
    change = loads.load(connector, described, fingerprint="2").change
    assert change is not None
    assert change.staged is None
    assert loads.lake.state().tables[described.table_name("orders")].columns[0].description == "The order's number"
