"""What a statement that didn't run may be written down as: no password that it sets, and all else of it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.security.audited import without_passwords
from headwater.security.hiding import hide_passwords

BEFORE = (
    "",
    "SELECT 1; ",
    "EXPLAIN ",
    "explain (verbose) ",
    "COPY (",
    "DECLARE c CURSOR FOR ",
    "WITH a AS (SELECT 1) ",
    "WITH a AS (",
    "VALUES (1);\n",
    "TABLE m.orders /* it's; */ ;",
    "SHOW search_path;",
    "SELECT 'a;b', $$it's$$, E'it\\'s; ', \"x;'y\" -- it's\n;",
    "FROM m.orders;;; BEGIN;",
    "PREPARE p (int) AS ",
    "EXECUTE p; FETCH 1 FROM c; ",
    "SELECT 'it's 1; ",
    "SELECT 1 -- it's\r;",
    "SELECT nope FROM m.orders WHERE a = 'x'\n",
)
SETS = (
    "ALTER USER ada PASSWORD",
    'alter role "a;b" with login encrypted password',
    "Create User if not exists bob Password",
    "create or replace role bob valid until '2030-01-01' password",
    "CREATE GROUP g PASSWORD",
    "ALTER/**/USER ada\n\tPASSWORD",
    "ALTER -- it's\n USER /* of /* all; */ 'x */ ada PASSWORD -- now\n",
    "CREATE USER MAPPING FOR ada SERVER s OPTIONS (user 'b', password",
)
GIVEN = ("'{}'", "E'{}'", "e'\\'{}'", "U&'{}' UESCAPE '!'", "N'{}'", "$${}$$", "$a_1${}$a_1$", '"{}"', "= '{}'", "'{}", "$${}", "E'{}", "'x''{}'")
AFTER = ("", ";", " VALID UNTIL '2030-01-01'", "; SELECT 2", ") TO STDOUT", " /* end */; SELECT 'it''s'")


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("sets", SETS)
def test_a_password_is_hidden_wherever_its_statement_stands(before: str, sets: str) -> None:
    for given_as in GIVEN:
        for after in AFTER:
            text = f"{before}{sets} {given_as.format('s3cr3t; my dog')}{after}"
            kept, hidden = hide_passwords(text)
            assert "s3cr" not in kept, text
            assert "dog" not in kept, text
            assert "s3cr3t; my dog" in " ".join(hidden)
            assert kept.startswith(before), text


@given(
    st.sampled_from(BEFORE),
    st.sampled_from(SETS),
    st.sampled_from(("'{}'", "E'{}'", "$${}$$")),
    st.text("ab c;'\"\\$-/*\n\N{SNOWMAN}é", max_size=12),
)
@settings(max_examples=300, deadline=None)
def test_whatever_a_password_holds_it_is_hidden(before: str, sets: str, given_as: str, middle: str) -> None:
    quoted = {"'{}'": middle.replace("'", "''"), "E'{}'": middle.replace("\\", "\\\\").replace("'", "\\'")}.get(given_as, middle.replace("$", ""))
    kept, _ = hide_passwords(f"{before}{sets} {given_as.format(f'S3CR{quoted}3T')}; SELECT 2")
    assert "S3CR" not in kept
    assert "3T" not in kept


def test_the_rest_of_a_text_is_kept() -> None:
    text = "SELECT 1; ALTER USER ada PASSWORD 'x'; SELECT a.password FROM t; CREATE ROLE b PASSWORD $$y$$ LOGIN; SELECT 3"
    kept, hidden = hide_passwords(text)
    assert kept == "SELECT 1; ALTER USER ada PASSWORD ..; SELECT a.password FROM t; CREATE ROLE b PASSWORD ..; SELECT 3"
    assert hidden == [" 'x'", " $$y$$ LOGIN"]


@pytest.mark.parametrize(
    "text",
    [
        "select password from m.orders where password = 'abc'",
        "select \"password\", 'password', $$password$$ from t /* password */ -- password 'abc'",
        "/* the password's table */ SELECT nope FROM t",
        "(select 'alter user', password from t where a = 'abc')",
        "select 'create role', 'password' as b from t where c = 'abc'",
        "select 'alter user ada password' as said from t where a = 'abc'",
        "select * from log where said like '%ALTER USER%PASSWORD%' and a = 'abc'",
        "select alter, user, password from t where a = 'abc'",
        "explain alter table users add column password text",
        "PREPARE p AS SELECT password FROM t WHERE a = 'abc'",
        "declare c cursor for select password from t where a = 'abc'",
        "copy (select password from t where a = 'abc') to stdout",
        "select 'no end, and a password",
        "select 'create' || user || 'password' || 'abc'",
        "select 1; alter user ada password",
        "insert into t values (1)",
        "",
    ],
)
def test_other_texts_stay_whole(text: str) -> None:
    assert hide_passwords(text) == (text, [])


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("select f('alter user ada password ''x;y''', 'z') from t", "select f('alter user ada password ..', 'z') from t"),
        ("select f($$create role b password 'x'$$), 'z'", "select f($$create role b password ..$$), 'z'"),
        ("select nope /* alter user ada password 'x' */ from t", "select nope /* alter user ada password ..*/ from t"),
        ("-- alter user ada password 'x'\nselect nope", "-- alter user ada password ..\nselect nope"),
        ("create secret (type postgres, password 'x'); select 1", "create secret (type postgres, password ..; select 1"),
        ("attach 'host=h password=x' as p; select 1", "attach 'host=h password ..; select 1"),
        ("prepare p as update users set password = 'x'", "prepare p as update users set password .."),
        ("set password = 'a\\'; b'; select 1", "set password .."),
        ("\\password 'x'", "\\password .."),
    ],
)
def test_where_a_text_ends_that_sets_one_otherwise(text: str, kept: str) -> None:
    assert hide_passwords(text)[0] == kept


def test_an_error_that_repeats_a_password_is_not_kept() -> None:
    sql = "SELECT 1; ALTER USER ada PASSWORD 'my dog'"
    assert without_passwords(sql, 'syntax error at or near "dog"') == (
        "SELECT 1; ALTER USER ada PASSWORD ..",
        "(not kept: it repeats what stands behind PASSWORD)",
    )
    assert without_passwords(sql, 'syntax error at or near "ALTER"')[1] == 'syntax error at or near "ALTER"'
    assert without_passwords("select 'dog'", "no dog") == ("select 'dog'", "no dog")


@pytest.mark.parametrize(
    "unit", ["alter user a ", "alter /* ", "'", "$a$ ", "password ", ";", "create\n\n\n", "e'\\", "alter" + " " * 10_000, "''", '"']
)
def test_a_long_text_takes_time_in_proportion(unit: str) -> None:
    for before in ("select 1 ", "set ", "select 'x"):
        text = before + unit * (2**20 // len(unit)) + " alter user a password 's3cr3t"
        started = time.monotonic()
        kept, _ = hide_passwords(text)
        assert "s3cr3t" not in kept
        assert time.monotonic() - started < 20, "a time that grows with the square would be minutes"
