"""A stream of a Redis server: one entry a row, a batch at a time, each batch once."""

from __future__ import annotations

from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import redis

from headwater.destinations.destination import Batch, DestinationContext, Sent, Shape
from headwater.destinations.values import json_rows
from headwater.errors import DestinationRefused, DestinationUnreachable

#: How long a batch that was sent is remembered.
_REMEMBERED_SECONDS: Final = 7 * 86_400
#: Adds all entries, unless the batch was added before. Nothing else runs on the server meanwhile.
_SCRIPT: Final = """
if not redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[1]) then return 0 end
for i = 3, #ARGV, 3 do
    if ARGV[2] == '' then
        redis.call('XADD', KEYS[1], '*', 'id', ARGV[i], 'operation', ARGV[i + 1], 'row', ARGV[i + 2])
    else
        redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'id', ARGV[i], 'operation', ARGV[i + 1], 'row', ARGV[i + 2])
    end
end
return 1
"""


class RedisDestination:
    """Entries have the fields `id`, `operation` and `row` (JSON; of a delete its key). `rediss://` is TLS, its certificate checked."""

    type: ClassVar[str] = "redis"
    takes_text: ClassVar[bool] = True

    def __init__(self, context: DestinationContext) -> None:
        options = context.options
        self._url = str(options["url"])
        self._stream = str(options["stream"])
        self._max_length = options.get("max_length")
        self._client: redis.Redis | None = None

    @property
    def identity(self) -> str:
        parts = urlsplit(self._url)
        return f"redis {parts.hostname or 'localhost'}:{parts.port or 6379}{parts.path} {self._stream}"

    def check(self) -> str:
        with _Told(self._stream):
            found: Any = self._open().info("server")
        return f"Redis {found.get('redis_version', '')}".strip()

    def prepare(self, shape: Shape, *, dry_run: bool = False) -> None:
        with _Told(self._stream):
            kind: Any = self._open().type(self._stream)
        if kind not in (b"stream", b"none", "stream", "none"):
            raise DestinationRefused(f"{self._stream} is no stream there", hint="name another one under `stream:`")

    def send(self, batch: Batch) -> Sent:
        arguments: list[str] = [str(_REMEMBERED_SECONDS), "" if self._max_length is None else str(self._max_length)]
        for row_id, operation, row in zip(batch.row_ids, batch.operations, json_rows(batch), strict=True):
            arguments += [row_id, operation, row]
        with _Told(self._stream):
            self._open().eval(_SCRIPT, 2, self._stream, f"{{{self._stream}}}:headwater:{batch.id}", *arguments)
        return Sent()

    def _open(self) -> redis.Redis:
        if self._client is None:
            self._client = redis.Redis.from_url(self._url, socket_connect_timeout=15, socket_timeout=60)
        return self._client

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


class _Told:
    """Inside it, the driver's errors become ours."""

    def __init__(self, stream: str) -> None:
        self._stream = stream

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, redis.AuthenticationError | redis.ResponseError) and not isinstance(error, redis.BusyLoadingError):
            raise DestinationRefused(
                f"the server of the stream {self._stream} refuses it", found=type(error).__name__, hint="check `url:` and the rights of its user"
            ) from None
        if isinstance(error, redis.RedisError | OSError):
            raise DestinationUnreachable(
                f"the server of the stream {self._stream} doesn't answer", found=type(error).__name__, hint="check `url:`, and that the server is up"
            ) from None
        if isinstance(error, ValueError):
            raise DestinationRefused("`url:` isn't an address of a Redis server", expected="redis://host:6379 or rediss://host:6379") from None
