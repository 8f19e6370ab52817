"""A table of a PostgreSQL database. A batch is one transaction: copied into a temporary table, merged by key."""

from __future__ import annotations

import os
from typing import Any, ClassVar, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from headwater.destinations.databases import INTEGERS, TEXTS, TIMESTAMPS, UNSIGNED, decimal_of, refuse_missing, refuse_type, split_table
from headwater.destinations.destination import Batch, Column, DestinationContext, Sent, Shape
from headwater.errors import DestinationRefused, DestinationUnreachable, HeadwaterError
from headwater.spec.addresses import postgres_tls

#: SQLSTATE classes of what is wrong with rows, rather than with us or the server.
_ROWS: Final = ("22", "23", "P0")
#: Of what another try may heal: lost connections, serialization, deadlocks, no resources, shutting down.
_PASSING: Final = ("08", "40", "53", "57")
_MADE: Final = {
    "BOOLEAN": "boolean",
    "TINYINT": "smallint",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "UTINYINT": "smallint",
    "USMALLINT": "integer",
    "UINTEGER": "bigint",
    "UBIGINT": "numeric(20,0)",
    "FLOAT": "real",
    "DOUBLE": "double precision",
    "VARCHAR": "text",
    "JSON": "jsonb",
    "UUID": "uuid",
    "BLOB": "bytea",
    "DATE": "date",
    "TIME": "time",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP_S": "timestamp",
    "TIMESTAMP_MS": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
}
_STAGE: Final = "headwater_batch"

_COLUMNS_SQL: Final = """
    SELECT a.attname, format_type(a.atttypid, a.atttypmod), t.typname, t.typtype, a.atttypmod, a.attgenerated <> ''
    FROM pg_attribute a
    JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum"""
_KEYS_SQL: Final = """
    SELECT array_agg(a.attname::text)
    FROM pg_index i
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
    WHERE i.indrelid = to_regclass(%s) AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
        AND i.indnkeyatts = i.indnatts
    GROUP BY i.indexrelid"""


class PostgresDestination:
    """Rows are inserted, or updated where the key is there; other columns of the table stay as they are. The key needs a unique index there."""

    type: ClassVar[str] = "postgres"
    takes_text: ClassVar[bool] = True

    def __init__(self, context: DestinationContext) -> None:
        self._dsn = str(context.options["dsn"])
        self._table = str(context.options["table"])
        self._may_create = bool(context.options.get("create"))
        self._connection: psycopg.Connection[Any] | None = None
        self._shape: Shape | None = None

    @property
    def _name(self) -> sql.Identifier:
        return sql.Identifier(*split_table(self._table))

    @property
    def _quoted(self) -> str:
        return ".".join('"' + part.replace('"', '""') + '"' for part in split_table(self._table))

    @property
    def identity(self) -> str:
        known = self._known()
        return f"postgres {known.get('host', 'local')}:{known.get('port', '5432')}/{known.get('dbname', '')} {self._table}"

    def _known(self) -> dict[str, Any]:
        try:
            return dict(conninfo_to_dict(self._dsn))
        except psycopg.Error:
            raise DestinationRefused("`dsn:` isn't a connection string", expected="postgresql://user:password@host/database") from None

    def check(self) -> str:
        with _told(self._table):
            return f"PostgreSQL {self._open().execute('SHOW server_version').fetchall()[0][0]}"

    def prepare(self, shape: Shape, *, dry_run: bool = False) -> None:
        with _told(self._table):
            connection = self._open()
            with connection.transaction():
                columns = connection.execute(_COLUMNS_SQL, [self._quoted]).fetchall()
                if not columns and self._may_create:
                    statement = self._create_sql(shape)
                    if not dry_run:
                        connection.execute(statement)
                    self._shape = shape
                    return
                if not columns:
                    raise DestinationRefused(
                        f"there is no table {self._table} at the destination", state="nothing was sent", hint="make it there, or set `create: true`"
                    )
                known = {row[0]: row for row in columns if not row[5]}
                refuse_missing(shape, list(known), f"the table {self._table}")
                for column in shape.columns:
                    _, full, name, kind, modifier, _ = known[column.name]
                    if not _holds(column.type, name, kind, modifier, full):
                        raise refuse_type(column, f"the table {self._table}", f"it is {full} there")
                keys = [set(row[0]) for row in connection.execute(_KEYS_SQL, [self._quoted]).fetchall()]
                if set(shape.key) not in keys:
                    listed = ", ".join(shape.key)
                    raise DestinationRefused(
                        f"the table {self._table} has no unique index on {listed}",
                        state="nothing was sent",
                        hint=f"CREATE UNIQUE INDEX ON {self._table} ({listed})",
                    )
        self._shape = shape

    def _create_sql(self, shape: Shape) -> sql.Composed:
        parts = [
            sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(_made_type(column, self._table))) for column in shape.columns
        ]  # fmt: skip
        key = sql.SQL(", ").join(map(sql.Identifier, shape.key))
        return sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY ({}))").format(self._name, sql.SQL(", ").join(parts), key)

    def send(self, batch: Batch) -> Sent:
        assert self._shape is not None
        try:
            with _told(self._table):
                connection = self._open()
                with connection.transaction():
                    self._stage(connection, batch)
                    connection.execute(self._delete_sql() if batch.is_delete else self._upsert_sql())
        except _RowsRefused as refused:
            return Sent(because=refused.reason)
        return Sent()

    def _stage(self, connection: psycopg.Connection[Any], batch: Batch) -> None:
        assert self._shape is not None
        names = sql.SQL(", ").join(sql.Identifier(column.name) for column in batch.columns)
        stage = sql.Identifier("pg_temp", _STAGE)
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(stage))
        connection.execute(
            sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} LIMIT 0").format(sql.Identifier(_STAGE), names, self._name)
        )
        shown = [_shown(column.type) for column in batch.columns]
        with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(stage, names)) as copy:
            for row in batch.tuples():
                copy.write_row([None if value is None else show(value) for value, show in zip(row, shown, strict=True)])

    def _upsert_sql(self) -> sql.Composed:
        assert self._shape is not None
        names = [column.name for column in self._shape.columns]
        listed = sql.SQL(", ").join(map(sql.Identifier, names))
        key = sql.SQL(", ").join(map(sql.Identifier, self._shape.key))
        others = [name for name in names if name not in self._shape.key]
        sets = sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in others)
        action = sql.SQL("DO UPDATE SET {}").format(sets) if others else sql.SQL("DO NOTHING")
        return sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT ({}) {}").format(
            self._name, listed, listed, sql.Identifier("pg_temp", _STAGE), key, action
        )

    def _delete_sql(self) -> sql.Composed:
        assert self._shape is not None
        same = sql.SQL(" AND ").join(sql.SQL("t.{0} = b.{0}").format(sql.Identifier(name)) for name in self._shape.key)
        return sql.SQL("DELETE FROM {} t USING {} b WHERE {}").format(self._name, sql.Identifier("pg_temp", _STAGE), same)

    def _open(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            known = self._known()
            known |= postgres_tls({name: str(value) for name, value in known.items()}, os.environ)
            self._connection = psycopg.connect(**known, autocommit=True, connect_timeout=15, application_name="headwater export")
            self._connection.execute("SET client_encoding = 'UTF8'; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET bytea_output = 'hex'")
        return self._connection

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _RowsRefused(Exception):
    """What is wrong is in the rows. `reason` holds no value."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _told:  # noqa: N801 -- used as a function
    """Inside it, the driver's errors become ours: code and names, never the server's own text, which repeats values."""

    def __init__(self, table: str) -> None:
        self._table = table

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, psycopg.Error) or isinstance(error, HeadwaterError):
            return
        state = error.sqlstate
        if state is None and isinstance(error, psycopg.DataError):
            raise _RowsRefused("a value that can't be sent") from None
        if state is not None and state.startswith(_ROWS):
            raise _RowsRefused(_words(error)) from None
        if state is None or state.startswith(_PASSING):
            raise DestinationUnreachable(
                f"the database of {self._table} doesn't answer as it should",
                found=_words(error) if state is not None else type(error).__name__,
                hint="check `dsn:` of the export, and that the server is up",
            ) from None
        raise DestinationRefused(
            f"the destination refuses to write {self._table}", found=_words(error), hint="check the rights of the user in `dsn:`, and the table there"
        ) from None


def _words(error: psycopg.Error) -> str:
    names = (("constraint", error.diag.constraint_name), ("column", error.diag.column_name), ("type", error.diag.datatype_name))
    said = ", ".join(f"{what} {name}" for what, name in names if name)
    return f"{error.sqlstate} {type(error).__name__}{f' ({said})' if said else ''}"


def _shown(type_name: str) -> Any:
    if type_name == "BLOB":
        return lambda value: "\\x" + value
    if type_name.startswith(("DATE", "TIMESTAMP")):
        return lambda value: value.replace(" (BC)", " BC")
    return lambda value: value


def _made_type(column: Column, table: str) -> str:
    made = f"numeric{column.type[7:]}" if column.type.startswith("DECIMAL(") else _MADE.get(column.type)
    if made is None:
        raise refuse_type(column, f"the table {table}")
    return made


def _holds(given: str, name: str, kind: str, modifier: int, full: str) -> bool:
    """Whether a column of the Postgres type `name` keeps every value of the DuckDB type `given` as it is, or refuses it; never another value."""
    if given not in _MADE and not given.startswith("DECIMAL("):
        return False
    if name in ("text", "varchar", "citext"):
        return given != "BLOB"
    if given in INTEGERS or given in UNSIGNED:
        exact_in_double = (INTEGERS.get(given) or UNSIGNED[given]) <= 32
        return name in ("int2", "int4", "int8") or (name == "numeric") or (name == "float8" and exact_in_double)
    digits = decimal_of(given)
    if digits is not None:
        return (name == "numeric" and (modifier < 0 or ((modifier - 4) & 0xFFFF) >= digits[1])) or (name in ("int8", "int4") and digits[1] == 0)
    if given in TIMESTAMPS or given == "TIME":
        return name == ("time" if given == "TIME" else "timestamp") and modifier in (-1, 6)
    if given in TEXTS:
        return kind == "e" or name in ("json", "jsonb", "uuid", "inet", "cidr", "xml")
    same = {
        "BOOLEAN": ("bool",),
        "FLOAT": ("float4", "float8", "numeric"),
        "DOUBLE": ("float8",) if full != "numeric" else ("float8", "numeric"),
        "BLOB": ("bytea",),
        "DATE": ("date", "timestamp"),
    }
    if given == "TIMESTAMP WITH TIME ZONE":
        return name == "timestamptz" and modifier in (-1, 6)
    return name in same.get(given, ())
