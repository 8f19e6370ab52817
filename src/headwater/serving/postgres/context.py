"""What a translation may depend on, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.serving.session import VisibleTable


@dataclass(frozen=True, slots=True)
class Context:
    """A session, as far as its SQL can ask for it."""

    database: str
    user: str
    dialect: str
    search_path: tuple[str, ...]
    tables: Sequence[VisibleTable]
    setting: Callable[[str], str | None]
    configure: Callable[..., None]
    groups: tuple[str, ...] = ()
    #: Of the connection, as pg_backend_pid tells it.
    number: int = 0
    #: The types that the client gives its parameters, in order; 0 where it doesn't say.
    oids: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Translated:
    """A query in DuckDB's dialect: of the lake, or of the session's own catalog.

    `parameters` are the DuckDB types of `$1`, .. as far as they show; `oids` Postgres' own, where the query names them.
    """

    sql: str
    is_catalog: bool = False
    parameters: Mapping[int, str] = field(default_factory=dict)
    oids: Mapping[int, int] = field(default_factory=dict)


def table_parts(table: VisibleTable) -> tuple[str, str]:
    """Schema and name."""
    name: Any = table.name
    if hasattr(name, "schema"):
        return name.schema, name.name
    schema, _, rest = str(name).partition(".")
    return schema.strip('"'), rest.strip('"')
