"""A project at hand: definitions read once, lake and state store opened when first needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from headwater.api.auditing import AuditRoom
from headwater.api.exports import Exports
from headwater.api.keys import KeysRoom, SecretsRoom, TokensRoom
from headwater.api.lake import LakeRoom
from headwater.api.quarantine import Quarantine
from headwater.api.requests import RequestsRoom
from headwater.api.result import Result
from headwater.api.results import CheckResult, Finding, ListedTable, TableStatus
from headwater.api.rights import Rights
from headwater.api.sources import Sources
from headwater.api.users import UsersRoom
from headwater.errors import (
    LakeError,
    Problem,
    ProtectionError,
    QueryError,
    StateError,
    StateUnavailable,
    TableNotFound,
    UnknownSelection,
    UnresolvedReference,
    UsageError,
)
from headwater.project import LoadedProject, load_project, select
from headwater.project.files import read_stamp
from headwater.spec.names import TableName
from headwater.spec.runs import Event, Interval, RunSummary

if TYPE_CHECKING:
    from headwater.api.access import AccessRoom
    from headwater.api.asking import Asking
    from headwater.api.serving import Server
    from headwater.governance.lineage_views import LineageView
    from headwater.orchestration import RunOptions, Session
    from headwater.serving.server import OpenDoor
    from headwater.transformation import UnitTestResult

Listener = Callable[[Event], None]


def open(directory: str | Path = ".", *, environment: str | None = None, vars: Mapping[str, str | int | float | bool] | None = None) -> Project:
    """Opens the project in `directory`.

    `environment` is one of its `environments:` (None: the settings at its top), `vars` override its `vars:`. Reads the files; neither lake nor
    sources are touched yet. Raises ProjectNotFound, UsageError (no such environment), DefinitionErrors with all that is wrong.
    """
    return Project(load_project(Path(directory), environment=environment, vars=vars), vars)


class Project:
    """What a project can be asked and told; made by `headwater.open`. Close it, or use `with`. Not for several threads at once.

    Selections are selectors as on the command line (`marts.revenue`, `+staging.*`, `tag:daily`); none means all tables. Methods raise
    HeadwaterError kinds; what they change is committed, whole or not at all, before they return.
    """

    def __init__(self, loaded: LoadedProject, vars: Mapping[str, str | int | float | bool] | None = None) -> None:
        """`vars` are those it was loaded with, for loading it again."""
        self._loaded = loaded
        self._vars = vars
        self._served_files = ""
        self._open_session: Session | None = None
        self._open_asking: Asking | None = None
        self._rights = rights = Rights(loaded, self._session_if_any)
        self.sources = Sources(loaded, rights)
        self.lake = LakeRoom(lambda: self._session, lambda: self._asking, rights, self.close, loaded)
        self.quarantine = Quarantine(lambda: self._session, lambda: self._asking, rights, self._select)
        self.exports = Exports(loaded, lambda: self._session, lambda: self._asking)
        self.users = UsersRoom(loaded)
        self.requests = RequestsRoom(loaded, lambda: self._session, self._session_if_any, self._aware)
        self.audit = AuditRoom(loaded, lambda: self._session, self._settle, rights.need_administrator)
        self.keys = KeysRoom(loaded, rights)
        self.secrets = SecretsRoom(loaded, rights)
        self.tokens = TokensRoom(loaded, lambda: self._session, lambda: self._asking)

    @property
    def access(self) -> AccessRoom:
        """What users may see, and the labels of columns. Opens the lake where there is one."""
        from headwater.api.access import AccessRoom  # brings storage with it

        return AccessRoom(self._session_if_any, self._rights, self._loaded)

    @property
    def directory(self) -> Path:
        return self._loaded.directory

    @property
    def environment(self) -> str:
        return self._loaded.environment

    @property
    def _session(self) -> Session:
        """The lake, opened at first use, and the state store, opened when it is asked for."""
        return self._opened(with_state=False)

    def _session_of(self, caller: str) -> Session:
        """Lake and state, opened at first use: for whatever is written down as a run, of who calls."""
        session = self._opened(with_state=True)
        session.principal = caller
        return session

    def _opened(self, *, with_state: bool) -> Session:
        if self._open_session is None:
            from headwater.orchestration import open_session  # brings the lake with it

            self._open_session = open_session(self._loaded, with_state=with_state)
        return self._open_session

    def _session_if_any(self) -> Session | None:
        """As `_session` where there is a lake already and it can be reached; else None."""
        from headwater.orchestration import open_session

        if self._open_session is None:
            try:
                self._open_session = open_session(self._loaded, create=False, with_state=False)
            except (LakeError, UnresolvedReference, ProtectionError):
                return None
        return self._open_session

    @property
    def _asking(self) -> Asking:
        """Who calls, over the open session."""
        if self._open_asking is None:
            from headwater.api.asking import Asking  # brings storage with it

            self._open_asking = Asking(self._loaded, self._session)
        return self._open_asking

    def _settle(self) -> None:
        """Writes what of the audit still waits."""
        if self._open_asking is not None:
            self._open_asking.close()

    def close(self) -> None:
        """Closes lake and state, if they were opened. Idempotent."""
        self._settle()
        self._open_asking = None
        session, self._open_session = self._open_session, None
        if session is not None:
            session.close()

    def __enter__(self) -> Project:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- serving -----------------------------------------------------------------------------------------------------

    def serve(
        self,
        *,
        host: str | None = None,
        pg_port: int | None = None,
        flight_port: int | None = None,
        http_port: int | None = None,
        on_ready: Callable[[OpenDoor], None] = lambda door: None,
    ) -> Server:
        """Opens the doors that `serve:` has ports for; arguments override it. Stop what it returns, or use `with`.

        Users come in by the users of the state store, and see what the policies give them. `on_ready` is told of each door that takes callers.
        Raises DoorClosed, UsageError without any user, LakeUnavailable without a lake, ApprovalRefused.
        """
        from headwater.api.serving import open_doors
        from headwater.orchestration import open_session

        self._rights.need_administrator("open doors to the lake")
        given = {"host": host, "pg_port": pg_port, "flight_port": flight_port, "http_port": http_port}
        settings = self._loaded.config.serve.model_copy(update={key: value for key, value in given.items() if value is not None})
        session = open_session(self._loaded, create=False)
        try:
            server = open_doors(self._loaded, session, settings, on_ready)
        except BaseException:
            session.close()
            raise
        self._served_files = read_stamp(self.directory)
        return server

    def reload_definitions(self, server: Server) -> bool:
        """Gives `server` the project as its files are now, if one of them changed since; says whether. Raises DefinitionErrors once for a change
        that can't be read: what was in force stays so."""
        stamp = read_stamp(self.directory)
        if stamp == self._served_files:
            return False
        self._served_files = stamp
        self._loaded = load_project(self.directory, environment=self._loaded.environment, vars=self._vars)
        server.reload(self._loaded)
        return True

    # -- definitions -------------------------------------------------------------------------------------------------

    def ls(self, *selection: str, exclude: Sequence[str] = ()) -> list[ListedTable]:
        """The selected tables as the files define them, inputs before what reads them; of these, those that the caller may run."""
        return [self._listed(table) for table in self._rights.among("run", "ls", self._select(selection, exclude))]

    def lint(self, *selection: str, exclude: Sequence[str] = ()) -> list[Problem]:
        """What is doubtful in the files though it runs, by place. (What is wrong is raised by `open`.) A selection keeps to its tables' files.

        The lake, when there is one, is asked for columns and plans: whether an incremental's condition reaches what it reads.
        """
        from headwater.api.linting import problems_in

        selected = self._select(selection, exclude) if selection or exclude else None
        self._rights.need("run", "lint", lambda: self._loaded.graph.nodes if selected is None else selected)
        return problems_in(self._loaded, self._session_if_any(), selected)

    def lineage(self, name: str, *, upstream: bool = True, downstream: bool = True) -> LineageView:
        """Where a table or a column (`schema.table.column`) comes from and what comes from it. Raises UnknownSelection with the nearest name.

        Derived from the files. The lake is asked for columns that contracts don't declare, when there is one.
        """
        from headwater.api.lineage import view_lineage

        found = view_lineage(self._loaded, self._session_if_any(), name, upstream=upstream, downstream=downstream)
        self._rights.need("run", "lineage", lambda: found.tables)
        return found

    def show(self, model: str, *, cte: str | None = None, limit: int = 20) -> Result:
        """The first rows of a model's query over published tables (of one of its CTEs with `cte`). Nothing is stored.

        Raises UnknownSelection, UsageError (no such CTE), TableNotFound (an input has nothing published yet), QueryError kinds, UserCodeError.
        """
        from headwater.api.models import show_model

        self._rights.need("run", "show", lambda: [self._loaded.find(model)])
        return show_model(self._session, model, cte, limit)

    def compile(self, model: str) -> str:
        """The SQL that a run would send to the engine for a model, with comments. Raises UnknownSelection, UsageError for a stream, TableNotFound."""
        from headwater.api.models import compiled

        self._rights.need("run", "compile", lambda: [self._loaded.find(model)])
        return compiled(self._session, model)

    def check(self, *selection: str, exclude: Sequence[str] = ()) -> list[CheckResult]:
        """Judges the newest rows of the selected tables, published or held, by today's checks (`fresh` is `status`'s). Nothing is stored.

        Whoever HEADWATER_TOKEN says needs the right `run`, and is told values (samples, messages) of the tables that they see whole alone.
        """
        from headwater.api.models import check_tables

        self._rights.need("run", "check", lambda: self._select(selection, exclude))
        access, lake = self._asking.of_caller(), self._session.lake
        if access.is_owner:
            return check_tables(self._session, selection, exclude)
        try:
            results = check_tables(self._session, selection, exclude)
        except QueryError:  # its text may hold values
            raise QueryError("a check can't be computed", hint="`headwater check` by the lake's owner tells why") from None
        return [one if lake.is_open_to(access, one.table, "select", f"check {one.table}") else one.without_values() for one in results]

    def test(self, *selection: str, exclude: Sequence[str] = ()) -> list[UnitTestResult]:
        """Runs the unit tests of the selected models: given rows in, expected rows out, in memory. A test that fails says how in its result."""
        from headwater.transformation import run_unit_tests  # the engine's rooms: only where models are run

        tables = self._select(selection, exclude)
        self._rights.need("run", "test", lambda: tables)
        return run_unit_tests(self._loaded, tables)

    # -- runs --------------------------------------------------------------------------------------------------------

    def run(
        self,
        *selection: str,
        exclude: Sequence[str] = (),
        full_refresh: bool = False,
        allow_drop: bool = False,
        threads: int | None = None,
        from_: date | datetime | None = None,
        to: date | datetime | None = None,
        on_event: Listener | None = None,
    ) -> RunSummary:
        """Loads what is new, builds what changed, checks it, publishes it.

        `full_refresh` builds incrementals and snapshots anew and reads streams from their beginning. `allow_drop` drops columns that a model no
        longer has, or that are neither declared by a stream nor given by its source as last read (else they stay, empty for new rows). `from_` and
        `to` (half open; times without a zone are the project's) restate that interval of the selected incrementals and what follows from them.
        `on_event` is called with each event, from several threads, one at a time.

        What fails stands in the summary; raised are UnknownSelection, UsageError, LeaseHeld, and LakeError and StateError kinds that keep the
        run from beginning. Not atomic as a whole; each commit is.
        """
        from headwater.orchestration import RunOptions, execute  # lake, state and all rooms with them

        options = RunOptions(
            include=selection,
            exclude=tuple(exclude),
            is_full_refresh=full_refresh,
            interval=self._interval(from_, to),
            allow_drop=allow_drop,
            threads=threads,
        )
        caller = self._rights.need("run", "run", lambda: self._written_by(options))
        summary = execute(self._session_of(caller), options, listener=on_event)
        self.audit.hold()
        return summary

    def _written_by(self, options: RunOptions) -> Sequence[TableName]:
        """All that a run writes: what follows from a restatement, and what it retires, too."""
        from headwater.orchestration.plan import retired_by

        selected = self._select(options.include, options.exclude)
        session = self._session_if_any()
        retired = retired_by(self._loaded, options, session.lake.state()) if session is not None else ()
        return [*(selected if options.interval is None else self._loaded.graph.with_downstream(selected)), *retired]

    def retry(self, *, threads: int | None = None, on_event: Listener | None = None) -> RunSummary:
        """Runs again what last failed, was blocked, cancelled or held."""
        from headwater.orchestration import RunOptions, execute

        include = ("result:failed", "result:blocked", "result:cancelled", "result:held")
        caller = self._rights.need("run", "retry", lambda: self._select(include, ()))
        return execute(self._session_of(caller), RunOptions(include=include, command="retry", threads=threads), listener=on_event)

    def reload(self, table: str, *, from_: str | None = None, reason: str = "", on_event: Listener | None = None) -> RunSummary:
        """Reads a stream again: from the cursor value `from_` (itself included), else from its beginning.

        Rows that come again replace or join the old ones as the write disposition says; the position is set to what was read, in the same
        commit. What depends on it is built by the next run. Raises UnknownSelection, UsageError (a model; a position that isn't one), LeaseHeld.
        """
        from headwater.orchestration import verbs

        caller = self._rights.need("run", "reload", lambda: [self._loaded.find(table)])
        return verbs.reload(self._session_of(caller), self._loaded.find(table), from_=from_, reason=reason, listener=on_event)

    def status(self, *selection: str, exclude: Sequence[str] = ()) -> list[TableStatus]:
        """How each selected table that the caller may run is, inputs first; those whose file is gone last (when all are asked for)."""
        from headwater.api.status import table_statuses

        found = table_statuses(self._session, selection, exclude)
        shown = set(self._rights.among("run", "status", [one.table for one in found]))
        return [one for one in found if one.table in shown]

    def history(self, run_id: str | None = None, *, limit: int = 20) -> list[RunSummary]:
        """The newest runs, newest first, without their tasks; or the one whose id begins with `run_id` (`latest` for the last), with them.

        Raises UsageError when there is none, or several begin so; ApprovalRefused for who neither began it nor has the right `run` on its tables
        (for a list, and for a run without any: on all).
        """
        if run_id is None:
            self._rights.need("run", "history", lambda: self._loaded.graph.nodes)
            return self._session.state.runs(environment=self.environment, limit=limit)
        return [self._run("history", run_id)]

    def logs(self, run_id: str, table: str | None = None) -> list[Event]:
        """What happened in a run, in order; of one table where given. Raises UsageError, UnknownSelection."""
        found = self._run("logs", run_id)
        name = None if table is None else self._known_name(table)
        return self._session.state.events(found.run_id, name)

    def doctor(self) -> list[Finding]:
        """Looks at versions, files, lake, state store, pins and quarantine, and says how each is and what to do. Changes nothing."""
        from headwater.api.doctor import findings

        self._rights.need_administrator("look after the lake")
        return findings(self._loaded)

    # -- what readers see ------------------------------------------------------------------------------------------

    def publish(self, *selection: str, exclude: Sequence[str] = (), force: bool = False, reason: str = "") -> RunSummary:
        """Lets readers see the newest rows of selected tables that are held or rolled back, when their checks pass; all of them or none.
        The other members of a publish_group come along: whoever calls needs the right on these too.

        With `force` and a `reason`, whatever the checks say. Touches neither rows nor positions. Raises UsageError, TableNotFound, LeaseHeld.
        """
        from headwater.orchestration import verbs

        session, tables = self._chosen("publish", selection, exclude)
        self._rights.need("publish", "publish", lambda: verbs.with_groups(session, tables))
        return verbs.publish(session, tables, force=force, reason=reason)

    def rollback(self, *selection: str, exclude: Sequence[str] = (), to: int | str | datetime | None = None, reason: str = "") -> RunSummary:
        """Shows readers an older version of selected tables until `publish`: that of the snapshot or time `to`, else the one before what they see.

        Touches neither rows nor positions. Raises SnapshotNotFound, TableNotFound, LeaseHeld.
        """
        from headwater.orchestration import verbs

        return verbs.rollback(*self._chosen("rollback", selection, exclude), to=self._moment(to), reason=reason)

    def discard(self, *selection: str, exclude: Sequence[str] = (), reason: str = "") -> RunSummary:
        """Throws away what was committed of selected tables and isn't published: the newest rows become the published ones, in a new commit.

        A stream's position goes back with them where the source can be read again from there; else it stays, and the discarded rows go to
        quarantine. Raises TableNotFound, LeaseHeld.
        """
        from headwater.orchestration import verbs

        return verbs.discard(*self._chosen("discard", selection, exclude), reason=reason)

    def _chosen(self, command: str, selection: Sequence[str], exclude: Sequence[str]) -> tuple[Session, tuple[TableName, ...]]:
        """The session of who calls, and the tables a verb of publication is for. Unlike elsewhere, none is chosen where none is named.

        Raises ApprovalRefused.
        """
        if not selection:
            raise UsageError("which tables?", expected="one or several, such as marts.revenue or 'marts.*'", hint="headwater ls shows all tables")
        tables = self._select(selection, exclude)
        if not tables:
            raise UsageError("nothing is selected", found=" ".join(selection), hint="headwater ls with the same selectors shows what they mean")
        return self._session_of(self._rights.need("publish", command, lambda: tables)), tables

    # -- rows --------------------------------------------------------------------------------------------------------

    def query(
        self, sql: str, *, at: int | str | datetime | None = None, head: bool = False, as_user: str | None = None, purpose: str | None = None
    ) -> Result:
        """Runs one SELECT over published tables, consistent across them.

        `at` (a snapshot's number, or a time) gives what was published then. `head` reads newest rows, published or not; with `at` the raw
        lake of then. The project's macros can be used. Who asks is the user of the token in HEADWATER_TOKEN, else the owner, who may ask as
        another sees it (`as_user`, stating a `purpose`). Raises StatementRefused, TableNotFound, SnapshotNotFound and QueryError kinds.
        """
        access = self._asking.of_caller(as_user, purpose)
        lake = self._session.lake
        try:
            return Result(lake.read_as(access, sql, at=self._moment(at), head=head, macros=self._loaded.macros))
        except TableNotFound as error:
            if not lake.state().tables:
                error.hint = "nothing has been built yet: headwater run"
            raise

    def _moment(self, at: int | str | datetime | None) -> int | datetime | None:
        if isinstance(at, str):
            if at.isdigit():
                return int(at)
            try:
                at = datetime.fromisoformat(at)
            except ValueError:
                raise UsageError(f"{at!r} is neither a snapshot nor a time", expected="a number, or a time such as 2026-01-31T12:00") from None
        return self._aware(at) if isinstance(at, datetime) else at

    def _aware(self, moment: date | datetime) -> datetime:
        """A date as its first instant; a time without a zone in the project's."""
        whole = moment if isinstance(moment, datetime) else datetime.combine(moment, time())
        return whole if whole.tzinfo else whole.replace(tzinfo=ZoneInfo(self._loaded.config.timezone))

    def _interval(self, start: date | datetime | None, end: date | datetime | None) -> Interval | None:
        if start is None and end is None:
            return None
        if start is None:
            raise UsageError("an interval needs its beginning", expected="--from DATE, with or without --to DATE")
        first, last = self._aware(start), datetime.now(UTC) if end is None else self._aware(end)
        if first >= last:
            raise UsageError("the interval is empty", found=f"from {first.isoformat()} to {last.isoformat()}", hint="--to is itself excluded")
        return Interval(first, last)

    def _run(self, command: str, text: str) -> RunSummary:
        """The run whose id begins with `text`, or the newest for `latest`. Raises UsageError when that is no run, or several; ApprovalRefused."""
        state = self._session.state
        if text == "latest":
            newest = state.runs(environment=self.environment, limit=1)
            if not newest:
                raise UsageError("nothing has run yet", hint="headwater run")
            text = newest[0].run_id
        try:
            found = state.run(text)
        except StateUnavailable:
            raise
        except StateError as error:
            raise UsageError(error.what, hint=error.hint) from error
        self._rights.need("run", command, lambda: [task.table for task in found.tasks] or self._loaded.graph.nodes, run=found)
        return found

    def _known_name(self, table: str) -> TableName:
        """A name of the project, or of a table that was once in it."""
        try:
            return self._loaded.find(table)
        except UnknownSelection:
            state = self._session.lake.state().find(TableName.parse(table)) if table.count(".") == 1 else None
            if state is None:
                raise
            return state.table

    def _select(self, selection: Sequence[str], exclude: Sequence[str]) -> tuple[TableName, ...]:
        """Tables by selectors, inputs first. Lake and state are looked at for `state:` and `result:` alone."""
        if not any(method in text for text in (*selection, *exclude) for method in ("state:", "result:")):
            return select(self._loaded.graph, selection, exclude, exports=self._loaded.export_tables)
        session = self._session_if_any()
        tables = session.lake.state().tables if session is not None else {}
        asks_results = any("result:" in text for text in (*selection, *exclude))
        results = session.state.last_results(session.environment) if session is not None and asks_results else {}
        return select(
            self._loaded.graph,
            selection,
            exclude,
            exports=self._loaded.export_tables,
            deployed={table: state.load.fingerprint for table, state in tables.items() if state.load is not None},
            fingerprints=self._loaded.fingerprint,
            results={table: result.status for table, (_, result) in results.items()},
        )

    def _listed(self, table: TableName) -> ListedTable:
        node = self._loaded.graph.nodes[table]
        exports = tuple(name for name, sent in self._loaded.export_tables.items() if sent == table)
        if table in self._loaded.models:
            model = self._loaded.models[table]
            return ListedTable(table, model.kind.type, node.path, node.inputs, node.tags, model.owner, model.description, exports)
        source, _, stream = self._loaded.stream(table)
        return ListedTable(table, "stream", node.path, node.inputs, node.tags, stream.owner or source.owner, stream.description, exports)
