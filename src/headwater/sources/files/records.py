"""The records of delimited text with the lines they begin on: what the engine's reader doesn't tell of the rows it gives.

It takes text apart as that reader does (strict, one kind of line end). Where the two differ, a record comes out otherwise than the row, and whoever
compares them finds none: never a wrong line.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO

from headwater.errors import SourceDataInvalid, SourceReadFailed

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the text is written. `width` is the number of fields of a record, `skip` the lines before all else; `comment` empty for none."""

    width: int
    delimiter: str
    quote: str = '"'
    escape: str = '"'
    comment: str = ""
    skip: int = 0
    has_header: bool = True
    pads: bool = False


#: The line it begins on (from 1), and its fields; the text alone where it can't be taken apart.
Record = tuple[int, list[str] | str]


@dataclass(slots=True)
class Allowance:
    """The bytes that may still be read, of one file or of several."""

    left: int

    def take(self, count: int) -> None:
        """Raises SourceReadFailed when more is taken than is left."""
        self.left -= count
        if self.left < 0:
            raise SourceReadFailed("there is too much to be looked through again")


def lines_of(raw: IO[bytes], encoding: str, *, longest: int, allowance: Allowance) -> Iterator[tuple[list[str], str]]:
    """The lines of a stream of bytes, many at once, with the mark they were split at: a newline, or a carriage return where the text has no newline.

    Bytes that aren't the encoding become something that no valid text equals. Raises SourceReadFailed for a line longer than `longest` characters and
    beyond the `allowance`, SourceDataInvalid for what can't be decoded.
    """
    decoder = codecs.getincrementaldecoder(encoding)("surrogateescape" if encoding == "utf-8" else "strict")
    end, rest, is_first = "", "", True
    while True:
        data = raw.read(_CHUNK_BYTES)
        allowance.take(len(data))
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeError as error:
            raise SourceDataInvalid(f"it isn't written in {encoding}", found=getattr(error, "reason", "undecodable bytes")) from None
        if is_first and text:
            text, is_first = text.removeprefix("\ufeff"), False
            end = "\r" if "\r" in text and "\n" not in text else "\n"
        if not data:
            break
        *whole, rest = (rest + text).split(end or "\n")
        if len(rest) > longest:
            raise SourceReadFailed("a line is too long to be looked at again", expected=f"at most {longest:,} characters")
        yield whole, end
    if rest + text:
        yield [rest + text], end


def records(lines: Iterable[tuple[list[str], str]], dialect: Dialect, *, longest: int) -> Iterator[Record]:
    """The records after the header. Blank lines and comments are none, as for the engine: but of one column, a blank line is an empty field.

    Raises SourceReadFailed for a record longer than `longest` characters.
    """
    found = _records(lines, dialect, longest)
    if dialect.has_header:
        next(found, None)
    return found


def _records(lines: Iterable[tuple[list[str], str]], dialect: Dialect, longest: int) -> Iterator[Record]:
    quote, comment, delimiter = dialect.quote, dialect.comment, dialect.delimiter
    taker = _Taker(dialect)
    to_skip = dialect.skip
    open_record: _Open | None = None
    for number, (line, end) in enumerate(((line, end) for some, end in lines for line in some), 1):
        bare = line.removesuffix("\r") if end == "\n" else line
        if open_record is not None:
            if not open_record.goes_on(taker, line, bare, end, longest):
                yield open_record.start, _fitting(open_record.fields, dialect) or open_record.text
                open_record = None
            continue
        if comment and bare.lstrip(" ").startswith(comment):
            continue
        if to_skip:
            to_skip -= 1
            continue
        if not bare and dialect.width > 1:
            continue
        fields: list[str] | None
        if quote and quote in bare:
            fields = taker.simple(bare)
            if fields is not None and len(fields) == dialect.width:
                yield number, fields
                continue
            begun = _Open(number)
            if begun.goes_on(taker, line, bare, end, longest):
                open_record = begun
            else:
                yield number, _fitting(begun.fields, dialect) or begun.text
            continue
        fields = (bare.partition(comment)[0] if comment else bare).split(delimiter)
        yield number, fields if len(fields) == dialect.width else _fitting(fields, dialect) or bare
    if open_record is not None:
        yield open_record.start, open_record.text


def _fitting(fields: list[str] | None, dialect: Dialect) -> list[str] | None:
    """The fields of a record that has as many as it should, or may be padded to that, or has only empty ones beyond that."""
    if fields is None or any(fields[dialect.width :]) or (len(fields) < dialect.width and not dialect.pads):
        return None
    return fields[: dialect.width] + [""] * (dialect.width - len(fields))


class _Open:
    """A record being taken apart, line by line."""

    __slots__ = ("_fields", "_is_broken", "_parts", "_texts", "size", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self._is_broken = False
        self.size = 0
        self._fields: list[str] = []
        self._texts: list[str] = []
        self._parts: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._texts)

    @property
    def fields(self) -> list[str] | None:
        """None: it can't be taken apart."""
        return None if self._is_broken else self._fields

    def goes_on(self, taker: _Taker, line: str, bare: str, end: str, longest: int) -> bool:
        """Takes one line more (`bare` is without its end); whether the record still isn't at its own."""
        self.size += len(line)
        if self.size > longest:
            raise SourceReadFailed("a record is too long to be looked at again", expected=f"at most {longest:,} characters")
        self._texts += (line, end)
        position = 0
        while True:
            if not self._parts:
                opened = taker.opening.match(bare, position)
                if opened is None:
                    stop = taker.stop.search(bare, position)
                    assert stop is not None
                    self._fields.append(bare[position : stop.start()])
                    if stop[0] != taker.delimiter:
                        return False
                    position = stop.end()
                    continue
                position = opened.end()
            close = taker.closing(bare, position)
            if close is None:
                self._parts += (taker.unescaped(line[position:]), end)
                return True
            self._parts.append(taker.unescaped(bare[position : close.start()]))
            again = taker.reopening.match(bare, close.end())
            if again is not None:  # "a" "b" is the field `a b`, to the engine
                self._parts.append(again[1])
                position = again.end()
                continue
            self._fields.append("".join(self._parts))
            self._parts = []
            after = taker.after_quote.match(bare, close.end())
            if after is None:
                self._is_broken = True
            if after is None or after[1] != taker.delimiter:
                return False
            position = after.end()


class _Taker:
    """What takes single lines apart by a dialect that has a quote."""

    def __init__(self, dialect: Dialect) -> None:
        quote, escape = re.escape(dialect.quote), re.escape(dialect.escape or dialect.quote)
        stops = "|".join(re.escape(mark) for mark in (dialect.delimiter, dialect.comment) if mark)
        self.delimiter = dialect.delimiter
        self._quote = dialect.quote
        self.opening = re.compile(f" *{quote}")
        self.reopening = re.compile(f"( +){quote}")
        self._marks = re.compile(f"{escape}{quote}|{escape}{escape}|{quote}")
        self._escaped = re.compile(f"{escape}({quote}|{escape})")
        self.stop = re.compile(f"{stops}|\\Z")
        self.after_quote = re.compile(f" *({stops}|\\Z)")
        self._is_plain = dialect.escape in ("", dialect.quote)
        self._comment = dialect.comment

    def closing(self, line: str, start: int) -> re.Match[str] | None:
        """The quote that ends what is open at `start`; None when not in this line."""
        return next((mark for mark in self._marks.finditer(line, start) if mark[0] == self._quote), None)

    def unescaped(self, text: str) -> str:
        return self._escaped.sub(r"\1", text)

    def simple(self, line: str) -> list[str] | None:
        """The fields of a line whose quotes stand just around whole fields, as most do, found quickly; None for any other line."""
        parts = line.split(self._quote)
        if not self._is_plain or len(parts) % 2 == 0 or (self._comment and self._comment in line):
            return None
        delimiter, fields, last = self.delimiter, [], len(parts) - 1
        for place, part in enumerate(parts):
            if place % 2:
                fields.append(part)
                continue
            if (place and place < last) and part == delimiter:
                continue
            if (place and place < last and not part) or (
                part and ((place and not part.startswith(delimiter)) or (place < last and not part.endswith(delimiter)))
            ):
                return None
            between = part.split(delimiter)
            fields += between[1 if place else 0 : -1 if place < last else None] if part else []
        return fields
