"""All of a store into another, whatever either is kept in."""

from __future__ import annotations

import sqlalchemy as sa

from headwater.state import tables as t
from headwater.state.statements import translated


def copy_all(source: sa.Engine, target: sa.Engine, where: str) -> None:
    """Replaces all rows of `target` by those that `source`, called `where`, has at one instant; in one transaction."""
    options = {"only_reads": True} if source.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    with translated(where), source.execution_options(**options).begin() as old, target.begin() as new:
        for table in t.metadata.sorted_tables:
            new.execute(sa.delete(table))
            columns = [column for column in table.c if not (table is t.events and column.name == "id")]
            order = [t.events.c.id] if table is t.events else list(table.primary_key.columns)
            for chunk in old.execute(sa.select(*columns).order_by(*order)).mappings().partitions(5_000):
                new.execute(sa.insert(table), [dict(row) for row in chunk])
