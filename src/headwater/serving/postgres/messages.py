"""The messages of a session, and how each is answered: the simple protocol and the extended one, with its statements and portals."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from headwater.errors import AuthenticationFailed, HeadwaterError
from headwater.serving.postgres import codec, failures, settings
from headwater.serving.postgres.codec import Malformed, Payload
from headwater.serving.postgres.copying import Copy
from headwater.serving.postgres.executing import Attention, Outcome, Prepared, Session
from headwater.serving.postgres.failures import WireError
from headwater.serving.postgres.fields import Field, fields
from headwater.serving.postgres.types import wire_type
from headwater.serving.postgres.values import BATCH_ROWS, decode_parameter

if TYPE_CHECKING:
    from headwater.serving.postgres.encode import Encoder
    from headwater.serving.postgres.output import Output

_Result = TypeVar("_Result")

#: Characters or bytes that are read at once, in the thread that all sessions share.
_QUICK: Final = 65_536

_log = logging.getLogger("headwater.serving")


class Work(Protocol):
    """Runs a piece of a statement in a thread until `deadline`, in the loop's time; raises why it was stopped."""

    async def __call__(self, work: Callable[[], _Result], deadline: float | None) -> _Result: ...


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


class Messages:
    """Answers one session's messages, one after the other."""

    def __init__(self, session: Session, output: Output, encoder: Encoder, work: Work) -> None:
        self._session = session
        self._output = output
        self._encoder = encoder
        self._work = work
        self._portals: dict[str, _Portal] = {}
        self._reported: dict[str, str] = {}
        self._handlers: dict[bytes, Callable[[Payload], Awaitable[None]]] = {
            b"P": self._parse,
            b"B": self._bind,
            b"D": self._describe,
            b"E": self._execute,
            b"C": self._close,
        }
        #: The statement that is being answered; empty where none is.
        self._asked = ""
        #: After an error, until the client sends Sync.
        self.skips = False

    @property
    def has_portals(self) -> bool:
        return bool(self._portals)

    async def handle(self, kind: bytes, payload: Payload) -> None:
        """One message of the extended protocol. Raises Malformed for one that there isn't; a statement's failure is told to the client."""
        if kind not in self._handlers:
            raise Malformed(f"there is no message of type {kind!r}")
        self._asked = ""
        try:
            await self._handlers[kind](payload)
        except (Malformed, OSError, EOFError):
            raise
        except Exception as error:  # a statement's failure is the client's to know, and no end of the connection
            await self._failed(error)
            self.skips = True
            await self._output.flush()  # a client may wait for its Flush, which is skipped

    def report(self) -> None:
        """ParameterStatus for what changed of the settings that clients follow."""
        for name in settings.REPORTED:
            value = self._session.settings.get(name) or ""
            if self._reported.get(name) != value:
                self._reported[name] = value
                self._output.send(codec.parameter_status(self._session.settings.spelled(name), value))

    async def _noted(self, error: Exception) -> Exception:
        """What the client is told: the error, once the service has written down a statement that never came to it."""
        if not self._asked or self._session.attention.is_seen or isinstance(error, AuthenticationFailed):
            return error
        self._begin_statement()  # what stopped the statement doesn't stop this
        try:
            await self._work(partial(self._session.note_refused, self._asked, error), None)
        except (HeadwaterError, WireError) as unwritable:
            return unwritable
        return error

    async def _failed(self, error: Exception) -> None:
        error = await self._noted(error)
        if not isinstance(error, (WireError, HeadwaterError)):
            _log.error("a statement failed with %s", type(error).__name__, exc_info=error)
        self._output.send(failures.error_response(error))
        if self._session.status == b"T":
            self._session.status = b"E"

    async def sync(self) -> None:
        self.skips = False
        if self._session.status == b"I":
            self.drop_portals()
        self.report()
        self._output.send(codec.ready(self._session.status))
        await self._output.flush()

    def drop_portals(self) -> None:
        for portal in self._portals.values():
            portal.close()
        self._portals.clear()

    def _drop_portal(self, name: str) -> None:
        portal = self._portals.pop(name, None)
        if portal is not None:
            portal.close()

    def _begin_statement(self) -> float | None:
        """A new statement can be stopped anew; gives when it must be done, in the loop's time."""
        self._session.attention = Attention()
        seconds = self._session.settings.timeout_seconds
        return None if seconds is None else asyncio.get_running_loop().time() + seconds

    async def _briefly(self, work: Callable[[], _Result], size: int) -> _Result:
        """What takes no time for a text or parameters of an ordinary `size`; other sessions don't wait for larger ones."""
        return work() if size <= _QUICK else await self._work(work, self._begin_statement())

    async def query(self, sql: str) -> None:
        """The simple protocol: all statements of a text, up to the first that fails."""
        self._drop_portal("")
        self._asked = sql
        self._begin_statement()
        try:
            statements = await self._briefly(partial(self._session.statements, sql), len(sql))
            if not statements:
                self._output.send(codec.EMPTY_QUERY)
            for statement in statements:
                self._asked = statement
                deadline = self._begin_statement()
                prepared = await self._work(partial(self._session.prepare, statement, is_described=False), deadline)
                if prepared.oids:
                    raise WireError("42P02", "there is no parameter $1")
                portal = _Portal(prepared, [], [])
                try:
                    first = await self._run(portal, 0, deadline)
                    if portal.columns is not None and portal.outcome is not None and portal.outcome.copy is None:
                        self._output.send(codec.row_description(portal.columns))
                    await self._send_rows(portal, 0, deadline, first)
                finally:
                    portal.close()
        except (OSError, EOFError):
            raise
        except Exception as error:  # a statement's failure is the client's to know, and no end of the connection
            await self._failed(error)
        await self.sync()

    async def _parse(self, payload: Payload) -> None:
        name, sql = payload.text(), payload.text()
        oids = [payload.int32() & 0xFFFFFFFF for _ in range(payload.count())]
        payload.end()
        self._asked = sql
        deadline = self._begin_statement()
        if not name:
            self._session.prepared.pop(name, None)
        self._session.keep(name, await self._work(lambda: self._session.prepare(sql, oids), deadline))
        self._output.send(codec.PARSE_COMPLETE)

    async def _bind(self, payload: Payload) -> None:
        portal_name, statement_name = payload.text(), payload.text()
        codes = [payload.int16() for _ in range(payload.count())]
        raw = [payload.sized() for _ in range(payload.count())]
        formats = [payload.int16() for _ in range(payload.count())]
        payload.end()
        prepared = self._session.statement(statement_name)
        self._asked = prepared.sql
        self._begin_statement()
        self._session.refuse_when_failed(prepared.sql)
        if len(raw) != len(prepared.oids):
            found = f'bind message supplies {len(raw)} parameters, but prepared statement "{statement_name}" requires {len(prepared.oids)}'
            raise WireError("08P01", found)
        if len(codes) not in (0, 1, len(raw)) or any(code not in (0, 1) for code in codes):
            raise WireError("08P01", "the parameters' formats don't fit the parameters")
        each = codes * len(raw) if len(codes) == 1 else codes or [0] * len(raw)
        triples = list(zip(raw, prepared.oids, each, strict=True))

        def decode() -> list[Any]:
            return [decode_parameter(one, oid, bool(code)) for one, oid, code in triples]

        values = await self._briefly(decode, sum(len(one or b"") for one in raw))
        if prepared.columns is not None:
            _check_formats(formats, len(prepared.columns))
        if portal_name and portal_name in self._portals:
            raise WireError("42P03", f'portal "{portal_name}" already exists')
        self._drop_portal(portal_name)
        self._portals[portal_name] = _Portal(prepared, values, formats)
        self._output.send(codec.BIND_COMPLETE)

    def _portal(self, name: str) -> _Portal:
        if name not in self._portals:
            raise WireError("34000", f'portal "{name}" does not exist')
        return self._portals[name]

    async def _describe(self, payload: Payload) -> None:
        kind, name = payload.take(1), payload.text()
        payload.end()
        if kind == b"S":
            prepared, formats = self._session.statement(name), []
            self._output.send(codec.parameter_description(prepared.oids))
        elif kind == b"P":
            declared = self._session.cursor_columns(name) if name not in self._portals else None
            if declared is not None:
                self._output.send(codec.row_description(_fields([one for one, _ in declared], [type for _, type in declared], [])))
                return
            portal = self._portal(name)
            prepared, formats = portal.prepared, portal.formats
        else:
            raise Malformed("a statement or a portal can be described")
        self._session.refuse_when_failed(prepared.sql)
        if prepared.columns is None:
            self._output.send(codec.NO_DATA)
        else:
            names, types = [name for name, _ in prepared.columns], [type for _, type in prepared.columns]
            self._output.send(codec.row_description(_fields(names, types, formats)))

    async def _execute(self, payload: Payload) -> None:
        portal, most = self._portal(payload.text()), payload.int32()
        payload.end()
        self._asked = portal.prepared.sql
        deadline = self._begin_statement()
        most = max(most, 0)
        if portal.rights is not None:
            await self._work(partial(self._session.refuse_when_changed, portal.rights), deadline)
        self._session.attention.is_seen = portal.outcome is not None
        first = await self._run(portal, most, deadline) if portal.outcome is None else None
        await self._send_rows(portal, most, deadline, first)

    async def _run(self, portal: _Portal, most: int, deadline: float | None) -> _Batch | None:
        """Runs a portal's statement; gives the first batch of up to `most` rows (0: as many as there are), where it gives rows."""
        first = await self._work(partial(self._begun, portal, most), deadline)
        assert portal.outcome is not None
        for state, text in portal.outcome.notices:
            self._output.send(codec.notice(b"N", "WARNING", state, {"M": text}))
        return first

    def _begun(self, portal: _Portal, most: int) -> _Batch | None:
        """In a thread. The first rows are fetched at once: most answers have no others."""
        prepared = portal.prepared
        portal.rights = self._session.rights() if most else None
        outcome = portal.outcome = self._session.execute(prepared, portal.values)
        if outcome.rows is None:
            return None
        portal.columns = _fields(outcome.rows.columns, outcome.rows.types, [] if outcome.copy else portal.formats)
        said = prepared.columns if outcome.copy is None else None
        if said is not None and [wire_type(type).oid for _, type in said] != [column.wire.oid for column in portal.columns]:
            raise WireError("0A000", "cached plan must not change result type", hint="Prepare the statement again.")
        portal.batches = outcome.rows.batches
        return self._encoded(portal, outcome.copy, most if most and outcome.copy is None else None)

    async def _send_rows(self, portal: _Portal, most: int, deadline: float | None, first: _Batch | None) -> None:
        """Up to `most` rows (0: all) of a portal, and its CommandComplete or PortalSuspended. `first` is what was fetched already."""
        outcome = portal.outcome
        assert outcome is not None
        if outcome.rows is None or portal.batches is None or portal.columns is None:
            self._output.send(codec.complete(outcome.tag) if outcome.tag else codec.EMPTY_QUERY)
            return
        copy = outcome.copy
        if copy is not None:
            self._output.send(codec.copy_out_response(len(portal.columns), copy.format == "binary"))
            if copy.has_header:
                self._output.send(codec.message(b"d", copy.header([column.name for column in portal.columns])))
            most = 0
        sent = 0
        is_done = False
        while not is_done and not (most and sent >= most):
            left = most - sent if most else None
            taken = first if first is not None else await self._work(partial(self._encoded, portal, copy, left), deadline)
            first = None
            sent += taken.rows
            is_done = taken.is_last
            for place, part in enumerate(taken.parts):
                is_first = copy is not None and copy.format == "binary" and sent == taken.rows and place == 0
                await self._output.stream(codec.with_copy_header(part) if is_first else part)
        portal.sent += sent
        if not is_done:
            self._output.send(codec.PORTAL_SUSPENDED)
            return
        if copy is not None:
            if copy.format == "binary":
                self._output.send(codec.COPY_BINARY_TRAILER if sent else codec.with_copy_header(codec.COPY_BINARY_TRAILER))
            self._output.send(codec.COPY_DONE)
        self._output.send(codec.complete("EXPLAIN" if outcome.tag == "EXPLAIN" else f"{outcome.tag} {sent if copy is None else portal.sent}"))

    def _encoded(self, portal: _Portal, copy: Copy | None, most: int | None) -> _Batch:
        """The next batch's rows, encoded; behind the last the portal is closed. In a thread."""
        assert portal.batches is not None
        assert portal.columns is not None
        self._session.attention.check()
        encoder = self._encoder
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

    async def _close(self, payload: Payload) -> None:
        kind, name = payload.take(1), payload.text()
        payload.end()
        if kind == b"S":
            self._session.prepared.pop(name, None)
        elif kind == b"P":
            self._drop_portal(name)
        else:
            raise Malformed("a statement or a portal can be closed")
        self._output.send(codec.CLOSE_COMPLETE)


def _check_formats(formats: Sequence[int], columns: int) -> None:
    if len(formats) not in (0, 1, columns) or any(code not in (0, 1) for code in formats):
        raise WireError("08P01", "the formats of the results don't fit the columns")


def _fields(names: Sequence[str], types: Sequence[str], formats: Sequence[int]) -> list[Field]:
    _check_formats(formats, len(names))
    return fields(names, types, formats)
