"""Trying again: what an error says of itself decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import stamina
from stamina.instrumentation import set_on_retry_hooks

from headwater.errors import HeadwaterError

T = TypeVar("T")
ATTEMPTS = 3

# Retries are events of ours; stamina's own hooks would write to the terminal beside the live display.
set_on_retry_hooks(())


def retried(
    work: Callable[[int], T], *, on_retry: Callable[[HeadwaterError, int], None], is_cancelled: Callable[[], bool], attempts: int = ATTEMPTS
) -> T:
    """Calls `work(attempt)`, again with growing pauses while it raises errors that say `retry = "yes"`, at most `attempts` times.

    `on_retry(error, attempt)` is told before each pause.
    """
    number = 0

    def worth_it(error: Exception) -> bool:
        if not isinstance(error, HeadwaterError) or error.retry != "yes" or is_cancelled():
            return False
        if number < ATTEMPTS:
            on_retry(error, number)
        return True

    for attempt in stamina.retry_context(on=worth_it, attempts=ATTEMPTS, timeout=None, wait_initial=0.5, wait_max=5.0, wait_jitter=0.5):
        with attempt:
            number = attempt.num
            return work(number)
    raise AssertionError("stamina gives at least one attempt")
