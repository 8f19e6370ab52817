"""An exchange or queue of a RabbitMQ server: one message a row, kept on disk, confirmed by the server before a batch is done."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar, Final, TypeVar
from urllib.parse import urlsplit

import aio_pika
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq import exceptions

from headwater.destinations.beside import Beside
from headwater.destinations.destination import Batch, DestinationContext, Refusal, Sent, Shape
from headwater.destinations.topics import Topic
from headwater.destinations.values import json_changes
from headwater.errors import DestinationRefused, DestinationUnreachable

T = TypeVar("T")
_SECONDS: Final = 30.0
#: Messages on their way at once.
_AT_ONCE: Final = 100
_LONGEST_KEY_BYTES: Final = 255

for _name in ("aio_pika", "aiormq"):  # what they log of a message shows the message; whatever fails here is raised
    logging.getLogger(_name).addHandler(logging.NullHandler())
    logging.getLogger(_name).propagate = False


class RabbitMqDestination:
    """Messages are JSON: `{"id", "operation", "row" or "key"}`, `message_id` being the id. One that no queue takes is an error: it would be gone."""

    type: ClassVar[str] = "rabbitmq"
    takes_text: ClassVar[bool] = True

    def __init__(self, context: DestinationContext) -> None:
        options = context.options
        self._url = str(options["url"])
        self._exchange = str(options.get("exchange") or "")
        self._queue = str(options["queue"]) if options.get("queue") else None
        self._key = Topic(str(options.get("routing_key") or self._queue), reserved=".")
        ca = options.get("ca")
        self._ca = str(context.project_dir / str(ca)) if ca else None
        self._beside = Beside("headwater-rabbitmq")
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None

    @property
    def _where(self) -> str:
        return f"{self._exchange} {self._key.text}".strip()

    @property
    def identity(self) -> str:
        parts = urlsplit(self._url)
        port = parts.port or (5671 if parts.scheme == "amqps" else 5672)
        return f"rabbitmq {parts.hostname or 'localhost'}:{port}{parts.path.rstrip('/')} {self._where}"

    def check(self) -> str:
        return self._run(self._check())

    async def _check(self) -> str:
        connection = await self._connect()
        transport: Any = connection.transport
        said = transport.connection.server_properties if transport is not None else {}
        words = [said.get(name) for name in ("product", "version")]
        return " ".join(word.decode() if isinstance(word, bytes) else str(word) for word in words if word) or "AMQP 0.9.1"

    def prepare(self, shape: Shape, *, dry_run: bool = False) -> None:
        self._key.check(shape, setting="routing_key")
        self._run(self._prepare(dry_run))

    async def _prepare(self, dry_run: bool) -> None:
        if self._exchange:
            await self._see(f"no exchange {self._exchange} is there", "make it there, or name another one", self._exchange, is_queue=False)
        if self._queue is not None and not dry_run:
            await self._make_queue(self._queue)
        elif not self._exchange and self._queue is None and not self._key.columns:
            await self._see(f"no queue {self._key.text} is there", "make it there, or say `queue:`, which makes it", self._key.text, is_queue=True)

    async def _see(self, what: str, hint: str, name: str, *, is_queue: bool) -> None:
        """Whether the exchange or queue is there; DestinationRefused where it isn't."""
        channel = await self._open()
        try:
            if is_queue:
                await channel.declare_queue(name, passive=True, timeout=_SECONDS)
            else:
                await channel.declare_exchange(name, passive=True, timeout=_SECONDS)
        except exceptions.ChannelNotFoundEntity:
            raise DestinationRefused(what, state="nothing was sent", hint=hint) from None

    async def _make_queue(self, name: str) -> None:
        try:
            queue = await (await self._open()).declare_queue(name, passive=True, timeout=_SECONDS)
        except exceptions.ChannelNotFoundEntity:
            queue = await (await self._open()).declare_queue(name, durable=True, timeout=_SECONDS)
        if self._exchange:
            await queue.bind(self._exchange, self._key.with_each("*"), timeout=_SECONDS)

    # -- sending -----------------------------------------------------------------------------------------------------

    def send(self, batch: Batch) -> Sent:
        return self._run(self._send(batch))

    async def _send(self, batch: Batch) -> Sent:
        refused: list[Refusal] = []
        wanted: list[tuple[int, str, Message]] = []
        for index, (row_id, key, body) in enumerate(zip(batch.row_ids, self._key.of(batch), json_changes(batch), strict=True)):
            if len(key.encode()) > _LONGEST_KEY_BYTES:
                refused.append(Refusal(index, "its routing key is longer than one may be"))
            else:
                wanted.append((index, key, _message(row_id, batch.operations[index], body)))
        for start in range(0, len(wanted), _AT_ONCE):
            refused += await self._send_some(wanted[start : start + _AT_ONCE])
        return Sent(tuple(sorted(refused, key=lambda one: one.index)))

    async def _send_some(self, wanted: Sequence[tuple[int, str, Message]]) -> list[Refusal]:
        channel = await self._open()
        results = await asyncio.gather(*(self._publish(channel, key, message) for _, key, message in wanted), return_exceptions=True)
        failed = [(one, result) for one, result in zip(wanted, results, strict=True) if isinstance(result, BaseException)]
        if not any(isinstance(error, exceptions.ChannelPreconditionFailed) for _, error in failed):
            return [self._refusal(index, error) for (index, _, _), error in failed]
        # one was too long, which ends the channel for all that were on their way: each by itself shows which
        refused = []
        for (index, key, message), error in failed:
            if isinstance(error, exceptions.PublishError):
                refused.append(self._refusal(index, error))
                continue
            try:
                await self._publish(await self._open(), key, message)
            except exceptions.ChannelPreconditionFailed:
                refused.append(Refusal(index, "longer than a message may be"))
            except exceptions.PublishError as again:
                refused.append(self._refusal(index, again))
        return refused

    async def _publish(self, channel: AbstractChannel, key: str, message: Message) -> None:
        exchange = channel.default_exchange if not self._exchange else await channel.get_exchange(self._exchange, ensure=False)
        await exchange.publish(message, key, mandatory=True, timeout=_SECONDS)

    def _refusal(self, index: int, error: BaseException) -> Refusal:
        """Of a row whose own routing key reaches no queue; raises whatever else went wrong."""
        if not isinstance(error, exceptions.PublishError):
            raise error
        if self._key.columns:
            return Refusal(index, "no queue takes its routing key")
        raise DestinationRefused(
            f"no queue takes what is sent to {self._where}",
            state="the message was kept nowhere",
            hint="bind a queue there, or name one to be made as `queue:`",
        )

    # -- the connection ----------------------------------------------------------------------------------------------

    async def _connect(self) -> AbstractConnection:
        if self._connection is None or self._connection.is_closed:
            self._connection = self._channel = None
            tls = ssl.create_default_context(cafile=self._ca) if self._url.startswith("amqps:") else None
            self._connection = await asyncio.wait_for(
                aio_pika.connect(self._url, ssl_context=tls, client_properties={"connection_name": "headwater export"}), _SECONDS
            )
        return self._connection

    async def _open(self) -> AbstractChannel:
        """The channel; another one where the server closed it."""
        connection = await self._connect()
        if self._channel is None or self._channel.is_closed:
            self._channel = await asyncio.wait_for(connection.channel(publisher_confirms=True, on_return_raises=True), _SECONDS)
        return self._channel

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives; the driver's errors become ours."""
        try:
            return self._beside.run(work)
        except _REFUSALS as error:
            raise DestinationRefused(
                f"the server of {self._where} refuses it", found=type(error).__name__, hint="check `url:`, its virtual host and its user's rights"
            ) from None
        except (TimeoutError, exceptions.AMQPError, RuntimeError, OSError) as error:
            raise DestinationUnreachable(
                f"the server of {self._where} doesn't answer as it should", found=type(error).__name__, hint="check `url:`, and that the server is up"
            ) from None
        except ValueError:
            raise DestinationRefused("`url:` isn't an address of a RabbitMQ server", expected="amqp://host:5672 or amqps://host:5671") from None

    def close(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None and not connection.is_closed:
            self._beside.run(_close(connection))
        self._beside.stop()


_REFUSALS: Final = (
    exceptions.AuthenticationError,
    exceptions.ProbableAuthenticationError,
    exceptions.IncompatibleProtocolError,
    exceptions.ConnectionNotAllowed,
    exceptions.ConnectionNotImplemented,
    exceptions.ChannelAccessRefused,
    exceptions.ChannelNotFoundEntity,
    exceptions.ChannelPreconditionFailed,
    exceptions.ChannelLockedResource,
)


def _message(row_id: str, operation: str, body: str) -> Message:
    return Message(
        body.encode(), message_id=row_id, type=operation, app_id="headwater", content_type="application/json", delivery_mode=DeliveryMode.PERSISTENT
    )


async def _close(connection: AbstractConnection) -> None:
    """A server that doesn't say goodbye is left without."""
    try:
        await asyncio.wait_for(connection.close(), 5)
    except (TimeoutError, exceptions.AMQPError, RuntimeError, OSError):
        return
