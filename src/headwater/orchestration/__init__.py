"""A run of the graph: decisions, the executor, recovery, and the verbs for trouble.

What is named here is imported when it is first used: opening a project's lake takes nothing of what runs its tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.spec.lazily import importing

if TYPE_CHECKING:
    from headwater.orchestration.decide import Decision, Facts, Outcome, Situation, tick
    from headwater.orchestration.events import Listener
    from headwater.orchestration.plan import RunOptions
    from headwater.orchestration.run import execute
    from headwater.orchestration.session import Session, open_session
    from headwater.orchestration.verbs import discard, publish, reload, replay, rollback

_MODULES = {
    "decide": ("Decision", "Facts", "Outcome", "Situation", "tick"),
    "events": ("Listener",),
    "plan": ("RunOptions",),
    "run": ("execute",),
    "session": ("Session", "open_session"),
    "verbs": ("discard", "publish", "reload", "replay", "rollback"),
}

__all__ = [
    "Decision",
    "Facts",
    "Listener",
    "Outcome",
    "RunOptions",
    "Session",
    "Situation",
    "discard",
    "execute",
    "open_session",
    "publish",
    "reload",
    "replay",
    "rollback",
    "tick",
]

__getattr__ = importing(__name__, _MODULES)
