"""SQL as text: comments, literals and quoted names told from code, without binding or changing what runs.

DuckDB's own parser decides what is SQL; this module only finds places in the text (for error messages), words (functions used) and a form that
doesn't change with comments and spacing (for fingerprints).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Piece = Literal["code", "comment", "string", "quoted"]

_START = re.compile(
    r"(?P<line>--[^\n]*)"
    r"|(?P<block>/\*)"
    r"|(?P<string>(?<!\w)[eE]'(?:[^'\\]|\\.|'')*+'?|'(?:[^']|'')*+'?)"
    r'|(?P<quoted>"(?:[^"]|"")*+"?)'
    r"|(?P<dollar>(?<!\w)\$(?:[^\W\d]\w*)?\$)",
    re.DOTALL,
)
_BLOCK_EDGE = re.compile(r"/\*|\*/")
_CALL = re.compile(r'(?:([^\W\d]\w*)|"((?:[^"]|"")+)")\s*\(')
#: Functions of the clock that are written without parentheses, and keywords that draw rows at random.
_BARE = re.compile(
    r"\b(current_date|current_timestamp|current_time|current_localtimestamp|current_localtime|localtime|localtimestamp)\b", re.IGNORECASE
)
_SAMPLE = re.compile(r"\b(tablesample|using\s+sample)\b", re.IGNORECASE)
_SPACE = re.compile(r"\s+")


def pieces(sql: str) -> Iterator[tuple[Piece, int, int]]:
    """The text cut into code, comments, string literals and quoted names, as `(what, start, end)`; together they cover it all."""
    position = 0
    while (match := _START.search(sql, position)) is not None:
        if match.start() > position:
            yield "code", position, match.start()
        end = match.end()
        kind: Piece = "comment"
        if match["block"]:
            end = _end_of_block(sql, end)
        elif match["string"]:
            kind = "string"
        elif match["dollar"]:
            kind = "string"
            closing = sql.find(match["dollar"], end)
            end = len(sql) if closing < 0 else closing + len(match["dollar"])
        elif match["quoted"]:
            kind = "quoted"
        yield kind, match.start(), end
        position = end
    if position < len(sql):
        yield "code", position, len(sql)


def _end_of_block(sql: str, position: int) -> int:
    """Where a block comment opened before `position` ends; DuckDB nests them."""
    depth = 1
    while depth:
        edge = _BLOCK_EDGE.search(sql, position)
        if edge is None:
            return len(sql)
        depth += 1 if edge[0] == "/*" else -1
        position = edge.end()
    return position


def mask(sql: str, *, quoted: bool = False) -> str:
    """The text, as long as before, with comments and string literals (and with `quoted` also quoted names) blanked; line breaks stay."""
    parts: list[str] = []
    for kind, start, end in pieces(sql):
        text = sql[start:end]
        blank = kind in ("comment", "string") or (quoted and kind == "quoted")
        parts.append(re.sub(r"[^\n]", " ", text) if blank else text)
    return "".join(parts)


def normalise(sql: str) -> str:
    """The text without comments, each run of white space as one space: what a fingerprint is taken of. Never run.

    String literals that a line break joins (`'a'` newline `'b'` is one literal) keep that break.
    """
    parts: list[str] = []
    gap = ""
    last: Piece | None = None
    for kind, start, end in pieces(sql):
        text = sql[start:end]
        if kind == "comment":
            gap += "\n" if "\n" in text or text.startswith("--") else " "
            continue
        if kind == "code":
            bare = text.strip()
            if not bare:
                gap += text
                continue
            if gap or text[0].isspace():
                parts.append(" ")
            parts.append(_SPACE.sub(" ", bare))
            gap = text[len(text.rstrip()) :]
        else:
            if gap:
                parts.append("\n" if last == kind == "string" and "\n" in gap else " ")
            parts.append(text)
            gap = ""
        last = kind
    return "".join(parts).strip()


def statement_spans(sql: str) -> list[tuple[int, int]]:
    """Where each statement that isn't empty lies, cut at semicolons; comments after a semicolon alone make none."""
    masked = mask(sql, quoted=True)
    code = mask(sql)
    spans, start = [], 0
    ends = [index for index, character in enumerate(masked) if character == ";"]
    literals = {start for kind, start, _ in pieces(sql) if kind == "string"}
    for end in [*ends, len(sql)]:
        if code[start:end].strip() or any(start <= place < end for place in literals):
            spans.append((start, end))
        start = end + 1
    return spans


def functions_named(sql: str) -> frozenset[str]:
    """Every name that is called like a function or macro, lower case, and the clock's that need no parentheses; rather too many than too few.

    A random sample counts as `tablesample`.
    """
    code = mask(sql)
    names = {(match[1] or match[2].replace('""', '"')).lower() for match in _CALL.finditer(code)}
    bare = mask(sql, quoted=True)
    names.update(match[1].lower() for match in _BARE.finditer(bare))
    if _SAMPLE.search(bare) and "repeatable" not in bare.lower():
        names.add("tablesample")
    return frozenset(names)


def find_function(sql: str, name: str) -> int | None:
    """Where `name` is first called, as an offset."""
    if name == "tablesample":
        sample = _SAMPLE.search(mask(sql, quoted=True))
        return sample.start() if sample else None
    code = mask(sql)
    for match in _CALL.finditer(code):
        if (match[1] or match[2].replace('""', '"')).lower() == name:
            return match.start()
    bare = re.search(rf"\b{re.escape(name)}\b", mask(sql, quoted=True), re.IGNORECASE)
    return bare.start() if bare else None


def find_table(sql: str, parts: Sequence[str]) -> int | None:
    """Where a table's name, given by its written parts, first stands in the text, as an offset; None when it isn't found."""
    patterns = []
    for part in parts:
        plain = re.escape(part)
        quoted = re.escape('"' + part.replace('"', '""') + '"')
        patterns.append(rf"(?:{quoted}|(?<![\w\"]){plain}(?![\w\"]))")
    found = re.search(r"\s*\.\s*".join(patterns), mask(sql), re.IGNORECASE)
    if found is None and len(parts) == 1:  # a file's name in quotes
        place = sql.find("'" + parts[0].replace("'", "''") + "'")
        return place if place >= 0 else None
    return found.start() if found else None


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Both from 1."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


# -- the header ------------------------------------------------------------------------------------------------------

_LINE_HEADER = re.compile(r"^--[ \t]*headwater[ \t]*$")
_BLOCK_HEADER = re.compile(r"^/\*[ \t]*headwater[ \t]*$")


@dataclass(frozen=True, slots=True)
class SplitFile:
    """A model's file taken apart.

    `header` is the YAML text (None without one); `first_line` the file's line its first line stands on and `widths` how many characters
    were taken off the front of each. `sql` is the rest, beginning on `sql_line`. `unclosed` tells of a block header without its end.
    """

    header: str | None
    first_line: int
    widths: tuple[int, ...]
    sql: str
    sql_line: int
    unclosed: bool = False


def split_header(text: str) -> SplitFile:
    """Takes the header off: leading `-- ` lines after `-- headwater`, or what stands between `/* headwater` and a line that is only `*/`."""
    lines = text.split("\n")
    top = 0
    while top < len(lines) and not lines[top].strip():
        top += 1
    first = lines[top].strip() if top < len(lines) else ""
    if _LINE_HEADER.match(first):
        end = top + 1
        content, widths = [], []
        while end < len(lines) and lines[end].startswith("--"):
            line = lines[end]
            width = 3 if line.startswith("-- ") else 2
            content.append(line[width:])
            widths.append(width)
            end += 1
        return SplitFile("\n".join(content), top + 2, tuple(widths), "\n".join(lines[end:]), end + 1)
    if _BLOCK_HEADER.match(first):
        end = top + 1
        while end < len(lines) and lines[end].strip() != "*/":
            end += 1
        unclosed = end == len(lines)
        body = lines[top + 1 : end]
        return SplitFile("\n".join(body), top + 2, (0,) * len(body), "\n".join(lines[end + 1 :]), end + 2, unclosed)
    return SplitFile(None, 1, (), text, 1)


class LineIndex:
    """Offsets of one text as lines and columns, for many look-ups."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def at(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1
