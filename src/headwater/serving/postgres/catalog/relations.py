"""Tables as rows of pg_class, pg_attribute, pg_constraint and what belongs to them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Final

from headwater.serving.postgres import types as pg
from headwater.serving.postgres.context import table_parts
from headwater.serving.session import VisibleTable

OWNER_OID: Final = 10
PG_CATALOG: Final = 11
_PUBLIC, _INFORMATION_SCHEMA = 2200, 13000
#: OIDs of the system's own tables, which clients compare with.
SYSTEM_OIDS: Final = {
    "pg_class": 1259,
    "pg_type": 1247,
    "pg_attribute": 1249,
    "pg_proc": 1255,
    "pg_database": 1262,
    "pg_authid": 1260,
    "pg_tablespace": 1213,
    "pg_namespace": 2615,
    "pg_constraint": 2606,
    "pg_attrdef": 2604,
    "pg_index": 2610,
    "pg_trigger": 2620,
    "pg_rewrite": 2618,
    "pg_description": 2609,
    "pg_am": 2601,
    "pg_language": 2612,
    "pg_extension": 3079,
    "pg_collation": 3456,
    "pg_policy": 3256,
    "pg_operator": 2617,
}

_Row = dict[str, Any]


class Relations:
    """The rows of the tables that are seen: OIDs are made of names, so that they stay the same from one session to the next."""

    def __init__(self, tables: Sequence[VisibleTable]) -> None:
        self._taken: set[int] = set()
        self.schemas = {"pg_catalog": PG_CATALOG, "information_schema": _INFORMATION_SCHEMA, "public": _PUBLIC}
        self.classes: list[_Row] = []
        self.attributes: list[_Row] = []
        self.constraints: list[_Row] = []
        self.indexes: list[_Row] = []
        self.descriptions: list[_Row] = []
        self.constraint_definitions: list[_Row] = []
        self.index_definitions: list[_Row] = []
        self._oids: dict[tuple[str, str], int] = {}
        self._numbers: dict[tuple[str, str], dict[str, int]] = {}
        for schema in sorted({table_parts(table)[0] for table in tables}):
            self.schemas.setdefault(schema, self._oid("schema", schema))
        for table in tables:
            schema, name = table_parts(table)
            key = (schema.lower(), name.lower())
            self._oids[key] = self._oid("table", schema, name)
            self._numbers[key] = {column.name.lower(): place for place, column in enumerate(table.columns, 1)}
        for table in tables:
            self._add(table)
        self._index_of = {row["indrelid"]: row["indexrelid"] for row in self.indexes}
        self._class_of = {row["oid"]: row for row in self.classes}
        for table in tables:
            self._add_foreign_keys(table)

    def _oid(self, *parts: str) -> int:
        oid = 16_384 + zlib.crc32("\0".join(parts).encode()) % 2**30
        while oid in self._taken:
            oid += 1
        self._taken.add(oid)
        return oid

    def oid_of(self, schema: str, name: str) -> int:
        return self._oids[schema.lower(), name.lower()]

    def _add(self, table: VisibleTable) -> None:
        schema, name = table_parts(table)
        key = (schema.lower(), name.lower())
        oid = self._oids[key]
        numbers = self._numbers[key]
        keys = [numbers[column.lower()] for column in table.primary_key if column.lower() in numbers]
        has_key = bool(keys) and len(keys) == len(table.primary_key)
        kind = "v" if table.kind == "view" else "r"
        self.classes.append(_class(oid, name, self.schemas[schema], kind, len(table.columns), has_key and kind == "r"))
        for place, column in enumerate(table.columns, 1):
            self.attributes.append(_attribute(oid, column.name, place, column.type, column.nullable and not (has_key and place in keys)))
            if column.description:
                self.descriptions.append({"objoid": oid, "classoid": SYSTEM_OIDS["pg_class"], "objsubid": place, "description": column.description})
        if table.description:
            self.descriptions.append({"objoid": oid, "classoid": SYSTEM_OIDS["pg_class"], "objsubid": 0, "description": table.description})
        if has_key:
            self._add_key(table, oid, keys)

    def _add_key(self, table: VisibleTable, oid: int, keys: list[int]) -> None:
        schema, name = table_parts(table)
        index = self._oid("index", schema, name)
        constraint = self._oid("key", schema, name)
        columns = [table.columns[number - 1] for number in keys]
        listed = ", ".join(_written(column.name) for column in columns)
        self.classes.append(_class(index, f"{name}_pkey", self.schemas[schema], "i", len(keys), False))
        for place, column in enumerate(columns, 1):
            self.attributes.append(_attribute(index, column.name, place, column.type, True))
        self.indexes.append(
            {
                "indexrelid": index,
                "indrelid": oid,
                "indnatts": len(keys),
                "indnkeyatts": len(keys),
                "indisunique": True,
                "indisprimary": True,
                "indimmediate": True,
                "indisvalid": True,
                "indisready": True,
                "indislive": True,
                "indkey": keys,
                "indcollation": [0] * len(keys),
                "indclass": [0] * len(keys),
                "indoption": [0] * len(keys),
            }
        )
        definition = f"CREATE UNIQUE INDEX {_written(name + '_pkey')} ON {_written(schema)}.{_written(name)} USING btree ({listed})"
        named = {"schema_name": schema, "table_name": name, "name": f"{name}_pkey", "columns": [column.name for column in columns]}
        self.index_definitions.append({"oid": index, "definition": definition} | named)
        self.constraints.append(_constraint(constraint, f"{name}_pkey", self.schemas[schema], "p", oid) | {"conindid": index, "conkey": keys})
        self.constraint_definitions.append({"oid": constraint, "definition": f"PRIMARY KEY ({listed})"})

    def _add_foreign_keys(self, table: VisibleTable) -> None:
        """Only those whose other side is seen too."""
        schema, name = table_parts(table)
        for link in table.relationships:
            to_schema, _, to_name = str(link.to).replace('"', "").partition(".")
            target = (to_schema.lower(), to_name.lower())
            number = self._numbers[schema.lower(), name.lower()].get(link.column.lower())
            to_number = self._numbers.get(target, {}).get(link.field.lower())
            if number is None or to_number is None:
                continue
            oid = self._oid("link", schema, name, link.column, str(link.to))
            row = _constraint(oid, f"{name}_{link.column}_fkey", self.schemas[schema], "f", self._oids[schema.lower(), name.lower()])
            row |= {"confrelid": self._oids[target], "conkey": [number], "confkey": [to_number]}
            row |= {"conindid": self._index_of.get(self._oids[target], 0)}
            row |= {"confupdtype": "a", "confdeltype": "a", "confmatchtype": "s"}
            self.constraints.append(row)
            self._class_of[self._oids[schema.lower(), name.lower()]]["relhastriggers"] = True  # psql asks for foreign keys where there are some
            to = f"{_written(to_schema)}.{_written(to_name)}({_written(link.field)})"
            self.constraint_definitions.append({"oid": oid, "definition": f"FOREIGN KEY ({_written(link.column)}) REFERENCES {to}"})


def _class(oid: int, name: str, schema: int, kind: str, columns: int, has_index: bool) -> _Row:
    return {
        "oid": oid,
        "relname": name,
        "relnamespace": schema,
        "relowner": OWNER_OID,
        "relam": {"r": 2, "i": 403}.get(kind, 0),
        "reltuples": -1.0,
        "relpersistence": "p",
        "relkind": kind,
        "relnatts": columns,
        "relhasindex": has_index,
        "relhastriggers": False,
        "relispopulated": True,
        "relreplident": "d",
    }


def _attribute(oid: int, name: str, number: int, type: str, nullable: bool) -> _Row:
    wire = pg.wire_type(type)
    return {
        "attrelid": oid,
        "attname": name,
        "atttypid": wire.oid,
        "attlen": wire.size,
        "attnum": number,
        "atttypmod": wire.modifier,
        "attndims": int(wire.element is not None),
        "attnotnull": not nullable,
        "attidentity": "",
        "attgenerated": "",
        "attcompression": "",
        "attstorage": "p" if wire.size > 0 else "x",
        "attalign": "i",
        "attislocal": True,
        "attstattarget": -1,
        "attcacheoff": -1,
        "attbyval": 0 < wire.size <= 8,
    }


def _constraint(oid: int, name: str, schema: int, kind: str, table: int) -> _Row:
    return {"oid": oid, "conname": name, "connamespace": schema, "contype": kind, "conrelid": table, "convalidated": True, "conislocal": True}


def _written(identifier: str) -> str:
    """As Postgres prints an identifier: quoted only where it must be."""
    plain = identifier.replace("_", "a").isalnum() and identifier == identifier.lower() and identifier.isascii() and not identifier[0].isdigit()
    return identifier if plain else '"' + identifier.replace('"', '""') + '"'
