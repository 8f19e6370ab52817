"""Problems for machines: SARIF, which code hosts show beside the lines, and plain JSON."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from headwater.errors import Problem
from headwater.project.lint import LINT_RULES

_LEVELS = {"error": "error", "warning": "warning", "note": "note"}


def to_json(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """One object a problem: rule, severity, message, path, line, column, expected, did_you_mean (the last four null where unknown)."""
    return [
        {
            "rule": problem.rule,
            "severity": problem.severity,
            "message": problem.message,
            "path": problem.location.path,
            "line": problem.location.line,
            "column": problem.location.column,
            "expected": problem.expected,
            "did_you_mean": problem.did_you_mean,
        }
        for problem in problems
    ]


def to_sarif(problems: Iterable[Problem]) -> dict[str, Any]:
    """A SARIF 2.1.0 log of one run, paths relative to the project."""
    found = list(problems)
    rules = sorted({problem.rule for problem in found})
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "headwater", "version": version("headwater"), "rules": [_rule(name) for name in rules]}},
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {"PROJECT": {"description": {"text": "The project's folder"}}},
                "results": [_result(problem, rules.index(problem.rule)) for problem in found],
            }
        ],
    }


def _rule(name: str) -> dict[str, Any]:
    text = LINT_RULES[name][1] if name in LINT_RULES else f"A definition is wrong: {name.replace('-', ' ')}."
    return {"id": name, "shortDescription": {"text": text}}


def _result(problem: Problem, index: int) -> dict[str, Any]:
    text = problem.message
    if problem.expected:
        text += f"; expected {problem.expected}"
    if problem.did_you_mean:
        text += f"; did you mean {problem.did_you_mean!r}?"
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(problem.location.path), "uriBaseId": "PROJECT"}}
    if problem.location.line is not None:
        place["region"] = {"startLine": problem.location.line}
        if problem.location.column is not None:
            place["region"]["startColumn"] = problem.location.column
    return {
        "ruleId": problem.rule,
        "ruleIndex": index,
        "level": _LEVELS[problem.severity],
        "message": {"text": text},
        "locations": [{"physicalLocation": place}],
    }


def _uri(path: str) -> str:
    return quote(path)
