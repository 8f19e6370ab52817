from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from headwater.engine import Connection, Engine, Workspace
from headwater.errors import SqlBindError, SqlDataError, SqlSyntaxError
from headwater.governance.checks import failing_condition, judge, judge_freshness
from headwater.governance.checks.compile import literal
from headwater.spec.checks import Check, Fresh, Scalar, Verdict, parse_check, parse_checks
from headwater.spec.names import TableName

ORDERS = TableName("shop", "orders")
NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(threads=2) as engine:
        yield engine


@pytest.fixture
def workspace(engine: Engine) -> Iterator[Workspace]:
    with Workspace(engine, clock=NOW, macros=["CREATE MACRO is_small(x) AS x < 100"]) as workspace:
        workspace.define(ORDERS, "SELECT i AS id, i % 7 AS customer, 'name ' || i AS name FROM range(1000) t(i)")
        workspace.define(TableName("shop", "customers"), "SELECT i AS id FROM range(5) t(i)")
        yield workspace


@pytest.fixture
def connection(workspace: Workspace) -> Iterator[Connection]:
    with workspace.connection() as connection:
        yield connection


def one(connection: Connection, relation: str, check: object, **more: object) -> Verdict:
    (verdict,) = judge(connection, relation, [parse_check(check)], table=ORDERS, **more)  # type: ignore[arg-type]
    return verdict


def test_failing_rows_are_sampled_only_where_a_check_fails(connection: Connection) -> None:
    checks = parse_checks([{"not_null": "id"}, {"range": {"column": "id", "max": 899}}, {"unique": "customer"}])
    fine, ranged, unique = judge(connection, ORDERS.sql, checks, table=ORDERS)
    assert fine.passed
    assert fine.sample == ()
    assert (ranged.failed, ranged.total, len(ranged.sample)) == (100, 1000, 5)
    assert all(json.loads(row)["id"] >= 900 for row in ranged.sample)
    assert ranged.message == "100 of 1,000 rows fail"
    assert one(connection, ORDERS.sql, {"range": {"column": "id", "max": 998}}).message == "1 of 1,000 rows fails"
    assert (unique.failed, unique.total, len(unique.sample)) == (993, 1000, 5)


def test_a_warning_does_not_hold_and_a_tolerance_is_a_share_of_the_rows(connection: Connection) -> None:
    rule = {"column": "id", "max": 899}
    assert one(connection, ORDERS.sql, {"range": rule}).holds
    assert not one(connection, ORDERS.sql, {"range": rule, "severity": "warn"}).holds
    assert one(connection, ORDERS.sql, {"range": rule, "tolerance": 0.1}).passed
    assert not one(connection, ORDERS.sql, {"range": rule, "tolerance": 0.0999}).passed


def test_an_empty_table_passes_all_but_a_count(connection: Connection) -> None:
    empty = "SELECT * FROM shop.orders WHERE false"
    checks = parse_checks([{"not_null": "id"}, {"unique": "id"}, {"rows": {"min": 1}}])
    assert [v.passed for v in judge(connection, empty, checks)] == [True, True, False]
    assert judge(connection, empty, checks)[2].message == "0 rows; expected at least 1"


def test_no_checks_and_fresh_alone_give_no_verdict(connection: Connection) -> None:
    assert judge(connection, ORDERS.sql, []) == ()
    assert judge(connection, ORDERS.sql, [parse_check({"fresh": {"column": "id", "within": "1 day"}})]) == ()


@pytest.mark.parametrize(
    ("expression", "bound"),
    [
        ("TIMESTAMP '2024-01-02 10:00:00'", datetime(2024, 1, 2, 9)),
        ("TIMESTAMPTZ '2024-01-02 10:00:00+00'", datetime(2024, 1, 2, 9, tzinfo=timezone(timedelta(hours=-0)))),
        ("DATE '2024-01-02'", date(2024, 1, 1)),
        ("DATE '2024-01-02'", "2024-01-01"),
        ("1.10::DECIMAL(8,2)", 1.09),
        ("1.1::DOUBLE", 1.09),
        ("'b'", "a"),
        ("170141183460469231731687303715884105727::HUGEINT", 10**30),
        ("2::UTINYINT", True),
    ],
)
def test_a_bound_fits_the_type_of_its_column(connection: Connection, expression: str, bound: Scalar) -> None:
    relation = f"SELECT {expression} AS value"
    assert one(connection, relation, {"range": {"column": "value", "min": bound}}).passed
    assert not one(connection, relation, {"range": {"column": "value", "max": bound}}).passed


def test_literals_keep_quotes_and_what_is_not_finite() -> None:
    assert [literal(v) for v in (None, True, 3, 0.5, "it's")] == ["NULL", "TRUE", "3", "0.5", "'it''s'"]
    assert literal(float("inf")) == "'inf'::DOUBLE"


@pytest.mark.parametrize("check", [{"range": {"column": "id"}}, {"rows": {}}])
def test_a_range_without_bounds_would_pass_always_and_is_refused(check: object) -> None:
    with pytest.raises(ValueError, match="without min and max"):
        parse_check(check)


def test_accepted_values_of_null_alone(connection: Connection) -> None:
    assert one(connection, ORDERS.sql, {"accepted_values": {"column": "id", "values": [None]}}).failed == 1000


def test_matches_reads_re2_and_numbers_as_text(connection: Connection) -> None:
    assert one(connection, ORDERS.sql, {"matches": {"column": "name", "pattern": r"^name \d+$"}}).passed
    assert one(connection, ORDERS.sql, {"matches": {"column": "id", "pattern": "^[0-9]{1,3}$"}}).passed


def test_columns_with_odd_names_are_checked(connection: Connection) -> None:
    relation = """SELECT 1 AS "a ""b"" c", NULL AS "SELECT", 2 AS hw_rows"""
    checks = parse_checks([{"range": {"column": 'a "b" c', "max": 0}}, {"not_null": "SELECT"}, {"unique": ["hw_rows", 'a "b" c']}])
    assert [v.failed for v in judge(connection, relation, checks)] == [1, 1, 0]


def test_relationships_count_rows_without_a_parent(connection: Connection) -> None:
    check = {"relationships": {"column": "customer", "to": "shop.customers", "field": "id"}}
    verdict = one(connection, ORDERS.sql, check, resolve=lambda name: name.sql)
    assert verdict.failed == sum(1 for i in range(1000) if i % 7 > 4)
    assert all(json.loads(row)["customer"] > 4 for row in verdict.sample)


def test_relationships_to_the_table_itself_read_the_rows_judged(connection: Connection) -> None:
    relation = "SELECT * FROM (VALUES (1, NULL), (2, 1), (3, 9)) t(id, parent)"
    assert one(connection, relation, {"relationships": {"column": "parent", "to": "shop.orders", "field": "id"}}).failed == 1


def test_relationships_to_a_table_that_is_not_there_say_so(connection: Connection) -> None:
    with pytest.raises(SqlBindError, match=r"relationships\(customer -> shop\.nobody\.id\) of shop\.orders.*\n.*there is no table shop\.nobody"):
        one(connection, ORDERS.sql, {"relationships": {"column": "customer", "to": "shop.nobody", "field": "id"}})


def test_a_query_reads_the_rows_judged_by_the_tables_name_and_others_as_they_are(connection: Connection) -> None:
    future = "SELECT 1 AS id, 3 AS customer UNION ALL SELECT 2, 99"
    query = {
        "query": {"name": "orphans", "sql": "SELECT o.* FROM shop.orders o LEFT JOIN shop.customers c ON c.id = o.customer WHERE c.id IS NULL -- all"}
    }
    verdict = one(connection, future, query)
    assert (verdict.failed, verdict.total) == (1, 2)
    assert [json.loads(row) for row in verdict.sample] == [{"id": 2, "customer": 99}]
    assert one(connection, future, query, resolve=lambda name: "SELECT 99 AS id").failed == 1
    assert connection.execute("SELECT count(*) FROM shop.orders").scalar() == 1000, "the names are as before afterwards"


def test_an_expression_may_use_macros_and_other_tables(connection: Connection) -> None:
    assert one(connection, ORDERS.sql, {"expression": {"name": "small", "sql": "is_small(id)"}}).failed == 900
    inside = {"expression": {"name": "known", "sql": "customer IN (SELECT id FROM shop.customers) AND is_small(id)"}}
    assert one(connection, ORDERS.sql, inside).failed == 1000 - sum(1 for i in range(100) if i % 7 <= 4)


def test_a_query_judges_a_view_that_names_tables_itself(connection: Connection) -> None:
    view = "SELECT o.id, o.customer FROM shop.orders o JOIN shop.customers c ON c.id = o.customer"
    query = {"query": {"name": "small", "sql": "SELECT * FROM shop.joined WHERE id > 900"}}
    (verdict,) = judge(connection, view, [parse_check(query)], table=TableName("shop", "joined"))
    assert verdict.failed == sum(1 for i in range(901, 1000) if i % 7 <= 4)


def test_the_clock_of_the_run_holds_in_checks(connection: Connection) -> None:
    assert one(connection, ORDERS.sql, {"query": {"name": "clock", "sql": "SELECT 1 FROM shop.customers WHERE current_date <> '2024-06-01'"}}).passed


@pytest.mark.parametrize(
    ("check", "error", "says"),
    [
        ({"not_null": "idd"}, SqlBindError, r"not_null\(idd\) of shop\.orders"),
        ({"matches": {"column": "name", "pattern": "(open"}}, SqlDataError, r"matches\(name\) of shop\.orders"),
        ({"expression": {"name": "broken", "sql": "id >"}}, SqlSyntaxError, r"expression\(broken\) of shop\.orders"),
        ({"expression": {"name": "cast", "sql": "name::INTEGER > 0"}}, SqlDataError, r"expression\(cast\) of shop\.orders"),
        ({"expression": {"name": "sums", "sql": "sum(id) > 0"}}, SqlBindError, r"expression\(sums\) of shop\.orders"),
        ({"query": {"name": "lost", "sql": "SELECT * FROM shop.nowhere"}}, SqlBindError, r"query\(lost\) of shop\.orders"),
        ({"unique": ["id", "nothing"]}, SqlBindError, r"unique\(id, nothing\) of shop\.orders"),
        ({"accepted_values": {"column": "name", "values": [1, 2]}}, SqlDataError, r"accepted_values\(name\) of shop\.orders"),
    ],
)
def test_a_check_that_cannot_be_run_names_itself_and_its_table(connection: Connection, check: object, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        judge(connection, ORDERS.sql, [parse_check({"not_null": "id"}), parse_check(check)], table=ORDERS)
    assert "name 1" not in str(caught.value), "no value of a row is told"


def test_an_overlong_row_is_sampled_with_its_texts_cut(connection: Connection) -> None:
    relation = "SELECT repeat('x', 10000000) AS text, 1 AS id, ['y', repeat('z', 300)] AS list"
    (sample,) = one(connection, relation, {"range": {"column": "id", "max": 0}}).sample
    assert len(sample) < 1000
    assert json.loads(sample)["id"] == 1


def test_every_row_wise_check_gives_a_condition_and_no_other_does() -> None:
    checks: list[Check] = list(
        parse_checks(
            [
                {"not_null": "a"},
                {"unique": "a"},
                {"accepted_values": {"column": "a", "values": [1]}},
                {"relationships": {"column": "a", "to": "x.y", "field": "z"}},
                {"range": {"column": "a", "min": 1}},
                {"matches": {"column": "a", "pattern": "x"}},
                {"rows": 1},
                {"expression": {"name": "n", "sql": "a > 1"}},
                {"query": {"name": "n", "sql": "SELECT 1"}},
            ]
        )
    )
    assert [failing_condition(check) is not None for check in checks] == [check.is_row_wise for check in checks]


def test_freshness_is_judged_against_the_clock() -> None:
    check = parse_check({"fresh": {"column": "at", "within": "1 day"}})
    assert isinstance(check, Fresh)
    assert judge_freshness(NOW - timedelta(days=1), check, NOW).passed
    assert judge_freshness(datetime(2024, 5, 31, 12), check, NOW).passed
    late = judge_freshness(NOW - timedelta(days=1, seconds=1), check, NOW)
    assert not late.passed
    assert late.message == "older than 1 day"
    assert judge_freshness(date(2024, 6, 1), check, NOW).passed
    assert not judge_freshness(date(2024, 5, 31), check, NOW).passed
    assert not judge_freshness(None, check, NOW).passed
    assert judge_freshness("2024-06-01", check, NOW).message == f"{check.column} holds no times"
