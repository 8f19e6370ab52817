"""What all tests share: `services` and `commands` beside this file can be imported from everywhere."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

gc.set_threshold(50_000, 20, 50)  # as the command does: to look for garbage among all that is imported takes a sixth of the suite's time


def pytest_collection_finish() -> None:
    """What was collected stays to the end, and is no garbage."""
    gc.freeze()
