# ruff: noqa: E501 -- a statement stands on one line
"""A lake with secrets in it, and a reader who may see little of it."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "storage"))

from lakes import Place, change, definition, load

from headwater.security import MaskKeys, Membership, Principal
from headwater.security.audited import Audited
from headwater.spec.names import TableName
from headwater.spec.policies import Policies
from headwater.spec.tables import Column
from headwater.storage import Access, Lake

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEYS = MaskKeys("hash-key-7f3a", "token-key-99c1", "noise-key-5e2d")
#: None of these may come out in a row, a column's name or an error of the restricted reader.
SECRETS = (
    "s3cr3t",
    "hidden_",
    "99887766",
    "1911-11-11",
    "hash-key-7f3a",
    "token-key-99c1",
    "9223372036854775807",
    "hw_cte",
    "FROM lake",
    "shop.rights",
)

CUSTOMERS = """
SELECT * FROM (VALUES
    (1, 'NO', 'ann.s3cr3t@example.org', DATE '1980-02-03', 100.50::DECIMAL(12, 2), '10', 'hidden_a', 12, [1, 2], {'a': 1, 'b': 's3cr3t'}),
    (2, 'NO', 'bo.s3cr3t@example.org',  DATE '1990-05-06', 200.25::DECIMAL(12, 2), '20', 'hidden_b', 34, [3],    {'a': 2, 'b': 's3cr3t'}),
    (3, 'SE', 'cy.s3cr3t@example.org',  DATE '1911-11-11', 99887766.00::DECIMAL(12, 2), 's3cr3t', 'hidden_c', -99887766, [99887766], {'a': 3, 'b': 's3cr3t'}),
    (4, 'SE', NULL,                     NULL,              NULL, NULL, NULL, NULL, NULL, NULL),
    (5, 'NO', 'di.s3cr3t@example.org',  DATE '2001-12-31', -5.00::DECIMAL(12, 2), '50', 'hidden_d', 56, [], {'a': 5, 'b': 's3cr3t'})
) t(id, country, email, born, balance, code, ssn, points, tags, extra)
"""
COLUMNS = (
    Column("id", "INTEGER"),
    Column("country", "VARCHAR"),
    Column("email", "VARCHAR", labels=("pii.email",)),
    Column("born", "DATE", labels=("pii.birthdate",)),
    Column("balance", "DECIMAL(12,2)"),
    Column("code", "VARCHAR"),
    Column("ssn", "VARCHAR", labels=("pii.ssn",)),
    Column("points", "INTEGER"),
    Column("tags", "INTEGER[]"),
    Column("extra", "STRUCT(a INTEGER, b VARCHAR)", labels=("pii.other",)),
)
VISIBLE = ["id", "country", "email", "born", "balance", "code", "points", "tags", "extra"]

POLICIES = Policies.model_validate(
    {
        "roles": {
            "analyst": {
                "grants": [
                    {"select": "shop.customers", "columns": VISIBLE, "where": "country = 'NO'"},
                    {"select": "shop.orders"},
                    {"select": "marts.*"},
                ]
            },
            "clerk": {
                "grants": [
                    {
                        "select": "shop.customers",
                        "columns": ["id", "country", "email"],
                        "where": "id IN (SELECT customer FROM shop.rights WHERE name = current_user())",
                        "unmask": ["pii.email"],
                    },
                    {"select": "shop.customers", "columns": ["id", "email", "points"], "where": "country = 'SE'"},
                ]
            },
        },
        "groups": {"analysts": {"roles": ["analyst"]}},
        "masks": {"pii.email": "partial", "pii.birthdate": {"generalise": "year"}, "pii": "redact"},
        "deny": [{"role": "analyst", "select": "marts.hidden_salaries"}],
        "version": "1",
    }
)


def access(role: str = "analyst", **changes: Any) -> Access:
    audited: list[Audited] = []
    principal = Principal("ada", roles=frozenset({role}), memberships=(Membership("analysts", "policy"),))
    return replace(Access(principal, POLICIES, KEYS, NOW, audit=audited.append, query_id="q-1"), **changes)


def fill(place: Place) -> Lake:
    lake = place.open()
    customers, orders = TableName("shop", "customers"), TableName("shop", "orders")
    lake.commit(
        [
            change(lake, CUSTOMERS, customers, columns=COLUMNS),
            change(lake, "SELECT i AS id, 1 + i % 5 AS customer_id, i * 10 AS amount FROM range(20) t(i)", orders),
            change(lake, "SELECT 1 AS customer, 'ada' AS name UNION ALL SELECT 3, 'bob'", TableName("shop", "rights")),
            change(lake, "SELECT 's3cr3t' AS token, 99887766 AS amount", TableName("vault", "hidden_tokens")),
            change(lake, "SELECT 'hidden_x' AS who, 99887766 AS pay", TableName("marts", "hidden_salaries")),
            change(
                lake,
                None,
                TableName("marts", "by_country"),
                definition=definition("view", sql="SELECT country, count(*) AS n FROM shop.customers GROUP BY ALL", inputs=(customers,)),
                load=load("view"),
                columns=(Column("country", "VARCHAR"), Column("n", "BIGINT")),
            ),
        ]
    )
    return lake
