"""What the database connectors share: columns with their mapping, conditions of a cursor, ranges of a parallel read, and the Scan made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from headwater.errors import HeadwaterError, SourceDataInvalid, StreamNotFound
from headwater.sources.base import ConnectorBase, unique_name
from headwater.sources.connector import Capabilities, ConnectorContext, CursorBound, DiscoveredColumn, Portion, Reading, ReadRequest, Scan
from headwater.sources.failures import explain_engine_error
from headwater.spec.names import quote, quote_literal
from headwater.spec.sources import Parallel, Stream

#: What a custom query may begin with; the session is read-only besides.
_READING = ("select", "with", "values", "table", "(", "from", "show")


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """A column of the source and how it is read.

    `type` is the DuckDB type it comes as. `server` is the source's SQL for it, where the bare column would lose something; `{0}` stands for the
    quoted name. `client` is a cast made on arrival. `suggested` is the type its text means to have. `needs_query` keeps it from being read by the
    engine's own table scan.
    """

    name: str
    type: str
    source_type: str
    nullable: bool = True
    server: str | None = None
    client: str | None = None
    suggested: str | None = None
    needs_query: bool = False

    @property
    def discovered(self) -> DiscoveredColumn:
        return DiscoveredColumn(self.name, self.suggested or self.type, self.nullable, self.source_type)


class DatabaseConnector(ConnectorBase):
    """A database that the engine attaches. Subclasses describe tables and queries, and say how the source quotes names."""

    capabilities: ClassVar[Capabilities] = Capabilities(cursor=True, parallel=True, query=True)
    #: The source's quotation mark for names.
    quotation: ClassVar[str] = '"'
    #: The engine's function that runs the source's own SQL.
    query_function: ClassVar[str]
    extension: ClassVar[str]
    default_schema: ClassVar[str | None] = None

    def __init__(self, context: ConnectorContext) -> None:
        super().__init__(context)
        self._alias: str | None = None

    # -- what a database says of itself ------------------------------------------------------------------------------------

    def attach(self, alias: str, stream: Stream | None = None) -> tuple[str, ...]:
        """The statements that attach the source, read-only, as `alias`."""
        raise NotImplementedError

    def describe_table(self, schema: str | None, table: str) -> list[SourceColumn]:
        """The table's columns; none when there is no such table."""
        raise NotImplementedError

    def describe_query(self, query: str) -> list[SourceColumn]:
        raise NotImplementedError

    def limited(self, query: str) -> str:
        """The query as it is sent: with the statement timeout, where that is said per statement."""
        return query

    # -- the contract -----------------------------------------------------------------------------------------------------

    def columns(self, request: ReadRequest) -> tuple[DiscoveredColumn, ...]:
        return tuple(column.discovered for column in self._chosen(request))

    def read(self, request: ReadRequest) -> Reading:
        columns = self._chosen(request)
        scan = self.plan_scan(request, columns)
        return Reading((Portion(scan, f"{self.context.name}.{request.name}"),))

    def plan_scan(self, request: ReadRequest, columns: Sequence[SourceColumn]) -> Scan:
        """The scan of a table or query by the source's own SQL, in ranges where the stream asks for them."""
        ranges = self._ranges(request) if request.stream.parallel is not None else [()]
        aliases = [unique_name(self.type) for _ in ranges]
        parts = []
        for alias, condition in zip(aliases, ranges, strict=True):
            text = self.server_select(request, columns, condition)
            if request.limit is not None:
                text += f" LIMIT {request.limit}"
            parts.append(
                f"SELECT {self.client_items(columns)}\nFROM {self.query_function}({quote_literal(alias)}, {quote_literal(self.limited(text))})"
            )
        setup = tuple(statement for alias in aliases for statement in self.attach(alias, request.stream))
        return self.scan(request, "\nUNION ALL\n".join(parts), setup, aliases, columns)

    def scan(self, request: ReadRequest, sql: str, setup: Sequence[str], aliases: Sequence[str], columns: Sequence[SourceColumn]) -> Scan:
        subject = f"{self.context.name}.{request.name}"
        return Scan(
            sql=sql if request.limit is None else f"SELECT *\nFROM ({sql})\nLIMIT {request.limit}",
            setup=tuple(setup),
            teardown=tuple(f"DETACH DATABASE IF EXISTS {quote(alias)}" for alias in aliases),
            extensions=(self.extension,),
            suggested_types={column.name: column.suggested for column in columns if column.suggested},
            explain=lambda error: self.explain(error, subject),
        )

    # -- SQL ----------------------------------------------------------------------------------------------------------------

    def quoted(self, name: str) -> str:
        return self.quotation + name.replace(self.quotation, self.quotation * 2) + self.quotation

    def relation(self, stream: Stream) -> str:
        """The table, or the custom query, as the source's SQL has it after FROM."""
        if stream.query is not None:
            return f"(\n{checked_query(stream.query)}\n) AS hw_rows"
        schema, table = self.table_parts(stream)
        return (f"{self.quoted(schema)}." if schema else "") + f"{self.quoted(table)} AS hw_rows"

    def table_parts(self, stream: Stream) -> tuple[str | None, str]:
        """Schema and name of the stream's table; a name with a dot in it is written in double quotes."""
        if stream.table is None:
            raise StreamNotFound(f"a stream of {self.context.name} names no table", expected="table: or query:")
        parts = split_name(stream.table)
        return (parts[-2] if len(parts) > 1 else self.default_schema), parts[-1]

    def server_select(self, request: ReadRequest, columns: Sequence[SourceColumn], conditions: Sequence[str] = ()) -> str:
        """The source's SQL for these columns of the rows to be read."""
        items = []
        for column in columns:
            name = self.quoted(column.name)
            items.append(name if column.server is None else f"{column.server.format(name)} AS {name}")
        return f"SELECT {', '.join(items)} {self.server_from(request, conditions)}"

    def server_from(self, request: ReadRequest, conditions: Sequence[str] = ()) -> str:
        """FROM and WHERE of the rows to be read."""
        every = [*cursor_conditions(request.cursor, self.quoted), *conditions]
        return f"FROM {self.relation(request.stream)}" + (f" WHERE {' AND '.join(every)}" if every else "")

    def client_items(self, columns: Sequence[SourceColumn]) -> str:
        return ", ".join(
            quote(column.name) if column.client is None else f"{column.client.format(quote(column.name))} AS {quote(column.name)}"
            for column in columns
        )

    def ask(self, query: str, subject: str | None = None) -> list[tuple[Any, ...]]:
        """Rows of a query of the source's own SQL, over the connector's own connection: for metadata."""
        alias = self.own_alias()
        return self.run(f"FROM {self.query_function}({quote_literal(alias)}, {quote_literal(query)})", subject).fetchall()

    def own_alias(self) -> str:
        if self._alias is None:
            self.load(self.extension)
            alias = unique_name(self.type)
            for statement in self.attach(alias):
                self.run(statement)
            self._alias = alias
        return self._alias

    def close(self) -> None:
        self._alias = None
        super().close()

    @property
    def secrets(self) -> tuple[str, ...]:
        connection = self.context.connection
        own = (connection, *password_in(connection)) if isinstance(connection, str) else ()
        return (*super().secrets, *own)

    def explain(self, error: HeadwaterError, subject: str) -> HeadwaterError:
        return explain_engine_error(error, subject, self.secrets)

    # -- choosing -----------------------------------------------------------------------------------------------------------

    def _chosen(self, request: ReadRequest) -> list[SourceColumn]:
        """The stream's columns that `select` and `exclude` leave. Raises StreamNotFound, SourceDataInvalid."""
        stream = request.stream
        subject = f"{self.context.name}.{request.name}"
        if stream.query is not None:
            columns = self.describe_query(checked_query(stream.query))
        else:
            columns = self.describe_table(*self.table_parts(stream))
            if not columns:
                raise StreamNotFound(
                    f"{subject}: there is no table {stream.table}",
                    expected="a table or view that the user may read",
                    hint=f"headwater source discover {self.context.name}",
                )
        known = {column.name.lower() for column in columns}
        named = [*stream.select, *((request.cursor.column,) if request.cursor else ()), *((stream.parallel.column,) if stream.parallel else ())]
        missing = [name for name in named if name.lower() not in known]
        if missing:
            raise SourceDataInvalid(
                f"{subject} has no column {', '.join(missing)}", expected="the columns that the stream names", found=", ".join(sorted(known)[:50])
            )
        if stream.select:
            wanted = {name.lower() for name in stream.select}
            columns = [column for column in columns if column.name.lower() in wanted]
        dropped = {name.lower() for name in stream.exclude}
        return [column for column in columns if column.name.lower() not in dropped]

    def _ranges(self, request: ReadRequest) -> list[Sequence[str]]:
        """Conditions that cut the rows into parts: none twice, none left out (nulls go with the first). A lone () when there is nothing to cut."""
        parallel = request.stream.parallel
        assert parallel is not None
        column = self.quoted(parallel.column)
        rows = self.ask(f"SELECT min({column}) AS lowest, max({column}) AS highest {self.server_from(request)}", request.name)
        bounds = [literal(bound) for bound in cut_range(rows[0][0], rows[0][1], parallel)] if rows else []
        if not bounds:
            return [()]
        middle = [(f"{column} >= {low}", f"{column} < {high}") for low, high in pairwise(bounds)]
        return [(f"({column} < {bounds[0]} OR {column} IS NULL)",), *middle, (f"{column} >= {bounds[-1]}",)]


def cut_range(lowest: Any, highest: Any, parallel: Parallel) -> list[Any]:
    """The inner bounds that cut lowest..highest into equal parts; fewer when the range is small, none when it can't be cut."""
    if lowest is None or highest is None or lowest == highest:
        return []
    if isinstance(lowest, (int, float, Decimal)) and not isinstance(lowest, bool):
        span = highest - lowest
        exact = [lowest + span * part / parallel.parts for part in range(1, parallel.parts)]
        return sorted({int(value) for value in exact} - {lowest}) if isinstance(lowest, int) else [float(value) for value in exact]
    if isinstance(lowest, (date, datetime)):
        step: timedelta = (highest - lowest) / parallel.parts
        return sorted({lowest + step * part for part in range(1, parallel.parts)} - {lowest})
    raise SourceDataInvalid(f"parallel: the column {parallel.column} can't be cut into ranges", expected="a number, a date or a time")


def cursor_conditions(cursor: CursorBound | None, quoted: Any) -> list[str]:
    """The source's SQL for `column >= start` and `column < end`; the values are the source's to convert."""
    if cursor is None:
        return []
    bounds = ((">=", cursor.start), ("<", cursor.end))
    return [f"{quoted(cursor.column)} {operator} {literal(value)}" for operator, value in bounds if value is not None]


def literal(value: Any) -> str:
    """A value as every SQL reads it: numbers bare, the rest as text that the column's own type converts."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (int, float, Decimal)):
        return str(value)
    if isinstance(value, datetime):
        return quote_literal(value.isoformat(" "))
    return quote_literal(str(value))


def checked_query(query: str) -> str:
    """The custom query without its semicolon. Raises SourceDataInvalid for one that doesn't read."""
    text = query.strip().rstrip(";").rstrip()
    start = text.lower()
    while start.startswith(("--", "/*")):
        end = start.find("\n") if start.startswith("--") else start.find("*/") + 1
        start = start[end + 1 :].lstrip() if end > 0 else ""
    if not start.startswith(_READING):
        raise SourceDataInvalid("the stream's query doesn't read", expected="a SELECT", found=start.split(maxsplit=1)[0] if start else "nothing")
    return text


def split_name(text: str) -> list[str]:
    """`public."my.table"` at its dots."""
    parts, current, is_quoted = [], "", False
    for character in text:
        if character == '"':
            is_quoted = not is_quoted
        elif character == "." and not is_quoted:
            parts.append(current)
            current = ""
        else:
            current += character
    return [*parts, current]


def password_in(connection: str) -> tuple[str, ...]:
    """The password of a connection URL, as written and as meant."""
    if "://" not in connection:
        return ()
    try:
        password = urlsplit(connection).password
    except ValueError:
        return ()
    return (password, unquote(password)) if password else ()
