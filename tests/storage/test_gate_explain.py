"""EXPLAIN: a query's parts and what the policies do to its tables, and nothing that depends on rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from lakes import change, keep_hot, make_place, put

from headwater.errors import HeadwaterError, SqlBindError, StatementRefused, TableNotFound
from headwater.security import MaskKeys, Principal
from headwater.security.audited import Audited
from headwater.spec.names import TableName
from headwater.spec.policies import Policies
from headwater.spec.tables import Column
from headwater.storage import Access, Lake

NOW = datetime(2026, 6, 1, tzinfo=UTC)
PEOPLE = TableName("shop", "people")
COLUMNS = (Column("id", "INTEGER"), Column("country", "VARCHAR"), Column("email", "VARCHAR", labels=("pii.email",)), Column("ssn", "VARCHAR"))
ROWS = "SELECT * FROM (VALUES (1, 'NO', 'ann@x.org', 'a'), (2, 'SE', 'bo@y.se', 'b')) t(id, country, email, ssn)"


@pytest.fixture
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with make_place(tmp_path_factory.mktemp("explain"), "sqlite") as place:
        lake = place.open()
        put(lake, ROWS, PEOPLE, columns=COLUMNS)
        put(lake, "SELECT 1 AS id, 2 AS person", TableName("shop", "orders"))
        yield lake


def reader(*others: dict[str, Any], version: str = "1", **grant: Any) -> Access:
    people = {"select": "shop.people", "columns": ["id", "country", "email"], "where": "country = 'NO'", **grant}
    policies = Policies.model_validate(
        {"roles": {"r": {"grants": [people, {"select": "shop.orders"}, *others]}}, "masks": {"pii.email": "partial"}, "version": version}
    )
    return Access(Principal("ada", roles=frozenset({"r"})), policies, MaskKeys("k1", "k2", "k3"), NOW)


def explained(lake: Lake, sql: str, access: Access | None = None) -> list[str]:
    with lake.read_as(access or reader(), f"EXPLAIN {sql}") as reading:
        assert reading.columns == ["QUERY PLAN"]
        return [line for (line,) in reading.fetchall()]


def test_parts_stand_under_what_they_are_given_to(lake: Lake) -> None:
    sql = """
        WITH chosen AS (SELECT * FROM shop.people WHERE id < 9)
        SELECT country, count(*) AS n
        FROM chosen s LEFT JOIN shop.orders o ON o.person = s.id
        WHERE s.id IN (SELECT id FROM shop.orders)
        GROUP BY country
        HAVING count(*) > 1
        ORDER BY n DESC, country
        LIMIT 5
    """
    assert explained(lake, sql) == [
        "Limit 5",
        "  Sort by n descending, country",
        "    Filter groups by (count_star() > 1)",
        "      Group by country",
        "        Filter by (s.id = ANY(SELECT id FROM shop.orders))",
        "          Join, left, on (o.person = s.id)",
        "            Read chosen as s",
        "            Read shop.orders as o",
        "          Subquery in an expression",
        "            Read shop.orders",
        "With chosen",
        "  Filter by (id < 9)",
        "    Read shop.people: rows that a policy gives; email masked (partial)",
    ]


@pytest.mark.parametrize(
    ("sql", "lines"),
    [
        ("SELECT 1", ["No table"]),
        ("SELECT max(id) FROM shop.orders", ["Aggregate", "  Read shop.orders"]),
        ("SELECT id FROM shop.orders UNION ALL SELECT 2", ["Union all", "  Read shop.orders", "  No table"]),
        ("SELECT DISTINCT id FROM shop.orders", ["Distinct", "  Read shop.orders"]),
        ("SELECT country FROM shop.people", ["Read shop.people: rows that a policy gives"]),
        ("SELECT * FROM (SELECT id FROM shop.orders) t, range(3)", ["Join, cross", "  Subquery as t", "    Read shop.orders", "  Call range"]),
        ("VALUES (1), (2)", ["Values as valueslist"]),
        ("PIVOT shop.orders ON id IN (1) USING count(*)", ["Pivot", "  Read shop.orders"]),
        ("DESCRIBE SELECT id FROM shop.orders", ["Describe", "  Read shop.orders"]),
        ("/* why */ SELECT id FROM shop.orders -- so", ["Read shop.orders"]),
        ("WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) FROM r",
         ["Read r", "With r", "  Recursive union", "    No table", "    Filter by (n < 3)", "      Read r"]),
    ],
)  # fmt: skip
def test_each_part_has_its_words(lake: Lake, sql: str, lines: list[str]) -> None:
    assert explained(lake, sql) == lines


def test_the_owner_is_told_of_no_policy(lake: Lake) -> None:
    assert explained(lake, "SELECT ssn FROM shop.people", Access.owner()) == ["Read shop.people"]


def test_a_mask_that_depends_on_the_row_is_told_as_such(lake: Lake) -> None:
    other = {"select": "shop.people", "columns": ["id", "email"], "where": "country = 'SE'"}
    (line,) = explained(lake, "SELECT email FROM shop.people", reader(other, unmask=["pii.email"]))
    assert line == "Read shop.people: rows that a policy gives; email masked (partial, in some rows)"


def test_what_it_tells_follows_the_policies(lake: Lake) -> None:
    assert explained(lake, "SELECT email FROM shop.people") == ["Read shop.people: rows that a policy gives; email masked (partial)"]
    assert explained(lake, "SELECT email FROM shop.people", reader(version="2", where=None, unmask=["pii"])) == ["Read shop.people"]


def test_hidden_rows_and_copies_in_memory_change_nothing(lake: Lake) -> None:
    sql = "SELECT country, count(*) FROM shop.people JOIN shop.orders USING (id) GROUP BY ALL"
    before = explained(lake, sql)
    lake.commit([change(lake, "SELECT i AS id, 'SE' AS country, 'x@y.se' AS email, 'h' AS ssn FROM range(50000) t(i)", PEOPLE, columns=COLUMNS)])
    assert explained(lake, sql) == before
    keep_hot(lake)
    assert explained(lake, sql) == before


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SELECT ssn FROM shop.people", SqlBindError),
        ("SELECT * FROM shop.secrets", TableNotFound),
        ("SELECT getenv('HOME')", StatementRefused),
        ("SELECT * FROM read_csv('/etc/passwd')", StatementRefused),
        ("ANALYZE SELECT 1", StatementRefused),
        ("ANALYSE SELECT 1", StatementRefused),
        ("/* */ analyze SELECT 1", StatementRefused),
        ("VERBOSE SELECT 1", StatementRefused),
        ("(FORMAT json) SELECT 1", StatementRefused),
        ("EXPLAIN SELECT 1", StatementRefused),
        ("INSERT INTO shop.people SELECT 1", StatementRefused),
        ("SELECT 1; SELECT 2", StatementRefused),
        ("SELECT $1", StatementRefused),
        ("", HeadwaterError),
    ],
)
def test_what_cannot_be_asked_cannot_be_explained(lake: Lake, sql: str, error: type[HeadwaterError]) -> None:
    with pytest.raises(error):
        explained(lake, sql)


def test_the_audit_tells_of_it_as_of_the_query(lake: Lake) -> None:
    records: list[Audited] = []
    explained(lake, "SELECT email FROM shop.people", replace(reader(), audit=records.append))
    assert [(one.decision, one.tables, one.columns) for one in records] == [("allowed", ("shop.people",), ("shop.people.email",))]
    assert records[0].sql == "EXPLAIN SELECT email FROM shop.people"


def test_a_long_expression_is_cut(lake: Lake) -> None:
    (line, _) = explained(lake, f"SELECT id FROM shop.orders WHERE id IN ({', '.join(map(str, range(500)))})")
    assert len(line) < 400
    assert line.endswith(" ..")
