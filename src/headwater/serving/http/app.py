"""The requests this door answers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, urlencode

import anyio
import anyio.to_thread
import pyarrow as pa
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headwater.errors import HeadwaterError, Interrupted, LimitReached, TableNotFound, UsageError
from headwater.security.principals import Principal
from headwater.serving.facets import Checkable, KeepsHot, Versioned
from headwater.serving.http import openapi, problems
from headwater.serving.http.formats import FORMATS, Format, negotiate
from headwater.serving.http.problems import Refused
from headwater.serving.http.streaming import Streaming, gathered
from headwater.serving.http.tables import Page, find_table, plan_page
from headwater.serving.http.texts import Style
from headwater.serving.jobs import LEFT, Job, Monitor, closed_engine, portions
from headwater.serving.limits import DoorLimits
from headwater.serving.logins import Logins, is_loopback
from headwater.serving.noting import note_refused, noted
from headwater.serving.session import Service, VisibleTable

log = logging.getLogger("headwater.serving")

MOST_PARAMETERS: Final = 1000
_SECURITY: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_VARY: Final = "Accept, Authorization, X-Headwater-Purpose"
#: Bytes of a page that is kept until its last row is known; a page ends there, whatever its limit.
_PAGE_BYTES: Final = 32 * 2**20

T = TypeVar("T")


class HttpDoor:
    """What the endpoints share. `app` is the ASGI application."""

    def __init__(self, service: Service, monitor: Monitor, limits: DoorLimits) -> None:
        self.service = service
        self.monitor = monitor
        self.limits = limits
        self.logins = Logins(service, "http")
        self.is_stopping = False
        monitor.every_second(self.logins.tidy)
        self._engine = closed_engine()
        self._turns = asyncio.Semaphore(limits.queries)
        # logins hash passwords and must not wait behind queries, nor queries behind logins
        self._query_threads = anyio.CapacityLimiter(limits.queries)
        self._encoding_threads = anyio.CapacityLimiter(limits.queries)
        self._login_threads = anyio.CapacityLimiter(4)
        routes = [
            Route("/v1/query", self.post_query, methods=["POST"]),
            Route("/v1/tables", self.get_tables, methods=["GET"]),
            Route("/v1/tables/{table}", self.get_table, methods=["GET"]),
            Route("/openapi.json", self.get_openapi, methods=["GET"]),
            Route("/health", self.get_health, methods=["GET"]),
            Route("/ready", self.get_ready, methods=["GET"]),
        ]
        self.app: ASGIApp = _Outermost(self, Router(routes, redirect_slashes=False))
        #: The connections by the address of their client; kept by the server.
        self.transports: dict[tuple[str, int], asyncio.Transport] = {}
        self.realm = "".join(character for character in service.name if character.isalnum() or character in "_-")

    def close(self) -> None:
        self._engine.close()

    # -- endpoints -------------------------------------------------------------------------------------------------

    async def post_query(self, request: Request) -> Response:
        principal = await self._principal(request)
        format, style = _negotiated(request)
        sql, parameters = read_query(await self._body(request))
        return _Stream(self, principal, sql, parameters, format, style)

    async def get_tables(self, request: Request) -> Response:
        principal = await self._principal(request)
        _refuse_words(request)
        tables = await self._in_thread(self._listed, principal)
        return _json({"tables": [_described(table) for table in tables]}, {"Cache-Control": "private, no-store"})

    async def get_table(self, request: Request) -> Response:
        principal = await self._principal(request)
        format, style = _negotiated(request)
        table = await self._in_thread(self._found, principal, request.path_params["table"])
        words = _words(request)
        page = plan_page(table, words, most_rows=self.limits.page, default_rows=min(self.limits.default_page, self.limits.page))
        headers = {"Vary": _VARY, "Cache-Control": "private, no-cache"}
        version = await self._in_thread(self.service.version, principal) if isinstance(self.service, Versioned) else None
        if version is not None:
            headers["ETag"] = _etag(version, principal, str(table.name), words, format.media_type, repr(style))
            if _is_known(request.headers.get("if-none-match"), headers["ETag"]):
                return Response(status_code=304, headers=headers)
        return await self._page(request, principal, page, format, style, headers)

    async def get_openapi(self, request: Request) -> Response:
        return _json(openapi.document(self.service.name, self.limits), {"Cache-Control": "public, max-age=300"})

    async def get_health(self, request: Request) -> Response:
        """The process lives."""
        return _json({"status": "ok"}, {"Cache-Control": "no-store"})

    async def get_ready(self, request: Request) -> Response:
        """Queries can be answered."""
        if self.is_stopping:
            return _json({"status": "stopping"}, {"Cache-Control": "no-store"}, 503)
        if isinstance(self.service, Checkable):
            try:
                await self._in_thread(self.service.check)
            except HeadwaterError as error:
                return _json({"status": "unavailable", "code": error.code}, {"Cache-Control": "no-store"}, 503)
        kept, missing = self.service.hot_tables() if isinstance(self.service, KeepsHot) else (0, 0)
        told = {"hot_tables": {"in_memory": kept, "not_in_memory": missing}} if kept or missing else {}
        return _json({"status": "ready", **told}, {"Cache-Control": "no-store"})

    # -- parts -----------------------------------------------------------------------------------------------------

    def _listed(self, principal: Principal) -> Sequence[VisibleTable]:
        with noted(self.service, principal, "GET /v1/tables") as note:
            tables = self.service.tables(principal)
            note.rows = len(tables)
        return tables

    def _found(self, principal: Principal, name: str) -> VisibleTable:
        """That it isn't there is an answer about the catalog; of one that is, the query for its rows tells the audit."""
        tables = self.service.tables(principal)
        try:
            return find_table(tables, name)
        except TableNotFound:
            with noted(self.service, principal, f"GET /v1/tables/{name}"):
                raise

    async def _principal(self, request: Request) -> Principal:
        header, purpose = _one(request, "Authorization"), _one(request, "X-Headwater-Purpose")
        address = request.client.host if request.client else None
        is_private = request.url.scheme == "https" or is_loopback(address)
        work = partial(self.logins.principal, header, address, purpose, is_private=is_private)
        return await anyio.to_thread.run_sync(work, limiter=self._login_threads)

    async def _body(self, request: Request) -> bytes:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refused(415, UsageError("a query is sent as application/json", found=kind[:100] or "no Content-Type"))
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refused(415, UsageError("a query is sent without Content-Encoding"))
        most = self.limits.body
        too_large = Refused(413, UsageError("the request is too large", expected=f"up to {most} bytes"), {"Connection": "close"})
        length = request.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > most:
            raise too_large
        body = bytearray()
        try:
            with anyio.fail_after(self.limits.idle):
                async for part in request.stream():
                    body += part
                    if len(body) > most:
                        raise too_large
        except TimeoutError:
            raise Refused(408, UsageError("the request took too long to come"), {"Connection": "close"}) from None
        return bytes(body)

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await anyio.to_thread.run_sync(partial(work, *arguments), limiter=self._query_threads)

    @asynccontextmanager
    async def turn(self, principal: Principal, sql: str) -> AsyncIterator[None]:
        """One of the queries that may run at once. Raises LimitReached when none is free in time, which is noted."""
        if self.is_stopping:
            raise Refused(503, LimitReached("the server is stopping"), {"Retry-After": "5"})
        try:
            with anyio.fail_after(self.limits.wait):
                await self._turns.acquire()
        except TimeoutError:
            refusal = LimitReached("as many queries run as may at once", expected=f"up to {self.limits.queries}", hint="try again in a moment")
            await anyio.to_thread.run_sync(note_refused, self.service, principal, sql, refusal, limiter=self._login_threads)
            raise Refused(503, refusal, {"Retry-After": "1"}) from None
        try:
            yield
        finally:
            self._turns.release()

    def job(self, principal: Principal, sql: str, parameters: Sequence[Any]) -> Job:
        return Job(self.service, self.monitor, principal, sql, parameters, seconds=self.limits.seconds, idle=2 * self.limits.idle)

    def streaming(self, job: Job, format: type[Format], style: Style) -> Streaming:
        return Streaming(job, self._engine, format, style, self._query_threads, self._encoding_threads)

    def cut(self, client: tuple[str, int] | None) -> None:
        """Ends a client's connection at once."""
        if client is not None and (transport := self.transports.get(client)) is not None:
            transport.abort()

    async def give_back(self, streaming: Streaming) -> None:
        with anyio.CancelScope(shield=True):
            await streaming.stop()
            await anyio.to_thread.run_sync(streaming.close, limiter=self._login_threads)

    async def _page(
        self, request: Request, principal: Principal, page: Page, format: type[Format], style: Style, headers: dict[str, str]
    ) -> Response:  # fmt: skip
        async with self.turn(principal, page.sql):
            job = self.job(principal, page.sql, page.parameters)

            def work() -> tuple[bytes, str | None]:
                try:
                    return self._read_page(job, page, format, style)
                finally:
                    job.close()

            body, cursor = await _unless_left(request.receive, job, self._in_thread(work))
        if cursor is not None:
            others = [(word, value) for word, value in _words(request) if word != "cursor"]
            headers["Link"] = f'<{request.url.path}?{urlencode([*others, ("cursor", cursor)])}>; rel="next"'
        return Response(body, media_type=format.media_type, headers=headers)

    def _read_page(self, job: Job, page: Page, format: type[Format], style: Style) -> tuple[bytes, str | None]:
        """The page's bytes, and the cursor of the next one where there is one."""
        count = len(page.columns)
        schema = job.start()
        batches: list[pa.RecordBatch] = []
        rows = size = 0
        is_cut = False
        while not is_cut and (batch := job.next()) is not None:
            for part in portions(batch):
                if size and size + part.nbytes > _PAGE_BYTES:
                    is_cut = True
                    break
                batches.append(part)
                rows += part.num_rows
                size += part.nbytes
        table = pa.Table.from_batches(batches, schema)
        if rows > page.limit:
            table, is_cut = table.slice(0, page.limit), True
        keys = list(zip(*(table.column(index).to_pylist() for index in range(count, table.num_columns)), strict=True)) if is_cut else []
        shown = table.select(list(range(count)))
        made = format(self._engine, shown.schema, job.types[:count], style)
        try:
            parts = [made.head(), *(made.rows(batch) for batch in shown.to_batches() if batch.num_rows), made.tail()]
        finally:
            made.close()
        return b"".join(parts), page.cursor_after(keys) if keys else None


class _Stream(Response):
    """The rows of a query as they come. Few batches are on their way at once: a slow reader costs little memory, one who has gone no time."""

    def __init__(self, door: HttpDoor, principal: Principal, sql: str, parameters: Sequence[Any], format: type[Format], style: Style) -> None:
        super().__init__(media_type=format.media_type, headers={"Vary": _VARY, "Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._door = door
        self._principal = principal
        self._sql = sql
        self._parameters = parameters
        self._format = format
        self._style = style

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door = self._door
        async with door.turn(self._principal, self._sql):
            job = door.job(self._principal, self._sql, self._parameters)
            streaming = door.streaming(job, self._format, self._style)
            try:
                first = await _unless_left(receive, job, streaming.begin())
                await _send_in_time(door, scope, send, {"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await _unless_left(receive, job, self._send_all(streaming, first, scope, send))
            finally:
                await door.give_back(streaming)

    async def _send_all(self, streaming: Streaming, first: list[bytes], scope: Scope, send: Send) -> None:
        parts: list[bytes] | None = first
        while parts is not None:
            for part in gathered(parts):
                await _send_in_time(self._door, scope, send, {"type": "http.response.body", "body": part, "more_body": True})
            parts = await streaming.next()
        await _send_in_time(self._door, scope, send, {"type": "http.response.body", "body": b"", "more_body": False})


class _Left(Exception):
    """Nobody is there to be answered."""


class _Outermost:
    """Turns what is raised into problem details, and puts on every answer the headers that all have."""

    def __init__(self, door: HttpDoor, router: Router) -> None:
        self._door = door
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        scope["app"] = self._door  # so that the router raises where it finds no route
        has_started = False
        common = {**_SECURITY, **({"Strict-Transport-Security": "max-age=31536000"} if scope["scheme"] == "https" else {})}

        async def send_with_headers(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                message["headers"] = [*message["headers"], *((name.lower().encode(), value.encode()) for name, value in common.items())]
            await send(message)

        try:
            if sum(len(name) + len(value) for name, value in scope["headers"]) + len(scope["query_string"]) > self._door.limits.headers:
                raise Refused(431, UsageError("the request's head is too large", expected=f"up to {self._door.limits.headers} bytes"))
            await self._router(scope, receive, send_with_headers)
        except (ClientDisconnect, _Left):
            return
        except Exception as error:
            answer = self._answer(error)
            if has_started:
                # what has been sent can't be taken back; the connection is closed in the midst of the body, so that nobody takes it for the whole
                log.warning("an answer broke off: %s", error.code if isinstance(error, HeadwaterError) else type(error).__name__)
                return
            await answer(scope, receive, send_with_headers)

    def _answer(self, error: Exception) -> Response:
        headers = {"Cache-Control": "no-store"}
        if isinstance(error, HTTPException):
            what = {404: "there is nothing at this address", 405: "this address doesn't take that method"}.get(
                error.status_code, "the request can't be read"
            )
            headers |= dict(error.headers or {})
            error = Refused(error.status_code, UsageError(what, hint="/openapi.json says what there is"), headers)
        if isinstance(error, Refused):
            return Response(problems.problem(error.error, error.status), error.status, {**headers, **error.headers}, problems.MEDIA_TYPE)
        if not isinstance(error, HeadwaterError):
            reference = secrets.token_hex(6)
            log.error("fault %s in the HTTP door", reference, exc_info=error)
            return Response(problems.fault(reference), 500, headers, problems.MEDIA_TYPE)
        status = problems.status_of(error)
        if status == 401:
            headers["WWW-Authenticate"] = f'Bearer realm="{self._door.realm}", Basic realm="{self._door.realm}", charset="UTF-8"'
        if error.retry == "yes" and status in (429, 503):
            headers["Retry-After"] = "1"
        return Response(problems.problem(error, status), status, headers, problems.MEDIA_TYPE)


async def _unless_left(receive: Receive, job: Job, work: Awaitable[T]) -> T:
    """The work's result; meanwhile a client that goes away stops the job. Raises _Left where that is why there is none."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        job.stop(LEFT)

    watcher = asyncio.ensure_future(watch())
    try:
        return await work
    except Interrupted:
        if job.stopped == LEFT:
            raise _Left from None
        raise
    finally:
        watcher.cancel()


async def _send_in_time(door: HttpDoor, scope: Scope, send: Send, message: Message) -> None:
    """Sends, or gives up on a client that takes nothing for too long: its connection is cut."""
    try:
        with anyio.fail_after(door.limits.idle):
            await send(message)
    except TimeoutError:
        door.cut(scope["client"])
        raise _Left from None


def read_query(body: bytes) -> tuple[str, list[Any]]:
    """The statement and its parameters. Raises UsageError."""
    try:
        found = json.loads(body, parse_float=_number, parse_constant=_no_constant, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        found = str(error) if isinstance(error, json.JSONDecodeError) else None
        raise UsageError("the body isn't JSON as it is taken here", expected=_EXPECTED, found=found) from None
    if not isinstance(found, dict) or not found.keys() <= {"sql", "parameters"} or not isinstance(found.get("sql"), str):
        raise UsageError("the body isn't a query", expected=_EXPECTED)
    parameters = found.get("parameters", [])
    if not isinstance(parameters, list) or len(parameters) > MOST_PARAMETERS or not all(_is_value(value) for value in parameters):
        raise UsageError("the parameters can't be read", expected=f"up to {MOST_PARAMETERS} of text, number, boolean, null and lists of them")
    if not _is_text(found["sql"]):
        raise UsageError("the statement holds characters that aren't text")
    return found["sql"], parameters


_EXPECTED: Final = '{"sql": "SELECT ..", "parameters": [..]}'


def _number(text: str) -> Decimal | float:
    """As exact as it is written, where it is no power of ten and DuckDB has a decimal for it."""
    if "e" in text.lower() or len(text) > 38:
        return float(text)
    return Decimal(text)


def _no_constant(text: str) -> None:
    raise ValueError("NaN and infinities are written as text")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _is_value(value: object, depth: int = 0) -> bool:
    if isinstance(value, list):
        return depth < 4 and all(_is_value(item, depth + 1) for item in value)
    if isinstance(value, str):
        return _is_text(value)
    if isinstance(value, int):
        return -(2**127) <= value < 2**127
    return value is None or (isinstance(value, (Decimal, float)) and value == value and abs(value) != float("inf"))


def _is_text(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _negotiated(request: Request) -> tuple[type[Format], Style]:
    found = negotiate(", ".join(request.headers.getlist("accept")) or None)
    if found is None:
        raise Refused(406, UsageError("none of the formats asked for is given here", expected=", ".join(FORMATS)))
    return found


def _one(request: Request, name: str) -> str | None:
    """Raises UsageError where whoever stands between may have read another one of them."""
    values = request.headers.getlist(name)
    if len(values) > 1:
        raise UsageError(f"{name} is given twice")
    return values[0] if values else None


def _words(request: Request) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            request.scope["query_string"].decode("ascii"), keep_blank_values=True, strict_parsing=False, errors="strict", max_num_fields=200
        )
    except ValueError:
        raise UsageError("the query string can't be read", expected="up to 200 words in UTF-8, percent-encoded") from None


def _refuse_words(request: Request) -> None:
    if _words(request):
        raise UsageError("the list of tables takes no words")


def _etag(*parts: object) -> str:
    version, principal, *rest = parts
    assert isinstance(principal, Principal)
    text = json.dumps([version, principal.kind, principal.name, principal.purpose, rest])
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def _is_known(header: str | None, etag: str) -> bool:
    known = [one.strip().removeprefix("W/") for one in (header or "").split(",")]
    return etag in known or "*" in known


def _described(table: VisibleTable) -> dict[str, Any]:
    return {
        "name": str(table.name),
        "kind": table.kind,
        "description": table.description,
        "columns": [
            {"name": column.name, "type": column.type, "nullable": column.nullable, "description": column.description} for column in table.columns
        ],
        "primary_key": list(table.primary_key),
        "relationships": [{"column": one.column, "to": str(one.to), "field": one.field} for one in table.relationships],
    }


def _json(content: object, headers: dict[str, str], status: int = 200) -> Response:
    return Response(json.dumps(content, ensure_ascii=False), status, headers, "application/json")
