"""The engine: connections, parsing, failures told as ours, workspaces."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater import errors
from headwater.engine import Engine, Workspace, describe_query, parse_statements, parse_tree, tables_named
from headwater.spec.names import TableName


@pytest.fixture
def engine():
    with Engine() as engine:
        yield engine


@settings(deadline=None, max_examples=60)
@given(
    number=st.decimals(allow_nan=False, allow_infinity=False)
    | st.builds(lambda n, e: Decimal(n).scaleb(e), st.integers(-999, 999), st.integers(-60, 60))
)
def test_a_decimal_is_bound_as_the_number_it_is(number):
    with Engine() as engine, engine.connection() as connection:
        ask = connection.execute_bound
        if abs(number) > Decimal("1e308"):
            with pytest.raises(errors.UsageError, match="larger than any"):
                ask("SELECT $1", [number])
            return
        for sql, given_ in (("SELECT $1", [number]), ("SELECT $n", {"n": number}), ("SELECT $1[1]", [[number, number]])):
            ((found,),) = ask(sql, given_).fetchall()
            assert Decimal(found) == number or float(found) == pytest.approx(float(number), rel=1e-12)


def test_a_time_limit_holds_for_what_begins_after_it_too(engine):
    connection = engine.connection()
    with connection.time_limit(0.05):
        time.sleep(0.2)
        with pytest.raises(errors.Interrupted):
            connection.execute("SELECT count(*) FROM range(100000000) a, range(1000) b WHERE a.range = -b.range").fetchall()


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("FROM staging.orders", {("staging", "orders")}),
        ('WITH a AS (FROM x.y) SELECT * FROM a JOIN "odd n".t USING (i), LATERAL (FROM z.q)', {("x", "y"), ("odd n", "t"), ("z", "q")}),
        ("WITH RECURSIVE t AS (SELECT 1 UNION ALL SELECT * FROM t) FROM t, LATERAL (SELECT max(v) FROM b.c)", {("b", "c")}),
        ("WITH t AS (FROM s.t) FROM t", {("s", "t")}),
        ("PIVOT x.y ON c USING sum(v)", {("x", "y")}),
        ("PIVOT x.y ON c IN ('a') USING sum(v)", {("x", "y")}),
        ("SELECT (SELECT max(a) FROM p.q) WHERE EXISTS (FROM r.s)", {("p", "q"), ("r", "s")}),
        ("SELECT 1", set()),
        ("FROM 'a.parquet'", {("a.parquet",)}),
        ("FROM read_csv('x.csv')", set()),
        ("SELECT * FROM nowhere", {("nowhere",)}),
    ],
)
def test_tables_named_finds_the_tables_a_query_reads_and_no_cte(sql, tables):
    assert tables_named(sql) == tables


def test_a_cte_hides_a_table_only_where_it_is_in_scope():
    assert tables_named("SELECT * FROM (WITH t AS (SELECT 1) FROM t), t") == {("t",)}


def test_what_duckdb_cannot_serialize_gives_no_tree_and_what_it_cannot_parse_an_error():
    assert parse_tree("PIVOT x.y ON c USING sum(v)") is None
    with pytest.raises(errors.SqlSyntaxError):
        parse_tree("SELEC 1")


def test_statements_are_told_by_type():
    assert [statement.type for statement in parse_statements("SELECT 1; CREATE TABLE t (a INT)")] == ["SELECT", "CREATE"]


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SELEC 1", errors.SqlSyntaxError),
        ("SELECT nothing_here", errors.SqlBindError),
        ("SELECT * FROM no.table_here", errors.SqlBindError),
        ("SELECT 'secret value'::INTEGER", errors.SqlDataError),
        ("SELECT * FROM read_csv('/nowhere/at/all.csv')", errors.LakeUnavailable),
        ("SELECT count(*) FROM range(100000000) a, range(1000) b WHERE a.range = -b.range", None),
    ],
)
def test_duckdbs_exceptions_leave_as_ours(engine, sql, error):
    connection = engine.connection()
    if error is None:
        with connection.time_limit(0.05), pytest.raises(errors.Interrupted):
            connection.execute(sql).fetchall()
        assert connection.execute("SELECT 1").scalar() == 1
        return
    with pytest.raises(error) as caught:
        connection.execute(sql).fetchall()
    assert "secret value" not in str(caught.value)


def test_a_transaction_rolls_back_when_its_body_raises(engine):
    connection = engine.connection()
    connection.execute("CREATE TABLE t (a INTEGER)")

    def insert_and_fail():
        with connection.transaction():
            connection.execute("INSERT INTO t VALUES (1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        insert_and_fail()
    assert connection.execute("SELECT count(*) FROM t").scalar() == 0


def test_describe_query_binds_without_running(engine):
    columns = describe_query(engine.connection(), "SELECT 1 AS a, sum(2::BIGINT) AS b, error('never run')  -- comment at the end")
    assert [(column.name, column.type) for column in columns][:2] == [("a", "INTEGER"), ("b", "HUGEINT")]


def test_a_workspace_resolves_names_without_rewriting_sql(engine):
    with Workspace(engine, macros=["CREATE MACRO twice(x) AS 2 * x"]) as workspace:
        workspace.define(TableName("staging", "orders"), "SELECT 1 AS a")
        workspace.define(TableName("marts", "all"), "FROM staging.orders SELECT twice(a) AS b")
        connection = workspace.connection()
        assert connection.execute('FROM marts."all"').fetchall() == [(2,)]
        workspace.define(TableName("staging", "orders"), "SELECT 21 AS a")
        assert connection.execute('FROM marts."all"').fetchall() == [(42,)]
        connection.close()


@pytest.mark.parametrize("function", ["now()", "current_timestamp", "get_current_timestamp()", "transaction_timestamp()"])
def test_instants_in_a_workspace_are_its_clocks(engine, function):
    clock = datetime(2020, 2, 29, 12, 30, tzinfo=UTC)
    with Workspace(engine, clock=clock) as workspace:
        assert workspace.connection().execute(f"SELECT {function}").scalar() == clock


def test_dates_and_times_in_a_workspace_follow_the_clock_in_the_sessions_timezone():
    clock = datetime(2020, 2, 29, 23, 30, tzinfo=UTC)
    with Engine(timezone="Europe/Oslo") as engine, Workspace(engine, clock=clock) as workspace:
        row = workspace.connection().execute("SELECT current_date, today(), localtimestamp, localtime, current_time").fetchone()
    assert [str(value) for value in row] == ["2020-03-01", "2020-03-01", "2020-03-01 00:30:00", "00:30:00", "00:30:00+01:00"]


def test_threads_share_a_workspace_through_connections_of_their_own(engine):
    seen: list[int] = []
    with Workspace(engine) as workspace:

        def work(number: int) -> None:
            with workspace.connection() as connection:
                workspace.define(TableName("s", f"t{number}"), f"SELECT {number} AS n")
                seen.append(connection.execute(f"SELECT n FROM s.t{number}").scalar())

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(seen) == list(range(8))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.booleans(), st.integers(-(2**62), 2**62), st.text(), st.datetimes()), min_size=1, max_size=5))
def test_plain_parameters_written_as_literals_come_back_as_they_were(values):
    with Engine() as engine, engine.connection() as connection:
        row = connection.execute(f"SELECT {', '.join('?' for _ in values)} /* ? */ -- ?", values).fetchone()
    assert list(row) == values


def test_a_list_is_a_plain_parameter_too(engine):
    assert engine.connection().execute("SELECT list_contains(?, 'b'), '?'", [["a", "b"]]).fetchone() == (True, "?")


def test_nothing_unsigned_is_loaded_once_the_engine_stands() -> None:
    with Engine(extensions=("sqlite_scanner", "no_such_extension")) as engine, engine.connection() as connection:
        loaded = "SELECT loaded FROM duckdb_extensions() WHERE extension_name = 'sqlite_scanner'"
        assert connection.execute(loaded).scalar() is True
        assert connection.execute("SELECT current_setting('allow_unsigned_extensions')").scalar() is False
        with pytest.raises(errors.HeadwaterError):
            connection.execute("SET GLOBAL allow_unsigned_extensions = true")


@pytest.mark.parametrize("threads", [None, 3])
def test_an_engine_held_back_has_one_thread_until_there_is_work(threads):
    def used(engine):
        with engine.connection() as connection:
            return connection.execute("SELECT current_setting('threads')").scalar()

    with Engine(threads=threads) as engine:
        before = used(engine)
        engine.hold_back()
        engine.hold_back()
        assert used(engine) == 1
        engine.use_all_threads()
        engine.use_all_threads()
        assert used(engine) == before
    assert threads is None or before == threads
