"""The lake behind the doors: who comes in, by the users of the state store; what they see, by the gate; each query in the audit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from headwater.api.asking import Asking
from headwater.api.hot import HotKeeper
from headwater.api.rooms import users_of
from headwater.errors import HeadwaterError, UsageError
from headwater.security.audited import Audited, new_query_id
from headwater.security.network import Turns
from headwater.serving.noting import refusals_noted
from headwater.serving.server import OpenDoor, Running, serve_all
from headwater.spec.policies import turns_passed
from headwater.storage.gate import VisibleColumn
from headwater.transformation import clock_used, is_volatile

if TYPE_CHECKING:
    import pyarrow as pa

    from headwater.orchestration import Session
    from headwater.project import LoadedProject
    from headwater.security.principals import Principal
    from headwater.security.scram import ScramSecret
    from headwater.security.users import Users
    from headwater.serving.session import Answer, Described, VisibleTable
    from headwater.serving.tls import Certificate
    from headwater.spec.policies import Door
    from headwater.spec.project import ServeConfig
    from headwater.storage import Reading
    from headwater.storage.gate import Access, Relationship


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    type: str


@dataclass(frozen=True, slots=True)
class _Described:
    columns: tuple[_Column, ...]
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    kind: str
    columns: tuple[VisibleColumn, ...]
    primary_key: tuple[str, ...]
    relationships: tuple[Relationship, ...]
    description: str | None


class _Rows:
    """A reading that gives its turn back when it is closed."""

    def __init__(self, reading: Reading, release: Callable[[], None]) -> None:
        self._reading = reading
        self._release: Callable[[], None] | None = release

    @property
    def columns(self) -> list[str]:
        return self._reading.columns

    @property
    def types(self) -> list[str]:
        return self._reading.types

    def batches(self, rows: int = 100_000) -> pa.RecordBatchReader:
        return self._reading.batches(rows)

    def interrupt(self) -> None:
        self._reading.interrupt()

    def close(self) -> None:
        release, self._release = self._release, None
        self._reading.close()
        if release is not None:
            release()


class LakeService:
    """`serving.session.Service` over an open session: one environment of one project. Thread-safe."""

    def __init__(self, loaded: LoadedProject, session: Session, turns: Turns | None = None) -> None:
        self._loaded = loaded
        self._session = session
        self._asking = Asking(loaded, session)
        self._users: Users = self._asking.users
        self._turns = turns if turns is not None else Turns()

    @property
    def name(self) -> str:
        return self._loaded.config.name

    def reloaded(self, loaded: LoadedProject) -> LakeService:
        """The same lake under a project's newer files."""
        return LakeService(loaded, self._session, self._turns)

    # -- who ---------------------------------------------------------------------------------------------------------

    def login_password(self, user: str, password: str, *, door: Door, address: str | None) -> Principal:
        return self._users.login(user, password, door=door, address=address)

    def login_token(self, token: str, *, door: Door, address: str | None) -> Principal:
        return self._users.login_token(token, door=door, address=address)

    def scram_secret(self, user: str, *, may_ask: bool) -> ScramSecret | None:
        return self._users.scram_verifier(user, may_ask=may_ask)

    def login_scram(self, user: str, credential: str, *, door: Door, address: str | None) -> Principal:
        return self._users.login_scram(user, credential, door=door, address=address)

    def scram_failed(self, user: str, *, door: Door, address: str | None) -> None:
        self._users.scram_failed(user, door=door, address=address)

    # -- what --------------------------------------------------------------------------------------------------------

    def describe(self, principal: Principal, sql: str, parameter_types: Sequence[str], *, asked: str | None = None) -> Described:
        given = [None if name == "UNKNOWN" else name for name in parameter_types]
        found = self._session.lake.describe_as(self._access(principal, asked), sql, given, macros=self._loaded.macros)
        return _Described(tuple(_Column(*column) for column in found.columns), found.parameters)

    def run(
        self,
        principal: Principal,
        sql: str,
        parameters: Sequence[Any],
        *,
        asked: str | None = None,
        started: Callable[[Callable[[], None]], None] | None = None,
    ) -> Answer:
        access = self._access(principal, asked)
        with ExitStack() as undo:
            with refusals_noted(self, access.principal, asked or sql):
                self._turns.begin(access.principal, access.limits)
            undo.callback(self._turns.end, access.principal)
            reading = self._session.lake.read_as(access, sql, parameters=parameters, macros=self._loaded.macros, started=started)
            return _Rows(reading, undo.pop_all().close)

    def tables(self, principal: Principal) -> Sequence[VisibleTable]:
        return [
            _Table(
                str(table.name),
                table.kind,
                table.columns,
                table.primary_key,
                table.relationships,
                table.description,
            )
            for table in self._session.lake.tables_as(self._access(principal))
        ]

    def version(self, principal: Principal, sql: str) -> str | None:
        """Changes with every commit, and with whatever the policies make of this principal now; each minute where the query goes by the clock."""
        access = self._access(principal)
        head = self._session.lake.head()
        return _word(head, *_rights(access), _minute(access) if self._is_moving(access, sql) else "")

    def _is_moving(self, access: Access, sql: str) -> bool:
        """Whether a query's rows may be others though nothing was committed: by the time, by chance, or as it reads the audit."""
        try:
            runs = self._session.lake.written_out_as(access, sql, macros=self._loaded.macros)
            return runs is None or clock_used(runs.sql, runs.macros) != "" or is_volatile(runs.sql, runs.macros)
        except HeadwaterError:
            return True  # running it says why

    def rights(self, principal: Principal) -> str:
        """Changes with whatever the policies make of this principal now, and with each grant of theirs that begins or ends."""
        return _word(*_rights(self._access(principal)))

    def note_catalog(self, principal: Principal, question: str, *, rows: int | None, seconds: float, error: Exception | None) -> None:
        """One row, of the action `catalog`. It shows names and no rows, so nobody waits until it is written."""
        row = self._row(principal, "catalog", question, None if error is None else str(error))
        self._asking.audit.append_soon(replace(row, decision="allowed" if error is None else "failed", rows=rows, seconds=seconds))

    def note_refused(self, principal: Principal, sql: str, why: str) -> None:
        """One row, as the gate leaves one of what it refuses. It stands when this returns, so that whoever sends many waits for each."""
        self._asking.audit.append(self._row(principal, "select", sql, why))

    def _row(self, principal: Principal, action: str, sql: str, error: str | None) -> Audited:
        return Audited(
            at=self._session.clock(),
            query_id=new_query_id(),
            principal=principal.name,
            action=action,
            decision="refused",
            door=principal.door,
            address=principal.address,
            purpose=principal.purpose,
            sql=sql,
            error=error,
            policy_version=self._loaded.policies.version,
            seconds=0.0,
            groups=tuple(sorted(principal.groups)),
        )

    def hot_tables(self) -> tuple[int, int]:
        report = self._session.lake.hot_report()
        return len(report.kept), len(self._loaded.hot_tables) - len(report.kept)

    def check(self) -> None:
        self._session.lake.head()
        self._users.has_any()

    def _access(self, principal: Principal, asked: str | None = None) -> Access:
        access = self._asking.access(principal)
        return access if asked is None else replace(access, asked=asked)

    def close(self) -> None:
        """Writes what of the audit still waits. The session stays open."""
        self._asking.close()


def _word(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _rights(access: Access) -> tuple[object, ...]:
    """What decides what is seen: not when one came in, which is another time at each login."""
    who = access.principal
    plain = replace(who, roles=frozenset(), scope=None, since=None, until=None)
    turns = turns_passed((role for name, role in access.policies.roles.items() if name in who.roles), access.at)
    return access.policies.version, plain, sorted(who.roles), who.scope and sorted(who.scope), access.keys.token_version, turns


def _minute(access: Access) -> str:
    """An answer that goes by the clock, and is the same for a minute more, is no loss."""
    return f"{access.at:%Y-%m-%d %H:%M}"


class Server:
    """Open doors over a project's lake. Use it in a `with`, or `stop` it."""

    def __init__(self, service: LakeService, session: Session, running: Running, keeper: HotKeeper, hot_bytes: int) -> None:
        """`keeper` keeps what the project marks as hot in memory, up to `hot_bytes`."""
        self._service = service
        self._session = session
        self._running = running
        self._keeper = keeper
        self._hot_bytes = hot_bytes

    @property
    def doors(self) -> tuple[OpenDoor, ...]:
        return self._running.doors

    @property
    def certificate(self) -> Certificate | None:
        """That of all doors; None without TLS."""
        return self._running.certificate

    def reload(self, loaded: LoadedProject) -> None:
        """From the next query on, policies and definitions are those of `loaded`; queries that run end as they began."""
        before, self._service = self._service, self._service.reloaded(loaded)
        self._running.reload(self._service)
        before.close()
        self._keeper.choose(loaded.hot_tables, self._hot_bytes)

    def wait(self, seconds: float | None = None) -> bool:
        """Until it was stopped; False when that took longer than `seconds`."""
        return self._running.wait(seconds)

    def stop(self) -> None:
        """Lets queries that run end, and closes all. Idempotent."""
        self._running.stop()
        self._keeper.close()
        self._service.close()
        self._session.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def open_doors(loaded: LoadedProject, session: Session, settings: ServeConfig, ready: Callable[[OpenDoor], None]) -> Server:
    """Opens the doors `settings` has ports for. Owns `session` from then on. Raises DoorClosed, UsageError without any user."""
    service = LakeService(loaded, session)
    if not users_of(loaded, session.state).has_any():
        raise UsageError(
            "nobody could come in: there is no user yet",
            expected="at least one",
            hint="headwater user add NAME, then a role for them in policies/; see docs/users.md",
        )
    session.lake.keep_connections()
    keeper = HotKeeper(session.lake)
    keeper.choose(loaded.hot_tables, settings.hot.memory)
    try:
        running = serve_all(service, settings, directory=loaded.directory, ready=ready)
    except BaseException:
        keeper.close()
        raise
    return Server(service, session, running, keeper, settings.hot.memory)
