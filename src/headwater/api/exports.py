"""The exports of a project: what leaves the lake, sent, looked at, tried again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headwater.api.rooms import Room, keyring_of
from headwater.errors import ApprovalRefused, HeadwaterError, TableNotFound, UsageError
from headwater.project import LoadedProject
from headwater.spec.counting import plural
from headwater.spec.exports import Export
from headwater.spec.names import EXPORTS_SCHEMA, OWNER_NAME, TableName
from headwater.spec.runs import RunStatus

if TYPE_CHECKING:
    from headwater.api.asking import Asking
    from headwater.exporting import ExportResult
    from headwater.orchestration import Session
    from headwater.security.principals import Principal
    from headwater.state import StateStore
    from headwater.state.exports import ExportRun
    from headwater.storage import Access, DeadLetter

_LEASE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class ListedExport:
    """An export as the project defines it. `destination` is its type."""

    name: str
    table: TableName
    principal: str
    destination: str
    path: str
    description: str | None = None


@dataclass(frozen=True, slots=True)
class ExportState:
    """How an export is: its newest run that had something to send (None: none yet), and how many dead letters wait."""

    name: str
    table: TableName
    destination: str
    newest: ExportRun | None
    dead: int


class Exports(Room):
    """`project.exports`. Whoever HEADWATER_TOKEN says may run an export when they are an administrator or its principal; without it, it is the owner
    who calls."""

    def __init__(self, loaded: LoadedProject, session: Callable[[], Session], asking: Callable[[], Asking]) -> None:
        super().__init__(loaded)
        self._session = session
        self._asking = asking

    def list(self) -> list[ListedExport]:
        """All exports that the caller may run, by name. Touches neither lake nor state, but to know who that is."""
        found = self._all_of(self._who_calls())
        return [ListedExport(one.name, one.table_name, one.as_, one.to, one.path, one.description) for one in found]

    def _all_of(self, caller: Principal) -> Sequence[Export]:
        return sorted((one for one in self._loaded.exports.values() if _may_run(caller, one)), key=lambda export: export.name)

    def run(
        self,
        *names: str,
        dry_run: bool = False,
        full: bool = False,
        allow_deletes: bool = False,
        on_progress: Callable[[ExportRun], None] = lambda run: None,
    ) -> Sequence[ExportResult]:
        """Runs the named exports (none: all), one after the other; what fails stands in the result and doesn't stop the others.

        `dry_run` compares and looks at the destination, and sends nothing. `full` sends every row, whatever was acknowledged. `allow_deletes`
        lets more rows be deleted than `max_deletes`. Raises UnknownSelection, and what keeps the first from beginning.
        """
        exports = [self._loaded.export(name) for name in dict.fromkeys(names)] or self._all_of(self._who_calls())
        results = []
        for export in exports:
            try:
                results.append(self._run(export, dry_run, full, allow_deletes, on_progress))
            except HeadwaterError as error:
                from headwater.exporting import ExportResult

                results.append(ExportResult(export.name, "failed", export.to, error=error))
        return results

    def _run(
        self, export: Export, dry_run: bool, full: bool, allow_deletes: bool, on_progress: Callable[[ExportRun], None]
    ) -> ExportResult:  # fmt: skip
        from headwater.destinations import open_destination
        from headwater.exporting import ExportJob, run_export
        from headwater.orchestration.events import Recorder
        from headwater.orchestration.heart import Heart
        from headwater.security.keys import export_key
        from headwater.state import new_run_id
        from headwater.state.exports import ExportRuns

        access = self._access(export)
        session = self._session()
        state, environment = session.state, self._loaded.environment
        run_id = new_run_id(session.clock())
        lost: list[TableName] = []
        with ExitStack() as undo:
            if not dry_run:
                state.mark_crashed(environment)
                state.start_run(
                    run_id,
                    environment=environment,
                    command="export",
                    selection=[f"export:{export.name}"],
                    started_at=session.clock(),
                    principal=access.principal.asked_by or access.principal.name,
                )
                outcome = _Outcome()
                undo.callback(lambda: state.finish_run(run_id, outcome.status, finished_at=session.clock()))
                names = [export.name, *([export.renamed_from] if export.renamed_from else [])]
                lease = state.acquire(environment, [TableName(EXPORTS_SCHEMA, name) for name in names], run_id, _LEASE_SECONDS, {})
                undo.enter_context(Heart(state, lease, Recorder(run_id, state, session.clock), lost.extend))
                if export.renamed_from:
                    ExportRuns(state, environment).take_over(export.name, export.renamed_from)
                    session.lake.exported(export.name).take_over(session.lake.exported(export.renamed_from))
            destination = undo.enter_context(open_destination(export, project_dir=self._loaded.directory, environ=self._loaded.environ))
            result = run_export(
                ExportJob(
                    id=run_id,
                    export=export,
                    lake=session.lake,
                    access=access,
                    runs=ExportRuns(state, environment),
                    destination=destination,
                    secret=export_key(keyring_of(self._loaded)),
                    clock=session.clock,
                    macros=self._loaded.macros,
                    is_ours=lambda: not lost,
                    on_progress=on_progress,
                    is_full=full,
                    dry_run=dry_run,
                    allow_deletes=allow_deletes,
                    known_as=_known_as(export, session),
                )
            )
            if not dry_run:
                outcome.status = "succeeded"
            return result

    def status(self, *names: str) -> Sequence[ExportState]:
        """How the named exports (none: all) are, by name."""
        from headwater.state.exports import ExportRuns

        named = [self._loaded.export(name) for name in names]
        caller = self._caller_for(*named, deed="export status", action="look")
        session = self._session()
        runs = ExportRuns(session.state, self._loaded.environment)
        wanted = named or self._all_of(caller)
        self._note_look(session.state, caller, f"export status {' '.join(one.name for one in wanted)}".rstrip())
        found = []
        for one in wanted:
            name = _known_as(one, session)
            found.append(ExportState(one.name, one.table_name, one.to, runs.newest(name), len(session.lake.exported(name).dead_letters())))
        return found

    def history(self, name: str, *, limit: int = 20) -> Sequence[ExportRun]:
        """The newest runs of an export that had something to send, newest first."""
        from headwater.state.exports import ExportRuns

        export = self._loaded.export(name)
        caller = self._caller_for(export, deed="export history", action="look")
        session = self._session()
        self._note_look(session.state, caller, f"export history {export.name}")
        return ExportRuns(session.state, self._loaded.environment).list(_known_as(export, session), limit=limit)

    def check(self, name: str) -> str:
        """Connects to an export's destination and says what answered. Raises DestinationUnreachable, DestinationRefused, UnresolvedReference."""
        from headwater.destinations import open_destination

        export = self._loaded.export(name)
        caller = self._caller_for(export, deed="export check", action="look")
        with self._state() as state:
            self._note_look(state, caller, f"export check {export.name}")
        with open_destination(export, project_dir=self._loaded.directory, environ=self._loaded.environ) as destination:
            return destination.check()

    # -- dead letters ------------------------------------------------------------------------------------------------

    def dead(self, name: str) -> Sequence[DeadLetter]:
        """Rows that the destination refused and that wait, the oldest first, each by its key. Raises ApprovalRefused for who may not see them."""
        export = self._loaded.export(name)
        caller = self._caller_for(export, deed="export dead list")
        session = self._session()
        access = self._asking().access_of(caller, "export")
        try:
            return session.lake.dead_letters_as(access, _known_as(export, session), export.table_name)
        except TableNotFound:
            if session.lake.state().find(export.table_name) is None:
                raise
            raise ApprovalRefused(
                f"{caller.name} can't read the keys of {export.table}: they don't see all of it",
                expected="a grant of `export` on the whole table",
                hint=f"headwater export dead retry {name}, or drop, shows no keys",
            ) from None

    def retry_dead(self, name: str, *ids: str) -> int:
        """Lets refused rows (none named: all) be sent by the next run, as they are then; says how many."""
        return self._change_dead(name, ids, drop=False)

    def drop_dead(self, name: str, *ids: str) -> int:
        """Gives refused rows up (none named: all), until their values change; says how many."""
        return self._change_dead(name, ids, drop=True)

    def _change_dead(self, name: str, ids: Sequence[str], *, drop: bool) -> int:
        export, deed = self._loaded.export(name), f"export dead {'drop' if drop else 'retry'}"
        caller, session = self._caller_for(export, deed=deed), self._session()
        exported = session.lake.exported(_known_as(export, session))
        known = [letter.id for letter in exported.dead_letters()]
        unknown = [one for one in ids if one not in known]
        if unknown:
            raise UsageError(f"no dead letter waits under {unknown[0]!r}", hint=f"headwater export dead list {name} shows their ids")
        chosen = list(dict.fromkeys(ids)) or known
        self._note(session.state, caller, "export", f"{deed} {export.name}: {plural(len(chosen), 'letter')}")
        return exported.change_dead(chosen, drop=drop)

    # -- who ---------------------------------------------------------------------------------------------------------

    def _who_calls(self) -> Principal:
        """Opens the state store alone, and that for a token only: a lake isn't made to find out. Raises AuthenticationFailed."""
        from headwater.security.principals import OWNER

        if self.is_owner:
            return OWNER
        with self._state() as state:
            return self._caller(state)

    def _caller_for(self, *exports: Export, deed: str, action: str = "export") -> Principal:
        """Who calls, who must be good for each of the exports. Raises AuthenticationFailed, and ApprovalRefused, which is audited."""
        caller = self._who_calls()
        for export in exports:
            if not _may_run(caller, export):
                self._note_refused(caller, f"{deed} {export.name}", action)
                expected = f"an administrator, or {export.as_}, with a token that is good for it"
                raise ApprovalRefused(f"{caller.name} can't run the export {export.name}", expected=expected)
        return caller

    def _note_refused(self, caller: Principal, what: str, action: str = "export") -> None:
        with self._state() as state:
            self._note_of_user(state, caller, action, what, "refused")

    def _note_look(self, state: StateStore, caller: Principal, what: str) -> None:
        """Of the owner as soon as there are users, as of their queries."""
        if caller.kind != "owner" or state.has_users():
            self._note(state, caller, "look", what)

    def _access(self, export: Export) -> Access:
        """What the export's principal may send out. Raises ApprovalRefused, and ExportRefused for a principal that isn't there; both are audited."""
        from headwater.errors import ExportRefused

        caller = self._caller_for(export, deed="export run")
        try:
            return self._access_by(caller, export)
        except (ApprovalRefused, ExportRefused):
            self._note_refused(caller, f"export run {export.name}")
            raise

    def _access_by(self, caller: Principal, export: Export) -> Access:
        from headwater.errors import ExportRefused
        from headwater.security.principals import OWNER

        if export.as_ == OWNER_NAME:
            if caller.kind != "owner":
                raise ApprovalRefused(f"{caller.name} can't run the export {export.name}", expected="the owner, as whom it goes")
            return self._asking().access_of(OWNER, "export")
        users = self._asking().users
        try:
            found = users.find(export.as_)
        except UsageError:
            raise ExportRefused(
                f"there is no user {export.as_}, as whom the export {export.name} goes",
                state="nothing was sent",
                hint=f"headwater user add {export.as_} --service --oidc, and a role with `export: {export.table}` in policies/",
            ) from None
        info = next(user for user in users.list() if user.name == found.name)
        if info.is_disabled:
            raise ExportRefused(f"{found.name} is disabled", state="nothing was sent", hint=f"headwater user enable {found.name}")
        asked_by = caller.name if caller.name != found.name else None
        return self._asking().access_of(replace(found, purpose=export.purpose, asked_by=asked_by), "export")


def _may_run(caller: Principal, export: Export) -> bool:
    is_its_own = caller.name == export.as_ and (caller.scope is None or "export" in caller.scope)
    return caller.may_administer or is_its_own


def _known_as(export: Export, session: Session) -> str:
    """The name under which what an export acknowledged stands: until its first run after a renaming, the former one."""
    former = export.renamed_from
    if former is None or session.lake.exported(export.name).is_known or not session.lake.exported(former).is_known:
        return export.name
    return former


class _Outcome:
    """How the run is written down when it is over."""

    status: RunStatus = "failed"
