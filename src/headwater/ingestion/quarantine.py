"""What waits in quarantine, and how one more read of the same rows leaves it as it is. SQL text; storage keeps the table."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.spec.names import SYSTEM_SCHEMA, TableName, quote, quote_literal
from headwater.storage.lake import Lake

#: What the file of a row may be: where its position says only `file`, `file:line` or `archive!member:line`, all that comes before a `!` too.
_FILES = """
    CASE WHEN json_extract_string(position, '$.file') IS NOT NULL THEN [json_extract_string(position, '$.file')]
    ELSE list_transform(
        string_split(regexp_replace(json_extract_string(position, '$.at'), ':\\d+$', ''), '!'),
        lambda part, nth: array_to_string(string_split(regexp_replace(json_extract_string(position, '$.at'), ':\\d+$', ''), '!')[:nth], '!')) END"""


def waiting(lake: Lake, table: TableName) -> str:
    """The rows that wait: a relation with `id`, `load_id`, `raw`, `reason`, `column_name`, `position`, `recorded_at`."""
    schema, name = table.key
    return f"""(
        SELECT q.id, q.load_id, q.raw, q.reason, q.column_name, q.position, q.recorded_at
        FROM {quote(lake.database)}.{quote(SYSTEM_SCHEMA)}.quarantine AS q
        WHERE q.environment = {quote_literal(lake.environment)} AND lower(q.schema_name) = {quote_literal(schema)}
          AND lower(q.table_name) = {quote_literal(name)}
        QUALIFY count(*) FILTER (WHERE q.state <> 'waiting') OVER (PARTITION BY q.id) = 0
    )"""


def new_rejects(rejects: str, waits: str) -> str:
    """Rejects that don't wait yet, counted: a row rejected twice and waiting once is new once."""
    return f"""
        SELECT r.raw, r.reason, r.column_name, r.position
        FROM (SELECT *, row_number() OVER (PARTITION BY raw) AS hw_nth FROM {rejects}) AS r
        LEFT JOIN (SELECT raw, count(*) AS hw_count FROM {waits} GROUP BY raw) AS w ON w.raw = r.raw
        WHERE r.hw_nth > coalesce(w.hw_count, 0)
    """


def no_longer_rejected(rejects: str | None, waits: str, files: Sequence[str] | None) -> str:
    """Ids of waiting rows that a complete read (of `files`, or of everything) didn't reject again: they are superseded."""
    scope = waits
    if files is not None:
        of_files = f"SELECT id FROM (SELECT id, unnest({_FILES}) AS hw_file FROM {waits}) WHERE hw_file IN ({', '.join(map(quote_literal, files))})"
        scope = f"(SELECT * FROM {waits} WHERE id IN ({of_files}))"
    if rejects is None:
        return f"SELECT id FROM {scope}"
    return f"""
        SELECT w.id
        FROM (SELECT *, row_number() OVER (PARTITION BY raw) AS hw_nth FROM {scope}) AS w
        LEFT JOIN (SELECT raw, count(*) AS hw_count FROM {rejects} GROUP BY raw) AS r ON r.raw = w.raw
        WHERE w.hw_nth > coalesce(r.hw_count, 0)
    """
