# ruff: noqa: E501 -- a statement stands on one line
"""What a reader sees through the gate: cells, masks, filters, versions, the lake's own tables, limits, and the cache that must never outlive a rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lakes import change, definition, keep_hot, load, make_place, put

from headwater.errors import HeadwaterError, LakeError, LimitExceeded, QueryFailed, StatementRefused, TableNotFound
from headwater.security import MaskKeys, Membership, Principal
from headwater.security.audited import Audited
from headwater.spec.names import TableName
from headwater.spec.policies import Limits, Policies
from headwater.spec.tables import Column
from headwater.storage import Access, DeleteAll, Lake, Rejected

NOW = datetime(2026, 6, 1, tzinfo=UTC)
T = TableName("shop", "people")
COLUMNS = (Column("id", "INTEGER"), Column("country", "VARCHAR"), Column("email", "VARCHAR", labels=("pii.email",)))
ROWS = "SELECT * FROM (VALUES (1, 'NO', 'ann@x.org'), (2, 'SE', 'bo@y.se'), (3, 'DK', NULL)) t(id, country, email)"


@pytest.fixture(params=["files", "memory"])
def lake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with make_place(tmp_path_factory.mktemp("gate"), "sqlite") as place:
        lake = place.open()
        put(lake, ROWS, T, columns=COLUMNS)
        if request.param == "memory":
            keep_hot(lake)
        yield lake


def reader(*grants: dict[str, Any], masks: dict[str, Any] | None = None, version: str = "", **changes: Any) -> Access:
    policies = Policies.model_validate({"roles": {"r": {"grants": list(grants)}}, "masks": masks or {}, "version": version})
    principal = Principal("ada", roles=frozenset({"r"}), memberships=(Membership("nordics", "policy"),))
    return replace(Access(principal, policies, MaskKeys("k1", "k2", "k3"), NOW), **changes)


def rows(lake: Lake, access: Access, sql: str = "SELECT * FROM shop.people ORDER BY ALL") -> list[tuple[Any, ...]]:
    return lake.read_as(access, sql).fetchall()


ALL = {"select": "shop.*"}


def test_a_labelled_column_without_a_rule_is_closed(lake: Lake) -> None:
    assert rows(lake, reader(ALL)) == [(1, "NO", "***"), (2, "SE", "***"), (3, "DK", None)]
    assert rows(lake, reader({**ALL, "unmask": ["pii"]})) == [(1, "NO", "ann@x.org"), (2, "SE", "bo@y.se"), (3, "DK", None)]


def test_grants_add_up_cell_by_cell(lake: Lake) -> None:
    access = reader(
        {"select": "shop.people", "columns": ["id", "country"], "where": "country = 'NO'"},
        {"select": "shop.people", "columns": ["id", "email"], "where": "country = 'SE'", "unmask": ["pii.email"]},
    )
    assert rows(lake, access) == [(1, "NO", None), (2, None, "bo@y.se")]
    assert rows(lake, access, "SELECT id FROM shop.people WHERE country = 'SE'") == []


def test_masks_of_other_types_beside_each_other_are_text(lake: Lake) -> None:
    access = reader(
        {"select": "shop.people", "columns": ["id"], "where": "country = 'NO'"},
        {"select": "shop.people", "columns": ["country"]},
        masks={"shop.people.id": "hash"},
    )
    with lake.read_as(access, "SELECT id, country FROM shop.people ORDER BY country") as reading:
        assert reading.types == ["VARCHAR", "VARCHAR"]
        assert [len(row[0] or "") for row in reading.fetchall()] == [0, 64, 0]


def test_filters_may_ask_who_reads_and_join_a_table_of_rights(lake: Lake) -> None:
    put(lake, "SELECT 'ada' AS who, 'DK' AS country", TableName("sec", "rights"))
    by_table = {"select": "shop.people", "where": "country IN (SELECT r.country FROM sec.rights r WHERE r.who = current_user())"}
    assert [row[0] for row in rows(lake, reader(by_table))] == [3]
    by_group = {"select": "shop.people", "where": "list_contains(current_groups(), 'nordics') AND id < 3"}
    assert [row[0] for row in rows(lake, reader(by_group))] == [1, 2]
    with pytest.raises(TableNotFound):
        rows(lake, reader(by_table), "FROM sec.rights")


def test_a_filter_over_a_column_that_is_gone_lets_nothing_through(lake: Lake) -> None:
    """Else a reader could write that column themselves, beside the table."""
    access = reader({"select": "shop.people", "where": "tenant = 'mine'"})
    for sql in (
        "FROM shop.people",
        "SELECT * FROM (SELECT 'mine' AS tenant) x, shop.people",
        "SELECT (SELECT max(id) FROM shop.people) FROM (SELECT 'mine' AS tenant)",
    ):
        with pytest.raises(QueryFailed):
            rows(lake, access, sql)


@pytest.mark.parametrize(
    "mask", ["null", "redact", "hash", "token", {"generalise": "year"}, {"generalise": 10}, {"generalise": {"prefix": 2}}, {"noise": 0.1}, "partial"]
)
def test_every_mask_can_be_put_on_every_type(lake: Lake, mask: Any) -> None:
    types = [
        "INTEGER",
        "BIGINT",
        "DECIMAL(10,2)",
        "DOUBLE",
        "VARCHAR",
        "DATE",
        "TIMESTAMP",
        "TIMESTAMPTZ",
        "TIME",
        "BOOLEAN",
        "UUID",
        "BLOB",
        "INTEGER[]",
        "STRUCT(a INTEGER)",
        "JSON",
        "HUGEINT",
    ]
    listed = ", ".join(f"CAST(NULL AS {type_name}) AS c{number}" for number, type_name in enumerate(types))
    name = TableName("shop", "wide")
    put(lake, f"SELECT {listed}", name)
    access = reader(ALL, masks={f"shop.wide.c{number}": mask for number in range(len(types))})
    assert rows(lake, access, "FROM shop.wide") == [(None,) * len(types)]


def test_a_column_without_a_definition_is_not_served(lake: Lake) -> None:
    lake.read_as_system(f"ALTER TABLE {lake.database}.shop.people ADD COLUMN extra VARCHAR DEFAULT 'x'")
    with lake.read_as(reader(ALL), "FROM shop.people") as reading:
        assert reading.columns == ["id", "country", "email"]
    with pytest.raises(HeadwaterError):
        rows(lake, reader(ALL), "SELECT extra FROM shop.people")


def test_readers_see_what_is_published_with_the_labels_it_has_by_now(lake: Lake) -> None:
    first = lake.head()
    labelled = (*COLUMNS[:1], Column("country", "VARCHAR", labels=("pii.country",)), COLUMNS[2])
    put(lake, "SELECT 9 AS id, 'FI' AS country, 'zoe@z.fi' AS email", T, columns=labelled, delete=DeleteAll(), publish="held")
    assert rows(lake, reader(ALL, version="1")) == [(1, "***", "***"), (2, "***", "***"), (3, "***", None)]
    lake.publish([T])
    assert rows(lake, reader(ALL, version="1")) == [(9, "***", "***")]
    lake.pin([T], first)
    assert len(rows(lake, reader(ALL, version="1"))) == 3
    with pytest.raises(StatementRefused):
        lake.read_as(reader(ALL), "FROM shop.people", head=True)


def test_the_policy_of_a_view_is_the_views_own(lake: Lake) -> None:
    view = TableName("marts", "mails")
    columns = (Column("country", "VARCHAR"), Column("mail", "VARCHAR", labels=("pii.email",)))
    sql = "WITH p AS (SELECT * FROM shop.people) SELECT country, email AS mail FROM p"
    put(lake, None, view, definition=definition("view", sql=sql, inputs=(T,)), load=load("view"), columns=columns)
    access = reader({"select": "marts.*", "where": "country <> 'SE'"})
    assert rows(lake, access, "FROM marts.mails ORDER BY ALL") == [("DK", None), ("NO", "***")]
    assert rows(lake, access, "SELECT marts.mails.mail FROM marts.mails WHERE country = 'NO'") == [("***",)]
    with pytest.raises(TableNotFound):
        rows(lake, access)
    put(lake, None, TableName("marts", "bare"), definition=definition("view", sql=sql, inputs=(T,)), load=load("view"))
    with pytest.raises(TableNotFound):
        rows(lake, access, "FROM marts.bare")


def test_a_kept_plan_ends_with_the_grant_it_came_from(lake: Lake) -> None:
    access = reader({**ALL, "until": "2026-06-02"}, version="1")
    assert len(rows(lake, access)) == len(rows(lake, access)) == 3
    with pytest.raises(TableNotFound):
        rows(lake, replace(access, at=NOW + timedelta(days=1)))
    later = reader({**ALL, "from": "2026-06-02"}, {"select": "shop.people", "columns": ["id"]}, version="2")
    assert rows(lake, later) == [(1,), (2,), (3,)]
    assert len(rows(lake, replace(later, at=NOW + timedelta(days=2)))[0]) == 3
    assert rows(lake, later) == [(1,), (2,), (3,)]


def test_a_kept_plan_ends_with_its_policies_its_reader_and_its_tables(lake: Lake) -> None:
    assert rows(lake, reader({**ALL, "unmask": ["pii"]}, version="1"))[0] == (1, "NO", "ann@x.org")
    assert rows(lake, reader(ALL, version="2"))[0] == (1, "NO", "***")
    access = reader({**ALL, "unmask": ["pii"]}, version="1")
    with pytest.raises(TableNotFound):
        rows(lake, replace(access, principal=Principal("bob")))
    put(
        lake,
        "SELECT 7 AS id, 'IS' AS country, 'k@k.is' AS email, 'n' AS note",
        T,
        columns=(*COLUMNS, Column("note", "VARCHAR", labels=("pii.note",))),
        delete=DeleteAll(),
    )
    assert rows(lake, access) == [(7, "IS", "k@k.is", "n")]
    assert rows(lake, reader(ALL, version="2")) == [(7, "IS", "***", "***")]


def test_the_lakes_own_tables_need_a_grant_that_names_them(lake: Lake) -> None:
    for table in ("loads", "definitions", "columns", "positions", "verdicts", "quarantine", "publications", "format"):
        with pytest.raises(TableNotFound):
            rows(lake, reader({"select": "*"}), f"FROM headwater.{table}")
    assert rows(lake, reader({"select": "headwater.loads"}), "SELECT table_name FROM headwater.loads") == [("people",)]


def test_values_in_quarantine_are_for_those_who_may_see_their_table(lake: Lake) -> None:
    for name in ("people", "goods"):
        with lake.engine.connection() as connection:
            sql = f"SELECT '{{\"email\": \"raw-{name}\"}}' AS raw, 'type' AS reason, 'email' AS column_name, '1' AS position"
            staged = lake.stage(connection, TableName("shop", name), sql)
        lake.commit(
            [
                change(
                    lake, "SELECT 1 AS id", TableName("shop", name), rejected=Rejected(staged), columns=(Column("id", "INTEGER"),), delete=DeleteAll()
                )
            ]
        )
    sql = "SELECT table_name, raw FROM headwater.quarantine ORDER BY 1"
    assert rows(lake, reader({"select": "headwater.quarantine"}), sql) == [("goods", None), ("people", None)]
    assert rows(lake, reader({"quarantine": "shop.goods"}), sql) == [("goods", '{"email": "raw-goods"}')]
    found = lake.quarantine(access=reader({"quarantine": "shop.goods"}))
    assert [row.table.name for row in found] == ["goods"]


def test_differences_between_versions_are_for_those_who_see_the_whole_table(lake: Lake) -> None:
    first = lake.head()
    put(lake, "SELECT 4 AS id, 'FI' AS country, 'x' AS email", T, columns=COLUMNS[:2] + (Column("email", "VARCHAR"),))
    assert lake.diff(T, first, lake.head(), access=Access.owner()).added == 1
    assert lake.diff(T, first, lake.head(), access=reader({**ALL, "unmask": ["pii"]})).added == 1
    for narrow in (reader(ALL), reader({**ALL, "unmask": ["pii"], "where": "id > 1"}), reader()):
        with pytest.raises(TableNotFound):
            lake.diff(T, first, lake.head(), access=narrow)


def test_limits_end_a_query(lake: Lake) -> None:
    many = "SELECT i, 'some text' AS t FROM range(100000) r(i)"
    few = reader(ALL, limits=Limits(rows=1000))
    for read in ("fetchall", "arrow"):
        with pytest.raises(LimitExceeded):
            getattr(lake.read_as(few, many), read)()
    with pytest.raises(LimitExceeded), lake.read_as(few, many) as reading:
        for _ in reading.batches(500):
            pass
    assert len(lake.read_as(few, f"{many} LIMIT 1000").fetchall()) == 1000
    with pytest.raises(LimitExceeded):
        lake.read_as(reader(ALL, limits=Limits(bytes=10_000)), many).arrow()
    slow = "SELECT count(*) FROM range(10000000) a(i), range(100000) b(j) WHERE (i * j) % 7 = 3"
    with pytest.raises(LimitExceeded):
        lake.read_as(reader(ALL, limits=Limits(seconds=0.2)), slow).fetchall()
    assert rows(lake, reader(ALL, limits=Limits(seconds=20)), "SELECT 1") == [(1,)]


def _take(lake: Lake, access: Access, sql: str, how: str) -> None:
    found = getattr(lake.read_as(access, sql), how)()
    if how == "batches":
        found.read_all()


def test_errors_while_rows_stream_tell_nothing(lake: Lake) -> None:
    told: list[Audited] = []
    access = reader(ALL, audit=told.append, query_id="q-7")
    for take in ("fetchall", "arrow", "batches"):
        with pytest.raises(HeadwaterError) as caught:
            _take(lake, access, "SELECT CAST(country AS INTEGER) FROM shop.people", take)
        assert "NO" not in str(caught.value).replace("HW-", "")
        assert "q-7" in str(caught.value)
        assert "'NO'" in (told[-1].error or "") or "Conversion" in (told[-1].error or "")


def test_what_is_audited_names_tables_and_columns(lake: Lake) -> None:
    told: list[Audited] = []
    access = reader(ALL, audit=told.append)
    rows(lake, access, "SELECT id FROM shop.people WHERE country = 'NO'")
    assert (told[-1].decision, told[-1].tables, told[-1].columns) == ("allowed", ("shop.people",), ("shop.people.id", "shop.people.country"))
    with pytest.raises(TableNotFound):
        rows(lake, access, "FROM other.thing")
    assert (told[-1].decision, told[-1].sql) == ("refused", "FROM other.thing")
    owners: list[Audited] = []
    rows(lake, Access.owner(audit=owners.append))
    assert owners[-1].principal == "owner"


def test_the_catalog_shows_types_as_masks_leave_them(lake: Lake) -> None:
    (table,) = lake.tables_as(reader(ALL, masks={"pii.email": "hash", "shop.people.id": "token"}))
    assert [(column.name, column.type) for column in table.columns] == [("id", "VARCHAR"), ("country", "VARCHAR"), ("email", "VARCHAR")]
    assert lake.tables_as(reader({"select": "other.*"})) == []


def test_relationships_are_those_of_the_checks_and_name_nothing_hidden(lake: Lake) -> None:
    links = [{"relationships": {"column": "Person", "to": "SHOP.people", "field": "ID"}}, {"unique": {"columns": ["id"]}}]
    under = {"boss": {"checks": [{"relationships": {"column": "boss", "to": "other.bosses", "field": "id"}}]}}
    body = {"checks": links, "columns": under}
    put(lake, "SELECT 1 AS id, 2 AS person, 3 AS boss", TableName("shop", "visits"), definition=definition("stream", body=body))
    put(lake, "SELECT 3 AS id", TableName("other", "bosses"))

    def seen(*grants: dict[str, Any]) -> list[tuple[str, str, str]]:
        tables = {str(table.name): table for table in lake.tables_as(reader(*grants))}
        return [(one.column, str(one.to), one.field) for one in tables["shop.visits"].relationships]

    assert seen(ALL, {"select": "other.*"}) == [("person", "shop.people", "id"), ("boss", "other.bosses", "id")]
    assert seen(ALL) == [("person", "shop.people", "id")]
    assert seen({"select": "shop.visits"}) == []
    assert seen({"select": "shop.visits", "columns": ["id"]}, {"select": "shop.people"}) == []
    assert seen({"select": "shop.visits"}, {"select": "shop.people", "columns": ["country"]}) == []


def test_macros_that_redefine_the_engines_functions_or_read_tables_are_not_for_readers(lake: Lake) -> None:
    macros = (
        "CREATE MACRO sha256(x) AS x",
        "CREATE MACRO mine(x) AS sha256(x)",
        "CREATE MACRO top() AS (SELECT max(id) FROM shop.people)",
        "CREATE MACRO fine(x) AS x + 1",
        "CREATE MACRO peep(x) AS getvariable(x)",
    )
    access = reader(ALL, masks={"pii.email": "hash"})
    for call in ("sha256('a')", "mine('a')", "top()", "peep('a')"):
        with pytest.raises(HeadwaterError):
            lake.read_as(access, f"SELECT {call}, email FROM shop.people", macros=macros).fetchall()
    assert lake.read_as(access, "SELECT fine(id) FROM shop.people ORDER BY 1", macros=macros).fetchall()[0] == (2,)
    assert all(len(row[0]) == 64 for row in lake.read_as(access, "SELECT email FROM shop.people WHERE email IS NOT NULL", macros=macros).fetchall())


def test_rules_that_cannot_be_applied_refuse_the_table_alone(lake: Lake) -> None:
    put(lake, "SELECT 1 AS id", TableName("shop", "other"))
    access = reader({"select": "shop.people", "where": "nonsense("}, {"select": "shop.other"})
    with pytest.raises((LakeError, QueryFailed)):
        rows(lake, access)
    assert rows(lake, access, "FROM shop.other") == [(1,)]
    assert [str(table.name) for table in lake.tables_as(access)] == ["shop.other"]
