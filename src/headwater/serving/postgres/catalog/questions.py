"""Clients' questions to the system catalogs, in DuckDB's words. What is asked is known well; what isn't runs into an error, never into the lake."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

import sqlglot
from sqlglot import exp

from headwater.serving.postgres.catalog.known import known
from headwater.serving.postgres.catalog.relations import SYSTEM_OIDS, Relations
from headwater.serving.postgres.context import Context, table_parts
from headwater.serving.postgres.dialect.output_names import name_outputs
from headwater.serving.postgres.dialect.reading import MOST_TABLES, is_cte
from headwater.serving.postgres.dialect.trees import put_in_place
from headwater.serving.postgres.failures import WireError
from headwater.serving.postgres.settings import SERVER_VERSION
from headwater.serving.postgres.statements import tokens
from headwater.serving.postgres.values import array_parts

VERSION: Final = f"PostgreSQL {SERVER_VERSION} (Headwater, on DuckDB)"

_TYPE_WORDS: Final = {
    "oid": "uint",
    "name": "text",
    "regproc": "text",
    "cstring": "text",
    "char": "text",
    "xid": "bigint",
    "pg_node_tree": "text",
    "aclitem": "text",
    "int2vector": "smallint[]",
    "oidvector": "uint[]",
    "sql_identifier": "text",
    "character_data": "text",
    "cardinal_number": "integer",
    "yes_or_no": "text",
    "citext": "text",
    "inet": "text",
}


def catalog_sql(sql: str, context: Context, values: Sequence[Any] | None) -> str:
    """The query for the catalog's DuckDB. Parameters stand in it as literals; with `values` None, for describing, as nulls. Raises WireError."""
    try:
        tree = sqlglot.parse_one(_without_qualifiers(sql), read="postgres")
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        raise WireError("42601", "this question to the catalog can't be read", detail=str(error).splitlines()[0]) from None
    if not isinstance(tree, exp.Query):
        raise WireError("0A000", "only queries can be asked of the catalog")
    if sum(1 for _ in tree.find_all(exp.Table)) > MOST_TABLES:
        raise WireError("54001", f"a question to the catalog with more than {MOST_TABLES:,} tables is not translated")
    name_outputs(tree)
    for node in reversed(list(tree.walk(bfs=False))):  # from the leaves up
        made = _translated(known(node), context, values)
        if made is not node:
            put_in_place(made, node)
    try:
        return tree.sql("duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE)
    except sqlglot.errors.SqlglotError as error:
        raise WireError("0A000", "this question to the catalog can't be answered", detail=str(error).splitlines()[0]) from None


def _without_qualifiers(sql: str) -> str:
    """The text with types and operators that sqlglot can't read written plainly: no `pg_catalog.`, `OPERATOR(..)`, `COLLATE`, `oid`."""
    found = tokens(sql)
    parts: list[str] = []
    at = 0

    def text(place: int) -> str:
        return found[place][1].lower() if place < len(found) else ""

    while at < len(found):
        kind, word, _ = found[at]
        low = word.strip('"').lower() if kind in ("word", "quoted") else word.lower()
        if low == "pg_catalog" and text(at + 1) == ".":
            at += 2
            continue
        if low == "information_schema" and text(at + 1) == ".":
            following = text(at + 2).strip('"')
            if following in _TYPE_WORDS:
                parts.append(_TYPE_WORDS[following])
            else:
                parts.append("hw_expandarray" if following == "_pg_expandarray" else f"hw_is.{following}")
            at += 3
            continue
        if low == "operator" and text(at + 1) == "(":
            close = next((place for place in range(at + 2, len(found)) if found[place][1] == ")"), len(found))
            parts.append("".join(found[place][1] for place in range(at + 2, close) if text(place) not in ("pg_catalog", ".")))
            at = close + 1
            continue
        if low == "collate" and kind == "word" and text(at - 1) not in (".", "as"):
            at += 4 if text(at + 2) == "." else 2
            continue
        is_type = (at >= 2 and text(at - 1) == ":" and text(at - 2) == ":") or text(at - 1) == "as" or (text(at - 1) == "." and text(at - 3) == ":")
        if kind == "word" and low in _RESERVED and text(at - 1) in ("as", "."):
            parts.append(f'"{low}"')
        elif (
            is_type and low in _TYPE_WORDS and at > 0 and (kind == "quoted" or low != "char") and (text(at - 1) != "as" or text(at + 1) in (")", "["))
        ):
            parts.append(_TYPE_WORDS[low])
        else:
            parts.append(word)
        at += 1
    return _glued(parts)


_RESERVED: Final = frozenset({"select", "update", "insert", "delete"})


def _glued(parts: Sequence[str]) -> str:
    """Tokens side by side again: with spaces, but not inside operators and numbers of parameters."""
    made = ""
    for part in parts:
        operators = "<>=!~:|-+*/&^%@#?"
        is_operator = bool(made) and made[-1] in operators and part[0] in operators
        made += part if is_operator or made.endswith("$") else f" {part}"
    return made


# -- nodes -----------------------------------------------------------------------------------------------------------


def _translated(node: exp.Expr, context: Context, values: Sequence[Any] | None) -> exp.Expr:
    if isinstance(node, exp.Table):
        return node if is_cte(node) else _table(node)
    if isinstance(node, exp.Column):
        return _column(node, context)
    if isinstance(node, exp.Parameter):
        return _parameter(node, values)
    if isinstance(node, exp.Cast):
        return _cast(node, context)
    if isinstance(node, (exp.EQ, exp.NEQ, exp.RegexpLike)):
        return _quantified(node)
    if isinstance(node, exp.Array) and len(node.expressions) == 1 and isinstance(node.expressions[0], exp.Query):
        return exp.Anonymous(this="ARRAY", expressions=[node.expressions[0]])
    if isinstance(node, exp.ByteString):
        return exp.Literal.string(str(node.this).replace("\\n", "\n").replace("\\\\", "\\"))
    if isinstance(node, exp.Format):
        return _formatted([node.this, *node.expressions], context)
    if isinstance(node, exp.StringToArray):
        return exp.Anonymous(this="string_split", expressions=[node.this, node.args["expression"]])
    literal = _session_value(node, context)
    if literal is not None:
        return literal
    if isinstance(node, exp.Anonymous):
        return _function(node, context)
    return node


def _table(node: exp.Table) -> exp.Expr:
    if not isinstance(node.this, exp.Identifier):
        alias = node.args.get("alias")
        if isinstance(node.this, exp.Anonymous) and str(node.this.this).lower() == "pg_get_keywords":
            return exp.table_("pg_get_keywords", db="hw_pg", alias=alias.name if alias is not None else "pg_get_keywords")
        if alias is not None and isinstance(node.this, exp.Cast):  # a function that gives nothing here
            none = exp.select(exp.alias_(node.this.copy(), "one"), exp.alias_(exp.Literal.number(1), "two")).limit(0)
            return exp.Subquery(this=none, alias=alias.copy())
        if alias is not None and isinstance(node.this, exp.Anonymous) and str(node.this.this).lower() == "string_split":
            return exp.Subquery(this=exp.select(exp.alias_(node.this.copy(), alias.name, quoted=True)), alias=alias.copy())
        if alias is not None and not alias.columns and alias.name:
            alias.set("columns", [exp.to_identifier(alias.name)])  # a function's one column is called as its table is
        return node
    name = node.name.lower()
    if node.db == "hw_is" or (node.db == "" and name.startswith("pg_")):
        schema = "hw_is" if node.db == "hw_is" else "hw_pg"
        node.set("this", exp.to_identifier(name))
        node.set("db", exp.to_identifier(schema))
        if not node.args.get("alias"):
            node.set("alias", exp.TableAlias(this=exp.to_identifier(name)))
    return node


def _column(node: exp.Column, context: Context) -> exp.Expr:
    if node.args.get("db"):
        return exp.column(node.this, table=node.args["table"])
    if node.name.lower() == "tableoid":
        return exp.Literal.number(0)
    if not node.table and not node.this.args.get("quoted") and node.name.lower() in ("user", "current_role"):
        return exp.Literal.string(context.user)
    return node


def _parameter(node: exp.Parameter, values: Sequence[Any] | None) -> exp.Expr:
    number = int(node.name)
    if values is None:
        return exp.null()
    if not 1 <= number <= len(values):
        raise WireError("42P02", f"there is no parameter ${number}")
    return _literal(values[number - 1])


def _literal(value: Any) -> exp.Expr:
    if value is None:
        return exp.null()
    if isinstance(value, bool):
        return exp.true() if value else exp.false()
    if isinstance(value, (int, float, Decimal)):
        return exp.Literal.number(value)
    if isinstance(value, list):
        return exp.Array(expressions=[_literal(item) for item in value])
    if isinstance(value, bytes):
        raise WireError("0A000", "the catalog holds no bytea")
    return exp.Literal.string(str(value))


def _cast(node: exp.Cast, context: Context) -> exp.Expr:
    inner = node.this
    if isinstance(node.to, exp.ObjectIdentifier):
        kind = str(node.to.this).lower()
        return _object(inner, kind, context)
    if isinstance(inner, exp.Literal) and inner.is_string and node.to.is_type(exp.DataType.Type.ARRAY):
        return _array_literal(inner)
    of_function = inner.this if isinstance(inner, exp.Cast) and inner.to.is_type(exp.DataType.Type.TEXT) else None
    if node.to.is_type(exp.DataType.Type.UINT) and isinstance(of_function, exp.Literal) and not str(of_function.this).isdecimal():
        raise WireError("42883", f'function "{of_function.this}" does not exist')  # 'name'::regproc::oid
    # a parameter's value is its own; x::regclass::oid is the number itself
    is_named = isinstance(inner, exp.Anonymous) and str(inner.this).lower() == "hw_regclass_name"
    if is_named and node.to.is_type(exp.DataType.Type.UINT, exp.DataType.Type.BIGINT):
        number: exp.Expr = inner.expressions[0]
        return number
    return node


def _object(inner: exp.Expr, kind: str, context: Context) -> exp.Expr:
    by_name = {"regclass": "hw_regclass", "regtype": "hw_regtype", "regnamespace": "hw_regnamespace"}
    if isinstance(inner, exp.Literal) and inner.is_string and not str(inner.this).isdecimal():
        if kind == "regclass":
            return exp.Literal.number(relation_oid(str(inner.this), context))
        if kind in by_name:
            return exp.func(by_name[kind], inner)
        return inner
    if isinstance(inner, exp.Literal) and inner.is_string:
        return exp.cast(inner, "uint")
    if isinstance(inner, exp.Anonymous) and str(inner.this) == "hw_qualified":
        return exp.func("hw_regclass", inner)
    is_text = isinstance(inner, exp.Cast) and inner.to.is_type(exp.DataType.Type.TEXT, exp.DataType.Type.VARCHAR)
    if is_text and kind in by_name:
        return exp.func(by_name[kind], inner)
    number = exp.cast(inner, "bigint")
    if kind == "regclass":
        return exp.func("hw_regclass_name", number)
    if kind == "regtype":
        return exp.func("hw_format_type", number, exp.null())
    if kind == "regnamespace":
        return exp.func("hw_regnamespace_name", number)
    if kind == "regrole":
        return exp.func("hw_role_name", number)
    return exp.cast(inner, "text")


def relation_oid(name: str, context: Context) -> int:
    """The OID of a table by its name. Raises WireError when none is seen."""
    plain = name.replace('"', "").lower().removeprefix("pg_catalog.")
    if plain in SYSTEM_OIDS:
        return SYSTEM_OIDS[plain]
    relations = Relations(context.tables)
    schema, mark, table = plain.rpartition(".")
    matches = [(one_schema, one) for one_schema, one in map(table_parts, context.tables) if one.lower() == table]
    if mark:
        matches = [one for one in matches if one[0].lower() == schema]
    if len(matches) != 1:
        raise WireError("42P01", f'relation "{name}" does not exist')
    return relations.oid_of(*matches[0])


def _array_literal(inner: exp.Literal) -> exp.Expr:
    try:
        parts = array_parts(str(inner.this))
    except ValueError as error:
        raise WireError("22P02", f"malformed array literal: {error}") from None
    return exp.Array(expressions=[exp.null() if part is None else exp.Literal.string(part) for part in parts])


#: Columns of type regproc that clients compare with 0; they are texts here.
_REGPROCS: Final = frozenset(f"typ{what}" for what in ("input", "output", "receive", "send", "modin", "modout", "analyze", "subscript"))


def _quantified(node: exp.Expr) -> exp.Expr:
    """`x = ANY (array)` and `x <> ALL (array)`, with the array as a literal, a column or a query."""
    quantifier = node.args.get("expression")
    is_zero = isinstance(quantifier, exp.Literal) and str(quantifier.this) == "0"
    if is_zero and isinstance(node.this, exp.Column) and node.this.name.lower() in _REGPROCS:
        node.set("expression", exp.Literal.string("-"))
        return node
    if not isinstance(quantifier, (exp.Any, exp.All)):
        return node
    inner = quantifier.this
    while isinstance(inner, exp.Paren):
        inner = inner.this
    if isinstance(inner, exp.Query):
        return node
    if isinstance(inner, exp.Literal) and inner.is_string:
        inner = _array_literal(inner)
    if isinstance(node, exp.RegexpLike):
        if not isinstance(inner, exp.Array):
            return node
        return exp.paren(exp.or_(*(exp.RegexpLike(this=node.this.copy(), expression=item) for item in inner.expressions)))
    found = exp.func("hw_is_any", node.this, inner)
    return exp.not_(exp.paren(found)) if isinstance(node, exp.NEQ) else found


def _session_value(node: exp.Expr, context: Context) -> exp.Expr | None:
    path = [schema for schema in context.search_path if schema == "public" or schema in {table_parts(one)[0] for one in context.tables}]
    if isinstance(node, (exp.CurrentDatabase, exp.CurrentCatalog)):
        return exp.Literal.string(context.database)
    if isinstance(node, (exp.CurrentUser, exp.SessionUser)):
        return exp.Literal.string(context.user)
    if isinstance(node, exp.CurrentSchema):
        return exp.Literal.string(path[0]) if path else exp.null()
    if isinstance(node, exp.CurrentVersion):
        return exp.Literal.string(VERSION)
    if isinstance(node, exp.CurrentSchemas):
        return _path(context, isinstance(node.this, exp.Boolean) and bool(node.this.this))
    return None


_Maker = Callable[[list[exp.Expr], Context], exp.Expr]


def _setting(arguments: list[exp.Expr], context: Context) -> exp.Expr:
    if isinstance(arguments[0] if arguments else None, exp.Null) or (arguments and arguments[0].find(exp.Null)):
        return exp.null()  # a query that is only described, with its parameters open
    name = _text(arguments, 0)
    value = context.setting(name)
    if value is None and not (len(arguments) > 1 and isinstance(arguments[1], exp.Boolean) and arguments[1].this):
        raise WireError("42704", f'unrecognized configuration parameter "{name}"')
    return exp.null() if value is None else exp.Literal.string(value)


def _configured(arguments: list[exp.Expr], context: Context) -> exp.Expr:
    name, value = _text(arguments, 0), _text(arguments, 1)
    context.configure(name, value, is_local=len(arguments) > 2 and isinstance(arguments[2], exp.Boolean) and bool(arguments[2].this))
    return exp.Literal.string(value)


def _text(arguments: list[exp.Expr], place: int) -> str:
    argument = arguments[place] if place < len(arguments) else None
    while isinstance(argument, (exp.Cast, exp.Paren)):
        argument = argument.this
    if not isinstance(argument, exp.Literal):
        raise WireError("0A000", "settings are named by plain texts here")
    return str(argument.this)


def _path(context: Context, with_system: bool) -> exp.Expr:
    known = {"public", *(table_parts(one)[0] for one in context.tables)}
    names = [*(["pg_catalog"] if with_system else []), *(schema for schema in context.search_path if schema in known)]
    return exp.Array(expressions=[exp.Literal.string(name) for name in names])


def _is_true(arguments: list[exp.Expr]) -> bool:
    return bool(arguments) and isinstance(arguments[-1], exp.Boolean) and bool(arguments[-1].this)


def _constant(value: Any) -> _Maker:
    return lambda arguments, context: _literal(value)


def _renamed(name: str, count: int | None = None) -> _Maker:
    return lambda arguments, context: exp.func(name, *(arguments if count is None else arguments[:count]))


def _nothing(arguments: list[exp.Expr], context: Context) -> exp.Expr:
    return exp.cast(exp.null(), "text")


def _index_definition(arguments: list[exp.Expr], context: Context) -> exp.Expr:
    is_column = len(arguments) > 1 and not (isinstance(arguments[1], exp.Literal) and str(arguments[1].this) == "0")
    return exp.func("hw_index_column", *arguments[:2]) if is_column else exp.func("hw_indexdef", arguments[0])


def _described_object(arguments: list[exp.Expr], context: Context) -> exp.Expr:
    return exp.func("hw_description", arguments[0], exp.Literal.number(0))


_PLACES: Final = re.compile(r"%(.?)", re.DOTALL)


def _formatted(arguments: list[exp.Expr], context: Context) -> exp.Expr:
    """`format` with %s, %I, %L and %%, each for the next argument."""
    if not isinstance(arguments[0], exp.Literal):
        raise WireError("0A000", "format is known with a plain text only")
    template, values = str(arguments[0].this), arguments[1:]
    if template == "%I.%I" and len(values) == 2:
        return exp.func("hw_qualified", *values)
    parts: list[exp.Expr] = []
    for place, piece in enumerate(_PLACES.split(template)):
        if place % 2 == 0:
            parts.append(exp.Literal.string(piece))
        elif piece == "%":
            parts.append(exp.Literal.string("%"))
        elif piece in ("s", "I", "L") and values:
            value = values.pop(0)
            parts.append(value if piece == "s" else exp.func("hw_quote_ident" if piece == "I" else "hw_quote_literal", value))
        else:
            raise WireError("0A000", "format is known with %s, %I and %L, and an argument for each")
    return exp.Anonymous(this="concat", expressions=[part for part in parts if part != exp.Literal.string("")] or [exp.Literal.string("")])


def _unknown(name: str) -> _Maker:
    def maker(arguments: list[exp.Expr], context: Context) -> exp.Expr:
        raise WireError("0A000", f"function {name} isn't known here")

    return maker


_FUNCTIONS: Final[dict[str, _Maker]] = {
    "format_type": _renamed("hw_format_type", 2),
    "pg_table_is_visible": lambda arguments, context: exp.func("hw_table_is_visible", arguments[0], _path(context, False)),
    "pg_type_is_visible": _constant(True),
    "pg_function_is_visible": _constant(True),
    **{f"pg_{kind}_is_visible": _constant(True) for kind in ("collation", "conversion", "opclass", "operator", "opfamily", "statistics_obj")},
    **{f"pg_ts_{kind}_is_visible": _constant(True) for kind in ("config", "dict", "parser", "template")},
    "pg_get_expr": _nothing,
    "pg_get_partkeydef": _nothing,
    "pg_get_viewdef": _constant(""),
    "pg_get_ruledef": _nothing,
    "pg_get_triggerdef": _nothing,
    "pg_get_serial_sequence": _nothing,
    "pg_partition_ancestors": lambda arguments, context: exp.cast(exp.null(), "uint"),
    "pg_stat_get_numscans": _constant(0),
    "parse_ident": _renamed("hw_parse_ident", 1),
    "format": _formatted,
    "pg_get_function_result": _nothing,
    "pg_get_function_arguments": _nothing,
    "pg_get_function_identity_arguments": _nothing,
    "pg_get_functiondef": _nothing,
    "pg_get_function_sqlbody": _nothing,
    "pg_get_statisticsobjdef_columns": _nothing,
    "pg_get_constraintdef": _renamed("hw_constraintdef", 1),
    "pg_get_indexdef": _index_definition,
    "pg_get_userbyid": _renamed("hw_role_name", 1),
    "pg_encoding_to_char": _renamed("hw_encoding", 1),
    "pg_typeof": _unknown("pg_typeof"),
    "pg_relation_size": _constant(0),
    "pg_table_size": _constant(0),
    "pg_total_relation_size": _constant(0),
    "pg_indexes_size": _constant(0),
    "pg_database_size": _constant(0),
    "pg_size_pretty": _renamed("hw_size_pretty", 1),
    "pg_relation_is_publishable": _constant(False),
    "pg_is_in_recovery": _constant(False),
    "pg_is_other_temp_schema": _constant(False),
    "pg_my_temp_schema": _constant(0),
    "pg_backend_pid": lambda arguments, context: exp.Literal.number(context.number),
    "pg_cancel_backend": _constant(False),
    "pg_terminate_backend": _constant(False),
    "aclexplode": _renamed("hw_aclexplode", 1),
    "pg_export_snapshot": _nothing,
    "pg_tablespace_location": _constant(""),
    "pg_advisory_unlock_all": _nothing,
    "pg_char_to_encoding": _constant(6),
    "pg_has_role": _constant(True),
    "has_schema_privilege": lambda arguments, context: exp.Boolean(this="create" not in _last_text(arguments)),
    "has_database_privilege": lambda arguments, context: exp.Boolean(this=_last_text(arguments) == "connect"),
    "has_table_privilege": lambda arguments, context: exp.Boolean(this="select" in _last_text(arguments)),
    "has_any_column_privilege": lambda arguments, context: exp.Boolean(this="select" in _last_text(arguments)),
    "has_column_privilege": lambda arguments, context: exp.Boolean(this="select" in _last_text(arguments)),
    "has_function_privilege": _constant(False),
    "has_sequence_privilege": _constant(False),
    "obj_description": _described_object,
    "shobj_description": _nothing,
    "col_description": _renamed("hw_description", 2),
    "to_regclass": _renamed("hw_regclass", 1),
    "to_regtype": _renamed("hw_regtype", 1),
    "current_setting": _setting,
    "set_config": _configured,
    "current_schemas": lambda arguments, context: _path(context, _is_true(arguments)),
    "current_schema": lambda arguments, context: _session_value(exp.CurrentSchema(), context) or exp.null(),
    "current_database": lambda arguments, context: exp.Literal.string(context.database),
    "version": _constant(VERSION),
    "quote_ident": _renamed("hw_quote_ident"),
    "quote_literal": _renamed("hw_quote_literal"),
    "array_upper": _renamed("hw_array_bound"),
    "array_lower": _renamed("hw_array_lower"),
    "array_length": _renamed("hw_array_bound"),
    "cardinality": _renamed("len"),
    "generate_subscripts": _renamed("hw_subscripts", 1),
    "getdatabaseencoding": _constant("UTF8"),
    "inet_server_addr": _nothing,
    "inet_server_port": _nothing,
    "inet_client_addr": _nothing,
    "txid_current": _constant(0),
    "row_to_json": _renamed("to_json"),
    "json_build_object": _renamed("json_object"),
    "jsonb_build_object": _renamed("json_object"),
    "string_to_array": _renamed("string_split"),
    "btrim": _renamed("trim"),
    "array_remove": lambda arguments, context: exp.func("list_filter", *arguments),
}


#: Called as they are.
_CALLS: Final = frozenset(["all", "pg_get_keywords", "regexp_split_to_table"])


def _last_text(arguments: list[exp.Expr]) -> str:
    last = arguments[-1] if arguments else None
    return str(last.this).lower() if isinstance(last, exp.Literal) else ""


def _function(node: exp.Anonymous, context: Context) -> exp.Expr:
    """Raises WireError for one that isn't known. Those behind `hw_` are the catalog's own."""
    called = str(node.this).lower()
    maker = _FUNCTIONS.get(called)
    if maker is None:
        if called not in _CALLS and not called.startswith("hw_"):
            raise WireError("42883", f"function {called} does not exist")
        return node
    made: exp.Expr = maker(list(node.expressions), context)
    return made
