"""A connection's life: start, login, listening until it ends, and the work it gives to threads."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from headwater.errors import AuthenticationFailed, HeadwaterError, Interrupted, PasswordExpired
from headwater.security.principals import Principal
from headwater.security.scram import ScramExchange
from headwater.serving.postgres import codec, failures, settings
from headwater.serving.postgres.codec import Malformed, Payload
from headwater.serving.postgres.executing import Session
from headwater.serving.postgres.failures import WireError
from headwater.serving.postgres.messages import Messages
from headwater.serving.postgres.output import Output
from headwater.serving.postgres.settings import Settings

if TYPE_CHECKING:
    import ssl

    from headwater.serving.postgres.catalog.catalogs import Catalogs
    from headwater.serving.postgres.encode import Encoder
    from headwater.serving.postgres.workers import Workers
    from headwater.serving.session import Service

_Result = TypeVar("_Result")

_LOGIN_SECONDS: Final = 60.0
#: Told whoever fails without TLS, whatever they tried: it mustn't tell whose the name is.
_IN_CLEAR: Final = "Without TLS tokens and generated passwords are taken; a password that a person chose over TLS alone: sslmode=require."


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
        self._output = Output(writer)
        self._session: Session | None = None
        self._is_idle = True
        self._is_tls = False
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
        messages: Messages | None = None
        try:
            async with asyncio.timeout(_LOGIN_SECONDS):
                session, messages = await self._login()
            await self._listen(session, messages)
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
            if messages is not None:
                messages.drop_portals()
            if self._session is not None:
                self._session.close()
            self._writer.close()

    async def _say_last(self, error: Exception) -> None:
        await self._output.send_last(failures.error_response(error, "FATAL"))

    # -- login -------------------------------------------------------------------------------------------------------

    async def _login(self) -> tuple[Session, Messages]:
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
        chosen = Settings(user, has_tls=self._server.tls is not None)
        for name, value in settings.options(parameters.pop("options", "")).items():
            chosen.start_with(name, value)
        for name, value in parameters.items():
            if not name.startswith("_pq_."):
                chosen.start_with(name, value)
        principal = await self._authenticate(user)
        if database not in (self._server.service.name, user):
            raise WireError("3D000", f'database "{database}" does not exist', hint=f"The database here is {self._server.service.name}.")
        self._output.send(codec.message(b"R", struct.pack("!i", 0)))
        session = self._session = Session(self._server.service, self._server.catalogs, principal, chosen, user)
        session.number = self.number
        messages = Messages(session, self._output, self._server.encoder, partial(self._work, session))
        messages.report()
        for text in chosen.notices:
            self._output.send(codec.notice(b"N", "NOTICE", "00000", {"M": text, "H": "Write AT TIME ZONE where another is meant."}))
        self._output.send(codec.message(b"K", struct.pack("!iI", self.number, self.secret)))
        self._output.send(codec.ready(b"I"))
        await self._output.flush()
        return session, messages

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
                self._output.send(codec.message(b"v", struct.pack("!ii", codec.PROTOCOL_3 << 16, len(unknown)) + listed))
            return parameters

    async def _authenticate(self, user: str) -> Principal:
        service = self._server.service
        address = (self._writer.get_extra_info("peername") or (None,))[0]
        secret = await self._apart(lambda: service.scram_secret(user, may_ask=self._is_tls))
        if secret is not None:
            exchange = ScramExchange(secret)
            self._output.send(codec.message(b"R", struct.pack("!i", 10) + b"SCRAM-SHA-256\0\0"))
            payload = await self._password_message()
            if payload.text() != "SCRAM-SHA-256":
                raise WireError("28000", "SCRAM-SHA-256 is the method offered")
            try:
                self._output.send(codec.message(b"R", struct.pack("!i", 11) + exchange.first(payload.sized() or b"")))
                final = exchange.final((await self._password_message()).rest())
            except AuthenticationFailed as error:
                await self._apart(lambda: service.scram_failed(user, door="postgres", address=address))
                raise self._failed_login(user, None if self._is_tls else _IN_CLEAR) from error
            credential = exchange.credential or ""
            try:
                principal = await self._apart(lambda: service.login_scram(user, credential, door="postgres", address=address))
            except HeadwaterError as error:
                raise self._failed_login(user, error) from error
            self._output.send(codec.message(b"R", struct.pack("!i", 12) + final))
            return principal
        self._output.send(codec.message(b"R", struct.pack("!i", 3)))
        payload = await self._password_message()
        password = payload.text()
        payload.end()
        try:
            return await self._apart(lambda: service.login_password(user, password, door="postgres", address=address))
        except HeadwaterError as error:
            raise self._failed_login(user, error) from error

    def _failed_login(self, user: str, why: HeadwaterError | str | None) -> WireError:
        """What a client is told: with the hint `why`, or that of the error; a password that is right and only too old is said to be so."""
        detail = f"{why.code} {why.what}" if isinstance(why, PasswordExpired) else None
        hint = why.hint if isinstance(why, HeadwaterError) else why
        return WireError("28P01", f'password authentication failed for user "{user}"', detail=detail, hint=hint)

    async def _password_message(self) -> Payload:
        await self._output.flush()
        kind, payload = await codec.read_message(self._reader, codec.MOST_BEFORE_LOGIN)
        if kind != b"p":
            raise Malformed("a password message was expected")
        return payload

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

    async def _listen(self, session: Session, messages: Messages) -> None:
        while True:
            self._is_idle = not messages.has_portals
            if self._server.is_closing and session.status == b"I":
                raise _SHUTDOWN
            kind, payload = await codec.read_message(self._reader, codec.MOST_AFTER_LOGIN)
            self._is_idle = False
            if kind == b"X":
                raise _Ended
            if kind == b"S":
                payload.end()
                await messages.sync()
            elif messages.skips or kind in b"dcf":
                continue
            elif kind == b"H":
                await self._output.flush()
            elif kind == b"Q":
                sql = payload.text()
                payload.end()
                await messages.query(sql)
            elif kind == b"F":
                self._output.send(failures.error_response(WireError("0A000", "functions are called in queries here")))
                await messages.sync()
            else:
                await messages.handle(kind, payload)
            if self._output.is_full:
                await self._output.flush()


_SHUTDOWN: Final = WireError("57P01", "terminating connection due to administrator command")
