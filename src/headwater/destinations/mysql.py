"""A table of a MySQL or MariaDB database. A batch is one transaction."""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import Any, ClassVar, Final
from urllib.parse import unquote, urlsplit

import pymysql
from pymysql.constants import ER

from headwater.destinations.databases import (
    INTEGERS,
    TIMESTAMPS,
    UNSIGNED,
    decimal_of,
    refuse_missing,
    refuse_type,
    split_table,
)
from headwater.destinations.destination import Batch, DestinationContext, Sent, Shape
from headwater.errors import DestinationRefused, DestinationUnreachable
from headwater.spec.addresses import is_this_machine

_MADE: Final = {
    "BOOLEAN": "tinyint(1)",
    "TINYINT": "tinyint",
    "SMALLINT": "smallint",
    "INTEGER": "int",
    "BIGINT": "bigint",
    "UTINYINT": "tinyint unsigned",
    "USMALLINT": "smallint unsigned",
    "UINTEGER": "int unsigned",
    "UBIGINT": "bigint unsigned",
    "FLOAT": "double",
    "DOUBLE": "double",
    "VARCHAR": "longtext",
    "JSON": "json",
    "UUID": "char(36)",
    "BLOB": "longblob",
    "DATE": "date",
    "TIME": "time(6)",
    "TIMESTAMP": "datetime(6)",
    "TIMESTAMP_S": "datetime(6)",
    "TIMESTAMP_MS": "datetime(6)",
    "TIMESTAMP WITH TIME ZONE": "timestamp(6)",
}
_TEXTS: Final = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext")
_BLOBS: Final = ("varbinary", "tinyblob", "blob", "mediumblob", "longblob")
#: Errors of the server that are about rows: duplicates, nulls, ranges, lengths, keys of other tables, checks, triggers.
_ROWS: Final = frozenset(
    {
        *(ER.DUP_ENTRY, ER.BAD_NULL_ERROR, ER.WARN_DATA_OUT_OF_RANGE, ER.DATA_TOO_LONG, ER.TRUNCATED_WRONG_VALUE_FOR_FIELD),
        *(ER.TRUNCATED_WRONG_VALUE, ER.NO_REFERENCED_ROW, ER.NO_REFERENCED_ROW_2, ER.ROW_IS_REFERENCED, ER.ROW_IS_REFERENCED_2),
        *(ER.NO_DEFAULT_FOR_FIELD, 1644, 1690, 1265, 1586, 3140, 3819, 4025, 4078),
    }
)
#: Of what another try may heal: deadlocks, lock waits, too many connections, shutting down.
_PASSING: Final = frozenset({1040, 1053, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226})

_COLUMNS_SQL: Final = """
    SELECT COLUMN_NAME, LOWER(DATA_TYPE), LOWER(COLUMN_TYPE), NUMERIC_SCALE, DATETIME_PRECISION, EXTRA LIKE '%%GENERATED%%'
    FROM information_schema.COLUMNS
    WHERE TABLE_SCHEMA = COALESCE(%s, DATABASE()) AND TABLE_NAME = %s
    ORDER BY ORDINAL_POSITION"""
_KEYS_SQL: Final = """
    SELECT INDEX_NAME, GROUP_CONCAT(COLUMN_NAME ORDER BY SEQ_IN_INDEX SEPARATOR '\\0'), MAX(SUB_PART IS NOT NULL)
    FROM information_schema.STATISTICS
    WHERE TABLE_SCHEMA = COALESCE(%s, DATABASE()) AND TABLE_NAME = %s AND NON_UNIQUE = 0
    GROUP BY INDEX_NAME"""


class MySqlDestination:
    """Rows are inserted, or updated where the key is there. `ON DUPLICATE KEY UPDATE` would take any unique index for the key; where the table has
    others, rows are looked for by the key itself, so that a clash refuses a row instead of overwriting another one."""

    type: ClassVar[str] = "mysql"
    takes_text: ClassVar[bool] = True

    def __init__(self, context: DestinationContext) -> None:
        self._options = context.options
        self._folder = context.project_dir
        self._table = str(context.options["table"])
        self._connection: pymysql.Connection[Any] | None = None
        self._shape: Shape | None = None
        self._has_other_keys = False

    @property
    def _parts(self) -> tuple[str | None, str]:
        parts = split_table(self._table)
        return (parts[-2] if len(parts) > 1 else None), parts[-1]

    @property
    def _name(self) -> str:
        return ".".join(_quote(part) for part in self._parts if part is not None)

    @property
    def identity(self) -> str:
        parts = urlsplit(str(self._options["dsn"]))
        return f"mysql {parts.hostname or 'localhost'}:{parts.port or 3306}{parts.path} {self._table}"

    def check(self) -> str:
        with _Told(self._table):
            rows = self._ask("SELECT VERSION()")
        return f"{'MariaDB' if 'mariadb' in str(rows[0][0]).lower() else 'MySQL'} {str(rows[0][0]).split('-')[0]}"

    def prepare(self, shape: Shape, *, dry_run: bool = False) -> None:
        with _Told(self._table):
            columns = self._ask(_COLUMNS_SQL, self._parts)
            if not columns and self._options.get("create"):
                statement = self._create_sql(shape)
                if not dry_run:
                    self._ask(statement)
                self._shape, self._has_other_keys = shape, False
                return
            if not columns:
                raise DestinationRefused(
                    f"there is no table {self._table} at the destination", state="nothing was sent", hint="make it there, or set `create: true`"
                )
            known = {str(row[0]): row for row in columns if not row[5]}
            refuse_missing(shape, list(known), f"the table {self._table}")
            for column in shape.columns:
                _, name, full, scale, precision, _ = known[column.name]
                if not _holds(column.type, str(name), scale, precision):
                    raise refuse_type(column, f"the table {self._table}", f"it is {full} there")
            keys = [(set(str(row[1]).split("\0")), bool(row[2])) for row in self._ask(_KEYS_SQL, self._parts)]
        if (set(shape.key), False) not in keys:
            listed = ", ".join(shape.key)
            raise DestinationRefused(
                f"the table {self._table} has no unique index on {listed}",
                state="nothing was sent",
                hint=f"ALTER TABLE {self._table} ADD UNIQUE ({listed})",
            )
        self._shape, self._has_other_keys = shape, len(keys) > 1

    def _create_sql(self, shape: Shape) -> str:
        parts = []
        for column in shape.columns:
            made = f"decimal{column.type[7:]}" if column.type.startswith("DECIMAL(") else _MADE.get(column.type)
            if made is None:
                raise refuse_type(column, f"the table {self._table}")
            if column.name in shape.key and made in ("longtext", "longblob"):
                made = {"longtext": "varchar(255) COLLATE utf8mb4_bin", "longblob": "varbinary(255)"}[made]
            parts.append(f"{_quote(column.name)} {made}{'' if column.name in shape.key else ' NULL'}")
        key = ", ".join(map(_quote, shape.key))
        return f"CREATE TABLE IF NOT EXISTS {self._name} ({', '.join(parts)}, PRIMARY KEY ({key})) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"

    def send(self, batch: Batch) -> Sent:
        assert self._shape is not None
        shown = [_shown(column.type) for column in batch.columns]
        rows = [tuple(None if value is None else show(value) for value, show in zip(row, shown, strict=True)) for row in batch.tuples()]
        try:
            with _Told(self._table):
                connection = self._open()
                connection.begin()
                try:
                    with connection.cursor() as cursor:
                        if batch.is_delete:
                            cursor.executemany(self._delete_sql(), rows)
                        elif self._has_other_keys:
                            self._write_apart(cursor, rows)
                        else:
                            cursor.executemany(self._upsert_sql(), rows)
                    connection.commit()
                except pymysql.Error:
                    self._undo()
                    raise
        except _RowsRefused as refused:
            return Sent(because=refused.reason)
        return Sent()

    def _undo(self) -> None:
        try:
            if self._connection is not None:
                self._connection.rollback()
        except pymysql.Error:
            self.close()  # it is lost, and the server rolls back by itself

    def _write_apart(self, cursor: Any, rows: list[tuple[Any, ...]]) -> None:
        """Updates the rows whose key is there, inserts the others."""
        assert self._shape is not None
        names = [column.name for column in self._shape.columns]
        places = [names.index(name) for name in self._shape.key]
        others = [index for index in range(len(names)) if index not in places]
        same = " AND ".join(f"{_quote(name)} = %s" for name in self._shape.key)
        sets = ", ".join(f"{_quote(names[index])} = %s" for index in others)
        insert = f"INSERT INTO {self._name} ({', '.join(map(_quote, names))}) VALUES ({', '.join(['%s'] * len(names))})"
        new = []
        for row in rows:
            key = tuple(row[place] for place in places)
            cursor.execute(f"SELECT 1 FROM {self._name} WHERE {same} FOR UPDATE", key)
            if cursor.fetchone() is None:
                new.append(row)
            elif others:
                cursor.execute(f"UPDATE {self._name} SET {sets} WHERE {same}", (*(row[index] for index in others), *key))
        cursor.executemany(insert, new)

    def _upsert_sql(self) -> str:
        assert self._shape is not None
        names = [column.name for column in self._shape.columns]
        others = [name for name in names if name not in self._shape.key] or names[:1]
        sets = ", ".join(f"{_quote(name)} = VALUES({_quote(name)})" for name in others)
        values = ", ".join(["%s"] * len(names))
        return f"INSERT INTO {self._name} ({', '.join(map(_quote, names))}) VALUES ({values}) ON DUPLICATE KEY UPDATE {sets}"

    def _delete_sql(self) -> str:
        assert self._shape is not None
        return f"DELETE FROM {self._name} WHERE {' AND '.join(f'{_quote(column.name)} = %s' for column in self._shape.key_columns)}"

    def _ask(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        with self._open().cursor() as cursor:
            cursor.execute(sql, parameters)
            return list(cursor.fetchall())

    def _open(self) -> pymysql.Connection[Any]:
        if self._connection is None or not self._connection.open:
            parts = urlsplit(str(self._options["dsn"]))
            host = parts.hostname or "localhost"
            context = None
            if self._options.get("tls", "verify") == "verify" and not is_this_machine(host):
                ca = self._options.get("ca")
                context = ssl.create_default_context(cafile=str(self._folder / str(ca)) if ca else None)
            self._connection = pymysql.connect(
                host=host,
                port=parts.port or 3306,
                user=unquote(parts.username or ""),
                password=unquote(parts.password or ""),
                database=parts.path.strip("/") or None,
                charset="utf8mb4",
                connect_timeout=15,
                ssl=context,
                init_command="SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE', time_zone = '+00:00'",
            )
        return self._connection

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and connection.open:
            connection.close()


class _RowsRefused(Exception):
    """What is wrong is in the rows. `reason` holds no value."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Told:
    """Inside it, the driver's errors become ours: the server's number, never its text, which repeats values."""

    def __init__(self, table: str) -> None:
        self._table = table

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not isinstance(error, (pymysql.Error, OSError)):
            return
        number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        said = f"{number} {_NAMES.get(number, type(error).__name__)}"
        if isinstance(error, pymysql.Error) and number in _ROWS:
            raise _RowsRefused(said) from None
        if isinstance(error, OSError) or number in _PASSING or number == 0 or 2000 <= number < 3000:
            raise DestinationUnreachable(
                f"the database of {self._table} doesn't answer as it should", found=said, hint="check `dsn:` of the export, and that the server is up"
            ) from None
        raise DestinationRefused(
            f"the destination refuses to write {self._table}", found=said, hint="check the rights of the user in `dsn:`, and the table there"
        ) from None


_NAMES: Final = {value: name for name, value in vars(ER).items() if isinstance(value, int)}


def _quote(name: str) -> str:
    # a % would be taken for a parameter's
    return "`" + name.replace("`", "``").replace("%", "%%") + "`"


def _shown(type_name: str) -> Any:
    match type_name:
        case "BLOB":
            return bytes.fromhex
        case "BOOLEAN":
            return lambda value: 1 if value == "true" else 0
        case "TIMESTAMP WITH TIME ZONE":
            return lambda value: value.removesuffix("+00")
        case _:
            return lambda value: value


def _holds(given: str, name: str, scale: int | None, precision: int | None) -> bool:
    """Whether a column there keeps every value of the DuckDB type `given` as it is, or refuses it; never another value."""
    if given not in _MADE and not given.startswith("DECIMAL("):
        return False
    if name in _TEXTS:
        return given != "BLOB"
    if given in INTEGERS or given in UNSIGNED:
        exact_in_double = (INTEGERS.get(given) or UNSIGNED[given]) <= 32
        return name in ("tinyint", "smallint", "mediumint", "int", "bigint", "decimal") or (name == "double" and exact_in_double)
    digits = decimal_of(given)
    if digits is not None:
        return (name == "decimal" and (scale or 0) >= digits[1]) or (name in ("bigint", "int") and digits[1] == 0)
    if given in TIMESTAMPS:
        return name == "datetime" and precision == 6
    same: dict[str, tuple[str, ...]] = {
        "BOOLEAN": ("tinyint", "smallint", "int", "bigint"),
        "FLOAT": ("double",),
        "DOUBLE": ("double",),
        "VARCHAR": ("json", "enum"),
        "JSON": ("json",),
        "UUID": ("uuid",),
        "BLOB": _BLOBS,
        "DATE": ("date",),
    }
    if given in ("TIME", "TIMESTAMP WITH TIME ZONE"):
        return name == ("time" if given == "TIME" else "timestamp") and precision == 6
    return name in same[given]
