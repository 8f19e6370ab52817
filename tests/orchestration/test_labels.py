"""Labels in real runs: in force in the commit that makes a table, changed without a row being rebuilt, travelling downstream in the same run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from folders import Folder, reason, small_project, statuses

PEOPLE = (
    "type: files\nstreams:\n  people:\n    path: data/people*.csv\n    columns: {id: bigint, email: {type: varchar, labels: LABELS}, land: varchar}\n"
)


@pytest.fixture
def shop(tmp_path) -> Folder:
    folder = small_project(tmp_path / "project")
    folder.csv("people1.csv", [(1, "ada@x.no", "NO"), (2, "bob@y.se", "SE")], "id,email,land")
    folder.write("sources/crm.yaml", PEOPLE.replace("LABELS", "[pii.email]"))
    folder.model("staging.people", "SELECT id, lower(email) AS mail, land FROM crm.people")
    folder.model("staging.open", "SELECT id, mail AS contact FROM staging.people", "kind: view")
    folder.model("marts.lands", "SELECT land, max(contact) AS one, count(*) AS n FROM staging.open JOIN staging.people USING (id) GROUP BY land")
    return folder


def labels(folder: Folder) -> dict[str, list[str]]:
    """Labelled columns of the newest definitions."""
    with folder.session() as session:
        tables = session.lake.state().tables.values()
        return {f"{state.table}.{column.name}": list(column.labels) for state in tables for column in state.columns if column.labels}


def origins(folder: Folder, table: str) -> dict[str, Any]:
    with folder.session() as session:
        body = next(state.definition.body for name, state in session.lake.state().tables.items() if str(name) == table)
        return {column: {label: [".".join(at) for at in found] for label, found in given.items()} for column, given in body.get("labels", {}).items()}


def versions(folder: Folder) -> dict[str, int]:
    with folder.session() as session:
        return {str(table): state.changed_snapshot for table, state in session.lake.state().tables.items()}


FULL = {
    "crm.people.email": ["pii.email"],
    "staging.people.mail": ["pii.email"],
    "staging.open.contact": ["pii.email"],
    "marts.lands.one": ["pii.email"],
}


def test_labels_follow_values_through_tables_and_views_in_the_commit_that_makes_them(shop):
    shop.run()
    assert labels(shop) == FULL
    first = shop.head("SELECT min(snapshot_id) FROM lake.headwater.columns WHERE table_name = 'lands' AND len(labels) > 0")
    assert first == shop.head("SELECT min(snapshot_id) FROM lake.headwater.definitions WHERE table_name = 'lands'")
    assert origins(shop, "marts.lands") == {"one": {"pii.email": ["staging.open.contact"]}}
    assert origins(shop, "staging.open") == {"contact": {"pii.email": ["staging.people.mail"]}}
    assert origins(shop, "crm.people") == {"email": {"pii.email": ["crm.people.email"]}}


def test_what_did_not_change_is_left_alone(shop):
    shop.run()
    with shop.session() as session:
        before = session.lake.state().snapshot_id
    assert set(statuses(shop.run()).values()) == {"skipped"}
    with shop.session() as session:
        assert session.lake.state().snapshot_id == before


def test_a_label_given_later_travels_downstream_in_that_run_and_no_row_is_rebuilt(shop):
    shop.write("sources/crm.yaml", PEOPLE.replace("LABELS", "[]"))
    shop.run()
    assert labels(shop) == {}
    before = versions(shop)
    shop.write("sources/crm.yaml", PEOPLE.replace("LABELS", "[pii.email]"))
    summary = shop.run()
    assert labels(shop) == FULL
    assert versions(shop) == before
    assert all(task.rows_written == 0 for task in summary.tasks)
    assert reason(summary, "marts.lands") == "the labels of its columns changed"
    assert set(statuses(shop.run()).values()) == {"skipped"}
    shop.write("sources/crm.yaml", PEOPLE.replace("LABELS", "[]"))
    shop.run()
    assert labels(shop) == {}
    assert versions(shop) == before


def test_a_column_that_leaves_the_file_of_its_source_loses_its_labels(shop):
    shop.run()
    shop.write("sources/crm.yaml", "type: files\nstreams:\n  people: {path: data/people*.csv, columns: {id: bigint, land: varchar}}\n")
    shop.run()
    assert labels(shop) == {}


def test_labels_of_a_models_own_are_added(shop):
    shop.model(
        "staging.people", "SELECT id, lower(email) AS mail, land FROM crm.people", "columns: {mail: {labels: contact}, land: {labels: [place]}}"
    )
    shop.run()
    assert labels(shop)["staging.people.mail"] == ["contact", "pii.email"]
    assert labels(shop)["marts.lands.land"] == ["place"]
    assert labels(shop)["marts.lands.one"] == ["contact", "pii.email"]


def test_a_declassifier_ends_a_label_there_and_below_and_its_end_brings_it_back(shop):
    shop.run()
    before = versions(shop)
    shop.write("policies/p.yaml", "declassify: [{column: staging.open.contact, labels: pii, by: review, reason: public addresses}]\n")
    shop.run()
    assert labels(shop) == {name: FULL[name] for name in ("crm.people.email", "staging.people.mail")}
    shop.write("policies/p.yaml", "declassify: [{column: marts.lands.ONE, labels: [pii.email], by: review, reason: r}]\n")
    shop.run()
    assert labels(shop) == {name: FULL[name] for name in FULL if not name.startswith("marts")}
    shop.remove("policies/p.yaml")
    shop.run()
    assert labels(shop) == FULL
    assert versions(shop) == before


def test_a_declassifier_does_not_take_what_the_column_is_given_itself(shop):
    shop.model("staging.people", "SELECT id, lower(email) AS mail, land FROM crm.people", "columns: {mail: {labels: pii.email}}")
    shop.write("policies/p.yaml", "declassify: [{column: staging.people.mail, labels: pii, by: review, reason: r}]\n")
    shop.run()
    assert labels(shop)["staging.people.mail"] == ["pii.email"]
    assert origins(shop, "staging.people") == {"mail": {"pii.email": ["staging.people.mail"]}}


def test_with_influence_columns_that_decided_the_rows_pass_theirs_on(shop):
    shop.model("marts.norse", "SELECT count(*) AS n FROM crm.people WHERE email LIKE '%.no'")
    shop.run()
    assert "marts.norse.n" not in labels(shop)
    shop.write("policies/p.yaml", "influence: true\n")
    shop.run()
    assert labels(shop)["marts.norse.n"] == ["pii.email"]


def test_where_lineage_is_not_known_all_columns_of_the_inputs_count(shop):
    shop.write(
        "models/marts/py.py",
        """
        from headwater import model, table

        @model(description="D")
        def py(people=table("staging.people", as_="arrow")):
            return people.select(["id", "land"])
        """,
    )
    shop.run("+marts.py")
    found = labels(shop)
    assert found["marts.py.id"] == found["marts.py.land"] == ["pii.email"]


def test_only_what_is_selected_is_labelled_anew_and_reads_the_labels_that_are_published(shop):
    shop.write("sources/crm.yaml", PEOPLE.replace("LABELS", "[]"))
    shop.run()
    shop.write("sources/crm.yaml", PEOPLE.replace("LABELS", "[pii.email]"))
    shop.run("staging.people")
    assert labels(shop) == {}
    shop.run("crm.people")
    shop.run("marts.lands")
    assert list(labels(shop)) == ["crm.people.email"]
    shop.run()
    assert labels(shop) == FULL


def test_labels_of_rows_that_are_held_are_not_in_force_for_readers(shop):
    shop.write("sources/crm.yaml", PEOPLE.replace("LABELS", "[]"))
    shop.run()
    shop.write("sources/crm.yaml", PEOPLE.replace("LABELS", "[pii.email]") + "    checks: [rows: {min: 99}]\n")
    shop.run()
    with shop.session() as session:
        state = next(state for table, state in session.lake.state().tables.items() if str(table) == "crm.people")
        assert state.is_held
        assert state.published_columns is not None
        assert [column.labels for column in state.published_columns if column.labels] == []
    assert list(labels(shop)) == ["crm.people.email"]


def test_rows_that_stay_keep_the_labels_they_came_by(shop):
    kind = "kind: {snapshot: {key: id, check: [mail]}}"
    shop.model("marts.history", "SELECT id, mail FROM staging.people", kind)
    shop.run()
    assert labels(shop)["marts.history.mail"] == ["pii.email"]
    shop.model("marts.history", "SELECT id, land AS mail FROM staging.people", kind)
    shop.run()
    assert labels(shop)["marts.history.mail"] == ["pii.email"]
    assert set(statuses(shop.run()).values()) == {"skipped"}
    shop.write("policies/p.yaml", "declassify: [{column: marts.history.mail, labels: pii, by: review, reason: history was wiped}]\n")
    shop.run()
    assert "marts.history.mail" not in labels(shop)


def test_rows_that_are_all_made_anew_have_the_labels_of_what_makes_them(shop):
    shop.run()
    shop.model("staging.people", "SELECT id, 'nobody' AS mail, land FROM crm.people")
    shop.run()
    assert list(labels(shop)) == ["crm.people.email"]


def test_a_column_only_older_rows_have_keeps_its_labels(shop):
    shop.run()
    shop.model("staging.people", "SELECT id, land FROM crm.people")
    shop.model("staging.open", "SELECT id, land AS contact FROM staging.people", "kind: view")
    shop.run()
    assert labels(shop)["staging.people.mail"] == ["pii.email"]
    assert "staging.open.contact" not in labels(shop)
    assert set(statuses(shop.run()).values()) == {"skipped"}
    shop.run("staging.people", allow_drop=True, is_full_refresh=True)
    assert "staging.people.mail" not in labels(shop)


def test_discarding_takes_labels_back_and_the_next_run_brings_them_again(shop):
    from headwater.orchestration import verbs
    from headwater.spec.names import TableName

    shop.write("sources/crm.yaml", PEOPLE.replace("LABELS", "[]"))
    shop.run()
    shop.write("sources/crm.yaml", PEOPLE.replace("LABELS", "[pii.email]") + "    checks: [rows: {min: 99}]\n")
    shop.run()
    with shop.session() as session:
        verbs.discard(session, [TableName("crm", "people")])
    assert labels(shop) == {}
    shop.write("sources/crm.yaml", PEOPLE.replace("LABELS", "[pii.email]"))
    shop.run()
    assert labels(shop) == FULL


def test_a_view_keeps_its_declared_types_when_only_its_labels_change(shop):
    shop.model("staging.open", "SELECT id, mail AS contact FROM staging.people", "kind: view", "columns: {id: {type: varchar}}")
    shop.run()
    shop.model("staging.open", "SELECT id, mail AS contact FROM staging.people", "kind: view", "columns: {id: {type: varchar, labels: [key]}}")
    shop.run()
    assert shop.rows("SELECT typeof(id) FROM staging.open") == [("VARCHAR",), ("VARCHAR",)]
    assert labels(shop)["staging.open.id"] == ["key"]
    assert set(statuses(shop.run()).values()) == {"skipped"}


def test_nothing_of_rows_is_in_what_is_kept_of_labels(shop):
    shop.run()
    with shop.session() as session:
        for state in session.lake.state().tables.values():
            assert "ada@" not in json.dumps(dict(state.definition.body), default=str)
