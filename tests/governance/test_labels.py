"""Labels along lineage: pure."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.governance.labels import LabelRules, conflicting_masks, dump_origins, label_columns, read_origins, rules_of, united
from headwater.spec.lineage import Lineage
from headwater.spec.models import Model
from headwater.spec.names import ColumnName, TableName
from headwater.spec.policies import Policies

A, B, OUT = TableName("s", "a"), TableName("s", "b"), TableName("m", "out")


def at(table: TableName, column: str) -> ColumnName:
    return ColumnName(table, column)


def lineage(value, influence=()):
    edges = {column: frozenset(sources) for column, sources in value.items()}
    return Lineage(frozenset({A, B}), edges, frozenset(influence))


INPUTS = {A.key: {"email": ("pii.email",), "born": ("pii.birthdate", "secret")}, B.key: {"note": ("secret",)}}


def labels(found):
    return {column: {label: [str(source) for source in sources] for label, sources in given.items()} for column, given in found.items()}


def test_a_column_has_the_labels_of_what_it_is_computed_from():
    known = lineage({"x": [at(A, "email"), at(A, "id")], "y": [at(A, "Born"), at(B, "note")], "z": []})
    assert labels(label_columns(OUT, ["x", "y", "z"], LabelRules(), known, INPUTS)) == {
        "x": {"pii.email": ["s.a.email"]},
        "y": {"pii.birthdate": ["s.a.Born"], "secret": ["s.a.Born", "s.b.note"]},
    }


def test_tables_and_columns_are_found_in_any_case():
    known = lineage({"X": [at(TableName("S", "A"), "EMAIL")]})
    assert labels(label_columns(OUT, ["x"], LabelRules(), known, INPUTS)) == {"x": {"pii.email": ["S.A.EMAIL"]}}


def test_a_whole_table_counts_with_all_of_its_columns():
    known = Lineage.conservative(frozenset({A, B}), "not known", ("x",))
    assert labels(label_columns(OUT, ["x"], LabelRules(), known, INPUTS)) == {
        "x": {"pii.birthdate": ["s.a.born"], "pii.email": ["s.a.email"], "secret": ["s.a.born", "s.b.note"]}
    }


def test_influence_counts_only_where_it_is_asked_for():
    known = lineage({"x": [], "y": [at(A, "email")]}, [at(B, "note")])
    assert labels(label_columns(OUT, ["x", "y"], LabelRules(), known, INPUTS)) == {"y": {"pii.email": ["s.a.email"]}}
    found = label_columns(OUT, ["x", "y"], LabelRules(has_influence=True), known, INPUTS)
    assert labels(found) == {"x": {"secret": ["s.b.note"]}, "y": {"pii.email": ["s.a.email"], "secret": ["s.b.note"]}}


def test_own_labels_are_added_and_have_the_column_itself_as_origin():
    rules = LabelRules(own={"x": ("key", "pii.email")})
    assert labels(label_columns(OUT, ["X"], rules, lineage({"x": [at(A, "email")]}), INPUTS)) == {
        "X": {"key": ["m.out.X"], "pii.email": ["m.out.X", "s.a.email"]}
    }
    assert labels(label_columns(OUT, ["X", "y"], rules, None, {})) == {"X": {"key": ["m.out.X"], "pii.email": ["m.out.X"]}}


def test_a_declassifier_ends_labels_and_those_under_them_and_leaves_own_ones():
    known = lineage({"x": [at(A, "email"), at(A, "born")]})
    assert labels(label_columns(OUT, ["x"], LabelRules(ended={"x": ("pii",)}), known, INPUTS)) == {"x": {"secret": ["s.a.born"]}}
    assert label_columns(OUT, ["x"], LabelRules(ended={"x": ("pii", "secret")}), known, INPUTS) == {}
    rules = LabelRules(own={"x": ("pii.email",)}, ended={"x": ("pii", "secret")})
    assert labels(label_columns(OUT, ["x"], rules, known, INPUTS)) == {"x": {"pii.email": ["m.out.x"]}}
    known = lineage({"x": [at(A, "email")]}, [at(B, "note")])
    assert label_columns(OUT, ["x"], LabelRules(ended={"x": ("pii", "secret")}, has_influence=True), known, INPUTS) == {}


def test_a_column_lineage_does_not_know_keeps_what_it_had():
    before = {"Old": {"pii": (at(A, "email"),)}, "x": {"gone": (at(B, "y"),)}}
    found = label_columns(OUT, ["x", "old"], LabelRules(), lineage({"x": []}), INPUTS, before=before)
    assert labels(found) == {"old": {"pii": ["s.a.email"]}}


def test_labels_of_rows_that_stay_are_added():
    kept = {"X": {"pii": (at(B, "y"),)}}
    assert labels(label_columns(OUT, ["x"], LabelRules(), lineage({"x": [at(A, "email")]}), INPUTS, kept=kept)) == {
        "x": {"pii": ["s.b.y"], "pii.email": ["s.a.email"]}
    }
    assert labels(label_columns(OUT, ["x"], LabelRules(ended={"x": ("pii",)}), lineage({"x": []}), INPUTS, kept=kept)) == {}


def test_rules_are_taken_from_the_definition_and_the_policies():
    model = Model.model_validate({"name": OUT, "path": "m/out.sql", "columns": {"Mail": {"labels": "pii.email"}, "id": "The key"}})
    policies = Policies.model_validate(
        {
            "declassify": [
                {"column": "M.Out.MAIL", "labels": "pii", "by": "hash", "reason": "r"},
                {"column": "m.out.mail", "labels": ["secret"], "by": "review", "reason": "r"},
                {"column": "m.other.mail", "labels": ["secret"], "by": "review", "reason": "r"},
            ],
            "influence": True,
        }
    )
    assert rules_of(OUT, model, policies) == LabelRules({"mail": ("pii.email",)}, {"mail": ("pii", "secret")}, True)


def conflicts(masks, *given):
    policies = Policies.model_validate({"masks": masks})
    origins = {f"c{index}": {label: (at(A, "x"),) for label in labels} for index, labels in enumerate(given)}
    return [(str(one.column), one.applied, one.other) for one in conflicting_masks({OUT: origins}, policies)]


def test_masks_conflict_when_they_are_equally_specific_differ_and_meet():
    masks = {"pii": "redact", "pii.email": "partial", "secret": "hash", "pii.phone": "hash"}
    assert conflicts(masks, ["pii.email", "pii.phone"], ["pii.phone", "pii.email"]) == [("m.out.c0", "pii.phone", "pii.email")]
    assert conflicts(masks, ["pii.email", "secret"], ["pii.email"], ["pii.email", "pii"]) == []
    assert conflicts(masks, ["pii", "secret.x"]) == [("m.out.c0", "pii", "secret")]
    assert conflicts({**masks, "M.Out.C0": "null"}, ["pii", "secret"]) == []
    assert conflicts({"pii": "hash", "secret": "hash"}, ["pii", "secret"]) == []
    assert conflicts({}, ["pii", "secret"]) == []


_columns = st.sampled_from([at(table, column) for table in (A, B) for column in ("c", "d.e", 'f"g', "æ")])
_origins = st.dictionaries(
    st.sampled_from(["x", "y", "z"]),
    st.dictionaries(st.sampled_from(["pii", "pii.email"]), st.frozensets(_columns, min_size=1).map(lambda found: tuple(sorted(found))), min_size=1),
)


@settings(max_examples=60, deadline=None)
@given(origins=_origins)
def test_origins_come_back_from_json_as_they_went(origins):
    assert read_origins(dump_origins(origins)) == origins
    assert united(origins, origins) == origins
    assert united(origins, {}) == united({}, origins) == origins


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_labels_never_get_fewer_when_edges_or_input_labels_are_added(data):
    sources = st.frozensets(st.sampled_from([at(A, "email"), at(A, "born"), at(A, "*"), at(B, "note"), at(B, "id")]))
    some, more = data.draw(sources), data.draw(sources)
    rules = LabelRules(ended={"x": tuple(data.draw(st.lists(st.sampled_from(["pii", "pii.email", "secret"]), max_size=1)))})
    fewer = label_columns(OUT, ["x"], rules, lineage({"x": some}), INPUTS)
    all_of_them = label_columns(OUT, ["x"], rules, lineage({"x": some | more}), {**INPUTS, B.key: {**INPUTS[B.key], "id": ("key",)}})
    assert set(fewer.get("x", {})) <= set(all_of_them.get("x", {}))
