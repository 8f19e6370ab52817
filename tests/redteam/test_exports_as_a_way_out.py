"""Exports written by somebody who may change the project: what leaves is what the export's principal may send, whatever is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater import api
from headwater.errors import ExportRefused, HeadwaterError

POLICIES = """
roles:
  sender:
    grants:
      - export: m.people
        columns: [id, email, country]
        where: country = 'NO'
      - select: m.*
        unmask: [pii]
groups:
  senders: {roles: [sender], members: [bot]}
masks:
  pii.email: redact
"""
EXPORT = "exports:\n  {name}: {{table: {table}, as: {who}, key: [{key}], to: {{files: {{path: out/{name}, format: csv}}}}{more}}}\n"
FILES = {
    "headwater.yaml": "name: shop\n",
    "people.csv": "id,email,country,ssn\n1,ann@s3cr3t.no,NO,s3cr3t1\n2,bo@s3cr3t.se,SE,s3cr3t2\n3,cy@s3cr3t.no,NO,s3cr3t3\n",
    "sources/raw.yaml": "type: files\nstreams:\n  people:\n    path: people.csv\n    columns: {id: bigint, email: {labels: [pii.email]}}\n",
    "models/m/people.sql": "SELECT id, email, country, ssn FROM raw.people\n",
    "models/m/seen.sql": "-- headwater\n-- kind: view\nSELECT * FROM m.people\n",
    "policies/all.yaml": POLICIES,
    "exports/plain.yaml": EXPORT.format(name="plain", table="m.people", who="bot", key="id", more=""),
}
NAMED = ", columns: {id: id, %s: x}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with api.open(folder) as project:
        project.run()
        for user in ("bot", "other"):
            project.users.add(user, oidc=True, service=True)
        (done,) = project.exports.run("plain")
        assert (done.status, done.rows) == ("succeeded", 2)
    return folder


def everything_sent(folder: Path) -> str:
    return "".join(path.read_text() for path in (folder / "out").rglob("*") if path.is_file())


def test_what_left_is_what_the_principal_may_send(folder: Path) -> None:
    assert "***" in everything_sent(folder)
    assert "s3cr3t" not in everything_sent(folder), "what it may read in clear isn't what it may send"


@pytest.mark.parametrize(
    ("table", "who", "key", "more"),
    [
        ("m.people", "bot", "id", NAMED % "ssn"),
        ("m.people", "bot", "id", NAMED % "nothing"),
        ("m.people", "bot", "ssn", ""),
        ("m.people", "bot", "email", ""),
        ("m.people", "other", "id", ""),
        ("m.people", "nobody", "id", ""),
        ("m.seen", "bot", "id", ""),
        ("raw.people", "bot", "id", ""),
    ],
    ids=["hidden column", "no column", "hidden key", "masked key", "no right", "nobody", "a view over it", "what it is made of"],
)
def test_nothing_leaves_by_what_is_written_in_an_export(folder: Path, table: str, who: str, key: str, more: str) -> None:
    file = folder / "exports" / "bad.yaml"
    file.write_text(EXPORT.format(name="bad", table=table, who=who, key=key, more=more))
    try:
        with api.open(folder) as project:
            for is_dry in (True, False):
                (done,) = project.exports.run("bad", dry_run=is_dry)
                assert done.status == "failed"
                assert isinstance(done.error, HeadwaterError)
                assert "s3cr3t" not in f"{done.error}{project.exports.status('bad')}"
    finally:
        file.unlink()
    assert not [path for path in (folder / "out" / "bad").rglob("*") if path.is_file()]


def test_a_hidden_column_is_refused_as_one_that_is_not_there(folder: Path) -> None:
    said = []
    for column in ("ssn", "xyz"):
        (folder / "exports" / "bad.yaml").write_text(EXPORT.format(name="bad", table="m.people", who="bot", key="id", more=NAMED % column))
        with api.open(folder) as project:
            (done,) = project.exports.run("bad")
            assert isinstance(done.error, ExportRefused)
            said.append(str(done.error).replace(column, "X"))
    (folder / "exports" / "bad.yaml").unlink()
    assert said[0] == said[1]


def test_nobody_takes_over_what_another_export_still_acknowledges(folder: Path) -> None:
    file = folder / "exports" / "thief.yaml"
    file.write_text(EXPORT.format(name="thief", table="m.people", who="other", key="id", more=", renamed_from: plain"))
    try:
        with pytest.raises(HeadwaterError, match="plain"), api.open(folder) as project:
            project.exports.run("thief")
    finally:
        file.unlink()
    with api.open(folder) as project:
        assert [one.status for one in project.exports.run("plain")] == ["unchanged"]


def test_what_was_acknowledged_can_be_read_by_nobody(folder: Path) -> None:
    with api.open(folder) as project:
        for name in ("headwater_exports.plain", "exports.plain", "hw_exports.plain", "headwater.exported", "headwater.exports"):
            for user in ("bot", "other"):
                with pytest.raises(HeadwaterError):
                    project.query(f"SELECT * FROM {name}", as_user=user).fetchall()
