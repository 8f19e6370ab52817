from __future__ import annotations

from pathlib import Path

import pytest

from headwater.project import LoadedProject, load_project
from headwater.project.lineage import LineageCache, derive_all
from headwater.spec.lineage import Lineage
from headwater.spec.names import ColumnName, TableName

FILES = {
    "headwater.yaml": "name: shop\n",
    "sources/shop.yaml": "type: files\nstreams:\n  orders: {path: orders.csv}\n  rates: {path: rates.csv}\n",
    "macros/money.sql": "CREATE MACRO gross(net) AS net * 1.25;\n"
    "CREATE MACRO large(least) AS TABLE SELECT id FROM shop.orders WHERE amount > least;\n",
    "models/staging/orders.sql": "SELECT id, Customer, gross(amount) AS gross, day FROM Shop.ORDERS WHERE status = 'paid'\n",
    "models/marts/Daily.sql": "-- headwater\n-- kind: {incremental: {time_column: day, lookback: 1 day}}\n"
    "SELECT day, sum(gross) AS total FROM staging.orders GROUP BY day\n",
    "models/marts/history.sql": "-- headwater\n-- kind: {snapshot: {key: [id], check: [customer]}}\nSELECT id, customer, gross FROM staging.orders\n",
    "models/marts/below.sql": "SELECT id, valid_to, total FROM marts.history, marts.daily\n",
    "models/marts/wide.sql": "PIVOT staging.orders ON customer USING sum(gross) GROUP BY day\n",
    "models/marts/over_wide.sql": "SELECT * FROM marts.wide\n",
    "models/marts/big.sql": "SELECT id FROM large(100)\n",
    "models/marts/scores.py": (
        "from headwater import model, table\n\n\n@model(kind='table')\ndef scores(orders=table('staging.orders')):\n    return orders.arrow()\n"
    ),
}
KNOWN = {
    TableName("shop", "orders"): ("id", "customer", "amount", "status", "day"),
    TableName("marts", "wide"): ("day", "ann", "bob"),
}


def column(text: str) -> ColumnName:
    schema, table, name = text.split(".")
    return ColumnName(TableName(schema, table), name)


def columns(*texts: str) -> frozenset[ColumnName]:
    return frozenset(map(column, texts))


@pytest.fixture
def project(tmp_path: Path) -> LoadedProject:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return load_project(tmp_path)


@pytest.fixture
def lineages(project: LoadedProject) -> dict[str, Lineage]:
    return {str(table): lineage for table, lineage in derive_all(project, KNOWN).items()}


def test_every_model_has_lineage_inputs_first(project: LoadedProject, lineages: dict[str, Lineage]) -> None:
    assert set(lineages) == {str(table) for table in project.models}
    order = list(lineages)
    assert order.index("staging.orders") < order.index("marts.Daily") < order.index("marts.below")


def test_tables_are_named_as_they_spell_themselves(lineages: dict[str, Lineage]) -> None:
    assert lineages["staging.orders"].tables == {TableName("shop", "orders")}
    assert lineages["staging.orders"].value == {
        "id": columns("shop.orders.id"),
        "customer": columns("shop.orders.customer"),
        "gross": columns("shop.orders.amount"),
        "day": columns("shop.orders.day"),
    }
    assert lineages["marts.below"].value["total"] == columns("marts.Daily.total")


def test_a_time_column_decides_which_rows_are_replaced(lineages: dict[str, Lineage]) -> None:
    assert lineages["marts.Daily"].influence == columns("staging.orders.day")


def test_a_snapshot_has_its_validity_columns(lineages: dict[str, Lineage]) -> None:
    history = lineages["marts.history"]
    assert history.columns == ("id", "customer", "gross", "valid_from", "valid_to")
    assert history.value["valid_to"] == history.influence == columns("staging.orders.id", "staging.orders.customer")
    assert lineages["marts.below"].value["valid_to"] == columns("marts.history.valid_to")


def test_columns_of_a_dynamic_pivot_come_from_the_table_that_exists(project: LoadedProject, lineages: dict[str, Lineage]) -> None:
    assert lineages["marts.wide"].columns == ("day", "ann", "bob")
    assert not lineages["marts.wide"].is_complete
    assert lineages["marts.over_wide"].value["ann"] == columns("marts.wide.ann")
    before_it_ran = derive_all(project, {TableName("shop", "orders"): KNOWN[TableName("shop", "orders")]})
    assert not before_it_ran[TableName("marts", "over_wide")].columns_known


def test_a_table_macro_leads_to_its_tables(lineages: dict[str, Lineage]) -> None:
    assert lineages["marts.big"].value == {"id": columns("shop.orders.id")}
    assert lineages["marts.big"].influence == columns("shop.orders.amount")


def test_a_python_model_is_conservative_unless_told(project: LoadedProject, lineages: dict[str, Lineage]) -> None:
    assert lineages["marts.scores"].influence == columns("staging.orders.*")
    assert not lineages["marts.scores"].is_complete
    scores = TableName("marts", "scores")
    told = Lineage(frozenset({TableName("staging", "orders")}), {"id": columns("staging.orders.id")})
    assert derive_all(project, KNOWN, told={scores: told})[scores] == told


def test_a_stream_never_loaded_has_unknown_columns(project: LoadedProject) -> None:
    lineages = derive_all(project, {})
    assert lineages[TableName("staging", "orders")].value["gross"] == columns("shop.orders.amount")
    assert all(lineage.tables for lineage in lineages.values())


def test_a_second_time_everything_is_found_in_the_cache(project: LoadedProject, tmp_path: Path) -> None:
    path = tmp_path / ".headwater" / "cache" / "lineage.json"
    first = LineageCache(path)
    lineages = derive_all(project, KNOWN, cache=first)
    first.save()
    second = LineageCache(path)
    assert derive_all(project, KNOWN, cache=second) == lineages == derive_all(project, KNOWN)
    assert (first.derived_count, second.derived_count) == (len(lineages) - 1, 0)  # Python isn't derived
