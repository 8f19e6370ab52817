"""A commit of rows that were computed from an older table is refused, whatever its token."""

from __future__ import annotations

import pytest
from folders import Folder

from headwater.errors import Fenced
from headwater.spec.names import TableName
from headwater.storage import LoadRecord, TableChange


def test_rows_computed_from_an_older_table_are_fenced(folder: Folder) -> None:
    folder.run()
    with folder.session() as session:
        seen = session.lake.table_state(TableName("shop", "orders"))
    folder.csv("orders2.csv", [(3, 5)]).run()
    with folder.session() as session:
        change = TableChange(
            seen.table,
            seen.definition,
            LoadRecord("late", "build", "run", folder.clock()),
            token=1_000,
            computed_from=seen.changed_snapshot,
        )
        with pytest.raises(Fenced, match="has changed"):
            session.lake.commit([change])
