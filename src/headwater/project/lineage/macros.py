"""The project's macros, as far as lineage needs them: parameters and body."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from headwater.engine import parse_tree
from headwater.errors import SqlSyntaxError
from headwater.project.lineage.relations import Node

_HEAD = re.compile(
    r"\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:TEMP(?:ORARY)?\s+)?(?:MACRO|FUNCTION)\s+(?:IF\s+NOT\s+EXISTS\s+)?"
    r'((?:"(?:[^"]|"")+"|[\w$]+)(?:\s*\.\s*(?:"(?:[^"]|"")+"|[\w$]+))*)\s*(?=\()',
    re.IGNORECASE,
)
_BODY = re.compile(r"\s*AS\s+(TABLE\b)?", re.IGNORECASE)
_NAME = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([\w$]+))')
#: What hides a bracket or a comma: strings, quoted names, comments, dollar quotes.
_OPAQUE = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Macro:
    """One overload. `body` is the syntax tree of its query (a scalar macro's is `SELECT body`); None when it couldn't be read."""

    name: str
    parameters: tuple[str, ...]
    is_table: bool
    body: Node | None


def parse_macros(statements: Iterable[str]) -> dict[str, tuple[Macro, ...]]:
    """The macros of CREATE MACRO statements by lower-case name, overloads together. A later statement replaces an earlier one."""
    return dict(_parse(tuple(statements)))


@lru_cache(maxsize=8)
def _parse(statements: tuple[str, ...]) -> dict[str, tuple[Macro, ...]]:
    macros: dict[str, tuple[Macro, ...]] = {}
    for statement in statements:
        without_comments = re.sub(r"\A(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)+", "", statement, flags=re.DOTALL)
        head = _HEAD.match(without_comments)
        if head is None:
            continue  # not a macro
        found = _NAME.match(head[1].rpartition(".")[2] if not head[1].endswith('"') else head[1][head[1].rfind('"', 0, -1) :])
        assert found is not None
        name = (found[1] or found[2]).replace('""', '"').lower()
        macros[name] = tuple(_overloads(name, without_comments[head.end() :].rstrip().rstrip(";")))
    return macros


def _overloads(name: str, text: str) -> list[Macro]:
    """From `(a, b := 1) AS body, (a) AS body`."""
    overloads: list[Macro] = []
    while text:
        close = _closing_bracket(text)
        body = _BODY.match(text, close + 1)
        if body is None:
            return [Macro(name, (), False, None)]
        parameters = tuple(_parameter(part) for part in _split(text[1:close]) if part.strip())
        end = _next_overload(text, body.end())
        overloads.append(_macro(name, parameters, body[1] is not None, text[body.end() : end]))
        text = text[end + 1 :].lstrip() if end < len(text) else ""
    return overloads


def _macro(name: str, parameters: tuple[str, ...], is_table: bool, body: str) -> Macro:
    try:
        tree = parse_tree(body if is_table else f"SELECT ({body}\n)")
    except SqlSyntaxError:
        tree = None
    return Macro(name, parameters, is_table, tree["statements"][0]["node"] if tree else None)


def _parameter(text: str) -> str:
    found = _NAME.match(text)
    return (found[1] or found[2]).replace('""', '"').lower() if found else ""


def _depths(text: str, start: int = 0) -> Iterable[tuple[int, str, int]]:
    """Each bracket and comma outside strings and comments: where, which, how deep (that of the bracket's outside)."""
    depth, position = 0, start
    while position < len(text):
        opaque = _OPAQUE.match(text, position)
        if opaque is not None:
            position = opaque.end()
            continue
        char = text[position]
        if char in ")]}":
            depth -= 1
        if char in "()[]{},":
            yield position, char, depth
        if char in "([{":
            depth += 1
        position += 1


def _closing_bracket(text: str) -> int:
    return next((position for position, char, depth in _depths(text) if char == ")" and depth == 0), len(text))


def _split(text: str) -> list[str]:
    cuts = [position for position, char, depth in _depths(text) if char == "," and depth == 0]
    return [text[start:end] for start, end in zip([0, *(cut + 1 for cut in cuts)], [*cuts, len(text)], strict=True)]


def _next_overload(text: str, start: int) -> int:
    """Where the comma before the next `(..) AS` stands, or the text's end."""
    for position, char, depth in _depths(text, start):
        if char == "," and depth == 0 and text[position + 1 :].lstrip().startswith("("):
            rest = text[position + 1 :].lstrip()
            if _BODY.match(rest, _closing_bracket(rest) + 1):
                return position
    return len(text)
