"""Collecting all that is wrong, and saying it well: where, what was expected, the nearest valid name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from headwater.errors import Location, Problem
from headwater.spec.policies import ACTIONS

Locate = Callable[[Sequence[str | int], bool], Location]


def nearest(name: str, candidates: Iterable[object]) -> str | None:
    """The candidate most like `name`, by letters without regard to case; None when nothing is."""
    by_lower = {str(candidate).lower(): str(candidate) for candidate in candidates}
    low = name.lower()
    if low in by_lower:
        return by_lower[low]
    close = difflib.get_close_matches(low, by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def nearest_table(name: str, tables: Iterable[object]) -> str | None:
    """The table most like `name`: like the whole name, or, for a name without schema (or with another), like the last part."""
    known = [str(table) for table in tables]
    whole = nearest(name, known)
    if whole is not None:
        return whole
    by_last = {table.rpartition(".")[2]: table for table in sorted(known, reverse=True)}
    last = nearest(name.rpartition(".")[2], by_last)
    return by_last[last] if last is not None else None


class Report:
    """The problems of one load, in the order they were found. Errors, warnings and notes alike."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def add(
        self,
        rule: str,
        message: str,
        location: Location,
        *,
        expected: str | None = None,
        did_you_mean: str | None = None,
        severity: Literal["error", "warning", "note"] = "error",
    ) -> None:
        self._problems.append(Problem(rule, message, location, expected, did_you_mean, severity))

    def extend(self, problems: Iterable[Problem]) -> None:
        self._problems.extend(problems)

    @property
    def errors(self) -> list[Problem]:
        """By file, line and column; each once."""
        return _sorted(problem for problem in self._problems if problem.severity == "error")

    @property
    def others(self) -> list[Problem]:
        """Warnings and notes."""
        return _sorted(problem for problem in self._problems if problem.severity != "error")

    def __len__(self) -> int:
        return len(self._problems)


def _sorted(problems: Iterable[Problem]) -> list[Problem]:
    unique = dict.fromkeys(problems)
    return sorted(unique, key=lambda problem: (problem.location.path, problem.location.line or 0, problem.location.column or 0))


# -- pydantic's errors as ours ---------------------------------------------------------------------------------------

#: What a value should have been, by pydantic's type of error.
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a mapping (`key: value`)",
    "model_type": "a mapping (`key: value`)",
    "model_attributes_type": "a mapping (`key: value`)",
    "dataclass_type": "a mapping (`key: value`)",
    "tuple_type": "a list (`- item` or `[item, item]`)",
    "list_type": "a list (`- item` or `[item, item]`)",
    "date_type": "a date",
    "date_parsing": "a date",
    "date_from_datetime_parsing": "a date",
    "datetime_type": "a time",
    "datetime_parsing": "a time",
    "datetime_from_date_parsing": "a time",
}


def report_validation(
    report: Report, error: ValidationError, model: type[BaseModel], locate: Locate, *, subject: str = "", prefix: Sequence[str | int] = ()
) -> None:
    """Adds pydantic's errors about `model`, each at the place `locate(path, at_key)` gives; several about one place (a union's) become one.

    `prefix` is the path of the validated part within its file, `subject` a name for messages at its root.
    """
    seen: dict[tuple[Location, str], tuple[str, str, list[str], str | None]] = {}
    worded: set[Location] = set()
    for item in sorted(error.errors(include_url=False), key=lambda item: item["type"] != "value_error"):  # our own words first
        path = [part for part in item["loc"] if isinstance(part, int) or "[" not in part]  # pydantic's own names hold brackets
        kind = item["type"]
        location = locate([*prefix, *path], kind == "extra_forbidden")
        rule, message, expected, guess = _describe(item, path, model, subject)
        if kind == "value_error" and path:
            worded.add(location)
        elif kind in _EXPECTED and location in worded:
            continue  # another member of the union, of which ours said what it takes
        group = "union" if expected is not None and kind in _EXPECTED else f"{kind}:{message}"
        if (location, group) in seen:
            if expected is not None and expected not in seen[(location, group)][2]:
                seen[(location, group)][2].append(expected)
            continue
        seen[(location, group)] = (rule, message, [expected] if expected is not None else [], guess)
    meant = {guess for rule, _, _, guess in seen.values() if rule == "unknown-key"}
    for (location, _), (rule, message, expectations, guess) in seen.items():
        if rule == "missing-key" and message.split("'")[1] in meant:
            continue  # it is there, misspelt: told already
        report.add(rule, message, location, expected=" or ".join(expectations) or None, did_you_mean=guess)


def _describe(item: Any, path: list[str | int], model: type[BaseModel], subject: str) -> tuple[str, str, str | None, str | None]:
    """Rule, message, expectation and nearest valid name for one of pydantic's errors."""
    kind, context = item["type"], item.get("ctx", {})
    name = str(path[-1]) if path else ""
    where = ".".join(str(part) for part in (path[:-1] if name in _UNION_MEMBERS else path)) or subject
    if kind == "extra_forbidden":
        owner = _model_at(model, path[:-1])
        keys = keys_of(owner) if owner else []
        if re.fullmatch(r"\s*\d+\)", name):  # {type: decimal(12,2)} is two keys to YAML
            return "unknown-key", f"the comma before {name!r} ends a value within {{ }}", 'quotes around such a type: "decimal(12,2)"', None
        return "unknown-key", f"there is no key {name!r} here", f"one of {', '.join(keys)}" if keys else None, nearest(name, keys)
    if kind == "missing":
        return "missing-key", f"the key {name!r} is missing{f' in {subject}' if subject else ''}", None, None
    if kind == "literal_error":
        given = item.get("input")
        expected = str(context.get("expected", ""))
        choices = [part.strip(" '") for part in expected.replace(" or ", ", ").split(",")]
        return (
            "bad-value",
            f"{where} has a value that isn't allowed",
            f"one of {', '.join(choices)}",
            nearest(str(given), choices) if given is not None else None,
        )
    if kind == "value_error":
        return "bad-value", f"{where}: {context.get('error', item['msg'])}" if where else str(context.get("error", item["msg"])), None, None
    if kind in _EXPECTED:
        return "bad-value", f"{where} has the wrong type of value", _EXPECTED[kind], None
    return "bad-value", f"{where}: {item['msg'][:1].lower()}{item['msg'][1:]}", None, None


#: How pydantic names the members of a union in an error's path.
_UNION_MEMBERS = frozenset({"bool", "int", "float", "str", "date", "datetime", "timedelta"})
#: Fields that aren't written in files.
_SET_BY_LOADER = {
    "Source": {"path"},
    "UnitTest": {"path", "line"},
    "Grant": {"action", "on"},
    "Deny": {"action", "on"},
    "Export": {"name", "path", "options", "former_columns"},
}
#: Words that stand in the place of a key.
_WRITTEN_INSTEAD: dict[str, tuple[str, ...]] = {"Grant": ACTIONS, "Deny": ACTIONS}


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys a mapping that stands for `model` may have in a file."""
    hidden = _SET_BY_LOADER.get(model.__name__, set())
    fields = {key: field for key, field in model.model_fields.items() if key not in hidden and not (key == "type" and isinstance(field.default, str))}
    return [*_WRITTEN_INSTEAD.get(model.__name__, ()), *(field.alias or key for key, field in fields.items())]


def first_line(text: str) -> tuple[str, str | None]:
    """The first line of one of the engine's messages without its class, and the name it suggests."""
    message, _, rest = text.partition("\n")
    guess = re.search(r'Did you mean "([^"]+)"', rest)
    return re.sub(r"^\w+ Error: ", "", message), guess[1] if guess else None


def _model_at(model: type[BaseModel], path: Sequence[str | int]) -> type[BaseModel] | None:
    """The pydantic model that describes the place `path` within `model`."""
    current: Any = model
    for part in path:
        current = _models_in(current)
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(str(part))
            if field is None:
                return None
            current = field.annotation
        else:
            arguments = get_args(current)
            current = arguments[1] if get_origin(current) is dict else arguments[0] if arguments else None
        if current is None:
            return None
    current = _models_in(current)
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _models_in(annotation: Any) -> Any:
    """The annotation without Annotated and without None."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in (Union, UnionType):
            rest = [argument for argument in get_args(annotation) if argument is not type(None)]
            annotation = next(
                (part for part in rest if get_origin(part) is not None or (isinstance(part, type) and issubclass(part, BaseModel))), rest[0]
            )
        else:
            return annotation
