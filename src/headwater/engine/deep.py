"""Room for syntax trees that are nested deeper than Python's stack (1,500 UNION ALLs are)."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TypeVar

from headwater.errors import HeadwaterError

_STACK_BYTES = 256 * 1024 * 1024
#: Also for what other threads do meanwhile, on stacks of the ordinary size: deeper than this they would end the process.
_RECURSION = 20_000
_one_at_a_time = threading.Lock()

T = TypeVar("T")


def with_room(function: Callable[[], T]) -> T:
    """The function's result; run again in a thread with a deep stack when it runs out of the ordinary one. It must have no effects of its own."""
    try:
        return function()
    except RecursionError:
        return _on_a_deep_stack(function)


def _on_a_deep_stack(function: Callable[[], T]) -> T:
    """The interpreter's recursion limit is raised while it runs."""
    results: list[T] = []
    failures: list[HeadwaterError] = []

    def run() -> None:
        try:
            results.append(function())
        except HeadwaterError as error:
            failures.append(error)

    with _one_at_a_time:
        limit, size = sys.getrecursionlimit(), threading.stack_size(_STACK_BYTES)
        sys.setrecursionlimit(_RECURSION)
        try:
            thread = threading.Thread(target=run, name="headwater-deep")
            thread.start()
            thread.join()
        finally:
            threading.stack_size(size)
            sys.setrecursionlimit(limit)
    if failures:
        raise failures[0]
    return results[0]
