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
    "policy": ("Headwater policies", "policies/<name>.yaml: who may do what, and what they see instead of a value. All files count together."),
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

_ACTIONS = {
    "select": "Read these tables.",
    "export": "Send these tables out by an export.",
    "run": "Load and build these tables.",
    "publish": "Publish, roll back and discard these tables.",
    "quarantine": "See and replay rejected rows of these tables.",
    "audit": "Read what was asked of these tables.",
    "detokenize": "Turn tokens in these tables back into values.",
    "approve": "Approve requests for access to these tables.",
    "admin": "Change who may do what with these tables.",
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
        "security": "How people and programs say who they are: passwords, OpenID Connect.",
    },
    "SecurityConfig": {
        "passwords": "What is asked of people's passwords.",
        "oidc": "OpenID Connect providers whose tokens are taken, by a name of your own.",
    },
    "PasswordConfig": {
        "min_length": "The fewest characters of a password.",
        "breach_list": "A file of passwords nobody may have: one a line, or SHA-1 hashes in order as Have I Been Pwned gives them.",
        "rotate_after": "How old a person's password may become before it must be changed: 90 days. Without it, never.",
        "lockout_after": "After how many wrong passwords in a row a user must wait.",
        "lockout": "How long the first wait is; it doubles with each further failure.",
        "lockout_max": "The longest wait.",
    },
    "OidcConfig": {
        "issuer": "The provider's address, as its tokens name it.",
        "audience": "Whom tokens must be meant for: the client id, or several.",
        "name_claim": "The claim that names the user.",
        "groups_claim": "The claim that lists groups.",
        "groups": "The provider's groups, each with the groups here that it means. Others are ignored; without any, names are taken as they are.",
        "algorithms": "Signatures that are taken.",
        "leeway": "How far the provider's clock may be off.",
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
    "PolicyFile": {
        "roles": "Bundles of rights, by name.",
        "groups": "People and service accounts that share roles, by name.",
        "masks": "What is seen instead of a value without the right to see it, by label or by schema.table.column; the most specific wins.",
        "deny": "What nobody of a role, a group, or one user may do, whatever is granted.",
        "declassify": "Columns that labels of what they are computed from don't reach, each with the reason.",
        "influence": "Whether labels also come from columns that only decided which rows there are.",
        "network": "From where one may come; what isn't named may come from anywhere.",
    },
    "Role": {
        "description": "What it is for.",
        "grants": "What it may do.",
        "limits": "What one query of it may take.",
    },
    "Grant": {
        **_ACTIONS,
        "columns": "The columns it is about; all by default.",
        "where": "A condition over the table's own columns: only rows for which it is true. current_user() and current_groups() may be used.",
        "from": "When it begins: a date (its midnight, UTC) or a time.",
        "until": "When it ends, itself excluded: a date (its midnight, UTC) or a time.",
        "purpose": "It holds in sessions that state one of these purposes.",
        "unmask": "Labels seen in clear; a column is when they cover all of its labels.",
    },
    "Deny": {
        **_ACTIONS,
        "columns": "The columns it takes away; the whole table by default.",
        "role": "Whom it is about: all who have this role.",
        "group": "Whom it is about: all in this group.",
        "user": "Whom it is about: one user.",
    },
    "Group": {"roles": "The roles its members have.", "members": "Names of users and service accounts."},
    "Limits": {
        "rows": "The most rows of one result.",
        "bytes": "The most bytes of one result.",
        "seconds": "The longest a query may run.",
        "concurrency": "How many queries one of them may have running at once.",
    },
    "Declassifier": {
        "column": "The column of a model: schema.table.column.",
        "labels": "The labels that don't reach it, and those under them.",
        "by": "What was done to the values: hash, token, count, aggregate, or a review by people.",
        "reason": "Why that is enough.",
    },
    "Network": {
        "doors": "Addresses or networks by door: local, postgres, flight, http.",
        "users": "Addresses or networks by user.",
        "roles": "Addresses or networks by role.",
    },
    "GivenTable": {"rows": "The rows.", "columns": "Types of columns the rows don't tell."},
}
