"""Every way Headwater fails, in one tree.

    HeadwaterError                  HW-0000
    +-- ProjectError                HW-P000   the files of the project are wrong (exit code 2)
    |   +-- DefinitionErrors        HW-P001   one or more definitions are wrong; carries all of them
    |   +-- ProjectNotFound         HW-P002
    |   +-- UnknownSelection        HW-P003   a selector names nothing
    |   +-- UnresolvedReference     HW-P004   ${env:..}, ${file:..}, ${secret:..} has no value
    |   +-- UsageError              HW-P005   the call itself makes no sense
    +-- SourceError                 HW-S000
    |   +-- SourceUnreachable       HW-S001   connecting failed                       retry: yes
    |   +-- SourceReadFailed        HW-S002   it broke while being read               retry: yes
    |   +-- SourceDataInvalid       HW-S003   what it sent can't be read as its format
    |   +-- StreamNotFound          HW-S004
    |   +-- ContractRefused         HW-S005   the schema contract forbids what came
    |   +-- TooManyRejected         HW-S006   more rows broke the contract than max_rejected allows
    |   +-- MissingDependency       HW-S007   an optional package isn't installed
    +-- LakeError                   HW-L000
    |   +-- CommitConflict          HW-L001   somebody committed first                retry: yes
    |   +-- Fenced                  HW-L002   our lease ended and another writer went on
    |   +-- CommitUnknown           HW-L003   connection lost inside a commit         retry: unknown
    |   +-- LakeFormatError         HW-L004   the lake was written by newer or other code
    |   +-- LakeUnavailable         HW-L005   catalog or object store can't be reached retry: yes
    |   +-- LakeReadOnly            HW-L006
    |   +-- StorageFull             HW-L007
    |   +-- EvolutionRefused        HW-L008   the table's columns can't change that way
    |   +-- TableNotFound           HW-L009
    |   +-- SnapshotNotFound        HW-L010
    |   +-- NetworkFileSystem       HW-L011   a SQLite catalog can't live there
    |   +-- DataFileGone            HW-L012   a file of a table isn't there any more
    +-- StateError                  HW-T000
    |   +-- LeaseHeld               HW-T001   another run writes this table           retry: yes
    |   +-- StateUnavailable        HW-T003                                           retry: yes
    +-- QueryError                  HW-Q000
    |   +-- SqlSyntaxError          HW-Q001
    |   +-- SqlBindError            HW-Q002   an unknown table, column, function or a type that doesn't fit
    |   +-- SqlDataError            HW-Q003   a value can't be converted, a division, an overflow
    |   +-- StatementRefused        HW-Q004   this door doesn't run that kind of statement
    |   +-- MemoryExceeded          HW-Q005
    |   +-- LimitExceeded           HW-Q006   more rows, bytes, memory or seconds than the reader's role allows
    |   +-- QueryFailed             HW-Q007   what went wrong is told to the audit alone
    +-- ModelError                  HW-M000
    |   +-- UserCodeError           HW-M001   a Python model or source raised; carries the user's traceback
    |   +-- ModelOutputInvalid      HW-M002   a model's result can't be stored
    +-- IdentityError               HW-U000
    |   +-- AuthenticationFailed    HW-U001   who it is can't be told from what was given
    |   +-- PasswordExpired         HW-U002   right, and to be changed first
    |   +-- PasswordRefused         HW-U003   a new password breaks the policy
    |   +-- LimitReached            HW-U005   as many at once as allowed              retry: yes
    |   +-- ProviderUnavailable     HW-U006   the identity provider doesn't answer    retry: yes
    |   +-- ApprovalRefused         HW-U007   access isn't theirs to give
    |   +-- AuditUnwritable         HW-U008   so nothing is shown                     retry: yes
    |   +-- AuditBroken             HW-U009   the audit was tampered with
    +-- ProtectionError             HW-K000
    |   +-- KeyMissing              HW-K001   the key that is needed isn't here
    |   +-- KeyRefused              HW-K002   a key, or what it sealed, isn't what it was
    |   +-- KeyProviderUnavailable  HW-K003   the service that holds keys fails      retry: yes
    |   +-- SecretsUnavailable      HW-K004   the service that holds secrets fails   retry: yes
    +-- DoorError                   HW-D000
    |   +-- DoorClosed              HW-D001   a server can't be started
    |   +-- ServerUnreachable       HW-D002   no answer from there                    retry: yes
    |   +-- AnswerBroken            HW-D003   the answer ended too early              retry: yes
    |   +-- ServerFault             HW-D004   the server gave what it never should
    |   +-- PasswordInClear         HW-D005   a password is taken over TLS only
    +-- ExportError                 HW-E000
    |   +-- DestinationUnreachable  HW-E001   no answer from where an export goes      retry: yes
    |   +-- DestinationRefused      HW-E002   it can't take these columns, or not from us
    |   +-- ExportRefused           HW-E003   the export's own rules forbid it
    |   +-- ExportKeyInvalid        HW-E004   the key doesn't tell the rows apart
    |   +-- TooManyDead             HW-E005   the destination refuses more rows than max_dead allows
    |   +-- ExportTakenOver         HW-E006   another run of the export went on
    +-- Interrupted                 HW-I001   stopped by the user or a time-out

Each error says what failed (`what`), what was expected and found, in what state the data is now, and what to do next (`hint`).
`retry` says whether trying again can help: "no", "yes" or "unknown" (the outcome isn't known; look before trying again).
Messages name tables, columns, files and types, never values of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Retry = Literal["no", "yes", "unknown"]


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a project's file. `line` and `column` count from 1; None where unknown. `path` is relative to the project."""

    path: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.path, self.line, self.column) if part is not None)


class HeadwaterError(Exception):
    """The root of all errors raised on purpose. Subclasses set `code` and `retry`."""

    code: ClassVar[str] = "HW-0000"
    retry: Retry = "no"

    def __init__(
        self,
        what: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        state: str | None = None,
        hint: str | None = None,
        location: Location | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.found = found
        self.state = state
        self.hint = hint
        self.location = location

    def __str__(self) -> str:
        """The whole message over several lines: code and what failed first, `hint:` last."""
        head = f"{self.code} {self.location}: {self.what}" if self.location else f"{self.code} {self.what}"
        lines = [head]
        if self.expected is not None:
            lines.append(f"  expected: {self.expected}")
        if self.found is not None:
            lines.append(f"  found: {self.found}")
        if self.state is not None:
            lines.append(f"  data: {self.state}")
        if self.hint is not None:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


# -- project ---------------------------------------------------------------------------------------------------------


class ProjectError(HeadwaterError):
    code = "HW-P000"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong (or doubtful) in a definition. `rule` is a stable kebab-case name such as `unknown-table`."""

    rule: str
    message: str
    location: Location
    expected: str | None = None
    did_you_mean: str | None = None
    severity: Literal["error", "warning", "note"] = "error"

    def __str__(self) -> str:
        text = f"{self.location}: {self.message}"
        if self.expected:
            text += f"; expected {self.expected}"
        if self.did_you_mean:
            text += f"; did you mean {self.did_you_mean!r}?"
        return f"{text} [{self.rule}]"


class DefinitionErrors(ProjectError):
    """All that is wrong in a project's definitions, at once."""

    code = "HW-P001"

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        count = len(problems)
        super().__init__(f"the project has {count} error{'s' if count != 1 else ''}", hint="correct the files and run the same command again")

    def __str__(self) -> str:
        return "\n".join([f"{self.code} {self.what}", *(f"  {problem}" for problem in self.problems), f"  hint: {self.hint}"])


class ProjectNotFound(ProjectError):
    code = "HW-P002"


class UnknownSelection(ProjectError):
    code = "HW-P003"


class UnresolvedReference(ProjectError):
    code = "HW-P004"


class UsageError(ProjectError):
    code = "HW-P005"


# -- sources ---------------------------------------------------------------------------------------------------------


class SourceError(HeadwaterError):
    code = "HW-S000"


class SourceUnreachable(SourceError):
    code = "HW-S001"
    retry = "yes"


class SourceReadFailed(SourceError):
    code = "HW-S002"
    retry = "yes"


class SourceDataInvalid(SourceError):
    code = "HW-S003"


class StreamNotFound(SourceError):
    code = "HW-S004"


class ContractRefused(SourceError):
    code = "HW-S005"


class TooManyRejected(SourceError):
    code = "HW-S006"


class MissingDependency(SourceError):
    code = "HW-S007"


# -- lake ------------------------------------------------------------------------------------------------------------


class LakeError(HeadwaterError):
    code = "HW-L000"


class CommitConflict(LakeError):
    code = "HW-L001"
    retry = "yes"


class Fenced(LakeError):
    code = "HW-L002"


class CommitUnknown(LakeError):
    code = "HW-L003"
    retry = "unknown"


class LakeFormatError(LakeError):
    code = "HW-L004"


class LakeUnavailable(LakeError):
    code = "HW-L005"
    retry = "yes"


class DataFileGone(LakeError):
    code = "HW-L012"


class LakeReadOnly(LakeError):
    code = "HW-L006"


class StorageFull(LakeError):
    code = "HW-L007"


class EvolutionRefused(LakeError):
    code = "HW-L008"


class TableNotFound(LakeError):
    code = "HW-L009"


class SnapshotNotFound(LakeError):
    code = "HW-L010"


class NetworkFileSystem(LakeError):
    code = "HW-L011"


# -- state -----------------------------------------------------------------------------------------------------------


class StateError(HeadwaterError):
    code = "HW-T000"


class LeaseHeld(StateError):
    code = "HW-T001"
    retry = "yes"


class StateUnavailable(StateError):
    code = "HW-T003"
    retry = "yes"


# -- queries and models ----------------------------------------------------------------------------------------------


class QueryError(HeadwaterError):
    code = "HW-Q000"


class SqlSyntaxError(QueryError):
    code = "HW-Q001"


class SqlBindError(QueryError):
    code = "HW-Q002"


class SqlDataError(QueryError):
    code = "HW-Q003"


class StatementRefused(QueryError):
    code = "HW-Q004"


class MemoryExceeded(QueryError):
    code = "HW-Q005"


class LimitExceeded(QueryError):
    code = "HW-Q006"


class QueryFailed(QueryError):
    code = "HW-Q007"


class ModelError(HeadwaterError):
    code = "HW-M000"


class UserCodeError(ModelError):
    """A Python model or source raised. `user_traceback` holds the frames of the user's files only, as text."""

    code = "HW-M001"

    def __init__(self, what: str, *, user_traceback: str, hint: str | None = None) -> None:
        super().__init__(what, hint=hint)
        self.user_traceback = user_traceback

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.user_traceback}".rstrip()


class ModelOutputInvalid(ModelError):
    code = "HW-M002"


# -- who, and what they did ------------------------------------------------------------------------------------------


class IdentityError(HeadwaterError):
    code = "HW-U000"


class AuthenticationFailed(IdentityError):
    """Says the same whatever was wrong; the audit has the reason."""

    code = "HW-U001"


class PasswordExpired(IdentityError):
    code = "HW-U002"


class PasswordRefused(IdentityError):
    code = "HW-U003"


class LimitReached(IdentityError):
    code = "HW-U005"
    retry = "yes"


class ProviderUnavailable(IdentityError):
    code = "HW-U006"
    retry = "yes"


class ApprovalRefused(IdentityError):
    code = "HW-U007"


class AuditUnwritable(IdentityError):
    code = "HW-U008"
    retry = "yes"


class AuditBroken(IdentityError):
    code = "HW-U009"


# -- keys and secrets ------------------------------------------------------------------------------------------------


class ProtectionError(HeadwaterError):
    code = "HW-K000"


class KeyMissing(ProtectionError):
    """Something is encrypted with a key that isn't in the keyring, or the master key isn't there."""

    code = "HW-K001"


class KeyRefused(ProtectionError):
    """A keyring, a master key, or what was sealed with one can't be read: it was changed, or is for something else."""

    code = "HW-K002"


class KeyProviderUnavailable(ProtectionError):
    code = "HW-K003"
    retry = "yes"


class SecretsUnavailable(ProtectionError):
    code = "HW-K004"
    retry = "yes"


# -- doors -----------------------------------------------------------------------------------------------------------


class DoorError(HeadwaterError):
    code = "HW-D000"


class DoorClosed(DoorError):
    code = "HW-D001"


class ServerUnreachable(DoorError):
    code = "HW-D002"
    retry = "yes"


class AnswerBroken(DoorError):
    code = "HW-D003"
    retry = "yes"


class ServerFault(DoorError):
    code = "HW-D004"


class PasswordInClear(DoorError):
    code = "HW-D005"


# -- exports ---------------------------------------------------------------------------------------------------------


class ExportError(HeadwaterError):
    code = "HW-E000"


class DestinationUnreachable(ExportError):
    """`wait_seconds` is how long the destination asked us to wait, where it did."""

    code = "HW-E001"
    retry = "yes"
    wait_seconds: float | None = None


class DestinationRefused(ExportError):
    code = "HW-E002"


class ExportRefused(ExportError):
    code = "HW-E003"


class ExportKeyInvalid(ExportError):
    code = "HW-E004"


class TooManyDead(ExportError):
    code = "HW-E005"


class ExportTakenOver(ExportError):
    code = "HW-E006"


class Interrupted(HeadwaterError):
    code = "HW-I001"
