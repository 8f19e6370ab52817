"""Places that exports write to, for real: how each is reached, and what it holds, as text by key."""

from __future__ import annotations

import asyncio
import csv
import http.server
import io
import json
import ssl
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import aio_pika
import boto3
import nats
import psycopg
import pyarrow.parquet as pq
import pymysql
import redis
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from moto.server import ThreadedMotoServer
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from services import mariadb_arguments, require_mariadb, require_mqtt, require_nats, require_postgres, require_rabbitmq, require_redis

T = TypeVar("T")
Changes = list[tuple[str, dict[str, Any]]]


def fold(changes: Changes, key: tuple[str, ...] = ("id",)) -> list[dict[str, Any]]:
    """What applying changes in order, by key, gives."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for operation, row in changes:
        which = tuple(row[name] for name in key)
        if operation == "delete":
            rows.pop(which, None)
        else:
            rows[which] = row
    return list(rows.values())


@dataclass
class Place:
    """`to` is what an export's `to:` says; `read` gives the rows there, by column."""

    to: dict[str, dict[str, Any]]
    read: Callable[[], list[dict[str, Any]]]
    extra: Any = None

    @property
    def options(self) -> dict[str, Any]:
        return next(iter(self.to.values()))


@contextmanager
def postgres_place(columns: str) -> Iterator[Place]:
    url = require_postgres()
    schema = f"export_{uuid.uuid4().hex[:10]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.things ({columns})")

        def read() -> list[dict[str, Any]]:
            cursor = connection.execute(f"SELECT * FROM {schema}.things")
            names = [one.name for one in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

        try:
            yield Place({"postgres": {"dsn": url, "table": f"{schema}.things"}}, read, connection)
        finally:
            connection.execute(f"DROP SCHEMA {schema} CASCADE")


@contextmanager
def mysql_place(columns: str) -> Iterator[Place]:
    url = require_mariadb()
    table = f"export_{uuid.uuid4().hex[:10]}"
    connection = pymysql.connect(**mariadb_arguments(url), autocommit=True, charset="utf8mb4", init_command="SET time_zone = '+00:00'")
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE {table} ({columns}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")

        def read() -> list[dict[str, Any]]:
            with connection.cursor(pymysql.cursors.DictCursor) as cursor:
                cursor.execute(f"SELECT * FROM {table}")
                return [dict(row) for row in cursor.fetchall()]

        yield Place({"mysql": {"dsn": url, "table": table}}, read, connection)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {table}")
        connection.close()


# -- HTTP ------------------------------------------------------------------------------------------------------------


@dataclass
class Endpoint:
    """What a server under test took, and how it behaves: `answers` are given first, one each: (status, headers, body)."""

    changes: Changes = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    refuses: Callable[[dict[str, Any]], bool] = lambda row: False
    url: str = ""

    def take(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        self.requests.append((path, headers, body))
        if self.answers:
            return self.answers.pop(0)
        key = headers["idempotency-key"]
        rows = [(change["operation"], change.get("row") or change["key"]) for change in body["changes"]]
        if any(self.refuses(row) for _, row in rows):
            return 422, {}, b'{"error": "a row is bad"}'
        if key not in self.seen:
            self.seen.add(key)
            self.changes += rows
        return 200, {}, b"{}"


@contextmanager
def http_server(endpoint: Endpoint, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, headers, answer = endpoint.take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]  # a client that hangs up is no news
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    endpoint.url = f"http{'' if tls is None else 's'}://127.0.0.1:{server.server_port}/take"
    try:
        yield endpoint.url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def http_place() -> Iterator[Place]:
    endpoint = Endpoint()
    with http_server(endpoint) as url:
        yield Place({"http": {"url": url}}, lambda: fold(endpoint.changes), endpoint)


# -- files -----------------------------------------------------------------------------------------------------------


def changes_of(name: str, content: bytes) -> Changes:
    if name.endswith(".ndjson"):
        found = [json.loads(line) for line in content.decode().splitlines()]
    elif name.endswith(".csv"):
        found = _csv_rows(content.decode())
    else:
        found = pq.read_table(io.BytesIO(content)).to_pylist()
    return [(row.pop("_operation"), row) for row in found]


def _csv_rows(text: str) -> list[dict[str, Any]]:
    """With an empty text told apart from none, which Python's reader doesn't."""
    marked = text.replace(',""', ',"\0"').replace('\n""', '\n"\0"')
    rows = [dict(row) for row in csv.DictReader(io.StringIO(marked, newline=""))]
    return [{name: None if value == "" else "" if value == "\0" else value for name, value in row.items()} for row in rows]


@contextmanager
def files_place(folder: Path, format: str) -> Iterator[Place]:
    def read() -> list[dict[str, Any]]:
        files = sorted(folder.glob("*"))
        assert not any(folder.glob(".*"))
        return fold([change for file in files for change in changes_of(file.name, file.read_bytes())])

    yield Place({"files": {"path": str(folder), "format": format}}, read)


@contextmanager
def s3_place(format: str) -> Iterator[Place]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    access = {"aws_access_key_id": "testing", "aws_secret_access_key": "hunter22-s3"}
    store = boto3.resource("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1", **access)
    bucket = store.Bucket(f"hw-{uuid.uuid4().hex[:8]}")
    bucket.create()

    def read() -> list[dict[str, Any]]:
        found = sorted(bucket.objects.filter(Prefix="crm/"), key=lambda one: one.key)
        return fold([change for one in found for change in changes_of(one.key, one.get()["Body"].read())])

    options = {"key_id": "testing", "secret": "hunter22-s3", "region": "us-east-1", "endpoint": f"http://{host}:{port}"}
    try:
        yield Place({"files": {"path": f"s3://{bucket.name}/crm", "format": format, **options}}, read)
    finally:
        server.stop()


# -- brokers ---------------------------------------------------------------------------------------------------------


@contextmanager
def redis_place() -> Iterator[Place]:
    url = require_redis()
    stream = f"export-{uuid.uuid4().hex[:10]}"
    client = redis.Redis.from_url(url)

    def read() -> list[dict[str, Any]]:
        entries: Any = client.xrange(stream)
        assert len({fields[b"id"] for _, fields in entries}) == len(entries)
        return fold([(fields[b"operation"].decode(), json.loads(fields[b"row"])) for _, fields in entries])

    try:
        yield Place({"redis": {"url": url, "stream": stream}}, read, client)
    finally:
        client.delete(stream, *client.scan_iter(match=f"{{{stream}}}*"))
        client.close()


@contextmanager
def nats_place() -> Iterator[Place]:
    url = require_nats()
    name = f"export_{uuid.uuid4().hex[:10]}"

    async def messages() -> list[dict[str, Any]]:
        client = await nats.connect(url)
        context = client.jetstream()
        try:
            try:
                count = (await context.stream_info(name)).state.messages
            except nats.js.errors.NotFoundError:
                return []
            found = [await context.get_msg(name, seq) for seq in range(1, count + 1)]
            return [json.loads(message.data or b"") for message in found]
        finally:
            await client.close()

    async def remove() -> None:
        client = await nats.connect(url)
        try:
            await client.jetstream().delete_stream(name)
        except nats.js.errors.NotFoundError:
            pass
        finally:
            await client.close()

    def read() -> list[dict[str, Any]]:
        return fold([(one["operation"], one.get("row") or one["key"]) for one in asyncio.run(messages())])

    try:
        yield Place({"nats": {"url": url, "subject": f"{name}.rows", "stream": name}}, read)
    finally:
        asyncio.run(remove())


@dataclass
class Rabbit:
    """A RabbitMQ server under test, with a name of our own in it."""

    url: str
    name: str

    def do(self, work: Callable[[AbstractChannel], Awaitable[T]]) -> T:
        async def connected() -> T:
            async with await aio_pika.connect(self.url) as connection:
                return await work(await connection.channel())

        return asyncio.run(connected())

    def messages(self, queue: str | None = None) -> list[AbstractIncomingMessage]:
        """What waits in a queue, which keeps it."""

        async def get(channel: AbstractChannel) -> list[AbstractIncomingMessage]:
            waiting = await channel.get_queue(queue or self.name)
            found = []
            while (message := await waiting.get(fail=False)) is not None:
                found.append(message)
            return found

        return self.do(get)


@contextmanager
def rabbitmq_place() -> Iterator[Place]:
    rabbit = Rabbit(require_rabbitmq(), f"export_{uuid.uuid4().hex[:10]}")

    def read() -> list[dict[str, Any]]:
        try:
            found = [json.loads(message.body) for message in rabbit.messages()]
        except aio_pika.exceptions.ChannelNotFoundEntity:
            return []
        return fold([(one["operation"], one.get("row") or one["key"]) for one in found])

    async def remove(channel: AbstractChannel) -> None:
        await channel.queue_delete(rabbit.name)
        await channel.exchange_delete(rabbit.name)

    try:
        yield Place({"rabbitmq": {"url": rabbit.url, "queue": rabbit.name}}, read, rabbit)
    finally:
        rabbit.do(remove)


@dataclass
class Subscriber:
    """Somebody who listens to all topics under `prefix` of a broker, for as long as the block runs."""

    url: str
    prefix: str
    found: list[MQTTMessage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = lambda client, _, message: self.found.append(message)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._subscribed = threading.Event()
        parts = urlsplit(self.url)
        if parts.username:
            self._client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        self._client.connect(parts.hostname or "", parts.port or 1883)
        self._client.loop_start()
        self._client.subscribe(f"{self.prefix}/#", qos=1)
        assert self._subscribed.wait(20)

    def messages(self) -> list[MQTTMessage]:
        """All that came so far, on whichever topic: a last message of our own comes after them."""
        mark = uuid.uuid4().bytes
        self._client.publish(f"{self.prefix}/mark", mark, qos=1)
        deadline = time.monotonic() + 20
        while not any(message.payload == mark for message in list(self.found)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return [message for message in self.found if message.topic != f"{self.prefix}/mark"]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def mqtt_place(**options: Any) -> Iterator[Place]:
    subscriber = Subscriber(require_mqtt(), f"export_{uuid.uuid4().hex[:10]}")

    def read() -> list[dict[str, Any]]:
        found = [json.loads(message.payload) for message in subscriber.messages()]
        return fold([(one["operation"], one.get("row") or one["key"]) for one in found])

    try:
        yield Place({"mqtt": {"url": subscriber.url, "topic": f"{subscriber.prefix}/rows", **options}}, read, subscriber)
    finally:
        subscriber.close()


@contextmanager
def retained_place(key: str = "id") -> Iterator[Place]:
    """A broker that keeps the newest message of each row: what it tells whoever subscribes."""
    url, prefix = require_mqtt(), f"export_{uuid.uuid4().hex[:10]}"

    def read() -> list[dict[str, Any]]:
        subscriber = Subscriber(url, prefix)
        try:
            return [json.loads(message.payload)["row"] for message in subscriber.messages()]
        finally:
            subscriber.close()

    def remove() -> None:
        subscriber = Subscriber(url, prefix)
        for message in subscriber.messages():
            subscriber._client.publish(message.topic, b"", qos=1, retain=True)
        subscriber.messages()
        subscriber.close()

    try:
        yield Place({"mqtt": {"url": url, "topic": f"{prefix}/{{{key}}}", "retain": True}}, read)
    finally:
        remove()
