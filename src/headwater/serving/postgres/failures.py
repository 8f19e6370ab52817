"""Errors as Postgres clients expect them: each with a SQLSTATE."""

from __future__ import annotations

import re
from typing import Final

from headwater import errors
from headwater.serving.postgres import codec


class WireError(Exception):
    """An error of the door's own, told to the client as it is."""

    def __init__(self, sqlstate: str, message: str, *, detail: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.detail = detail
        self.hint = hint


#: The most specific class that fits counts.
_STATES: Final = (
    (errors.SqlSyntaxError, "42601"),
    (errors.SqlDataError, "22000"),
    (errors.SqlBindError, "42P10"),
    (errors.TableNotFound, "42P01"),
    (errors.SnapshotNotFound, "42704"),
    (errors.StatementRefused, "42501"),
    (errors.MemoryExceeded, "53200"),
    (errors.Interrupted, "57014"),
    (errors.CommitConflict, "40001"),
    (errors.LakeUnavailable, "58030"),
    (errors.StorageFull, "53100"),
    (errors.LakeReadOnly, "25006"),
    (errors.QueryError, "42000"),
    (errors.ProjectError, "F0000"),
    (errors.AuthenticationFailed, "28000"),
    (errors.LimitReached, "53400"),
    (errors.AuditUnwritable, "58030"),
    (errors.IdentityError, "42501"),
)
#: How far a message is read: names in it are as long as a client likes.
_MOST_READ: Final = 1000
_BIND_STATES: Final = (
    (re.compile(r"table .* does not exist|referenced table .* not found", re.IGNORECASE), "42P01"),
    (re.compile(r"column .* not found|does not have a column|column with name .* does not exist", re.IGNORECASE), "42703"),
    (re.compile(r"function .* does not exist|no function matches", re.IGNORECASE), "42883"),
    (re.compile(r"ambiguous", re.IGNORECASE), "42702"),
    (re.compile(r"must appear in the GROUP BY", re.IGNORECASE), "42803"),
    (re.compile(r"cannot compare|cannot mix|type mismatch|can't cast|cannot cast", re.IGNORECASE), "42804"),
)


def sqlstate(error: errors.HeadwaterError) -> str:
    """The SQLSTATE of one of Headwater's errors; `sqlstate` on the error itself comes first. XX000 for what says nothing to a client."""
    own = getattr(error, "sqlstate", None)
    if isinstance(own, str):
        return own
    if isinstance(error, errors.SqlBindError):
        return next((state for pattern, state in _BIND_STATES if pattern.search((error.found or "")[:_MOST_READ])), "42P10")
    if isinstance(error, errors.SqlDataError) and "division by zero" in (error.found or ""):
        return "22012"
    return next((state for kind, state in _STATES if isinstance(error, kind)), "XX000")


def error_response(error: Exception, severity: str = "ERROR") -> bytes:
    """The ErrorResponse for any exception. What isn't meant for a user tells its class alone."""
    if isinstance(error, WireError):
        return codec.notice(b"E", severity, error.sqlstate, _fields(str(error), error.detail, error.hint))
    if isinstance(error, codec.Malformed):
        return codec.notice(b"E", "FATAL", "08P01", {"M": str(error)})
    if isinstance(error, errors.HeadwaterError):
        detail = "; ".join(
            f"{word}: {value}" for word, value in (("expected", error.expected), ("found", error.found), ("data", error.state)) if value
        )
        return codec.notice(b"E", severity, sqlstate(error), _fields(f"{error.code} {error.what}", detail or None, error.hint))
    return codec.notice(b"E", severity, "XX000", {"M": f"the server failed ({type(error).__name__})"})


def _fields(message: str, detail: str | None, hint: str | None) -> dict[str, str]:
    return {"M": message, **({"D": detail} if detail else {}), **({"H": hint} if hint else {})}
