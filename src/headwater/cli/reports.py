"""Results in words and tables for people. Takes what `headwater.api` gives; prints through the screen."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from headwater.cli.progress import MAX_SKIPS_NAMED, outcome
from headwater.cli.screen import STYLES, format_bytes, format_number, format_seconds, format_time, plural, screen

if TYPE_CHECKING:
    from headwater.api import CheckResult, Discovery, Finding, ListedSource, ListedTable, TableStatus
    from headwater.errors import Problem
    from headwater.spec.checks import Verdict
    from headwater.spec.runs import Event, RunSummary, TaskResult
    from headwater.storage import BackupReport, MaintenanceReport, QuarantinedRow, RestoreReport, TableDiff, TableVersion
    from headwater.transformation import UnitTestResult

Rows = tuple[list[str], list[list[Any]]]


def ago(moment: datetime | None) -> str:
    """`just now`, `5 min ago`, `3 h ago`, `2 days ago`; `-` for never."""
    if moment is None:
        return "-"
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


# -- the project -----------------------------------------------------------------------------------------------------


def listing(tables: Sequence[ListedTable]) -> Rows:
    rows: list[list[object]] = [
        [table.table, table.kind, ", ".join(map(str, table.inputs)) or "-", ", ".join(table.tags) or "-", table.path] for table in tables
    ]
    columns = ["TABLE", "KIND", "FROM", "TAGS", "FILE"]
    if any(table.exports for table in tables):
        columns.append("EXPORTS")
        rows = [[*row, ", ".join(table.exports) or "-"] for row, table in zip(rows, tables, strict=True)]
    return columns, rows


def sources(found: Sequence[ListedSource]) -> Rows:
    return ["SOURCE", "TYPE", "STREAMS", "FILE"], [[source.name, source.type, ", ".join(source.streams) or "-", source.path] for source in found]


def print_problems(problems: Sequence[Problem]) -> None:
    for problem in problems:
        screen.text(f"{problem.severity}: {problem}")
    counts = Counter(problem.severity for problem in problems)
    said = ", ".join(plural(counts[severity], severity) for severity in ("error", "warning", "note") if counts[severity])
    screen.note(said or "nothing to complain about")


def print_verdicts(results: Sequence[CheckResult]) -> None:
    rows = []
    for result in results:
        for verdict in result.verdicts:
            word = "passed" if verdict.passed else "failed" if verdict.severity == "error" else "warn"
            rows.append([result.table, verdict.check, word, verdict.failed, verdict.total, verdict.message or "-"])
    screen.table(["TABLE", "CHECK", "RESULT", "FAILED", "OF", "MESSAGE"], rows, empty="no checks are defined for these tables")
    counts = Counter(str(row[2]) for row in rows)
    if rows:
        screen.note(
            ", ".join(f"{counts[word]} {said}" for word, said in (("passed", "passed"), ("warn", "warned"), ("failed", "failed")) if counts[word])
        )


def print_unit_tests(results: Sequence[UnitTestResult]) -> None:
    for result in results:
        screen.outcome("passed" if result.passed else "failed", f"{result.model}: {result.name}")
        if not result.passed:
            screen.text(f"  {result.path}:{result.line}")
            for line in result.message.splitlines():
                screen.text(f"  {line}")
    passed = sum(result.passed for result in results)
    if results:
        screen.note(f"{passed} passed, {len(results) - passed} failed in {format_seconds(sum(result.seconds for result in results))}")
    else:
        screen.note("no unit tests are defined for these models: add them under tests/")


# -- runs ------------------------------------------------------------------------------------------------------------


def runs(found: Sequence[RunSummary]) -> Rows:
    rows = [
        [run.run_id, run.command, run.status, format_time(run.started_at), _duration(run), " ".join(run.selection) or "all", _commit(run), run.author]
        for run in found
    ]
    return ["RUN", "COMMAND", "STATUS", "STARTED", "TOOK", "SELECTED", "COMMIT", "BY"], rows


def _duration(run: RunSummary) -> str:
    return format_seconds((run.finished_at - run.started_at).total_seconds()) if run.finished_at else "-"


def _commit(run: RunSummary) -> str:
    if not run.git_commit:
        return "-"
    return run.git_commit[:10] + (" + changes" if run.git_dirty else "")


def print_run(run: RunSummary) -> None:
    """One run of the past, task by task."""
    screen.text(f"run {run.run_id}: {run.command}, {run.status}")
    screen.text(f"started {format_time(run.started_at)}, took {_duration(run)}, environment {run.environment}")
    screen.text(f"commit {_commit(run)}, by {run.author or 'unknown'}, selected {' '.join(run.selection) or 'all'}")
    rows = [
        [
            task.table,
            outcome(task.status, task.operation),
            task.rows_written,
            task.rows_rejected,
            f"{task.seconds:.1f}",
            task.attempts,
            _first_line(task),
        ]
        for task in run.tasks
    ]
    screen.table(["TABLE", "RESULT", "ROWS", "REJECTED", "SECONDS", "ATTEMPTS", "REASON"], rows, empty="no tasks")


def _first_line(task: TaskResult) -> str:
    return (task.reason or task.error_text or "").partition("\n")[0] or "-"


def print_events(events: Sequence[Event]) -> None:
    for event in events:
        said = "  ".join(f"{key}={value}" for key, value in event.data.items() if value not in (None, "", 0))
        screen.text(" ".join(f"{event.at.astimezone():%H:%M:%S}  {event.name:<18} {event.table or ''}  {said}".split(" ")).rstrip())
    if not events:
        screen.note("no events")


def finish_run(run: RunSummary, *, json: bool = False) -> None:
    """The summary at the end of a run and what to do next; ends the process with the run's exit code when that isn't 0."""
    if json:
        screen.json(run)
    else:
        print_summary(run)
    if run.exit_code:
        raise typer.Exit(run.exit_code)


#: Commands that walk the graph: they are told task by task while they run.
_OF_THE_GRAPH = ("run", "retry", "reload")


def print_summary(run: RunSummary) -> None:
    if run.command not in _OF_THE_GRAPH:
        _print_deeds(run)
    if run.command == "retry" and not run.tasks:
        screen.note("nothing failed, was blocked or held when it last ran: there is nothing to retry")
        return
    _print_troubles([task for task in run.tasks if task.status in ("failed", "held")])
    _print_warnings([task for task in run.tasks if task.status == "succeeded"])
    _print_skips([task for task in run.tasks if task.status in ("skipped", "blocked")])
    counts = Counter(outcome(task.status, task.operation) for task in run.tasks)
    committed = [task for task in run.tasks if task.status in ("succeeded", "held")]
    said = ", ".join(f"{count} {word}" for word, count in counts.items()) or "nothing to do"
    word = {"succeeded": "done", "cancelled": "stopped"}.get(run.status, run.status)
    word = word if run.exit_code == 0 or run.status != "succeeded" else "not all well"
    rows = sum(task.rows_written for task in committed)
    screen.note(f"{word}: {said}; {plural(rows, 'row')} in {_duration(run)}", STYLES["succeeded" if run.exit_code == 0 else "failed"])
    rejected = sum(task.rows_rejected for task in committed)
    if rejected:
        screen.note(f"{plural(rejected, 'row')} broke the contract and {'waits' if rejected == 1 else 'wait'} in quarantine", STYLES["held"])
    screen.note(f"run {run.run_id}{f', snapshot {run.snapshot_id}' if run.snapshot_id is not None else ''}", "dim")
    screen.next_commands(next_after(run))


def _print_deeds(run: RunSummary) -> None:
    """What a command did to each table it was given, where that is no trouble."""
    for task in run.tasks:
        if task.status not in ("failed", "held"):
            why = f": {task.reason}" if task.reason else ""
            screen.note(f"{task.table} {outcome(task.status, task.operation)}{why}", STYLES.get(task.status))


def _print_troubles(tasks: Sequence[TaskResult]) -> None:
    """What failed or is held, and why; tables with the very same error together."""
    same: dict[tuple[str, str], list[TaskResult]] = defaultdict(list)
    for task in tasks:
        why = task.error_text or task.reason
        same[task.status, why if not task.verdicts else f"{task.table}: {why}"].append(task)
    for (status, _), together in same.items():
        first = together[0]
        screen.note()
        screen.note(f"{_names(together)} {status}{'' if first.error_text else ': ' + first.reason}", STYLES[status])
        for line in (first.error_text or "").splitlines():
            screen.note(f"  {line}")
        for verdict in first.verdicts:
            if not verdict.passed:
                screen.note(f"  {verdict.severity}: check {verdict.check} failed{_message(verdict)}")
    if tasks:
        screen.note()


def _print_warnings(tasks: Sequence[TaskResult]) -> None:
    for task in tasks:
        for line in task.reason.splitlines()[1:]:
            screen.note(f"warning: {task.table}: {line}", STYLES["warn"])
        for verdict in task.verdicts:
            if not verdict.passed:
                screen.note(f"warning: {task.table}: check {verdict.check} failed{_message(verdict)}", STYLES["warn"])


def _message(verdict: Verdict) -> str:
    return f": {verdict.message}" if verdict.message else ""


def _names(tasks: Sequence[TaskResult]) -> str:
    names = [str(task.table) for task in tasks]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _print_skips(tasks: Sequence[TaskResult]) -> None:
    """Tables that were left alone, by reason, where they were too many to be named while the run went."""
    if len(tasks) <= MAX_SKIPS_NAMED:
        return
    by_reason: dict[tuple[str, str], list[TaskResult]] = defaultdict(list)
    for task in tasks:
        by_reason[task.status, task.reason.partition("\n")[0]].append(task)
    for (status, reason), together in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        screen.note(f"{status} {len(together)}, {reason}: {_names(together)}", STYLES[status])


def next_after(run: RunSummary) -> list[tuple[str, str]]:
    """Commands worth trying after a run, the most pressing first."""
    commands: list[tuple[str, str]] = []
    failed = [task for task in run.tasks if task.status == "failed"]
    held = [task for task in run.tasks if task.status == "held"]
    if failed:
        commands.append((f"headwater logs {run.run_id} {failed[0].table}", "what happened there"))
        commands.append(("headwater retry", "run again what failed and what waited for it"))
    for task in held[:1]:
        commands.append((f"headwater check {task.table}", "look at the checks again"))
        commands.append((f'headwater query --head "FROM {task.table} LIMIT 20"', "look at the rows that are held"))
        commands.append((f'headwater publish {task.table} --force --reason "..."', "let readers see them all the same"))
        commands.append((f"headwater discard {task.table}", "throw them away"))
    if any(task.rows_rejected for task in run.tasks):
        commands.append(("headwater quarantine list", "which rows broke their contract, and why"))
    if not failed and not held:
        commands.append(("headwater status", "how each table is"))
        built = [task for task in run.tasks if task.status == "succeeded" and task.operation in ("load", "build", "view")]
        if built:
            commands.append((f'headwater query "FROM {built[-1].table} LIMIT 10"', "look at the result"))
            commands.append((f"headwater lineage {built[-1].table}", "where it comes from"))
    return commands


# -- status and doctor -----------------------------------------------------------------------------------------------


def no_tables(*, is_choice: bool, is_owner: bool) -> str:
    """What to say in place of an empty list of tables."""
    if not is_owner:
        return f"there is no table {'among those selected ' if is_choice else ''}that you may run"
    return "nothing is selected: no table is what the selectors ask for" if is_choice else "the project defines no tables yet"


def print_status(tables: Sequence[TableStatus], *, is_choice: bool, is_owner: bool) -> None:
    rows = [
        [table.table, table.kind, table.status, table.rows, ago(table.committed_at), table.waiting_in_quarantine or None, _why(table)]
        for table in tables
    ]
    screen.table(["TABLE", "KIND", "STATUS", "ROWS", "CHANGED", "QUARANTINE", "WHY"], rows, empty=no_tables(is_choice=is_choice, is_owner=is_owner))
    bad = [table for table in tables if table.is_bad]
    if any(table.status == "failed" for table in bad):
        screen.next_commands([("headwater retry", "run again what failed")])
    elif bad:
        screen.next_commands(
            [(f"headwater check {bad[0].table}", "which check holds it"), (f"headwater publish {bad[0].table}", "when the checks pass again")]
        )
    elif any(table.status in ("never built", "stale") for table in tables):
        screen.next_commands([("headwater run", "build what is missing or stale")])


def _why(table: TableStatus) -> str:
    return "; ".join(part for part in (table.reason.partition("\n")[0], *table.warnings) if part) or "-"


def print_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        screen.outcome(finding.status, f"{finding.subject}: {finding.message}")
        if finding.hint:
            screen.text(f"{'':10}hint: {finding.hint}")
    bad = sum(finding.status == "failed" for finding in findings)
    doubtful = sum(finding.status == "warning" for finding in findings)
    said = f"{plural(bad, 'thing')} to mend" if bad else "all is well"
    screen.note(f"{said}, {plural(doubtful, 'thing')} to look at" if doubtful else said)


# -- quarantine and the lake -----------------------------------------------------------------------------------------


def quarantine_counts(rows: Sequence[QuarantinedRow]) -> list[dict[str, Any]]:
    """The rows waiting, counted by table and reason."""
    counts = Counter((str(row.table), row.column_name, row.reason) for row in rows)
    return [{"table": table, "column": column, "reason": reason, "rows": count} for (table, column, reason), count in sorted(counts.items(), key=str)]


def print_quarantine(rows: Sequence[QuarantinedRow], *, each_row: bool) -> None:
    none = "nothing waits in quarantine"
    if each_row:
        screen.table(
            ["ID", "TABLE", "SINCE", "PLACE", "REASON"], [[row.id, row.table, row.recorded_at, _place(row), row.reason] for row in rows], empty=none
        )
    else:
        screen.table(["TABLE", "COLUMN", "REASON", "ROWS"], [list(count.values()) for count in quarantine_counts(rows)], empty=none)
    if rows:
        first = rows[0]
        screen.next_commands(
            [
                (f"headwater quarantine show {first.id}", "one row as it came"),
                (f"headwater quarantine replay {first.table}", "load those that keep today's contract"),
                (f"headwater quarantine drop {first.table}", "give them up"),
            ]
        )


def _place(row: QuarantinedRow) -> str:
    """Where a row came from: `data/orders.csv:4` (which names the file already), or as the connector says it."""
    try:
        found = json.loads(row.position or "{}")
    except ValueError:
        return row.position or "-"
    if not isinstance(found, dict) or not found:
        return row.position or "-"
    at, file = str(found.get("at", "")), str(found.get("file", ""))
    is_named = file and at.startswith((f"{file}:", f"{file}!"))
    return ", ".join(dict.fromkeys(str(value) for name, value in found.items() if not (name == "file" and is_named)))


def print_quarantined(row: QuarantinedRow) -> None:
    for name, value in (
        ("id", row.id),
        ("table", row.table),
        ("load", row.load_id),
        ("since", format_time(row.recorded_at)),
        ("reason", row.reason),
        ("place", _place(row)),
        ("row", row.raw or "-"),
    ):
        screen.text(f"{name:<8}{value}")


def _columns_in_short(columns: Mapping[str, str], most: int = 6) -> str:
    """`3: id, day, amount`; the first few of many."""
    named = list(columns)
    more = f" and {len(named) - most} more" if len(named) > most else ""
    return f"{len(named)}: {', '.join(named[:most])}{more}" if named else "-"


def print_discovery(found: Discovery) -> None:
    rows = [
        [table.name, table.reads or "-", _columns_in_short(table.columns), ", ".join(table.primary_key) or "-", table.rows, table.is_defined]
        for table in found.tables
    ]
    screen.table(["STREAM", "READS", "COLUMNS", "KEY", "ROWS (ESTIMATE)", "DEFINED"], rows, empty=f"{found.source} holds nothing that can be read")
    if found.added:
        screen.note(f"added to {found.path}: {', '.join(found.added)}")
    elif any(not table.is_defined for table in found.tables):
        screen.next_commands([(f"headwater source discover {found.source} --write", f"add what isn't defined to {found.path}")])


def print_snapshots(versions: Sequence[TableVersion]) -> None:
    rows = [
        [
            version.snapshot_id,
            version.committed_at,
            version.operation,
            version.rows_written,
            version.rows_deleted,
            "published" if version.is_published else "-",
            "yes" if version.readable_at is not None else "expired",
            version.run_id,
        ]
        for version in versions
    ]
    screen.table(["SNAPSHOT", "COMMITTED", "BY", "WRITTEN", "DELETED", "READERS SEE", "READABLE", "RUN"], rows, empty="the table was never written")


def print_diff(diff: TableDiff) -> None:
    by = f" by {', '.join(diff.key)}" if diff.key else ""
    counts = f"{plural(diff.added, 'row')} added, {format_number(diff.removed)} removed, {format_number(diff.changed)} changed{by}"
    screen.text(f"{diff.table} from snapshot {diff.from_snapshot} to {diff.to_snapshot}: {counts}")
    for word, columns in (("added", diff.added_columns), ("removed", diff.removed_columns)):
        if columns:
            screen.text(f"columns {word}: {', '.join(columns)}")
    if diff.sample:
        screen.table(["", *diff.columns], [[what, *row] for what, row in diff.sample])


def print_maintenance(done: MaintenanceReport) -> None:
    would = "would be " if done.is_dry_run else ""
    screen.text(f"{plural(done.files_merged, 'small file')} {would}merged into {done.files_made}")
    screen.text(f"{plural(len(done.rewritten_tables), 'table')} {would}written anew")
    screen.text(f"{plural(done.snapshots_expired, 'snapshot')} {would}expired, {format_number(done.snapshots_kept)} kept")
    if done.is_keep_raised:
        screen.text("snapshots of the last hour stay whatever --keep says, and so do their files: somebody may be reading them")
    screen.text(f"{plural(done.files_removed + done.orphans_removed, 'file')} {would}removed")
    screen.text(f"{format_bytes(done.bytes_before)} before, {format_bytes(done.bytes_after)} after, {format_seconds(done.seconds)}")
    for pin in done.pins:
        screen.text(f"{pin.table} is {pin.publication} at snapshot {pin.snapshot_id} and keeps {format_bytes(pin.size_bytes)}")
    for skipped in done.skipped:
        screen.note(f"left for the next time: {skipped}")


def print_backup(done: BackupReport, directory: Path) -> None:
    screen.note(f"{directory}: snapshot {done.snapshot_id}, {plural(done.files, 'file')}, {format_bytes(done.size_bytes)}")
    screen.next_commands([(f"headwater restore {directory}", "puts it back, here or in another place")])


def print_restored(done: RestoreReport, directory: Path) -> None:
    screen.note(f"restored snapshot {done.backup.snapshot_id} of {done.backup.created_at} from {directory}")
    screen.next_commands([("headwater doctor", "look whether all fits"), ("headwater run", "go on from there")])
