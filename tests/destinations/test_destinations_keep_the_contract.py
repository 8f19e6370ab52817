"""Every destination of ours runs the public suite, over the real system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from places import (
    Place,
    files_place,
    http_place,
    mqtt_place,
    mysql_place,
    nats_place,
    postgres_place,
    rabbitmq_place,
    redis_place,
    retained_place,
    s3_place,
)

from headwater.destinations.destination import Destination, DestinationContext
from headwater.destinations.files import FilesDestination
from headwater.destinations.http import HttpDestination
from headwater.destinations.mqtt import MqttDestination
from headwater.destinations.mysql import MySqlDestination
from headwater.destinations.nats import NatsDestination
from headwater.destinations.postgres import PostgresDestination
from headwater.destinations.rabbitmq import RabbitMqDestination
from headwater.destinations.redis import RedisDestination
from headwater.spec.exports import TARGETS
from headwater.testing import DestinationContract, FakeDestination
from headwater.testing.destinations import ROWS, SHAPE, Held

SECRET = "hunter22-never-shown"
COLUMNS = [column.name for column in SHAPE.columns]


class OnAPlace(DestinationContract):
    """A destination over one of the places."""

    secret = SECRET
    broken: ClassVar[dict[str, Any] | None] = None

    def place_in(self, directory: Path) -> AbstractContextManager[Place]:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> Iterator[None]:
        with self.place_in(tmp_path) as self.place:
            yield

    def make_context(self, directory: Path, options: dict[str, Any]) -> DestinationContext:
        model = TARGETS[self.destination.type]
        return DestinationContext("things", directory, model.model_validate(options).model_dump())

    def context(self, directory: Path) -> DestinationContext:
        return self.make_context(directory, self.place.options)

    def broken_context(self, directory: Path) -> DestinationContext | None:
        return None if self.broken is None else self.make_context(directory, {**self.place.options, **self.broken})

    def held(self, directory: Path) -> Held:
        rows = self.place.read()
        return {int(row["id"]): tuple(_value(name, row[name]) for name in COLUMNS) for row in rows}


def _value(name: str, value: Any) -> Any:
    """As the suite has it, from JSON, CSV or a database's own type."""
    if value is None:
        return None
    match name:
        case "id":
            return int(value)
        case "amount":
            return Decimal(value)
        case "ratio":
            return float(value)
        case "is_open":
            return value == "true" if isinstance(value, str) else bool(value)
        case "happened_at":
            moment = datetime.fromisoformat(value) if isinstance(value, str) else value
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        case _:
            return value


class TestPostgres(OnAPlace):
    destination = PostgresDestination
    broken = {"dsn": f"postgresql://someone:{SECRET}@127.0.0.1:1/test"}

    def place_in(self, directory: Path) -> AbstractContextManager[Place]:
        return postgres_place(
            "id bigint PRIMARY KEY, name text, amount numeric(12,2), ratio double precision, is_open boolean, happened_at timestamptz,"
            " CHECK (name <> 'never this')"
        )

    def bad_row(self) -> tuple[Any, ...]:
        return (7, "never this", None, None, None, None)


class TestMySql(OnAPlace):
    destination = MySqlDestination
    broken = {"dsn": f"mysql://someone:{SECRET}@127.0.0.1:1/test"}
    extra = ""

    def place_in(self, directory: Path) -> AbstractContextManager[Place]:
        return mysql_place(
            "id bigint PRIMARY KEY, name text, amount decimal(12,2), ratio double, is_open tinyint(1), happened_at timestamp(6) NULL,"
            f" CHECK (name <> 'never this'){self.extra}"
        )

    def bad_row(self) -> tuple[Any, ...]:
        return (7, "never this", None, None, None, None)


class TestMySqlWithAnotherUniqueIndex(TestMySql):
    extra = ", UNIQUE (amount)"

    def test_a_clash_refuses_the_row_and_overwrites_no_other(self, opened: Destination, tmp_path: Path) -> None:
        opened.prepare(SHAPE)
        self.send(opened, ROWS[:1])
        sent = self.send(opened, [(7, "clashes with the first row", ROWS[0][2], None, None, None)])
        assert sent.because == "1062 DUP_ENTRY"
        assert self.held(tmp_path) == {1: ROWS[0]}


class TestHttp(OnAPlace):
    destination = HttpDestination
    broken = {"url": "http://127.0.0.1:1/take", "headers": {"Authorization": f"Bearer {SECRET}"}}

    def place_in(self, directory: Path) -> AbstractContextManager[Place]:
        return http_place()

    def bad_row(self) -> tuple[Any, ...]:
        self.place.extra.refuses = lambda row: row.get("name") == "never this"
        return (7, "never this", None, None, None, None)


class TestParquetFiles(OnAPlace):
    destination = FilesDestination
    format = "parquet"

    def place_in(self, directory: Path) -> AbstractContextManager[Place]:
        return files_place(directory / "out", self.format)


class TestCsvFiles(TestParquetFiles):
    format = "csv"


class TestNdjsonFiles(TestParquetFiles):
    format = "ndjson"


class TestAnObjectStore(OnAPlace):
    destination = FilesDestination
    secret = "hunter22-s3"
    broken = {"endpoint": "http://127.0.0.1:1"}

    def place_in(self, directory: Path) -> AbstractContextManager[Place]:
        return s3_place("parquet")


class TestRedis(OnAPlace):
    destination = RedisDestination
    broken = {"url": f"redis://someone:{SECRET}@127.0.0.1:1/0"}

    def place_in(self, directory: Path) -> AbstractContextManager[Place]:
        return redis_place()


class TestNats(OnAPlace):
    destination = NatsDestination
    broken = {"url": f"nats://someone:{SECRET}@127.0.0.1:1"}

    def place_in(self, directory: Path) -> AbstractContextManager[Place]:
        return nats_place()


class TestRabbitMq(OnAPlace):
    destination = RabbitMqDestination
    broken = {"url": f"amqp://someone:{SECRET}@127.0.0.1:1/"}

    def place_in(self, directory: Path) -> AbstractContextManager[Place]:
        return rabbitmq_place()


class TestMqtt(OnAPlace):
    destination = MqttDestination
    broken = {"url": f"mqtt://someone:{SECRET}@127.0.0.1:1"}
    version = "5"

    def place_in(self, directory: Path) -> AbstractContextManager[Place]:
        return mqtt_place(version=self.version)


class TestOlderMqtt(TestMqtt):
    version = "3.1.1"


class TestRetainedMqtt(TestMqtt):
    def place_in(self, directory: Path) -> AbstractContextManager[Place]:
        return retained_place()


class TestTheFake(DestinationContract):
    destination = FakeDestination

    def context(self, directory: Path) -> DestinationContext:
        return DestinationContext("fake", directory)

    @pytest.fixture
    def opened(self) -> FakeDestination:  # type: ignore[override]
        self.fake = FakeDestination()
        self.fake.refuses = lambda row: row.get("name") == "never this"
        return self.fake

    def held(self, directory: Path) -> Held:
        return {int(str(row["id"])): tuple(_value(name, row[name]) for name in COLUMNS) for row in self.fake.rows.values()}

    def bad_row(self) -> tuple[Any, ...]:
        return (7, "never this", None, None, None, None)
