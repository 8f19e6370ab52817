"""`exports/*.yaml`: what is read of them, and what is said of mistakes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from headwater.errors import DefinitionErrors, UnknownSelection
from headwater.project import load_project

GOOD = """\
exports:
  crm:
    table: marts.customers
    as: crm_bot
    key: id
    to:
      postgres: {dsn: "${env:CRM_DSN}", table: public.customers}
    columns: {id: nr, mail: email}
    deletes: ignore
    batch: 500
    rate: 600/min
    patience: 1 minute
    max_dead: 2%
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "headwater.yaml").write_text("name: shop\nvars: {place: public.customers}\n")
    (tmp_path / "models/marts").mkdir(parents=True)
    (tmp_path / "models/marts/customers.sql").write_text("SELECT 1 AS id, 'a' AS mail\n")
    (tmp_path / "exports").mkdir()
    return tmp_path


def test_an_export_is_read(project: Path) -> None:
    (project / "exports/crm.yaml").write_text(GOOD)
    export = load_project(project).export("CRM")
    assert (export.name, str(export.table_name), export.as_, export.to, export.key) == ("crm", "marts.customers", "crm_bot", "postgres", ("id",))
    assert export.options == {"dsn": "${env:CRM_DSN}", "table": "public.customers"}
    assert export.columns == {"id": "nr", "mail": "email"}
    assert (export.deletes, export.batch_rows, export.rate, export.patience, export.max_dead) == ("ignore", 500, 10.0, timedelta(minutes=1), 0.02)
    assert export.path == "exports/crm.yaml"


def test_an_unknown_export_is_said_with_the_nearest(project: Path) -> None:
    (project / "exports/crm.yaml").write_text(GOOD)
    with pytest.raises(UnknownSelection) as caught:
        load_project(project).export("cmr")
    assert caught.value.hint == "did you mean crm?"


def test_vars_and_short_forms(project: Path) -> None:
    head = "exports:\n  a:\n    table: marts.customers\n    as: owner\n"
    text = head + "    to: {mysql: {dsn: x, table: '${var:place}', tls: off}}\n    columns: [id, mail]\n"
    (project / "exports/a.yml").write_text(text)
    export = load_project(project).export("a")
    assert export.options["table"] == "public.customers"
    assert export.columns == {"id": "id", "mail": "mail"}
    assert export.batch_rows == 1000


@pytest.mark.parametrize(
    ("change", "line", "says"),
    [
        (("    as: crm_bot\n", ""), 2, "the key 'as' is missing"),
        (("table: marts", "tabel: marts"), 3, "did you mean 'table'?"),
        (("marts.customers", "marts.custmers"), 3, "did you mean 'marts.customers'?"),
        (("postgres:", "postgress:"), 7, "did you mean 'postgres'?"),
        (('dsn: "${env:CRM_DSN}"', "dns: x"), 7, "did you mean 'dsn'?"),
        (("deletes: ignore", "deletes: igonre"), 9, "did you mean 'ignore'?"),
        (("rate: 600/min", "rate: fast"), 11, "no rate; expected one such as 10/s"),
        (("batch: 500", "batch: 0"), 10, "greater than or equal to 1"),
        (("max_dead: 2%", "max_dead: much"), 13, "no share of the rows"),
        (("mail: email", "mail: nr"), 2, "two columns go to 'nr'"),
        (("key: id", "key: [id, day]"), 2, "leaves out 'day', a part of the key"),
        (("  crm:", "  'c r m':"), 2, "can't be an export's name"),
        (("exports:", "exprots:"), 1, "did you mean 'exports'?"),
        (("      postgres", "      redis: {url: a, stream: b}\n      postgres"), 6, "goes to one destination"),
        (("    batch: 500", "    options: {}"), 10, "there is no key 'options' here"),
    ],
)
def test_a_mistake_is_told_at_its_place(project: Path, change: tuple[str, str], line: int, says: str) -> None:
    text = GOOD.replace(*change)
    assert text != GOOD
    (project / "exports/crm.yaml").write_text(text)
    with pytest.raises(DefinitionErrors) as caught:
        load_project(project)
    said = [str(problem) for problem in caught.value.problems]
    assert any(one.startswith(f"exports/crm.yaml:{line}") and says in one for one in said), said
    assert len(said) == 1, said


def test_an_export_that_no_role_allows_is_warned_of(project: Path) -> None:
    (project / "exports/crm.yaml").write_text(GOOD)
    (warning,) = [one for one in load_project(project).warnings if one.rule == "export-not-granted"]
    assert "goes as crm_bot, and no role may export marts.customers" in warning.message
    (project / "policies").mkdir()
    (project / "policies/a.yaml").write_text("roles: {exporter: {grants: [{export: marts.*}]}}\n")
    assert [one for one in load_project(project).warnings if one.rule == "export-not-granted"] == []


def test_one_name_in_two_files_is_a_mistake(project: Path) -> None:
    (project / "exports/a.yaml").write_text(GOOD)
    (project / "exports/b.yaml").write_text(GOOD.replace("crm:", "CRM:"))
    with pytest.raises(DefinitionErrors, match=r"defined in exports/a\.yaml too"):
        load_project(project)


@pytest.mark.parametrize(
    ("columns", "sent", "former"),
    [
        ("{id: nr, mail: {to: email, renamed_from: e_mail}}", {"id": "nr", "mail": "email"}, {"email": "e_mail"}),
        ("{id: , mail: {renamed_from: e_mail}}", {"id": "id", "mail": "mail"}, {"mail": "e_mail"}),
        ("{id: {to: nr}}", {"id": "nr"}, {}),
    ],
)
def test_a_column_may_have_had_another_name_there(project: Path, columns: str, sent: dict[str, str], former: dict[str, str]) -> None:
    (project / "exports/crm.yaml").write_text(GOOD.replace("{id: nr, mail: email}", columns))
    export = load_project(project).export("crm")
    assert (export.columns, export.former_columns) == (sent, former)


@pytest.mark.parametrize("column", ["{as: email}", "{to: [email]}", "{to: email, renamed_from: 7}"])
def test_a_column_that_says_something_else_is_a_mistake(project: Path, column: str) -> None:
    (project / "exports/crm.yaml").write_text(GOOD.replace("mail: email", f"mail: {column}"))
    with pytest.raises(DefinitionErrors, match="the column 'mail' is its name there"):
        load_project(project)


def test_an_export_is_renamed_from_one_that_is_gone_and_has_one_heir(project: Path) -> None:
    other = "exports:\n  {name}: {{table: marts.customers, as: owner, to: {{files: {{path: out}}}}, renamed_from: {former}}}\n"
    (project / "exports/a.yaml").write_text(other.format(name="a", former="old"))
    assert load_project(project).export("a").renamed_from == "old"
    (project / "exports/b.yaml").write_text(other.format(name="b", former="OLD"))
    with pytest.raises(DefinitionErrors, match="the exports b and a are both renamed from OLD"):
        load_project(project)
    (project / "exports/b.yaml").write_text(other.format(name="b", former="a"))
    with pytest.raises(DefinitionErrors, match="the export b is renamed from a, and a is still defined"):
        load_project(project)
