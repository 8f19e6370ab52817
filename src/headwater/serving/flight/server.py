"""The Flight SQL door: gRPC by pyarrow, commands read by hand."""

from __future__ import annotations

import functools
import logging
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.flight as flight

from headwater.errors import (
    AuthenticationFailed,
    DoorError,
    HeadwaterError,
    IdentityError,
    Interrupted,
    LimitReached,
    QueryError,
    StatementRefused,
    TableNotFound,
    UsageError,
)
from headwater.security.principals import Principal
from headwater.serving.facets import Accountable
from headwater.serving.flight import catalog, parameters
from headwater.serving.flight.protobuf import Fields, Malformed, pack, unpack, write
from headwater.serving.jobs import LEFT, Job, Monitor, closed_engine, portions
from headwater.serving.limits import DoorLimits
from headwater.serving.listening import address_of, listen
from headwater.serving.logins import Basic, Logins, is_loopback, parse_authorization
from headwater.serving.noting import noted, refusals_noted
from headwater.serving.session import Service
from headwater.spec.names import quote

log = logging.getLogger("headwater.serving")

#: How long an unused prepared statement is kept, in seconds; how many are at most, and how many bytes they and their parameters are.
_PREPARED_SECONDS: Final = 3600.0
_MOST_PREPARED: Final = 10_000
_MOST_PREPARED_BYTES: Final = 128 * 2**20
_UPDATES: Final = ("CommandStatementUpdate", "CommandPreparedStatementUpdate", "CommandStatementIngest", "CommandStatementSubstraitPlan")
_ACTIONS: Final = {
    "CreatePreparedStatement": "Makes a prepared statement of a query",
    "ClosePreparedStatement": "Forgets a prepared statement",
    "CancelQuery": "Stops a query",
    "CancelFlightInfo": "Stops a query",
    "CloseSession": "Forgets the session's token",
}

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class _Running:
    """A query that has started and waits for, or is giving, its rows. `owner` alone may have them, once, and by the `rights` it began with."""

    owner: tuple[str, str]
    job: Job
    schema: pa.Schema
    rights: str | None
    is_taken: bool = False


@dataclass(slots=True)
class _Prepared:
    owner: tuple[str, str]
    sql: str
    size_bytes: int
    parameters: list[Any] = field(default_factory=list)
    used: float = field(default_factory=time.monotonic)


class _Call(flight.ServerMiddleware):
    """What the headers of a call say; the answer to a handshake carries a session's token."""

    def __init__(self, authorization: str | None, purpose: str | None, token: str | None) -> None:
        self.authorization = authorization
        self.purpose = purpose
        self._token = token

    def sending_headers(self) -> Any:
        return {} if self._token is None else {"authorization": f"Bearer {self._token}"}


class _Calls(flight.ServerMiddlewareFactory):
    def __init__(self, logins: Logins) -> None:
        self._logins = logins

    def start_call(self, info: Any, headers: dict[str, list[Any]]) -> _Call:
        lower = {name.lower(): values for name, values in headers.items()}
        try:
            authorization, purpose = _one(lower, "authorization"), _one(lower, "x-headwater-purpose")
        except HeadwaterError as error:
            raise _flight_error(error) from None
        token = None
        if info.method == flight.FlightMethod.HANDSHAKE:
            try:
                given = parse_authorization(authorization)
                if not isinstance(given, Basic):
                    raise AuthenticationFailed("a handshake is for a name and a password", hint="a token is sent with each call, as Bearer")
                token = self._logins.open_session(given)
            except HeadwaterError as error:
                raise _flight_error(error) from None
        return _Call(authorization, purpose, token)


class _Handshakes(flight.ServerAuthHandler):
    """Lets handshakes pass: what they carry is in their headers, and checked by the first call."""

    def authenticate(self, outgoing: Any, incoming: Any) -> None:
        return None

    def is_valid(self, token: Any) -> Any:
        return b""


def _answered(handler: Callable[Concatenate[FlightDoor, P], T]) -> Callable[Concatenate[FlightDoor, P], T]:
    """Whatever a handler raises leaves as an error of Flight; a fault of our own without its text."""

    @functools.wraps(handler)
    def answer(door: FlightDoor, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return handler(door, *args, **kwargs)
        except Exception as error:
            raise _flight_error(error) from None

    return answer  # type: ignore[return-value] # mypy takes the name of the first parameter for a part of the type


class FlightDoor(flight.FlightServerBase):
    """A running door; `certificate` and `key` are PEM files, without them it is plain gRPC. Raises DoorClosed when it can't listen."""

    def __init__(
        self,
        service: Service,
        monitor: Monitor,
        host: str,
        port: int,
        *,
        certificate: Path | None = None,
        key: Path | None = None,
        limits: DoorLimits | None = None,
    ) -> None:
        # gRPC shares a port that is taken already with whoever has it; an ordinary socket tells
        with listen(host, port) as probe:
            port = probe.getsockname()[1]
        self._service = service
        self._monitor = monitor
        self._limits = limits or DoorLimits()
        self._logins = Logins(service, "flight")
        self._engine = closed_engine()
        self._lock = threading.Lock()
        self._running: dict[bytes, _Running] = {}
        self._prepared: dict[bytes, _Prepared] = {}
        self._turns = threading.BoundedSemaphore(self._limits.queries)
        self._is_stopping = False
        self.host = host
        self.is_secure = certificate is not None and key is not None
        pair: Any = [(certificate.read_bytes(), key.read_bytes())] if certificate is not None and key is not None else None
        monitor.every_second(self._tidy)
        super().__init__(
            f"grpc{'+tls' if self.is_secure else '+tcp'}://{address_of(host, port)}",
            auth_handler=_Handshakes(),
            tls_certificates=pair,
            middleware={"call": _Calls(self._logins)},
        )

    @property
    def url(self) -> str:
        return f"grpc{'+tls' if self.is_secure else ''}://{address_of(self.host, self.port)}"

    def refuse_new(self) -> None:
        """New queries are told that the server is stopping."""
        self._is_stopping = True

    def stop(self) -> None:
        """Ends what runs, and then the door. Idempotent."""
        self._is_stopping = True
        with self._lock:
            running = list(self._running.values())
        for one in running:
            one.job.stop("the server is stopping")
            one.job.close()
        self.shutdown()
        self._engine.close()

    # -- calls -----------------------------------------------------------------------------------------------------

    @_answered
    def get_flight_info(self, context: Any, descriptor: Any) -> Any:
        principal = self._principal(context)
        command = descriptor.command or b""
        name, fields = unpack(command)
        if name == "CommandStatementQuery":
            return self._begin(context, principal, descriptor, self._sql(principal, fields.text(1)), ())
        if name == "CommandPreparedStatementQuery":
            prepared = self._find_prepared(principal, fields.data(1))
            return self._begin(context, principal, descriptor, prepared.sql, prepared.parameters)
        schema = _catalog_schema(name, fields)
        return flight.FlightInfo(schema, descriptor, [flight.FlightEndpoint(command, [])], -1, -1)

    def get_schema(self, context: Any, descriptor: Any) -> Any:
        try:
            return self._schema(context, descriptor)
        except flight.FlightError as error:  # pyarrow gives these a status in all calls but this one
            raise InvalidArgument(str(error)) from None

    @_answered
    def _schema(self, context: Any, descriptor: Any) -> Any:
        principal = self._principal(context)
        name, fields = unpack(descriptor.command or b"")
        if name == "CommandStatementQuery":
            return flight.SchemaResult(self._describe(principal, self._sql(principal, fields.text(1)))[0])
        if name == "CommandPreparedStatementQuery":
            return flight.SchemaResult(self._describe(principal, self._find_prepared(principal, fields.data(1)).sql)[0])
        return flight.SchemaResult(_catalog_schema(name, fields))

    @_answered
    def do_get(self, context: Any, ticket: Any) -> Any:
        principal = self._principal(context)
        name, fields = unpack(ticket.ticket)
        if name == "TicketStatementQuery":
            handle = fields.data(1) or b""
            found = self._take(principal, handle)
            return flight.GeneratorStream(found.schema, self._rows(context, handle, found))
        with noted(self._service, principal, f"{name} {fields}".rstrip()) as note:
            table = self._catalog(principal, name, fields)
            note.rows = table.num_rows
        return flight.RecordBatchStream(table)

    @_answered
    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        principal = self._principal(context)
        name, fields = unpack(descriptor.command or b"")
        if name != "CommandPreparedStatementQuery":
            with refusals_noted(self._service, principal, (fields.text(1) if name == _UPDATES[0] else None) or name):
                raise _refused(name)
        handle = fields.data(1) or b""
        prepared = self._find_prepared(principal, handle)
        rows: list[list[Any]] = []
        size = 0
        for chunk in reader:
            parameters.check(chunk.data)
            size += chunk.data.nbytes
            if size > self._limits.body or len(rows) + chunk.data.num_rows > 1:
                raise UsageError("a query takes one row of parameters", expected=f"one row, up to {self._limits.body} bytes")
            rows += parameters.rows_of(chunk.data)
        with self._lock:
            prepared.parameters = rows[0] if rows else []
            prepared.size_bytes = len(prepared.sql) + size
            self._make_room(0)
        writer.write(pa.py_buffer(write({1: handle})))

    @_answered
    def do_action(self, context: Any, action: Any) -> list[Any]:
        principal = self._principal(context)
        body = action.body.to_pybytes()
        if action.type == "CreatePreparedStatement":
            _, fields = unpack(body)
            return [self._prepare(principal, self._sql(principal, fields.text(1)))]
        if action.type == "ClosePreparedStatement":
            _, fields = unpack(body)
            with self._lock:
                handle = fields.data(1) or b""
                if handle in self._prepared and self._prepared[handle].owner == _owner(principal):
                    del self._prepared[handle]
            return []
        if action.type in ("CancelQuery", "CancelFlightInfo"):
            return [self._cancel(principal, action.type, body)]
        if action.type == "CloseSession":
            was_open = self._logins.close_session(context.get_middleware("call").authorization)
            return [write({1: 1 if was_open else 3})]
        if action.type in ("BeginTransaction", "EndTransaction", "BeginSavepoint", "EndSavepoint"):
            raise NotImplementedError("there are no transactions here: each query sees what is published")
        raise NotImplementedError("this server doesn't know the action")

    @_answered
    def list_actions(self, context: Any) -> Any:
        return list(_ACTIONS.items())

    @_answered
    def list_flights(self, context: Any, criteria: Any) -> Any:
        raise NotImplementedError("tables are listed by Flight SQL's CommandGetTables")

    @_answered
    def do_exchange(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        raise NotImplementedError("this server has no exchange")

    # -- parts -----------------------------------------------------------------------------------------------------

    def _principal(self, context: Any) -> Principal:
        if self._is_stopping:
            raise LimitReached("the server is stopping")
        call = context.get_middleware("call")
        address = _address(context.peer())
        return self._logins.principal(call.authorization, address, call.purpose, is_private=self.is_secure or is_loopback(address))

    def _sql(self, principal: Principal, text: str | None) -> str:
        with refusals_noted(self._service, principal, text or ""):
            if not text or "\x00" in text:
                raise UsageError("there is no query in it")
            if len(text) > self._limits.body:
                raise UsageError("the statement is too long", expected=f"up to {self._limits.body} characters")
            return text

    def _rights(self, principal: Principal) -> str | None:
        """What they may see, as a word to compare. Raises AuthenticationFailed where they may not be here any more."""
        return self._service.rights(principal) if isinstance(self._service, Accountable) else None

    def _take(self, principal: Principal, handle: bytes) -> _Running:
        """The query of a ticket, whose rows are given by what its owner may see now."""
        rights = self._rights(principal)
        with self._lock:
            found = self._running.get(handle)
            if found is None or found.owner != _owner(principal) or found.is_taken:
                raise UsageError("there is no such ticket", expected="one of yours, used once and soon", hint="ask for the query again")
            if rights == found.rights:
                found.is_taken = True
                return found
            del self._running[handle]
        found.job.close()
        raise UsageError("what this session may see has changed since the query began", hint="ask for the query again")

    def _begin(self, context: Any, principal: Principal, descriptor: Any, sql: str, parameters: Sequence[Any]) -> Any:
        rights = self._rights(principal)
        with refusals_noted(self._service, principal, sql):
            if not self._turns.acquire(timeout=self._limits.wait):
                raise LimitReached("as many queries run as may at once", expected=f"up to {self._limits.queries}", hint="try again in a moment")
        job = Job(
            self._service,
            self._monitor,
            principal,
            sql,
            parameters,
            seconds=self._limits.seconds,
            idle=self._limits.idle,
            is_gone=context.is_cancelled,
            on_close=self._turns.release,
        )
        schema = job.start()
        job.watch(None)  # the context ends with this call
        handle = secrets.token_bytes(32)
        with self._lock:
            self._running[handle] = _Running(_owner(principal), job, schema, rights)
        ticket = pack("TicketStatementQuery", write({1: handle}))
        return flight.FlightInfo(schema, descriptor, [flight.FlightEndpoint(ticket, [])], -1, -1)

    def _rows(self, context: Any, handle: bytes, running: _Running) -> Iterator[pa.RecordBatch]:
        job = running.job
        job.watch(context.is_cancelled)
        reading = ThreadPoolExecutor(1, "headwater-flight")
        following: Future[pa.RecordBatch | None] | None = None
        try:
            following = reading.submit(job.next)  # one batch is read while the one before it is sent
            while (batch := following.result()) is not None:
                following = reading.submit(job.next)
                yield from portions(batch)
        except Exception as error:
            raise _flight_error(error) from None
        finally:
            if following is not None and not following.done():
                job.stop(LEFT)
            reading.shutdown()
            job.watch(None)
            job.close()
            with self._lock:
                self._running.pop(handle, None)

    def _describe(self, principal: Principal, sql: str) -> tuple[pa.Schema, pa.Schema]:
        """The schemas of a query's result and of its parameters."""
        described = self._service.describe(principal, sql, ())
        result = self._schema_of([(column.name, column.type) for column in described.columns])
        names = [(f"parameter_{place}", type) for place, type in enumerate(described.parameters, 1)]
        return result, self._schema_of([(name, '"NULL"' if type in ("UNKNOWN", "NULL") else type) for name, type in names])

    def _schema_of(self, columns: Sequence[tuple[str, str]]) -> pa.Schema:
        """As DuckDB's own Arrow has it."""
        if not columns:
            return pa.schema([])
        # by names of our own, since two columns of a result may have the same
        casts = ", ".join(f"CAST(NULL AS {type}) AS {quote(f'c{index}')}" for index, (_, type) in enumerate(columns))
        with self._engine.connection() as connection:
            found = connection.execute(f"SELECT {casts} LIMIT 0").arrow().schema
        return pa.schema([field.with_name(name) for field, (name, _) in zip(found, columns, strict=True)])

    def _prepare(self, principal: Principal, sql: str) -> bytes:
        result, taken = self._describe(principal, sql)
        handle = secrets.token_bytes(32)
        with self._lock:
            self._make_room(1)
            self._prepared[handle] = _Prepared(_owner(principal), sql, len(sql))
        fields = {1: handle, 2: result.serialize().to_pybytes(), 3: taken.serialize().to_pybytes()}
        return pack("ActionCreatePreparedStatementResult", write(fields))

    def _make_room(self, more: int) -> None:
        """Whoever keeps most gives the oldest of theirs: nobody's are crowded out by others. Called with the lock."""
        while len(self._prepared) + more > _MOST_PREPARED or sum(one.size_bytes for one in self._prepared.values()) > _MOST_PREPARED_BYTES:
            kept: Counter[tuple[str, str]] = Counter()
            for one in self._prepared.values():
                kept[one.owner] += 1 + one.size_bytes
            most = kept.most_common(1)[0][0]
            del self._prepared[next(handle for handle, one in self._prepared.items() if one.owner == most)]

    def _find_prepared(self, principal: Principal, handle: bytes | None) -> _Prepared:
        with self._lock:
            found = self._prepared.get(handle or b"")
            if found is None or found.owner != _owner(principal):
                raise UsageError("there is no such prepared statement", hint="prepare it again")
            found.used = time.monotonic()
            return found

    def _cancel(self, principal: Principal, kind: str, body: bytes) -> bytes:
        """Answers cancelled (1), or that there is nothing to cancel (3)."""
        fields = unpack(body)[1] if kind == "CancelQuery" else Fields(body)
        info = flight.FlightInfo.deserialize(fields.data(1) or b"")
        was_found = False
        for endpoint in info.endpoints:
            name, ticket = unpack(endpoint.ticket.ticket)
            handle = ticket.data(1) or b""
            with self._lock:
                found = self._running.get(handle) if name == "TicketStatementQuery" else None
                if found is None or found.owner != _owner(principal):
                    continue
                if not found.is_taken:
                    del self._running[handle]
            found.job.stop("the query was cancelled")
            if not found.is_taken:
                found.job.close()
            was_found = True
        result = write({1: 1 if was_found else 3})
        return pack("ActionCancelQueryResult", result) if kind == "CancelQuery" else result

    def _catalog(self, principal: Principal, name: str, fields: Fields) -> pa.Table:
        service = self._service
        match name:
            case "CommandGetCatalogs":
                return catalog.catalogs(service.name)
            case "CommandGetDbSchemas":
                return catalog.schemas(service.name, fields, service.tables(principal))
            case "CommandGetTables":
                return catalog.tables(service.name, fields, service.tables(principal), self._schema_of)
            case "CommandGetTableTypes":
                return catalog.table_types()
            case "CommandGetPrimaryKeys":
                return catalog.primary_keys(service.name, fields, service.tables(principal))
            case "CommandGetExportedKeys" | "CommandGetImportedKeys" | "CommandGetCrossReference":
                which = name.removeprefix("CommandGet").removesuffix("Keys").removesuffix("Reference")
                return catalog.foreign_keys(service.name, fields, service.tables(principal), which)
            case "CommandGetXdbcTypeInfo":
                return catalog.types(fields)
            case "CommandGetSqlInfo":
                return catalog.info(service.name, fields)
        raise _refused(name)

    def _tidy(self) -> None:
        self._logins.tidy()
        now = time.monotonic()
        with self._lock:
            for handle in [handle for handle, one in self._running.items() if one.job.is_closed]:
                del self._running[handle]
            for handle in [handle for handle, one in self._prepared.items() if now - one.used > _PREPARED_SECONDS]:
                del self._prepared[handle]


_SCHEMAS: Final = {
    "CommandGetCatalogs": catalog.CATALOGS,
    "CommandGetDbSchemas": catalog.SCHEMAS,
    "CommandGetTableTypes": catalog.TABLE_TYPES,
    "CommandGetPrimaryKeys": catalog.PRIMARY_KEYS,
    "CommandGetExportedKeys": catalog.FOREIGN_KEYS,
    "CommandGetImportedKeys": catalog.FOREIGN_KEYS,
    "CommandGetCrossReference": catalog.FOREIGN_KEYS,
    "CommandGetXdbcTypeInfo": catalog.TYPES,
    "CommandGetSqlInfo": catalog.INFO,
}


def _catalog_schema(name: str, fields: Fields) -> pa.Schema:
    if name == "CommandGetTables":
        return catalog.TABLES_WITH_SCHEMAS if fields.flag(5) else catalog.TABLES
    if name not in _SCHEMAS:
        raise _refused(name)
    return _SCHEMAS[name]


def _refused(name: str) -> Exception:
    if name in _UPDATES:
        return StatementRefused("nothing is changed through this door", expected="a query", hint="tables change by `headwater run` alone")
    return NotImplementedError("this server doesn't know the command")


def _no_cause(error: object) -> None:
    raise AttributeError("__cause__")


class InvalidArgument(pa.ArrowInvalid):
    """Arrow puts Python's traceback into what it tells the client, when it can format one: it can't format these, and says their name alone."""

    __cause__: Any = property(_no_cause)


class NotFound(pa.ArrowKeyError):
    __cause__: Any = property(_no_cause)


class Unimplemented(pa.ArrowNotImplementedError):
    __cause__: Any = property(_no_cause)


def _flight_error(error: Exception) -> Exception:
    """The error that becomes the right status of gRPC."""
    if isinstance(error, (flight.FlightError, InvalidArgument, NotFound, Unimplemented)):
        return error
    if isinstance(error, Malformed):
        return InvalidArgument(f"the command can't be read: {error}")
    if isinstance(error, NotImplementedError):
        return Unimplemented(str(error))
    text = str(error)
    match error:
        case AuthenticationFailed():
            return flight.FlightUnauthenticatedError(text)
        case Interrupted() if error.what in (LEFT, "the query was cancelled"):
            return flight.FlightCancelledError(text)
        case Interrupted():
            return flight.FlightTimedOutError(text)
        case TableNotFound():
            return NotFound(text)
        case HeadwaterError(retry="yes"):
            return flight.FlightUnavailableError(text)
        case StatementRefused() | IdentityError() | DoorError():
            return flight.FlightUnauthorizedError(text)
        case QueryError() | UsageError():
            return InvalidArgument(text)
        case HeadwaterError():
            return flight.FlightInternalError(text)
    reference = secrets.token_hex(6)
    log.error("fault %s in the Flight door", reference, exc_info=error)
    return flight.FlightInternalError(f"something broke in the server; its log says what, under {reference}")


def _owner(principal: Principal) -> tuple[str, str]:
    return principal.kind, principal.name


def _one(headers: dict[str, list[Any]], name: str) -> str | None:
    values = headers.get(name) or [None]
    if any(value != values[0] for value in values):  # whoever stands between may have read another one of them
        raise UsageError(f"{name} is given twice, and differently")
    return values[0] if isinstance(values[0], str) else None


def _address(peer: str) -> str | None:
    """The address in gRPC's `ipv4:1.2.3.4:5` or `ipv6:[::1]:5`."""
    found = re.fullmatch(r"ipv[46]:(.+):\d+", unquote(peer))
    return None if found is None else found[1].strip("[]")
