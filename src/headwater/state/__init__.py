"""The control plane's store: runs, tasks, events and leases, in SQLite or Postgres. Knows nothing of stages."""

from headwater.state.leases import HolderInfo, Lease
from headwater.state.store import StateStore, new_run_id, utc_now

__all__ = ["HolderInfo", "Lease", "StateStore", "new_run_id", "utc_now"]
