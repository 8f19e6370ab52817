from __future__ import annotations

import json
from itertools import pairwise

import pytest

from headwater.errors import UnknownSelection
from headwater.governance.lineage_graph import Edge, LineageGraph
from headwater.governance.lineage_views import LineageView
from headwater.project.lineage import derive_lineage
from headwater.spec.lineage import Lineage
from headwater.spec.names import ColumnName, TableName

ORDERS, CUSTOMERS = TableName("shop", "orders"), TableName("shop", "customers")
STAGED, REVENUE, TOP = TableName("staging", "orders"), TableName("marts", "revenue"), TableName("marts", 'top "1" <x>')


def column(table: TableName, name: str) -> ColumnName:
    return ColumnName(table, name)


@pytest.fixture
def lineages() -> dict[TableName, Lineage]:
    columns: dict[TableName, tuple[str, ...]] = {ORDERS: ("id", "customer", "amount", "status"), CUSTOMERS: ("id", "name")}
    derived = {}
    for table, sql in {
        STAGED: "SELECT id, customer, amount * 2 AS amount FROM shop.orders WHERE status = 'paid'",
        REVENUE: "SELECT name, sum(amount) AS total FROM staging.orders AS o JOIN shop.customers AS c ON c.id = o.customer GROUP BY name",
        TOP: "SELECT total AS t FROM Marts.REVENUE",
    }.items():
        derived[table] = derive_lineage(sql, lambda name: {t.key: c for t, c in columns.items()}.get(name.key))
        columns[table] = derived[table].columns
    return derived


@pytest.fixture
def graph(lineages: dict[TableName, Lineage]) -> LineageGraph:
    return LineageGraph(lineages)


def test_upstream_tells_values_from_influence_over_several_steps(graph: LineageGraph) -> None:
    trace = graph.upstream(column(REVENUE, "total"))
    assert trace.reached == {
        column(STAGED, "amount"): "value",
        column(ORDERS, "amount"): "value",
        column(STAGED, "customer"): "influence",
        column(ORDERS, "customer"): "influence",
        column(ORDERS, "status"): "influence",
        column(CUSTOMERS, "id"): "influence",
        column(CUSTOMERS, "name"): "influence",
    }
    assert Edge(column(ORDERS, "status"), column(STAGED, "*"), "influence") in trace.edges
    assert trace.tables == (CUSTOMERS, ORDERS, STAGED)


def test_downstream_of_a_deciding_column_is_every_column_of_the_table_and_on(graph: LineageGraph) -> None:
    trace = graph.downstream(column(ORDERS, "status"))
    assert trace.reached == {
        column(STAGED, "*"): "influence",
        column(REVENUE, "total"): "influence",
        column(REVENUE, "*"): "influence",
        column(TOP, "t"): "influence",
    }


def test_upstream_and_downstream_agree(graph: LineageGraph, lineages: dict[TableName, Lineage]) -> None:
    for table, lineage in lineages.items():
        for name in lineage.columns:
            for source in graph.upstream(column(table, name)).reached:
                reached = graph.downstream(source).reached
                assert column(table, name) in reached or column(table, "*") in reached


def test_a_table_is_asked_for_with_all_its_columns(graph: LineageGraph) -> None:
    assert set(graph.upstream(STAGED).reached) == {column(ORDERS, name) for name in ("id", "customer", "amount", "status")}
    assert TOP in graph.downstream(CUSTOMERS).tables


def test_depth_counts_tables(graph: LineageGraph) -> None:
    assert graph.upstream(column(TOP, "t"), depth=1).tables == (REVENUE,)
    assert set(graph.upstream(column(TOP, "t"), depth=2).tables) == {REVENUE, CUSTOMERS, STAGED}


def test_names_are_found_in_any_case_and_else_the_nearest_is_named(graph: LineageGraph) -> None:
    assert graph.find("MARTS.Revenue") == REVENUE
    assert graph.find('marts."revenue".TOTAL') == column(REVENUE, "total")
    assert graph.find('"marts"."top ""1"" <x>"') == TOP
    with pytest.raises(UnknownSelection, match=r"did you mean marts\.revenue"):
        graph.find("marts.revenu")
    with pytest.raises(UnknownSelection, match=r"did you mean marts\.revenue\.total"):
        graph.find("marts.revenue.totl")
    with pytest.raises(UnknownSelection, match=r"one of name, total"):
        graph.find("marts.revenue.x")
    with pytest.raises(UnknownSelection):
        graph.find("revenue")


def test_a_conservative_table_is_passed_through_whole(lineages: dict[TableName, Lineage]) -> None:
    opaque, below = TableName("marts", "scores"), TableName("marts", "below")
    graph = LineageGraph(
        {
            **lineages,
            opaque: Lineage.conservative(frozenset({STAGED}), "Python", ()),
            below: Lineage(frozenset({opaque}), {"s": frozenset({column(opaque, "score")})}),
        }
    )
    assert graph.incomplete == {opaque: "Python"}
    assert column(ORDERS, "amount") in graph.upstream(column(below, "s")).reached
    assert column(below, "s") in graph.downstream(column(ORDERS, "amount")).reached
    documents = json.loads(LineageView.of(graph, column(below, "s"), downstream=False).render("json"))
    assert documents[0]["incomplete"] == {"marts.scores": "Python"}
    assert LineageView.of(graph, column(below, "s"), downstream=False).render("tree").endswith("from every column:\n  marts.scores: Python")


def test_the_tree_shows_values_first_and_what_decides_rows_below(graph: LineageGraph) -> None:
    tree = """\
marts.revenue.total comes from
├── staging.orders.amount
│   ├── shop.orders.amount
│   └── rows of staging.orders
│       └── shop.orders.status (decides rows)
└── rows of marts.revenue
    ├── shop.customers.id (decides rows)
    ├── shop.customers.name (decides rows)
    └── staging.orders.customer (decides rows)
        ├── shop.orders.customer
        └── rows of staging.orders (see above)

marts.revenue.total leads to
└── marts.top "1" <x>.t"""
    assert LineageView.of(graph, column(REVENUE, "total")).render("tree") == tree


def test_a_column_from_nowhere_says_so(graph: LineageGraph) -> None:
    assert LineageView.of(graph, column(ORDERS, "id"), downstream=False).render() == "shop.orders.id comes from\n└── nothing"


def test_a_table_that_nobody_reads_leads_to_nothing(graph: LineageGraph) -> None:
    assert LineageView.of(graph, TOP, upstream=False).render() == f"{TOP} leads to\n└── nothing"


def test_json_has_the_documented_shape(graph: LineageGraph) -> None:
    documents = json.loads(LineageView.of(graph, column(STAGED, "amount")).render("json"))
    assert [document["direction"] for document in documents] == ["upstream", "downstream"]
    assert documents[0] == {
        "start": "staging.orders.amount",
        "direction": "upstream",
        "edges": [
            {
                "source": {"schema": "shop", "table": "orders", "column": "amount"},
                "target": {"schema": "staging", "table": "orders", "column": "amount"},
                "kind": "value",
            },
            {
                "source": {"schema": "shop", "table": "orders", "column": "status"},
                "target": {"schema": "staging", "table": "orders", "column": "*"},
                "kind": "influence",
            },
        ],
        "reached": [
            {"schema": "shop", "table": "orders", "column": "amount", "kind": "value"},
            {"schema": "shop", "table": "orders", "column": "status", "kind": "influence"},
        ],
        "incomplete": {},
    }


def test_mermaid_escapes_names_and_dots_influence(graph: LineageGraph) -> None:
    text = LineageView.of(graph, column(STAGED, "amount")).render("mermaid")
    assert text.startswith("flowchart LR\n")
    assert 'subgraph t3["marts.top #quot;1#quot; #lt;x#gt;"]' in text
    assert "-.->" in text
    assert "-->" in text
    assert text.count("subgraph") == text.count("    end")


def test_an_unknown_format_is_refused(graph: LineageGraph) -> None:
    with pytest.raises(ValueError, match="expected tree, json or mermaid"):
        LineageView.of(graph, STAGED).render("dot")


def test_a_chain_of_3000_tables_is_walked_and_drawn() -> None:
    names = [TableName("c", f"t{n}") for n in range(3000)]
    graph = LineageGraph({b: Lineage(frozenset({a}), {"x": frozenset({column(a, "x")})}) for a, b in pairwise(names)})
    assert len(graph.upstream(column(names[-1], "x")).reached) == 2999
    assert LineageView.of(graph, column(names[-1], "x"), downstream=False).render().count("\n") == 2999
