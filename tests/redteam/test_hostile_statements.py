# ruff: noqa: E501 -- a statement stands on one line
"""Hundreds of statements written to get at what their reader may not see: each is refused, or gives nothing that is hidden."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from kit import COLUMNS, SECRETS, access, fill

from headwater.errors import HeadwaterError
from headwater.security.audited import Audited
from headwater.storage import Lake

C = "shop.customers"
STATEMENTS: list[str] = []


def attack(*statements: str) -> None:
    STATEMENTS.extend(statements)


# -- other names for the same thing
for name in (
    "lake.shop.customers",
    '"lake"."shop"."customers"',
    "lake.main.customers",
    "lake.headwater.definitions",
    "headwater.definitions",
    "headwater.columns",
    "headwater.loads",
    "headwater.positions",
    "headwater.publications",
    "headwater.quarantine",
    "headwater.verdicts",
    "headwater.format",
    "headwater.audit",
    "vault.hidden_tokens",
    "VAULT.HIDDEN_TOKENS",
    '"vault"."hidden_tokens"',
    "marts.hidden_salaries",
    "shop.rights",
    "memory.main.customers",
    "temp.main.customers",
    "system.main.duckdb_tables",
    "main.customers",
    "customers",
    "information_schema.tables",
    "information_schema.columns",
    "information_schema.schemata",
    "pg_catalog.pg_tables",
    "pg_catalog.pg_class",
    "pg_catalog.pg_attribute",
    "pg_catalog.pg_views",
    "pg_class",
    "pg_tables",
    "sqlite_master",
    "sqlite_schema",
    "duckdb_tables",
    "duckdb_views",
    "duckdb_columns",
    "duckdb_settings",
    "duckdb_secrets",
    "pragma_database_list",
    "lake.ducklake_table",
    "__ducklake_metadata_lake.ducklake_data_file",
    "__ducklake_metadata_lake.main.ducklake_table",
    "'data/main/shop/customers/*.parquet'",
    "'**/*.parquet'",
    "'/etc/passwd'",
    "'lake.sqlite'",
    "'s3://bucket/x.parquet'",
    '"a.parquet"',
    "shop.customers$snapshots",
    "shop.\u0441ustomers",
    "shop.customers\u200b",
    "\uff53\uff48\uff4f\uff50.customers",
):
    attack(f"SELECT * FROM {name}", f"WITH t AS (FROM {name}) SELECT count(*), min(t) FROM t")

# -- table functions
for call in (
    "query('SELECT * FROM shop.customers')",
    "query('SELECT ssn FROM lake.shop.customers')",
    "query_table('lake.shop.customers')",
    "query_table(['lake.shop.customers'])",
    "read_parquet('**/*.parquet')",
    "parquet_scan('data/*')",
    "parquet_metadata('**/*.parquet')",
    "parquet_schema('**/*.parquet')",
    "parquet_file_metadata('**/*.parquet')",
    "parquet_kv_metadata('**/*.parquet')",
    "parquet_bloom_probe('**/*.parquet', 'ssn', 'x')",
    "read_csv('/etc/passwd')",
    "read_csv_auto('/etc/passwd')",
    "read_text('/etc/passwd')",
    "read_blob('/etc/passwd')",
    "read_json('/etc/passwd')",
    "read_json_auto('x.json')",
    "read_ndjson('x')",
    "read_duckdb('lake.sqlite')",
    "sniff_csv('/etc/passwd')",
    "glob('/*')",
    "glob('**')",
    "sqlite_scan('lake.sqlite', 'ducklake_table')",
    "sqlite_query('lake', 'SELECT 1')",
    "ducklake_list_files('lake', 'customers')",
    "ducklake_snapshots('lake')",
    "ducklake_table_info('lake')",
    "ducklake_table_insertions('lake', 'shop', 'customers', 0, 99)",
    "ducklake_table_changes('lake', 'shop', 'customers', 0, 99)",
    "ducklake_table_deletions('lake', 'shop', 'customers', 0, 99)",
    "ducklake_options('lake')",
    "ducklake_settings('lake')",
    "ducklake_current_snapshot('lake')",
    "ducklake_scan('lake')",
    "lake.snapshots()",
    "lake.current_snapshot()",
    "duckdb_tables()",
    "duckdb_views()",
    "duckdb_columns()",
    "duckdb_databases()",
    "duckdb_settings()",
    "duckdb_secrets()",
    "duckdb_functions()",
    "duckdb_logs()",
    "duckdb_memory()",
    "duckdb_temporary_files()",
    "duckdb_prepared_statements()",
    "duckdb_table_sample('lake.shop.customers')",
    "duckdb_external_file_cache()",
    "duckdb_variables()",
    "pragma_table_info('lake.shop.customers')",
    "pragma_storage_info('lake.shop.customers')",
    "pragma_show('lake.shop.customers')",
    "pragma_version()",
    "pragma_database_size()",
    "histogram_values('lake.shop.customers', 'ssn')",
    "histogram('lake.shop.customers', 'ssn')",
    "json_execute_serialized_sql('{}')",
    "which_secret('s3://x', 's3')",
    "summary((SELECT * FROM lake.shop.customers))",
    "test_all_types()",
    "seq_scan()",
    "checkpoint()",
    "arrow_scan(1, 2, 3)",
    "pandas_scan(1)",
    "getenv('HOME')",
    "shell('id')",
):
    attack(f"SELECT * FROM {call}", f"SELECT (SELECT count(*) FROM {call}), id FROM {C}")

# -- functions
for call in (
    "getenv('HOME')",
    "current_setting('home_directory')",
    "current_setting('temp_directory')",
    "getvariable('x')",
    "current_query()",
    "current_database()",
    "current_catalog()",
    "current_schemas(true)",
    "in_search_path('lake', 'shop')",
    "stats(balance)",
    "stats(points)",
    "vector_type(email)",
    "alias(email)",
    "error(email)",
    "write_log(email)",
    "sleep_ms(1)",
    "pg_sleep(1)",
    "nextval('x')",
    "currval('x')",
    "pg_get_viewdef(1)",
    "pg_get_constraintdef(1, true)",
    "obj_description(1, 'pg_class')",
    "col_description(1, 1)",
    "has_table_privilege('lake.shop.customers', 'select')",
    "json_serialize_plan('SELECT 1')",
    "json_serialize_sql('SELECT 1')",
    "json_deserialize_sql('{}')",
    "create_sort_key(email, 'ASC')",
    "finalize(1)",
    "combine(1, 2)",
    "list_aggregate([1], 'first' || '')",
    "list_aggregate(tags, email)",
    "list_aggr(tags, 'histogram_exact2')",
    "aggregate(tags, $$error$$)",
    "system.main.getenv('HOME')",
    "lake.shop.f(1)",
    "memory.main.f(1)",
    "pg_catalog.pg_get_viewdef(1)",
    "chr(points)",
    "epoch_ms(points::BIGINT * 1000000000000)",
    "make_timestamp_ms(points::BIGINT * 100000000000000)",
    "make_timestamp_ns(points::BIGINT * 100000000000)",
    "to_timestamp(points::DOUBLE * 1e15)",
    "epoch_ns(born)",
    "epoch_us(born)",
    "to_base(points, 2)",
    "json_object(code, 1)",
    "txid_current()",
    "current_transaction_id()",
    "current_connection_id()",
    "version()",
    "setseed(0.5)",
    "inet_server_addr()",
    "unknown_function(email)",
):
    attack(f"SELECT {call} FROM {C}", f"SELECT id FROM {C} WHERE {call} IS NOT NULL")

# -- statements
attack(
    "PREPARE p AS SELECT * FROM lake.shop.customers",
    "EXECUTE p",
    "DEALLOCATE p",
    f"EXPLAIN SELECT * FROM {C}",
    f"EXPLAIN ANALYZE SELECT * FROM {C}",
    f"EXPLAIN (FORMAT json) SELECT * FROM {C}",
    "SHOW TABLES",
    "SHOW ALL TABLES",
    "SHOW DATABASES",
    "SHOW SCHEMAS",
    "SHOW lake.shop.customers",
    "FROM (SHOW ALL TABLES)",
    "FROM (SHOW DATABASES)",
    "DESCRIBE lake.shop.customers",
    "DESCRIBE vault.hidden_tokens",
    "SUMMARIZE lake.shop.customers",
    "SUMMARIZE vault.hidden_tokens",
    "USE lake",
    "USE lake.shop",
    "ATTACH 'lake.sqlite' AS x",
    "ATTACH IF NOT EXISTS ':memory:' AS y",
    "DETACH lake",
    f"COPY {C} TO '/tmp/x.csv'",
    "COPY lake.shop.customers TO '/tmp/x.csv'",
    f"COPY (SELECT * FROM {C}) TO '/dev/stdout'",
    "COPY lake.shop.customers FROM '/etc/passwd'",
    "EXPORT DATABASE '/tmp/x'",
    "IMPORT DATABASE '/tmp/x'",
    "SET threads = 1",
    "SET VARIABLE x = (SELECT max(ssn) FROM lake.shop.customers)",
    "SET GLOBAL enable_external_access = true",
    "RESET threads",
    "PRAGMA database_list",
    "PRAGMA show_tables",
    "PRAGMA table_info('lake.shop.customers')",
    "PRAGMA storage_info('lake.shop.customers')",
    "PRAGMA enable_profiling",
    "CALL pragma_version()",
    "CALL ducklake_snapshots('lake')",
    "INSERT INTO lake.shop.customers SELECT 1",
    "UPDATE lake.shop.customers SET ssn = ''",
    "DELETE FROM lake.shop.customers",
    "MERGE INTO lake.shop.customers USING shop.orders ON true WHEN MATCHED THEN DELETE",
    "TRUNCATE lake.shop.customers",
    "CREATE TABLE x AS SELECT * FROM lake.shop.customers",
    "CREATE TEMP TABLE x AS SELECT * FROM lake.shop.customers",
    "CREATE VIEW x AS SELECT * FROM lake.shop.customers",
    "CREATE MACRO f() AS (SELECT max(ssn) FROM lake.shop.customers)",
    "CREATE MACRO lower(x) AS x",
    "CREATE TYPE t AS ENUM (SELECT ssn FROM lake.shop.customers)",
    "CREATE SECRET s (TYPE s3)",
    "CREATE SEQUENCE s",
    "DROP TABLE lake.shop.customers",
    "ALTER TABLE lake.shop.customers ADD COLUMN x INTEGER",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CHECKPOINT lake",
    "VACUUM",
    "ANALYZE",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "COMMENT ON TABLE lake.shop.customers IS 'x'",
    f"SELECT 1; SELECT * FROM {C}",
    f"SELECT 1;; DROP TABLE lake.{C}",
    f"SELECT * FROM {C}; --",
    "",
    ";",
    "-- nothing",
    "/* SELECT */",
    "SELECT /* */ * FROM /* x */ lake /**/ . /**/ shop . customers",
    "SELECT * FROM lake.shop.customers -- shop.customers",
    "SELECT * FROM shop.customers /* ' */ UNION ALL SELECT * FROM lake.shop.customers --'",
    "SEL\u0415CT 1",
    "SELECT\u00a0*\u00a0FROM\u00a0lake.shop.customers",
    "FROM lake.shop.customers",
    "TABLE lake.shop.customers",
    "(TABLE vault.hidden_tokens)",
    "VALUES ((SELECT max(token) FROM vault.hidden_tokens))",
    "PIVOT shop.customers ON email USING count(*)",
    "PIVOT lake.shop.customers ON ssn IN ('hidden_a') USING count(*)",
    f"PIVOT {C} ON ssn IN ('hidden_a') USING count(*)",
    f"UNPIVOT {C} ON ssn INTO NAME n VALUE v",
    f"UNPIVOT {C} ON COLUMNS(*) INTO NAME n VALUE v",
    f"PIVOT {C} ON country IN (SELECT ssn FROM lake.shop.customers) USING count(*)",
)

# -- hidden columns by whatever name
for column in (
    "ssn",
    "rowid",
    "filename",
    "file_row_number",
    "file_index",
    "snapshot_id",
    "_ducklake_internal_snapshot_id",
    "row_id",
    "tableoid",
    "ctid",
):
    attack(
        f"SELECT {column} FROM {C}",
        f"SELECT customers.{column} FROM {C}",
        f"SELECT shop.customers.{column} FROM {C}",
        f"SELECT c.{column} FROM {C} c",
        f"SELECT id FROM {C} ORDER BY {column}",
        f"SELECT count(*) FROM {C} GROUP BY {column}",
        f"SELECT id FROM {C} WHERE {column} IS NOT NULL",
        f"SELECT max({column}) OVER () FROM {C}",
        f"SELECT a.id FROM {C} a JOIN {C} b USING ({column})",
    )
attack(
    f"SELECT * EXCLUDE (ssn) FROM {C}",
    f"SELECT * REPLACE (ssn AS email) FROM {C}",
    f"SELECT COLUMNS('ssn|email') FROM {C}",
    f"SELECT COLUMNS('.*') FROM {C}",
    f"SELECT COLUMNS(c -> c = 'ssn') FROM {C}",
    f"SELECT COLUMNS(lambda c: c LIKE '%ss%') FROM {C}",
    f"SELECT customers FROM {C}",
    f"SELECT customers.* FROM {C}",
    f"SELECT to_json(customers) FROM {C}",
    f"SELECT struct_extract(customers, 'ssn') FROM {C}",
    f"SELECT (customers).ssn FROM {C}",
    f"SELECT unnest(customers) FROM {C}",
    f"SELECT row(customers.*) FROM {C}",
    f"SELECT c FROM {C} c(ssn, a, b)",
    f"SELECT ssn FROM {C} AS c(a, b, ssn)",
    f"SELECT email AS ssn FROM {C} WHERE ssn LIKE '%'",
    f"SELECT 'x' AS ssn, id FROM {C} ORDER BY ssn",
    f"SELECT extra.b FROM {C}",
    f"SELECT extra['b'] FROM {C}",
    f"SELECT struct_extract(extra, 'b') FROM {C}",
    f"SELECT struct_values(extra) FROM {C}",
    f"SELECT extra::VARCHAR FROM {C}",
    f"SELECT to_json(extra) FROM {C}",
    f"SELECT unnest(extra, recursive := true) FROM {C}",
    f"SELECT struct_keys(extra) FROM {C}",
    f"SELECT list_transform(tags, x -> x + points) FROM {C}",
    f"SELECT list_filter([email], x -> x LIKE '%s3cr%') FROM {C}",
    f"SELECT list_reduce([1, 2], (a, b) -> a + (SELECT max(points) FROM {C})) FROM {C}",
    f"SELECT [x.email FOR x IN [customers]] FROM {C}",
    f"SELECT NATURAL FROM {C}",
    f"SELECT * FROM {C} NATURAL JOIN (SELECT 'hidden_a' AS ssn)",
    f"SELECT * FROM {C} NATURAL JOIN (SELECT 'ann.s' || '3cr3t@example.org' AS email)",
    f"SELECT * FROM {C} JOIN (SELECT 'x' AS ssn) USING (ssn)",
    f"SELECT * FROM {C} AT (VERSION => 1)",
    f"SELECT * FROM {C} AT (TIMESTAMP => now())",
    f"SELECT * FROM {C} AT (VERSION => 0) c",
    f"SELECT #7 FROM {C}",
    f"SELECT id FROM {C} ORDER BY 7",
    f"SELECT * FROM {C} USING SAMPLE 100%",
    f"SELECT * FROM {C} TABLESAMPLE 100% REPEATABLE (1)",
    f"SELECT DISTINCT ON (ssn) id FROM {C}",
    f"SELECT id FROM {C} QUALIFY row_number() OVER (ORDER BY ssn) = 1",
    f"SELECT sum(points) FILTER (WHERE ssn = 'hidden_a') FROM {C}",
    f"SELECT string_agg(email, ',' ORDER BY ssn) FROM {C}",
    f"SELECT arg_max(id, ssn) FROM {C}",
    f"SELECT histogram(ssn) FROM {C}",
    f"SELECT approx_top_k(email, 3) FROM {C}",
    f"SELECT list(email) FROM {C}",
    f"SELECT mode(email), any_value(email), first(email) FROM {C}",
    f"SELECT min(email), max(email), max(born), min(born) FROM {C}",
    f"SELECT (SELECT max(ssn) FROM {C}) ",
    f"SELECT (SELECT max(id) FROM {C})",
    f"SELECT * FROM (SELECT (SELECT max(id) FROM {C}) + 1)",
    f"SELECT 1 IN (SELECT id FROM {C}), EXISTS (FROM {C}), ARRAY(SELECT email FROM {C})",
    f"SELECT struct_pack(a := (SELECT max(id) FROM {C}))",
    f"SELECT unnest([(SELECT max(id) FROM {C})])",
    f"SELECT COLUMNS(*) + (SELECT max(id) FROM {C}) FROM shop.orders",
    f"DESCRIBE SELECT (SELECT max(email) FROM {C})",
    f"PIVOT shop.orders ON id IN (1, 2) USING sum((SELECT max(id) FROM {C})), count(*)",
    f"PIVOT shop.orders ON id IN (1, 2) USING sum((SELECT max(id) FROM {C}))",
    "SELECT current_user(), current_groups(), (WITH a AS (SELECT 1 AS x) SELECT x FROM a)",
    f"SELECT case when exists (from {C}) then 1 end",
    f"SELECT sum((SELECT max(id) FROM {C})) OVER () FROM shop.orders",
    f"SELECT EXISTS (SELECT ssn FROM {C})",
    f"SELECT id FROM {C} c WHERE EXISTS (SELECT 1 FROM lake.shop.customers x WHERE x.id = c.id AND x.ssn = 'hidden_a')",
    f"SELECT id FROM {C}, LATERAL (SELECT ssn) l",
    f"SELECT id FROM {C} c, LATERAL (SELECT c.ssn) l",
    f"WITH customers AS (SELECT 1 AS id, 'x' AS ssn) SELECT shop.customers.ssn FROM {C}",
    "WITH customers AS (FROM lake.shop.customers) FROM customers",
    "WITH lake AS (SELECT 1) SELECT * FROM lake.shop.customers",
    "WITH shop AS (SELECT 1 AS customers) SELECT shop.customers.ssn FROM shop",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r, lake.shop.customers WHERE n < 3) FROM r",
    "WITH RECURSIVE r(n) USING KEY (n) AS (SELECT 1 UNION SELECT n FROM recurring.customers) FROM r",
    "WITH t AS (SELECT 1) SELECT * FROM recurring.t",
    "WITH duckdb_tables AS (SELECT 1) SELECT * FROM system.main.duckdb_tables",
    "WITH x AS MATERIALIZED (SELECT * FROM vault.hidden_tokens) SELECT 1",
    "WITH unused AS (SELECT * FROM vault.hidden_tokens) SELECT 1",
    f"SELECT * FROM {C} WHERE false UNION ALL BY NAME SELECT * FROM vault.hidden_tokens",
    f"SELECT 1 FROM {C} EXCEPT SELECT 1 FROM lake.shop.customers",
    f"SELECT * FROM (SELECT 'NO' AS country, 'ada' AS name) x, {C}",
    f"SELECT * FROM (SELECT 'SE' AS country) x JOIN {C} ON true WHERE x.country = 'SE'",
    f"SELECT * FROM {C} WHERE country = 'SE'",
    f"SELECT * FROM {C} WHERE id = 3 OR true",
    f"SELECT count(*) FROM {C} WHERE country <> 'NO' OR country IS NULL",
    f"SELECT id FROM {C} WHERE email = 'ann.s3cr3t@example.org'",
    f"SELECT id FROM {C} WHERE email LIKE '%s3cr3t%'",
    f"SELECT id FROM {C} WHERE born = DATE '1911-11-11'",
    f"SELECT a.id FROM {C} a JOIN (SELECT 'ann.s' || '3cr3t@example.org' AS email) b ON a.email = b.email",
    f"SELECT CAST(email AS INTEGER) FROM {C}",
    f"SELECT CAST(ssn AS INTEGER) FROM {C}",
    f"SELECT email::DATE FROM {C}",
    f"SELECT email::shop.customers FROM {C}",
    f"SELECT email::mytype FROM {C}",
    f"SELECT CAST(email AS lake.shop.t) FROM {C}",
    f"SELECT x.ssn FROM (FROM {C}) x",
    f"SELECT * FROM (DESCRIBE {C}) WHERE column_name = 'ssn'",
    f"SUMMARIZE {C}",
    f"SUMMARIZE SELECT email, extra, tags FROM {C}",
    f"DESCRIBE {C}",
    f'SELECT email COLLATE "nocase\'; DROP" FROM {C}',
    f"SELECT typeof(ssn) FROM {C}",
    f'SELECT id AS "a\'; SELECT * FROM lake.shop.customers --" FROM {C}',
    f'SELECT id AS "a""; SELECT * FROM lake.shop.customers --" FROM {C}',
    f'SELECT * FROM {C} AS "x"" JOIN lake.shop.customers --"',
    f"SELECT '$$' || email || '$$' FROM {C}",
    f"SELECT $$'; FROM lake.shop.customers --$$ FROM {C}",
    f"SELECT E'\\'; FROM lake.shop.customers --' FROM {C}",
    f"SELECT * FROM {C} LIMIT (SELECT max(amount) FROM vault.hidden_tokens)",
    f"SELECT * FROM {C} OFFSET (SELECT count(*) FROM lake.shop.customers)",
    "SELECT * FROM range((SELECT max(amount) FROM vault.hidden_tokens))",
    "SELECT * FROM unnest((SELECT list(token) FROM vault.hidden_tokens))",
    "SELECT * FROM json_each((SELECT to_json(t) FROM vault.hidden_tokens t))",
    "SELECT * FROM generate_series(1, 3) g(i), LATERAL (FROM lake.shop.customers) x",
    f"SELECT $1 FROM {C}",
    "SELECT * FROM marts.by_country c, LATERAL (SELECT c.email) x",
    "SELECT customers.ssn FROM marts.by_country",
    "SELECT shop.customers.ssn FROM marts.by_country",
    "SELECT id FROM marts.by_country",
)

# -- errors as oracles: the visible rows give no error, so any must come from a hidden one
for condition in (
    "code::INTEGER > 0",
    "CAST(code AS INTEGER) > 0",
    "code::INTEGER::BOOLEAN",
    "1 / (points - -99887766) IS NOT NULL",
    "(points + 99887766)::UTINYINT IS NOT NULL OR true",
    "points::UTINYINT > 0",
    "sqrt(points) > 0",
    "ln(points) > 0",
    "factorial(points) > 0",
    "(-points)::INTEGER * 100 < 0",
    "CASE WHEN country = 'SE' THEN error('x') ELSE true END",
    "CASE WHEN country = 'SE' THEN 'x'::INTEGER > 0 ELSE true END",
    "balance::DECIMAL(5, 2) > -100",
    "(balance * 1000000000)::BIGINT > -1000000000000000",
    "('2020-01-' || least(points % 10, 9))::DATE IS NOT NULL OR true",
    "strptime(code, '%d') IS NOT NULL",
    "list_extract(tags, 1)::UTINYINT >= 0 OR true",
    "tags[1]::UTINYINT >= 0 OR true",
    "repeat('x', points) <> ''",
    "make_date(2020, 1, points % 28) IS NOT NULL",
    "code::UTINYINT IN (SELECT amount FROM shop.orders) OR true",
    "from_hex(code) IS NOT NULL",
    "chr(points) <> ''",
):
    attack(f"SELECT id FROM {C} WHERE {condition}")
ORACLES = STATEMENTS[-23:]


@pytest.fixture(scope="module", params=["lake", "files", "memory"])
def lake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    from lakes import keep_hot, make_place

    with make_place(tmp_path_factory.mktemp("redteam"), "sqlite") as place:
        lake = fill(place)
        if request.param == "files":
            lake.keep_connections()
        elif request.param == "memory":
            keep_hot(lake)
        yield lake


def outcome(lake: Lake, sql: str, role: str = "analyst") -> tuple[str, str]:
    """What a reader is told in all: rows with names and types, or the error with everything that hangs on it."""
    parameters = ("x",) if "$1" in sql else ()
    try:
        with lake.read_as(access(role), sql, parameters=parameters) as reading:
            return "rows", repr((reading.columns, reading.types, reading.fetchall()))
    except HeadwaterError as error:
        assert error.__cause__ is None  # noqa: PT017 -- only some statements raise
        assert error.__context__ is None or error.__suppress_context__  # noqa: PT017 -- only some statements raise
        return "error", str(error)


def leaks(sql: str, text: str) -> list[str]:
    """Secrets told that the reader didn't write themselves."""
    return [secret for secret in (*SECRETS, "ducklake-", ".parquet", "lake.sqlite") if secret in text and secret not in sql]


def test_there_are_enough_of_them() -> None:
    assert len(set(STATEMENTS)) >= 400


def test_no_hostile_statement_reveals_anything(lake: Lake) -> None:
    found = {}
    for sql in dict.fromkeys(STATEMENTS):
        _, text = outcome(lake, sql)
        if leaks(sql, text):
            found[sql] = text
    assert not found


def test_rows_that_a_filter_hides_change_nothing_that_is_told(lake: Lake) -> None:
    for sql in dict.fromkeys(STATEMENTS):
        what, text = outcome(lake, sql)
        assert what != "rows" or "cy***" not in text, sql


@pytest.mark.parametrize("lake", ["lake"], indirect=True)  # no row is read: where they lie changes nothing
def test_what_could_not_be_asked_cannot_be_explained(lake: Lake) -> None:
    """But a value that doesn't fit, which only running a query finds."""
    told: dict[str, str] = {}
    for sql in dict.fromkeys(STATEMENTS):
        what, text = outcome(lake, f"EXPLAIN {sql}")
        if leaks(sql, text):
            told[sql] = text
        if what == "rows":
            asked, error = outcome(lake, sql)
            if asked == "error" and "HW-Q003" not in error:
                told[sql] = error
    assert told == {}


@pytest.mark.parametrize("sql", ORACLES)
def test_no_error_comes_from_a_hidden_row(lake: Lake, sql: str) -> None:
    """Every visible row passes the expression: an error, unless refused before anything runs, tells that there is a row more."""
    what, text = outcome(lake, sql)
    assert what == "rows" or "HW-Q004" in text or _fails_on_what_is_visible(lake, sql), text


def _fails_on_what_is_visible(lake: Lake, sql: str) -> bool:
    """The same over a table that holds the visible rows and nothing else."""
    visible = "(1,'NO','a***@***.org',DATE '1980-01-01',100.50,'10',12,[1,2]),(2,'NO','b***@***.org',DATE '1990-01-01',200.25,'20',34,[3]),(5,'NO','d***@***.org',DATE '2001-01-01',-5.00,'50',56,[])"
    source = f"(SELECT id, country, email, born, balance::DECIMAL(12, 2) AS balance, code, points, tags::INTEGER[] AS tags FROM (VALUES {visible}) t(id, country, email, born, balance, code, points, tags))"
    try:
        lake.read_as_system(sql.replace("shop.customers", source).replace("shop.orders", "(SELECT 1 AS amount)")).fetchall()
    except HeadwaterError:
        return True
    return False


def test_a_hidden_table_or_column_is_told_as_one_that_does_not_exist(lake: Lake) -> None:
    for hidden, absent in (
        ("vault.hidden_tokens", "vault.hidden_nothing"),
        ("marts.hidden_salaries", "marts.hidden_nothings"),
        ("shop.rights", "shop.wrongs"),
    ):
        assert outcome(lake, f"FROM {hidden}")[1].replace(hidden, "X") == outcome(lake, f"FROM {absent}")[1].replace(absent, "X")
    for form in ("SELECT {} FROM shop.customers", "SELECT id FROM shop.customers ORDER BY {}", "SELECT c.{} FROM shop.customers c"):
        assert outcome(lake, form.format("ssn"))[1].replace("ssn", "X") == outcome(lake, form.format("xyz"))[1].replace("xyz", "X")


def test_the_audit_is_told_what_the_reader_is_not(lake: Lake) -> None:
    records: list[Audited] = []
    reader = replace(access(), audit=records.append)
    with pytest.raises(HeadwaterError) as caught:
        lake.read_as(reader, "SELECT email::INTEGER FROM shop.customers").fetchall()
    assert "q-1" in str(caught.value)
    assert "***" not in str(caught.value)
    assert records[-1].decision == "failed"
    assert "Conversion" in (records[-1].error or "")
    lake.read_as(reader, "SELECT id, email FROM shop.customers").fetchall()
    assert records[-1].decision == "allowed"
    assert records[-1].columns == ("shop.customers.id", "shop.customers.email")
    assert [column.name for column in COLUMNS]


def test_what_the_audit_raises_refuses_the_query(lake: Lake) -> None:
    def broken(record: Audited) -> None:
        raise HeadwaterError("no room for the audit")

    with pytest.raises(HeadwaterError, match="no room"):
        lake.read_as(replace(access(), audit=broken), "SELECT 1")
