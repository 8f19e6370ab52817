"""One session's statements: those of its own (transactions, settings, cursors) and queries, of the lake and of the catalog."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from headwater.errors import HeadwaterError
from headwater.security.principals import Principal
from headwater.serving.facets import Accountable
from headwater.serving.noting import note_refused, noted
from headwater.serving.postgres import types as pg
from headwater.serving.postgres.catalog.catalogs import Catalogs
from headwater.serving.postgres.copying import Copy, read_copy
from headwater.serving.postgres.cursors import Cursor, read_fetch
from headwater.serving.postgres.dialect.translation import Context, Translated, translate
from headwater.serving.postgres.failures import WireError
from headwater.serving.postgres.preparing import read_deallocate, read_execute, read_prepare
from headwater.serving.postgres.settings import Settings
from headwater.serving.postgres.statements import Words, split, tokens
from headwater.serving.postgres.values import Rows, decode_parameter, rows_of_answer, rows_of_texts
from headwater.serving.session import Service, VisibleTable

#: Seconds for which a session takes its list of tables as read: names are looked up in it, rights never are.
_TABLES_AGE = 5.0
_QUERIES: Final = frozenset({"select", "with", "values", "table", "(", "from", "explain", "describe", "summarize", "pivot", "unpivot"})
_TRANSACTION_WORDS: Final = frozenset({"begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release"})
_CURSOR_WORDS: Final = frozenset({"declare", "fetch", "move", "close"})
_PREPARING_WORDS: Final = frozenset({"deallocate", "prepare", "execute"})
_SESSION_WORDS: Final = (
    _TRANSACTION_WORDS | _CURSOR_WORDS | _PREPARING_WORDS | {"set", "show", "reset", "discard", "listen", "unlisten", "notify", "lock"}
)
#: Statements that one session keeps, and the characters of all of them.
_MOST_PREPARED: Final = 10_000
_MOST_PREPARED_CHARACTERS: Final = 32 * 2**20
#: Characters of a query that is run again and again.
_MOST_REMEMBERED: Final = 10_000
_ALLOWED_WHEN_FAILED: Final = frozenset({"rollback", "abort", "commit", "end"})


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement that was parsed. `oids` are its parameters' types, `columns` what it gives as (name, DuckDB type); None where it gives no rows."""

    sql: str
    word: str
    oids: tuple[int, ...] = ()
    query: Translated | None = None
    copy: Copy | None = None
    columns: tuple[tuple[str, str], ...] | None = None


@dataclass(slots=True)
class Outcome:
    """What a statement gave. `tag` is complete, or, with rows, lacks their number behind it."""

    tag: str
    rows: Rows | None = None
    copy: Copy | None = None
    notices: list[tuple[str, str]] = field(default_factory=list)


class Attention:
    """Through which one statement can be stopped, from any thread, before it has begun or while it runs."""

    def __init__(self) -> None:
        self.reason: WireError | None = None
        #: Whether the service has seen it, and writes down itself what comes of it.
        self.is_seen = False
        self._interrupt: Callable[[], None] | None = None

    def started(self, interrupt: Callable[[], None]) -> None:
        self._interrupt = interrupt
        self.check()

    def check(self) -> None:
        """Raises why this statement was stopped, if it was."""
        if self.reason is not None:
            raise self.reason

    def stop(self, reason: WireError) -> None:
        """Idempotent, and worth repeating: what doesn't run yet can't be interrupted."""
        self.reason = self.reason or reason
        if self._interrupt is not None:
            self._interrupt()


class Session:
    """For one statement at a time; all but `stop`ping is done by whoever holds the session."""

    def __init__(self, service: Service, catalogs: Catalogs, principal: Principal, settings: Settings, user: str) -> None:
        self.settings = settings
        self.user = user
        self.attention = Attention()
        #: Of its connection.
        self.number = 0
        self.status = b"I"
        #: Statements by name, those of the protocol's Parse among them.
        self.prepared: dict[str, Prepared] = {}
        self._service = service
        self._catalogs = catalogs
        self._principal = principal
        self._savepoints: list[str] = []
        self._cursors: dict[str, Cursor] = {}
        self._tables: tuple[float, Principal, Sequence[VisibleTable]] | None = None

    # -- preparing ---------------------------------------------------------------------------------------------------

    def statements(self, sql: str) -> list[str]:
        return split(sql)

    def refuse_when_failed(self, sql: str) -> None:
        """In a failed transaction only its end is listened to."""
        if self.status == b"E":
            words = Words(sql)
            word = words.peek()
            is_end = word in _ALLOWED_WHEN_FAILED
            if not is_end:
                raise WireError("25P02", "current transaction is aborted, commands ignored until end of transaction block")

    def prepare(self, sql: str, oids: Sequence[int] = (), *, is_described: bool = True) -> Prepared:
        """Reads one statement. With `is_described` its columns and its parameters' types are found out, else only what running it needs."""
        parsed = split(sql)
        if not parsed:
            return Prepared("", "")
        if len(parsed) > 1:
            raise WireError("42601", "cannot insert multiple commands into a prepared statement")
        sql = parsed[0]
        words = Words(sql)
        word = words.peek()
        self.refuse_when_failed(sql)
        if word == "copy":
            copy = read_copy(sql)
            return Prepared(sql, word, (), self._translated(copy.query), copy)
        if word == "declare":
            return Prepared(sql, word)
        if word in _SESSION_WORDS:
            return Prepared(sql, word, (), None, None, self._columns_of(word, sql) if is_described else None)
        if any(words.accept(verb, noun) for verb in ("alter", "create", "drop") for noun in ("user", "role", "group")):
            hint = "headwater user passwd changes a password, user add makes a user."
            raise WireError("0A000", "passwords and roles aren't changed in SQL", hint=hint)
        if word not in _QUERIES and self.settings.show("headwater.dialect") == "postgres":
            raise WireError("25006", f"cannot execute {word.upper()} here", hint="Tables change by headwater run alone; here they are read.")
        query = translate(sql, replace(self._context(), oids=tuple(oids)))
        count = max(_parameter_numbers(sql), default=0)
        if count > len(oids) or any(oid == 0 for oid in oids):
            oids = self._inferred(query, oids, count, sql)
        columns = self._described(query, oids, sql) if is_described else None
        return Prepared(sql, word, tuple(oids), query, None, columns)

    def _translated(self, sql: str) -> Translated:
        return translate(sql, self._context())

    def _context(self) -> Context:
        return Context(
            database=self._service.name,
            user=self.user,
            dialect=self.settings.show("headwater.dialect"),
            search_path=tuple(self.settings.search_path),
            tables=self.tables(),
            setting=self.settings.get,
            configure=self.settings.set,
            groups=tuple(sorted(self._principal.groups)),
            number=self.number,
        )

    def tables(self) -> Sequence[VisibleTable]:
        now, who = time.monotonic(), self._who()
        if self._tables is None or self._tables[1] != who or now - self._tables[0] > _TABLES_AGE:
            self._tables = (now, who, self._service.tables(who))
        return self._tables[2]

    def _who(self) -> Principal:
        return replace(self._principal, purpose=self.settings.show("headwater.purpose") or None)

    def _inferred(self, query: Translated, oids: Sequence[int], count: int, sql: str) -> list[int]:
        """What the client leaves open is taken from the service, then from where in the query a parameter stands; at last it is text."""
        found = [oids[place] if place < len(oids) else 0 for place in range(max(count, len(oids)))]
        for place, oid in enumerate(found):
            named = query.parameters.get(place + 1, "")
            if oid == 0 and named.endswith("[]"):
                found[place] = pg.wire_type(named).oid  # of ANY (array): the service would take it for one element
        said: Sequence[str] = ()
        if not query.is_catalog:
            with self._seen_when_refused():
                types = [pg.duckdb_type(oid) for oid in found]
                said = self._service.describe(self._who(), query.sql, types, asked=sql).parameters
        for place, oid in enumerate(found):
            if oid == 0 and place + 1 in query.oids:
                found[place] = query.oids[place + 1]
            elif oid == 0:
                named = said[place] if place < len(said) else "UNKNOWN"
                if named in ("UNKNOWN", "NULL", ""):
                    named = query.parameters.get(place + 1, "VARCHAR")
                found[place] = pg.wire_type(named).oid
        return found

    @contextmanager
    def _seen_when_refused(self) -> Iterator[None]:
        """Around what the service leaves a trace of only where it refuses it."""
        try:
            yield
        except HeadwaterError:
            self.attention.is_seen = True
            raise

    def _described(self, query: Translated, oids: Sequence[int], sql: str) -> tuple[tuple[str, str], ...]:
        if query.is_catalog:
            return tuple(self._catalogs.describe(query, self.tables(), self._context()))
        with self._seen_when_refused():
            types = [pg.duckdb_type(oid) for oid in oids]
            described = self._service.describe(self._who(), with_types(query.sql, oids), types, asked=sql)
        is_open = pg.NUMERIC in oids  # its digits come with its value
        return tuple((column.name, pg.of_any_digits(column.type) if is_open else column.type) for column in described.columns)

    def _columns_of(self, word: str, sql: str) -> tuple[tuple[str, str], ...] | None:
        if word == "show":
            return tuple((name, "VARCHAR") for name in self._shown(sql)[0])
        if word == "execute":
            return self.statement(read_execute(sql)[0]).columns
        if word == "fetch":
            rows = self._cursor(read_fetch(sql)[0]).rows
            return tuple(zip(rows.columns, rows.types, strict=True))
        return None

    # -- running -----------------------------------------------------------------------------------------------------

    def execute(self, prepared: Prepared, values: Sequence[Any] = ()) -> Outcome:
        self.attention.check()
        if not prepared.word:
            return Outcome("")
        self.refuse_when_failed(prepared.sql)
        if prepared.word == "execute":
            return self._execute(prepared.sql)
        if prepared.query is not None:
            rows = self._run(prepared.query, prepared.oids, values, prepared.sql)
            tag = "COPY" if prepared.copy else "EXPLAIN" if prepared.word == "explain" else "SELECT"
            return Outcome(tag, rows, prepared.copy)
        return self._own(prepared.word, prepared.sql)

    def _run(self, query: Translated, oids: Sequence[int], values: Sequence[Any], sql: str) -> Rows:
        """`sql` is what the client wrote."""
        self.attention.is_seen = True
        if query.is_catalog:
            with noted(self._service, self._who(), sql) as note:
                rows = self._catalogs.run(query, self.tables(), self._context(), values, self.attention.started)
                note.rows = rows.count
            return rows
        answer = self._service.run(self._who(), with_types(query.sql, oids, values), list(values), asked=sql, started=self.attention.started)
        try:
            self.attention.started(answer.interrupt)
            return rows_of_answer(answer)
        except BaseException:
            answer.close()
            raise

    def _own(self, word: str, sql: str) -> Outcome:
        match word:
            case _ if word in _TRANSACTION_WORDS:
                return self._transact(word, Words(sql))
            case "set":
                return self._set(Words(sql))
            case "show":
                return Outcome("SHOW", rows_of_texts(*self._shown(sql)))
            case "reset" | "discard":
                return self._reset(word, Words(sql))
            case "declare":
                return self._declare(sql)
            case "fetch" | "move":
                return self._fetch(word, sql)
            case "close":
                return self._close(Words(sql))
            case "prepare":
                name, oids, query = read_prepare(sql)
                prepared = self.prepare(query, oids)
                if prepared.query is None or prepared.copy is not None:
                    raise WireError("42601", "PREPARE keeps a query", hint="Write PREPARE name AS SELECT ..")
                self.keep(name, prepared)
                return Outcome("PREPARE")
            case "deallocate":
                return self._deallocate(read_deallocate(sql))
            case "unlisten" | "listen":
                return Outcome(word.upper())
            case _:
                raise WireError("0A000", f"{word.upper()} does nothing here")

    # -- statements with names ---------------------------------------------------------------------------------------

    def keep(self, name: str, prepared: Prepared) -> None:
        """Raises WireError for a name that is taken, and when there are too many."""
        if name and name in self.prepared:
            raise WireError("42P05", f'prepared statement "{name}" already exists')
        characters = len(prepared.sql) + sum(len(one.sql) for one in self.prepared.values())
        if len(self.prepared) >= _MOST_PREPARED or characters > _MOST_PREPARED_CHARACTERS:
            raise WireError("53400", "too many prepared statements", hint="Close some, or send DEALLOCATE ALL.")
        self.prepared[name] = prepared

    def statement(self, name: str) -> Prepared:
        if name not in self.prepared:
            raise WireError("26000", f'prepared statement "{name}" does not exist')
        return self.prepared[name]

    def _execute(self, sql: str) -> Outcome:
        name, texts = read_execute(sql)
        prepared = self.statement(name)
        if prepared.word == "execute":
            raise WireError("0A000", "EXECUTE runs what PREPARE kept, and no other EXECUTE")
        if len(texts) != len(prepared.oids):
            detail = f"Expected {len(prepared.oids)} parameters but got {len(texts)}."
            raise WireError("42601", f'wrong number of parameters for prepared statement "{name}"', detail=detail)
        pairs = zip(texts, prepared.oids, strict=True)
        return self.execute(prepared, [decode_parameter(None if text is None else text.encode(), oid, False) for text, oid in pairs])

    def _deallocate(self, name: str | None) -> Outcome:
        if name is None:
            self.prepared.clear()
            return Outcome("DEALLOCATE ALL")
        self.statement(name)
        del self.prepared[name]
        return Outcome("DEALLOCATE")

    def _transact(self, word: str, words: Words) -> Outcome:
        words.accept(word)
        if word == "start":
            words.expect("transaction")
            return self._begin()
        if word == "begin":
            return self._begin()
        if word == "savepoint":
            self._need_transaction("SAVEPOINT")
            self._savepoints.append(words.name())
            words.end()
            return Outcome("SAVEPOINT")
        if word == "release":
            self._need_transaction("RELEASE SAVEPOINT")
            words.accept("savepoint")
            self._drop_savepoints(words.name(), keeps=False)
            return Outcome("RELEASE")
        if not words.accept("work"):
            words.accept("transaction")
        if word in ("rollback", "abort") and words.accept("to"):
            words.accept("savepoint")
            self._need_transaction("ROLLBACK TO SAVEPOINT")
            self._drop_savepoints(words.name(), keeps=True)
            self.status = b"T"
            return Outcome("ROLLBACK")
        if words.accept("and", "chain"):
            raise WireError("0A000", "AND CHAIN is not known here")
        words.accept("and", "no", "chain")
        words.end()
        is_commit = word in ("commit", "end") and self.status != b"E"
        outcome = Outcome("COMMIT" if is_commit else "ROLLBACK")
        if self.status == b"I":
            outcome.tag = "COMMIT" if word in ("commit", "end") else "ROLLBACK"
            outcome.notices.append(("25P01", "there is no transaction in progress"))
        self.end_transaction(is_commit=is_commit)
        return outcome

    def _begin(self) -> Outcome:
        outcome = Outcome("BEGIN")
        if self.status == b"T":
            outcome.notices.append(("25001", "there is already a transaction in progress"))
        else:
            self.settings.begin()
            self.status = b"T"
        return outcome

    def end_transaction(self, *, is_commit: bool) -> None:
        self.settings.end(is_commit=is_commit)
        self.status = b"I"
        self._savepoints.clear()
        for name in [name for name, cursor in self._cursors.items() if not (cursor.is_held and is_commit)]:
            self._cursors.pop(name).rows.close()

    def _need_transaction(self, what: str) -> None:
        if self.status == b"I":
            raise WireError("25P01", f"{what} can only be used in transaction blocks")

    def _drop_savepoints(self, name: str, *, keeps: bool) -> None:
        if name not in self._savepoints:
            raise WireError("3B001", f'savepoint "{name}" does not exist')
        last = len(self._savepoints) - 1 - self._savepoints[::-1].index(name)
        del self._savepoints[last + keeps :]

    def _set(self, words: Words) -> Outcome:
        words.expect("set")
        is_local = words.accept("local")
        if not is_local:
            words.accept("session")
        if words.accept("characteristics", "as", "transaction") or words.accept("transaction"):
            self._isolation(words)
            return Outcome("SET")
        if words.accept("time", "zone"):
            name = "timezone"
        elif words.accept("authorization"):
            name = "session_authorization"
        elif words.accept("names"):
            name = "client_encoding"
        elif words.accept("role"):  # SET ROLE NONE, or as any setting
            name = "role"
            if not words.accept("to"):
                words.accept("=")
        else:
            name = words.name()
            while words.accept("."):
                name += f".{words.name()}"
            if not words.accept("to"):
                words.expect("=")
        if words.accept("default"):
            words.end()
            self.settings.set(name, None, is_local=is_local)
            return Outcome("SET")
        values = [words.value()]
        while words.accept(","):
            values.append(words.value())
        words.end()
        joined = ", ".join(f'"{value}"' if name == "search_path" and not re.fullmatch(r"[a-z_][a-z0-9_]*", value) else value for value in values)
        self.settings.set(name, joined, is_local=is_local)
        return Outcome("SET")

    def _isolation(self, words: Words) -> None:
        """Any level is given, since a query reads one state of the lake; READ WRITE is not."""
        while not words.is_done:
            if words.accept("read", "write"):
                raise WireError("25006", "cannot set transaction read-write mode: tables are only read here")
            if words.accept("isolation", "level"):
                level = words.name()
                if level in ("read", "repeatable"):
                    level += f" {words.name()}"
                if level not in ("read committed", "read uncommitted", "repeatable read", "serializable"):
                    words.fail()
                self.settings.set("transaction_isolation", level)
            elif not (words.accept("read", "only") or words.accept("not", "deferrable") or words.accept("deferrable") or words.accept(",")):
                words.fail()

    def _shown(self, sql: str) -> tuple[list[str], list[list[str]]]:
        words = Words(sql)
        words.expect("show")
        if words.accept("all"):
            return ["name", "setting", "description"], [[name, value, ""] for name, value in self.settings.all().items()]
        if words.accept("transaction", "isolation", "level"):
            name = "transaction_isolation"
        elif words.accept("time", "zone"):
            name = "timezone"
        elif words.accept("session", "authorization"):
            name = "session_authorization"
        else:
            name = words.name()
            while words.accept("."):
                name += f".{words.name()}"
        words.end()
        return [self.settings.spelled(name)], [[self.settings.show(name)]]

    def _reset(self, word: str, words: Words) -> Outcome:
        words.expect(word)
        if word == "discard":
            what = words.name()
            if what not in ("all", "plans", "sequences", "temp", "temporary"):
                words.fail()
            if what == "all":
                if self.status != b"I":
                    raise WireError("25001", "DISCARD ALL cannot run inside a transaction block")
                self.settings.reset_all()
                self.prepared.clear()
                self.end_transaction(is_commit=False)
            return Outcome(f"DISCARD {what.upper()}")
        if words.accept("all"):
            self.settings.reset_all()
        elif words.accept("session", "authorization"):
            pass
        else:
            name = "timezone" if words.accept("time", "zone") else words.name()
            while words.accept("."):
                name += f".{words.name()}"
            self.settings.show(name)
            self.settings.set(name, None)
        words.end()
        return Outcome("RESET")

    def note_refused(self, sql: str, error: Exception) -> None:
        """Has a statement written down that the service never saw. Raises AuditUnwritable."""
        note_refused(self._service, self._who(), sql, error)

    # -- rights ------------------------------------------------------------------------------------------------------

    def rights(self) -> str | None:
        """What the session may see, as a word to compare. Raises AuthenticationFailed where it has ended."""
        return self._service.rights(self._who()) if isinstance(self._service, Accountable) else None

    def refuse_when_changed(self, rights: str | None) -> None:
        """More rows of a query that began by other rights aren't given. Raises WireError, AuthenticationFailed."""
        if rights != self.rights():
            raise WireError("55000", "what this session may see has changed since the query began", hint="Run it again.")

    # -- cursors -----------------------------------------------------------------------------------------------------

    def _declare(self, sql: str) -> Outcome:
        words = Words(sql)
        words.expect("declare")
        name = words.name()
        while not words.accept("cursor"):
            if words.accept("scroll"):
                raise WireError("0A000", "a cursor goes forward only here")
            if not any((words.accept("binary"), words.accept("insensitive"), words.accept("asensitive"), words.accept("no", "scroll"))):
                words.fail()
        is_held = words.accept("with", "hold")
        words.accept("without", "hold")
        words.expect("for")
        if not is_held:
            self._need_transaction("DECLARE CURSOR")
        if name in self._cursors:
            raise WireError("42P03", f'cursor "{name}" already exists')
        rights, query = self.rights(), words.rest()
        self._cursors[name] = Cursor(self._run(self._translated(query), (), (), sql), is_held, rights)
        return Outcome("DECLARE CURSOR")

    def _cursor(self, name: str) -> Cursor:
        if name not in self._cursors:
            raise WireError("34000", f'cursor "{name}" does not exist')
        return self._cursors[name]

    def cursor_columns(self, name: str) -> tuple[tuple[str, str], ...] | None:
        """What a DECLAREd cursor gives, which is a portal to the protocol; None where there is none."""
        cursor = self._cursors.get(name)
        return None if cursor is None else tuple(zip(cursor.rows.columns, cursor.rows.types, strict=True))

    def _fetch(self, word: str, sql: str) -> Outcome:
        name, count = read_fetch(sql)
        cursor = self._cursor(name)
        self.refuse_when_changed(cursor.rights)
        self.attention.is_seen = True
        if word == "move":
            moved = sum(batch.num_rows for batch in cursor.take(count))
            return Outcome(f"MOVE {moved}")
        return Outcome("FETCH", Rows(cursor.rows.columns, cursor.rows.types, cursor.take(count)))

    def _close(self, words: Words) -> Outcome:
        words.expect("close")
        if words.accept("all"):
            for cursor in self._cursors.values():
                cursor.rows.close()
            self._cursors.clear()
            return Outcome("CLOSE CURSOR ALL")
        name = words.name()
        self._cursor(name).rows.close()
        del self._cursors[name]
        return Outcome("CLOSE CURSOR")

    def close(self) -> None:
        for cursor in self._cursors.values():
            cursor.rows.close()
        self._cursors.clear()


def _parameter_numbers(sql: str) -> set[int]:
    found = tokens(sql)
    return {
        int(number)
        for (_, mark, at), (kind, number, next_at) in itertools.pairwise(found)
        if mark == "$" and kind == "number" and next_at == at + 1 and number.isdecimal()
    }


def with_types(sql: str, oids: Sequence[int], values: Sequence[Any] | None = None) -> str:
    """The query with each parameter cast to what it was said to be. A numeric brings its own digits with its value, and a null has none."""
    if not oids or "$" not in sql:
        return sql
    types = [pg.duckdb_type(oid) for oid in oids]
    if values is not None:
        for place, (oid, value) in enumerate(zip(oids, values, strict=True)):
            if oid == pg.NUMERIC:
                types[place] = "UNKNOWN" if value is not None else "DECIMAL(1,0)"
    return (_with_types if len(sql) <= _MOST_REMEMBERED else _with_types.__wrapped__)(sql, tuple(types))


@lru_cache(512)
def _with_types(sql: str, types: tuple[str, ...]) -> str:
    found = tokens(sql)
    parts = []
    last = 0
    for (_, mark, at), (kind, number, next_at) in itertools.pairwise(found):
        if mark != "$" or kind != "number" or next_at != at + 1 or not number.isdecimal() or not 1 <= int(number) <= len(types):
            continue
        type = types[int(number) - 1]
        if type == "UNKNOWN":
            continue
        end = next_at + len(number)
        parts.append(f"{sql[last:at]}CAST({sql[at:end]} AS {type})")
        last = end
    return "".join(parts) + sql[last:]
