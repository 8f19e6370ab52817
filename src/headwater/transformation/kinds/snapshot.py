"""`snapshot`: slowly changing dimension, type 2. Each version of a key with the time it was valid from and to.

The model's query gives the rows as they are now. A version ends, and the next begins, when `updated_at` moved on or a checked column differs; the
time of it is the row's `updated_at`, or the run's clock. Doing it again with the same input changes nothing. Times of one key never go
back: where the clock did, a microsecond is added to what was before.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime

from headwater.engine import Connection
from headwater.errors import ModelOutputInvalid
from headwater.spec.counting import plural
from headwater.spec.models import Model, SnapshotKind
from headwater.spec.names import quote, quote_literal
from headwater.spec.tables import Column, storage_type
from headwater.transformation.kinds.outcome import DeleteAllRows, DeleteMatching, Existing, Outcome
from headwater.transformation.output import find_column, need_column

_numbers = itertools.count(1)
_ZONED = "TIMESTAMP WITH TIME ZONE"


def plan_snapshot(
    connection: Connection, model: Model, query: str, columns: Sequence[Column], existing: Existing | None, *, clock: datetime
) -> Outcome:
    """Reads the query once, into a temporary table of the connection. `existing` None begins the history.

    Raises ModelOutputInvalid for doubled keys, an `updated_at` that is null or no time, and columns named like valid_from and valid_to.
    """
    kind = model.kind
    assert isinstance(kind, SnapshotKind)
    for role, names in (("key", kind.key), ("check", kind.check if kind.check != ("*",) else ()), ("updated_at", filter(None, [kind.updated_at]))):
        for name in names:
            need_column(model, role, name, columns)
    for name in (kind.valid_from, kind.valid_to):
        if find_column(name, columns) is not None:
            raise ModelOutputInvalid(
                f"{model.name} gives a column {name!r}, which its snapshot adds itself",
                hint="rename it with AS, or set valid_from and valid_to in the kind",
            )
    number = next(_numbers)
    rows, versions = f"temp.hw_rows_{number}", f"temp.hw_versions_{number}"
    stored = ", ".join(f"CAST({quote(column.name)} AS {storage_type(column.type)}) AS {quote(column.name)}" for column in columns)
    connection.execute(f"CREATE TEMP TABLE hw_rows_{number} AS\nSELECT {stored}\nFROM (\n{query}\n)")
    _require_sound(connection, model, kind, rows)
    stamp = _Stamps(kind, columns, clock)
    if existing is None:
        first = f"SELECT *, {stamp.of_row('')} AS {quote(kind.valid_from)}, CAST(NULL AS {stamp.type}) AS {quote(kind.valid_to)}\nFROM {rows}"
        return Outcome(first, DeleteAllRows())
    connection.execute(f"CREATE TEMP TABLE hw_versions_{number} AS\n{_changes(kind, rows, columns, existing, stamp)}")
    changed = connection.execute(f"SELECT count(*) FROM {versions}").scalar()
    return Outcome(f"SELECT * FROM {versions}", DeleteMatching((*kind.key, kind.valid_from)), is_unchanged=not changed)


class _Stamps:
    """Times of change as SQL. They are timestamps, with a time zone unless `updated_at` has none."""

    def __init__(self, kind: SnapshotKind, columns: Sequence[Column], clock: datetime) -> None:
        self._column = find_column(kind.updated_at, columns) if kind.updated_at else None
        if self._column is not None and not self._column.type.startswith(("DATE", "TIMESTAMP")):
            raise ModelOutputInvalid(
                f"the snapshot's updated_at {self._column.name!r} is no time", expected="a date or timestamp", found=self._column.type, hint="cast it"
            )
        self.type = _ZONED if self._column is None or self._column.type == _ZONED else "TIMESTAMP"
        self.clock = f"CAST(TIMESTAMPTZ {quote_literal(clock.isoformat())} AS {self.type})"

    def of_row(self, alias: str) -> str:
        """When a row changed."""
        return self.clock if self._column is None else f"CAST({alias}{quote(self._column.name)} AS {self.type})"


def _require_sound(connection: Connection, model: Model, kind: SnapshotKind, rows: str) -> None:
    keys = ", ".join(quote(name) for name in kind.key)
    doubled = connection.execute(f"SELECT count(*) FROM (SELECT 1 FROM {rows} GROUP BY {keys} HAVING count(*) > 1)").scalar()
    if doubled:
        raise ModelOutputInvalid(
            f"{model.name} gives several rows for one key ({', '.join(kind.key)})",
            expected="one row a key: the rows as they are now",
            found=f"{plural(doubled, 'key')} with more than one row",
            state="the snapshot is unchanged",
            hint="make the rows unique in the model's SQL, with QUALIFY row_number() OVER (..) = 1 for example",
        )
    if kind.updated_at is None:
        return
    missing = connection.execute(f"SELECT count(*) FROM {rows} WHERE {quote(kind.updated_at)} IS NULL").scalar()
    if missing:
        raise ModelOutputInvalid(
            f"{model.name} gives rows whose {kind.updated_at!r} is null",
            found=plural(missing, "row"),
            state="the snapshot is unchanged",
            hint="fill it with coalesce(..), or compare columns instead (check: [..])",
        )


def _changes(kind: SnapshotKind, rows: str, columns: Sequence[Column], existing: Existing, stamp: _Stamps) -> str:
    """The versions to write: those that end now, with their end, and those that begin."""
    start, end = quote(kind.valid_from), quote(kind.valid_to)
    same_key = " AND ".join(f"r.{quote(name)} IS NOT DISTINCT FROM {{other}}.{quote(name)}" for name in kind.key)
    keys = ", ".join(quote(name) for name in kind.key)
    own = {kind.valid_from.lower(), kind.valid_to.lower()}
    kept = [column for column in existing.columns if column.name.lower() not in own]
    old = ", ".join(f"c.{quote(column.name)}" for column in kept)
    gone = f"greatest({stamp.clock}, c.{start} + INTERVAL 1 MICROSECOND)"
    vanished = ""
    if kind.on_delete == "close":
        vanished = f"""
UNION ALL BY NAME
SELECT {old}, c.{start}, {gone} AS {end}
FROM hw_current c
WHERE NOT EXISTS (SELECT 1 FROM {rows} r WHERE {same_key.format(other="c")})"""
    return f"""
WITH hw_current AS (
  SELECT * FROM {existing.relation} WHERE {end} IS NULL
), hw_closed AS (
  SELECT {keys}, max({end}) AS hw_end, max({start}) AS hw_start
  FROM {existing.relation}
  WHERE {end} IS NOT NULL
  GROUP BY {keys}
), hw_changed AS (
  SELECT r.*, greatest({stamp.of_row("r.")}, c.{start} + INTERVAL 1 MICROSECOND) AS hw_at
  FROM {rows} r
  JOIN hw_current c ON {same_key.format(other="c")}
  WHERE {_is_changed(kind, columns, existing)}
), hw_new AS (
  SELECT r.*,
         CASE WHEN k.hw_start IS NULL OR {stamp.of_row("r.")} > k.hw_end THEN {stamp.of_row("r.")}
              ELSE greatest({stamp.clock}, k.hw_end, k.hw_start + INTERVAL 1 MICROSECOND)
         END AS hw_at
  FROM {rows} r
  LEFT JOIN hw_closed k ON {same_key.format(other="k")}
  WHERE NOT EXISTS (SELECT 1 FROM hw_current c WHERE {same_key.format(other="c")})
)
SELECT * EXCLUDE (hw_at), hw_at AS {start}, CAST(NULL AS {stamp.type}) AS {end}
FROM (FROM hw_changed UNION ALL FROM hw_new)
UNION ALL BY NAME
SELECT {old}, c.{start}, r.hw_at AS {end}
FROM hw_current c
JOIN hw_changed r ON {same_key.format(other="c")}{vanished}"""


def _is_changed(kind: SnapshotKind, columns: Sequence[Column], existing: Existing) -> str:
    """Whether the row `r` is a new version of the current version `c`. A column the table doesn't have yet counts as null there."""
    if kind.updated_at is not None:
        name = quote(kind.updated_at)
        return f"r.{name} > c.{name}" if find_column(kind.updated_at, existing.columns) is not None else "true"
    keys = {name.lower() for name in kind.key}
    compared = [column.name for column in columns if column.name.lower() not in keys] if kind.check == ("*",) else list(kind.check)
    terms = []
    for name in compared:
        before = f"c.{quote(name)}" if find_column(name, existing.columns) is not None else "NULL"
        terms.append(f"r.{quote(name)} IS DISTINCT FROM {before}")
    return " OR ".join(terms) or "false"
