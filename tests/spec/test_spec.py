"""The nouns: what is accepted, what is refused, what comes back."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headwater import errors
from headwater.spec._base import format_duration, parse_duration, parse_size
from headwater.spec.checks import CHECK_TYPES, dump_check, parse_check
from headwater.spec.models import IncrementalKind, ModelHeader, SnapshotKind, TableKind, ViewKind
from headwater.spec.names import TableName, quote, quote_literal
from headwater.spec.python import table
from headwater.spec.sources import Source, Stream
from headwater.spec.tables import split_type_arguments, storage_type


@given(st.text(min_size=1).filter(lambda t: "\x00" not in t), st.text(min_size=1).filter(lambda t: "\x00" not in t))
def test_a_quoted_table_name_parses_back(schema, name):
    assert TableName.parse(TableName(schema, name).sql) == TableName(schema, name)


@pytest.mark.parametrize(("text", "expected"), [("512MB", 512_000_000), ("2 GiB", 2 * 2**30), ("1.5kb", 1500), ("7b", 7), (42, 42)])
def test_amounts_of_memory_are_read_as_people_write_them(text, expected):
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "MB", "12", "1 GBB", "-1GB", "1,5GB", True, 1.5, None])
def test_what_is_no_amount_of_memory_is_refused(text):
    with pytest.raises(ValueError, match="is no number of bytes"):
        parse_size(text)


def test_a_view_cannot_be_hot():
    with pytest.raises(ValidationError, match="a view is stored nowhere"):
        ModelHeader.model_validate({"kind": "view", "hot": True})
    assert ModelHeader.model_validate({"hot": True}).hot


@pytest.mark.parametrize("text", ["orders", "a.b.c", "", ".", "a.", ".b", '"a.b', "a b.c"])
def test_what_is_not_schema_dot_table_is_refused(text):
    with pytest.raises(ValueError, match=r"schema\.table"):
        TableName.parse(text)


def test_names_that_differ_by_case_alone_have_one_key():
    assert TableName.parse("Staging.Orders").key == TableName.parse("staging.orders").key


def test_quoting_doubles_the_quote():
    assert quote('a"b') == '"a""b"'
    assert quote_literal("it's") == "'it''s'"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10 minutes", timedelta(minutes=10)),
        ("1 day", timedelta(days=1)),
        ("36h", timedelta(hours=36)),
        ("1h 30m", timedelta(minutes=90)),
        ("1.5 hours", timedelta(minutes=90)),
    ],
)
def test_durations_are_read_as_people_write_them(text, expected):
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "10", "10 parsecs", "1 day and a bit", 5, None])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.integers(0, 10**7).map(lambda s: timedelta(seconds=s)))
def test_durations_come_back(value):
    assert parse_duration(format_duration(value)) == value


@pytest.mark.parametrize(
    ("item", "column", "label"),
    [
        ("not_null", "id", "not_null(id)"),
        ({"not_null": "id"}, None, "not_null(id)"),
        ({"unique": ["a", "b"]}, None, "unique(a, b)"),
        ("unique", "id", "unique(id)"),
        ({"accepted_values": ["x", "y"]}, "kind", "accepted_values(kind)"),
        ({"relationships": {"to": "a.b", "field": "id"}}, "b_id", "relationships(b_id -> a.b.id)"),
        ({"range": {"column": "v", "min": 0}}, None, "range(v)"),
        ({"matches": "@"}, "email", "matches(email)"),
        ({"rows": {"min": 1}, "severity": "warn"}, None, "rows"),
        ({"fresh": {"column": "at", "within": "1 day"}}, None, "fresh(at)"),
        ({"expression": {"name": "net", "sql": "a > b"}}, None, "expression(net)"),
        ({"query": {"name": "q", "sql": "SELECT 1", "tolerance": 0.1}}, None, "query(q)"),
    ],
)
def test_checks_are_read_in_their_short_and_long_forms_and_come_back(item, column, label):
    check = parse_check(item, column)
    assert check.label == label
    assert parse_check(dump_check(check)) == check


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("no_nulls", "there is no check 'no_nulls'"),
        ({"a": 1, "b": 2}, "one name"),
        (7, "a name"),
        ({"range": 5}, "mapping"),
        ({"matches": {"column": "x"}}, "pattern"),
        ({"not_null": {"column": "x", "tolerance": 7}}, "tolerance"),
        ({"unique": {"columns": []}}, "columns"),
    ],
)
def test_a_check_that_makes_no_sense_says_why(item, message):
    with pytest.raises(ValueError, match=message):
        parse_check(item)


def test_every_check_type_is_known_by_its_name():
    assert set(CHECK_TYPES) == {"not_null", "unique", "accepted_values", "relationships", "range", "matches", "rows", "fresh", "expression", "query"}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("table", TableKind()),
        ("view", ViewKind()),
        ({"incremental": {"time_column": "d", "lookback": "3 days"}}, IncrementalKind(time_column="d", lookback=timedelta(days=3))),
        ({"snapshot": {"key": "id", "updated_at": "at"}}, SnapshotKind(key=("id",), updated_at="at")),
    ],
)
def test_kinds(kind, expected):
    assert ModelHeader.model_validate({"kind": kind}).kind == expected


@pytest.mark.parametrize(
    "kind", ["incremental", "snapshot", "cube", {"snapshot": {"key": "id"}}, {"table": 1}, {"incremental": {}}, {"a": {}, "b": {}}]
)
def test_a_kind_that_makes_no_sense_is_refused(kind):
    with pytest.raises(ValidationError):
        ModelHeader.model_validate({"kind": kind})


def test_a_stream_as_the_design_shows_it():
    source = Source.model_validate(
        {
            "type": "postgres",
            "connection": "${env:SHOP_URL}",
            "streams": {
                "orders": {
                    "table": "public.orders",
                    "select": ["id", "email"],
                    "primary_key": ["id"],
                    "cursor": {"column": "updated_at", "lag": "10 minutes", "start": "2024-01-01"},
                    "deleted_when": "is_deleted",
                    "parallel": {"column": "id", "parts": 8},
                    "write_disposition": "merge",
                    "schema_contract": {"tables": "evolve", "columns": "freeze", "data_type": "discard_row"},
                    "max_rejected": "1%",
                    "columns": {
                        "id": {"type": "bigint", "not_null": True},
                        "email": {"labels": ["pii.email"], "checks": [{"matches": "@"}, "unique"]},
                    },
                    "checks": [{"fresh": {"column": "updated_at", "within": "1 day"}}],
                }
            },
        }
    )
    stream = source.streams["orders"]
    assert stream.max_rejected == 0.01
    assert [check.label for check in stream.contract_checks] == ["matches(email)"]
    assert [check.label for check in stream.table_checks] == ["fresh(updated_at)", "unique(email)"]


@pytest.mark.parametrize(
    "stream",
    [
        {"write_disposition": "merge"},
        {"write_disposition": "upsert"},
        {"select": ["a"], "exclude": ["b"]},
        {"deleted_when": "x"},
        {"max_rejected": 2},
        {"parallel": {"column": "id", "parts": 1}},
        {"schema_contract": "strict"},
        {"primary_keys": ["id"]},
    ],
)
def test_a_stream_that_makes_no_sense_is_refused(stream):
    with pytest.raises(ValidationError):
        Stream.model_validate(stream)


@pytest.mark.parametrize(
    ("duckdb_type", "stored"),
    [
        ("INTEGER", "INTEGER"),
        ("HUGEINT", "DECIMAL(38,0)"),
        ("INTEGER[3]", "INTEGER[]"),
        ("ENUM('a', 'b')", "VARCHAR"),
        ('STRUCT(a HUGEINT, "b c" MAP(VARCHAR, HUGEINT[3]))', 'STRUCT(a DECIMAL(38,0), "b c" MAP(VARCHAR, DECIMAL(38,0)[]))'),
        ("UNION(num INTEGER, str VARCHAR)", "VARCHAR"),
        ('"NULL"', "INTEGER"),
        ("DECIMAL(10,2)", "DECIMAL(10,2)"),
    ],
)
def test_types_the_lake_cannot_keep_are_mapped(duckdb_type, stored):
    assert storage_type(duckdb_type) == stored


def test_type_arguments_split_at_their_own_commas():
    assert split_type_arguments('a DECIMAL(10,2), "b, c" STRUCT(x INTEGER, y VARCHAR)') == ["a DECIMAL(10,2)", '"b, c" STRUCT(x INTEGER, y VARCHAR)']


def test_an_input_of_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="as_"):
        table("a.b", as_="spreadsheet")


def _all_errors(root=errors.HeadwaterError):
    yield root
    for child in root.__subclasses__():
        yield from _all_errors(child)


def test_error_codes_are_unique_and_drawn_in_the_tree():
    codes = [error.code for error in _all_errors()]
    assert len(codes) == len(set(codes))
    for error in _all_errors():
        assert f"{error.__name__} " in errors.__doc__ or error is errors.HeadwaterError
        assert error.code in errors.__doc__


def test_an_error_tells_expected_found_state_and_hint():
    text = str(errors.Fenced("what", expected="a", found="b", state="c", hint="d", location=errors.Location("x.sql", 3, 7)))
    assert text.splitlines() == ["HW-L002 x.sql:3:7: what", "  expected: a", "  found: b", "  data: c", "  hint: d"]


def test_lineage_values_are_plain_data():
    assert pickle.loads(pickle.dumps(TableName("a", "b"))) == TableName("a", "b")
