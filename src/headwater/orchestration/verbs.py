"""The verbs for trouble: publish, rollback, discard, reload; and replaying quarantine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from headwater.engine import Workspace
from headwater.errors import SnapshotNotFound, UsageError
from headwater.governance.checks import judge
from headwater.governance.labels import rules_of
from headwater.ingestion import LoadContext, PreparedLoad, prepare_replay, staged_of
from headwater.orchestration.events import Listener
from headwater.orchestration.labelling import labelled
from headwater.orchestration.plan import RunOptions
from headwater.orchestration.reading import Readings
from headwater.orchestration.restoring import restored
from headwater.orchestration.run import execute
from headwater.orchestration.session import Session
from headwater.orchestration.side_runs import SideRun, side_run
from headwater.sources import connector_class
from headwater.spec.checks import Check, Verdict
from headwater.spec.names import TableName
from headwater.spec.runs import RunSummary, TaskResult
from headwater.storage import TableChange, TableState
from headwater.storage.changes import PublishMode


def publish(session: Session, tables: Sequence[TableName], *, force: bool = False, reason: str = "", listener: Listener | None = None) -> RunSummary:
    """Lets readers see the newest rows of tables that are held, rolled back or waiting: they follow head again.

    Today's checks judge the newest rows first; a table whose error checks fail stays as it is (its result is `held`), and so do all the others
    of the call. With `force` and a `reason` they are published all the same. The other members of a publish_group that are kept back come along. One
    commit for all. Touches neither rows nor positions. Raises UsageError for `force` without a reason, TableNotFound, LeaseHeld.
    """
    if force and not reason.strip():
        raise UsageError("publishing by force needs a reason", hint="--reason 'why readers may see it'")
    with side_run(session, "publish", with_groups(session, tables), listener) as run:
        wanted = [table for table, state in run.states.items() if state.publication != "follows"]
        verdicts = _judge_heads(run, wanted)
        failing = {table: [verdict for verdict in found if verdict.holds] for table, found in verdicts.items()}
        refused = {table: _sentence(found) for table, found in failing.items() if found and not force}
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
    What depends on the table is built by the next run. Raises UnknownSelection, UsageError for a model, and for `from_` without a cursor.
    """
    if session.project.graph.nodes[session.project.find(table)].kind != "stream":
        raise UsageError(f"{table} is a model; only streams are reloaded", hint=f"headwater run {table} --full-refresh")
    if from_ is not None:
        _require_cursor(session, table)
    options = RunOptions(include=(table.sql,), command="reload", reload_from=from_, is_full_refresh=from_ is None, note=reason)
    return execute(session, options, listener=listener)


def _require_cursor(session: Session, table: TableName) -> None:
    """Raises UsageError where a stream isn't read by a cursor: there is no value to read it from."""
    source, _, stream = session.project.stream(session.project.find(table))
    if stream.cursor is not None and stream.disposition != "replace" and connector_class(source.type).capabilities.cursor:
        return
    found = "it is replaced as a whole" if stream.disposition == "replace" else "it has no cursor"
    if connector_class(source.type).capabilities.file_list:
        found = "its position is a list of files"
    raise UsageError(
        f"{table} can't be read from a value",
        expected="a stream with a cursor",
        found=found,
        state="nothing was read",
        hint=f"headwater reload {table} reads all of it again",
    )


def replay(session: Session, rows: Mapping[TableName, Sequence[str] | None], *, reason: str = "", listener: Listener | None = None) -> RunSummary:
    """Loads rows waiting in quarantine once more, judged by today's contract; positions stay. `rows` are ids by table, None for all that wait for it.

    Rows that keep the contract are stored and closed as `replayed`, or closed as `superseded` where a newer row of their key is stored; the
    others wait on. Twice is as once. Checks judge each table as it will be; a failing one holds it. One commit for all tables. Raises
    UnknownSelection, TableNotFound, LeaseHeld.
    """
    streams = {table: session.project.stream(table)[:2] for table in rows}
    with side_run(session, "replay", list(rows), listener) as run:
        prepared: dict[TableName, PreparedLoad] = {}
        changes: dict[TableName, TableChange] = {}
        commit = None
        try:
            for table, (source, name) in streams.items():
                context = LoadContext(
                    run_id=run.run_id,
                    load_id=run.load_record(table, "replay").load_id,
                    started_at=run.started_at,
                    fingerprint=session.project.fingerprint(table),
                    state=run.states[table],
                    token=run.lease.tokens[table],
                )
                found = prepared[table] = prepare_replay(session.lake, source, name, rows[table], context)
                if found.change is not None:
                    changes[table] = _judged_replay(run, found.change, found.checks)
            if changes:
                commit = session.lake.commit(list(changes.values()), author=run.author, message=reason)
        finally:
            for found in prepared.values():
                for staged in staged_of(found.change):
                    session.lake.drop_staged(staged)
        for table, found in prepared.items():
            if table not in changes or commit is None:
                run.end(TaskResult(table, "skipped", "replay", rows_rejected=found.rows_rejected, reason=found.note or "nothing to replay"))
                continue
            change = changes[table]
            run.end(
                TaskResult(
                    table,
                    "held" if change.publish == "held" else "succeeded",
                    "replay",
                    rows_written=change.staged.rows if change.staged else 0,
                    rows_deleted=commit.rows_deleted.get(table, 0),
                    rows_rejected=found.rows_rejected,
                    reason=change.reason or found.note,
                    verdicts=change.verdicts,
                    load_id=change.load.load_id,
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


def with_groups(session: Session, tables: Sequence[TableName]) -> list[TableName]:
    """The tables, and the other members of their publish_groups that readers don't see the newest rows of."""
    states = session.lake.state()
    found = list(tables)
    groups = {state.definition.body.get("publish_group") for table in tables if (state := states.find(table)) is not None} - {None}
    known = {table.key for table in tables}
    for name, state in states.tables.items():
        is_behind = not state.is_retired and state.publication != "follows"
        if is_behind and state.definition.body.get("publish_group") in groups and name.key not in known:
            found.append(name)
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
