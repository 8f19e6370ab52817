-- What follows from the rows of pg_class, pg_attribute and pg_constraint.
INSERT INTO hw_pg.pg_tables BY NAME
SELECT n.nspname AS schemaname, c.relname AS tablename, hw_role_name(c.relowner) AS tableowner, c.relhasindex AS hasindexes,
  false AS hasrules, false AS hastriggers, false AS rowsecurity
FROM hw_pg.pg_class c JOIN hw_pg.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r';
INSERT INTO hw_pg.pg_views BY NAME
SELECT n.nspname AS schemaname, c.relname AS viewname, hw_role_name(c.relowner) AS viewowner, '' AS definition
FROM hw_pg.pg_class c JOIN hw_pg.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'v';
INSERT INTO hw_pg.pg_indexes BY NAME
SELECT i.schema_name AS schemaname, i.table_name AS tablename, i.name AS indexname, i.definition AS indexdef FROM hw_pg.hw_indexes i;
INSERT INTO hw_pg.pg_stat_user_tables BY NAME
SELECT c.oid AS relid, n.nspname AS schemaname, c.relname AS relname FROM hw_pg.pg_class c JOIN hw_pg.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r';
INSERT INTO hw_pg.pg_stat_all_tables BY NAME SELECT * FROM hw_pg.pg_stat_user_tables;
INSERT INTO hw_pg.pg_user BY NAME SELECT rolname AS usename, oid AS usesysid, false AS usecreatedb, rolsuper AS usesuper FROM hw_pg.pg_roles
WHERE rolcanlogin;
-- The words that the engine reads as such: they are Postgres', and a few of its own.
CREATE TABLE hw_pg.pg_get_keywords AS
SELECT keyword_name AS word, CASE keyword_category WHEN 'reserved' THEN 'R' WHEN 'column_name' THEN 'C' WHEN 'type_function' THEN 'T' ELSE 'U' END AS catcode,
  keyword_category <> 'reserved' AS barelabel, keyword_category AS catdesc, '' AS baredesc
FROM duckdb_keywords();

INSERT INTO hw_is.information_schema_catalog_name BY NAME SELECT datname AS catalog_name FROM hw_pg.pg_database;
INSERT INTO hw_is.schemata BY NAME
SELECT d.datname AS catalog_name, n.nspname AS schema_name, hw_role_name(n.nspowner) AS schema_owner
FROM hw_pg.pg_namespace n, hw_pg.pg_database d;
INSERT INTO hw_is.tables BY NAME
SELECT d.datname AS table_catalog, n.nspname AS table_schema, c.relname AS table_name,
  CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'BASE TABLE' END AS table_type, 'NO' AS is_insertable_into, 'NO' AS is_typed
FROM hw_pg.pg_class c JOIN hw_pg.pg_namespace n ON n.oid = c.relnamespace, hw_pg.pg_database d WHERE c.relkind IN ('r', 'v');
INSERT INTO hw_is.views BY NAME
SELECT table_catalog, table_schema, table_name, '' AS view_definition, 'NONE' AS check_option, 'NO' AS is_updatable, 'NO' AS is_insertable_into
FROM hw_is.tables WHERE table_type = 'VIEW';
INSERT INTO hw_is.columns BY NAME
SELECT d.datname AS table_catalog, n.nspname AS table_schema, c.relname AS table_name, a.attname AS column_name, a.attnum::INTEGER AS ordinal_position,
  CASE WHEN a.attnotnull THEN 'NO' ELSE 'YES' END AS is_nullable,
  CASE WHEN t.typcategory = 'A' THEN 'ARRAY' ELSE hw_format_type(t.oid, -1) END AS data_type,
  CASE t.oid WHEN 21 THEN 16 WHEN 23 THEN 32 WHEN 20 THEN 64 WHEN 700 THEN 24 WHEN 701 THEN 53
    WHEN 1700 THEN CASE WHEN a.atttypmod >= 4 THEN (a.atttypmod - 4) >> 16 END END AS numeric_precision,
  CASE WHEN t.oid IN (21, 23, 20, 700, 701) THEN 2 WHEN t.oid = 1700 THEN 10 END AS numeric_precision_radix,
  CASE WHEN t.oid IN (21, 23, 20) THEN 0 WHEN t.oid = 1700 AND a.atttypmod >= 4 THEN (a.atttypmod - 4) & 65535 END AS numeric_scale,
  CASE WHEN t.oid = 1082 THEN 0 WHEN t.oid IN (1083, 1114, 1184, 1186, 1266) THEN 6 END AS datetime_precision,
  CASE WHEN t.typcategory = 'S' THEN 1073741824 END AS character_octet_length,
  d.datname AS udt_catalog, 'pg_catalog' AS udt_schema, t.typname AS udt_name, a.attnum::VARCHAR AS dtd_identifier,
  'NO' AS is_self_referencing, 'NO' AS is_identity, 'NO' AS identity_cycle, 'NEVER' AS is_generated, 'NO' AS is_updatable
FROM hw_pg.pg_attribute a JOIN hw_pg.pg_class c ON c.oid = a.attrelid JOIN hw_pg.pg_namespace n ON n.oid = c.relnamespace
JOIN hw_pg.pg_type t ON t.oid = a.atttypid, hw_pg.pg_database d
WHERE c.relkind IN ('r', 'v') ORDER BY n.nspname, c.relname, a.attnum; -- tools take them as they come
INSERT INTO hw_is.table_constraints BY NAME
SELECT d.datname AS constraint_catalog, n.nspname AS constraint_schema, k.conname AS constraint_name, d.datname AS table_catalog,
  n.nspname AS table_schema, c.relname AS table_name, CASE k.contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'FOREIGN KEY' END AS constraint_type,
  'NO' AS is_deferrable, 'NO' AS initially_deferred, 'YES' AS enforced
FROM hw_pg.pg_constraint k JOIN hw_pg.pg_class c ON c.oid = k.conrelid JOIN hw_pg.pg_namespace n ON n.oid = c.relnamespace, hw_pg.pg_database d;
INSERT INTO hw_is.key_column_usage BY NAME
SELECT d.datname AS constraint_catalog, n.nspname AS constraint_schema, k.conname AS constraint_name, d.datname AS table_catalog,
  n.nspname AS table_schema, c.relname AS table_name, a.attname AS column_name, list_position(k.conkey, a.attnum)::INTEGER AS ordinal_position,
  CASE WHEN k.contype = 'f' THEN list_position(k.conkey, a.attnum)::INTEGER END AS position_in_unique_constraint
FROM hw_pg.pg_constraint k JOIN hw_pg.pg_class c ON c.oid = k.conrelid JOIN hw_pg.pg_namespace n ON n.oid = c.relnamespace
JOIN hw_pg.pg_attribute a ON a.attrelid = c.oid AND list_contains(k.conkey, a.attnum), hw_pg.pg_database d;
INSERT INTO hw_is.constraint_column_usage BY NAME
SELECT d.datname AS table_catalog, n.nspname AS table_schema, c.relname AS table_name, a.attname AS column_name, d.datname AS constraint_catalog,
  m.nspname AS constraint_schema, k.conname AS constraint_name
FROM hw_pg.pg_constraint k JOIN hw_pg.pg_class c ON c.oid = CASE k.contype WHEN 'f' THEN k.confrelid ELSE k.conrelid END
JOIN hw_pg.pg_namespace n ON n.oid = c.relnamespace JOIN hw_pg.pg_namespace m ON m.oid = k.connamespace
JOIN hw_pg.pg_attribute a ON a.attrelid = c.oid AND list_contains(CASE k.contype WHEN 'f' THEN k.confkey ELSE k.conkey END, a.attnum),
hw_pg.pg_database d;
INSERT INTO hw_is.referential_constraints BY NAME
SELECT d.datname AS constraint_catalog, n.nspname AS constraint_schema, k.conname AS constraint_name, d.datname AS unique_constraint_catalog,
  m.nspname AS unique_constraint_schema, u.conname AS unique_constraint_name, 'NONE' AS match_option, 'NO ACTION' AS update_rule,
  'NO ACTION' AS delete_rule
FROM hw_pg.pg_constraint k JOIN hw_pg.pg_namespace n ON n.oid = k.connamespace
LEFT JOIN hw_pg.pg_constraint u ON u.conrelid = k.confrelid AND u.contype = 'p' LEFT JOIN hw_pg.pg_namespace m ON m.oid = u.connamespace,
hw_pg.pg_database d
WHERE k.contype = 'f';
INSERT INTO hw_is.table_privileges BY NAME
SELECT r.rolname AS grantor, r.rolname AS grantee, t.table_catalog, t.table_schema, t.table_name, 'SELECT' AS privilege_type, 'NO' AS is_grantable,
  'YES' AS with_hierarchy
FROM hw_is.tables t, hw_pg.pg_roles r WHERE r.rolcanlogin;
INSERT INTO hw_is.role_table_grants BY NAME SELECT * FROM hw_is.table_privileges;
INSERT INTO hw_is.column_privileges BY NAME
SELECT r.rolname AS grantor, r.rolname AS grantee, t.table_catalog, t.table_schema, t.table_name, t.column_name, 'SELECT' AS privilege_type,
  'NO' AS is_grantable
FROM hw_is.columns t, hw_pg.pg_roles r WHERE r.rolcanlogin;
INSERT INTO hw_is.enabled_roles BY NAME SELECT rolname AS role_name FROM hw_pg.pg_roles;
