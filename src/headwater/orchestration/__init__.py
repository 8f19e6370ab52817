"""A run of the graph: decisions, the executor, recovery, and the verbs for trouble."""

from headwater.orchestration.decide import Decision, Facts, Outcome, Situation, tick
from headwater.orchestration.events import Listener
from headwater.orchestration.plan import RunOptions
from headwater.orchestration.run import execute
from headwater.orchestration.session import Session, open_session
from headwater.orchestration.verbs import discard, publish, reload, replay, rollback

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
