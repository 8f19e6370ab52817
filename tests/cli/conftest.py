"""A small shop, and the installed command to work on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from commands import Done, run_here, run_installed

FILES = {
    "headwater.yaml": "name: shop\nthreads: 1\nvars: {currency: EUR}\n",
    "sources/shop.yaml": """\
type: files
description: What the shop exports each night
streams:
  orders:
    path: data/orders*.csv
    primary_key: [id]
    columns:
      id: {type: bigint, not_null: true}
      customer_id: bigint
      ordered_at: timestamp
      amount: {type: "decimal(12,2)", checks: [range: {min: 0}]}
    tags: [daily]
  customers:
    path: data/customers.csv
    write_disposition: replace
""",
    "models/staging/orders.sql": """\
-- headwater
-- kind: view
SELECT id, customer_id, ordered_at::date AS day, amount
FROM shop.orders
""",
    "models/marts/revenue.sql": """\
-- headwater
-- description: Revenue per day and country
-- tags: [daily]
-- checks:
--   - unique: [day, country]
--   - range: {column: revenue, min: 0}
SELECT o.day, c.country, sum(o.amount) AS revenue, '${var:currency}' AS currency
FROM staging.orders o JOIN shop.customers c ON c.id = o.customer_id
GROUP BY ALL
""",
    "models/marts/countries.sql": "SELECT country, count(*) AS customers FROM shop.customers GROUP BY country\n",
    "models/marts/best_day.sql": "SELECT country, max_by(day, revenue) AS day FROM marts.revenue GROUP BY country\n",
    "tests/revenue.yaml": """\
- name: orders of a day are summed
  model: marts.revenue
  given:
    staging.orders:
      - {id: 1, customer_id: 1, day: 2024-01-01, amount: 2}
      - {id: 2, customer_id: 1, day: 2024-01-01, amount: 3}
    shop.customers:
      - {id: 1, country: "NO"}
  expect:
    - {day: 2024-01-01, country: "NO", revenue: 5}
""",
    "data/customers.csv": "id,name,country\n1,Ada,NO\n2,Bo,SE\n3,Cleo,NO\n",
    "data/orders1.csv": """\
id,customer_id,ordered_at,amount
1,1,2024-01-01 10:00:00,10.50
2,2,2024-01-01 11:00:00,20.00
3,3,2024-01-02 09:00:00,5.25
4,1,2024-01-02 12:00:00,-7.00
""",
}


def write_project(folder: Path, files: dict[str, str] | None = None) -> Path:
    for name, text in (files or FILES).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture(scope="session")
def hw() -> Callable[..., Done]:
    """`hw(folder, *arguments, expect=0)` runs a command within this process."""
    return run_here


@pytest.fixture(scope="session")
def installed() -> Callable[..., Done]:
    """`installed(folder, *arguments, expect=0)` runs the installed command."""
    return run_installed


@pytest.fixture
def make_shop(tmp_path: Path) -> Callable[..., Path]:
    """Writes a shop with some files otherwise: `make_shop({"models/marts/a.sql": "FROM marts.b"})`."""
    return lambda changes=None: write_project(tmp_path / "made", {**FILES, **(changes or {})})


@pytest.fixture(scope="module")
def lasting_shop(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """As `make_shop`, for all tests of a file."""
    return lambda changes=None: write_project(tmp_path_factory.mktemp("lasting") / "shop", {**FILES, **(changes or {})})


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The shop's project, nothing run yet."""
    return write_project(tmp_path / "shop")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop after its first run. For tests that change nothing."""
    folder = write_project(tmp_path_factory.mktemp("built") / "shop")
    run_here(folder, "run")
    return folder
