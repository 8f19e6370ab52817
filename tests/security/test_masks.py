"""Masks in DuckDB: what each makes of each type, that nulls stay null, and that no value comes out as it was."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.security import MaskKeys, mask_sql
from headwater.spec.policies import DATE_PARTS, Mask, parse_mask

KEYS = MaskKeys(hash="h'1", token="t", noise="n")
OTHER = MaskKeys(hash="h2", token="t2", noise="n2")

MASKS = [
    "null",
    "redact",
    "hash",
    "token",
    *({"generalise": part} for part in DATE_PARTS),
    {"generalise": 10},
    {"generalise": 0.25},
    {"generalise": {"prefix": 2}},
    {"generalise": {"prefix": 0}},
    {"noise": 0.1},
    {"noise": 1},
    "partial",
    {"partial": "email"},
    {"partial": "phone"},
    {"partial": "card"},
]

#: Values of each type, none of which a mask may leave as it is.
VALUES = {
    "BOOLEAN": [True, False],
    "TINYINT": [1, -1, 0, 127, -128],
    "SMALLINT": [7, 32767, -32768],
    "INTEGER": [0, 1, -3, 2147483647, -2147483648],
    "BIGINT": [5, 9223372036854775807, -9223372036854775808],
    "HUGEINT": [3, 2**126],
    "UTINYINT": [0, 1, 255],
    "USMALLINT": [3, 65535],
    "UINTEGER": [0, 4294967295],
    "UBIGINT": [1, 18446744073709551615],
    "UHUGEINT": [1, 2**127],
    "DECIMAL(10,2)": [Decimal("0.01"), Decimal("-12.34"), Decimal("99999999.99")],
    "DECIMAL(38,0)": [Decimal("1"), Decimal(10) ** 37 + 1],
    "FLOAT": [1.5, -0.25, float("nan"), float("inf")],
    "DOUBLE": [3.7, -1e300, 1e-300, float("nan"), float("inf"), float("-inf")],
    "VARCHAR": [
        "ada@example.no",
        "john.doe@localhost",
        "x",
        "",
        "æøå",
        "👩‍👩‍👧",
        "+47 900 12 345",
        "4111 1111 1111 1111",
        "a'b\"c;--",
        "日本語テキスト",
        "ab",
    ],
    "DATE": [date(2024, 5, 17), date(1, 1, 2), date(9999, 12, 31)],
    "TIMESTAMP": [datetime(2024, 5, 17, 13, 14, 15, 16), datetime(1, 1, 2, 1, 1), datetime(9999, 12, 31, 1, 1)],
    "TIMESTAMP WITH TIME ZONE": [datetime(2024, 5, 17, 13, 14, 15, tzinfo=UTC)],
    "TIMESTAMP_S": [datetime(2024, 5, 17, 13, 14, 15)],
    "TIMESTAMP_MS": [datetime(2024, 5, 17, 13, 14, 15)],
    "TIMESTAMP_NS": [datetime(2024, 5, 17, 13, 14, 15), datetime(1690, 1, 2, 1, 1), datetime(2261, 1, 2, 1, 1)],
    "TIME": [time(1, 2, 3)],
    "INTERVAL": ["3 days"],
    "UUID": [uuid.UUID(int=1)],
    "BLOB": [b"a\x00b"],
    "JSON": ['{"a": 1}'],
    "INTEGER[]": [[1, 2], [], [None]],
    "VARCHAR[]": [["ada@example.no"]],
    "DECIMAL(10,2)[]": [[Decimal("1.10")]],
    "STRUCT(a INTEGER, b VARCHAR)": [{"a": 1, "b": "x"}],
    "MAP(VARCHAR, INTEGER)": ["{a=1}"],
}


@pytest.fixture(scope="module")
def db() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'Europe/Oslo'")
    return connection


def masked(db, mask, type_name, values, keys=KEYS):
    """(mask's text, value's text) of each value."""
    db.execute(f'CREATE OR REPLACE TEMP TABLE t (i INTEGER, "c ""x" {type_name})')
    db.executemany(f"INSERT INTO t VALUES (?, CAST(? AS {type_name}))", list(enumerate(values)))
    sql = mask_sql(parse_mask(mask), '"c ""x"', type_name, keys)
    return db.execute(f'SELECT CAST({sql} AS VARCHAR), CAST("c ""x" AS VARCHAR) FROM t ORDER BY i').fetchall()


@pytest.mark.parametrize("type_name", VALUES)
@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_no_value_comes_out_as_it_was_and_nulls_stay_null(db, mask, type_name):
    kind = parse_mask(mask)
    pairs = masked(db, mask, type_name, [*VALUES[type_name], None])
    assert pairs[-1] == (None, None)
    for shown, value in pairs[:-1]:
        if kind.kind == "generalise" and shown == value:
            # what a bucket or a date's beginning leaves, the mask itself says: it is the first of its kind
            assert kind.argument in (10, 0.25) or (kind.argument in DATE_PARTS and value[-8:] == "00:00:00") or kind.argument == "day"
            continue
        assert shown != value
    assert db.execute("SELECT count(*) FROM t").fetchone() == (len(VALUES[type_name]) + 1,)


@pytest.mark.parametrize("type_name", VALUES)
@pytest.mark.parametrize(
    "mask", ["null", "redact", {"generalise": "year"}, {"generalise": 10}, {"generalise": {"prefix": 2}}, {"noise": 0.1}, "partial"], ids=str
)
def test_the_type_stays(db, mask, type_name):
    db.execute(f"CREATE OR REPLACE TEMP TABLE t (c {type_name})")
    sql = mask_sql(parse_mask(mask), "c", type_name, KEYS)
    assert db.execute(f"SELECT typeof(c) = typeof(m) FROM (SELECT c, {sql} AS m FROM t UNION ALL SELECT NULL, NULL)").fetchone() == (True,)


@pytest.mark.parametrize(
    ("mask", "type_name", "value", "shown"),
    [
        ("redact", "VARCHAR", "", "***"),
        ("redact", "VARCHAR", "a very long text", "***"),
        ("redact", "INTEGER", 3, None),
        ("null", "VARCHAR", "x", None),
        ("partial", "VARCHAR", "ada@example.no", "a***@***.no"),
        ("partial", "VARCHAR", "ada.love@mail.example.museum", "a***@***.museum"),
        ("partial", "VARCHAR", "john.doe@localhost", "j***@***"),
        ("partial", "VARCHAR", "a@b@c.no", "a***@***.no"),
        ("partial", "VARCHAR", "x@y.averylongsecret", "x***@***"),
        ("partial", "VARCHAR", "økonomi@firma.no", "ø***@***.no"),
        ({"partial": "email"}, "VARCHAR", "no.secret", "n***@***"),
        ({"partial": "email"}, "VARCHAR", "", "***@***"),
        ("partial", "VARCHAR", "+47 900 12 345", "************45"),
        ("partial", "VARCHAR", "4111 1111 1111 1234", "***************1234"),
        ({"partial": "card"}, "VARCHAR", "411", "**1"),
        ({"partial": "phone"}, "VARCHAR", "1", "*"),
        ({"partial": "phone"}, "VARCHAR", "", "*"),
        ("partial", "VARCHAR", "Ada", "A***"),
        ("partial", "VARCHAR", "", "***"),
        ("partial", "BIGINT", 4790012345, None),
        ({"generalise": "year"}, "DATE", date(1990, 5, 17), "1990-01-01"),
        ({"generalise": "decade"}, "DATE", date(1994, 5, 17), "1990-01-01"),
        ({"generalise": "hour"}, "DATE", date(1990, 5, 17), None),
        ({"generalise": "hour"}, "TIMESTAMP", datetime(1990, 5, 17, 13, 14), "1990-05-17 13:00:00"),
        ({"generalise": "year"}, "VARCHAR", "1990-05-17", None),
        ({"generalise": "year"}, "TIME", time(1, 2), None),
        ({"generalise": 10}, "INTEGER", 37, "30"),
        ({"generalise": 10}, "INTEGER", -3, "-10"),
        ({"generalise": 10}, "DECIMAL(10,2)", Decimal("37.25"), "30.00"),
        ({"generalise": 0.5}, "DOUBLE", 1.3, "1.0"),
        ({"generalise": 10}, "TINYINT", -128, None),
        ({"generalise": 10}, "DOUBLE", float("inf"), None),
        ({"generalise": 10}, "VARCHAR", "37", None),
        ({"generalise": {"prefix": 2}}, "VARCHAR", "0150", "01**"),
        ({"generalise": {"prefix": 2}}, "VARCHAR", "01", "0*"),
        ({"generalise": {"prefix": 2}}, "VARCHAR", "æøå", "æø*"),
        ({"generalise": {"prefix": 5}}, "VARCHAR", "", "*"),
        ({"generalise": {"prefix": 0}}, "VARCHAR", "0150", "****"),
        ({"generalise": {"prefix": 2}}, "INTEGER", 1500, None),
        ({"noise": 0.1}, "VARCHAR", "37", None),
        ({"noise": 0.1}, "INTEGER", 0, "1"),
        ({"noise": 0.1}, "DOUBLE", float("nan"), None),
    ],
    ids=str,
)
def test_what_a_mask_shows(db, mask, type_name, value, shown):
    assert masked(db, mask, type_name, [value])[0][0] == shown


def test_a_hash_is_the_same_for_the_same_value_and_another_with_another_key(db):
    (first, _), (second, _), (third, _) = masked(db, "hash", "VARCHAR", ["ada", "ada", "Ada"])
    assert first == second != third
    assert len(first) == 64
    assert masked(db, "hash", "VARCHAR", ["ada"], OTHER)[0][0] != first
    assert masked(db, "hash", "INTEGER", [42])[0][0] == masked(db, "hash", "BIGINT", [42])[0][0]


def test_a_token_is_no_beginning_of_the_hash(db):
    ((token, _),) = masked(db, "token", "VARCHAR", ["ada"])
    assert token.startswith("tok_")
    assert token.rpartition("_")[2] not in masked(db, "hash", "VARCHAR", ["ada"])[0][0]


def test_the_hash_of_an_instant_does_not_hang_on_the_session(db):
    moment = [datetime(2024, 5, 17, 13, tzinfo=UTC)]
    try:
        here = masked(db, "hash", "TIMESTAMP WITH TIME ZONE", moment)[0][0]
        db.execute("SET TimeZone = 'Asia/Tokyo'")
        assert masked(db, "hash", "TIMESTAMP WITH TIME ZONE", moment)[0][0] == here
    finally:
        db.execute("SET TimeZone = 'Europe/Oslo'")


def test_noise_stays_within_its_share_and_is_the_same_each_time(db):
    values = [float(value) for value in range(1000, 3000)]
    pairs = masked(db, {"noise": 0.1}, "DOUBLE", values)
    shares = [float(shown) / float(value) - 1 for shown, value in pairs]
    assert all(0.0099 <= abs(share) <= 0.1001 for share in shares)
    assert abs(sum(shares) / len(shares)) < 0.01
    assert masked(db, {"noise": 0.1}, "DOUBLE", values) == pairs
    assert masked(db, {"noise": 0.1}, "DOUBLE", values, OTHER) != pairs


@settings(max_examples=150, deadline=None)
@given(text=st.text(alphabet=st.characters(exclude_characters="*\x00", exclude_categories=["Cs"]), max_size=40))
def test_no_text_comes_out_as_it_was(text):
    connection = duckdb.connect() if not _kept else _kept[0]
    if not _kept:
        _kept.append(connection)
    for mask in ("redact", "hash", "token", "partial", *({"partial": form} for form in ("email", "phone", "card")), {"generalise": {"prefix": 3}}):
        shown = connection.execute(f"SELECT {mask_sql(parse_mask(mask), 'c', 'VARCHAR', KEYS)} FROM (SELECT ? AS c)", [text]).fetchone()[0]
        assert shown is not None
        assert shown != text
        if len(text) > 3 and mask != "hash":
            assert text not in shown


_kept: list[duckdb.DuckDBPyConnection] = []


def test_masks_are_ordered_from_the_strictest_on():
    ordered = ["null", "redact", "hash", "token", {"generalise": "century"}, {"generalise": "month"}, {"noise": 0.5}, {"noise": 0.1}, "partial"]
    ranks = [parse_mask(mask).rank for mask in ordered]
    assert ranks == sorted(ranks)
    assert parse_mask({"generalise": {"prefix": 1}}).rank < parse_mask({"generalise": {"prefix": 3}}).rank
    assert parse_mask({"generalise": 100}).rank < parse_mask({"generalise": 10}).rank
    assert str(parse_mask({"generalise": "year"})) == "generalise(year)"
    assert parse_mask(None) == Mask(kind="null")
