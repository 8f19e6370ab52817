"""What engines and drivers say when a source fails, turned into SourceErrors that hold no secret."""

from __future__ import annotations

import re
from collections.abc import Iterable

from headwater.errors import (
    HeadwaterError,
    Interrupted,
    LakeReadOnly,
    MemoryExceeded,
    MissingDependency,
    SourceDataInvalid,
    SourceError,
    SourceReadFailed,
    SourceUnreachable,
    StorageFull,
    StreamNotFound,
)

#: Errors that aren't the source's doing: they pass unchanged.
_NOT_OURS = (SourceError, StorageFull, MemoryExceeded, Interrupted, MissingDependency)
_UNREACHABLE = (
    "connection refused",
    "could not connect",
    "unable to connect",
    "failed to connect",
    "can't connect",
    "could not translate host",
    "unknown host",
    "name or service not known",
    "could not resolve",
    "couldn't resolve",
    "could not establish connection",
    "connection error",
    "password authentication failed",
    "access denied",
    "authentication",
    "no route to host",
    "timeout expired",
    "unknown database",
    "no pg_hba.conf",
    "too many connections",
    "too many clients",
    "unable to open database",
    "cannot open file",
    "could not set lock",
)
_TLS = ("ssl error", "tls/ssl", "does not support ssl", "ssl was required", "root certificate", "ssl peer certificate", "ssl connection is required")
_NOT_FOUND = ("does not exist", "doesn't exist", "no files found", "404", "not found", "no such table", "no such file")
_INVALID = (
    "conversion error",
    "could not cast",
    "out of range",
    "csv error",
    "failed to open zip",
    "malformed json",
    "invalid input",
    "state machine",
    "file is not a",
    "not a database",
    "magic bytes",
    "parquet",
    "xlsx",
    "corrupt",
    "unicode",
)
_TIMEOUT = ("statement timeout", "max_statement_time", "maximum statement execution time", "query execution was interrupted")

_URL_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):([^@\s]*)@")
_NAMED_SECRET = re.compile(
    r"(?i)\b(password|passwd|pwd|secret|key_id|session_token|token|passfile|sslpassword)(\s*[=:]\s*)('(?:[^'\\]|\\.)*'|\"[^\"]*\"|[^\s,;)&]+)"
)
#: A secret shorter than this is blotted out only where its name stands beside it: "a" would blot out the whole message.
_SHORTEST_SECRET = 4
#: The JSON reader repeats what it couldn't read; that would be values of rows.
_ECHOED_INPUT = re.compile(r"\s*Input: \".*")
_ECHOED_VALUE = re.compile(r"(?i)\b(value|string|convert)\s+('[^']*'|\"[^\"]*\"|-?\d[\d.eE+-]*)")


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without `secrets`, passwords in URLs and `password=..` pairs; each becomes `***`."""
    for secret in sorted((s for s in secrets if len(s) >= _SHORTEST_SECRET), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = _URL_PASSWORD.sub(r"\1:***@", text)
    return _NAMED_SECRET.sub(r"\1\2***", text)


def explain_engine_error(error: HeadwaterError, subject: str, secrets: Iterable[str] = (), *, timeout_hint: str | None = None) -> HeadwaterError:
    """The SourceError that an engine's error means while `subject` (`orders of shop`) was read. Others come back unchanged.

    Errors of conversion (SqlDataError) count as the source's: what is read isn't what it said it would be.
    """
    if isinstance(error, _NOT_OURS):
        return error
    found = scrub(_first_lines(error.found or error.what), secrets)
    low = found.lower()
    if isinstance(error, LakeReadOnly):
        if "permission denied for" not in low and "failed to" not in low:
            return error  # not the source: what is being written
        return StreamNotFound(f"{subject} may not be read", found=found, hint="grant the source's user the right to read it")
    if any(mark in low for mark in _TIMEOUT):
        return SourceReadFailed(
            f"{subject} took longer than the statement timeout", found=found, hint=timeout_hint or "raise statement_timeout of the source"
        )
    if any(mark in low for mark in _TLS):
        hint = "servers elsewhere are verified: docs/connectors.md says how to name their authority (sslrootcert, ssl_ca), or to do without"
        return SourceUnreachable(f"{subject} can't be reached over TLS", found=found, hint=hint)
    if any(mark in low for mark in _UNREACHABLE):
        return SourceUnreachable(f"{subject} can't be reached", found=found, hint="check the connection of the source, then run again")
    if any(mark in low for mark in _NOT_FOUND):
        return StreamNotFound(f"{subject} isn't there, or part of it", found=found, hint="`headwater source discover` lists what is there")
    if any(mark in low for mark in _INVALID):
        return SourceDataInvalid(f"{subject} can't be read as what it should be", found=found)
    return SourceReadFailed(f"{subject} failed while being read", found=found, state="nothing of this read was loaded", hint="run again")


def _first_lines(text: str) -> str:
    """What happened, without the engine's list of settings and without the raw line it echoes (that would be values of rows)."""
    kept = []
    for line in text.splitlines():
        if line.startswith(("Original Line:", "Possible fixes", "Possible Solution", "LINE ", "  file =")) or not line.strip():
            break
        kept.append(_ECHOED_VALUE.sub(r"\1 …", _ECHOED_INPUT.sub("", line)).strip())
    return " ".join(kept)[:600]
