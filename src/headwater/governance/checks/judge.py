"""Running checks: one pass over the rows for all that can share it, a query of their own for the rest."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import Any

from headwater.engine import Connection, tables_named
from headwater.errors import QueryError, SqlBindError
from headwater.governance.checks import compile as sql
from headwater.spec._base import format_duration
from headwater.spec.checks import Check, Expression, Fresh, Query, Relationships, Rows, Unique, Verdict
from headwater.spec.counting import plural
from headwater.spec.names import TableName, quote

Resolve = Callable[[TableName], str | None]

SAMPLE_ROWS = 5
_LONGEST_SAMPLE = 4000
_LONGEST_TEXT = 200
_numbers = itertools.count(1)
_MAY_NAME_TABLES = re.compile(r"\bfrom\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is judged, and where its checks are run."""

    connection: Connection
    table: TableName | None
    relation_sql: str
    staged_relation: str | None
    resolve: Resolve

    @property
    def row_wise_sql(self) -> str:
        return self.staged_relation or self.relation_sql

    def run(self, check: Check, statement: str) -> list[tuple[Any, ...]]:
        """Runs one check's statement. Its error names the check and the table."""
        try:
            return self.connection.execute(statement).fetchall()
        except QueryError as error:
            raise type(error)(
                f"the check {check.label}{f' of {self.table}' if self.table else ''} can't be run",
                found=error.found or error.what,
                state="the rows were not judged, and nothing was committed",
                hint=error.hint or "correct the check (values for a column of text are quoted in YAML); `headwater check` runs the checks alone",
            ) from error

    def sample(self, check: Check, statement: str) -> tuple[str, ...]:
        return tuple(_shortened(row[0]) for row in self.run(check, statement))


def judge(
    connection: Connection,
    relation_sql: str,
    checks: Sequence[Check],
    *,
    staged_relation: str | None = None,
    resolve: Resolve = lambda _: None,
    table: TableName | None = None,
) -> tuple[Verdict, ...]:
    """The verdicts of `checks` on the rows of `relation_sql` (a query, or a relation's name), in the checks' order. `fresh` is left out.

    One aggregate pass counts for all checks but `unique`, `relationships` and `query`, which take a statement each. Up to five failing rows
    are sampled, as JSON texts, of checks that fail; texts beyond 200 characters in overlong rows are cut. A check passes when at most its
    `tolerance` of the rows fail. A `unique` counts the rows that are one too many of their key, among rows whose key has no null.

    `table` is the name of what is judged; checks that name it read `relation_sql`. `resolve` gives the relation (or query) that any other table
    named by a check stands for; for those it gives None, the connection's own names hold (`query`, `expression`), and a
    `relationships` raises SqlBindError. Relations other than a table's plain name must be written in full (`database.schema.name`).

    `staged_relation`, the rows just added, may be given where all other rows have passed these very checks: row-wise
    checks and `unique` then look at the added rows alone, `total` counting those.

    Raises SqlSyntaxError, SqlBindError or SqlDataError naming the check and the table when a check can't be run.
    """
    judged = [check for check in checks if not isinstance(check, Fresh)]
    if not judged:
        return ()
    with _names_resolved(_Subject(connection, table, relation_sql, staged_relation, resolve), judged) as subject:
        total, failed = _count_in_one_pass(subject, judged)
        rows = total
        if staged_relation is not None and any(isinstance(check, Rows) for check in judged):
            rows = connection.execute(f"SELECT count(*) FROM {sql.from_item(relation_sql)} AS hw_rows").scalar()
        return tuple(_verdict(subject, check, total, rows, failed.get(index)) for index, check in enumerate(judged))


def judge_freshness(newest: object, check: Fresh, now: datetime) -> Verdict:
    """Whether `newest`, the highest value of the check's column, is at most `within` old at `now` (aware).

    Naive times are taken as UTC, a date as its first instant; None (no rows) is not fresh, nor is what is no time at all. Pure.
    """
    if not isinstance(newest, date):  # a datetime is one too
        message = "there is no value yet" if newest is None else f"{check.column} holds no times"
        return Verdict(check.label, check.type, check.severity, False, None, None, message=message)
    instant = newest if isinstance(newest, datetime) else datetime.combine(newest, time())
    age = now - (instant if instant.tzinfo else instant.replace(tzinfo=UTC))
    late = age > check.within
    message = f"older than {format_duration(check.within)}" if late else ""
    return Verdict(check.label, check.type, check.severity, not late, None, None, message=message)


def _count_in_one_pass(subject: _Subject, checks: Sequence[Check]) -> tuple[int, dict[int, int]]:
    """The rows looked at, and the failing ones by the check's index."""
    conditions = {index: condition for index, check in enumerate(checks) if (condition := sql.failing_condition(check)) is not None}
    statement = sql.count_failing(list(conditions.values()), subject.row_wise_sql)
    try:
        row = subject.connection.execute(statement).fetchone()
    except QueryError:
        for index, condition in conditions.items():  # one of them is to blame: find which
            subject.run(checks[index], sql.count_failing([condition], subject.row_wise_sql))
        raise
    assert row is not None
    return row[0], dict(zip(conditions, row[1:], strict=True))


def _verdict(subject: _Subject, check: Check, total: int, rows: int, failed: int | None) -> Verdict:
    match check:
        case Rows(min=low, max=high):
            passed = (low is None or rows >= low) and (high is None or rows <= high)
            wanted = [f"{words} {bound:,}" for words, bound in (("at least", low), ("at most", high)) if bound is not None]
            message = "" if passed else f"{plural(rows, 'row')}; expected {' and '.join(wanted)}"
            return Verdict(check.label, check.type, check.severity, passed, None, rows, message=message)
        case Unique():
            total, failed = subject.run(check, sql.count_doubled(check, subject.relation_sql, subject.staged_relation))[0]
            sampling = sql.sample_doubled(check, subject.relation_sql, subject.staged_relation, SAMPLE_ROWS)
        case Relationships():
            to_sql = _parent(subject, check)
            failed = subject.run(check, sql.count_orphans(check, subject.row_wise_sql, to_sql))[0][0]
            sampling = sql.sample_orphans(check, subject.row_wise_sql, to_sql, SAMPLE_ROWS)
        case Query():
            failed = subject.run(check, sql.count_returned(check))[0][0]
            sampling = sql.sample_returned(check, SAMPLE_ROWS)
        case _:
            sampling = sql.sample_failing(sql.failing_condition(check) or "FALSE", subject.row_wise_sql, SAMPLE_ROWS)
    assert failed is not None
    passed = failed <= check.tolerance * total if check.tolerance else failed == 0
    message = f"{failed:,} of {plural(total, 'row')} {'fails' if failed == 1 else 'fail'}" if failed else ""
    sample = () if passed else subject.sample(check, sampling)
    return Verdict(check.label, check.type, check.severity, passed, failed, total, check.tolerance, message, sample)


def _parent(subject: _Subject, check: Relationships) -> str:
    try:
        to = TableName.parse(check.to)
    except ValueError as error:
        raise SqlBindError(f"the check {check.label} names no table", expected="to: schema.table", found=check.to) from error
    if subject.table is not None and to.key == subject.table.key:
        return subject.relation_sql
    found = subject.resolve(to)
    if found is None:
        raise SqlBindError(
            f"the check {check.label}{f' of {subject.table}' if subject.table else ''} can't be run",
            found=f"there is no table {to}, or it has no rows yet",
            hint=f"build {to} first, or correct the check",
        )
    return found


@contextmanager
def _names_resolved(subject: _Subject, checks: Sequence[Check]) -> Iterator[_Subject]:
    """Inside it, table names in the checks' SQL mean what `resolve` says, and the judged table's own name the rows judged.

    DuckDB resolves them itself: a database of views goes before the connection's own in the search path, where macros are still found.
    """
    texts = [check.sql if isinstance(check, Query) else f"SELECT (\n{check.sql}\n)" for check in checks if isinstance(check, (Query, Expression))]
    named = _tables_in(texts)
    if not named:
        yield subject
        return
    named |= _tables_in(relation for relation in (subject.relation_sql, subject.staged_relation) if relation and sql.is_query(relation))
    connection, database = subject.connection, f"hw_judge_{next(_numbers)}"
    outside, schema, path = connection.execute("SELECT current_database(), current_schema(), current_setting('search_path')").fetchall()[0]
    path = path or f"{outside}.{schema}"
    own, staged = _in_full(subject.relation_sql, outside), subject.staged_relation and _in_full(subject.staged_relation, outside)
    connection.execute(f"ATTACH ':memory:' AS {quote(database)}")
    try:
        is_own = {table: subject.table is not None and table.key == subject.table.key for table in named.values()}
        for table in sorted(is_own, key=lambda table: is_own[table]):  # the judged rows last: their query may name the others
            relation = own if is_own[table] else _in_full(subject.resolve(table) or table.sql, outside)
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(database)}.{quote(table.schema)}")
            try:
                connection.execute(f"CREATE VIEW {quote(database)}.{table.sql} AS SELECT * FROM {sql.from_item(relation)} AS hw_rows")
            except SqlBindError:
                continue  # no such table: the check that names it says so when it runs
        connection.execute(f"SET search_path = '{database}.main,{path}'")
        yield replace(subject, relation_sql=own, staged_relation=staged)
    finally:
        connection.execute(f"SET search_path = '{path}'")
        connection.execute(f"DETACH {quote(database)}")


def _tables_in(texts: Iterable[str]) -> dict[tuple[str, str], TableName]:
    """The tables named as `schema.table` in these queries, by their keys."""
    named: dict[tuple[str, str], TableName] = {}
    for text in texts:
        if not _MAY_NAME_TABLES.search(text):
            continue
        try:
            parts = tables_named(text)
        except QueryError:
            continue  # running it says what is wrong, with the check's name
        named |= {table.key: table for table in (TableName(*part) for part in parts if len(part) == 2)}
    return named


def _in_full(relation: str, database: str) -> str:
    try:
        return f"{quote(database)}.{TableName.parse(relation).sql}"
    except ValueError:
        return relation


def _shortened(row: str) -> str:
    """A sampled row that is too long to keep, with its long texts cut."""
    if len(row) <= _LONGEST_SAMPLE:
        return row
    return json.dumps(_cut(json.loads(row)), ensure_ascii=False)


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return value[:_LONGEST_TEXT] + "…"
    if isinstance(value, list):
        return [_cut(item) for item in value[:20]]
    if isinstance(value, dict):
        return {key: _cut(item) for key, item in value.items()}
    return value
