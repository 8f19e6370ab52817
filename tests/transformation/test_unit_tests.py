from __future__ import annotations

from pathlib import Path

import pytest

from headwater.project import load_project
from headwater.spec.names import TableName
from headwater.transformation import UnitTestResult, run_unit_tests
from headwater.transformation.differences import describe_differences

FILES = {
    "headwater.yaml": "name: shop\ntimezone: Europe/Oslo\n",
    "sources/shop.yaml": (
        "type: files\nstreams:\n  orders:\n    path: data/*.csv\n"
        "    columns:\n      ordered_at: {type: timestamp}\n      amount: {type: 'decimal(10,2)'}\n"
    ),
    "macros/money.sql": "CREATE MACRO net(x) AS x * 0.8;",
    "models/staging/orders.sql": "SELECT id, ordered_at, amount, country FROM shop.orders WHERE amount > 0",
    "models/marts/daily.sql": (
        "-- headwater\n-- kind: {incremental: {time_column: day, lookback: 1 day}}\n"
        "SELECT ordered_at::DATE AS day, count(*) AS n, sum(net(amount)) AS total FROM staging.orders GROUP BY ALL"
    ),
    "models/marts/customers.sql": (
        "-- headwater\n-- kind: {snapshot: {key: [id], check: [country]}}\nSELECT id, any_value(country) AS country FROM staging.orders GROUP BY id"
    ),
    "models/marts/recent.sql": "SELECT id, current_date - ordered_at::DATE AS age_days FROM shop.orders",
    "models/marts/scores.py": (
        "from headwater import model, table\n\n@model()\n"
        "def scores(orders=table('staging.orders')):\n    return orders.aggregate('country, count(*) AS n')\n"
    ),
}


def run(directory: Path, tests: str, **files: str) -> list[UnitTestResult]:
    for path, text in {**FILES, "tests/all.yaml": tests, **files}.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return run_unit_tests(load_project(directory))


def one(directory: Path, tests: str, **files: str) -> UnitTestResult:
    (result,) = run(directory, tests, **files)
    return result


def passes(directory: Path, tests: str) -> None:
    result = one(directory, tests)
    assert result.passed, result.message


ORDERS = """
model: staging.orders
given:
  shop.orders:
    - {id: 1, ordered_at: 2024-01-01 10:00:00, amount: 10.5, country: 'NO'}
    - {id: 2, amount: 0, country: SE}
"""


def test_a_test_that_holds_passes_whatever_the_order_and_the_columns_left_out(tmp_path: Path) -> None:
    passes(tmp_path, ORDERS + "expect:\n  - {amount: 10.50, ID: 1, ordered_at: '2024-01-01 10:00'}\n")


def test_a_failing_test_tells_row_and_column(tmp_path: Path) -> None:
    result = one(tmp_path, ORDERS + "expect:\n  - {id: 1, amount: 11, country: 'NO'}\n  - {id: 3, amount: 1, country: DK}\n")
    assert not result.passed
    assert result.message.splitlines() == [
        "row 1: {id: 1, amount: 11.00, country: 'NO'}",
        "  amount: expected 11.00, found 10.50",
        "row 2 is missing: {id: 3, amount: 1.00, country: 'DK'}",
        "expected 2 rows, found 1",
    ]
    assert (result.model, result.path, result.line) == (TableName("staging", "orders"), "tests/all.yaml", 2)


def test_given_types_are_the_declared_ones_then_those_of_the_values(tmp_path: Path) -> None:
    types = "typeof(amount) || typeof(id) || typeof(ordered_at) || typeof(tags) || typeof(late)"
    result = one(
        tmp_path,
        "model: marts.types\ngiven:\n  shop.orders:\n    rows:\n      - {id: 1, tags: [a, b], late: 2024-01-01}\n"
        "    columns: {late: timestamptz}\nexpect:\n  - {x: nope}\n",
        **{"models/marts/types.sql": f"SELECT {types} AS x FROM shop.orders"},
    )
    assert "found 'DECIMAL(10,2)BIGINTTIMESTAMPVARCHAR[]TIMESTAMP WITH TIME ZONE'" in result.message


def test_a_column_of_nulls_fits_wherever_it_is_used(tmp_path: Path) -> None:
    files = {
        "models/marts/lists.sql": "SELECT len(tags) AS n, upper(name) AS name, a + 1 AS a FROM staging.orders_of",
        "models/staging/orders_of.sql": "SELECT 1 AS a",
    }
    result = one(
        tmp_path,
        "model: marts.lists\ngiven:\n  staging.orders_of:\n    - {a: null, tags: null, name: null}\nexpect:\n  - {n: null, name: null, a: null}\n",
        **files,
    )
    assert result.passed, result.message


def test_an_incremental_is_tested_as_a_full_build_or_on_from_its_own_rows(tmp_path: Path) -> None:
    given = """
model: marts.daily
given:
  staging.orders:
    - {id: 1, ordered_at: 2024-01-01 10:00:00, amount: 10}
    - {id: 2, ordered_at: 2024-01-03 10:00:00, amount: 20}
"""
    passes(tmp_path, given + "expect:\n  - {day: 2024-01-01, n: 1, total: 8}\n  - {day: 2024-01-03, n: 1, total: 16}\n")
    this = "  this:\n    - {day: 2024-01-01, n: 99}\n    - {day: 2024-01-03, n: 99}\n"
    passes(tmp_path, given + this + "expect:\n  - {day: 2024-01-01, n: 99}\n  - {day: 2024-01-03, n: 1}\n")


def test_a_snapshot_is_tested_with_the_clock_that_now_sets(tmp_path: Path) -> None:
    passes(
        tmp_path,
        """
model: marts.customers
now: 2024-06-01 12:00:00
given:
  staging.orders:
    - {id: 1, country: SE}
  marts.customers:
    - {id: 1, country: 'NO', valid_from: '2024-01-01 00:00:00+01'}
expect:
  - {id: 1, country: 'NO', valid_from: '2024-01-01 00:00:00+01', valid_to: '2024-06-01 12:00:00+02'}
  - {id: 1, country: SE, valid_from: '2024-06-01 12:00:00+02', valid_to: null}
""",
    )


def test_now_sets_the_clock_in_the_projects_timezone(tmp_path: Path) -> None:
    passes(
        tmp_path,
        "model: marts.recent\nnow: 2024-06-02 00:30:00\ngiven:\n  shop.orders:\n    - {id: 1, ordered_at: 2024-06-01}\nexpect:\n  - {age_days: 1}\n",
    )


def test_python_models_are_tested_too(tmp_path: Path) -> None:
    passes(
        tmp_path,
        "model: marts.scores\ngiven:\n  staging.orders:\n    - {country: 'NO'}\n    - {country: 'NO'}\nexpect:\n  - {country: 'NO', n: 2}\n",
    )


def test_the_order_counts_when_it_is_asked_for(tmp_path: Path) -> None:
    tests = "model: marts.sorted\nordered: true\ngiven:\n  staging.orders:\n    - {id: 2}\n    - {id: 1}\nexpect:\n  - {id: 2}\n  - {id: 1}\n"
    result = one(tmp_path, tests, **{"models/marts/sorted.sql": "SELECT id FROM staging.orders ORDER BY id"})
    assert result.message.splitlines()[:2] == ["row 1: {id: 2}", "  id: expected 2, found 1"]


def test_no_rows_can_be_given_and_expected(tmp_path: Path) -> None:
    tests = "model: staging.orders\ngiven:\n  shop.orders: {rows: [], columns: {id: bigint, country: varchar}}\nexpect: []\n"
    passes(tmp_path, tests)
    filled = one(tmp_path, ORDERS + "expect: []\n")
    assert filled.message == "expected no rows, found 1"


@pytest.mark.parametrize(
    ("tests", "says"),
    [
        (ORDERS + "expect:\n  - {idd: 1}\n", "gives no column 'idd'"),
        (ORDERS + "expect:\n  - {id: one}\n", "expected row 1: the value of id isn't a BIGINT"),
        (ORDERS.replace("10.5", "many") + "expect: []\n", "row 1 of shop.orders: the value of amount isn't a decimal(10,2)"),
        ("model: marts.recent\ngiven:\n  shop.orders:\n    - {amount: 1}\nexpect: []\n", "models/marts/recent.sql"),
        (ORDERS.replace("given:", "given:\n  this: [{id: 1}]") + "expect: []\n", "which is built whole"),
        ("model: marts.customers\ngiven:\n  staging.orders: []\nexpect: []\n", "columns of staging.orders aren't known"),
    ],
)
def test_a_test_that_makes_no_sense_fails_with_the_reason(tmp_path: Path, tests: str, says: str) -> None:
    result = one(tmp_path, tests)
    assert not result.passed
    assert says in result.message


def test_only_tests_of_selected_models_are_run(tmp_path: Path) -> None:
    run(tmp_path, ORDERS + "expect: []\n")
    project = load_project(tmp_path)
    assert run_unit_tests(project, [TableName("marts", "daily")]) == []
    assert len(run_unit_tests(project, [TableName("staging", "orders")])) == 1


def test_floats_may_differ_by_rounding_and_nested_values_are_compared() -> None:
    columns = ["a", "b"]
    assert describe_differences(columns, [(0.3, [{"x": 1.0}])], [(0.1 + 0.2, [{"x": 1.0 + 1e-15}])]) == ""
    assert describe_differences(columns, [(float("nan"), [1])], [(float("nan"), [1])]) == ""
    assert describe_differences(columns, [(0.3, [1])], [(0.3, [1, 2])]).splitlines()[1] == "  b: expected [1], found [1, 2]"


def test_equal_rows_are_counted_and_many_differences_cut_short() -> None:
    assert describe_differences(["a"], [(1,), (1,)], [(1,)]) == "row 2 is missing: {a: 1}\nexpected 2 rows, found 1"
    text = describe_differences(["a"], [], [(n,) for n in range(50)])
    assert text.count("not expected") == 20
    assert ".. and 30 more differences" in text
