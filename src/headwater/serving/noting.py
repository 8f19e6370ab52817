"""What the gate never sees is told to a service that writes it down.

That is questions about the catalog (which tables there are, their columns and keys), and statements that a door refuses.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from headwater.security.principals import Principal
from headwater.serving.facets import NotesCatalog, NotesRefused
from headwater.serving.session import Service


@dataclass(slots=True)
class Noted:
    """One question. `rows` is how many its answer has, as soon as that is known."""

    rows: int | None = None


@contextmanager
def noted(service: Service, principal: Principal, question: str) -> Iterator[Noted]:
    """Around what answers a question: noted at its end, whichever way that comes."""
    found, started, error = Noted(), time.monotonic(), None
    try:
        yield found
    except Exception as caught:
        error = caught
        raise
    finally:
        if isinstance(service, NotesCatalog):
            service.note_catalog(principal, question, rows=found.rows, seconds=time.monotonic() - started, error=error)


@contextmanager
def refusals_noted(service: Service, principal: Principal, sql: str) -> Iterator[None]:
    """Around what may refuse a statement before the service sees it. Raises what the service raises where that can't be written down."""
    try:
        yield
    except Exception as error:
        note_refused(service, principal, sql, error)
        raise


def note_refused(service: Service, principal: Principal, sql: str, error: Exception) -> None:
    if isinstance(service, NotesRefused):
        service.note_refused(principal, sql, str(error))
