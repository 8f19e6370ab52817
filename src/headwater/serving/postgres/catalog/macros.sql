-- Functions of pg_catalog that clients call, over the tables of hw_pg: each stands behind `hw_`.
CREATE TABLE hw_pg.hw_relations AS
SELECT c.oid, c.relname, n.nspname AS schema_name, count(*) OVER (PARTITION BY c.relname) = 1 AS is_alone,
  CASE WHEN regexp_full_match(n.nspname, '[a-z_][a-z0-9_$]*') THEN n.nspname ELSE '"' || replace(n.nspname, '"', '""') || '"' END
  || '.' ||
  CASE WHEN regexp_full_match(c.relname, '[a-z_][a-z0-9_$]*') THEN c.relname ELSE '"' || replace(c.relname, '"', '""') || '"' END AS written
FROM hw_pg.pg_class c JOIN hw_pg.pg_namespace n ON n.oid = c.relnamespace
UNION ALL SELECT oid, relname, 'pg_catalog', true, relname FROM hw_pg.hw_system;

CREATE MACRO hw_format_type(o, m) AS (
  SELECT CASE
    WHEN o IS NULL THEN NULL
    WHEN o = 1700 AND m >= 4 THEN 'numeric(' || ((m - 4) >> 16) || ',' || ((m - 4) & 65535) || ')'
    ELSE coalesce((SELECT sql_name FROM hw_pg.hw_types WHERE hw_types.oid = o), '???')
  END
);
-- With a search path that names no schema of tables, all are listed: of one name in two schemas too.
CREATE MACRO hw_table_is_visible(o, path) AS (
  o IN (SELECT v.oid FROM hw_pg.hw_relations v WHERE v.is_alone OR list_contains(path, v.schema_name) OR len(list_filter(path, lambda s: s <> 'public')) = 0)
);
CREATE MACRO hw_regclass(n) AS (
  SELECT min(v.oid) FROM hw_pg.hw_relations v
  WHERE v.schema_name || '.' || v.relname = replace(n, '"', '') OR ((v.is_alone OR v.schema_name = 'public') AND v.relname = replace(n, '"', ''))
);
CREATE MACRO hw_regclass_name(o) AS (
  coalesce((SELECT CASE WHEN v.schema_name = 'pg_catalog' THEN v.relname ELSE v.written END FROM hw_pg.hw_relations v WHERE v.oid = o), o::VARCHAR)
);
CREATE MACRO hw_regtype(n) AS (
  SELECT min(t.oid) FROM hw_pg.hw_types t WHERE t.typname = replace(lower(n), 'pg_catalog.', '') OR t.sql_name = replace(lower(n), 'pg_catalog.', '')
);
CREATE MACRO hw_regnamespace_name(o) AS (coalesce((SELECT nspname FROM hw_pg.pg_namespace n WHERE n.oid = o), o::VARCHAR));
CREATE MACRO hw_regnamespace(n) AS (SELECT min(s.oid) FROM hw_pg.pg_namespace s WHERE s.nspname = n);
CREATE MACRO hw_role_name(o) AS (coalesce((SELECT rolname FROM hw_pg.pg_roles r WHERE r.oid = o), 'unknown (OID=' || o || ')'));
CREATE MACRO hw_constraintdef(o) AS (SELECT max(d.definition) FROM hw_pg.hw_constraints d WHERE d.oid = o);
CREATE MACRO hw_indexdef(o) AS (SELECT max(d.definition) FROM hw_pg.hw_indexes d WHERE d.oid = o);
CREATE MACRO hw_index_column(o, n) AS (SELECT max(d.columns[n::BIGINT])::VARCHAR FROM hw_pg.hw_indexes d WHERE d.oid = o);
CREATE MACRO hw_description(o, s) AS (SELECT max(d.description) FROM hw_pg.pg_description d WHERE d.objoid = o AND d.objsubid = s);
CREATE MACRO hw_nothing(a) AS (NULL::VARCHAR);
CREATE MACRO hw_expandarray(a) AS (unnest(list_transform(range(1, len(a) + 1), lambda i: {'x': a[i], 'n': i})));
-- All that is given is to the user whose catalog this is.
CREATE MACRO hw_aclexplode(a) AS (
  unnest(list_transform(a, lambda e: {'grantor': 10::UINTEGER, 'grantee': 10::UINTEGER, 'privilege_type': 'SELECT', 'is_grantable': false}))
);
CREATE MACRO hw_quote_ident(n) AS (CASE WHEN regexp_full_match(n, '[a-z_][a-z0-9_$]*') THEN n ELSE '"' || replace(n, '"', '""') || '"' END);
CREATE MACRO hw_quote_literal(n) AS ('''' || replace(n, '''', '''''') || '''');
CREATE MACRO hw_array_bound(a, d) AS (CASE WHEN d = 1 AND len(a) > 0 THEN len(a)::INTEGER END);
CREATE MACRO hw_array_lower(a, d) AS (CASE WHEN d = 1 AND len(a) > 0 THEN 1 END);
CREATE MACRO hw_subscripts(a) AS (unnest(range(1, len(a) + 1)));
CREATE MACRO hw_is_any(x, l) AS (list_contains(l, x));
CREATE MACRO hw_encoding(e) AS (CASE e WHEN 6 THEN 'UTF8' ELSE '' END);
CREATE MACRO hw_qualified(a, b) AS (hw_quote_ident(a) || '.' || hw_quote_ident(b));
CREATE MACRO hw_parse_ident(n) AS (string_split(replace(n, '"', ''), '.'));
-- Integers alone are computed with: of others the two know different numbers of digits.
CREATE MACRO hw_is_whole(n) AS (typeof(n) IN ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', '"NULL"'));
CREATE MACRO hw_div(a, b) AS (
  CASE WHEN NOT (hw_is_whole(a) AND hw_is_whole(b)) THEN error('the catalog divides integers alone') WHEN b = 0 THEN error('division by zero') ELSE a // b END
);
CREATE MACRO hw_mod(a, b) AS (
  CASE WHEN NOT (hw_is_whole(a) AND hw_is_whole(b)) THEN error('the catalog divides integers alone') WHEN b = 0 THEN error('division by zero') ELSE a % b END
);
CREATE MACRO hw_numeric(n) AS (CASE WHEN hw_is_whole(n) THEN n::DECIMAL(38, 0) ELSE error('numeric without a scale is known of integers alone') END);
CREATE MACRO hw_from(n) AS (CASE WHEN n < 0 THEN error('a substring from before the beginning') ELSE n END);
CREATE MACRO hw_size_pretty(n) AS (CASE WHEN abs(n) < 10240 THEN n::BIGINT || ' bytes' WHEN n IS NOT NULL THEN error('pg_size_pretty knows sizes below 10240') END);
