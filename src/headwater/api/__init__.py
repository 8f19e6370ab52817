"""The facade: `headwater.open(".")` and what a project can be asked and told. All that the command line does is done here."""

from headwater.api.files import init, problems_of, versions
from headwater.api.project import Project, open
from headwater.api.result import Result
from headwater.api.results import CheckResult, Discovery, Finding, ListedSource, ListedTable, TableStatus

__all__ = [
    "CheckResult",
    "Discovery",
    "Finding",
    "ListedSource",
    "ListedTable",
    "Project",
    "Result",
    "TableStatus",
    "init",
    "open",
    "problems_of",
    "versions",
]
