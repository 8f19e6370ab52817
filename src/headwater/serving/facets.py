"""What a service may offer beyond `Service`; doors do without where it doesn't."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from headwater.security.principals import Principal


@runtime_checkable
class Versioned(Protocol):
    """A service that knows when answers may have changed."""

    def version(self, principal: Principal) -> str | None:
        """A word that differs whenever a table may read otherwise for this principal: by what is published, by definitions, by policies, by a grant's
        beginning or end. The same word means the same rows; None when it can't tell."""
        ...


@runtime_checkable
class Accountable(Protocol):
    """A service whose principals may lose rights while they are being answered."""

    def rights(self, principal: Principal) -> str | None:
        """A word that differs whenever policies, groups or approvals make something else of this principal; None when it can't tell. Raises
        AuthenticationFailed for one who may not be here any more."""
        ...


@runtime_checkable
class NotesCatalog(Protocol):
    """A service that writes down what is asked about the catalog; queries it runs it writes down itself."""

    def note_catalog(self, principal: Principal, question: str, *, rows: int | None, seconds: float, error: Exception | None) -> None:
        """Told of each question that a client sent, once it is answered. Doesn't wait until it is written."""
        ...


@runtime_checkable
class NotesRefused(Protocol):
    """A service that writes down which statements a door refused before the service saw them; those it sees it writes down itself."""

    def note_refused(self, principal: Principal, sql: str, why: str) -> None:
        """Told before the client is. `sql` is what was asked. Raises AuditUnwritable."""
        ...


@runtime_checkable
class KeepsHot(Protocol):
    """A service that keeps tables in memory."""

    def hot_tables(self) -> tuple[int, int]:
        """How many it keeps, and how many of those that are marked so it doesn't: not yet, or since they don't fit."""
        ...


@runtime_checkable
class Checkable(Protocol):
    """A service that can say whether it can answer."""

    def check(self) -> None:
        """Raises HeadwaterError when queries can't be answered just now."""
        ...
