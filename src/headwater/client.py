"""A client for Headwater's HTTP door: `headwater.connect(url, token).query("SELECT ..").arrow()`. Needs the standard library and pyarrow alone."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit
from uuid import UUID

from headwater import errors
from headwater.errors import AnswerBroken, HeadwaterError, ServerFault, ServerUnreachable, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

_ARROW: Final = "application/vnd.apache.arrow.stream"
#: Bytes of an answer that is no table: the list of tables, a problem.
_MOST_JSON: Final = 64 * 2**20
#: Characters of a number that the server reads exactly.
_MOST_DIGITS: Final = 38


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `type` is DuckDB's name of it."""

    name: str
    type: str
    nullable: bool
    description: str | None


@dataclass(frozen=True, slots=True)
class Table:
    """A table one may see. `name` is `schema.table`; `relationships` are (column, table, column there)."""

    name: str
    kind: str
    description: str | None
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    relationships: tuple[tuple[str, str, str], ...]


class Answer:
    """The rows of one query, read once: by `arrow`, `rows` or `batches`. Closed when all is read, or by `close`."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        import pyarrow as pa

        self._connection = connection
        self._response = response
        self._reader: pa.RecordBatchReader | None = None
        try:
            self._reader = pa.ipc.open_stream(pa.PythonFile(cast(Any, _Body(response)), mode="r"))
        except (pa.ArrowException, OSError, http.client.HTTPException) as error:
            self.close()
            raise _broken() from error
        self.schema: pa.Schema = self._reader.schema

    @property
    def columns(self) -> list[str]:
        return list(self.schema.names)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Arrow batches as they come. Raises AnswerBroken when the server gives up midway."""
        import pyarrow as pa

        reader = self._taken()
        try:
            while True:
                try:
                    yield reader.read_next_batch()
                except StopIteration:
                    return
                except (pa.ArrowException, OSError, http.client.HTTPException) as error:
                    raise _broken() from error
        finally:
            self.close()

    def arrow(self) -> pa.Table:
        """All rows as one Arrow table."""
        import pyarrow as pa

        return pa.Table.from_batches(list(self.batches()), self.schema)

    def rows(self) -> list[tuple[Any, ...]]:
        """All rows as tuples of Python's values."""
        found: list[tuple[Any, ...]] = []
        for batch in self.batches():
            found += zip(*(column.to_pylist() for column in batch.columns), strict=True)
        return found

    def close(self) -> None:
        """Tells the server that no more is wanted. Idempotent."""
        self._response.close()
        self._connection.close()

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _taken(self) -> pa.RecordBatchReader:
        reader, self._reader = self._reader, None
        if reader is None:
            raise UsageError("the answer was read already", hint="ask again, or keep the result of .arrow()")
        return reader


class Client:
    """A server and who asks it. Thread-safe: each query has a connection of its own. `repr` shows no secret."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        user: str | None = None,
        password: str | None = None,
        certificate: str | Path | None = None,
        purpose: str | None = None,
        timeout: float | None = 330.0,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment or parts.path.strip("/"):
            raise UsageError("the address can't be read", expected="https://host:port, without user and password in it")
        if (token is None) == (user is None) or (user is None) != (password is None):
            raise UsageError("who asks isn't clear", expected="a token, or user and password")
        self.url = f"{parts.scheme}://{parts.netloc}"
        self._host, self._port = parts.hostname, parts.port
        if token is not None:
            authorization = f"Bearer {token}"
        else:
            authorization = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
        self._headers = {"Authorization": authorization, "User-Agent": "headwater"}
        if purpose is not None:
            self._headers["X-Headwater-Purpose"] = purpose
        if any(not value.isascii() or not value.isprintable() for value in self._headers.values()):
            raise UsageError("a token or a purpose holds characters that can't be sent")
        self._timeout = timeout
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            try:
                self._tls = ssl.create_default_context(cafile=certificate)
            except (OSError, ssl.SSLError) as error:
                raise UsageError("the certificate can't be read", expected="a PEM file", found=str(certificate)) from error

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> Answer:
        """Runs one query; its parameters stand as `?` or `$1` in it. Raises what the server raised, by its code; ServerUnreachable; AnswerBroken."""
        body = f'{{"sql": {json.dumps(sql)}, "parameters": {_written(list(parameters))}}}'.encode()
        return Answer(*self._ask("POST", "/v1/query", body, {"Content-Type": "application/json", "Accept": _ARROW}))

    def tables(self) -> list[Table]:
        """The tables one may see, with their columns."""
        connection, response = self._ask("GET", "/v1/tables", None, {"Accept": "application/json"})
        try:
            found = _read_json(response)
        finally:
            connection.close()
        try:
            return [
                Table(
                    table["name"],
                    table["kind"],
                    table["description"],
                    tuple(Column(one["name"], one["type"], one["nullable"], one["description"]) for one in table["columns"]),
                    tuple(table["primary_key"]),
                    tuple((one["column"], one["to"], one["field"]) for one in table["relationships"]),
                )
                for table in found["tables"]
            ]
        except (KeyError, TypeError) as error:
            raise ServerFault("the list of tables can't be read", hint="is it a Headwater server, and as new as this client?") from error

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection: http.client.HTTPConnection
        if self._tls is not None:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._tls)
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        try:
            connection.request(method, path, body, {**self._headers, **headers})
            response = connection.getresponse()
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise ServerUnreachable(
                f"the certificate of {self.url} isn't trusted", found=error.verify_message, hint="give certificate= the server's authority.pem"
            ) from error  # fmt: skip
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise ServerUnreachable(f"{self.url} doesn't answer", found=getattr(error, "strerror", None) or type(error).__name__) from error
        if response.status != 200:
            try:
                raise _error_of(response)
            finally:
                connection.close()
        return connection, response


def connect(
    url: str,
    token: str | None = None,
    *,
    user: str | None = None,
    password: str | None = None,
    certificate: str | Path | None = None,
    purpose: str | None = None,
    timeout: float | None = 330.0,
) -> Client:
    """A client for the server at `url` (`https://host:8080`), which nothing is asked of yet.

    A `token`, or `user` and `password`, say who asks, `purpose` what for. `certificate` is a PEM file to trust instead of the
    system's: the `authority.pem` of a server that made its own. `timeout` is in seconds, of each wait for the server.
    """
    return Client(url, token, user=user, password=password, certificate=certificate, purpose=purpose, timeout=timeout)


class _Body:
    """A response as a file that Arrow reads."""

    closed = False

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response

    def read(self, size: int = -1) -> bytes:
        return self._response.read(None if size < 0 else size)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def _written(value: Any) -> str:
    """A parameter as JSON."""
    match value:
        case None | bool() | int() | str():
            return json.dumps(value)
        case float():
            return json.dumps(value if value - value == 0 else str(value))  # NaN and infinities as text
        case Decimal():
            return _exactly(value)
        case UUID():
            return json.dumps(str(value))
        case datetime() | date() | time():
            return json.dumps(value.isoformat())
        case list() | tuple():
            return f"[{', '.join(map(_written, value))}]"
    raise UsageError(
        "a parameter can't be sent", expected="text, a number, a boolean, a date or time, a UUID, None, or a list of them", found=type(value).__name__
    )


def _exactly(value: Decimal) -> str:
    """A number with its point, which the server takes for a decimal; as text where that would round it."""
    if value.is_finite() and max(abs(value.adjusted()), abs(int(value.as_tuple().exponent))) <= _MOST_DIGITS:
        text = f"{value:f}"
        text = text if "." in text else f"{text}.0"
        if len(text) <= _MOST_DIGITS:
            return text
    return json.dumps(str(value))


def _read_json(response: http.client.HTTPResponse) -> Any:
    try:
        text = response.read(_MOST_JSON + 1)
        if len(text) > _MOST_JSON:
            raise ValueError("too long")
        return json.loads(text)
    except http.client.HTTPException as error:
        raise _broken() from error
    except (OSError, ValueError, RecursionError) as error:
        raise ServerFault("the server's answer can't be read", hint="is it a Headwater server?") from error


def _error_of(response: http.client.HTTPResponse) -> HeadwaterError:
    """The error that the server told of, by its code; ServerFault where it told nothing of ours."""
    if not (response.getheader("Content-Type") or "").startswith("application/problem+json"):
        return ServerFault(f"the server answered {response.status}", hint="is it a Headwater server?")
    try:
        problem = _read_json(response)
    except HeadwaterError as error:
        return error
    if not isinstance(problem, dict) or not isinstance(problem.get("detail"), str):
        return ServerFault(f"the server answered {response.status}")
    kind = _BY_CODE.get(str(problem.get("code")))
    said: dict[str, Any] = {key: str(problem[key]) for key in ("expected", "found", "state", "hint") if isinstance(problem.get(key), str)}
    if kind is None:
        return ServerFault(f"the server answered {problem.get('code')}: {problem['detail']}", **said)
    return kind(problem["detail"], **said)


def _broken() -> AnswerBroken:
    return AnswerBroken("the answer broke off", hint="ask again; the server's log says why")


def _kinds(kind: type[HeadwaterError]) -> Iterator[type[HeadwaterError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _kinds(one)


#: Errors that are made of a text alone; the others are a project's own and don't travel.
_BY_CODE: Final = {
    kind.code: kind for kind in _kinds(HeadwaterError) if kind.__init__ is HeadwaterError.__init__ and kind.__module__ == errors.__name__
}
