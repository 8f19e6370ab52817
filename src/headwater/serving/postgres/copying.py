"""COPY (query) TO STDOUT: its options, and lines in its text and CSV formats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute

from headwater.serving.postgres.failures import WireError
from headwater.serving.postgres.statements import Words
from headwater.spec.names import quote

pc: Any = pyarrow.compute  # it takes more than its stubs know
Column: TypeAlias = Any  # a pyarrow.Array; its stubs know fewer methods than it has


@dataclass(frozen=True, slots=True)
class Copy:
    """A COPY statement that was read. `query` is what it copies, in the session's dialect."""

    query: str
    format: Literal["text", "csv", "binary"] = "text"
    delimiter: str = "\t"
    null: str = "\\N"
    has_header: bool = False
    quote: str = '"'
    escape: str = '"'
    forces_quotes: bool = False

    def line(self, columns: Sequence[Column]) -> Column:
        """The lines of rows given as their columns' texts."""
        parts = [self._csv(column) if self.format == "csv" else self._text(column) for column in columns]
        joined = pc.binary_join_element_wise(*parts, self.delimiter) if parts else pa.array([], pa.string())
        return pc.binary_join_element_wise(joined, "\n", "")

    def header(self, names: Sequence[str]) -> bytes:
        return bytes(self.line([pa.array([name]) for name in names])[0].as_py(), "utf-8")

    def _text(self, column: Column) -> Column:
        marks = {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
        if self.delimiter not in marks:
            marks[self.delimiter] = f"\\{self.delimiter}"
        found = marks_in(column, marks)
        for mark, written in marks.items():
            if mark in found:
                column = pc.replace_substring(column, mark, written)
        return pc.fill_null(column, self.null)

    def _csv(self, column: Column) -> Column:
        needs = pc.equal(column, self.null)
        for mark in marks_in(column, (self.delimiter, self.quote, "\n", "\r")):
            needs = pc.or_(needs, pc.match_substring(column, mark))
        needs = pc.or_(needs, pc.equal(column, "\\."))
        if self.forces_quotes:
            needs = pc.or_(needs, column.is_valid())
        if pc.any(needs).as_py():
            escaped = column if self.escape == self.quote else pc.replace_substring(column, self.escape, self.escape * 2)
            escaped = pc.replace_substring(escaped, self.quote, self.escape + self.quote)
            column = pc.if_else(needs, pc.binary_join_element_wise(self.quote, escaped, self.quote, ""), column)
        return pc.fill_null(column, self.null)


def marks_in(column: Column, marks: Iterable[str]) -> set[str]:
    """Which of some ASCII characters occur in the texts of a column: one look at all their bytes is far quicker than one at each text."""
    data = column.buffers()[2]
    if data is None:
        return set()
    offsets = np.frombuffer(column.buffers()[1], dtype=np.int64 if pa.types.is_large_string(column.type) else np.int32)
    seen = memoryview(data)[int(offsets[column.offset]) : int(offsets[column.offset + len(column)])].tobytes()
    return {mark for mark in marks if mark.encode() in seen}


def read_copy(sql: str) -> Copy:
    """From `COPY (query) TO STDOUT ..` or `COPY table (columns) TO STDOUT ..`, with options old and new. Raises WireError."""
    words = Words(sql)
    words.expect("copy")
    if words.peek() == "(":
        query = words.parenthesised()
    else:
        parts = [words.name()]
        while words.accept("."):
            parts.append(words.name())
        columns = "*"
        if words.peek() == "(":
            inner = Words(words.parenthesised())
            names = []
            while not inner.is_done:
                names.append(quote(inner.name()))
                _comma(inner)
            columns = ", ".join(names)
        query = f"SELECT {columns} FROM {'.'.join(map(quote, parts))}"
    if words.accept("from"):
        raise WireError("25006", "nothing can be written here", hint="Tables change by headwater run alone.")
    words.expect("to")
    if not words.accept("stdout"):
        raise WireError("42501", "COPY goes to STDOUT here, never to a file or program of the server")
    options = _options(words)
    return _copy(query, options)


def _comma(words: Words) -> None:
    if not words.accept(","):
        words.end()


def _options(words: Words) -> dict[str, str]:
    options: dict[str, str] = {}
    words.accept("with")
    if words.peek() == "(":
        inner = Words(words.parenthesised())
        while not inner.is_done:
            name = inner.name()
            if inner.is_done or inner.peek() == ",":
                options[name] = "true"
            elif inner.peek() == "*":
                inner.accept("*")
                options[name] = "*"
            else:
                options[name] = inner.value()
            _comma(inner)
    while not words.is_done:
        name = words.name()
        if name in ("csv", "binary"):
            options["format"] = name
        elif name == "header":
            options[name] = "true"
        elif name in ("delimiter", "null", "quote", "escape"):
            words.accept("as")
            options[name] = words.value()
        elif name == "force":
            words.expect("quote", "*")
            options["force_quote"] = "*"
        else:
            raise WireError("42601", f'COPY has no option "{name}" here')
    words.end()
    return options


def _copy(query: str, options: dict[str, str]) -> Copy:
    known = {"format", "delimiter", "null", "header", "quote", "escape", "force_quote", "encoding"}
    for name in options:
        if name not in known:
            raise WireError("42601", f'option "{name}" not recognized')
    format = options.get("format", "text").lower()
    if format not in ("text", "csv", "binary"):
        raise WireError("22023", f'COPY format "{format}" not recognized')
    if options.get("encoding", "utf8").lower().replace("-", "") not in ("utf8", "unicode"):
        raise WireError("0A000", "COPY writes UTF-8")
    if options.get("force_quote", "*") != "*":
        raise WireError("0A000", "FORCE_QUOTE is for all columns (*) here")
    made = Copy(
        query,
        "csv" if format == "csv" else "binary" if format == "binary" else "text",
        options.get("delimiter", "," if format == "csv" else "\t"),
        options.get("null", "" if format == "csv" else "\\N"),
        options.get("header", "false").lower() in ("true", "on", "1", "match"),
        options.get("quote", '"'),
        options.get("escape", options.get("quote", '"')),
        "force_quote" in options,
    )
    if format == "binary" and set(options) - {"format", "encoding"}:
        raise WireError("42601", "COPY in BINARY takes no further options")
    if format != "csv" and {"quote", "escape", "force_quote"} & set(options):
        raise WireError("0A000", "QUOTE, ESCAPE and FORCE_QUOTE are for CSV only")
    if any(len(mark.encode()) != 1 or mark in "\r\n" for mark in (made.delimiter, made.quote, made.escape)) or "\n" in made.null:
        raise WireError("22023", "a delimiter, quote and escape are one byte each, and no end of a line")
    return made
