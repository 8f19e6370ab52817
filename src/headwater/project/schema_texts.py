"""What editors show beside each key."""

from __future__ import annotations

from typing import Final

#: Title and description of each kind of file.
FILE_TEXTS: Final = {
    "project": ("Headwater project", "headwater.yaml: the project as a whole. Everything has a default but the name."),
    "source": ("Headwater source", "sources/<name>.yaml: one system data comes from, and its streams."),
    "model": ("Headwater model header", "The YAML of a model: in its SQL file's leading comment, in a sidecar, or as the arguments of @model."),
    "sidecar": ("Headwater sidecar", "models/<schema>/_<name>.yml: headers of the folder's models, where they don't stand in the SQL files."),
    "unit-test": ("Headwater unit test", "tests/<name>.yaml: given these input rows, expect those output rows. One test, or a list."),
}

_SHARED = {
    "description": "What it holds, for people.",
    "owner": "Who answers for it.",
    "tags": "Words to select by: tag:daily.",
    "checks": "Statements about the data. A failed one of severity error keeps the rows from being published.",
    "partition_by": "Columns or expressions such as month(day) the rows are partitioned by.",
    "sort_by": "Columns the rows are sorted by when written.",
    "publish_group": "Tables of one group are published all together or not at all.",
    "renamed_from": "The name it had before; its history comes along.",
    "labels": "Classifications such as pii.email; they follow lineage.",
}

#: Descriptions by resource and key.
FIELD_TEXTS: Final[dict[str, dict[str, str]]] = {
    "ProjectConfig": {
        "name": "The project's name: letters, digits, _ and -.",
        "timezone": "The time zone of dates and of now() in models, such as Europe/Oslo.",
        "lake": "Where the tables are kept.",
        "state": "Where runs and leases are kept: a SQLite file, or postgresql://..",
        "vars": "Values for ${var:name} in YAML and SQL.",
        "environments": "What differs by environment, chosen with --env.",
        "default_environment": "The environment when --env isn't given; one that environments: doesn't define is the settings at the top.",
        "threads": "How many tasks and engine threads run at once; all cores by default.",
        "memory_limit": "How much memory the engine may take, such as 4GB.",
        "serve": "How headwater serve opens its doors: where, with which certificate, how much.",
    },
    "ServeConfig": {
        "host": "The address to listen on; 127.0.0.1 for this machine alone, 0.0.0.0 for all.",
        "http_port": "The port of HTTP; null for none, 0 for any that is free.",
        "flight_port": "The port of Arrow Flight SQL; null for none, 0 for any that is free.",
        "pg_port": "The port of the Postgres wire; null for none, 0 for any that is free.",
        "tls": "auto (on, but for this machine alone), always, or never.",
        "certificate": "A PEM file with the certificate and its chain; without it, one is made.",
        "key": "The PEM file of the certificate's private key.",
        "names": "Host names and addresses for the certificate that is made, beside those this machine knows.",
        "limits": "What one server takes and gives at most.",
    },
    "ServeLimits": {
        "body": "Bytes of a request's body, and characters of a statement.",
        "time": "How long a query may work.",
        "idle": "How long a client may not read its rows, or not finish its request.",
        "queries": "Queries at once, at each door.",
        "connections": "Connections of HTTP at once.",
        "page": "Rows of a page of a table over HTTP.",
    },
    "LakeConfig": {
        "catalog": "The lake's catalog: a SQLite file, or postgresql://..",
        "data": "The folder of the data files, or s3://bucket/prefix.",
        "encrypted": "Whether data files are encrypted.",
        "s3": "Options of an S3-compatible store: endpoint, region, key_id, secret, use_ssl, url_style.",
    },
    "EnvironmentConfig": {
        "lake": "The lake of this environment.",
        "state": "The state store of this environment.",
        "vars": "Vars that differ in this environment.",
    },
    "Source": {
        **_SHARED,
        "name": "The source's name and the schema of its tables; the file's name by default.",
        "type": "The kind of system: files, postgres, mysql, sqlite, duckdb, python, or one that a package brings.",
        "connection": "How to connect: an address, or a mapping. Write secrets as ${env:NAME}.",
        "streams": "What is read from it: each becomes the table <source>.<stream>.",
        "options": "Options of the connector for all its streams.",
        "statement_timeout": "How long one statement on the source may run.",
    },
    "Stream": {
        **_SHARED,
        "table": "The table to read, where the source is a database.",
        "query": "A query to read instead of a table.",
        "path": "Files to read: paths relative to the project, with globs, s3:// or https://.",
        "function": "The Python function that yields the rows: module:function.",
        "format": "The files' format, where the ending doesn't tell: csv, tsv, json, ndjson, parquet, excel.",
        "options": "Options of the format or connector, such as {nullstr: NA}.",
        "select": "The columns to read; all by default.",
        "exclude": "The columns to leave out.",
        "primary_key": "The columns that tell rows apart.",
        "cursor": "The column that grows with every change; only newer rows are read. Short: the column's name alone.",
        "deleted_when": "A condition that is true for rows deleted at the source.",
        "parallel": "Reads in ranges of a column, several at a time.",
        "write_disposition": "append (default without a key), merge (default with one), replace, or scd2.",
        "schema_contract": "What becomes of changes: enforced refuses them, evolve (default) takes them, agnostic keeps all as it comes.",
        "max_rejected": "The share of rows (1%) that may break the contract before the load is refused.",
        "columns": "What the contract says of columns: a type alone, or type, not_null, labels, checks, ...",
    },
    "StreamColumn": {
        **_SHARED,
        "type": "The column's type, as DuckDB writes it: bigint, decimal(10,2), timestamptz.",
        "not_null": "Rows without a value are rejected.",
        "checks": "Terms of the contract: rows that fail go to quarantine.",
    },
    "Cursor": {
        "column": "The column that grows.",
        "lag": "How far back from the highest value to read again: 10 minutes, or a number.",
        "start": "Where the first load begins.",
    },
    "Parallel": {"column": "A column of numbers or times.", "parts": "How many ranges are read."},
    "SchemaContract": {
        "tables": "New tables: evolve or freeze.",
        "columns": "New columns: evolve, freeze, discard_row, discard_value.",
        "data_type": "Values of another type: evolve, freeze, discard_row, discard_value.",
        "is_agnostic": "Everything is kept as it comes.",
    },
    "ModelHeader": {
        **_SHARED,
        "kind": "How the model is kept: table (default), view, {incremental: ..}, {snapshot: ..}.",
        "columns": "What is said of its columns: a description alone, or description, type, labels, checks.",
    },
    "ModelColumn": {**_SHARED, "type": "The type it must have."},
    "UnitTest": {
        "name": "The test's name; the file's by default.",
        "model": "The model under test: schema.table.",
        "description": "What it shows.",
        "given": "Rows of every table the model reads.",
        "expect": "The rows that must come out; columns left out aren't compared.",
        "ordered": "Whether the order of rows counts.",
        "now": "What now() and its like give.",
    },
    "GivenTable": {"rows": "The rows.", "columns": "Types of columns the rows don't tell."},
}
