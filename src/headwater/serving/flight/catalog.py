"""The answers of Flight SQL's catalog commands, made from the tables that one may see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, Final

import pyarrow as pa

from headwater.serving.flight.protobuf import Fields
from headwater.serving.session import VisibleTable

_TEXT: Final = pa.string()


def _schema(fields: list[Any]) -> pa.Schema:
    return pa.schema(fields)


CATALOGS: Final = pa.schema([pa.field("catalog_name", _TEXT, False)])
SCHEMAS: Final = pa.schema([pa.field("catalog_name", _TEXT), pa.field("db_schema_name", _TEXT, False)])
TABLES: Final = _schema(
    [
        pa.field("catalog_name", _TEXT),
        pa.field("db_schema_name", _TEXT),
        pa.field("table_name", _TEXT, False),
        pa.field("table_type", _TEXT, False),
    ]
)
TABLES_WITH_SCHEMAS: Final = TABLES.append(pa.field("table_schema", pa.binary(), False))
TABLE_TYPES: Final = _schema([pa.field("table_type", _TEXT, False)])
PRIMARY_KEYS: Final = _schema(
    [
        pa.field("catalog_name", _TEXT),
        pa.field("db_schema_name", _TEXT),
        pa.field("table_name", _TEXT, False),
        pa.field("column_name", _TEXT, False),
        pa.field("key_sequence", pa.int32(), False),
        pa.field("key_name", _TEXT),
    ]
)
FOREIGN_KEYS: Final = _schema(
    [
        pa.field("pk_catalog_name", _TEXT),
        pa.field("pk_db_schema_name", _TEXT),
        pa.field("pk_table_name", _TEXT, False),
        pa.field("pk_column_name", _TEXT, False),
        pa.field("fk_catalog_name", _TEXT),
        pa.field("fk_db_schema_name", _TEXT),
        pa.field("fk_table_name", _TEXT, False),
        pa.field("fk_column_name", _TEXT, False),
        pa.field("key_sequence", pa.int32(), False),
        pa.field("fk_key_name", _TEXT),
        pa.field("pk_key_name", _TEXT),
        pa.field("update_rule", pa.uint8(), False),
        pa.field("delete_rule", pa.uint8(), False),
    ]
)
TYPES: Final = _schema(
    [
        pa.field("type_name", _TEXT, False),
        pa.field("data_type", pa.int32(), False),
        pa.field("column_size", pa.int32()),
        pa.field("literal_prefix", _TEXT),
        pa.field("literal_suffix", _TEXT),
        pa.field("create_params", pa.list_(pa.field("item", _TEXT, False))),
        pa.field("nullable", pa.int32(), False),
        pa.field("case_sensitive", pa.bool_(), False),
        pa.field("searchable", pa.int32(), False),
        pa.field("unsigned_attribute", pa.bool_()),
        pa.field("fixed_prec_scale", pa.bool_(), False),
        pa.field("auto_increment", pa.bool_()),
        pa.field("local_type_name", _TEXT),
        pa.field("minimum_scale", pa.int32()),
        pa.field("maximum_scale", pa.int32()),
        pa.field("sql_data_type", pa.int32(), False),
        pa.field("datetime_subcode", pa.int32()),
        pa.field("num_prec_radix", pa.int32()),
        pa.field("interval_precision", pa.int32()),
    ]
)
_INFO_VALUE: Final = pa.dense_union(
    [
        pa.field("string_value", _TEXT),
        pa.field("bool_value", pa.bool_()),
        pa.field("bigint_value", pa.int64()),
        pa.field("int32_bitmask", pa.int32()),
        pa.field("string_list", pa.list_(_TEXT)),
        pa.field("int32_to_int32_list_map", pa.map_(pa.int32(), pa.list_(pa.int32()))),
    ]
)
INFO: Final = pa.schema([pa.field("info_name", pa.uint32(), False), pa.field("value", _INFO_VALUE, False)])
#: Which child of the union a value of the type goes to.
_CHILDREN: Final = {str: 0, bool: 1, int: 2, list: 4}

#: Name, XDBC type, digits or characters, what stands around a literal. XDBC's numbers are ODBC's.
_TYPES: Final[tuple[tuple[str, int, int | None, str | None], ...]] = (
    ("BOOLEAN", -7, 1, None),
    ("TINYINT", -6, 3, None),
    ("BIGINT", -5, 19, None),
    ("BLOB", -4, None, "'"),
    ("DECIMAL", 3, 38, None),
    ("INTEGER", 4, 10, None),
    ("SMALLINT", 5, 5, None),
    ("FLOAT", 7, 24, None),
    ("DOUBLE", 8, 53, None),
    ("VARCHAR", 12, None, "'"),
    ("DATE", 91, 10, "'"),
    ("TIME", 92, 15, "'"),
    ("TIMESTAMP", 93, 26, "'"),
    ("TIMESTAMP WITH TIME ZONE", 93, 32, "'"),
)

SchemaOf = Callable[[Sequence[tuple[str, str]]], pa.Schema]


def catalogs(name: str) -> pa.Table:
    return pa.table({"catalog_name": [name]}, schema=CATALOGS)


def schemas(name: str, command: Fields, tables: Sequence[VisibleTable]) -> pa.Table:
    found = sorted({_split(table)[0] for table in tables})
    wanted = _like(command.text(2))
    rows = [schema for schema in found if wanted(schema)] if _is_catalog(command.text(1), name) else []
    return pa.table({"catalog_name": [name] * len(rows), "db_schema_name": rows}, schema=SCHEMAS)


def tables(name: str, command: Fields, visible: Sequence[VisibleTable], schema_of: SchemaOf) -> pa.Table:
    """With `include_schema`, each table's Arrow schema, as `schema_of` makes it of column names and DuckDB types."""
    in_schema, named, kinds = _like(command.text(2)), _like(command.text(3)), set(command.texts(4))
    with_schemas = command.flag(5)
    rows: list[dict[str, Any]] = []
    for table in sorted(visible, key=lambda one: str(one.name)) if _is_catalog(command.text(1), name) else ():
        schema, own = _split(table)
        kind = kind_of(table)
        if in_schema(schema) and named(own) and (not kinds or kind in kinds):
            row: dict[str, Any] = {"catalog_name": name, "db_schema_name": schema, "table_name": own, "table_type": kind}
            if with_schemas:
                row["table_schema"] = arrow_schema(name, table, schema_of).serialize().to_pybytes()
            rows.append(row)
    return pa.Table.from_pylist(rows, schema=TABLES_WITH_SCHEMAS if with_schemas else TABLES)


def arrow_schema(name: str, table: VisibleTable, schema_of: SchemaOf) -> pa.Schema:
    """The table's schema with what the drivers look for in the columns' metadata."""
    schema, own = _split(table)
    made = schema_of([(column.name, column.type) for column in table.columns])
    fields = []
    for field, column in zip(made, table.columns, strict=True):
        metadata: dict[bytes | str, bytes | str] = {
            "ARROW:FLIGHT:SQL:CATALOG_NAME": name,
            "ARROW:FLIGHT:SQL:SCHEMA_NAME": schema,
            "ARROW:FLIGHT:SQL:TABLE_NAME": own,
            "ARROW:FLIGHT:SQL:TYPE_NAME": column.type,
            "ARROW:FLIGHT:SQL:IS_READ_ONLY": "1",
            "ARROW:FLIGHT:SQL:IS_SEARCHABLE": "1",
        }
        if column.description:
            metadata["ARROW:FLIGHT:SQL:REMARKS"] = column.description
        fields.append(field.with_nullable(column.nullable).with_metadata(metadata))
    return pa.schema(fields)


def table_types() -> pa.Table:
    return pa.table({"table_type": ["TABLE", "VIEW"]}, schema=TABLE_TYPES)


def primary_keys(name: str, command: Fields, visible: Sequence[VisibleTable]) -> pa.Table:
    rows = [
        {"catalog_name": name, "db_schema_name": schema, "table_name": own, "column_name": column, "key_sequence": place, "key_name": f"{own}_pkey"}
        for table in _named(name, visible, command.text(1), command.text(2), command.text(3))
        for schema, own in [_split(table)]
        for place, column in enumerate(table.primary_key, 1)
    ]
    return pa.Table.from_pylist(rows, schema=PRIMARY_KEYS)


def foreign_keys(name: str, command: Fields, visible: Sequence[VisibleTable], which: str) -> pa.Table:
    """`which` is Exported (whoever points at the table), Imported (what it points at), or Cross (from the second table to the first)."""
    first = {str(table.name) for table in _named(name, visible, command.text(1), command.text(2), command.text(3))}
    second = {str(table.name) for table in _named(name, visible, command.text(4), command.text(5), command.text(6))} if which == "Cross" else set()
    seen = {str(table.name): table for table in visible}
    rows = []
    for table in visible:
        for relationship in table.relationships:
            to, own = str(relationship.to), str(table.name)
            fits = {"Exported": to in first, "Imported": own in first, "Cross": to in first and own in second}[which]
            if not fits or to not in seen:  # what one may not see isn't named
                continue
            (pk_schema, pk_table), (fk_schema, fk_table) = _split(seen[to]), _split(table)
            rows.append(
                {
                    "pk_catalog_name": name,
                    "pk_db_schema_name": pk_schema,
                    "pk_table_name": pk_table,
                    "pk_column_name": relationship.field,
                    "fk_catalog_name": name,
                    "fk_db_schema_name": fk_schema,
                    "fk_table_name": fk_table,
                    "fk_column_name": relationship.column,
                    "key_sequence": 1,
                    "fk_key_name": f"{fk_table}_{relationship.column}_fkey",
                    "pk_key_name": f"{pk_table}_pkey",
                    "update_rule": 3,  # no action
                    "delete_rule": 3,
                }
            )
    return pa.Table.from_pylist(rows, schema=FOREIGN_KEYS)


def types(command: Fields) -> pa.Table:
    wanted = command.number(1)
    if wanted is not None and wanted >= 2**63:
        wanted -= 2**64
    rows = [
        {
            "type_name": name,
            "data_type": number,
            "column_size": size,
            "literal_prefix": quote,
            "literal_suffix": quote,
            "create_params": ["precision", "scale"] if name == "DECIMAL" else None,
            "nullable": 1,
            "case_sensitive": name == "VARCHAR",
            "searchable": 3,
            "unsigned_attribute": False if quote is None else None,
            "fixed_prec_scale": False,
            "auto_increment": False,
            "local_type_name": name,
            "minimum_scale": 0 if name == "DECIMAL" else None,
            "maximum_scale": 38 if name == "DECIMAL" else None,
            "sql_data_type": 9 if number in (91, 92, 93) else number,
            "datetime_subcode": number - 90 if number in (91, 92, 93) else None,
            "num_prec_radix": 10 if number in (-6, -5, 3, 4, 5) else 2 if number in (7, 8) else None,
            "interval_precision": None,
        }
        for name, number, size, quote in _TYPES
        if wanted is None or wanted == number
    ]
    return pa.Table.from_pylist(rows, schema=TYPES)


def info(name: str, command: Fields) -> pa.Table:
    """What was asked for of what there is to say; all of it, when nothing was."""
    everything: dict[int, str | bool | int | list[str]] = {
        0: "Headwater",
        1: version("headwater"),
        2: pa.__version__,
        3: True,  # read only
        4: True,  # SQL
        5: False,  # Substrait
        8: 0,  # no transactions
        9: True,  # cancel
        100: 0,  # no time-out of statements that a client could set
        101: 0,
        500: False,  # CREATE CATALOG and so on
        501: False,
        502: False,
        503: 3,  # unquoted names: any case
        504: '"',
        505: 3,
        506: True,  # all tables are selectable
        507: 1,  # nulls sort last
        508: ["SELECT"],
        509: ["abs", "ceil", "floor", "round", "sqrt"],
        510: ["concat", "length", "lower", "upper", "replace", "substring", "trim"],
        511: [],
        512: ["date_trunc", "extract", "strftime"],
        513: "\\",
        514: "",
        515: True,  # column aliases
        516: True,
    }
    asked = command.numbers(1)
    chosen = [(key, value) for key, value in everything.items() if not asked or key in asked]
    children: list[list[Any]] = [[] for _ in range(_INFO_VALUE.num_fields)]
    codes, offsets = [], []
    for _, value in chosen:
        child = _CHILDREN[type(value)]
        codes.append(child)
        offsets.append(len(children[child]))
        children[child].append(value)
    arrays = [pa.array(values, _INFO_VALUE.field(index).type) for index, values in enumerate(children)]
    union = pa.UnionArray.from_dense(
        pa.array(codes, pa.int8()), pa.array(offsets, pa.int32()), arrays, [_INFO_VALUE.field(index).name for index in range(len(arrays))]
    )
    return pa.Table.from_arrays([pa.array([key for key, _ in chosen], pa.uint32()), union], schema=INFO)


def kind_of(table: VisibleTable) -> str:
    return "VIEW" if table.kind == "view" else "TABLE"


def _split(table: VisibleTable) -> tuple[str, str]:
    schema, _, name = str(table.name).partition(".")
    return schema, name


def _is_catalog(wanted: str | None, name: str) -> bool:
    return wanted is None or wanted == name


def _named(name: str, visible: Sequence[VisibleTable], catalog: str | None, schema: str | None, table: str | None) -> list[VisibleTable]:
    if not _is_catalog(catalog, name):
        return []
    return [one for one in visible if _split(one)[1] == table and (schema is None or _split(one)[0] == schema)]


def _like(pattern: str | None) -> Callable[[str], bool]:
    """SQL's LIKE, whatever the case: % for any text, _ for any character, a backslash before one that is meant itself."""
    if pattern is None:
        return lambda text: True
    wanted: list[str | None] = []  # None for %, an empty text for _
    characters = iter(pattern.lower())
    for character in characters:
        wanted.append(next(characters, "\\") if character == "\\" else {"%": None, "_": ""}.get(character, character))

    def fits(text: str) -> bool:
        reached = {0}  # how much of the pattern may be behind us
        for character in [*text.lower(), None]:
            for place in sorted(reached):
                while place < len(wanted) and wanted[place] is None:
                    place += 1
                    reached.add(place)
            if character is None:
                return len(wanted) in reached
            stays = {place for place in reached if place < len(wanted) and wanted[place] is None}
            reached = stays | {place + 1 for place in reached if place < len(wanted) and wanted[place] in ("", character)}
        return False

    return fits
