"""DuckDB's exceptions as ours: every statement passes through `translated`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from headwater import errors

_LOST = ("connection refused", "could not connect", "server closed the connection", "could not set lock", "connection to server", "timed out")

_FILE_GONE = re.compile(r"\.parquet.*(?:No such file|404|NoSuchKey)|(?:No such file|404|NoSuchKey).*\.parquet", re.DOTALL)
_FILE_GONE_HINT = (
    "headwater doctor names the files that are gone; headwater restore DIR brings a backup back, and without one headwater run TABLE --full-refresh "
    "makes a table anew from what it is read or built from"
)


def translate(error: duckdb.Error) -> errors.HeadwaterError:
    """The Headwater error for one of DuckDB's. Its text is kept to the first lines, without the echoed statement."""
    text = _without_statement(str(error))
    low = text.lower()
    if isinstance(error, duckdb.InterruptException):
        return errors.Interrupted("the statement was interrupted")
    if "no space left on device" in low or "disk full" in low or "database or disk is full" in low:
        return errors.StorageFull("no space is left to write to", found=text, state="nothing was committed", hint="free space, then run again")
    if isinstance(error, duckdb.OutOfMemoryException):
        return errors.MemoryExceeded(
            "the statement needs more memory than allowed", found=text, hint="raise memory_limit in headwater.yaml, or lower threads"
        )
    if "readonly database" in low or "read-only" in low or "read only" in low or "permission denied" in low:
        return errors.LakeReadOnly("nothing can be written here", found=text, hint="check the permissions of the lake's folder and catalog")
    if isinstance(error, duckdb.TransactionException) or "database is locked" in low:
        return errors.CommitConflict("another transaction committed first", found=text, state="nothing was committed", hint="run again")
    if isinstance(error, duckdb.ParserException):
        return errors.SqlSyntaxError("the SQL can't be parsed", found=text)
    if isinstance(error, (duckdb.BinderException, duckdb.CatalogException)):
        return errors.SqlBindError("the SQL names something that isn't there or doesn't fit", found=text)
    if isinstance(error, (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException, duckdb.ConstraintException)):
        return errors.SqlDataError("a value doesn't fit", found=_without_values(text))
    if isinstance(error, (duckdb.IOException, duckdb.HTTPException)) and _FILE_GONE.search(text):
        return errors.DataFileGone("a data file is gone", found=text, hint=_FILE_GONE_HINT)
    if isinstance(error, (duckdb.IOException, duckdb.HTTPException)) or any(mark in low for mark in _LOST):
        return errors.LakeUnavailable("reading or writing failed", found=text)
    return errors.QueryError("the engine refused the statement", found=text)


_STATEMENT = re.compile(r'(Failed to (?:execute|prepare)(?: query)?) ".*"(?=: |$)', re.DOTALL)


def _without_statement(text: str) -> str:
    """The message without echoed SQL and stack traces: what the lake's catalog is written with holds minima, maxima and keys of encrypted files."""
    return _STATEMENT.sub(r"\1", text.split("\n\nStack Trace")[0]).split("\nLINE ")[0].strip()


_QUOTED_VALUE = re.compile(r"(string|value|convert)( ['\"])(?:[^'\"]*)(['\"])", re.IGNORECASE)


def _without_values(text: str) -> str:
    """The message with quoted row values blotted out: errors reach logs, which hold no values."""
    return _QUOTED_VALUE.sub(r"\1\2…\3", text)


@contextmanager
def translated() -> Iterator[None]:
    """Inside it, a `duckdb.Error` leaves as a HeadwaterError (with the original as its cause)."""
    try:
        yield
    except duckdb.Error as error:
        raise translate(error) from error
    except OSError as error:  # Arrow's own, for an error of the engine while it streams
        if type(error) is not OSError or not _ARROW_ERROR.match(str(error)):
            raise
        if "interrupt" in str(error).lower():
            raise errors.Interrupted("the statement was interrupted") from error
        raise errors.SqlDataError("a value doesn't fit", found=_without_values(_without_statement(str(error)))) from error
    except RuntimeError as error:  # the client raises this one for a query cancelled while fetching
        if "interrupt" in str(error).lower():
            raise errors.Interrupted("the statement was interrupted") from error
        raise


_ARROW_ERROR = re.compile(r"(?:[A-Z]\w+ )+Error: |INTERRUPT")


_EXCERPT = re.compile(r"\n\nLINE (\d+): (.*)\n( *)\^")
_NEAR = re.compile(r'at or near "(.*?)"', re.DOTALL)


def syntax_error_offset(error: errors.SqlSyntaxError, sql: str) -> int | None:
    """Where in `sql` (the very text that was parsed) a syntax error is, as an offset; None where DuckDB doesn't say."""
    text = str(error.__cause__ or "")
    if "at end of input" in text:
        return len(sql.rstrip())
    match = _EXCERPT.search(text)
    if match is None:
        return None
    lines = sql.split("\n")
    number = int(match[1])
    if number > len(lines):
        return None
    line = lines[number - 1]
    column = max(len(match[3]) - len(f"LINE {number}: "), 0)
    excerpt = match[2]
    if excerpt.startswith("...") and not line.startswith("..."):  # a long line is cut at both ends
        start = line.find(excerpt[3:].removesuffix("..."))
        column = column - 3 + max(start, 0)
    near = _NEAR.search(text)
    if near is not None and near[1] and not line.startswith(near[1], column):  # wide characters shift the mark
        places = [found.start() for found in re.finditer(re.escape(near[1].split("\n")[0]), line)]
        column = min(places, key=lambda place: abs(place - column), default=column)
    return sum(len(before) + 1 for before in lines[: number - 1]) + min(column, len(line))
