"""Tokens in DuckDB: alike for equal values of a domain, unlike else, turned back by the key that made them and by no other."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime

import duckdb
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from headwater.security import ColumnLabels, Principal, Resource
from headwater.security.tokenizing import COUNTER, TokenKeys, detokenizable, detokenizing_macros, token_sql
from headwater.spec.names import TableName
from headwater.spec.policies import Policies

KEYS = TokenKeys({1: "first", 2: "second", 12: "newest"})
OLD = TokenKeys({1: "first"})
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=120)


@pytest.fixture(scope="module")
def db() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for statement in detokenizing_macros(KEYS, ["pii.email", "customer"]):
        connection.execute(statement)
    return connection


def token(db: duckdb.DuckDBPyConnection, text: str | None, domain: str = "pii.email", keys: TokenKeys = KEYS) -> str:
    return db.execute(f"SELECT {token_sql('v', keys, domain)} FROM (SELECT CAST(? AS VARCHAR) AS v)", [text]).fetchall()[0][0]


def back(db: duckdb.DuckDBPyConnection, text: str | None) -> str | None:
    return db.execute("SELECT detokenize(CAST(? AS VARCHAR))", [text]).fetchall()[0][0]


def reference(text: str, key: str, prefix: str) -> str:
    """The construction once more, in words of another language."""
    raw = text.encode()
    inner = hashlib.sha256(key.encode() + b"i" + raw).hexdigest()
    vector = hashlib.sha256(f"{key}o{inner}".encode()).hexdigest()[:32]
    filled = raw + b"\xff" * ((len(raw) + 16) // 24 * 24 + 8 - len(raw))
    stream = b"".join(hashlib.sha256(f"{key}s{number}:{vector}".encode()).digest() for number in range((len(filled) + 31) // 32))
    hidden = bytes(a ^ b for a, b in zip(filled, stream, strict=False))
    return prefix + base64.urlsafe_b64encode(bytes.fromhex(vector) + hidden).decode()


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_every_text_comes_back_and_is_what_the_construction_says(db: duckdb.DuckDBPyConnection, text: str) -> None:
    made = token(db, text)
    assert made == reference(text, KEYS.key_of(12, "pii.email"), KEYS.prefix_of(12, "pii.email"))
    assert "=" not in made
    assert back(db, made) == text


@settings(max_examples=50, deadline=None)
@given(TEXTS, TEXTS)
def test_equal_values_have_equal_tokens_and_others_have_others(db: duckdb.DuckDBPyConnection, one: str, other: str) -> None:
    assert (token(db, one) == token(db, other)) == (one == other)
    assert token(db, one, "customer") != token(db, one)
    assert token(db, one, "PII.Email") == token(db, one)


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.integers(0, 200), st.characters(codec="ascii"))
def test_a_token_that_was_changed_is_none(db: duckdb.DuckDBPyConnection, text: str, place: int, letter: str) -> None:
    made = token(db, text)
    changed = made[: place % len(made)] + letter + made[place % len(made) + 1 :]
    assume(changed != made)
    assert back(db, changed) is None


def test_a_token_that_is_written_otherwise_is_none(db: duckdb.DuckDBPyConnection) -> None:
    """Base64 has several ways to write the same bytes, a token has one."""
    seen = set[str]()
    for number in range(200):
        made = token(db, f"text {number}")
        prefix, payload = made[: -len(made.split("_", 3)[3])], made.split("_", 3)[3]
        for letter, other in (("-", "+"), ("_", "/"), ("A", "=")):
            if letter in payload:
                seen.add(letter)
                assert back(db, prefix + payload.replace(letter, other, 1)) is None
        assert back(db, made + "====") is None
    assert seen == {"-", "_", "A"}


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_what_is_no_token_comes_out_as_null_and_nothing_fails(db: duckdb.DuckDBPyConnection, text: str) -> None:
    for given_text in (text, KEYS.prefix_of(12, "pii.email") + text, KEYS.prefix_of(1, "customer") + text.encode().hex()):
        assert back(db, given_text) is None
    assert back(db, None) is None
    assert token(db, None) is None


def test_tokens_of_former_keys_are_turned_back_and_those_of_other_domains_and_keys_are_not(db: duckdb.DuckDBPyConnection) -> None:
    assert back(db, token(db, "ada", keys=OLD)) == "ada"
    assert token(db, "ada", keys=OLD).startswith("tok_1_")
    assert token(db, "ada").startswith("tok_12_")
    assert back(db, token(db, "ada", "salary")) is None
    assert back(db, token(db, "ada", keys=TokenKeys({1: "somebody else's"}))) is None


def test_values_too_short_and_too_alike_in_length_say_nothing_of_it(db: duckdb.DuckDBPyConnection) -> None:
    assert {len(token(db, "x" * length)) for length in range(8)} == {len(token(db, ""))}
    assert {len(token(db, "x" * length)) for length in range(8, 32)} == {len(token(db, "x" * 31))}


def test_what_is_turned_back_is_counted(db: duckdb.DuckDBPyConnection) -> None:
    def count() -> int:
        return db.execute(f"SELECT coalesce(last_value, 0) FROM duckdb_sequences() WHERE sequence_name = '{COUNTER}'").fetchall()[0][0]

    before = count()
    made = token_sql("'user' || i", KEYS, "customer")
    sql = f"SELECT count(detokenize(CASE WHEN i % 10 = 0 THEN 'none' ELSE {made} END)) FROM range(10000) t(i)"
    assert db.execute(sql).fetchall() == [(9000,)]
    assert count() - before == 9000


def test_without_a_domain_nothing_is_turned_back() -> None:
    connection = duckdb.connect()
    for statement in detokenizing_macros(KEYS, []):
        connection.execute(statement)
    assert back(connection, token(connection, "ada")) is None


# -- by right and purpose --------------------------------------------------------------------------------------------

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TABLES = [
    Resource(TableName("shop", "people"), (ColumnLabels("id"), ColumnLabels("email", frozenset({"pii.email"})))),
    Resource(TableName("hr", "staff"), (ColumnLabels("mail", frozenset({"pii.email"})), ColumnLabels("pay", frozenset({"pii.pay"})))),
]


def may(*grants: dict[str, object], purpose: str | None = "fraud", **rules: object) -> set[str]:
    policies = Policies.model_validate({"roles": {"r": {"grants": list(grants)}}, **rules})
    return set(detokenizable(policies, Principal("ada", roles=frozenset({"r"}), purpose=purpose), TABLES, at=NOW))


def test_the_right_on_a_table_or_a_label_is_the_right_on_its_domains() -> None:
    assert may() == set()
    assert may({"select": "*"}) == set()
    assert may({"detokenize": {"label": "pii.email"}}) == {"pii.email", "shop.people.email", "hr.staff.mail"}
    assert may({"detokenize": "shop.people", "columns": ["email"]}) == {"pii.email", "shop.people.email"}
    assert may({"detokenize": "hr.*"}) == {"pii.email", "pii.pay", "hr.staff.mail", "hr.staff.pay"}


def test_a_purpose_must_be_stated_and_be_the_grants() -> None:
    grant = {"detokenize": {"label": "pii.email"}, "purpose": ["fraud"]}
    assert "pii.email" in may(grant)
    assert may(grant, purpose="curiosity") == set()
    assert may(grant, purpose=None) == set()
    assert may({"detokenize": "*"}, purpose=None) == set()
    assert may({"detokenize": "*", "until": "2026-01-01"}) == set()


def test_a_denial_on_one_table_takes_the_whole_domain() -> None:
    deny = [{"role": "r", "detokenize": "hr.staff"}]
    assert may({"detokenize": "*"}, deny=deny) == {"shop.people.id", "shop.people.email"}
    masks = {"hr.staff.mail": {"token": "staff"}}
    assert "staff" in may({"detokenize": "hr.*"}, masks=masks)


def test_a_grant_of_it_has_neither_rows_nor_unmasking() -> None:
    for more in ({"where": "id = 1"}, {"unmask": ["pii"]}):
        with pytest.raises(ValueError, match="detokenize"):
            may({"detokenize": "*", **more})
