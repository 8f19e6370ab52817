"""Graph and selectors: the cases people write, and random graphs against a naive model."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import UnknownSelection
from headwater.project import Graph, Node, select
from headwater.spec.names import TableName

T = TableName.parse


def _node(name, inputs=(), *, tags=(), kind="model", path=""):
    table = T(name)
    source = table.schema if kind == "stream" else ""
    return Node(table, kind, tuple(map(T, inputs)), tags, path or f"models/{table.schema}/{table.name}.sql", source)


GRAPH = Graph(
    [
        _node("shop.orders", kind="stream", path="sources/shop.yaml", tags=("raw",)),
        _node("shop.customers", kind="stream", path="sources/shop.yaml"),
        _node("crm.people", kind="stream", path="sources/crm.yaml"),
        _node("staging.orders", ["shop.orders"], tags=("daily",)),
        _node("staging.customers", ["shop.customers", "crm.people"]),
        _node("marts.revenue", ["staging.orders", "staging.customers"], tags=("daily", "finance")),
        _node("marts.churn", ["staging.customers"]),
        _node("reports.board", ["marts.revenue", "marts.churn"], path="models/reports/q1/board.sql"),
        _node('"odd, schema"."a+b"', ["shop.orders"], path="models/odd, schema/a+b.sql"),
    ]
)


def names(tables):
    return {str(table) for table in tables}


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["marts.revenue"], [], {"marts.revenue"}),
        (["MARTS.Revenue"], [], {"marts.revenue"}),
        (["+marts.churn"], [], {"marts.churn", "staging.customers", "shop.customers", "crm.people"}),
        (["1+marts.revenue"], [], {"marts.revenue", "staging.orders", "staging.customers"}),
        (["2+reports.board"], [], {"reports.board", "marts.revenue", "marts.churn", "staging.orders", "staging.customers"}),
        (["0+marts.churn"], [], {"marts.churn"}),
        (["crm.people+"], [], {"crm.people", "staging.customers", "marts.revenue", "marts.churn", "reports.board"}),
        (["crm.people+1"], [], {"crm.people", "staging.customers"}),
        (["1+marts.churn+1"], [], {"staging.customers", "marts.churn", "reports.board"}),
        (["staging.*"], [], {"staging.orders", "staging.customers"}),
        (["staging.o*+1"], [], {"staging.orders", "marts.revenue"}),
        (["*.orders"], [], {"shop.orders", "staging.orders"}),
        (["source:shop"], [], {"shop.orders", "shop.customers"}),
        (["source:shop.orders"], [], {"shop.orders"}),
        (["source:*"], [], {"shop.orders", "shop.customers", "crm.people"}),
        (["tag:daily"], [], {"staging.orders", "marts.revenue"}),
        (["tag:daily+"], [], {"staging.orders", "marts.revenue", "reports.board"}),
        (["path:models/marts"], [], {"marts.revenue", "marts.churn"}),
        (["path:./models/reports/"], [], {"reports.board"}),
        (["path:models/reports/q1/board.sql"], [], {"reports.board"}),
        (["path:models/*/orders.sql"], [], {"staging.orders"}),
        (["tag:daily,marts.*"], [], {"marts.revenue"}),
        (["+marts.revenue,source:shop"], [], {"shop.orders", "shop.customers"}),
        (["marts.churn", "tag:raw"], [], {"marts.churn", "shop.orders"}),
        (["+reports.board"], ["staging.*", "source:crm"], {"reports.board", "marts.revenue", "marts.churn", "shop.orders", "shop.customers"}),
        ([], ["+reports.board"], {"odd, schema.a+b"}),
        (['"odd, schema"."a+b"'], [], {"odd, schema.a+b"}),
        (['1+"odd, schema"."a+b",source:shop'], [], {"shop.orders"}),
    ],
)
def test_selectors_select(include, exclude, expected):
    chosen = select(GRAPH, include, exclude)
    assert names(chosen) == expected
    order = GRAPH.order()
    assert [order.index(table) for table in chosen] == sorted(order.index(table) for table in chosen)


EXPORTS = {"crm": T("Marts.Churn"), "crm_orders": T("staging.orders")}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [("export:CRM", {"marts.churn"}), ("export:crm*", {"marts.churn", "staging.orders"}), ("+export:crm_orders", {"staging.orders", "shop.orders"})],
)
def test_an_export_selects_the_table_it_sends(selector, expected):
    assert names(select(GRAPH, [selector], exports=EXPORTS)) == expected
    assert names(select(GRAPH, [], [selector], exports=EXPORTS)) == names(GRAPH.order()) - expected


@pytest.mark.parametrize(("exports", "hint"), [(EXPORTS, "did you mean export:crm?"), ({}, "headwater ls shows all tables")])
def test_an_unknown_export_is_told_with_the_nearest(exports, hint):
    with pytest.raises(UnknownSelection) as caught:
        select(GRAPH, ["export:crn"], exports=exports)
    assert caught.value.hint == hint


def test_no_selector_selects_all():
    assert select(GRAPH, []) == GRAPH.order()


@pytest.mark.parametrize(
    ("selector", "hint"),
    [
        ("marts.revenu", "did you mean marts.revenue?"),
        ("revenue", "did you mean marts.revenue?"),
        ("mart.*", "did you mean marts.*?"),
        ("source:shp", "did you mean source:shop?"),
        ("tag:dayly", "did you mean tag:daily?"),
        ("path:models/mart", "did you mean path:models/marts?"),
        ("state:modifed", "did you mean state:modified?"),
        ("result:eror", "did you mean result:error?"),
        ("tags:daily", "did you mean tag?"),
        ("marts.revenue,zzz.qqq", "headwater ls shows all tables"),
        ("+", "headwater ls shows all tables"),
        ("tag:daily,", "headwater ls shows all tables"),
        ("state:modified", "select by name, tag or path"),
        ("result:error", "select by name, tag or path"),
    ],
)
def test_a_selector_that_names_nothing_is_told_with_the_nearest(selector, hint):
    with pytest.raises(UnknownSelection) as caught:
        select(GRAPH, [selector])
    assert caught.value.hint == hint
    with pytest.raises(UnknownSelection):
        select(GRAPH, [], [selector])


def test_state_compares_fingerprints():
    today = {table: "new" if str(table) == "staging.orders" else "same" for table in GRAPH.nodes}
    deployed = {table: "same" for table in GRAPH.nodes if str(table) != "marts.churn"}
    deployed[TableName("SHOP", "Orders")] = deployed.pop(T("shop.orders"))
    assert names(select(GRAPH, ["state:modified"], deployed=deployed, fingerprints=today)) == {"staging.orders", "marts.churn"}
    assert names(select(GRAPH, ["state:new"], deployed=deployed, fingerprints=today.__getitem__)) == {"marts.churn"}
    assert names(select(GRAPH, ["state:modified+"], deployed=deployed, fingerprints=today)) == {
        "staging.orders",
        "marts.revenue",
        "marts.churn",
        "reports.board",
    }
    assert select(GRAPH, ["state:modified"], deployed=today, fingerprints=today) == ()


def test_result_selects_by_the_last_run():
    results = {T("marts.churn"): "failed", T("marts.revenue"): "held", T("gone.table"): "failed"}
    assert names(select(GRAPH, ["result:error"], results=results)) == {"marts.churn"}
    assert names(select(GRAPH, ["result:error+", "result:held"], results=results)) == {"marts.churn", "marts.revenue", "reports.board"}
    assert select(GRAPH, ["result:error"], results={}) == ()


# -- random graphs ---------------------------------------------------------------------------------------------------


@st.composite
def graphs(draw):
    """Acyclic graphs of up to nine tables in three schemas."""
    size = draw(st.integers(1, 9))
    tables = [f"{'abc'[index % 3]}.t{index}" for index in range(size)]
    nodes = []
    for index, name in enumerate(tables):
        inputs = draw(st.lists(st.sampled_from(tables[:index]), unique=True, max_size=3)) if index else []
        nodes.append(_node(name, inputs, tags=tuple(draw(st.sets(st.sampled_from("xyz"), max_size=2)))))
    return Graph(draw(st.permutations(nodes)))


def _reach(graph, start, depth, up):
    """All tables within `depth` steps, by walking every path."""
    if depth == 0:
        return {start}
    following = [n for n in graph.nodes if (n in graph.nodes[start].inputs if up else start in graph.nodes[n].inputs)]
    return {start}.union(*(_reach(graph, other, None if depth is None else depth - 1, up) for other in following))


@st.composite
def terms(draw, graph):
    """A selector's term, and the set it stands for."""
    table = draw(st.sampled_from(sorted(graph.nodes)))
    core, chosen = draw(
        st.sampled_from(
            [
                (str(table), {table}),
                (f"{table.schema}.*", {t for t in graph.nodes if t.schema == table.schema}),
                *[(f"tag:{tag}", {t for t in graph.nodes if tag in graph.nodes[t].tags}) for tag in graph.nodes[table].tags],
            ]
        )
    )
    up = draw(st.sampled_from([None, "", "0", "1", "2"]))
    down = draw(st.sampled_from([None, "", "0", "1", "2"]))
    whole = set(chosen)
    for text, is_up in ((up, True), (down, False)):
        if text is not None:
            for one in chosen:
                whole |= _reach(graph, one, int(text) if text else None, is_up)
    return f"{'' if up is None else up + '+'}{core}{'' if down is None else '+' + down}", whole


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_selectors_agree_with_walking_every_path(data):
    graph = data.draw(graphs())
    union, selectors = set(), []
    for _ in range(data.draw(st.integers(1, 3))):
        drawn = data.draw(st.lists(terms(graph), min_size=1, max_size=2))
        selectors.append(",".join(text for text, _ in drawn))
        union |= set.intersection(*(tables for _, tables in drawn))
    excluded, minus = data.draw(terms(graph))
    assert set(select(graph, selectors)) == union
    assert set(select(graph, selectors, [excluded])) == union - minus


@settings(deadline=None, max_examples=100)
@given(graphs())
def test_the_order_has_inputs_first_and_depends_on_no_other_order(graph):
    order = graph.order()
    assert set(order) == set(graph.nodes)
    assert all(order.index(table) < order.index(node.table) for node in graph.nodes.values() for table in node.inputs)
    assert Graph(sorted(graph.nodes.values(), key=lambda node: node.table)).order() == order
    assert graph.cycles() == []


def test_cycles_are_found_one_a_group_and_never_below_them():
    graph = Graph(
        [
            _node("a.x", ["a.y", "a.below"]),
            _node("a.y", ["a.z"]),
            _node("a.z", ["a.x", "b.p"]),
            _node("a.below"),
            _node("a.after", ["a.x"]),
            _node("b.p", ["b.q"]),
            _node("b.q", ["b.p"]),
        ]
    )
    assert [" ".join(map(str, path)) for path in graph.cycles()] == ["a.x a.y a.z a.x", "b.p b.q b.p"]
    assert names(graph.order()) == {"a.below"}
