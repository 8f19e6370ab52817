"""The HTTP door, by httpx, sockets and curl."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet
import pytest

from headwater.errors import AuditUnwritable, LakeUnavailable, LimitReached
from headwater.serving.http.openapi import document
from headwater.serving.http.server import HttpServer
from headwater.serving.jobs import Monitor
from headwater.serving.limits import DoorLimits
from headwater.serving.tls import made_certificate
from serving.doors_service import Column, PlainService, Relationship, Table

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
LONG = "SELECT count(*) FROM range(100000000000) a, range(1000) b WHERE a.range + b.range = -1"


def head_of(service: PlainService, length: int) -> str:
    fields = f"Authorization: Bearer {service.bobs_token}\r\nContent-Type: application/json\r\nContent-Length: {length}"
    return f"POST /v1/query HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n"


def wait_until(condition: Any, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it didn't come about"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def shared() -> Iterator[PlainService]:
    service = PlainService()
    service.execute("CREATE SCHEMA marts")
    service.execute(
        "CREATE TABLE marts.orders AS SELECT i AS id, CASE WHEN i % 3 = 0 THEN 'NO' WHEN i % 3 = 1 THEN 'SE' END AS country,"
        " i * 1.5::DECIMAL(10,2) AS amount, i % 2 = 0 AS paid, 'a note, \"' || i || '\"' AS \"limit\" FROM range(25) t(i)"
    )
    service.execute("CREATE TABLE marts.bag AS SELECT * FROM (VALUES (1, [1]), (1, [1]), (1, [1]), (2, NULL), (NULL, [2]), (1, [0])) t(a, l)")
    columns = (
        Column("id", "BIGINT", False),
        Column("country", "VARCHAR"),
        Column("amount", "DECIMAL(29,2)"),
        Column("paid", "BOOLEAN"),
        Column("limit", "VARCHAR"),
    )
    service.tables_seen = (
        Table("marts.orders", "table", columns, ("id",), (Relationship("country", "marts.bag", "a"),), "what was bought"),
        Table("marts.bag", "view", (Column("a", "INTEGER"), Column("l", "INTEGER[]"))),
    )
    yield service
    service.close()


@pytest.fixture
def service(shared: PlainService) -> PlainService:
    shared.failure = None
    shared.published = "1"
    shared.logins.clear()
    shared.principals.clear()
    return shared


@pytest.fixture
def server(service: PlainService) -> Iterator[HttpServer]:
    monitor = Monitor()
    server = HttpServer(
        service, monitor, "127.0.0.1", 0, limits=DoorLimits(body=10_000, seconds=60, idle=2, wait=0.2, queries=3, page=10, default_page=10)
    )
    yield server
    monitor.close()
    server.stop()
    assert service.opened == service.closed


@pytest.fixture
def client(server: HttpServer, service: PlainService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {service.bobs_token}"}, timeout=120) as client:
        yield client


def ask(client: httpx.Client, sql: str, *parameters: Any, accept: str = "application/json") -> httpx.Response:
    return client.post("/v1/query", json={"sql": sql, "parameters": list(parameters)}, headers={"Accept": accept})


def test_json_keeps_every_value_exact(client: httpx.Client) -> None:
    sql = (
        "SELECT 18446744073709551615::UBIGINT, 12345678901234567890123456789012345678::HUGEINT, 1.10::DECIMAL(10,2),"
        " 'nan'::DOUBLE, '-inf'::FLOAT, 0.1::FLOAT,"
        " DATE '2024-02-29', TIMESTAMP '2024-01-01 10:00:00.5', TIMESTAMPTZ '2024-01-01 10:00:00+01', INTERVAL '1 month 1 second', NULL::INTERVAL,"
        " '\\xFF'::BLOB, {'a': ['inf'::DOUBLE], 'b c': 1.0::DECIMAL(3,1)}, MAP {'k': TIME '01:02:03'}, '{\"x\":[1]}'::JSON, 'é\"\n'"
    )
    rows = ask(client, sql).json()["rows"]
    assert rows == [
        [
            18446744073709551615,
            "12345678901234567890123456789012345678",
            "1.10",
            "NaN",
            "-Infinity",
            0.1,
            "2024-02-29",
            "2024-01-01T10:00:00.5",
            "2024-01-01T09:00:00Z",
            "P1M0DT1.000000S",
            None,
            "/w==",
            {"a": ["Infinity"], "b c": "1.0"},
            {"k": "01:02:03"},
            {"x": [1]},
            'é"\n',
        ]
    ]
    assert ask(client, "SELECT 9007199254740993 AS x", accept="application/json;integers=text").json()["rows"] == [["9007199254740993"]]


def test_a_column_named_like_the_alias_is_not_taken_for_it(client: httpx.Client) -> None:
    found = ask(client, "SELECT {'deep': 1} AS x, 2 AS c0, 3 AS batch, 4 AS x").json()
    assert [column["name"] for column in found["columns"]] == ["x", "c0", "batch", "x"]
    assert found["rows"] == [[{"deep": 1}, 2, 3, 4]]
    assert ask(client, "SELECT 1 AS x, 2 AS x", accept="application/x-ndjson").json() == {"x": 1, "x_1": 2}


@pytest.mark.parametrize("rows", [0, 1, 65_536, 200_000])
def test_each_format_gives_all_rows(client: httpx.Client, rows: int) -> None:
    sql = f"SELECT range AS a, 'x' || range AS b FROM range({rows})"
    assert len(ask(client, sql).json()["rows"]) == rows
    lines = ask(client, sql, accept="application/x-ndjson").text.splitlines()
    assert [json.loads(line)["a"] for line in lines] == list(range(rows))
    csv = ask(client, sql, accept="text/csv").text.splitlines()
    assert csv[0] == '"a","b"'
    assert csv[1:] == [f'{i},"x{i}"' for i in range(rows)]
    arrow = pa.ipc.open_stream(ask(client, sql, accept=ARROW).content).read_all()
    parquet = pa.parquet.read_table(pa.BufferReader(ask(client, sql, accept=PARQUET).content))
    assert arrow.num_rows == parquet.num_rows == rows
    assert arrow.column("a").to_pylist() == parquet.column("a").to_pylist() == list(range(rows))


def test_csv_tells_null_from_nothing_and_parquet_takes_what_it_has_no_type_for(client: httpx.Client) -> None:
    assert ask(client, "SELECT NULL::VARCHAR AS a, '' AS b, [1,2] AS c, INTERVAL '1 day' AS d", accept="text/csv").text == (
        '"a","b","c","d"\n,"","[1,2]","P0M1DT0.000000S"\n'
    )
    content = ask(client, "SELECT INTERVAL '1 day' AS d, [INTERVAL '1 day'] AS l, 1 AS d", accept=PARQUET).content
    assert pa.parquet.read_table(pa.BufferReader(content)).to_pylist() == [{"d": "P0M1DT0.000000S", "l": '["P0M1DT0.000000S"]', "d_1": 1}]


def test_parameters_are_bound(client: httpx.Client) -> None:
    assert ask(client, "SELECT $1 || $2, $3 + 1", "a'; DROP TABLE x", "b", 41).json()["rows"] == [["a'; DROP TABLE xb", 42]]
    assert ask(client, "SELECT ?::DECIMAL(38,20)", 1).json()["rows"] == [["1.00000000000000000000"]]
    exact = client.post(
        "/v1/query", content=b'{"sql":"SELECT $1::VARCHAR","parameters":[0.12345678901234567890]}', headers={"Content-Type": "application/json"}
    )
    assert exact.json()["rows"] == [[".12345678901234567890"]]  # as DuckDB writes it
    assert ask(client, "SELECT -0.25::DECIMAL(2,2), [0.5::DECIMAL(1,1)]").json()["rows"] == [["-0.25", ["0.5"]]]


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("text/*", "text/csv"),
        ("application/jsonl", "application/x-ndjson"),
        (f"text/csv;q=0.5, {ARROW}", ARROW),
        ("application/json;q=0, */*;q=0.1", "application/x-ndjson"),
        ("text/html, */*;q=0.1", "application/json"),
    ],
)
def test_accept_is_honoured(client: httpx.Client, accept: str | None, given: str) -> None:
    client.headers.pop("accept")
    answer = client.post("/v1/query", json={"sql": "SELECT 1 AS a"}, headers={} if accept is None else {"Accept": accept})
    assert answer.headers["content-type"].partition(";")[0] == given


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert found["status"] == answer.status_code
    assert found["type"] == f"urn:headwater:error:{found['code']}"
    return answer.status_code, found["code"]


def test_errors_are_problems_with_our_codes(client: httpx.Client, service: PlainService) -> None:
    assert problem(ask(client, "SELEC 1")) == (400, "HW-Q001")
    assert problem(ask(client, "SELECT nope")) == (400, "HW-Q002")
    assert problem(ask(client, "SELECT 1; SELECT 2")) == (403, "HW-Q004")
    assert problem(ask(client, "DROP TABLE marts.orders")) == (403, "HW-Q004")
    assert problem(ask(client, "SELECT 1", accept="image/png")) == (406, "HW-P005")
    assert problem(ask(client, "SELECT '101'::BIT AS b")) == (403, "HW-Q004")
    secret = ask(client, "SELECT CAST('secret' || range AS INTEGER) FROM range(3)")
    assert problem(secret) == (400, "HW-Q003")
    assert "secret" not in secret.text
    service.failure = LakeUnavailable("the lake can't be reached")
    assert problem(ask(client, "SELECT 1")) == (503, "HW-L005")
    assert problem(client.get("/nope")) == (404, "HW-P005")
    assert problem(client.get("/v1/query")) == (405, "HW-P005")
    service.failure = LimitReached("too many")
    assert ask(client, "SELECT 1").headers["retry-after"] == "1"
    service.failure = AuditUnwritable("no audit")
    assert problem(ask(client, "SELECT 1")) == (503, "HW-U008")
    service.failure = RuntimeError("inner secrets")
    fault = ask(client, "SELECT 1")
    assert problem(fault) == (500, "HW-BUG")
    assert "inner" not in fault.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"sql": 1}',
        b'{"sql": "SELECT 1", "sql": "SELECT 2"}',
        b'{"sql": "SELECT 1", "more": 1}',
        b'{"sql": "SELECT $1", "parameters": {"a": 1}}',
        b'{"sql": "SELECT $1", "parameters": [{"a": 1}]}',
        b'{"sql": "SELECT $1", "parameters": [NaN]}',
        b'{"sql": "SELECT $1", "parameters": [1e999]}',
        b'{"sql": "SELECT $1", "parameters": [1' + b"0" * 50 + b"]}",
        b'{"sql": "SELECT \\ud800"}',
        b'{"sql": "SELECT \\u0000"}',
        b"[" * 9000,
        b'{"sql": "SELECT $1", "parameters": [' + b"1," * 2000 + b"1]}",
    ],
)
def test_a_body_that_is_no_query_is_refused(client: httpx.Client, body: bytes) -> None:
    assert problem(client.post("/v1/query", content=body, headers={"Content-Type": "application/json"})) == (400, "HW-P005")


def test_requests_have_limits(client: httpx.Client, server: HttpServer) -> None:
    assert problem(ask(client, "SELECT '" + "x" * 20_000 + "'")) == (413, "HW-P005")
    chunks = (b"x" * 1000 for _ in range(100))
    assert problem(client.post("/v1/query", content=chunks, headers={"Content-Type": "application/json"}))[0] == 413
    assert problem(client.post("/v1/query", content=b"{}", headers={"Content-Type": "text/plain"}))[0] == 415
    assert problem(client.post("/v1/query", content=b"{}", headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}))[0] == 415
    assert client.get("/health", headers={"X-Long": "x" * 100_000}).status_code in (400, 431)


def test_a_request_that_never_ends_is_cut(server: HttpServer, service: PlainService) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.settimeout(20)
        slow.sendall(b"POST /v1/query HTTP/1.1\r\nHost: x\r\n")
        assert slow.recv(1000) == b""
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.settimeout(20)
        head = head_of(service, 100)
        slow.sendall(head.encode() + b"{")
        assert b" 408 " in slow.recv(1000)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Basic !!!", "Basic YWRh", "Digest x", "Bearer " + "x" * 9000, "bearer \xe9"])
def test_nobody_known_gets_nothing(server: HttpServer, header: str | None) -> None:
    headers = [] if header is None else [(b"authorization", header.encode("latin-1"))]
    answer = httpx.get(f"{server.url}/v1/tables", headers=headers)
    assert problem(answer) == (401, "HW-U001")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_passwords_are_taken_from_this_machine_and_remembered(server: HttpServer, service: PlainService) -> None:
    for _ in range(3):
        assert httpx.get(f"{server.url}/v1/tables", auth=("ada", "correct horse")).status_code == 200
    assert service.logins == [("ada", "http", "127.0.0.1")]
    assert httpx.get(f"{server.url}/v1/tables", auth=("ada", "correct hors")).status_code == 401


def test_the_purpose_reaches_the_principal(client: httpx.Client, service: PlainService) -> None:
    client.post("/v1/query", json={"sql": "SELECT 1"}, headers={"X-Headwater-Purpose": "churn"})
    assert service.principals[-1].purpose == "churn"
    assert service.principals[-1].door == "http"
    assert problem(client.get("/v1/tables", headers={"X-Headwater-Purpose": "x" * 500})) == (400, "HW-P005")
    for name, values in (("X-Headwater-Purpose", ("churn", "audit")), ("Authorization", (client.headers["Authorization"], "Bearer x"))):
        twice = httpx.Headers([*((one, value) for one, value in client.headers.items() if one != name.lower()), *((name, value) for value in values)])
        request = httpx.Request("GET", client.base_url.join("/v1/tables"), headers=twice)
        assert problem(client.send(request)) == (400, "HW-P005")


def ids(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [row[0] for row in answer.json()["rows"]]


def rows_of(client: httpx.Client, query: str) -> httpx.Response:
    return client.get(f"/v1/tables/marts.orders?{query}")


def test_tables_are_listed_and_filtered(client: httpx.Client) -> None:
    orders, bag = client.get("/v1/tables").json()["tables"]
    assert orders["primary_key"] == ["id"]
    assert orders["columns"][0] == {"name": "id", "type": "BIGINT", "nullable": False, "description": None}
    assert orders["relationships"] == [{"column": "country", "to": "marts.bag", "field": "a"}]
    assert bag["kind"] == "view"
    assert ids(rows_of(client, "country=eq.NO&id=gt.3&id=lte.12")) == [6, 9, 12]
    assert ids(rows_of(client, "id=in.(1,2,99)")) == [1, 2]
    assert ids(rows_of(client, "limit=3&country=is.null")) == [2, 5, 8]
    assert ids(rows_of(client, "limit=3&paid=is.false")) == [1, 3, 5]
    assert ids(rows_of(client, "limit=2&country=ne.NO&order=amount.desc")) == [22, 19]
    assert ids(rows_of(client, 'filter.limit=in.("a note, \\"7\\"",x)')) == [7]
    assert rows_of(client, "columns=amount,id&id=eq.1").json() == {
        "columns": [{"name": "amount", "type": "DECIMAL(29,2)"}, {"name": "id", "type": "BIGINT"}],
        "rows": [["1.50", 1]],
    }


@pytest.mark.parametrize(
    "query",
    [
        "nope=eq.1",
        "id=1",
        "id=like.1",
        "id=eq.x",
        "id=is.true",
        "id=in.1",
        'id=in.("1)',
        "limit=0",
        "limit=11",
        "limit=ten",
        "limit=1&limit=1",
        "order=id.up",
        "order=id,id",
        "columns=id,id",
        "columns=",
        "cursor=x",
        "cursor=%ff",
        "id=eq.%00",
        "&".join(["id=eq.1"] * 101),
        "order=id;DROP TABLE marts.orders",
        'columns="id"',
    ],
)
def test_words_that_mean_nothing_are_refused(client: httpx.Client, query: str) -> None:
    assert problem(rows_of(client, query))[0] == 400


def test_values_never_become_sql(client: httpx.Client) -> None:
    for value in ("' OR 1=1 --", "NO' OR '1'='1", "$1", "?", '"'):
        assert ids(client.get("/v1/tables/marts.orders", params={"country": f"eq.{value}"})) == []
    assert problem(client.get("/v1/tables/marts.orders;DROP"))[0] == 404
    assert problem(client.get("/v1/tables/marts.secret"))[0] == 404


@pytest.mark.parametrize("order", ["", "country.desc.nullsfirst", "country", "country.asc.nullsfirst,amount.desc", "paid,country.desc"])
def test_pages_give_every_row_once(client: httpx.Client, order: str) -> None:
    url: str | None = f"/v1/tables/marts.orders?limit=4{f'&order={order}' if order else ''}"
    found: list[int] = []
    while url is not None:
        answer = client.get(url)
        found += ids(answer)
        url = answer.links.get("next", {}).get("url")
    assert sorted(found) == list(range(25))


def test_pages_keep_rows_that_are_equal(client: httpx.Client) -> None:
    for limit in (1, 2, 4):
        url: str | None = f"/v1/tables/marts.bag?limit={limit}"
        found: list[Any] = []
        while url is not None:
            answer = client.get(url)
            found += answer.json()["rows"]
            url = answer.links.get("next", {}).get("url")
        assert found == [[1, [0]], [1, [1]], [1, [1]], [1, [1]], [2, None], [None, [2]]]


def test_a_cursor_is_for_its_own_request(client: httpx.Client) -> None:
    cursor = httpx.URL(client.get("/v1/tables/marts.orders?limit=4").links["next"]["url"]).params["cursor"]
    assert problem(rows_of(client, f"limit=4&cursor={cursor}&country=eq.NO"))[0] == 400
    assert problem(rows_of(client, f"limit=4&cursor={cursor[:-4]}"))[0] == 400
    assert ids(rows_of(client, f"limit=2&cursor={cursor}")) == [4, 5]


def test_what_is_published_is_known_by_its_tag(client: httpx.Client, service: PlainService, server: HttpServer) -> None:
    first = rows_of(client, "limit=1")
    again = client.get("/v1/tables/marts.orders?limit=1", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert rows_of(client, "limit=2").headers["etag"] != first.headers["etag"]
    other = httpx.get(f"{server.url}/v1/tables/marts.orders?limit=1", auth=("ada", "correct horse"))
    assert other.headers["etag"] != first.headers["etag"]
    service.published = "2"
    assert client.get("/v1/tables/marts.orders?limit=1", headers={"If-None-Match": first.headers["etag"]}).status_code == 200


def test_a_client_that_goes_away_stops_its_query(server: HttpServer, service: PlainService) -> None:
    body = json.dumps({"sql": LONG}).encode()
    head = head_of(service, len(body))
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.sendall(head.encode() + body)
    wait_until(lambda: service.opened == service.closed + 1)
    connection.close()
    wait_until(lambda: service.opened == service.closed)
    assert server.door.monitor.count == 0


def test_a_query_that_takes_too_long_is_stopped(service: PlainService) -> None:
    monitor = Monitor()
    server = HttpServer(service, monitor, "127.0.0.1", 0, limits=DoorLimits(seconds=0.5))
    try:
        answer = httpx.post(f"{server.url}/v1/query", json={"sql": LONG}, headers={"Authorization": f"Bearer {service.bobs_token}"}, timeout=120)
        assert problem(answer) == (504, "HW-I001")
    finally:
        monitor.close()
        server.stop()


def test_a_reader_that_never_reads_is_cut(server: HttpServer, service: PlainService) -> None:
    body = json.dumps({"sql": "SELECT range, repeat('x', 1000) FROM range(2000000)"}).encode()
    head = head_of(service, len(body))
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode() + body)
        wait_until(lambda: service.opened == service.closed + 1)
        wait_until(lambda: service.opened == service.closed, 60)
        wait_until(lambda: not server.door.transports)


def test_an_answer_that_breaks_midway_is_seen_to_be_broken(client: httpx.Client) -> None:
    sql = "SELECT CASE WHEN range = 900000 THEN CAST('x' || range AS INTEGER) ELSE range END AS a FROM range(1000000)"
    with client.stream("POST", "/v1/query", json={"sql": sql}) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()


def test_more_queries_than_may_run_are_told_to_wait(client: httpx.Client, server: HttpServer, service: PlainService) -> None:
    connections = []
    body = json.dumps({"sql": LONG}).encode()
    head = head_of(service, len(body))
    for count in range(3):
        connections.append(socket.create_connection(("127.0.0.1", server.port)))
        connections[-1].sendall(head.encode() + body)
        wait_until(lambda count=count: service.opened == service.closed + count + 1)
    answer = ask(client, "SELECT 1")
    assert problem(answer) == (503, "HW-U005")
    assert answer.headers["retry-after"] == "1"
    assert client.get("/health").status_code == 200
    for connection in connections:
        connection.close()
    wait_until(lambda: service.opened == service.closed)
    assert ask(client, "SELECT 1").status_code == 200


def test_readers_at_once_get_their_own_rows(client: httpx.Client) -> None:
    wrong: list[int] = []

    def read(number: int) -> None:
        for _ in range(5):
            answer = ask(client, f"SELECT {number} AS a FROM range(1000)")
            if answer.status_code == 200 and {row[0] for row in answer.json()["rows"]} != {number}:
                wrong.append(number)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_health_readiness_and_headers(client: httpx.Client, server: HttpServer, service: PlainService) -> None:
    health = httpx.get(f"{server.url}/health", headers={"Origin": "https://evil.example"})
    assert health.json() == {"status": "ok"}
    assert health.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in health.headers["content-security-policy"]
    assert not {"server", "access-control-allow-origin", "strict-transport-security"} & set(health.headers)
    assert httpx.get(f"{server.url}/ready").json() == {"status": "ready"}
    service.failure = LakeUnavailable("gone")
    assert httpx.get(f"{server.url}/ready").status_code == 503
    service.failure = None
    server.refuse_new()
    assert httpx.get(f"{server.url}/ready").status_code == 503
    assert ask(client, "SELECT 1").status_code == 503
    assert client.options("/v1/query").status_code == 405


def test_the_openapi_document_is_true(client: httpx.Client, server: HttpServer) -> None:
    found = client.get("/openapi.json").json()
    assert found == document("shop", server.door.limits)
    routes = {route.path: {method.lower() for method in route.methods - {"HEAD"}} for route in server.door.app._router.routes}  # type: ignore[attr-defined]
    assert {path: set(methods) for path, methods in found["paths"].items()} == routes
    import jsonschema

    def check(name: str, value: object) -> None:
        jsonschema.validate(value, {"$ref": f"#/components/schemas/{name}", "components": found["components"]})

    check("Tables", client.get("/v1/tables").json())
    check("Rows", rows_of(client, "limit=1").json())
    check("Problem", rows_of(client, "limit=0").json())
    check("Problem", ask(client, "SELEC").json())
    check("Query", {"sql": "SELECT 1", "parameters": [1, "a", None, [1]]})
    statuses = found["paths"]["/v1/query"]["post"]["responses"]
    assert {"200", "400", "401", "403", "406", "413", "415", "503", "504"} <= set(statuses)
    assert set(statuses["200"]["content"]) == {"application/json", "application/x-ndjson", "text/csv", ARROW, PARQUET}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl isn't installed")
def test_curl_over_tls_with_the_made_certificate(service: PlainService, tmp_path: Path) -> None:
    certificate = made_certificate(tmp_path, ["localhost", "127.0.0.1"])
    monitor = Monitor()
    server = HttpServer(service, monitor, "127.0.0.1", 0, certificate=certificate.chain, key=certificate.key)
    try:
        command = ["curl", "-sS", "--cacert", str(certificate.authority), "-u", "ada:correct horse", "-H", "Content-Type: application/json"]
        body = ["-d", '{"sql": "SELECT 42 AS a"}', "-H", "Accept: text/csv", f"https://localhost:{server.port}/v1/query"]
        assert subprocess.run([*command, *body], capture_output=True, text=True, check=True).stdout == '"a"\n42\n'
        trusting = ssl.create_default_context(cafile=str(certificate.authority))
        answer = httpx.get(f"{server.url}/health", verify=trusting)
        assert "strict-transport-security" in answer.headers
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/health")
    finally:
        monitor.close()
        server.stop()
