"""The verbs for trouble: publish, rollback, discard, reload; and replaying quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from headwater.engine import Workspace
from headwater.errors import SnapshotNotFound, UsageError
from headwater.governance.checks import judge
from headwater.governance.labels import rules_of
from headwater.ingestion import LoadContext, prepare_replay, staged_of
from headwater.orchestration.events import Listener
from headwater.orchestration.labelling import labelled
from headwater.orchestration.plan import RunOptions
from headwater.orchestration.reading import Readings
from headwater.orchestration.restoring import restored
from headwater.orchestration.run import execute
from headwater.orchestration.session import Session
from headwater.orchestration.side_runs import SideRun, side_run
from headwater.spec.checks import Check, Verdict
from headwater.spec.names import TableName
from headwater.spec.runs import RunSummary, TaskResult
from headwater.storage import TableChange, TableState
from headwater.storage.changes import PublishMode


def publish(session: Session, tables: Sequence[TableName], *, force: bool = False, reason: str = "", listener: Listener | None = None) -> RunSummary:
    """Lets readers see the newest rows of tables that are held, rolled back or waiting: they follow head again.

    Today's checks judge the newest rows first; a table whose error checks fail stays as it is (its result is `held`), and so do all the others
    of the call. With `force` and a `reason` they are published all the same. One commit for all. Touches neither rows nor positions. Raises
    UsageError for `force` without a reason, TableNotFound, LeaseHeld.
    """
    if force and not reason.strip():
        raise UsageError("publishing by force needs a reason", hint="--reason 'why readers may see it'")
    with side_run(session, "publish", tables, listener) as run:
        wanted = [table for table, state in run.states.items() if state.publication != "follows"]
        verdicts = _judge_heads(run, wanted)
        failing = {table: [verdict for verdict in found if verdict.holds] for table, found in verdicts.items()}
        refused = {table: _sentence(found) for table, found in failing.items() if found and not force}
        refused |= {table: why for table, why in _missing_of_group(run, wanted).items() if table not in refused and not force}
        snapshot_id = None
        if wanted and not refused:
            changes = [_release(run, table, verdicts[table], reason) for table in wanted]
            snapshot_id = session.lake.commit(changes, author=run.author, message=reason).snapshot_id
        for table in run.states:
            if table not in wanted:
                run.end(TaskResult(table, "skipped", "publish", reason="readers see its newest rows already"))
            elif table in refused:
                run.end(TaskResult(table, "held", "publish", reason=refused[table], verdicts=verdicts[table]))
            elif refused:
                run.end(TaskResult(table, "blocked", "publish", reason=f"{next(iter(refused))} can't be published, and all are or none"))
            else:
                run.end(TaskResult(table, "succeeded", "publish", reason=reason, verdicts=verdicts[table], snapshot_id=snapshot_id))
        return run.summarize()


def rollback(
    session: Session,
    tables: Sequence[TableName],
    *,
    to: int | datetime | None = None,
    reason: str = "",
    listener: Listener | None = None,
) -> RunSummary:
    """Shows readers an older version of tables until `publish`; runs go on loading and building beneath.

    `to` is a snapshot or an aware time; without it the version before the one readers see now. Tables that go to one snapshot are pinned in one
    commit. Touches neither rows nor positions. Raises SnapshotNotFound, TableNotFound, LeaseHeld.
    """
    with side_run(session, "rollback", tables, listener) as run:
        targets: dict[int, list[TableName]] = {}
        for table, state in run.states.items():
            targets.setdefault(_target(session, state, to), []).append(table)
        for snapshot, group in sorted(targets.items()):
            tokens = {table: run.lease.tokens[table] for table in group}
            commit = session.lake.pin(group, snapshot, reason=reason or f"rolled back to snapshot {snapshot}", author=run.author, tokens=tokens)
            for table in group:
                run.end(TaskResult(table, "succeeded", "rollback", reason=f"readers see snapshot {snapshot}", snapshot_id=commit.snapshot_id))
        return run.summarize()


def discard(session: Session, tables: Sequence[TableName], *, reason: str = "", listener: Listener | None = None) -> RunSummary:
    """Throws away what was committed and isn't published: the head of each table becomes what readers see, in one new commit.

    The position of a stream goes back to that of the published rows where the source can still be read from there. Where it can't, the position
    stays, and the discarded rows go to quarantine. A table whose newest rows are published is skipped. Raises TableNotFound, LeaseHeld.
    """
    with side_run(session, "discard", tables, listener) as run:
        wanted = [table for table, state in run.states.items() if state.publication != "follows"]
        changes: list[TableChange] = []
        snapshot_id = None
        try:
            for table in wanted:
                changes.append(restored(run, table, reason))
            if changes:
                snapshot_id = session.lake.commit(changes, author=run.author, message=reason).snapshot_id
        finally:
            for change in changes:
                for staged in staged_of(change):
                    session.lake.drop_staged(staged)
        notes = {change.table: change.load.note for change in changes}
        for table in run.states:
            if table in notes:
                run.end(TaskResult(table, "succeeded", "discard", reason=notes[table], snapshot_id=snapshot_id))
            else:
                run.end(TaskResult(table, "skipped", "discard", reason="readers see its newest rows: there is nothing to discard"))
        return run.summarize()


def reload(session: Session, table: TableName, *, from_: str | None = None, reason: str = "", listener: Listener | None = None) -> RunSummary:
    """Reads a stream again: from the cursor value `from_` (itself included), else from its beginning.

    Rows that come again replace or join the old ones as the write disposition says; the position is set to what was read, in the same commit.
    What depends on the table is built by the next run. Raises UnknownSelection, UsageError for a model.
    """
    if session.project.graph.nodes[session.project.find(table)].kind != "stream":
        raise UsageError(f"{table} is a model; only streams are reloaded", hint=f"headwater run {table} --full-refresh")
    options = RunOptions(include=(table.sql,), command="reload", reload_from=from_, is_full_refresh=from_ is None, note=reason)
    return execute(session, options, listener=listener)


def replay(session: Session, table: TableName, ids: Sequence[str] | None = None, *, reason: str = "", listener: Listener | None = None) -> RunSummary:
    """Loads rows waiting in quarantine (`ids`, or all of the table's) once more, judged by today's contract; the position stays.

    Rows that keep the contract are stored and closed as `replayed`, or closed as `superseded` where a newer row of their key is stored; the
    others wait on. Twice is as once. Checks judge the table as it will be; a failing one holds it. Raises UnknownSelection, TableNotFound, LeaseHeld.
    """
    source, name, _ = session.project.stream(table)
    with side_run(session, "replay", [table], listener) as run:
        state = run.states[table]
        record = run.load_record(table, "replay")
        context = LoadContext(
            run_id=run.run_id,
            load_id=record.load_id,
            started_at=run.started_at,
            fingerprint=session.project.fingerprint(table),
            state=state,
            token=run.lease.tokens[table],
        )
        prepared = prepare_replay(session.lake, source, name, ids, context)
        if prepared.change is None:
            run.end(TaskResult(table, "skipped", "replay", rows_rejected=prepared.rows_rejected, reason=prepared.note or "nothing to replay"))
            return run.summarize()
        try:
            change = _judged_replay(run, prepared.change, prepared.checks)
            commit = session.lake.commit([change], author=run.author, message=reason)
        finally:
            for staged in staged_of(prepared.change):
                session.lake.drop_staged(staged)
        run.end(
            TaskResult(
                table,
                "held" if change.publish == "held" else "succeeded",
                "replay",
                rows_written=change.staged.rows if change.staged else 0,
                rows_deleted=commit.rows_deleted.get(table, 0),
                rows_rejected=prepared.rows_rejected,
                reason=change.reason or prepared.note,
                verdicts=change.verdicts,
                load_id=record.load_id,
                snapshot_id=commit.snapshot_id,
            )
        )
        return run.summarize()


def _judged_replay(run: SideRun, change: TableChange, checks: Sequence[Check]) -> TableChange:
    state = run.states[change.table]
    with _readings(run) as readings, readings.connection() as connection:
        relation = run.session.lake.future_sql(change)
        verdicts = judge(connection, relation, checks, resolve=readings.relation, table=change.table)
    failing = [verdict for verdict in verdicts if verdict.holds]
    mode: PublishMode = "held" if failing else "keep" if state.publication != "follows" else "now"
    change = replace(change, verdicts=verdicts, publish=mode, reason=_sentence(failing), computed_from=state.changed_snapshot)
    project = run.session.project
    return labelled(change, state, rules_of(change.table, project.stream(change.table)[2], project.policies), {})


# -- judging ---------------------------------------------------------------------------------------------------------


class _Readings:
    """Readings over a workspace of their own, for as long as `with` lasts."""

    def __init__(self, run: SideRun) -> None:
        session = run.session
        self._workspace = Workspace(session.engine, clock=run.started_at, macros=session.project.macros)
        lake_state = session.lake.state()
        find = session.project.graph.find
        self.readings = Readings(session.lake, self._workspace, {find(t) or t: s for t, s in lake_state.tables.items()}, lake_state.snapshot_id, find)

    def __enter__(self) -> Readings:
        return self.readings

    def __exit__(self, *_: object) -> None:
        self.readings.close()
        self._workspace.close()


def _readings(run: SideRun) -> _Readings:
    return _Readings(run)


def _judge_heads(run: SideRun, tables: Sequence[TableName]) -> dict[TableName, tuple[Verdict, ...]]:
    """Today's checks on the newest rows, as if all of `tables` were published together."""
    found: dict[TableName, tuple[Verdict, ...]] = {}
    with _readings(run) as readings:
        for table in tables:
            readings.take_over(table)
        for table in tables:
            checks = _checks_of(run.session, table)
            relation = readings.relation(table)
            if relation is None or not checks:
                found[table] = ()
                continue
            with readings.connection() as connection:
                found[table] = judge(connection, relation, checks, resolve=readings.relation, table=table)
    return found


def _checks_of(session: Session, table: TableName) -> tuple[Check, ...]:
    name = session.project.graph.find(table)
    if name is None:
        return ()
    model = session.project.models.get(name)
    return (model or session.project.stream(name)[2]).table_checks


def _missing_of_group(run: SideRun, wanted: Sequence[TableName]) -> dict[TableName, str]:
    """Tables whose publish_group has other members that are kept back and aren't published with them."""
    groups: dict[str, list[TableName]] = {}
    for name, state in run.session.lake.state().tables.items():
        group = state.definition.body.get("publish_group")
        if isinstance(group, str) and not state.is_retired and state.publication in ("held", "waiting"):
            groups.setdefault(group, []).append(name)
    chosen = {table.key for table in wanted}
    found: dict[TableName, str] = {}
    for table in wanted:
        group = run.states[table].definition.body.get("publish_group")
        missing = [name for name in groups.get(group, ()) if name.key not in chosen] if isinstance(group, str) else []
        if missing:
            found[table] = f"publish_group {group} is published together: {', '.join(map(str, missing))} too"
    return found


def _release(run: SideRun, table: TableName, verdicts: tuple[Verdict, ...], reason: str) -> TableChange:
    state = run.states[table]
    return TableChange(
        state.table,
        state.definition,
        run.load_record(table, "publish", note=reason),
        run.lease.tokens[table],
        verdicts=verdicts,
        publish="release",
        reason=reason,
        computed_from=state.changed_snapshot,
    )


def _sentence(failing: Sequence[Verdict]) -> str:
    return "; ".join(f"{verdict.check} failed: {verdict.message}" for verdict in failing)


def _target(session: Session, state: TableState, to: int | datetime | None) -> int:
    """The snapshot a rollback of one table goes to. Raises SnapshotNotFound."""
    if isinstance(to, datetime):
        snapshots = f'SELECT max(snapshot_id) FROM "{session.lake.database}".snapshots() WHERE snapshot_time <= ?'
        found = session.lake.read_as_system(snapshots, [to]).scalar()
        if found is None:
            raise SnapshotNotFound(f"the lake has no snapshot as old as {to:%Y-%m-%d %H:%M:%S %Z}", hint=f"headwater snapshots {state.table}")
        return int(found)
    if to is not None:
        return to
    seen = state.published_changed_snapshot or 0
    older = [version for version in session.lake.snapshots(state.table) if version.snapshot_id < seen and version.readable_at is not None]
    if not older:
        raise SnapshotNotFound(
            f"{state.table} has no older version to go back to", state="nothing was changed", hint=f"headwater snapshots {state.table} shows them"
        )
    newest = max(older, key=lambda version: version.snapshot_id)
    return newest.snapshot_id


__all__ = ["discard", "publish", "reload", "replay", "rollback"]
