"""Getting one batch delivered: not too fast, again where that may help, and in halves until the rows that can't be are found."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from headwater.destinations import Batch, Destination, Refusal, Sent
from headwater.errors import DestinationUnreachable

_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0


@dataclass(slots=True)
class Pace:
    """At most `per_second` requests a second, evenly; None: as they come."""

    per_second: float | None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _next: float = field(default=0.0)

    def wait(self) -> None:
        """Until the next request may be made."""
        if self.per_second is None:
            return
        now = self.clock()
        if self._next > now:
            self.sleep(self._next - now)
        self._next = max(self._next, now) + 1 / self.per_second


@dataclass(frozen=True, slots=True)
class Delivery:
    """How batches are handed over. `patience_seconds` is how long one is tried again while the destination doesn't answer."""

    destination: Destination
    pace: Pace
    patience_seconds: float

    def deliver(self, batch: Batch) -> Iterator[Refusal]:
        """Sends a batch; gives the rows that were refused, as soon as each is known. Whatever isn't given was taken when it ends.

        Raises DestinationUnreachable when patience is over, DestinationRefused.
        """
        pending = [(0, batch)]
        while pending:
            start, part = pending.pop()
            sent = self._send(part)
            if sent.because is None:
                yield from (Refusal(start + one.index, one.reason) for one in sent.refused)
            elif len(part) == 1:
                yield Refusal(start, sent.because)
            else:
                middle = len(part) // 2
                pending += [(start + middle, part.part(middle, len(part))), (start, part.part(0, middle))]

    def _send(self, batch: Batch) -> Sent:
        deadline = self.pace.clock() + self.patience_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            self.pace.wait()
            try:
                return self.destination.send(batch)
            except DestinationUnreachable as error:
                wait = max(error.wait_seconds or 0.0, pause * random.uniform(0.5, 1.0))
                if self.pace.clock() + wait > deadline:
                    raise
                self.destination.close()
                self.pace.sleep(wait)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
