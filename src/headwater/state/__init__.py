"""The control plane's store: runs, tasks, events and leases, in SQLite or Postgres. Knows nothing of stages.

`StateStore` is imported when it is first used: SQLAlchemy takes a third of a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headwater.state.clock import new_run_id, utc_now
from headwater.state.leases import HolderInfo, Lease

if TYPE_CHECKING:
    from headwater.state.store import StateStore

__all__ = ["HolderInfo", "Lease", "StateStore", "new_run_id", "utc_now"]


def __getattr__(name: str) -> Any:
    if name == "StateStore":
        from headwater.state.store import StateStore

        return StateStore
    raise AttributeError(name)
