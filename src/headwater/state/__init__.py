"""The control plane's store: runs, tasks, events and leases, in SQLite or Postgres. Knows nothing of stages."""

from headwater.state.clock import new_run_id, utc_now
from headwater.state.leases import HolderInfo, Lease
from headwater.state.store import StateStore

__all__ = ["HolderInfo", "Lease", "StateStore", "new_run_id", "utc_now"]
