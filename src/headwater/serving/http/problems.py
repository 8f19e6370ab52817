"""Errors as problem details (RFC 9457), each with our code and a status."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from headwater.errors import HeadwaterError

MEDIA_TYPE: Final = "application/problem+json"

#: The status of each code; what isn't named has that of its family, then 500.
STATUSES: Final[dict[str, int]] = {
    "HW-P005": 400,
    "HW-Q000": 400,
    "HW-Q001": 400,
    "HW-Q002": 400,
    "HW-Q003": 400,
    "HW-Q004": 403,
    "HW-Q005": 422,
    "HW-L005": 503,
    "HW-L009": 404,
    "HW-L010": 404,
    "HW-T003": 503,
    "HW-U000": 403,
    "HW-U001": 401,
    "HW-U005": 429,
    "HW-U006": 503,
    "HW-U008": 503,
    "HW-D005": 403,
    "HW-I001": 504,
}


class Refused(Exception):
    """An error with a status of its own, where the code alone doesn't tell it."""

    def __init__(self, status: int, error: HeadwaterError, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(error))
        self.status = status
        self.error = error
        self.headers = dict(headers or {})


def status_of(error: HeadwaterError) -> int:
    for kind in type(error).__mro__:
        code = getattr(kind, "code", None)
        if code in STATUSES:
            return STATUSES[code]
    return 500


def problem(error: HeadwaterError, status: int) -> bytes:
    """The body. It holds what the error's own text holds: no values of rows, no secrets."""
    title = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).capitalize()
    members: dict[str, Any] = {
        "type": f"urn:headwater:error:{error.code}",
        "title": title,
        "status": status,
        "detail": error.what,
        "code": error.code,
        "expected": error.expected,
        "found": error.found,
        "state": error.state,
        "hint": error.hint,
        "retry": error.retry,
    }
    return json.dumps({key: value for key, value in members.items() if value is not None}, ensure_ascii=False).encode("utf-8", "replace")


def fault(reference: str) -> bytes:
    """The body for a fault of our own; what happened stands in the log under the reference."""
    members = {
        "type": "urn:headwater:error:HW-BUG",
        "title": "Fault",
        "status": 500,
        "detail": f"something broke in the server; its log says what, under {reference}",
        "code": "HW-BUG",
        "retry": "unknown",
    }
    return json.dumps(members).encode()
