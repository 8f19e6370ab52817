"""What a door needs of the lake: who somebody is, and the answer to one query. Doors are tested against any implementation alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from headwater.security.principals import Principal
from headwater.security.scram import ScramSecret
from headwater.spec.policies import Door

if TYPE_CHECKING:
    import pyarrow as pa


class DescribedColumn(Protocol):
    """A column of a result or a table. `type` is a DuckDB type name as DESCRIBE prints it."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...


class Described(Protocol):
    """What a query would give and takes. `parameters` are DuckDB type names in order; `UNKNOWN` where the query doesn't say."""

    @property
    def columns(self) -> Sequence[DescribedColumn]: ...
    @property
    def parameters(self) -> Sequence[str]: ...


class VisibleColumn(DescribedColumn, Protocol):
    @property
    def nullable(self) -> bool: ...
    @property
    def description(self) -> str | None: ...


class VisibleRelationship(Protocol):
    """A foreign key, in the words of the check `relationships`: `column` of this table is `field` of the table that prints as `to`."""

    @property
    def column(self) -> str: ...
    @property
    def to(self) -> object: ...
    @property
    def field(self) -> str: ...


class VisibleTable(Protocol):
    """A table as far as one principal may know of it. `name` prints as `schema.table`; `kind` is `view` or any word for a table."""

    @property
    def name(self) -> object: ...
    @property
    def kind(self) -> str: ...
    @property
    def columns(self) -> Sequence[VisibleColumn]: ...
    @property
    def primary_key(self) -> Sequence[str]: ...
    @property
    def relationships(self) -> Sequence[VisibleRelationship]: ...
    @property
    def description(self) -> str | None: ...


class Answer(Protocol):
    """The rows of one query, read once. Not thread-safe, but `interrupt`, which any thread may call at any time."""

    @property
    def columns(self) -> list[str]: ...
    @property
    def types(self) -> list[str]: ...
    def batches(self, rows: int = ...) -> pa.RecordBatchReader: ...
    def interrupt(self) -> None: ...
    def close(self) -> None: ...


class Service(Protocol):
    """One environment of one project, as doors see it. Thread-safe. Everything raises HeadwaterError."""

    @property
    def name(self) -> str:
        """The database's name: the project's."""
        ...

    def login_password(self, user: str, password: str, *, door: Door, address: str | None) -> Principal: ...

    def login_token(self, token: str, *, door: Door, address: str | None) -> Principal: ...

    def scram_secret(self, user: str, *, may_ask: bool) -> ScramSecret | None:
        """What a user's proofs are checked with; None where a password must be asked for in clear, which is never where `may_ask` is False."""
        ...

    def login_scram(self, user: str, credential: str, *, door: Door, address: str | None) -> Principal:
        """The principal of a user who has just proved `credential`, one of those of `scram_secret`: see `ScramExchange.credential`."""
        ...

    def scram_failed(self, user: str, *, door: Door, address: str | None) -> None:
        """Told of a proof that was wrong."""
        ...

    def describe(self, principal: Principal, sql: str, parameter_types: Sequence[str], *, asked: str | None = None) -> Described:
        """Binds a query and runs nothing. `parameter_types` are DuckDB type names, as far as the client says them; else `UNKNOWN`. `asked` is what
        the client wrote, where `sql` is its translation."""
        ...

    def run(
        self,
        principal: Principal,
        sql: str,
        parameters: Sequence[Any],
        *,
        asked: str | None = None,
        started: Callable[[Callable[[], None]], None] | None = None,
    ) -> Answer:
        """Runs one query (DuckDB's dialect, parameters as `$1`). It may compute for long before it returns: `started` is called before that, in the
        same thread, with the function that interrupts it from another one. `asked` is as for `describe`."""
        ...

    def tables(self, principal: Principal) -> Sequence[VisibleTable]: ...
