"""The system catalogs that a session sees: made of the tables it may know of, and of nothing else, in a DuckDB of their own that reaches nothing."""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any, Final

import pyarrow as pa

from headwater.engine import Connection, Engine, Overtime, Result, parse_statements, parse_tree
from headwater.errors import Interrupted
from headwater.serving.postgres import types as pg
from headwater.serving.postgres.catalog.questions import catalog_sql
from headwater.serving.postgres.catalog.relations import OWNER_OID, PG_CATALOG, SYSTEM_OIDS, Relations
from headwater.serving.postgres.context import Context, Translated, table_parts
from headwater.serving.postgres.failures import WireError
from headwater.serving.postgres.settings import Settings
from headwater.serving.postgres.values import Rows, rows_of_table
from headwater.serving.session import VisibleTable
from headwater.storage.gate.entangled import refuse_entangled, too_deep
from headwater.storage.gate.functions import ALLOWED

#: Catalogs kept: sessions that see the same tables share one.
_MOST_KEPT: Final = 16
_TABLE_FUNCTIONS: Final = frozenset({"unnest", "range", "generate_series", "generate_subscripts", "regexp_split_to_table", "hw_subscripts"})
_SCHEMAS: Final = frozenset({"hw_pg", "hw_is"})
_MEMORY: Final = "256MB"
_MOST_SECONDS: Final = 10.0
_MOST_BYTES: Final = 64 * 1024 * 1024
#: What the gate lets readers call, without those whose results are as large as a number says, or take as long.
_FUNCTIONS: Final = ALLOWED - frozenset(
    {
        "array_resize",
        "bar",
        "bitstring",
        "damerau_levenshtein",
        "editdist3",
        "factorial",
        "format",
        "generate_series",
        "levenshtein",
        "list_resize",
        "lpad",
        "printf",
        "range",
        "repeat",
        "rpad",
    }
)

_Row = dict[str, Any]


class Catalogs:
    """Runs queries of the catalog. Thread-safe."""

    def __init__(self) -> None:
        self._kept: OrderedDict[object, Engine] = OrderedDict()
        self._lock = threading.Lock()

    def run(
        self,
        query: Translated,
        tables: Sequence[VisibleTable],
        context: Context,
        values: Sequence[Any],
        started: Callable[[Callable[[], None]], None],
    ) -> Rows:
        """All rows at once: catalogs are small."""
        sql = catalog_sql(query.sql, context, values)
        _check(sql)
        with self._engine(tables, context).connection() as connection, _in_time(connection):
            started(connection.interrupt)
            result = connection.execute(sql)
            types = [_with_oids(type) for type in result.types]
            return rows_of_table(_whole(result), types)

    def describe(self, query: Translated, tables: Sequence[VisibleTable], context: Context) -> list[tuple[str, str]]:
        sql = catalog_sql(query.sql, context, None)
        _check(sql)
        with self._engine(tables, context).connection() as connection:
            return [(row[0], _with_oids(row[1])) for row in connection.execute(f"DESCRIBE {sql}").fetchall()]

    def close(self) -> None:
        with self._lock:
            for engine in self._kept.values():
                engine.close()
            self._kept.clear()

    def _engine(self, tables: Sequence[VisibleTable], context: Context) -> Engine:
        key = (context.database, context.user, context.groups, _fingerprint(tables))
        with self._lock:
            engine = self._kept.get(key)
            if engine is None:
                engine = self._kept[key] = _made(tables, context)
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)  # closes when the last query on it has ended
        return engine


@contextmanager
def _in_time(connection: Connection) -> Iterator[None]:
    """Nobody's roles say how long the catalog may be asked: it is small, and what takes long there is no question about it."""
    overtime = Overtime(_MOST_SECONDS, connection.interrupt)
    try:
        yield
    except Interrupted:
        if overtime.is_late:
            raise WireError("57014", f"a question to the catalog takes {_MOST_SECONDS:g} seconds at most") from None
        raise
    finally:
        overtime.close()


def _whole(result: Result) -> pa.Table:
    reader = result.batches()
    batches, size = [], 0
    for batch in reader:
        size += batch.nbytes
        if size > _MOST_BYTES:
            raise WireError("54000", f"the catalog answers with {_MOST_BYTES:,} bytes at most")
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema)


def _with_oids(duckdb_type: str) -> str:
    """In the catalog OIDs, and nothing else, are UINTEGER."""
    return duckdb_type.replace("UINTEGER", "OID") if duckdb_type in ("UINTEGER", "UINTEGER[]") else duckdb_type


def _fingerprint(tables: Sequence[VisibleTable]) -> int:
    return hash(
        tuple(
            (
                table_parts(table),
                table.kind,
                table.description,
                tuple(table.primary_key),
                tuple((one.column, str(one.to), one.field) for one in table.relationships),
                tuple((column.name, column.type, column.nullable, column.description) for column in table.columns),
            )
            for table in tables
        )
    )


def _check(sql: str) -> None:
    """Queries of clients run in the catalog's DuckDB: only SELECTs from the catalog's tables do. Raises WireError, StatementRefused."""
    try:
        statements = parse_statements(sql)
        tree = parse_tree(sql) if len(statements) == 1 and statements[0].type == "SELECT" else None
        if tree is None:
            raise WireError("0A000", "only one query at a time can be asked of the catalog")
        refuse_entangled(tree)
        _check_node(tree, frozenset())
    except RecursionError:
        raise too_deep() from None


def _check_node(node: Any, ctes: frozenset[str]) -> None:
    if isinstance(node, list):
        for item in node:
            _check_node(item, ctes)
        return
    if not isinstance(node, dict):
        return
    own = node.get("cte_map")
    if isinstance(own, dict) and own.get("map"):
        ctes = ctes | {entry["key"].lower() for entry in own["map"]}
    if "cte_name" in node:
        ctes = ctes | {str(node["cte_name"]).lower()}
    kind = node.get("type")
    if kind == "BASE_TABLE":
        schema, name = str(node.get("schema_name") or "").lower(), str(node["table_name"])
        if node.get("catalog_name") or (schema not in _SCHEMAS and not (schema == "" and name.lower() in ctes)):
            raise WireError("42P01", f'relation "{name}" does not exist', hint="Tables of the lake and of the catalog can't stand in one query.")
    elif kind == "TABLE_FUNCTION":
        name = str((node.get("function") or {}).get("function_name", "")).lower()
        if name not in _TABLE_FUNCTIONS:
            raise WireError("42883", f"function {name} does not exist")
        for argument in node["function"].get("children", ()):
            _check_node(argument, ctes)
        return
    elif kind == "SHOW_REF":
        raise WireError("0A000", "only queries can be asked of the catalog")
    elif isinstance(node.get("function_name"), str):
        name = node["function_name"].lower()
        if name not in _FUNCTIONS and not name.startswith("hw_"):
            raise WireError("42883", f"function {name} does not exist")
    for value in node.values():
        _check_node(value, ctes)


def _script(name: str) -> str:
    return resources.files("headwater.serving.postgres.catalog").joinpath(name).read_text()


def _made(tables: Sequence[VisibleTable], context: Context) -> Engine:
    engine = Engine(threads=1, memory_limit=_MEMORY)
    with engine.connection() as connection:
        connection.execute(_script("tables.sql"))
        _fill(connection, tables, context)
        connection.execute(_script("macros.sql"))
        connection.execute(_script("rows.sql"))
        connection.execute("SET GLOBAL enable_external_access = false")
        connection.execute("SET GLOBAL lock_configuration = true")
    return engine


def _fill(connection: Connection, tables: Sequence[VisibleTable], context: Context) -> None:
    def insert(table: str, rows: Iterable[_Row]) -> None:
        alike: dict[tuple[str, ...], list[_Row]] = {}
        for row in rows:
            alike.setdefault(tuple(sorted(row)), []).append(row)
        for listed in alike.values():  # what a row doesn't say has the table's default
            connection.register("hw_new", pa.Table.from_pylist(listed))
            connection.execute(f"INSERT INTO hw_pg.{table} BY NAME SELECT * FROM hw_new")
            connection.unregister("hw_new")

    relations = Relations(tables)
    roles = [(OWNER_OID, context.user, True), *((16_384 + zlib.crc32(group.encode()) % 2**24, group, False) for group in context.groups)]
    insert("pg_database", [_DATABASE | {"oid": 5, "datname": context.database}])
    insert("pg_roles", [_ROLE | {"oid": oid, "rolname": name, "rolcanlogin": is_user} for oid, name, is_user in roles])
    insert("pg_auth_members", [{"roleid": oid, "member": OWNER_OID, "grantor": OWNER_OID} for oid, _, is_user in roles if not is_user])
    insert("pg_namespace", [{"oid": oid, "nspname": name, "nspowner": OWNER_OID} for name, oid in relations.schemas.items()])
    readable = {"relacl": [f"{context.user}=r/{context.user}"]}
    insert("pg_class", [row | (readable if row["relkind"] != "i" else {}) for row in relations.classes])
    insert("pg_attribute", relations.attributes)
    insert("pg_constraint", relations.constraints)
    insert("pg_index", relations.indexes)
    insert("pg_description", relations.descriptions)
    insert("pg_type", _types())
    insert("pg_am", [{"oid": 2, "amname": "heap", "amtype": "t"}, {"oid": 403, "amname": "btree", "amtype": "i"}])
    insert("pg_tablespace", [{"oid": 1663, "spcname": "pg_default", "spcowner": OWNER_OID}])
    insert("pg_collation", [{"oid": 950, "collname": "C", "collnamespace": PG_CATALOG, "collprovider": "c", "collencoding": -1}])
    insert("pg_language", [{"oid": 14, "lanname": "sql", "lanowner": OWNER_OID}])
    known = Settings(context.user).all() | {"ssl": context.setting("ssl") or "off"}
    insert("pg_settings", [{"name": name, "setting": value, "boot_val": value, "reset_val": value} for name, value in known.items()])
    for name, columns in (
        ("hw_types", "oid UINTEGER, typname VARCHAR, sql_name VARCHAR"),
        ("hw_constraints", "oid UINTEGER, definition VARCHAR"),
        ("hw_indexes", "oid UINTEGER, schema_name VARCHAR, table_name VARCHAR, name VARCHAR, columns VARCHAR[], definition VARCHAR"),
        ("hw_system", "oid UINTEGER, relname VARCHAR"),
    ):
        connection.execute(f"CREATE TABLE hw_pg.{name} ({columns})")
    named = [{"oid": one.oid, "typname": one.name, "sql_name": one.sql_name} for one in pg.TYPES.values()]
    arrays = [{"oid": one.array, "typname": f"_{one.name}", "sql_name": f"{one.sql_name}[]"} for one in pg.TYPES.values() if one.array]
    insert("hw_types", [*named, *arrays])
    insert("hw_constraints", relations.constraint_definitions)
    insert("hw_indexes", relations.index_definitions)
    insert("hw_system", [{"oid": oid, "relname": name} for name, oid in SYSTEM_OIDS.items()])


_DATABASE: Final = {
    "datdba": OWNER_OID,
    "encoding": 6,
    "datlocprovider": "c",
    "datistemplate": False,
    "datallowconn": True,
    "datconnlimit": -1,
    "dattablespace": 1663,
    "datcollate": "C",
    "datctype": "C",
}
_ROLE: Final = {"rolinherit": True, "rolsuper": False, "rolcreaterole": False, "rolcreatedb": False, "rolreplication": False, "rolconnlimit": -1}


#: Types whose functions are called `date_in`, not `datein`.
_UNDERSCORED: Final = frozenset(
    {pg.DATE, pg.TIME, pg.TIMESTAMP, pg.TIMESTAMPTZ, pg.INTERVAL, pg.TIMETZ, pg.VARBIT, pg.NUMERIC, pg.UUID, pg.JSON, pg.JSONB}
)


def _types() -> list[_Row]:
    common = {"typnamespace": PG_CATALOG, "typowner": OWNER_OID, "typisdefined": True, "typtypmod": -1, "typdelim": ",", "typalign": "i"}
    rows = []
    for one in pg.TYPES.values():
        mark = "_" if one.oid in _UNDERSCORED else ""
        functions = {
            f"typ{what}": f"{one.name}{mark}{end}" for what, end in (("input", "in"), ("output", "out"), ("receive", "recv"), ("send", "send"))
        }
        own = {"oid": one.oid, "typname": one.name, "typlen": one.size, "typbyval": 0 < one.size <= 8, "typcategory": one.category}
        rows.append(common | functions | own | {"typtype": "b", "typarray": one.array, "typstorage": "p" if one.size > 0 else "x"})
        if one.array:
            array = {"oid": one.array, "typname": f"_{one.name}", "typlen": -1, "typcategory": "A", "typtype": "b", "typelem": one.oid}
            functions = {"typinput": "array_in", "typoutput": "array_out", "typreceive": "array_recv", "typsend": "array_send"}
            rows.append(common | functions | array | {"typsubscript": "array_subscript_handler", "typstorage": "x"})
    return rows
