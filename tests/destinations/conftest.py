"""Places that exports write to, for real: each makes itself, says how it is reached, and what it holds."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # the places beside us
