"""Every secret of a project is a mark; all is run, all fails, and then every byte that was said or written is searched for the marks."""

from __future__ import annotations

import base64
import gzip
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pyrage
import pytest

import headwater
from headwater.orchestration import open_session
from headwater.secrets import Keyring
from headwater.spec.project import KeysConfig
from services import require_postgres

#: What must be found nowhere, by what it is.
MARKS = {
    "a password in the environment": "canary-env-8f1c2d",
    "a secret of the file of secrets": "canary-file-secret-77aa31",
    "a file that is referred to": "canary-in-a-file-55e0b9",
    "a token in a URL": "canary-url-token-c0ffee",
    "a secret key of a bucket": "canary-bucket-key-9d8e7f",
    "a password that a person chose": "canary-person-password-4b4b",
    "a wrong password somebody tried": "canary-wrong-password-6c6c",
    "an option of a function": "canary-option-1e2e3e",
    "a secret inside a query": "canary-query-2f3f4f",
    "a default's password": "canary-default-3a5a7a",
    "a secret of the age file": "canary-age-secret-8b8b8b",
}
MASTER = "5ec4e7" + "ab" * 29

FILES = {
    "headwater.yaml": """\
name: shop
threads: 1
lake: {encrypted: true}
security: {keys: {provider: env}, secrets: {providers: [file, age]}}
""",
    ".env": f"SHOP_PASSWORD={MARKS['a password in the environment']}\nURL_TOKEN={MARKS['a token in a URL']}\n",
    "../secret/password.txt": MARKS["a file that is referred to"] + "\n",
    "sources/far.yaml": """\
type: postgres
connection: {host: 127.0.0.1, port: 1, user: ann, password: "${env:SHOP_PASSWORD}", database: x}
streams: {orders: {table: orders}}
""",
    "sources/far_url.yaml": """\
type: postgres
connection: postgresql://ann:${secret:db}@127.0.0.1:1/x
streams: {orders: {table: orders}}
""",
    "sources/aged.yaml": """\
type: postgres
connection: {host: 127.0.0.1, port: 1, user: ann, password: "${secret:aged}", database: x}
streams: {orders: {table: orders}}
""",
    "sources/default.yaml": f"""\
type: mysql
connection: "mysql://ann:${{env:NOTHING:-{MARKS["a default's password"]}}}@127.0.0.1:1/x"
streams: {{orders: {{table: orders}}}}
""",
    "sources/my.yaml": """\
type: mysql
connection: {host: 127.0.0.1, port: 1, user: ann, password: "${file:../secret/password.txt}", database: x}
streams: {orders: {table: orders}}
""",
    "sources/web.yaml": """\
type: files
streams: {orders: {path: "http://127.0.0.1:1/orders.csv?token=${env:URL_TOKEN}"}}
""",
    "sources/bucket.yaml": """\
type: files
connection: {key_id: someone, secret: "${secret:bucket}", endpoint: "http://127.0.0.1:1", region: x}
streams: {orders: {path: "s3://bucket/orders.csv"}}
""",
    "sources/code.yaml": """\
type: python
options: {key: "${secret:option}"}
streams:
  good: {function: "code.py:good"}
  bad: {function: "code.py:bad"}
""",
    "code.py": """\
def good(options):
    yield {"id": 1, "email": "ann@example.org"}

def bad(options):
    raise RuntimeError("the key " + options["key"] + " was refused")
""",
    "sources/near.yaml": """\
type: postgres
connection: "${env:NEAR_URL}"
streams:
  one: {query: "SELECT 1 AS id, length('${secret:query}') AS n"}
  none: {query: "SELECT no_such_column, '${secret:query}' AS n"}
""",
    "models/marts/people.sql": "SELECT id, email FROM code.good\n",
    "models/marts/broken.sql": "SELECT id // 0 AS x, email::INTEGER AS y FROM code.good\n",
    "policies/all.yaml": "roles: {r: {grants: [{select: '*'}]}}\ngroups: {g: {roles: [r], members: [ada, bot]}}\n",
}


def forms(mark: str) -> list[bytes]:
    """What a mark may look like."""
    raw = mark.encode()
    encoded = [base64.b64encode(b"x" * shift + raw)[4 if shift else 0 : -4] for shift in range(3)]
    return [raw, raw.hex().encode(), raw.hex().upper().encode(), mark.encode("utf-16-le"), raw[::-1], *(one for one in encoded if len(one) > 12)]


@pytest.fixture(scope="module")
def everything(
    tmp_path_factory: pytest.TempPathFactory, hw: Callable[..., Any], installed: Callable[..., Any]
) -> tuple[Path, list[str], dict[str, str]]:
    """The project after all was done to it; all that was said; and further secrets that were made on the way.

    What speaks with the world is run as it is installed, where what libraries write past Python is heard too.
    """
    server = require_postgres()
    tmp_path = tmp_path_factory.mktemp("secrets")
    folder = tmp_path / "shop"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    identity = pyrage.x25519.Identity.generate()
    sealed = pyrage.encrypt(f"aged: {MARKS['a secret of the age file']}\n".encode(), [identity.to_public()])
    (folder / "secrets.age").write_bytes(sealed)
    environ = {
        "HEADWATER_AGE_IDENTITY": str(identity),
        "NEAR_URL": server,
        "HEADWATER_MASTER_KEY": MASTER,
        "HEADWATER_LOG": "debug",
        "PYTHONFAULTHANDLER": "1",
    }
    said: list[str] = []

    def heard(way: Callable[..., Any], *arguments: str, input: str | None = None, **more: str) -> Any:
        done = way(folder, *arguments, expect=None, may_trace=True, env={**environ, **more}, input=input)
        said.append(f"$ {arguments}\n{done.out}\n{done.err}")
        return done

    do, run = partial(heard, hw), partial(heard, installed)

    for name, what in (
        ("db", "a secret of the file of secrets"),
        ("bucket", "a secret key of a bucket"),
        ("option", "an option of a function"),
        ("query", "a secret inside a query"),
    ):
        assert do("secrets", "set", name, input=MARKS[what] + "\n").code == 0
    for source in ("far", "far_url", "aged", "default", "my", "web", "bucket", "code", "near"):
        run("source", "check", source, "--debug")
        do("source", "discover", source, "--debug")
    # those that can't be reached are tried again after pauses: two of them are enough
    assert run("run", "code.*", "near.*", "far_url.*", "web.*", "marts.*", "--debug").code == 1
    assert do("run", "marts.people", "--debug").code == 0
    assert "succeeded" in do("status").out + do("history").out
    do("reload", "code.good")

    made: dict[str, str] = {"the master key": MASTER, "the age identity": str(identity)}

    def shown(*arguments: str) -> str:
        """What a command prints on stdout, which is for its caller alone."""
        done = hw(folder, *arguments, env=environ)
        said.append(done.err)
        return str(done.out.strip())

    do("user", "add", "ada", "--password-stdin", input=MARKS["a password that a person chose"] + "\n")
    made["a generated password"] = shown("user", "add", "bot", "--service")
    made["a token"] = shown("user", "token", "bot")
    served(folder, {**environ}, made["a token"], said)

    token = {"HEADWATER_TOKEN": made["a token"]}
    do("detokenize", "tok_1_000000_AAAA", "--purpose", "x", "--debug", **token)
    do("user", "list", "--debug", HEADWATER_TOKEN="hw_" + MARKS["a wrong password somebody tried"])
    do("keys", "rotate", "--debug")
    do("keys", "rotate", "tokens", "masks", "--json")
    do("secrets", "list", "--json")
    do("secrets", "set", "bad name", "--debug", input=MARKS["a secret of the file of secrets"])
    for arguments in (
        ("lint",),
        ("ls", "--json"),
        ("compile", "marts.people"),
        ("show", "marts.broken", "--debug"),
        ("doctor", "--json"),
        ("status", "--json"),
        ("history", "latest", "--json"),
        ("logs", "latest", "--json"),
        ("audit", "list", "--json", "--limit", "1000"),
        ("audit", "verify"),
        ("audit", "anchor"),
        ("user", "list", "--json"),
        ("user", "tokens", "--json"),
        ("keys", "list", "--json"),
        ("source", "list", "--json"),
        ("quarantine", "list", "--rows"),
        ("maintain", "--keep", "1h"),
        ("backup", str(tmp_path / "copy")),
        ("restore", str(tmp_path / "copy"), "--debug"),
        ("query", "SELECT * FROM headwater.definitions", "--json"),
        ("query", "SELECT * FROM headwater.loads", "--json"),
        ("query", "SELECT nonsense FROM code.good", "--debug"),
    ):
        do(*arguments)
    do("doctor", "--debug", HEADWATER_MASTER_KEY="ff" * 32)
    do("source", "check", "aged", "--debug", HEADWATER_AGE_IDENTITY="AGE-SECRET-KEY-1" + MARKS["a wrong password somebody tried"])
    do("source", "check", "aged", "--debug", HEADWATER_AGE_IDENTITY=str(pyrage.x25519.Identity.generate()))
    (folder / "secrets.age").write_bytes(pyrage.encrypt(f"aged: [{MARKS['a secret of the age file']}\n".encode(), [identity.to_public()]))
    do("source", "check", "aged", "--debug")
    do("run", "code.*", "--full-refresh", "--debug", HEADWATER_MASTER_KEY="no key " + MARKS["a wrong password somebody tried"])

    keyring = Keyring(KeysConfig(provider="env"), project_dir=folder, environ=environ)
    for entry in keyring.entries():
        key = next(one.key for one in keyring.versions(entry.purpose) if one.version == entry.version)
        made[f"the key {entry.purpose} {entry.version}"] = key.hex()
    return folder, said, made


def served(folder: Path, environ: dict[str, str], token: str, said: list[str]) -> None:
    """A server that is come in to rightly and wrongly, by every door that takes passwords."""
    log = folder.parent / "serve.log"
    ports = ("--http-port", "0", "--pg-port", "0", "--flight-port", "0")
    with log.open("w") as out:
        server = subprocess.Popen(
            [Path(sys.executable).with_name("headwater"), "serve", *ports, "--debug"],
            cwd=folder,
            env={**os.environ, "NO_COLOR": "1", **environ},
            stdout=out,
            stderr=out,
        )
    try:
        found: dict[str, str] = {}
        deadline = time.monotonic() + 60
        while len(found) < 2 and time.monotonic() < deadline and server.poll() is None:
            time.sleep(0.2)
            text = log.read_text()
            found = dict(re.findall(r"^(Postgres|HTTP)\s+ready at \S+:(\d+)", text, re.MULTILINE))
        assert len(found) == 2, log.read_text()
        for password in (token, MARKS["a wrong password somebody tried"], MARKS["a password that a person chose"]):
            for user in ("bot", "ada", password):
                try:
                    with psycopg.connect(host="127.0.0.1", port=int(found["Postgres"]), user=user, password=password, dbname="shop") as connection:
                        connection.execute("SELECT * FROM marts.people").fetchall()
                        connection.execute("SELECT nonsense FROM marts.people")
                except psycopg.Error as error:
                    said.append(str(error).replace(password, "") if user == password else str(error))
            request = urllib.request.Request(
                f"http://127.0.0.1:{found['HTTP']}/v1/query",
                data=b'{"sql": "SELECT nonsense FROM marts.people"}',
                headers={"Authorization": f"Bearer {password}", "Content-Type": "application/json"},
            )
            try:
                urllib.request.urlopen(request, timeout=120).close()
            except urllib.error.HTTPError as error:
                said.append(error.read().decode())
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(120)
        finally:
            server.kill()
        said.append(log.read_text())


def test_no_secret_is_said_or_written_anywhere(everything: tuple[Path, list[str], dict[str, str]]) -> None:
    folder, said, made = everything
    secrets = {**MARKS, **made}
    told = "\n".join(said)
    allowed = {folder / ".env", folder.parent / "secret" / "password.txt", folder / "sources" / "default.yaml"}
    written = {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file() and path not in allowed}
    assert {path.name for path in written} >= {"lake.sqlite", "state.sqlite", "secrets.json", "keyring.json", "serve.log", "backup.json"}

    found = []
    for what, secret in secrets.items():
        for form in [secret.encode()] if len(secret) == 64 else forms(secret):
            found += [f"{what} in what was said: ...{told[place - 200 : place]}" for place in [told.encode().find(form)] if place >= 0]
            found += [f"{what} in {path.relative_to(folder.parent)}" for path, content in written.items() if form in content]
            if len(secret) == 64:
                raw = bytes.fromhex(secret)
                found += [f"{what} in {path}, as bytes" for path, content in written.items() if raw in content]
                found += [f"{what} in {path}, in base64" for path, content in written.items() if base64.b64encode(raw) in content]
    for path, content in written.items():
        if content[:2] == b"\x1f\x8b":
            found += [f"{what} in {path.name}, unpacked" for what, secret in secrets.items() if secret.encode() in gzip.decompress(content)]
    assert not found, "\n".join(found)


def test_no_secret_is_in_a_row_of_the_lake(everything: tuple[Path, list[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Parquet is packed and encrypted: its rows are asked for."""
    folder, _, made = everything
    monkeypatch.setenv("HEADWATER_MASTER_KEY", MASTER)
    with headwater.open(folder) as project, open_session(project._loaded) as session:
        listed = session.lake.read_as_system(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'lake' AND NOT starts_with(table_name, 'ducklake_')"
        ).fetchall()
        assert len(listed) > 5
        rows = [
            (name, row[0])
            for schema, name in listed
            for row in session.lake.read_as_system(f'SELECT t::VARCHAR FROM lake."{schema}"."{name}" t').fetchall()
        ]
    assert len(rows) > 10
    found = [f"{what} in {name}" for name, text in rows for what, secret in {**MARKS, **made}.items() if secret in text]
    assert not found, "\n".join(found)
