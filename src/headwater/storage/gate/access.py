"""Who reads, under which rules: what the gate is given from above, and what it gives back beside rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from headwater.security import OWNER, MaskKeys, Principal
from headwater.security.audited import Audited, new_query_id
from headwater.spec.names import TableName
from headwater.spec.policies import Action, Limits, Policies

if TYPE_CHECKING:
    import pyarrow.dataset

_NO_POLICIES: Final = Policies()


@dataclass(frozen=True, slots=True)
class Access:
    """`at` (aware) is now, as decisions see it. `audit` is called before the first row leaves; what it raises refuses the query. `audit_end` is
    called when the query is over, with the rows that left. `audit_rows` gives the audit itself as it is then, an Arrow dataset: the table
    `headwater.audit`.

    Errors of anybody but the owner name `query_id` and nothing else; their full text goes to `audit`. `database` is the name by which a reader may
    call the whole lake in front of a schema's (`shop.marts.revenue`); None for none.
    """

    principal: Principal
    policies: Policies
    keys: MaskKeys
    at: datetime
    limits: Limits = field(default_factory=Limits)
    audit: Callable[[Audited], None] | None = None
    audit_end: Callable[[Audited], None] | None = None
    audit_rows: Callable[[], pyarrow.dataset.Dataset] | None = None
    query_id: str = field(default_factory=new_query_id)
    database: str | None = None
    #: By which right tables are read: `export` for what is sent out by an export.
    action: Action = "select"
    #: What the reader wrote, for the audit, where the statement that is run is a translation of it.
    asked: str | None = None

    @classmethod
    def owner(cls, *, at: datetime | None = None, audit: Callable[[Audited], None] | None = None) -> Access:
        """The local owner's: nothing is hidden or masked."""
        return cls(OWNER, _NO_POLICIES, MaskKeys("", "", ""), datetime.now(UTC) if at is None else at, audit=audit)

    @property
    def is_owner(self) -> bool:
        return self.principal.kind == "owner"


@dataclass(frozen=True, slots=True)
class Described:
    """A query's columns as (name, DuckDB type), and the DuckDB types of its parameters, in order."""

    columns: tuple[tuple[str, str], ...]
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WrittenOut:
    """A query with the views and policies that it reads by, and the CREATE MACRO statements of what these call."""

    sql: str
    macros: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VisibleColumn:
    """A column as a reader sees it: of the type its mask leaves."""

    name: str
    type: str
    nullable: bool = True
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Relationship:
    """Every value of `column` is one of `field` in the table `to`."""

    column: str
    to: TableName
    field: str


@dataclass(frozen=True, slots=True)
class VisibleTable:
    """A table as a reader sees it. `relationships` are those of its checks whose columns are visible on both sides."""

    name: TableName
    kind: str
    columns: tuple[VisibleColumn, ...]
    primary_key: tuple[str, ...] = ()
    relationships: tuple[Relationship, ...] = ()
    description: str | None = None
