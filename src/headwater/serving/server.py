"""All doors of one server: started together, stopped together, given a new service while they run."""

from __future__ import annotations

import asyncio
import importlib.util
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from headwater.errors import DoorClosed, MissingDependency
from headwater.security.principals import Principal
from headwater.security.scram import ScramSecret
from headwater.serving.facets import Accountable, Checkable, KeepsHot, NotesCatalog, NotesRefused, Versioned
from headwater.serving.jobs import Monitor
from headwater.serving.limits import DoorLimits
from headwater.serving.listening import address_of, closed
from headwater.serving.logins import is_loopback
from headwater.serving.session import Answer, Described, Service, VisibleTable
from headwater.serving.tls import Certificate, made_certificate, own_certificate, served_names
from headwater.spec.policies import Door
from headwater.spec.project import ServeConfig

if TYPE_CHECKING:
    from headwater.serving.flight.server import FlightDoor
    from headwater.serving.http.server import HttpServer

_POSTGRES = "headwater.serving.postgres"


@dataclass(frozen=True, slots=True)
class OpenDoor:
    """A door that takes callers: its name, where, and whether with TLS."""

    door: Door
    url: str
    is_secure: bool


class _PostgresServer(Protocol):
    """What `headwater.serving.postgres.serve_postgres` gives."""

    @property
    def port(self) -> int: ...
    async def close(self) -> None: ...


class _Postgres:
    """The Postgres wire on an event loop of its own."""

    def __init__(self, service: Service, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self.tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="headwater-postgres", daemon=True)
        self._thread.start()
        try:
            begun = import_module(_POSTGRES).serve_postgres(service, host, port, tls)
            self._server: _PostgresServer = asyncio.run_coroutine_threadsafe(begun, self._loop).result(30)
        except BaseException as error:
            self._end()
            if isinstance(error, OSError):
                raise closed(host, port, error) from error
            raise
        self.port = self._server.port

    def stop(self) -> None:
        try:
            asyncio.run_coroutine_threadsafe(self._server.close(), self._loop).result(30)
        finally:
            self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        if not self._thread.is_alive():
            self._loop.close()


class Current:
    """The service that doors see: whichever was given last. Queries that run go on with the one they began with."""

    def __init__(self, service: Service) -> None:
        self.service = service

    @property
    def name(self) -> str:
        return self.service.name

    def login_password(self, user: str, password: str, *, door: Door, address: str | None) -> Principal:
        return self.service.login_password(user, password, door=door, address=address)

    def login_token(self, token: str, *, door: Door, address: str | None) -> Principal:
        return self.service.login_token(token, door=door, address=address)

    def scram_secret(self, user: str, *, may_ask: bool) -> ScramSecret | None:
        return self.service.scram_secret(user, may_ask=may_ask)

    def login_scram(self, user: str, credential: str, *, door: Door, address: str | None) -> Principal:
        return self.service.login_scram(user, credential, door=door, address=address)

    def scram_failed(self, user: str, *, door: Door, address: str | None) -> None:
        self.service.scram_failed(user, door=door, address=address)

    def describe(self, principal: Principal, sql: str, parameter_types: Sequence[str], *, asked: str | None = None) -> Described:
        return self.service.describe(principal, sql, parameter_types, asked=asked)

    def run(
        self,
        principal: Principal,
        sql: str,
        parameters: Sequence[Any],
        *,
        asked: str | None = None,
        started: Callable[[Callable[[], None]], None] | None = None,
    ) -> Answer:
        return self.service.run(principal, sql, parameters, asked=asked, started=started)

    def tables(self, principal: Principal) -> Sequence[VisibleTable]:
        return self.service.tables(principal)

    def version(self, principal: Principal, sql: str) -> str | None:
        return self.service.version(principal, sql) if isinstance(self.service, Versioned) else None

    def rights(self, principal: Principal) -> str | None:
        return self.service.rights(principal) if isinstance(self.service, Accountable) else None

    def note_catalog(self, principal: Principal, question: str, *, rows: int | None, seconds: float, error: Exception | None) -> None:
        if isinstance(self.service, NotesCatalog):
            self.service.note_catalog(principal, question, rows=rows, seconds=seconds, error=error)

    def note_refused(self, principal: Principal, sql: str, why: str) -> None:
        if isinstance(self.service, NotesRefused):
            self.service.note_refused(principal, sql, why)

    def hot_tables(self) -> tuple[int, int]:
        return self.service.hot_tables() if isinstance(self.service, KeepsHot) else (0, 0)

    def check(self) -> None:
        if isinstance(self.service, Checkable):
            self.service.check()


class Running:
    """Open doors. Thread-safe. Use it in a `with`, or `stop` it."""

    def __init__(
        self,
        current: Current,
        monitor: Monitor,
        certificate: Certificate | None,
        doors: Sequence[OpenDoor],
        http: HttpServer | None,
        flight: FlightDoor | None,
        postgres: _Postgres | None,
    ) -> None:
        self._current = current
        self._monitor = monitor
        self._http = http
        self._flight = flight
        self._postgres = postgres
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self.certificate = certificate
        self.doors = tuple(doors)

    def url(self, door: Door) -> str:
        """Where the door is. Raises KeyError when it isn't open."""
        return {one.door: one.url for one in self.doors}[door]

    def reload(self, service: Service | None = None) -> None:
        """What is asked from now on is asked of `service`; the certificate's files are read again, for new
        connections of HTTP and Postgres (gRPC keeps the one it began with)."""
        with self._lock:
            if service is not None:
                self._current.service = service
            if self.certificate is not None:
                checked = own_certificate(self.certificate.chain, self.certificate.key)
                if self._http is not None:
                    self._http.reload_certificate(checked.chain, checked.key)
                if self._postgres is not None and self._postgres.tls is not None:
                    self._postgres.tls.load_cert_chain(checked.chain, checked.key)

    def wait(self, seconds: float | None = None) -> bool:
        """Until `stop` has been called; False when that took longer."""
        return self._stopped.wait(seconds)

    def stop(self, grace: float = 10.0) -> None:
        """Takes no new queries, gives those that run `grace` seconds to end, and closes the doors. Idempotent."""
        with self._lock:
            if self._stopped.is_set():
                return
            if self._http is not None:
                self._http.refuse_new()
            if self._flight is not None:
                self._flight.refuse_new()
            self._monitor.close(grace)
            for door in (self._http, self._flight, self._postgres):
                if door is not None:
                    door.stop()
            self._stopped.set()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def serve_all(service: Service, settings: ServeConfig, *, directory: Path, ready: Callable[[OpenDoor], None] = lambda door: None) -> Running:
    """Opens every door that `settings` has a port for, and calls `ready` for each as soon as it takes callers.

    Relative paths of certificates are those of `directory`, the project's; one that is made lies in its `.headwater/tls`. Raises
    DoorClosed, after closing what was open, when one of them can't be opened.
    """
    for module in ("starlette", "uvicorn", "cryptography"):
        if importlib.util.find_spec(module) is None:
            raise MissingDependency(f"serving needs the package {module}", hint="pip install 'headwater[serve]'")
    from headwater.serving.flight.server import FlightDoor
    from headwater.serving.http.server import HttpServer

    certificate = certificate_of(settings, directory)
    files: dict[str, Any] = {} if certificate is None else {"certificate": certificate.chain, "key": certificate.key}
    limits = limits_of(settings)
    current = Current(service)
    monitor = Monitor()
    doors: list[OpenDoor] = []
    http: HttpServer | None = None
    flight: FlightDoor | None = None
    postgres: _Postgres | None = None

    def opened(door: Door, url: str) -> None:
        doors.append(OpenDoor(door, url, certificate is not None))
        ready(doors[-1])

    try:
        if settings.http_port is not None:
            http = HttpServer(current, monitor, settings.host, settings.http_port, limits=limits, **files)
            opened("http", http.url)
        if settings.flight_port is not None:
            flight = FlightDoor(current, monitor, settings.host, settings.flight_port, limits=limits, **files)
            opened("flight", flight.url)
        if settings.pg_port is not None and importlib.util.find_spec(_POSTGRES) is not None:
            postgres = _Postgres(current, settings.host, settings.pg_port, None if certificate is None else _tls(certificate))
            opened("postgres", f"postgresql://{address_of(settings.host, postgres.port)}/{service.name}")
        if not doors:
            raise DoorClosed("no door has a port", hint="give one in serve: in headwater.yaml")
    except BaseException:
        Running(current, monitor, certificate, doors, http, flight, postgres).stop(0)
        raise
    return Running(current, monitor, certificate, doors, http, flight, postgres)


def certificate_of(settings: ServeConfig, directory: Path) -> Certificate | None:
    """The certificate the settings ask for; None for no TLS. Raises DoorClosed."""
    if (settings.certificate is None) != (settings.key is None):
        raise DoorClosed("a certificate needs its key, and a key its certificate", hint="look at serve: in headwater.yaml")
    is_off = settings.tls == "never" or (settings.tls == "auto" and settings.certificate is None and _is_here(settings.host))
    if is_off:
        return None
    if settings.certificate is not None and settings.key is not None:
        return own_certificate(directory / settings.certificate, directory / settings.key)
    return made_certificate(directory / ".headwater" / "tls", served_names(settings.host, settings.names))


def limits_of(settings: ServeConfig) -> DoorLimits:
    limits = settings.limits
    return DoorLimits(
        body=limits.body,
        seconds=limits.time.total_seconds(),
        idle=limits.idle.total_seconds(),
        queries=limits.queries,
        connections=limits.connections,
        page=limits.page,
    )


def _tls(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate.chain, certificate.key)
    return context


def _is_here(host: str) -> bool:
    return host == "localhost" or is_loopback(host)
