"""What a batch of good rows does to the rows already there: append, replace and merge as SQL. Pure text; nothing is run here.

`good` and `current` are relations usable in FROM. `current` has the table's columns as they will be (cast and renamed), its head's rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from headwater.spec.names import quote


def listed(columns: Sequence[str], prefix: str = "") -> str:
    return ", ".join(f"{prefix}{quote(column)}" for column in columns)


def equal(columns: Sequence[str], left: str, right: str) -> str:
    """Two rows are the same in `columns`; nulls are equal."""
    return " AND ".join(f"{left}.{quote(c)} IS NOT DISTINCT FROM {right}.{quote(c)}" for c in columns) or "true"


def count_doubled_keys(good: str, key: Sequence[str]) -> str:
    return f"SELECT count(*) FROM (SELECT 1 FROM {good} GROUP BY {listed(key)} HAVING count(*) > 1)"


def one_per_key(good: str, key: Sequence[str], cursor: str | None, *, first: bool = False) -> str:
    """The newest row of each key by the cursor, the last read among equals; with `first`, the oldest and the first read."""
    direction = "ASC" if first else "DESC"
    order = [f"{quote(cursor)} {direction} NULLS LAST"] if cursor else []
    return f"""(
        SELECT * EXCLUDE (_hw_seq)
        FROM (SELECT *, row_number() OVER () AS _hw_seq FROM {good})
        QUALIFY row_number() OVER (PARTITION BY {listed(key)} ORDER BY {", ".join([*order, f"_hw_seq {direction}"])}) = 1
    )"""


def append_new_keys(good: str, current: str, key: Sequence[str]) -> str:
    """Rows whose key isn't there."""
    return f"SELECT g.* FROM {good} AS g ANTI JOIN {current} AS c ON {equal(key, 'g', 'c')}"


def append_new_rows(good: str, current: str, columns: Sequence[str], cursor: str | None) -> str:
    """Rows that aren't there yet, counted: of a row read three times and stored twice, one is new. `columns` are those that both have.

    With a cursor only stored rows not older than the batch's oldest can be among those read.
    """
    window = f"WHERE {quote(cursor)} >= (SELECT min({quote(cursor)}) FROM {good})" if cursor else ""
    return f"""
        SELECT g.* EXCLUDE (_hw_nth)
        FROM (SELECT *, row_number() OVER (PARTITION BY {listed(columns)}) AS _hw_nth FROM {good}) AS g
        LEFT JOIN (SELECT {listed(columns)}, count(*) AS _hw_count FROM {current} {window} GROUP BY {listed(columns)}) AS c
          ON {equal(columns, "g", "c")}
        WHERE g._hw_nth > coalesce(c._hw_count, 0)
    """


def merge_changes(good: str, current: str, key: Sequence[str], columns: Sequence[str], deleted: str | None) -> str:
    """Of rows with one per key: those that differ from what is stored, and deletions of what is stored."""
    unchanged = f"SELECT g.* FROM {good} AS g ANTI JOIN {current} AS c ON {equal([*key, *(c for c in columns if c not in key)], 'g', 'c')}"
    if deleted is None:
        return unchanged
    return f"""
        SELECT * FROM ({unchanged}) AS hw_upserts WHERE NOT {deleted}
        UNION ALL BY NAME
        SELECT g.* FROM (SELECT * FROM {good} WHERE {deleted}) AS g SEMI JOIN {current} AS c ON {equal(key, "g", "c")}
    """


def count_stored(keys: str, current: str, key: Sequence[str]) -> str:
    """How many stored rows have a key of `keys`."""
    return f"SELECT count(*) FROM {current} AS c SEMI JOIN {keys} AS k ON {equal(key, 'c', 'k')}"


def content_fingerprint(relation: str, columns: Sequence[str]) -> str:
    """Count and sum of hashes of all rows, whatever their order: equal for equal contents.

    Hashed twice, since the first hash is linear in its parts.
    """
    return f"SELECT count(*), sum(hash(hash({listed(columns)}))::HUGEINT)::VARCHAR FROM {relation}"
