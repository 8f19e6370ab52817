"""SQL as text: literals, comments and quoted names are told apart from code."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.engine import Engine
from headwater.project import sqltext

SNIPPETS = st.sampled_from(
    [
        "SELECT",
        " ",
        "\n",
        "'",
        '"',
        "''",
        '""',
        "--",
        "/*",
        "*/",
        "$$",
        "$a$",
        "$1",
        ";",
        "a",
        "é",
        "E'",
        "\\",
        "\\'",
        "(",
        ")",
        "x.y",
        "1",
        ",",
        "\t",
    ]
)


@settings(deadline=None)
@given(st.lists(SNIPPETS, max_size=30).map("".join))
def test_pieces_cover_any_text_and_masks_keep_its_shape(text):
    cut = list(sqltext.pieces(text))
    assert "".join(text[start:end] for _, start, end in cut) == text
    assert all(start < end for _, start, end in cut)
    for masked in (sqltext.mask(text), sqltext.mask(text, quoted=True)):
        assert len(masked) == len(text)
        assert [i for i, c in enumerate(masked) if c == "\n"] == [i for i, c in enumerate(text) if c == "\n"]
    once = sqltext.normalise(text)
    assert sqltext.normalise(once) == once


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("SELECT  1 -- a\n+ 2", "SELECT 1\n+\t2"),
        ("SELECT /* x /* y */ */ 'a  b'", "SELECT 'a  b'"),
        ("/* at the top */ SELECT 1", "SELECT 1"),
        ("SELECT 1/*c*/AS a", "SELECT 1 AS a"),
    ],
)
def test_comments_and_spacing_make_no_difference(first, second):
    assert sqltext.normalise(first) == sqltext.normalise(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("SELECT 'a b'", "SELECT 'a  b'"),
        ("SELECT '--a'", "SELECT ''"),
        ("SELECT $$ /* $$", "SELECT $$ $$"),
        ('SELECT "a  b"', 'SELECT "a b"'),
        ("SELECT E'\\' -- '", "SELECT E'\\' '"),
        ("SELECT a b", "SELECT ab"),
    ],
)
def test_what_stands_in_literals_and_names_does(first, second):
    assert sqltext.normalise(first) != sqltext.normalise(second)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'it''s' AS a, E'x\\'y' AS b, $$;'$$ AS c, $t$ $$ $t$ AS d, \"q\"\"r\" FROM (SELECT 1 AS \"q\"\"r\") -- 'end",
        "SELECT 1 /* ; ' /* \" */ */ AS a,\n 'a'\n 'b' AS joined",
    ],
)
def test_the_normal_form_runs_to_the_same_rows(sql):
    with Engine(threads=1) as engine, engine.connection() as connection:
        assert connection.execute(sqltext.normalise(sql)).fetchall() == connection.execute(sql).fetchall()


@pytest.mark.parametrize(
    ("sql", "count"),
    [("SELECT 1", 1), ("SELECT 1;", 1), (";;SELECT 1;;-- x\n", 1), ("SELECT ';'; SELECT $$;$$", 2), ("-- ;\n", 0), ("", 0), ('SELECT 1 AS ";"', 1)],
)
def test_statements_are_counted_without_those_that_are_empty(sql, count):
    assert len(sqltext.statement_spans(sql)) == count


def test_functions_are_found_where_they_are_called():
    sql = 'SELECT Random(), x.lower (), "My Macro"(1), \'now()\', CURRENT_DATE, "localtime" FROM t TABLESAMPLE 10% -- uuid()'
    assert sqltext.functions_named(sql) >= {"random", "lower", "my macro", "current_date", "tablesample"}
    assert not sqltext.functions_named(sql) & {"now", "uuid", "localtime"}
    assert "tablesample" not in sqltext.functions_named("FROM t USING SAMPLE 10% REPEATABLE (1)")


@pytest.mark.parametrize(
    ("sql", "parts", "place"),
    [
        ("FROM a.b", ("a", "b"), (1, 6)),
        ("SELECT 'a.b' -- a.b\nFROM \"a\" . B", ("a", "b"), (2, 6)),
        ("FROM xa.b, a.bc, a.b", ("a", "b"), (1, 18)),
        ('FROM "odd ""name"""."t.x"', ('odd "name"', "t.x"), (1, 6)),
    ],
)
def test_tables_are_found_where_they_are_named(sql, parts, place):
    offset = sqltext.find_table(sql, parts)
    assert offset is not None
    assert sqltext.line_and_column(sql, offset) == place
