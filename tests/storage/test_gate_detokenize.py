"""`detokenize` through the gate: by right and purpose, in any place of a query, counted in the audit, and never for anybody else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from lakes import make_place, put

from headwater.errors import HeadwaterError, StatementRefused
from headwater.security import OWNER, MaskKeys, Principal
from headwater.security.audited import Audited
from headwater.spec.names import TableName
from headwater.spec.policies import Policies
from headwater.spec.tables import Column
from headwater.storage import Access, Lake

NOW = datetime(2026, 6, 1, tzinfo=UTC)
PEOPLE = "SELECT * FROM (VALUES (1, 'NO', 'ann@x.org'), (2, 'SE', 'bo@y.se'), (3, 'DK', NULL)) t(id, country, email)"
ORDERS = "SELECT * FROM (VALUES (10, 'ann@x.org', 5.0), (11, 'ann@x.org', 7.0), (12, 'eve@z.dk', 1.0)) t(id, mail, amount)"
KEYS = MaskKeys("k1", "k2", "k3")


@pytest.fixture
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with make_place(tmp_path_factory.mktemp("gate"), "sqlite") as place:
        lake = place.open()
        labelled = {"labels": ("pii.email",)}
        put(
            lake,
            PEOPLE,
            TableName("shop", "people"),
            columns=(Column("id", "INTEGER"), Column("country", "VARCHAR"), Column("email", "VARCHAR", **labelled)),
        )
        put(
            lake,
            ORDERS,
            TableName("shop", "orders"),
            columns=(Column("id", "INTEGER"), Column("mail", "VARCHAR", **labelled), Column("amount", "DECIMAL(2,1)")),
        )
        yield lake


def reader(*grants: dict[str, Any], purpose: str | None = "fraud", keys: MaskKeys = KEYS, **changes: Any) -> Access:
    rules = {"roles": {"r": {"grants": [{"select": "shop.*"}, *grants]}}, "masks": {"pii.email": "token"}, "version": "v"}
    principal = Principal("ada", roles=frozenset({"r"}), purpose=purpose)
    return replace(Access(principal, Policies.model_validate(rules), keys, NOW), **changes)


RIGHT = {"detokenize": {"label": "pii"}, "purpose": ["fraud"]}


def rows(lake: Lake, access: Access, sql: str) -> list[tuple[Any, ...]]:
    return lake.read_as(access, sql).fetchall()


def test_tokens_join_across_tables_and_come_back_by_right(lake: Lake) -> None:
    sql = "SELECT p.id, sum(o.amount) FROM shop.people p JOIN shop.orders o ON o.mail = p.email GROUP BY ALL"
    assert [(row[0], float(row[1])) for row in rows(lake, reader(), sql)] == [(1, 12.0)]
    sql = "SELECT id, detokenize(email), email LIKE 'tok\\_1\\_%' ESCAPE '\\' FROM shop.people ORDER BY id"
    assert rows(lake, reader(RIGHT), sql) == [(1, "ann@x.org", True), (2, "bo@y.se", True), (3, None, None)]
    sql = "WITH w AS (SELECT mail t, count(*) n FROM shop.orders GROUP BY ALL) SELECT detokenize(t), n FROM w WHERE detokenize(t) LIKE 'a%'"
    assert rows(lake, reader(RIGHT), sql) == [("ann@x.org", 2)]


@pytest.mark.parametrize(
    "access",
    [
        reader(),
        reader(RIGHT, purpose=None),
        reader(RIGHT, purpose="curiosity"),
        reader({**RIGHT, "until": "2026-05-01"}),
        reader({"detokenize": "marts.*"}),
        reader({"select": "*", "unmask": ["pii"]}),
    ],
    ids=["no right", "no purpose", "another purpose", "ended", "other tables", "sees it in clear"],
)
def test_without_the_right_for_the_purpose_it_is_refused(lake: Lake, access: Access) -> None:
    said: list[Audited] = []
    for sql in ("SELECT detokenize(email) FROM shop.people", "SELECT detokenize('tok_1_000000_AAAA')"):
        with pytest.raises(StatementRefused):
            rows(lake, replace(access, audit=said.append), sql)
    assert {(one.decision, one.rows) for one in said} == {("refused", None)}
    with pytest.raises(StatementRefused):
        lake.detokenize(access, ["tok_1_000000_AAAA"])


def test_each_use_is_in_the_audit_with_who_why_and_how_many_but_no_value(lake: Lake) -> None:
    said: list[Audited] = []
    access = reader(RIGHT, audit=said.append)
    assert len(rows(lake, access, "SELECT detokenize(mail) FROM shop.orders")) == 3
    assert [(one.action, one.decision, one.rows) for one in said] == [
        ("detokenize", "allowed", None),
        ("select", "allowed", None),
        ("detokenize", "allowed", 3),
    ]
    assert {one.query_id for one in said} == {access.query_id}
    assert (said[-1].principal, said[-1].purpose, said[-1].columns, said[-1].tables) == ("ada", "fraud", ("shop.orders.mail",), ("shop.orders",))
    assert "ann@x.org" not in repr(said)
    said.clear()
    with lake.read_as(access, "SELECT max(detokenize(mail)) FROM shop.orders") as reading:
        reading.fetchone()
    assert said[-1].rows == 3  # one row came out, of three values


def test_a_null_beside_it_turns_no_token_back_untold(lake: Lake) -> None:
    said: list[Audited] = []
    token = lake.read_as(reader(), "SELECT mail FROM shop.orders WHERE mail IS NOT NULL LIMIT 1").fetchall()[0][0]
    sql = f"SELECT detokenize('{token}') IS NULL, 1.5 * $1"
    assert lake.read_as(reader(RIGHT, audit=said.append), sql, parameters=[None]).fetchall() == [(False, None)]
    alone: list[Audited] = []
    assert lake.read_as(reader(RIGHT, audit=alone.append), sql, parameters=[2]).fetchall() == [(False, Decimal("3.0"))]
    assert [(one.action, one.rows) for one in said] == [(one.action, one.rows) for one in alone]


def test_an_audit_that_cannot_be_written_lets_nothing_out(lake: Lake) -> None:
    def full(record: Audited) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        rows(lake, reader(RIGHT, audit=full), "SELECT detokenize(mail) FROM shop.orders")
    with pytest.raises(OSError, match="disk full"):
        lake.detokenize(reader(RIGHT, audit=full), ["tok_1"])


def test_tokens_are_turned_back_without_a_table(lake: Lake) -> None:
    tokens = [row[0] for row in rows(lake, reader(), "SELECT email FROM shop.people WHERE email IS NOT NULL ORDER BY id")]
    said: list[Audited] = []
    assert lake.detokenize(reader(RIGHT, audit=said.append), [*tokens, "none"]) == ["ann@x.org", "bo@y.se", None]
    assert [(one.action, one.rows) for one in said] == [("detokenize", None), ("detokenize", 2)]
    assert not any(token in repr(said) for token in tokens)
    owner = replace(reader(), principal=replace(OWNER, purpose="fraud"))
    assert lake.detokenize(owner, tokens) == ["ann@x.org", "bo@y.se"]
    with pytest.raises(StatementRefused, match="no purpose"):
        lake.detokenize(replace(owner, principal=OWNER), tokens)


def test_tokens_keep_their_key_when_it_is_rotated(lake: Lake) -> None:
    sql = "SELECT email FROM shop.people WHERE id = 1"
    rotated = MaskKeys("k1", "new", "k3", 2, ((1, "k2"),))
    old, new = rows(lake, reader(), sql)[0][0], rows(lake, reader(keys=rotated), sql)[0][0]
    assert old != new
    assert lake.detokenize(reader(RIGHT, keys=rotated), [old, new]) == ["ann@x.org", "ann@x.org"]
    assert lake.detokenize(reader(RIGHT), [old, new]) == ["ann@x.org", None]


def test_the_owner_uses_the_command_and_a_project_cannot_take_the_name(lake: Lake) -> None:
    with pytest.raises(StatementRefused, match="headwater detokenize"):
        rows(lake, Access.owner(), "SELECT detokenize('x')")
    macro = "CREATE MACRO detokenize(x) AS 'mine'"
    with pytest.raises(HeadwaterError):
        lake.read_as(reader(RIGHT), "SELECT detokenize(email) FROM shop.people", macros=[macro]).fetchall()
    with pytest.raises(HeadwaterError):
        lake.read_as(reader(), "SELECT detokenize(email) FROM shop.people", macros=[macro]).fetchall()


def test_it_is_described_as_text_and_its_parts_cannot_be_called(lake: Lake) -> None:
    assert lake.describe_as(reader(RIGHT), "SELECT detokenize(email) AS who FROM shop.people").columns == (("who", "VARCHAR"),)
    for sql in ("SELECT nextval('hw_turned_back')", "SELECT detokenize(email), nextval('hw_turned_back') FROM shop.people", "FROM detokenize('x')"):
        with pytest.raises(HeadwaterError):
            rows(lake, reader(RIGHT), sql)


def test_it_is_forgotten_with_the_query(lake: Lake) -> None:
    assert rows(lake, reader(RIGHT), "SELECT count(detokenize(mail)) FROM shop.orders") == [(3,)]
    with pytest.raises(StatementRefused):
        rows(lake, reader(), "SELECT count(detokenize(mail)) FROM shop.orders")
    left = lake.read_as_system("SELECT count(*) FROM duckdb_functions() WHERE function_name = 'detokenize'").scalar()
    assert left == 0
