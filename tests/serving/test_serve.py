"""`headwater serve` as people start it: users, policies, all doors, one lake."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import adbc_driver_flightsql.dbapi
import asyncpg
import duckdb
import psycopg
import pyarrow as pa
import pytest
from adbc_driver_flightsql import DatabaseOptions

from commands import run_here
from headwater.secrets import Keyring
from headwater.security.keys import mask_keys
from headwater.security.tokenizing import token_sql
from headwater.spec.names import quote_literal
from headwater.spec.project import KeysConfig

PROGRAM = Path(sys.executable).with_name("headwater")

POLICIES = """
roles:
  analyst:
    grants:
      - select: m.orders
        where: country = 'NO'
      - select: m.totals
  support:
    grants:
      - select: m.orders
        unmask: [pii]
  hunter:
    grants:
      - select: m.orders
      - detokenize: {label: pii.email}
        purpose: [fraud]
groups:
  hunters: {roles: [hunter], members: [fay]}
  analysts: {roles: [analyst], members: [ada]}
  helpers: {roles: [support], members: [sue]}
masks:
  pii.email: partial
"""


def headwater(folder: Path, *arguments: str) -> str:
    """A command beside the server, which is a process of its own; what it says on stdout."""
    return run_here(folder, *arguments).out


@dataclass(frozen=True, slots=True)
class Shop:
    folder: Path
    ports: dict[str, int]
    tokens: dict[str, str]
    log: Path

    def postgres(self, user: str, **options: str) -> psycopg.Connection:
        return psycopg.connect(host="127.0.0.1", port=self.ports["postgres"], user=user, password=self.tokens[user], dbname="shop", **options)

    def flight(self, user: str) -> adbc_driver_flightsql.dbapi.Connection:
        options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {self.tokens[user]}"}
        return adbc_driver_flightsql.dbapi.connect(f"grpc://127.0.0.1:{self.ports['flight']}", db_kwargs=options, autocommit=True)

    def http(self, user: str, sql: str) -> object:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['http']}/v1/query",
            data=json.dumps({"sql": sql}).encode(),
            headers={"Authorization": f"Bearer {self.tokens[user]}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["rows"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("served")
    for name in ("sources", "models/m", "policies"):
        (folder / name).mkdir(parents=True)
    (folder / "headwater.yaml").write_text("name: shop\n")
    (folder / "orders.csv").write_text("id,email,country,amount\n1,ada@x.no,NO,10\n2,bob@y.se,SE,20\n3,cy@z.no,NO,30\n")
    (folder / "sources" / "raw.yaml").write_text(
        "type: files\nstreams:\n  orders:\n    path: orders.csv\n    columns: {id: bigint, email: {labels: [pii.email]}, amount: bigint}\n"
    )
    (folder / "models" / "m" / "orders.sql").write_text("-- headwater\n-- hot: true\nSELECT id, email, country, amount FROM raw.orders\n")
    (folder / "models" / "m" / "totals.sql").write_text(
        "-- headwater\n-- kind: view\nSELECT country, sum(amount) AS total FROM m.orders GROUP BY ALL\n"
    )
    (folder / "policies" / "all.yaml").write_text(POLICIES)
    headwater(folder, "run")
    tokens = {}
    for user in ("ada", "sue", "eve", "fay"):
        headwater(folder, "user", "add", user)
        tokens[user] = headwater(folder, "user", "token", user).strip()
    log = folder / "serve.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [PROGRAM, "serve", "--pg-port", "0", "--flight-port", "0", "--http-port", "0"],
            cwd=folder,
            stdout=out,
            stderr=out,
            env={**os.environ, "NO_COLOR": "1"},
        )
        try:
            yield Shop(folder, _ports(log, process), tokens, log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                assert process.wait(120) == 0, log.read_text()
            finally:
                process.kill()


def _ports(log: Path, process: subprocess.Popen[bytes]) -> dict[str, int]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        text = log.read_text()
        found = {name: re.search(rf"^{word}\s+ready at \S+:(\d+)", text, re.MULTILINE) for name, word in _WORDS.items()}
        if all(found.values()):
            return {name: int(match[1]) for name, match in found.items() if match is not None}
        time.sleep(0.1)
    raise AssertionError(log.read_text())


_WORDS = {"postgres": "Postgres", "flight": "Flight SQL", "http": "HTTP"}


def test_every_door_shows_a_reader_the_same(shop: Shop) -> None:
    sql = "SELECT id, email FROM m.orders ORDER BY id"
    with shop.postgres("ada") as connection:
        by_postgres = connection.execute(sql).fetchall()
    assert by_postgres == [(1, "a***@***.no"), (3, "c***@***.no")]
    assert [tuple(row) for row in shop.http("ada", sql)] == by_postgres  # type: ignore[attr-defined]
    with contextlib.closing(shop.flight("ada")) as flight, flight.cursor() as cursor:
        cursor.execute(sql)
        assert cursor.fetchall() == by_postgres


def test_a_query_is_explained_at_the_doors_as_its_reader_may_know(shop: Shop) -> None:
    sql = "EXPLAIN SELECT id, email FROM m.orders"
    with shop.postgres("ada") as connection:
        connection.autocommit = True
        cursor = connection.execute(sql)
        by_postgres = cursor.fetchall()
        assert cursor.description is not None
        assert cursor.description[0].name == "QUERY PLAN"
        assert cursor.statusmessage == "EXPLAIN"
        for options in ("ANALYZE", "(FORMAT JSON)", "(ANALYZE, VERBOSE)", "VERBOSE"):
            with pytest.raises(psycopg.errors.FeatureNotSupported, match="no options"):
                connection.execute(f"EXPLAIN {options} SELECT id FROM m.orders")
        with pytest.raises(psycopg.Error):
            connection.execute("EXPLAIN SELECT nothing FROM m.orders")
    assert by_postgres[0][0].startswith("Read m.orders: rows that a policy gives; email masked (")
    assert [tuple(row) for row in shop.http("ada", sql)] == by_postgres  # type: ignore[attr-defined]


def test_another_role_sees_other_rows_and_values(shop: Shop) -> None:
    with shop.postgres("sue") as connection:
        assert connection.execute("SELECT email FROM m.orders ORDER BY id").fetchall() == [("ada@x.no",), ("bob@y.se",), ("cy@z.no",)]
        with pytest.raises(psycopg.Error, match="there is no table"):
            connection.execute("SELECT * FROM m.totals")


def test_who_has_no_role_sees_no_table_and_who_is_nobody_does_not_come_in(shop: Shop) -> None:
    with shop.postgres("eve") as connection:
        assert connection.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'm'").fetchall() == []
        with pytest.raises(psycopg.Error, match="there is no table"):
            connection.execute("SELECT * FROM m.orders")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(host="127.0.0.1", port=shop.ports["postgres"], user="ada", password="wrong", dbname="shop")


def test_a_view_is_read_by_its_own_grant(shop: Shop) -> None:
    with shop.postgres("ada") as connection:
        found = connection.execute("SELECT country, total FROM m.totals ORDER BY 1").fetchall()
    assert [(country, int(total)) for country, total in found] == [("NO", 40), ("SE", 20)]


def test_parameters_reach_the_lake(shop: Shop) -> None:
    with shop.postgres("sue") as connection:
        assert connection.execute("SELECT id FROM m.orders WHERE country = %s AND amount > %s", ("NO", 15)).fetchall() == [(3,)]


PRICE = "CAST(amount AS numeric(10, 2))"
#: Each with what it gives of the order of 10 for 1.5, and for null.
COMPUTED = {
    f"{PRICE} * $1": ("15", None),
    f"{PRICE} + $1": ("11.5", None),
    f"{PRICE} - $1": ("8.5", None),
    f"coalesce({PRICE} + $1, 0)": ("11.5", "0"),
    f"CASE WHEN id = 1 THEN {PRICE} + $1 END": ("11.5", None),
    "$1 * 1.5": ("2.25", None),
    "abs($1::numeric(10, 2))": ("1.5", None),
}


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


@pytest.mark.parametrize("expression", COMPUTED)
def test_what_is_computed_of_a_parameter_is_numeric_for_a_value_of_any_scale_and_for_null(shop: Shop, expression: str) -> None:
    half, null = map(_number, COMPUTED[expression])
    sql = f"SELECT {expression} FROM m.orders WHERE id = 1"

    with shop.postgres("sue", autocommit=True) as connection:
        for value, expected in ((Decimal("1.5"), half), (Decimal("1.50000000"), half), (None, null), (Decimal("1.5"), half)):
            cursor = connection.execute(sql.replace("$1", "%(value)s"), {"value": value})
            assert cursor.fetchall() == [(expected,)]
            assert cursor.description is not None
            (column,) = cursor.description
            assert column.type_code == psycopg.adapters.types["numeric"].oid
            if value is not None and "10, 2" not in expression.partition("$1")[2]:
                assert column.scale is None

    async def prepared() -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=shop.ports["postgres"], user="sue", password=shop.tokens["sue"], database="shop", ssl=False
        )
        try:
            statement = await connection.prepare(sql)
            assert [one.type.name for one in statement.get_attributes()] == ["numeric"]
            for value, expected in ((Decimal("1.5"), half), (None, null), (Decimal("1.50000000"), half)):
                assert await statement.fetchval(value) == expected
        finally:
            await connection.close()

    asyncio.run(prepared())

    with contextlib.closing(shop.flight("sue")) as flight, flight.cursor() as cursor:
        for value, expected in ((Decimal("1.5"), half), (Decimal("1.50000000"), half), (None, null)):
            cursor.execute(sql, pa.record_batch([pa.array([value], pa.decimal128(12, 8) if value is None else None)], ["value"]))
            table = cursor.fetch_arrow_table()
            assert pa.types.is_decimal(table.schema.types[0])
            assert table.column(0).to_pylist() == [expected]


def test_tokens_are_turned_back_for_a_purpose_that_the_session_states(shop: Shop) -> None:
    keys = mask_keys(Keyring(KeysConfig(), project_dir=shop.folder, environ={})).tokens
    token = duckdb.sql(f"SELECT {token_sql(quote_literal('ada@x.no'), keys, 'pii.email')}").fetchall()[0][0]
    sql = "SELECT detokenize(%s), id FROM m.orders WHERE detokenize(%s) = 'ada@x.no' ORDER BY id LIMIT 1"
    with shop.postgres("fay", options="-c headwater.purpose=fraud") as connection:
        assert connection.execute(sql, (token, token)).fetchall() == [("ada@x.no", 1)]
    with shop.postgres("fay", autocommit=True) as connection:
        with pytest.raises(psycopg.Error, match="no purpose"):
            connection.execute(sql, (token, token))
        connection.execute("SET headwater.purpose = 'fraud'")
        assert connection.execute(sql, (token, token)).fetchall() == [("ada@x.no", 1)]
    with shop.postgres("ada", options="-c headwater.purpose=fraud") as connection, pytest.raises(psycopg.Error, match="can't be turned back"):
        connection.execute(sql, (token, token))
    headwater(shop.folder, "keys", "rotate", "tokens")  # taken up while it runs
    with shop.postgres("fay", options="-c headwater.purpose=fraud") as connection:
        assert connection.execute(sql, (token, token)).fetchall() == [("ada@x.no", 1)]
    rows = json.loads(headwater(shop.folder, "audit", "list", "--user", "fay", "--action", "detokenize", "--format", "json"))
    counts = [row["record"]["rows"] for row in rows if row["record"]["decision"] == "allowed" and row["record"]["rows"] is not None]
    assert len(counts) >= 3
    assert all(count >= 1 for count in counts)
    assert not any(token in json.dumps(row) or "ada@x.no" in row["record"]["error"] for row in rows if row["record"]["error"])


def test_each_query_is_in_the_audit(shop: Shop) -> None:
    shop.http("ada", "SELECT count(*) AS audited_here FROM m.orders")
    with pytest.raises(urllib.error.HTTPError):
        shop.http("ada", "SELECT * FROM raw.orders")
    rows = json.loads(headwater(shop.folder, "audit", "list", "--user", "ada", "--format", "json"))
    told = [(row["record"]["decision"], row["record"]["sql"]) for row in rows]
    assert any(decision == "allowed" and "audited_here" in sql for decision, sql in told)
    assert any(decision == "refused" and "raw.orders" in sql for decision, sql in told)
    headwater(shop.folder, "audit", "verify")


def test_each_question_about_the_catalog_has_one_row_in_the_audit_apart_from_queries(shop: Shop) -> None:
    def http(path: str) -> None:
        headers = {"Authorization": f"Bearer {shop.tokens['sue']}"}
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{shop.ports['http']}{path}", headers=headers), timeout=120).close()

    asked = [
        "SELECT relname FROM pg_catalog.pg_class WHERE relname = 'orders'",
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'm'",
    ]
    with shop.postgres("sue") as connection:
        for sql in (asked[0], *[asked[1]] * 20):
            assert connection.execute(sql.encode()).fetchall() == [("orders",)]
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT relname::integer FROM pg_catalog.pg_class")
    with contextlib.closing(shop.flight("sue")) as flight:
        flight.adbc_get_objects(depth="tables").read_all()
    http("/v1/tables")
    http("/v1/tables/m.orders")
    with pytest.raises(urllib.error.HTTPError):
        http("/v1/tables/raw.orders")
    rows, deadline = [], time.monotonic() + 30
    while not any("raw.orders" in row["record"]["sql"] for row in rows) and time.monotonic() < deadline:
        rows = json.loads(headwater(shop.folder, "audit", "list", "--user", "sue", "--limit", "1000", "--format", "json"))
    told = [row["record"] for row in rows if row["record"]["action"] == "catalog"]
    assert [one["rows"] for one in told if one["sql"] == asked[1]] == [1] * 20
    assert [one["decision"] for one in told if one["sql"].startswith("SELECT relname")] == ["allowed", "failed"]
    assert any(one["door"] == "flight" and one["sql"].startswith("CommandGetTables") for one in told)
    assert [(one["sql"], one["rows"]) for one in told if one["door"] == "http"] == [("GET /v1/tables", 1), ("GET /v1/tables/raw.orders", None)]
    assert not any("pg_class" in row["record"]["sql"] for row in rows if row["record"]["action"] == "select")
    headwater(shop.folder, "audit", "verify")


def test_a_hot_table_is_in_memory_and_follows_what_is_published(shop: Shop) -> None:
    def ready() -> object:
        with urllib.request.urlopen(f"http://127.0.0.1:{shop.ports['http']}/ready", timeout=120) as answer:
            return json.load(answer)

    def wait_until_in_memory() -> None:
        deadline = time.monotonic() + 120
        while ready() != {"status": "ready", "hot_tables": {"in_memory": 1, "not_in_memory": 0}}:
            assert time.monotonic() < deadline, shop.log.read_text()
            time.sleep(0.1)

    wait_until_in_memory()
    file = shop.folder / "orders.csv"
    before = file.read_text()
    try:
        with shop.postgres("sue", autocommit=True) as connection:
            for count in (4, 5):
                file.write_text(file.read_text() + f"{count},di@w.fi,FI,40\n")
                headwater(shop.folder, "run")
                assert connection.execute("SELECT count(*) FROM m.orders").fetchone() == (count,)
                time.sleep(1.5)
                wait_until_in_memory()
                assert connection.execute("SELECT email FROM m.orders WHERE id = %s", (count,)).fetchall() == [("di@w.fi",)]
    finally:
        file.write_text(before)
        headwater(shop.folder, "run")


def test_a_disabled_user_is_out_at_the_next_statement(shop: Shop) -> None:
    headwater(shop.folder, "user", "add", "tim")
    shop.tokens["tim"] = headwater(shop.folder, "user", "token", "tim").strip()
    with shop.postgres("tim", autocommit=True) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        headwater(shop.folder, "user", "disable", "tim")
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT 1")


def test_policies_that_change_on_disk_are_taken_up(shop: Shop) -> None:
    file = shop.folder / "policies" / "all.yaml"
    before = file.read_text()
    try:
        file.write_text(before.replace("members: [sue]", "members: [sue, eve]"))
        deadline = time.monotonic() + 120
        while "in force from now on" not in shop.log.read_text():
            assert time.monotonic() < deadline, shop.log.read_text()
            time.sleep(0.2)
        with shop.postgres("eve") as connection:
            assert connection.execute("SELECT count(*) FROM m.orders").fetchone() == (3,)
    finally:
        file.write_text(before)


def test_without_any_user_nothing_is_opened(tmp_path: Path) -> None:
    headwater(tmp_path, "init", "lonely")
    headwater(tmp_path / "lonely", "run")
    done = subprocess.run([PROGRAM, "serve", "--pg-port", "0"], cwd=tmp_path / "lonely", capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "headwater user add" in done.stderr


def test_a_list_of_texts_is_a_parameter_of_any(shop: Shop) -> None:
    sql = "SELECT id FROM m.orders WHERE country = ANY(%s) AND id = ANY(%s) ORDER BY id"
    with shop.postgres("sue") as connection:
        assert connection.execute(sql, (["NO", "DK"], [1, 2, 3])).fetchall() == [(1,), (3,)]


def test_a_certificate_that_was_made_is_told_with_where_its_authority_lies(tmp_path: Path) -> None:
    headwater(tmp_path, "init", "far")
    folder = tmp_path / "far"
    headwater(folder, "run")
    headwater(folder, "user", "add", "ada")
    log = folder / "serve.log"
    ports = ["--pg-port", "0", "--flight-port", "0", "--http-port", "0"]
    with log.open("w") as out:
        process = subprocess.Popen([PROGRAM, "serve", "--host", "0.0.0.0", *ports], cwd=folder, stdout=out, stderr=out)
    try:
        port = _ports(log, process)["http"]
        deadline = time.monotonic() + 60
        while (found := re.search(r"to trust (\S+authority\.pem)", log.read_text())) is None:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        with urllib.request.urlopen(f"https://localhost:{port}/health", context=ssl.create_default_context(cafile=found[1])) as answer:
            assert answer.status == 200
        assert "fingerprint" in log.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(120) == 0
        finally:
            process.kill()
