"""One connection: start, login, and messages until it ends."""

from __future__ import annotations

import asyncio
import logging
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from headwater.errors import AuthenticationFailed, HeadwaterError, Interrupted
from headwater.security.principals import Principal
from headwater.security.scram import ScramExchange
from headwater.serving.postgres import codec, failures, settings
from headwater.serving.postgres.codec import Malformed, Payload
from headwater.serving.postgres.copying import Copy
from headwater.serving.postgres.encode import Field, fields
from headwater.serving.postgres.executing import Attention, Outcome, Prepared, Session
from headwater.serving.postgres.failures import WireError
from headwater.serving.postgres.settings import Settings
from headwater.serving.postgres.types import wire_type
from headwater.serving.postgres.values import BATCH_ROWS, decode_parameter

if TYPE_CHECKING:
    import ssl

    from headwater.serving.postgres.catalog import Catalogs
    from headwater.serving.postgres.encode import Encoder
    from headwater.serving.postgres.workers import Workers
    from headwater.serving.session import Service

_Result = TypeVar("_Result")

_log = logging.getLogger("headwater.serving")

_LOGIN_SECONDS: Final = 60.0
#: Bytes that wait to be sent before we do.
_FLUSH_BYTES: Final = 2**16
_PIECE_BYTES: Final = 2**18


@dataclass(slots=True)
class _Portal:
    """A bound statement. `outcome` once it runs; `batches` what of its rows is left."""

    prepared: Prepared
    values: list[Any]
    formats: list[int]
    outcome: Outcome | None = None
    columns: list[Field] | None = None
    batches: Iterator[Any] | None = None
    sent: int = 0
    #: Those by which it began, where not all of its rows may be asked for at once.
    rights: str | None = None

    def close(self) -> None:
        if self.outcome is not None and self.outcome.rows is not None:
            self.outcome.rows.close()


@dataclass(slots=True)
class _Batch:
    """Rows as they are sent, and whether none come after them."""

    rows: int
    parts: list[memoryview]
    is_last: bool


class _Ended(Exception):
    """The connection is over; what had to be said was said."""


class Server(Protocol):
    """What a connection needs of the server it belongs to."""

    service: Service
    tls: ssl.SSLContext | None
    encoder: Encoder
    catalogs: Catalogs
    most_connections: int
    is_closing: bool

    workers: Workers

    @property
    def connections(self) -> int: ...
    def cancel(self, number: int, secret: int) -> None: ...


class Connection:
    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int, secret: int) -> None:
        self.number = number
        self.secret = secret
        self._server = server
        self._reader = reader
        self._writer = writer
        self._out = bytearray()
        self._session: Session | None = None
        self._portals: dict[str, _Portal] = {}
        self._skips = False
        self._is_idle = True
        self._is_tls = False
        self._reported: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None

    # -- from outside ------------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        if self._session is not None and not self._is_idle:
            self._session.attention.stop(WireError("57014", "canceling statement due to user request"))

    def end_when_idle(self) -> None:
        if self._is_idle and self._task is not None:
            self._task.cancel("shutdown")

    def end_now(self) -> None:
        if self._session is not None:
            self._session.attention.stop(_SHUTDOWN)
        if self._task is not None:
            self._task.cancel("shutdown")

    # -- life --------------------------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Until the client or the server ends it. Raises nothing."""
        self._task = asyncio.current_task()
        try:
            async with asyncio.timeout(_LOGIN_SECONDS):
                session = await self._login()
            self._session = session
            await self._listen(session)
        except _Ended:
            pass
        except asyncio.CancelledError:
            await self._say_last(_SHUTDOWN)
        except (Malformed, WireError, HeadwaterError) as error:
            await self._say_last(error)
        except TimeoutError:
            await self._say_last(WireError("57014", "canceling authentication due to timeout"))
        except (OSError, EOFError, ssl.SSLError):
            pass  # the client is gone
        finally:
            for portal in self._portals.values():
                portal.close()
            if self._session is not None:
                self._session.close()
            self._writer.close()

    async def _say_last(self, error: Exception) -> None:
        try:
            self._writer.write(bytes(self._out) + failures.error_response(error, "FATAL"))
            async with asyncio.timeout(2):
                await self._writer.drain()
        except (OSError, TimeoutError, ssl.SSLError):
            pass  # the client is gone

    def _send(self, data: bytes | memoryview) -> None:
        self._out += data

    async def _flush(self) -> None:
        if self._out:
            out, self._out = self._out, bytearray()
            self._writer.write(out)
            await self._writer.drain()

    async def _stream(self, data: bytes | memoryview) -> None:
        """Sends what may be large, piece by piece: what the socket doesn't take at once is copied for each piece that it takes later."""
        if len(data) <= _FLUSH_BYTES:
            self._send(data)
            if len(self._out) > _FLUSH_BYTES:
                await self._flush()
            return
        await self._flush()
        view = memoryview(data)
        for start in range(0, len(view), _PIECE_BYTES):
            self._writer.write(view[start : start + _PIECE_BYTES])
            await self._writer.drain()

    # -- login -------------------------------------------------------------------------------------------------------

    async def _login(self) -> Session:
        parameters = await self._start()
        if self._server.is_closing:
            raise _SHUTDOWN
        if self._server.connections > self._server.most_connections:
            raise WireError("53300", "sorry, too many clients already")
        user = parameters.pop("user", "")
        if not user:
            raise WireError("28000", "no PostgreSQL user name specified in startup packet")
        database = parameters.pop("database", user) or user
        if parameters.pop("replication", "false").lower() not in ("false", "off", "no", "0"):
            raise WireError("0A000", "there is no replication here")
        chosen = Settings(user)
        for name, value in settings.options(parameters.pop("options", "")).items():
            chosen.start_with(name, value)
        for name, value in parameters.items():
            if not name.startswith("_pq_."):
                chosen.start_with(name, value)
        principal = await self._authenticate(user)
        if database not in (self._server.service.name, user):
            raise WireError("3D000", f'database "{database}" does not exist', hint=f"The database here is {self._server.service.name}.")
        self._send(codec.message(b"R", struct.pack("!i", 0)))
        session = Session(self._server.service, self._server.catalogs, principal, chosen, user)
        self._report(session)
        self._send(codec.message(b"K", struct.pack("!iI", self.number, self.secret)))
        self._send(codec.ready(b"I"))
        await self._flush()
        return session

    async def _start(self) -> dict[str, str]:
        asked: set[int] = set()
        while True:
            payload = Payload(await codec.read_startup(self._reader))
            code = payload.int32()
            if code in (codec.SSL_REQUEST, codec.GSSENC_REQUEST):
                if code in asked or self._is_tls:
                    raise Malformed("encryption was asked for twice")
                asked.add(code)
                if getattr(self._reader, "_buffer", b""):
                    raise Malformed("data came in front of the encryption")  # it could be an attacker's, taken for the client's
                if code == codec.GSSENC_REQUEST or self._server.tls is None:
                    self._writer.write(b"N")
                else:
                    self._writer.write(b"S")
                    await self._writer.start_tls(self._server.tls, ssl_handshake_timeout=15)
                    self._is_tls = True
                await self._writer.drain()
                continue
            if code == codec.CANCEL_REQUEST:
                self._server.cancel(payload.int32(), payload.int32() & 0xFFFFFFFF)
                raise _Ended
            if code >> 16 != codec.PROTOCOL_3:
                raise WireError("08P01", f"unsupported frontend protocol {code >> 16}.{code & 0xFFFF}: server supports 3.0")
            parameters = codec.startup_parameters(payload)
            payload.end()
            unknown = [name for name in parameters if name.startswith("_pq_.")]
            if code & 0xFFFF or unknown:
                listed = b"".join(codec.text(name) for name in unknown)
                self._send(codec.message(b"v", struct.pack("!ii", codec.PROTOCOL_3 << 16, len(unknown)) + listed))
            return parameters

    async def _authenticate(self, user: str) -> Principal:
        service = self._server.service
        address = (self._writer.get_extra_info("peername") or (None,))[0]
        secret = await self._apart(lambda: service.scram_secret(user))
        if secret is not None:
            exchange = ScramExchange(secret)
            self._send(codec.message(b"R", struct.pack("!i", 10) + b"SCRAM-SHA-256\0\0"))
            payload = await self._password_message()
            if payload.text() != "SCRAM-SHA-256":
                raise WireError("28000", "SCRAM-SHA-256 is the method offered")
            try:
                self._send(codec.message(b"R", struct.pack("!i", 11) + exchange.first(payload.sized() or b"")))
                final = exchange.final((await self._password_message()).rest())
                credential = exchange.credential or ""
                principal = await self._apart(lambda: service.login_scram(user, credential, door="postgres", address=address))
            except AuthenticationFailed as error:
                await self._apart(lambda: service.scram_failed(user, door="postgres", address=address))
                raise WireError("28P01", f'password authentication failed for user "{user}"') from error
            self._send(codec.message(b"R", struct.pack("!i", 12) + final))
            return principal
        if not self._is_tls:
            raise WireError(
                "28000",
                f'no password of user "{user}" is taken on a connection without TLS',
                hint="Connect with sslmode=require, or with a token.",
            )
        self._send(codec.message(b"R", struct.pack("!i", 3)))
        payload = await self._password_message()
        password = payload.text()
        payload.end()
        try:
            return await self._apart(lambda: service.login_password(user, password, door="postgres", address=address))
        except HeadwaterError as error:
            raise WireError("28P01", f'password authentication failed for user "{user}"', hint=error.hint) from error

    async def _password_message(self) -> Payload:
        await self._flush()
        kind, payload = await codec.read_message(self._reader, codec.MOST_BEFORE_LOGIN)
        if kind != b"p":
            raise Malformed("a password message was expected")
        return payload

    def _report(self, session: Session) -> None:
        """ParameterStatus for what changed of the settings that clients follow."""
        for name in settings.REPORTED:
            value = session.settings.get(name) or ""
            if self._reported.get(name) != value:
                self._reported[name] = value
                self._send(codec.parameter_status(session.settings.spelled(name), value))

    # -- work in threads ---------------------------------------------------------------------------------------------

    async def _apart(self, work: Callable[[], _Result]) -> _Result:
        return await self._server.workers.begin(work).wait()

    async def _work(self, session: Session, work: Callable[[], _Result], deadline: float | None) -> _Result:
        """Runs a piece of a statement in a thread; stops it when time is up, it is cancelled, or the client has gone."""
        loop = asyncio.get_running_loop()
        attention = session.attention

        def look() -> None:
            if deadline is not None and loop.time() >= deadline:
                attention.stop(WireError("57014", "canceling statement due to statement timeout"))
            elif self._reader.at_eof() or self._writer.is_closing():
                attention.stop(WireError("57P01", "the client is gone"))
            elif attention.reason is not None:
                attention.stop(attention.reason)

        job = self._server.workers.begin(work, look)
        try:
            return await job.wait()
        except asyncio.CancelledError:
            attention.stop(_SHUTDOWN)
            with suppress(Exception):
                await asyncio.wait_for(job.wait(), 5)
            raise
        except (Interrupted, HeadwaterError):
            attention.check()
            raise

    # -- messages ----------------------------------------------------------------------------------------------------

    async def _listen(self, session: Session) -> None:
        handlers: dict[bytes, Callable[[Session, Payload], Awaitable[None]]] = {
            b"P": self._parse,
            b"B": self._bind,
            b"D": self._describe,
            b"E": self._execute,
            b"C": self._close,
        }
        while True:
            self._is_idle = not self._portals
            if self._server.is_closing and session.status == b"I":
                raise _SHUTDOWN
            kind, payload = await codec.read_message(self._reader, codec.MOST_AFTER_LOGIN)
            self._is_idle = False
            if kind == b"X":
                raise _Ended
            if kind == b"S":
                payload.end()
                await self._sync(session)
            elif self._skips or kind in b"dcf":
                continue
            elif kind == b"H":
                await self._flush()
            elif kind == b"Q":
                sql = payload.text()
                payload.end()
                await self._query(session, sql)
            elif kind == b"F":
                self._send(failures.error_response(WireError("0A000", "functions are called in queries here")))
                await self._sync(session)
            elif kind in handlers:
                try:
                    await handlers[kind](session, payload)
                except (Malformed, OSError, EOFError):
                    raise
                except Exception as error:  # a statement's failure is the client's to know, and no end of the connection
                    self._failed(session, error)
                    self._skips = True
            else:
                raise Malformed(f"there is no message of type {kind!r}")
            if len(self._out) > _FLUSH_BYTES:
                await self._flush()

    def _failed(self, session: Session, error: Exception) -> None:
        if not isinstance(error, (WireError, HeadwaterError)):
            _log.error("a statement failed with %s", type(error).__name__, exc_info=error)
        self._send(failures.error_response(error))
        if session.status == b"T":
            session.status = b"E"

    async def _sync(self, session: Session) -> None:
        self._skips = False
        if session.status == b"I":
            self._drop_portals()
        self._report(session)
        self._send(codec.ready(session.status))
        await self._flush()

    def _drop_portals(self) -> None:
        for portal in self._portals.values():
            portal.close()
        self._portals.clear()

    def _begin_statement(self, session: Session) -> float | None:
        """A new statement can be stopped anew; gives when it must be done, in the loop's time."""
        session.attention = Attention()
        seconds = session.settings.timeout_seconds
        return None if seconds is None else asyncio.get_running_loop().time() + seconds

    async def _query(self, session: Session, sql: str) -> None:
        """The simple protocol: all statements of a text, up to the first that fails."""
        self._portals.pop("", None)
        try:
            deadline = self._begin_statement(session)
            statements = session.statements(sql)
            if not statements:
                self._send(codec.EMPTY_QUERY)
            for statement in statements:
                deadline = self._begin_statement(session)
                prepared = await self._work(session, partial(session.prepare, statement, is_described=False), deadline)
                if prepared.oids:
                    raise WireError("42P02", "there is no parameter $1")
                portal = _Portal(prepared, [], [])
                try:
                    first = await self._run(session, portal, 0, deadline)
                    if portal.columns is not None and portal.outcome is not None and portal.outcome.copy is None:
                        self._send(codec.row_description(portal.columns))
                    await self._send_rows(session, portal, 0, deadline, first)
                finally:
                    portal.close()
        except (OSError, EOFError):
            raise
        except Exception as error:  # a statement's failure is the client's to know, and no end of the connection
            self._failed(session, error)
        await self._sync(session)

    async def _parse(self, session: Session, payload: Payload) -> None:
        name, sql = payload.text(), payload.text()
        oids = [payload.int32() & 0xFFFFFFFF for _ in range(payload.count())]
        payload.end()
        deadline = self._begin_statement(session)
        if not name:
            session.prepared.pop(name, None)
        session.keep(name, await self._work(session, lambda: session.prepare(sql, oids), deadline))
        self._send(codec.PARSE_COMPLETE)

    async def _bind(self, session: Session, payload: Payload) -> None:
        portal_name, statement_name = payload.text(), payload.text()
        codes = [payload.int16() for _ in range(payload.count())]
        raw = [payload.sized() for _ in range(payload.count())]
        formats = [payload.int16() for _ in range(payload.count())]
        payload.end()
        prepared = session.statement(statement_name)
        session.refuse_when_failed(prepared.sql)
        if len(raw) != len(prepared.oids):
            found = f'bind message supplies {len(raw)} parameters, but prepared statement "{statement_name}" requires {len(prepared.oids)}'
            raise WireError("08P01", found)
        if len(codes) not in (0, 1, len(raw)) or any(code not in (0, 1) for code in codes):
            raise WireError("08P01", "the parameters' formats don't fit the parameters")
        each = codes * len(raw) if len(codes) == 1 else codes or [0] * len(raw)
        values = [decode_parameter(one, oid, bool(code)) for one, oid, code in zip(raw, prepared.oids, each, strict=True)]
        if prepared.columns is not None:
            _check_formats(formats, len(prepared.columns))
        if portal_name and portal_name in self._portals:
            raise WireError("42P03", f'portal "{portal_name}" already exists')
        old = self._portals.pop(portal_name, None)
        if old is not None:
            old.close()
        self._portals[portal_name] = _Portal(prepared, values, formats)
        self._send(codec.BIND_COMPLETE)

    def _portal(self, name: str) -> _Portal:
        if name not in self._portals:
            raise WireError("34000", f'portal "{name}" does not exist')
        return self._portals[name]

    async def _describe(self, session: Session, payload: Payload) -> None:
        kind, name = payload.take(1), payload.text()
        payload.end()
        if kind == b"S":
            prepared, formats = session.statement(name), []
            self._send(codec.parameter_description(prepared.oids))
        elif kind == b"P":
            declared = session.cursor_columns(name) if name not in self._portals else None
            if declared is not None:
                self._send(codec.row_description(_fields([one for one, _ in declared], [type for _, type in declared], [])))
                return
            portal = self._portal(name)
            prepared, formats = portal.prepared, portal.formats
        else:
            raise Malformed("a statement or a portal can be described")
        session.refuse_when_failed(prepared.sql)
        if prepared.columns is None:
            self._send(codec.NO_DATA)
        else:
            names, types = [name for name, _ in prepared.columns], [type for _, type in prepared.columns]
            self._send(codec.row_description(_fields(names, types, formats)))

    async def _execute(self, session: Session, payload: Payload) -> None:
        portal, most = self._portal(payload.text()), payload.int32()
        payload.end()
        deadline = self._begin_statement(session)
        most = max(most, 0)
        if portal.rights is not None:
            await self._work(session, partial(session.refuse_when_changed, portal.rights), deadline)
        first = await self._run(session, portal, most, deadline) if portal.outcome is None else None
        await self._send_rows(session, portal, most, deadline, first)

    async def _run(self, session: Session, portal: _Portal, most: int, deadline: float | None) -> _Batch | None:
        """Runs a portal's statement; gives the first batch of up to `most` rows (0: as many as there are), where it gives rows."""
        first = await self._work(session, partial(self._begun, session, portal, most), deadline)
        assert portal.outcome is not None
        for state, text in portal.outcome.notices:
            self._send(codec.notice(b"N", "WARNING", state, {"M": text}))
        return first

    def _begun(self, session: Session, portal: _Portal, most: int) -> _Batch | None:
        """In a thread. The first rows are fetched at once: most answers have no others."""
        prepared = portal.prepared
        portal.rights = session.rights() if most else None
        outcome = portal.outcome = session.execute(prepared, portal.values)
        if outcome.rows is None:
            return None
        portal.columns = _fields(outcome.rows.columns, outcome.rows.types, [] if outcome.copy else portal.formats)
        said = prepared.columns if outcome.copy is None else None
        if said is not None and [wire_type(type).oid for _, type in said] != [column.wire.oid for column in portal.columns]:
            raise WireError("0A000", "cached plan must not change result type", hint="Prepare the statement again.")
        portal.batches = outcome.rows.batches
        return self._encoded(session, portal, outcome.copy, most if most and outcome.copy is None else None)

    async def _send_rows(self, session: Session, portal: _Portal, most: int, deadline: float | None, first: _Batch | None) -> None:
        """Up to `most` rows (0: all) of a portal, and its CommandComplete or PortalSuspended. `first` is what was fetched already."""
        outcome = portal.outcome
        assert outcome is not None
        if outcome.rows is None or portal.batches is None or portal.columns is None:
            self._send(codec.complete(outcome.tag) if outcome.tag else codec.EMPTY_QUERY)
            return
        copy = outcome.copy
        if copy is not None:
            self._send(codec.copy_out_response(len(portal.columns), copy.format == "binary"))
            if copy.has_header:
                self._send(codec.message(b"d", copy.header([column.name for column in portal.columns])))
            most = 0
        sent = 0
        is_done = False
        while not is_done and not (most and sent >= most):
            left = most - sent if most else None
            taken = first if first is not None else await self._work(session, partial(self._encoded, session, portal, copy, left), deadline)
            first = None
            sent += taken.rows
            is_done = taken.is_last
            for place, part in enumerate(taken.parts):
                is_first = copy is not None and copy.format == "binary" and sent == taken.rows and place == 0
                await self._stream(codec.with_copy_header(part) if is_first else part)
        portal.sent += sent
        if not is_done:
            self._send(codec.PORTAL_SUSPENDED)
            return
        if copy is not None:
            if copy.format == "binary":
                self._send(codec.COPY_BINARY_TRAILER if sent else codec.with_copy_header(codec.COPY_BINARY_TRAILER))
            self._send(codec.COPY_DONE)
        self._send(codec.complete("EXPLAIN" if outcome.tag == "EXPLAIN" else f"{outcome.tag} {sent if copy is None else portal.sent}"))

    def _encoded(self, session: Session, portal: _Portal, copy: Copy | None, most: int | None) -> _Batch:
        """The next batch's rows, encoded; behind the last the portal is closed. In a thread."""
        assert portal.batches is not None
        assert portal.columns is not None
        session.attention.check()
        encoder = self._server.encoder
        batch = next(portal.batches, None)
        while batch is not None and not batch.num_rows:
            batch = next(portal.batches, None)
        if batch is None:
            portal.close()
            return _Batch(0, [], True)
        if most is not None and batch.num_rows > most:
            portal.batches = chain([batch.slice(most)], portal.batches)
            batch = batch.slice(0, most)
        if copy is None:
            parts = encoder.data_rows(batch, portal.columns)
        elif copy.format == "binary":
            parts = encoder.copy_binary(batch, portal.columns)
        else:
            parts = encoder.copy_text(batch, portal.columns, copy.line)
        encoded = _Batch(batch.num_rows, list(parts), False)
        if batch.num_rows < BATCH_ROWS and most is None:  # most likely the last one: it is quicker to look now than to come back
            following = next(portal.batches, None)
            if following is not None:
                portal.batches = chain([following], portal.batches)
            else:
                encoded.is_last = True
                portal.close()
        return encoded

    async def _close(self, session: Session, payload: Payload) -> None:
        kind, name = payload.take(1), payload.text()
        payload.end()
        if kind == b"S":
            session.prepared.pop(name, None)
        elif kind == b"P":
            portal = self._portals.pop(name, None)
            if portal is not None:
                portal.close()
        else:
            raise Malformed("a statement or a portal can be closed")
        self._send(codec.CLOSE_COMPLETE)


_SHUTDOWN: Final = WireError("57P01", "terminating connection due to administrator command")


def _check_formats(formats: Sequence[int], columns: int) -> None:
    if len(formats) not in (0, 1, columns) or any(code not in (0, 1) for code in formats):
        raise WireError("08P01", "the formats of the results don't fit the columns")


def _fields(names: Sequence[str], types: Sequence[str], formats: Sequence[int]) -> list[Field]:
    _check_formats(formats, len(names))
    return fields(names, types, formats)
