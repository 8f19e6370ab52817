"""Headers, sources and unit tests: plain values of a document, made into resources, each mistake told at its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from headwater.errors import Location
from headwater.project.documents import Document
from headwater.project.problems import Locate, Report, nearest, report_validation
from headwater.spec.checks import CHECK_SHORT_FORMS, CHECK_TYPES, Check, read_check
from headwater.spec.models import KINDS, parse_kind


def place_in(document: Document, prefix: Sequence[str | int] = ()) -> Locate:
    """Gives places of a part of a document, by its path within that part."""

    def locate(path: Sequence[str | int], at_key: bool = False) -> Location:
        return document.locate([*prefix, *path], at_key)

    return locate


def prepare(data: Mapping[str, Any], locate: Locate, report: Report, *, has_kind: bool = False) -> dict[str, Any]:
    """The mapping with its kind (where it may have one) and checks made into what they are, each of their mistakes told at its own place.

    A part with mistakes is left out, so that validating the rest tells nothing twice.
    """
    prepared = dict(data)
    if not has_kind:
        pass
    elif prepared.get("kind") is not None:
        kind = _kind(prepared.pop("kind"), locate, report)
        if kind is not None:
            prepared["kind"] = kind
    elif "kind" in prepared:
        del prepared["kind"]
    if "checks" in prepared:
        prepared["checks"] = _checks(prepared["checks"], ("checks",), None, locate, report)
    columns = prepared.get("columns")
    if isinstance(columns, dict):
        prepared["columns"] = {name: _column(name, column, locate, report) for name, column in columns.items()}
    return prepared


def _column(name: str, column: Any, locate: Locate, report: Report) -> Any:
    if not isinstance(column, dict) or "checks" not in column:
        return column
    return {**column, "checks": _checks(column["checks"], ("columns", name, "checks"), name, locate, report)}


def _kind(value: Any, locate: Locate, report: Report) -> Any:
    if isinstance(value, dict) and len(value) == 1:
        name, arguments = next(iter(value.items()))
        if name in KINDS and isinstance(arguments, dict):
            model = KINDS[name]
            if "type" in arguments:
                report.add("unknown-key", "there is no key 'type' here", locate(["kind", name, "type"], True))
                return None
            return _validate(model, arguments, ("kind", name), locate, report, f"kind {name}")
    try:
        if isinstance(value, dict) and "type" in value:
            raise ValueError(f"a kind is one name with its arguments; expected one of {', '.join(KINDS)}")
        if not isinstance(value, (str, dict)):
            raise ValueError(f"a kind is a name, or one name with its arguments; expected one of {', '.join(KINDS)}")
        return parse_kind(value)
    except ValueError as error:
        name = str(next(iter(value), "")) if isinstance(value, dict) else str(value)
        message, expected = apart(str(error))
        guess = nearest(name, KINDS) if name not in KINDS else None
        report.add("bad-kind", message, locate(["kind"], False), expected=expected, did_you_mean=guess)
        return None


def apart(text: str) -> tuple[str, str | None]:
    """A message and what follows `; expected ` in it."""
    message, found, expected = text.partition("; expected ")
    return message, expected if found else None


def _checks(items: Any, path: tuple[str | int, ...], column: str | None, locate: Locate, report: Report) -> tuple[Check, ...]:
    if items is None:
        return ()
    if not isinstance(items, list):
        report.add("bad-check", "checks are a list", locate(path, False), expected="each check on a line of its own, beginning with '- '")
        return ()
    checks = (_check(item, (*path, index), column, locate, report) for index, item in enumerate(items))
    return tuple(check for check in checks if check is not None)


def _check(item: Any, path: tuple[str | int, ...], column: str | None, locate: Locate, report: Report) -> Check | None:
    try:
        kind, arguments = read_check(item, column)
    except ValueError as error:
        message, expected = apart(str(error))
        name = (
            item
            if isinstance(item, str)
            else next((str(key) for key in item if key not in ("severity", "tolerance")), "")
            if isinstance(item, dict)
            else ""
        )
        guess = nearest(name, CHECK_TYPES) if name and name not in CHECK_TYPES else None
        at = (*path, name) if isinstance(item, dict) and name else path
        report.add(
            "unknown-check" if "there is no check" in message else "bad-check", message, locate(at, True), expected=expected, did_you_mean=guess
        )
        return None
    beside = set(item) - {kind.type} if isinstance(item, dict) else set()
    value = item.get(kind.type) if isinstance(item, dict) else None

    def locate_argument(at: Sequence[str | int], at_key: bool) -> Location:
        if not at or not isinstance(item, dict):
            return locate(path, False)
        if at[0] in beside:
            return locate([*path, *at], at_key)
        if not isinstance(value, dict) and at[0] == CHECK_SHORT_FORMS.get(kind.type):
            return locate([*path, kind.type, *at[1:]], at_key)
        return locate([*path, kind.type, *at], at_key)

    check: Check | None = _validate(kind, arguments, (), locate_argument, report, f"the check {kind.type}")
    return check


def _validate(model: type[Any], data: Mapping[str, Any], prefix: tuple[str | int, ...], locate: Locate, report: Report, subject: str) -> Any:
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        report_validation(report, error, model, locate, subject=subject, prefix=prefix)
        return None


def validate(model: type[BaseModel], data: Mapping[str, Any], locate: Locate, report: Report, subject: str) -> Any:
    """`data` as `model`, or None with its mistakes in the report."""
    return _validate(model, data, (), locate, report, subject)
