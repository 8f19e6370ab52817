"""Tokens must not be turned back where the audit isn't told, nor by those who only may with others' rights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest
from kit import KEYS, NOW, fill
from lakes import make_place

from headwater.errors import HeadwaterError, StatementRefused
from headwater.security import Principal
from headwater.security.audited import Audited
from headwater.spec.policies import Policies
from headwater.storage import Access, Lake

RULES = Policies.model_validate(
    {
        "roles": {
            "hunter": {"grants": [{"select": "shop.*"}, {"detokenize": {"label": "pii.email"}, "purpose": ["fraud"]}]},
            "reader": {"grants": [{"select": "shop.*"}]},
        },
        "masks": {"pii.email": {"token": "mail"}, "pii.ssn": {"token": "ssn"}},
        "version": "tokens",
    }
)
HUNTER = Access(Principal("ada", roles=frozenset({"hunter"}), purpose="fraud"), RULES, KEYS, NOW)
READER = replace(HUNTER, principal=Principal("bob", roles=frozenset({"reader"}), purpose="fraud"))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with make_place(tmp_path_factory.mktemp("tokens"), "sqlite") as place:
        yield fill(place)


@pytest.fixture(scope="module")
def tokens(lake: Lake) -> tuple[str, str]:
    """Of an address, and of a number that isn't the hunter's to turn back."""
    found: list[tuple[str, str]] = lake.read_as(HUNTER, "SELECT email, ssn FROM shop.customers WHERE id = 1").fetchall()
    return found[0]


#: A type, or an error, is made of what the token stands for.
TOLD_BY_BINDING = (
    "SELECT from_json('{{}}', '{{\"' || detokenize('{t}') || '\":\"VARCHAR\"}}')",
    "SELECT json_transform('{{}}', '[\"' || CASE WHEN detokenize('{t}') LIKE 'ann%' THEN 'DATE' ELSE 'TIME' END || '\"]')",
    "SELECT * FROM range(CASE WHEN detokenize('{t}') LIKE 'ann%' THEN 1 ELSE error('x')::INTEGER END)",
    "SELECT struct_extract({{'ann.s3cr3t@example.org': 1}}, detokenize('{t}'))",
    "SELECT strptime('x', detokenize('{t}'))",
    "SELECT id FROM shop.customers LIMIT length(detokenize('{t}'))",
)


def told(ask: Callable[[], object]) -> str:
    try:
        return repr(ask())
    except HeadwaterError as error:
        return type(error).__name__


@pytest.mark.parametrize("form", TOLD_BY_BINDING)
def test_describing_or_explaining_a_query_tells_nothing_of_what_a_token_stands_for(lake: Lake, tokens: tuple[str, str], form: str) -> None:
    nobody = "tok_1_000000_AAAA"
    asks: tuple[Callable[[str], object], ...] = (
        lambda sql: lake.describe_as(HUNTER, sql).columns,
        lambda sql: lake.describe_as(HUNTER, f"EXPLAIN {sql}").columns,
        lambda sql: lake.read_as(HUNTER, f"EXPLAIN {sql}").fetchall(),
    )
    for ask in asks:
        by_token = told(partial(ask, form.format(t=tokens[0]))).replace(tokens[0], nobody)
        assert "'STRUCT(\"ann" not in by_token
        assert by_token == told(partial(ask, form.format(t=nobody)))


def test_after_an_explanation_tokens_are_turned_back_as_before(lake: Lake, tokens: tuple[str, str]) -> None:
    sql = f"SELECT detokenize('{tokens[0]}')"
    said: list[Audited] = []
    lake.read_as(replace(HUNTER, audit=said.append), f"EXPLAIN {sql}").fetchall()
    assert [one.action for one in said if one.action == "detokenize"] == []
    assert lake.read_as(HUNTER, sql).fetchall() != [(None,)]


def test_the_columns_of_a_described_query_are_those_that_it_gives(lake: Lake) -> None:
    sql = "SELECT detokenize(email) AS mail, upper(detokenize(email)) AS u FROM shop.customers"
    assert lake.describe_as(HUNTER, sql).columns == (("mail", "VARCHAR"), ("u", "VARCHAR"))


GUESSES = (
    "SELECT id FROM shop.customers WHERE detokenize(email) = 'ann.s3cr3t@example.org'",
    "SELECT count(*) FILTER (detokenize(email) LIKE 'ann%') FROM shop.customers",
    "SELECT (SELECT max(detokenize(c.email)) FROM shop.customers c)",
    "SELECT id FROM shop.customers ORDER BY detokenize(email) LIMIT 1",
    "SELECT max(length(detokenize(email))) OVER () FROM shop.customers",
    "SELECT list_transform(list(email), x -> detokenize(x)) FROM shop.customers",
    "SELECT a.id FROM shop.customers a JOIN shop.customers b ON detokenize(a.email) = detokenize(b.email)",
    "SELECT count(DISTINCT detokenize(email)) FROM shop.customers HAVING max(detokenize(email)) IS NOT NULL",
)


@pytest.mark.parametrize("sql", GUESSES)
def test_each_guess_is_told_and_needs_the_right(lake: Lake, sql: str) -> None:
    said: list[Audited] = []
    lake.read_as(replace(HUNTER, audit=said.append), sql).fetchall()
    before, after = (one.rows for one in said if one.action == "detokenize")
    assert before is None
    assert after is not None
    assert after > 0
    assert "s3cr3t" not in repr([replace(one, sql="") for one in said])
    for access in (READER, replace(HUNTER, principal=replace(HUNTER.principal, purpose="curiosity"))):
        with pytest.raises(StatementRefused):
            lake.read_as(access, sql)
        with pytest.raises(StatementRefused):
            lake.describe_as(access, sql)


def test_another_domains_token_stays_one(lake: Lake, tokens: tuple[str, str]) -> None:
    assert lake.read_as(HUNTER, f"SELECT detokenize('{tokens[0]}'), detokenize('{tokens[1]}')").fetchall() == [("ann.s3cr3t@example.org", None)]
    mixed = tokens[0][: tokens[0].rindex("_")] + tokens[1][tokens[1].rindex("_") :]
    assert lake.detokenize(HUNTER, [mixed, tokens[1], tokens[0]]) == [None, None, "ann.s3cr3t@example.org"]


def test_a_macro_does_not_turn_back_for_its_reader(lake: Lake) -> None:
    for macro in ("CREATE MACRO f(x) AS detokenize(x)", "CREATE MACRO detokenize(x) AS x"):
        for access in (HUNTER, READER):
            with pytest.raises(HeadwaterError) as caught:
                lake.read_as(access, f"SELECT {'f' if ' f(' in macro else 'detokenize'}(email) FROM shop.customers", macros=(macro,)).fetchall()
            assert "s3cr3t" not in str(caught.value)
