"""Exports: one table written to a destination, as written in `exports/*.yaml`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from headwater.spec._base import Duration, Resource, Strings
from headwater.spec.names import TableName
from headwater.spec.sources import parse_share

_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(s|second|m|min|minute|h|hour)\s*")
_SECONDS: Final = {"s": 1.0, "second": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0}
#: A share of deletes is only looked at from so many on: in a small table every row is a large share.
FEW_DELETES: Final = 20
#: So many dead letters are always allowed: a few bad rows in a small table must not stop the others.
FEW_DEAD: Final = 10


def parse_rate(value: Any) -> Any:
    """Requests per second from `10/s`, `600/min`, `1000/h`, or a number of them a second. Raises ValueError."""
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    per_second = float(match[1]) / _SECONDS[match[2]] if match is not None else value
    if isinstance(per_second, bool) or not isinstance(per_second, int | float) or per_second <= 0:
        raise ValueError(f"{value!r} is no rate; expected one such as 10/s, 600/min or 1000/h")
    return per_second


Rate = Annotated[float, BeforeValidator(parse_rate), WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "examples": ["10/s"]}]})]
Share = Annotated[float, BeforeValidator(parse_share), WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "examples": ["1%"]}]})]


class PostgresTarget(Resource):
    """A table of a PostgreSQL database. `create` makes it when it isn't there."""

    dsn: str
    table: str
    create: bool = False


class MySqlTarget(Resource):
    """A table of a MySQL or MariaDB database. `tls: off` gives up encryption off this machine; `ca` names a file of certificates to trust."""

    dsn: str
    table: str
    create: bool = False
    tls: Literal["verify", "off"] = "verify"
    ca: str | None = None

    @field_validator("tls", mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        return {False: "off", True: "verify"}.get(value, value) if isinstance(value, bool) else value


class HttpTarget(Resource):
    """An HTTP endpoint that batches of changes are sent to as JSON."""

    url: str
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: dict[str, str] = Field(default_factory=dict)
    timeout: Duration = timedelta(seconds=30)
    ca: str | None = None


class FilesTarget(Resource):
    """A folder, local or `s3://`, that gets one file of changes for each batch."""

    path: str
    format: Literal["parquet", "csv", "ndjson"] = "parquet"
    key_id: str | None = None
    secret: str | None = None
    session_token: str | None = None
    region: str | None = None
    endpoint: str | None = None
    url_style: Literal["path", "vhost"] | None = None
    use_ssl: bool | None = None


class RedisTarget(Resource):
    """A stream of a Redis server: one entry a row."""

    url: str
    stream: str
    max_length: int | None = Field(default=None, ge=1)


class NatsTarget(Resource):
    """A subject of a NATS server with JetStream: one message a row, each with an id by which the server drops repeats."""

    url: str
    subject: str
    stream: str | None = None
    ca: str | None = None


class RabbitMqTarget(Resource):
    """An exchange of a RabbitMQ server, or one of its queues: one message a row, kept on disk by the queues that take it."""

    url: str
    exchange: str = ""
    routing_key: str | None = None
    queue: str | None = None
    ca: str | None = None

    @model_validator(mode="after")
    def _agrees(self) -> RabbitMqTarget:
        if self.routing_key is None and self.queue is None:
            raise ValueError("where messages go isn't said; expected `queue`, or `exchange` and `routing_key`")
        if not self.exchange and None not in (self.routing_key, self.queue):
            raise ValueError("without an exchange messages go to the queue itself; expected `queue` or `routing_key`")
        return self


class MqttTarget(Resource):
    """A topic of an MQTT broker: one message a row, with quality of service 1. With `retain` the broker keeps the newest of each topic."""

    url: str
    topic: str
    retain: bool = False
    version: Literal["5", "3.1.1"] = "5"
    client_id: str = ""
    ca: str | None = None

    @field_validator("version", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("topic")
    @classmethod
    def _is_topic(cls, value: str) -> str:
        if not value or any(sign in value for sign in "+#\0"):
            raise ValueError(f"{value!r} can't be published to; expected a topic without + and #")
        return value


Target = PostgresTarget | MySqlTarget | HttpTarget | FilesTarget | RedisTarget | NatsTarget | RabbitMqTarget | MqttTarget
#: Destinations that come with Headwater; others are found by their entry point in the group `headwater.destinations`.
TARGETS: Final[dict[str, type[Resource]]] = {
    "postgres": PostgresTarget,
    "mysql": MySqlTarget,
    "http": HttpTarget,
    "files": FilesTarget,
    "redis": RedisTarget,
    "nats": NatsTarget,
    "rabbitmq": RabbitMqTarget,
    "mqtt": MqttTarget,
}
#: Rows of a batch where the export doesn't say.
BATCH_ROWS: Final = {"postgres": 5_000, "mysql": 1_000, "http": 200, "files": 100_000, "redis": 500, "nats": 500, "rabbitmq": 500, "mqtt": 500}


class Export(Resource):
    """One table written to one destination: only what changed since the last time, as `as` sees it.

    `columns` are names in the table with their names at the destination; empty: all that the principal sees, by their own names. `former_columns`
    are those of the destination that had another name there before, with that name. References in `options` (those of the destination) are
    resolved when it is connected to.
    """

    name: str = ""
    table: str
    as_: str = Field(alias="as")
    purpose: str | None = None
    key: Strings = ()
    to: str
    options: dict[str, Any] = Field(default_factory=dict)
    columns: dict[str, str] = Field(default_factory=dict)
    former_columns: dict[str, str] = Field(default_factory=dict)
    renamed_from: str | None = None
    deletes: Literal["delete", "ignore", "fail"] = "delete"
    batch: int | None = Field(default=None, ge=1, le=1_000_000)
    rate: Rate | None = None
    patience: Duration = timedelta(minutes=2)
    max_dead: Share = 0.01
    max_deletes: Share = 0.5
    description: str | None = None
    owner: str | None = None
    tags: Strings = ()
    #: Where it is defined, relative to the project; set by the loader.
    path: str = ""

    @model_validator(mode="before")
    @classmethod
    def _with_former_columns(cls, value: Any) -> Any:
        """Splits `{email: {to: mail, renamed_from: e_mail}}` into what is sent and what it was called."""
        columns = value.get("columns") if isinstance(value, dict) else None
        if not isinstance(columns, dict) or not any(isinstance(target, dict) for target in columns.values()):
            return value
        targets, former = {}, {}
        for name, target in columns.items():
            if not isinstance(target, dict):
                targets[name] = target
                continue
            wrong = next((key for key in target if key not in ("to", "renamed_from")), None)
            if wrong is not None or not all(isinstance(text, str) for text in target.values()):
                raise ValueError(f"the column {name!r} is its name there, or `to` and `renamed_from`")
            targets[name] = target.get("to", str(name))
            if "renamed_from" in target:
                former[targets[name]] = target["renamed_from"]
        return {**value, "columns": targets, "former_columns": former}

    @field_validator("columns", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        if isinstance(value, list):
            return {str(name): str(name) for name in value}
        return {str(name): str(name) if target is None else target for name, target in value.items()} if isinstance(value, dict) else value

    @field_validator("table")
    @classmethod
    def _is_name(cls, value: str) -> str:
        TableName.parse(value)
        return value

    @model_validator(mode="after")
    def _agrees(self) -> Export:
        targets = [target.lower() for target in self.columns.values()]
        twice = next((target for target in targets if targets.count(target) > 1), None)
        if twice is not None:
            raise ValueError(f"two columns go to {twice!r}; expected one each")
        known = {name.lower() for name in self.columns}
        missing = [name for name in self.key if self.columns and name.lower() not in known]
        if missing:
            raise ValueError(f"columns leaves out {missing[0]!r}, a part of the key; expected all of the key among them")
        return self

    @property
    def table_name(self) -> TableName:
        return TableName.parse(self.table)

    @property
    def batch_rows(self) -> int:
        """Rows of a batch."""
        return self.batch or BATCH_ROWS.get(self.to, 500)


class ExportFile(Resource):
    """One file of `exports/`."""

    exports: dict[str, Export] = Field(default_factory=dict)
