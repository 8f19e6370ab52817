"""An HTTP endpoint: each batch is one request with a JSON body, and an Idempotency-Key that a repeat has, too."""

from __future__ import annotations

import email.utils
import http.client
import json
import re
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final
from urllib.parse import SplitResult, urljoin, urlsplit

from headwater.destinations.destination import Batch, DestinationContext, Refusal, Sent, Shape
from headwater.destinations.values import json_changes
from headwater.errors import DestinationRefused, DestinationUnreachable

#: Answers that say: not now.
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 529})
#: Answers that are about what was sent.
_ROWS: Final = frozenset({400, 406, 409, 413, 422})
_MOST_REDIRECTS: Final = 3
#: Of an answer with refused rows no more is read.
_MOST_BYTES: Final = 8 * 2**20
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z_.-]{0,63}")


class HttpDestination:
    """`POST` (or what `method` says) of `{"export", "batch", "changes": [{"id", "operation", "row" or "key"}, ..]}`.

    Any answer of 2xx takes the batch. Its body may name rows that weren't: `{"rejected": [{"index": 3, "reason": "no_such_owner"}]}`; of a reason
    only a word is kept. 400, 406, 409, 413 and 422 refuse the batch, whose rows are then tried in smaller ones. Redirects are followed to the same
    host and port alone.
    """

    type: ClassVar[str] = "http"
    takes_text: ClassVar[bool] = True

    def __init__(self, context: DestinationContext) -> None:
        options = context.options
        self._name = context.name
        self._url = str(options["url"])
        self._method = str(options.get("method") or "POST")
        self._headers = {str(name): str(value) for name, value in (options.get("headers") or {}).items()}
        timeout = options.get("timeout")
        self._timeout = timeout.total_seconds() if isinstance(timeout, timedelta) else 30.0
        ca = options.get("ca")
        self._ca = str(context.project_dir / str(ca)) if ca else None
        self._connection: http.client.HTTPConnection | None = None

    @property
    def identity(self) -> str:
        parts = urlsplit(self._url)
        return f"http {parts.scheme}://{parts.hostname}:{parts.port or _port(parts)}{parts.path}"

    def check(self) -> str:
        parts = self._parts()
        try:
            connection = self._open(parts)
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(type(error).__name__) from None
        finally:
            self.close()
        return f"{parts.hostname}:{parts.port or _port(parts)} answers"

    def prepare(self, shape: Shape, *, dry_run: bool = False) -> None:
        self._parts()
        for name, value in self._headers.items():
            if any(ord(one) < 32 or ord(one) > 255 for one in name + value):
                raise DestinationRefused(f"the header {name} of the export {self._name} can't be sent", expected="one line of plain characters")

    def send(self, batch: Batch) -> Sent:
        about = f'"export": {json.dumps(self._name)}, "batch": "{batch.id}"'
        body = f'{{{about}, "changes": [{", ".join(json_changes(batch))}]}}'.encode()
        url = self._url
        for _ in range(_MOST_REDIRECTS + 1):
            status, headers, answer = self._ask(url, body, batch.id)
            if status not in (301, 302, 303, 307, 308):
                break
            url = self._redirected(url, status, headers.get("Location"))
        else:
            raise DestinationRefused(f"the endpoint of the export {self._name} redirects in a circle", found=str(status))
        if 200 <= status < 300:
            return Sent(_refusals(answer, batch))
        if status in _ROWS:
            return Sent(because=f"HTTP {status} {http.client.responses.get(status, '')}".strip())
        if status in _PASSING:
            error = self._unreachable(f"HTTP {status}")
            error.wait_seconds = _wait(headers.get("Retry-After"))
            raise error
        raise DestinationRefused(
            f"the endpoint of the export {self._name} refuses what is sent",
            found=f"HTTP {status} {http.client.responses.get(status, '')}".strip(),
            hint="check `url:` and `headers:` of the export",
        )

    def _ask(self, url: str, body: bytes, id: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body of the answer; once more where a connection kept open had been closed meanwhile."""
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Content-Type": "application/json", "User-Agent": "headwater", **self._headers, "Idempotency-Key": id}
        was_open = self._connection is not None
        try:
            connection = self._open(parts)
            connection.request(self._method, target, body, headers)
            response = connection.getresponse()
            answer = response.read(_MOST_BYTES)
            if not response.isclosed():
                self.close()
                raise self._unreachable("an answer without end")
            return response.status, response.headers, answer
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self.close()
            if was_open:
                return self._ask(url, body, id)
            raise self._unreachable(type(error).__name__) from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._unreachable(type(error).__name__) from None

    def _redirected(self, url: str, status: int, location: str | None) -> str:
        """Where to go instead. What was sent, its credentials among it, goes to no other host."""
        here, there = urlsplit(url), urlsplit(urljoin(url, location or ""))
        is_same = (here.scheme, here.hostname, here.port or _port(here)) == (there.scheme, there.hostname, there.port or _port(there))
        if status not in (307, 308) or not location or not is_same:
            raise DestinationRefused(
                f"the endpoint of the export {self._name} redirects, and that isn't followed",
                expected="a 307 or 308 to the same host",
                found=f"HTTP {status} to {there.scheme}://{there.hostname}",
                hint="give the new address as `url:`",
            )
        return there.geturl()

    def _parts(self) -> SplitResult:
        parts = urlsplit(self._url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DestinationRefused(f"the export {self._name} has no address to send to", expected="url: https://host/path")
        return parts

    def _open(self, parts: SplitResult) -> http.client.HTTPConnection:
        if self._connection is None:
            host = str(parts.hostname)
            if parts.scheme == "https":
                context = ssl.create_default_context(cafile=self._ca)
                self._connection = http.client.HTTPSConnection(host, parts.port, timeout=self._timeout, context=context)
            else:
                self._connection = http.client.HTTPConnection(host, parts.port, timeout=self._timeout)
        return self._connection

    def _unreachable(self, found: str) -> DestinationUnreachable:
        return DestinationUnreachable(f"the endpoint of the export {self._name} doesn't take the batch now", found=found, hint="run again later")

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _port(parts: SplitResult) -> int:
    return 443 if parts.scheme == "https" else 80


def _wait(text: str | None) -> float | None:
    """Seconds from a Retry-After: a number of them, or a date."""
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, ((until if until.tzinfo else until.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())


def _refusals(answer: bytes, batch: Batch) -> tuple[Refusal, ...]:
    """The rows that an answer says it didn't take. An answer of another form says nothing. A word that stands in the row itself is no reason."""
    try:
        value: Any = json.loads(answer) if answer else None
    except ValueError:
        return ()
    listed = value.get("rejected") if isinstance(value, dict) else None
    found: dict[int, str] = {}
    for item in listed if isinstance(listed, list) else ():
        index = item.get("index") if isinstance(item, dict) else None
        if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(batch):
            word = item.get("reason")
            is_word = isinstance(word, str) and _WORD.fullmatch(word) is not None
            is_value = is_word and any(str(word).lower() in str(value).lower() for value in _row(batch, index))
            found[index] = f"refused ({word})" if is_word and not is_value else "refused"
    return tuple(Refusal(index, reason) for index, reason in sorted(found.items()))


def _row(batch: Batch, index: int) -> list[Any]:
    return [column[index].as_py() for column in batch.rows.columns]
