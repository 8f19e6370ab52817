"""A subject of a NATS server with JetStream: one message a row, whose id lets the server drop a repeat."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from typing import Any, ClassVar, Final, TypeVar
from urllib.parse import urlsplit

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext

from headwater.destinations.beside import Beside
from headwater.destinations.destination import Batch, DestinationContext, Refusal, Sent, Shape
from headwater.destinations.values import json_changes
from headwater.errors import DestinationRefused, DestinationUnreachable

T = TypeVar("T")
_SECONDS: Final = 30.0
#: Messages on their way at once.
_AT_ONCE: Final = 100


class NatsDestination:
    """Messages are JSON: `{"id", "operation", "row" or "key"}`, with the header `Nats-Msg-Id`. A batch is done when the server has kept all of it."""

    type: ClassVar[str] = "nats"
    takes_text: ClassVar[bool] = True

    def __init__(self, context: DestinationContext) -> None:
        options = context.options
        self._url = str(options["url"])
        self._subject = str(options["subject"])
        self._stream = options.get("stream")
        ca = options.get("ca")
        self._ca = str(context.project_dir / str(ca)) if ca else None
        self._beside = Beside("headwater-nats")
        self._client: Client | None = None

    @property
    def identity(self) -> str:
        parts = urlsplit(self._url)
        return f"nats {parts.hostname or 'localhost'}:{parts.port or 4222} {self._subject}"

    def check(self) -> str:
        client = self._run(self._open())
        return f"NATS {client.connected_server_version}"

    def prepare(self, shape: Shape, *, dry_run: bool = False) -> None:
        self._run(self._prepare(dry_run))

    async def _prepare(self, dry_run: bool) -> None:
        context = (await self._open()).jetstream()
        try:
            await context.find_stream_name_by_subject(self._subject)
        except nats.js.errors.NotFoundError:
            if not self._stream:
                raise DestinationRefused(
                    f"no stream at the server takes {self._subject}",
                    state="nothing was sent",
                    hint="make one there, or name one to be made as `stream:`",
                ) from None
            if not dry_run:
                await context.add_stream(name=str(self._stream), subjects=[self._subject])

    def send(self, batch: Batch) -> Sent:
        return self._run(self._send(batch))

    async def _send(self, batch: Batch) -> Sent:
        client = await self._open()
        context = client.jetstream()
        bodies = [change.encode() for change in json_changes(batch)]
        refused = [Refusal(index, "longer than a message may be") for index, body in enumerate(bodies) if len(body) > client.max_payload]
        skipped = {one.index for one in refused}
        wanted = [(row_id, body) for index, (row_id, body) in enumerate(zip(batch.row_ids, bodies, strict=True)) if index not in skipped]
        for start in range(0, len(wanted), _AT_ONCE):
            await asyncio.gather(*(self._publish(context, row_id, body) for row_id, body in wanted[start : start + _AT_ONCE]))
        return Sent(tuple(refused))

    async def _publish(self, context: JetStreamContext, row_id: str, body: bytes) -> None:
        await context.publish(self._subject, body, timeout=_SECONDS, headers={"Nats-Msg-Id": row_id})

    async def _open(self) -> Client:
        if self._client is None or self._client.is_closed:
            tls = ssl.create_default_context(cafile=self._ca) if self._ca or self._url.startswith(("tls://", "wss://")) else None
            options: dict[str, Any] = {} if tls is None else {"tls": tls}
            connecting = nats.connect(
                self._url,
                connect_timeout=5,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0.2,
                error_cb=_say_nothing,
                name="headwater export",
                **options,
            )
            self._client = await asyncio.wait_for(connecting, _SECONDS)
        return self._client

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives; the driver's errors become ours."""
        try:
            return self._beside.run(work)
        except (nats.errors.AuthorizationError, nats.js.errors.BadRequestError, nats.js.errors.ServiceUnavailableError) as error:
            raise DestinationRefused(
                f"the server of {self._subject} refuses it",
                found=type(error).__name__,
                hint="check `url:`, its user's rights, and that JetStream is on",
            ) from None
        except (TimeoutError, nats.errors.Error, OSError) as error:
            raise DestinationUnreachable(
                f"the server of {self._subject} doesn't answer as it should",
                found=type(error).__name__,
                hint="check `url:`, and that the server is up",
            ) from None

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None and not client.is_closed:
            self._beside.run(client.close())
        self._beside.stop()


async def _say_nothing(error: Exception) -> None:
    """What goes wrong is told by the call it keeps from succeeding."""
