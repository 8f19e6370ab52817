"""Passwords in the texts of statements, hidden before such a text is written down.

What is refused may be half a statement, or none: so the text isn't parsed, but cut into words, strings and comments, once from front to back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

#: With one of these a statement begins that sets no password by itself.
_QUERIES: Final = frozenset(
    {
        "select",
        "with",
        "values",
        "table",
        "from",
        "pivot",
        "unpivot",
        "summarize",
        "describe",
        "show",
        "explain",
        "copy",
        "declare",
        "fetch",
        "execute",
    }
)
_VERBS: Final = frozenset({"alter", "create"})
_USERS: Final = frozenset({"user", "role", "group"})
_PIECE: Final = re.compile(
    r"""
    \s*+
    (?: (?P<line>--)
      | (?P<block>/\*)
      | (?P<escaped>[eE]')
      | (?P<string>')
      | (?P<quoted>")
      | (?P<dollar>\$(?:[^\W\d]\w*)?\$)
      | (?P<end>;)
      | (?P<word>\w+)
      | (?P<other>\S)
    )
    """,
    re.VERBOSE,
)
#: What stands in each kind, behind its first mark, and the mark that ends it.
_BODIES: Final = {
    "line": re.compile(r"[^\r\n]*+()"),
    "escaped": re.compile(r"[^'\\]*+(?:(?:\\.|'')[^'\\]*+)*+(')?", re.DOTALL),
    "string": re.compile(r"[^']*+(?:''[^']*+)*+(')?"),
    "quoted": re.compile(r'[^"]*+(?:""[^"]*+)*+(")?'),
}
_BLOCK_EDGE: Final = re.compile(r"/\*|\*/")
_PASSWORD: Final = re.compile(r"\bpassword\b", re.IGNORECASE)
_SETS: Final = re.compile(r"\b(?:alter|create)\b\W*+(?:or\W++replace\W++)?(?:user|role|group)\b", re.IGNORECASE)
_GIVEN: Final = re.compile(r"""\bpassword\b(?=\s*+=?+\s*+(?:[en]?\\*'|u&'|"|\$))""", re.IGNORECASE)
#: Words, strings and marks of a text that are looked at one by one.
_MOST_PIECES: Final = 200_000


def hide_passwords(sql: str) -> tuple[str, list[str]]:
    """The text without the passwords that it sets, each `..` instead; and what is hidden.

    Behind ALTER or CREATE, and USER, ROLE or GROUP, a statement ends at the word PASSWORD, wherever in it they stand; so does a string or a comment
    in which a password in quotes follows. A statement that begins as no query does ends at that word in any case. Other queries stay whole.
    """
    if not _PASSWORD.search(sql):
        return sql, []
    parts: list[str] = []
    hidden: list[str] = []
    last = 0
    for start, end in sorted(_Hider(sql).spans()):
        start = max(start, last)
        if sql[start:end].strip():
            parts.append(f"{sql[last:start]} ..")
            hidden.append(sql[start:end])
            last = end
    return "".join(parts) + sql[last:], hidden


@dataclass(slots=True)
class _Hider:
    """One text on its way from front to back."""

    sql: str
    found: list[tuple[int, int]] = field(default_factory=list)
    #: The first word of the statement at hand.
    first: str = ""
    #: How far the words that set a password have come: 1 behind the verb, 2 behind whom it is about.
    step: int = 0
    #: Where what is hidden of the statement at hand begins.
    since: int | None = None
    #: Whether that ends with the text alone.
    is_endless: bool = False
    #: Whether all quotes are closed, and none stands in the middle of a word, as in `'it's'`: else it isn't sure what is a string.
    is_paired: bool = True

    def spans(self) -> list[tuple[int, int]]:
        """What is to be hidden, from and to; some may overlap."""
        sql, at, count = self.sql, 0, 0
        while (match := _PIECE.match(sql, at)) is not None:
            count += 1
            if count > _MOST_PIECES:
                self._hide_behind(_PASSWORD.search(sql, at))
                break
            kind, at = str(match.lastgroup), match.end()
            if kind == "end":
                self._end(match.start("end"))
            elif kind == "word":
                self._word(match["word"].lower(), at)
            elif kind == "other":
                self.step = 2 if self.step == 2 else 0
            else:
                inner, at = self._end_of(kind, match)
                self._quoted(kind, match.end(), inner)
        self._end(len(sql))
        if not self.is_paired and (sets := _SETS.search(sql)) is not None:
            self._hide_behind(_PASSWORD.search(sql, sets.end()))
        return self.found

    def _hide_behind(self, password: re.Match[str] | None) -> None:
        if password is not None:
            self.found.append((password.end(), len(self.sql)))

    def _end(self, at: int) -> None:
        if self.is_endless and at < len(self.sql):
            return
        if self.since is not None:
            self.found.append((self.since, at))
        self.first, self.step, self.since = "", 0, None

    def _word(self, word: str, end: int) -> None:
        if self.first == "prepare" and word == "as":
            self.first = ""
        elif not self.first:
            self.first = word
        if word == "password" and self.since is None and (self.step == 2 or self.first not in _QUERIES):
            self.since = end
        elif self.step < 2:
            if word in _VERBS:
                self.step = 1
            elif self.step == 1 and word not in ("or", "replace"):
                self.step = 2 if word in _USERS else 0

    def _end_of(self, kind: str, match: re.Match[str]) -> tuple[int, int]:
        """Where a string or a comment ends, without and with the mark that ends it; what has no end, at that of the text."""
        sql, start = self.sql, match.end()
        if kind == "block":
            depth, inner, end = 1, start, start
            while depth and (edge := _BLOCK_EDGE.search(sql, end)) is not None:
                depth += 1 if edge[0] == "/*" else -1
                inner, end = edge.span()
            is_closed = depth == 0
        elif kind == "dollar":
            inner = sql.find(match["dollar"], start)
            end, is_closed = inner + len(match["dollar"]), inner >= 0
        else:
            body = _BODIES[kind].match(sql, start)
            assert body is not None
            inner, end, is_closed = body.start(1), body.end(), body[1] is not None
        follows = sql[end : end + 1]
        if not is_closed or (kind in ("escaped", "string") and (follows.isalnum() or follows == "_")):
            self.is_paired = False
        return (inner, end) if is_closed else (len(sql), len(sql))

    def _quoted(self, kind: str, start: int, end: int) -> None:
        """What a string, a quoted name or a comment holds. In a query that is text, or another statement as text."""
        is_comment = kind in ("line", "block")
        if not is_comment and self.step == 1:
            self.step = 0
        if self.since is not None:
            # some take a quote behind a backslash for the end of a string, others don't
            self.is_endless = self.is_endless or (kind == "string" and self.sql.endswith("\\", start, end))
        elif self.first in _QUERIES or (is_comment and not self.first):
            sets = _SETS.search(self.sql, start, end)
            given = None if sets is None else _GIVEN.search(self.sql, sets.end(), end)
            if given is not None:
                self.found.append((given.end(), end))
        elif (password := _PASSWORD.search(self.sql, start, end)) is not None:
            self.since = password.end()
