"""Which of the tables a run has built may be published at its end: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from headwater.orchestration.decide import Facts
from headwater.spec.names import TableName


def withheld(built: Sequence[Facts], bad: Mapping[TableName, str], groups: Mapping[str, Iterable[TableName]]) -> dict[TableName, str]:
    """The tables of `built` that must stay as readers see them now, and why.

    `built` are the tables whose newest rows passed and aren't published yet, in topological order. `bad` are tables that this run couldn't
    bring to such a state, with a participle (`failed`, `is held`). `groups` are the publish_groups with all their members: one bad or withheld
    member keeps all of them back. What read a withheld table's new rows is kept back too, and so on until nothing more follows.
    """
    found: dict[TableName, str] = {}
    while True:
        before = len(found)
        for group, members in groups.items():
            culprit = next((f"{table} {bad[table]}" for table in members if table in bad), None)
            culprit = culprit or next((f"{table} is kept back" for table in members if table in found), None)
            if culprit is not None:
                for facts in built:
                    if facts.publish_group == group and facts.table not in found:
                        found[facts.table] = f"publish_group {group}: {culprit}"
        for facts in built:
            if facts.table in found:
                continue
            reason = next((f"it was built on {table}, which is kept back" for table in facts.read if table in found), None)
            if reason is not None:
                found[facts.table] = reason
        if len(found) == before:
            return found
