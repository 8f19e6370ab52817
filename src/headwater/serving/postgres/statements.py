"""Texts of clients taken apart: into statements, and a statement of the session's own into its words."""

from __future__ import annotations

import re
from typing import Final

from headwater.serving.postgres.failures import WireError

_SKIPPED: Final = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<comment>--[^\n]*)
    | (?P<block>/\*)
    | (?P<escaped>[eE]'[^'\\]*(?:(?:\\.|'')[^'\\]*)*')
    | (?P<string>'[^']*(?:''[^']*)*')
    | (?P<quoted>"[^"]*(?:""[^"]*)*")
    | (?P<dollar>\$(?:[A-Za-z_][A-Za-z0-9_]*)?\$)
    | (?P<word>[A-Za-z_\u0080-\uffff][\w$]*)
    | (?P<number>\d[\w.]*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK_MARK: Final = re.compile(r"/\*|\*/")
#: Words, numbers and marks of one text. Taking it apart costs some microseconds and a hundred bytes for each, translating it far more.
MOST_TOKENS: Final = 500_000


def tokens(sql: str) -> list[tuple[str, str, int]]:
    """(kind, text, offset) of a text in Postgres' lexical rules, without spaces and comments. Raises WireError for what has no end."""
    found = []
    at = 0
    while at < len(sql):
        match = _SKIPPED.match(sql, at)
        assert match is not None
        kind, start = str(match.lastgroup), at
        at = match.end()
        if kind == "block":
            at = _end_of_block(sql, start)
        elif kind == "dollar":
            end = sql.find(match[0], at)
            if end < 0:
                raise WireError("42601", "a dollar-quoted string has no end")
            at = end + len(match[0])
        elif kind == "other" and match[0] in "'\"":
            raise WireError("42601", "a quoted string or name has no end")
        if kind not in ("space", "comment", "block"):
            found.append((kind, sql[start:at], start))
            if len(found) > MOST_TOKENS:
                raise WireError("54001", f"a text of more than {MOST_TOKENS:,} words is not read", hint="Send it in parts.")
    return found


def _end_of_block(sql: str, start: int) -> int:
    depth = 0
    for mark in _BLOCK_MARK.finditer(sql, start):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    raise WireError("42601", "a comment has no end")


def split(sql: str) -> list[str]:
    """The statements of a text, with their comments and without their semicolons; empty ones are left out."""
    statements = []
    start = 0
    has_words = False
    for kind, text, at in tokens(sql):
        if kind == "other" and text == ";":
            if has_words:
                statements.append(sql[start:at].strip())
            start, has_words = at + 1, False
        else:
            has_words = True
    if has_words:
        statements.append(sql[start:].strip())
    return statements


class Words:
    """A statement's tokens, taken from front to back: for the statements that the session answers itself."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._tokens = tokens(sql)
        self._at = 0

    @property
    def is_done(self) -> bool:
        return self._at >= len(self._tokens)

    def peek(self) -> str:
        """The next token in lower case; empty at the end."""
        return "" if self.is_done else self._tokens[self._at][1].lower()

    def accept(self, *words: str) -> bool:
        """Takes the words when they come next, in this order."""
        texts = [token[1].lower() for token in self._tokens[self._at : self._at + len(words)]]
        if texts == [word.lower() for word in words]:
            self._at += len(words)
            return True
        return False

    def expect(self, *words: str) -> None:
        if not self.accept(*words):
            self.fail()

    def fail(self) -> None:
        raise WireError("42601", f'syntax error at or near "{self.peek() or "end of input"}"')

    def name(self) -> str:
        """An identifier: folded to lower case unless quoted."""
        if self.is_done or self._tokens[self._at][0] not in ("word", "quoted"):
            self.fail()
        kind, text, _ = self._tokens[self._at]
        self._at += 1
        return text[1:-1].replace('""', '"') if kind == "quoted" else text.lower()

    def value(self) -> str:
        """A value of SET: a string, word, number with its sign, or name."""
        if self.is_done:
            self.fail()
        kind, text, _ = self._tokens[self._at]
        self._at += 1
        if kind == "string":
            return text[1:-1].replace("''", "'")
        if kind == "quoted":
            return text[1:-1].replace('""', '"')
        if text in "+-":
            return f"{text if text == '-' else ''}{self.value()}"
        if kind not in ("word", "number"):
            self._at -= 1
            self.fail()
        return text

    def rest(self) -> str:
        """What is left, as it was written."""
        return "" if self.is_done else self._sql[self._tokens[self._at][2] :]

    def parenthesised(self) -> str:
        """What stands between the next parenthesis and the one that closes it."""
        self.expect("(")
        depth = 1
        start = self._at
        while depth:
            if self.is_done:
                self.fail()
            depth += {"(": 1, ")": -1}.get(self._tokens[self._at][1], 0)
            self._at += 1
        if self._at - start == 1:
            self.fail()
        return self._sql[self._tokens[start][2] : self._tokens[self._at - 1][2]]

    def end(self) -> None:
        if not self.is_done:
            self.fail()
