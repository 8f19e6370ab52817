"""Keys, secrets, tokens and sealed backups through the command."""

from __future__ import annotations

import json
import shutil
import stat
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

import headwater
from headwater.cli.app import app as _app  # noqa: F401 -- imported once, not within each command
from headwater.orchestration import open_session
from headwater.security.audit import AuditLog
from services import require_postgres

HwType = Callable[..., Any]
FILES = {
    "headwater.yaml": "name: shop\nthreads: 1\nlake: {encrypted: true}\n",
    "sources/shop.yaml": """\
type: files
streams:
  customers:
    path: ${secret:folder}/customers.csv
    primary_key: [id]
    columns: {email: {type: varchar, labels: pii.email}}
""",
    "models/marts/customers.sql": "SELECT id, email AS address FROM shop.customers\n",
    "policies/people.yaml": """\
roles:
  analyst: {grants: [{select: '*'}]}
  fraud: {grants: [{select: '*'}, {detokenize: {label: pii.email}, purpose: [fraud]}]}
groups:
  analysts: {roles: [analyst], members: [ada]}
  hunters: {roles: [fraud], members: [eve]}
masks: {pii.email: token}
""",
    "data/customers.csv": "id,email\n1,ann@example.org\n2,bo@example.org\n",
}


@pytest.fixture
def shop(tmp_path: Path, hw: HwType) -> Path:
    folder = tmp_path / "shop"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    hw(folder, "secrets", "set", "folder", input="data\n")
    hw(folder, "run")
    return folder


def token_of(hw: HwType, folder: Path, name: str) -> dict[str, str]:
    hw(folder, "user", "add", name, "--oidc")
    return {"HEADWATER_TOKEN": hw(folder, "user", "token", name, "--json").json["token"]}


def tokens_seen(folder: Path, environ: dict[str, str]) -> list[str]:
    """What a user sees instead of addresses, by way of the served lake."""
    from headwater.api.serving import LakeService

    with headwater.open(folder) as project, open_session(project._loaded) as session:
        service = LakeService(project._loaded, session)
        principal = service.login_token(environ["HEADWATER_TOKEN"], door="http", address=None)
        rows = []
        for table in ("shop.customers", "marts.customers"):
            answer = service.run(principal, f"SELECT * FROM {table} ORDER BY 1", [])
            rows += [row for batch in answer.batches() for row in batch.column(1).to_pylist()]
            answer.close()
    return rows


def test_tokens_are_turned_back_by_right_and_for_a_purpose_alone(shop: Path, hw: HwType, installed: HwType) -> None:
    ada, eve = token_of(hw, shop, "ada"), token_of(hw, shop, "eve")
    first, second, *again = tokens_seen(shop, ada)
    assert again == [first, second]  # the same in both tables
    assert hw(shop, "detokenize", first, "x", "--purpose", "fraud", env=eve).out == "ann@example.org\n\n"
    assert installed(shop, "detokenize", "-", "--purpose", "audit", input=f"{first}\n{second}\n").out == "ann@example.org\nbo@example.org\n"
    for environ, purpose in ((ada, "fraud"), (eve, "curiosity")):
        refused = hw(shop, "detokenize", first, "--purpose", purpose, env=environ, expect=2)
        assert "example.org" not in refused.err + refused.out
        assert "HW-Q004" in refused.err
    hw(shop, "detokenize", first, expect=2)
    uses = [row for row in hw(shop, "audit", "list", "--json", "--limit", "100").json if row["record"]["action"] == "detokenize"]
    said = [(one["record"]["principal"], one["record"]["purpose"], one["record"]["rows"], one["record"]["decision"]) for one in uses]
    assert said == [
        ("eve", "fraud", None, "allowed"),
        ("eve", "fraud", 1, "allowed"),
        ("owner", "audit", None, "allowed"),
        ("owner", "audit", 2, "allowed"),
        ("ada", "fraud", None, "refused"),
        ("eve", "curiosity", None, "refused"),
    ]
    assert first not in json.dumps(uses)

    hw(shop, "keys", "rotate", "tokens")
    assert tokens_seen(shop, ada)[0] != first
    both = hw(shop, "detokenize", first, tokens_seen(shop, ada)[0], "--purpose", "audit", "--json").json
    assert both == ["ann@example.org"] * 2


def test_keys_are_made_listed_and_rotated(tmp_path: Path, hw: HwType) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "headwater.yaml").write_text("name: shop\nthreads: 1\n")
    assert hw(folder, "keys", "list", "--json").json == []
    assert len(hw(folder, "keys", "init", "--print").out.strip()) == 64
    assert not (folder / ".headwater" / "keys").exists()
    hw(folder, "keys", "init")
    assert ("keys", "ok") in {(one["subject"], one["status"]) for one in hw(folder, "doctor", "--json").json}
    assert [one["purpose"] for one in hw(folder, "keys", "list", "--json").json] == ["audit", "backups", "masks", "secrets", "state", "tokens"]
    master = (folder / ".headwater" / "keys" / "master").read_text()
    hw(folder, "secrets", "set", "a", input="hush")
    done = hw(folder, "keys", "rotate", "--json").json
    assert [(one["purpose"], one["version"]) for one in done] == [("state", 2), ("secrets", 2), ("backups", 2), ("audit", 2), ("master", None)]
    assert (folder / ".headwater" / "keys" / "master").read_text() != master
    assert hw(folder, "keys", "rotate", "--master", "--json").json == [{"purpose": "master", "version": None, "sealed_anew": 10}]
    assert "masks: version 2" in hw(folder, "keys", "rotate", "masks").err
    hw(folder, "keys", "rotate", "nothing", expect=2)
    assert hw(folder, "secrets", "list", "--json").json == ["a"]
    said = [row["record"]["sql"] for row in hw(folder, "audit", "list", "--json").json]
    assert said == ["init", "set a", "rotate state=2 secrets=2 backups=2 audit=2 master", "rotate master", "rotate masks=2"]


def test_secrets_are_set_from_stdin_listed_by_name_and_forgotten(shop: Path, hw: HwType, installed: HwType) -> None:
    installed(shop, "secrets", "set", "db/password", input="hush-hush\n")
    assert "hush-hush" not in (shop / ".headwater" / "secrets.json").read_text()
    listed = hw(shop, "secrets", "list")
    assert "db/password" in listed.out
    assert "hush" not in listed.out + listed.err
    assert "HW-P005" in hw(shop, "secrets", "set", "empty", input="", expect=2).err
    hw(shop, "secrets", "rm", "db/password")
    hw(shop, "secrets", "rm", "db/password", expect=2)
    ada = token_of(hw, shop, "ada")
    assert "HW-U007" in hw(shop, "secrets", "set", "mine", input="x", env=ada, expect=1).err
    assert "HW-U007" in hw(shop, "keys", "rotate", env=ada, expect=1).err


def test_a_secret_that_nothing_looks_for_is_said_to_be_one(tmp_path: Path, hw: HwType) -> None:
    settings = tmp_path / "headwater.yaml"
    settings.write_text("name: shop\n")
    assert "${secret:a} stands for it" in hw(tmp_path, "secrets", "set", "a", input="hush").err
    settings.write_text("name: shop\nsecurity: {secrets: {providers: [keyring]}}\n")
    assert "${secret:a} isn't looked for here" in hw(tmp_path, "secrets", "set", "a", input="hush").err


def test_a_backup_of_an_encrypted_lake_is_sealed_and_comes_back_with_the_master_key(shop: Path, hw: HwType, tmp_path: Path) -> None:
    hw(shop, "user", "add", "ada")
    copy = tmp_path / "copy"
    hw(shop, "backup", str(copy))
    names = {path.name for path in copy.iterdir()}
    assert names == {"backup.json", "catalog.sqlite.sealed", "state.sqlite.sealed", "keyring.json", "data"}
    assert stat.S_IMODE(copy.stat().st_mode) == 0o700
    assert not any(b"SQLite format" in path.read_bytes() or b"ducklake" in path.read_bytes() for path in copy.iterdir() if path.is_file())

    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(shop, elsewhere, ignore=shutil.ignore_patterns(".headwater"))
    assert "HW-K001" in hw(elsewhere, "restore", str(copy), expect=1).err
    shutil.rmtree(elsewhere / ".headwater", ignore_errors=True)
    (elsewhere / ".headwater" / "keys").mkdir(parents=True)
    shutil.copy(shop / ".headwater" / "keys" / "master", elsewhere / ".headwater" / "keys" / "master")
    hw(elsewhere, "restore", str(copy))
    assert hw(elsewhere, "query", "SELECT address FROM marts.customers ORDER BY id", "--json").json[0] == {"address": "ann@example.org"}
    assert [one["name"] for one in hw(elsewhere, "user", "list", "--json").json] == ["ada"]

    sealed = copy / "catalog.sqlite.sealed"
    sealed.write_bytes(sealed.read_bytes()[:-20])
    assert "HW-K002" in hw(elsewhere, "restore", str(copy), "--force", expect=1).err
    assert hw(elsewhere, "query", "SELECT count(*) AS n FROM marts.customers", "--json").json == [{"n": 2}]


def test_a_backup_with_its_catalog_in_postgres_is_sealed_table_by_table(tmp_path: Path, hw: HwType) -> None:
    server, schema = require_postgres(), f"sealed_{uuid.uuid4().hex[:8]}"
    folder = tmp_path / "shop"
    catalog = f"lake: {{encrypted: true, catalog: '{server}?schema={schema}'}}"
    for name, text in {**FILES, "headwater.yaml": f"name: shop\nthreads: 1\n{catalog}\n"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.replace("${secret:folder}", "data"))
    try:
        hw(folder, "run")
        hw(folder, "backup", str(tmp_path / "copy"))
        copied = list((tmp_path / "copy" / "catalog").iterdir())
        assert copied
        assert all(path.name.endswith(".sealed") and b"ducklake" not in path.read_bytes() for path in copied)
        hw(folder, "restore", str(tmp_path / "copy"), "--force")
        assert hw(folder, "query", "SELECT count(*) AS n FROM marts.customers", "--json").json == [{"n": 2}]
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')


def test_what_is_made_is_its_owners_alone(shop: Path) -> None:
    folder = shop / ".headwater"
    for name in ("lake.sqlite", "state.sqlite", "secrets.json", "keys/keyring.json", "keys/master"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE((folder / "data").stat().st_mode) == 0o700


def test_an_audit_written_anew_in_both_stores_is_found(shop: Path, hw: HwType) -> None:
    hw(shop, "user", "add", "ada")
    hw(shop, "audit", "anchor")
    hw(shop, "audit", "verify")
    with headwater.open(shop) as project, open_session(project._loaded) as session:
        head = AuditLog(session.state, project.environment).head()
        assert head is not None
        session.lake.anchor_audit(replace(head, hash="0" * 64, signature="ed25519:00000000:AAAA"))
    assert "isn't signed with a key of this project" in hw(shop, "audit", "verify", expect=1).err


def test_another_machine_without_the_keys_says_what_to_bring(shop: Path, hw: HwType) -> None:
    (shop / ".headwater" / "keys" / "master").unlink()
    failed = hw(shop, "run", "--full-refresh", expect=1)
    assert "HW-K001" in failed.err
    said = hw(shop, "doctor", "--json", expect=1).json
    assert [one["status"] for one in said if one["subject"] == "keys"] == ["failed"]
    assert "master key" in failed.err
    (shop / ".headwater" / "keys" / "keyring.json").write_text("{}")
    assert "HW-K002" in hw(shop, "keys", "list", expect=1).err
