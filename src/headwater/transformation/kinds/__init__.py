"""How each kind of model is kept: one file a kind.

Each has a function that says, for a model's query, what to stage and what to delete: an `Outcome`. They run their own queries on the connection given
(for bounds, duplicates, changes) and write nothing but temporary tables. Maintaining a model by the changes of its inputs is one more file
here, giving an `Outcome` from the same arguments.
"""

from headwater.transformation.kinds.incremental import plan_incremental
from headwater.transformation.kinds.outcome import DeleteAllRows, DeleteMatching, DeleteRange, Existing, Outcome
from headwater.transformation.kinds.snapshot import plan_snapshot
from headwater.transformation.kinds.table import plan_table

__all__ = [
    "DeleteAllRows",
    "DeleteMatching",
    "DeleteRange",
    "Existing",
    "Outcome",
    "plan_incremental",
    "plan_snapshot",
    "plan_table",
]
