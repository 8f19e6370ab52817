"""Trying again: what an error says of itself decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard, TypeVar

from headwater.errors import HeadwaterError

T = TypeVar("T")
ATTEMPTS = 3


def retried(work: Callable[[int], T], *, on_retry: Callable[[HeadwaterError, int], None], is_cancelled: Callable[[], bool]) -> T:
    """Calls `work(attempt)`, again with growing pauses while it raises errors that say `retry = "yes"`, at most ATTEMPTS times.

    `on_retry(error, attempt)` is told before each pause.
    """
    try:
        return work(1)
    except HeadwaterError as error:
        if not _is_passing(error) or is_cancelled():
            raise
        return _again(error, work, on_retry, is_cancelled)


def _is_passing(error: Exception) -> TypeGuard[HeadwaterError]:
    return isinstance(error, HeadwaterError) and error.retry == "yes"


def _again(
    first: HeadwaterError, work: Callable[[int], T], on_retry: Callable[[HeadwaterError, int], None], is_cancelled: Callable[[], bool]
) -> T:  # fmt: skip
    """The attempts after the first. The library is imported when something did fail: it takes longer than most commands have."""
    import stamina
    from stamina.instrumentation import set_on_retry_hooks

    set_on_retry_hooks(())  # retries are events of ours; stamina's own hooks would write to the terminal beside the live display
    number = 0

    def worth_it(error: Exception) -> bool:
        if not _is_passing(error) or is_cancelled():
            return False
        if number < ATTEMPTS:
            on_retry(error, number)
        return True

    for attempt in stamina.retry_context(on=worth_it, attempts=ATTEMPTS, timeout=None, wait_initial=0.5, wait_max=5.0, wait_jitter=0.5):
        with attempt:
            number = attempt.num
            if number == 1:
                raise first
            return work(number)
    raise AssertionError("stamina gives at least one attempt")
