What desktop and dashboard tools ask a database for, in words of our own: the catalog's tables, columns, functions, casts, joins, parameters and
settings are those of the versions named, in the shapes they have there. A list behind @q holds the statement's parameters.
The OIDs are those of the tables' names: the schema shop 767628650, shop.orders 144815346.

@@ DBeaver
24.2.4: connecting, the navigator from databases down to columns, keys and indexes, the search and the DDL of tables.
@q
SELECT current_database()
@q
SELECT version()
@q
SHOW search_path
@q
SELECT current_schema(), session_user
@q
SET application_name = 'DBeaver 24.2.4 - Metadata <shop>'
@q
SET search_path = shop,public
@q
SET search_path = "$user",public
@q
SELECT d.oid, d.* FROM pg_catalog.pg_database d WHERE true AND datallowconn AND NOT datistemplate ORDER BY d.datname
@q ["shop"]
SELECT d.oid, d.* FROM pg_catalog.pg_database d WHERE datname = $1
@q
SELECT d.datname FROM pg_catalog.pg_database d WHERE datistemplate
@q [5]
SELECT d.datname, pg_database_size(d.oid) FROM pg_catalog.pg_database d WHERE d.oid = $1
@q ["shop"]
SELECT description FROM pg_shdescription JOIN pg_database ON objoid = pg_database.oid WHERE datname = $1
@q ["standard_conforming_strings"]
SELECT * FROM pg_catalog.pg_settings WHERE name = $1
@q
SELECT * FROM pg_catalog.pg_settings
@q
SELECT reltype FROM pg_catalog.pg_class WHERE 1 <> 1 LIMIT 1
@q
SELECT * FROM pg_catalog.pg_enum WHERE 1 <> 1 LIMIT 1
@q
SELECT typcategory FROM pg_catalog.pg_type WHERE 1 <> 1 LIMIT 1
@q
SELECT ns.oid, ns.*, de.description FROM pg_catalog.pg_namespace ns
LEFT OUTER JOIN pg_catalog.pg_description de ON de.objoid = ns.oid AND de.objsubid = 0 AND de.classoid = 'pg_namespace'::regclass
ORDER BY nspname
@q ["shop%", "pg_catalog"]
SELECT ns.oid, ns.*, de.description FROM pg_catalog.pg_namespace ns
LEFT OUTER JOIN pg_catalog.pg_description de ON de.objoid = ns.oid AND de.objsubid = 0 AND de.classoid = 'pg_namespace'::regclass
WHERE (nspname LIKE $1 OR nspname = $2) ORDER BY nspname
@q ["shop"]
SELECT ns.oid AS schema_id FROM pg_catalog.pg_namespace ns WHERE ns.nspname = $1
@q
SELECT ty.oid, ty.*, cl.relkind, format_type(nullif(ty.typbasetype, 0), ty.typtypmod) AS base_type_name, de.description
FROM pg_catalog.pg_type ty
LEFT OUTER JOIN pg_catalog.pg_type el ON el.oid = ty.typelem
LEFT OUTER JOIN pg_catalog.pg_class cl ON cl.oid = ty.typrelid
LEFT OUTER JOIN pg_catalog.pg_description de ON ty.oid = de.objoid
WHERE ty.typname IS NOT NULL AND (cl.relkind IS NULL OR cl.relkind = 'c') AND (el.typcategory IS NULL OR el.typcategory <> 'C')
@q [11]
SELECT ty.oid, ty.*, cl.relkind, format_type(nullif(ty.typbasetype, 0), ty.typtypmod) AS base_type_name, de.description
FROM pg_catalog.pg_type ty
LEFT OUTER JOIN pg_catalog.pg_class cl ON cl.oid = ty.typrelid
LEFT OUTER JOIN pg_catalog.pg_description de ON ty.oid = de.objoid
WHERE ty.typname IS NOT NULL AND (cl.relkind IS NULL OR cl.relkind = 'c') AND ty.typnamespace = $1 ORDER BY ty.oid
@q [1700]
SELECT ty.oid, ty.*, cl.relkind, format_type(nullif(ty.typbasetype, 0), ty.typtypmod) AS base_type_name FROM pg_catalog.pg_type ty
LEFT OUTER JOIN pg_class cl ON cl.oid = ty.typrelid
LEFT OUTER JOIN pg_catalog.pg_description de ON ty.oid = de.objoid WHERE ty.oid = $1
@q [25]
SELECT en.enumlabel FROM pg_catalog.pg_enum en WHERE en.enumtypid = $1 ORDER BY en.enumsortorder
@q
SELECT concat(co.conname, ' ', pg_catalog.pg_get_constraintdef(oid, true)) FROM pg_catalog.pg_constraint co WHERE contypid = 25
@q
SELECT ro.oid, ro.*, sd.description FROM pg_catalog.pg_roles ro LEFT JOIN pg_catalog.pg_shdescription sd ON ro.oid = sd.objoid ORDER BY ro.rolname
@q [10]
SELECT * FROM pg_catalog.pg_auth_members WHERE roleid = $1
@q [10]
SELECT rs.setconfig, da.datname FROM pg_catalog.pg_db_role_setting rs LEFT JOIN pg_catalog.pg_database da ON rs.setdatabase = da.oid WHERE rs.setrole = $1
@q ["shop", "robot"]
SELECT * FROM information_schema.table_privileges WHERE table_catalog = $1 AND grantee = $2
@q ["shop", "robot"]
SELECT * FROM information_schema.routine_privileges WHERE specific_catalog = $1 AND grantee = $2
@q [10]
SELECT * FROM (
  SELECT DISTINCT relnamespace, relacl, relname, relkind, (aclexplode(relacl)).grantee AS who FROM pg_class
  WHERE relacl IS NOT NULL AND relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname NOT LIKE 'pg_%' AND nspname != 'information_schema')
  UNION ALL
  SELECT DISTINCT ns.oid AS relnamespace, nspacl AS relacl, ns.nspname AS relname, cast('C' AS "char") AS relkind, (aclexplode(nspacl)).grantee AS who
  FROM pg_catalog.pg_namespace ns WHERE ns.nspacl IS NOT NULL
) AS found WHERE found.who = $1 AND found.relkind IN ('S', 'm', 'C')
@q
SELECT am.oid, am.* FROM pg_catalog.pg_am am ORDER BY am.oid
@q
SELECT cv.contoencoding AS encid, pg_catalog.pg_encoding_to_char(cv.contoencoding) AS encname FROM pg_catalog.pg_conversion cv
GROUP BY cv.contoencoding ORDER BY 2
@q
SELECT cl.oid, cl.* FROM pg_catalog.pg_collation cl ORDER BY cl.oid
@q
SELECT la.oid, la.* FROM pg_catalog.pg_language la ORDER BY la.oid
@q
SELECT fd.oid, fd.*, pr.pronamespace AS handler_schema_id FROM pg_catalog.pg_foreign_data_wrapper fd
LEFT OUTER JOIN pg_catalog.pg_proc pr ON pr.oid = fd.fdwhandler ORDER BY fd.fdwname
@q
SELECT fs.oid, fs.* FROM pg_catalog.pg_foreign_server fs ORDER BY fs.srvname
@q
SELECT ts.oid, ts.*, pg_tablespace_location(ts.oid) loc FROM pg_catalog.pg_tablespace ts ORDER BY ts.oid
@q
SELECT name, default_version, installed_version, comment FROM pg_catalog.pg_available_extensions ORDER BY name
@q
SELECT ev.*, de.description FROM pg_catalog.pg_event_trigger ev LEFT OUTER JOIN pg_catalog.pg_description de ON ev."oid" = de.objoid
@q
SELECT ex.oid, kept.tables, ns.nspname AS schema_name, ex.* FROM pg_catalog.pg_extension ex
JOIN pg_namespace ns ON ns.oid = ex.extnamespace
LEFT JOIN (
  SELECT ARRAY_AGG(s.nspname || '.' || k.relname) tables, ext
  FROM (SELECT unnest(x.extconfig) oid, x.oid ext FROM pg_catalog.pg_extension x) c JOIN pg_class k ON k.oid = c.oid JOIN pg_namespace s ON s.oid = k.relnamespace
  GROUP BY ext
) kept ON kept.ext = ex.oid
ORDER BY ex.oid
@q [767628650]
SELECT cl.oid, cl.*, de.description, pg_catalog.pg_get_expr(cl.relpartbound, cl.oid) AS partition_expr, pg_catalog.pg_get_partkeydef(cl.oid) AS partition_key
FROM pg_catalog.pg_class cl
LEFT OUTER JOIN pg_catalog.pg_description de ON de.objoid = cl.oid AND de.objsubid = 0 AND de.classoid = 'pg_class'::regclass
WHERE cl.relnamespace = $1 AND cl.relkind NOT IN ('i', 'I', 'c')
@q [767628650, "orders"]
SELECT cl.oid, cl.*, de.description FROM pg_catalog.pg_class cl
LEFT OUTER JOIN pg_catalog.pg_description de ON de.objoid = cl.oid AND de.objsubid = 0 AND de.classoid = 'pg_class'::regclass
WHERE cl.relnamespace = $1 AND cl.relkind NOT IN ('i', 'I', 'c') AND relname = $2
@q [767628650]
SELECT cl.relname, at.*, pg_catalog.pg_get_expr(df.adbin, df.adrelid, true) AS def_value, de.description, dp.objid
FROM pg_catalog.pg_attribute at
INNER JOIN pg_catalog.pg_class cl ON (at.attrelid = cl.oid)
LEFT OUTER JOIN pg_catalog.pg_attrdef df ON (at.attrelid = df.adrelid AND at.attnum = df.adnum)
LEFT OUTER JOIN pg_catalog.pg_description de ON (cl.oid = de.objoid AND at.attnum = de.objsubid)
LEFT OUTER JOIN pg_depend dp ON dp.refobjid = at.attrelid AND dp.deptype = 'i' AND dp.refobjsubid = at.attnum AND dp.classid = dp.refclassid
WHERE NOT at.attisdropped AND cl.relkind NOT IN ('i', 'I', 'c') AND cl.relnamespace = $1 ORDER BY at.attnum
@q [144815346]
SELECT cl.relname, row_number() OVER (ORDER BY at.attnum) AS attnum, at.*, pg_catalog.pg_get_expr(df.adbin, df.adrelid, true) AS def_value, de.description
FROM pg_catalog.pg_attribute at
INNER JOIN pg_catalog.pg_class cl ON (at.attrelid = cl.oid)
LEFT OUTER JOIN pg_catalog.pg_attrdef df ON (at.attrelid = df.adrelid AND at.attnum = df.adnum)
LEFT OUTER JOIN pg_catalog.pg_description de ON (cl.oid = de.objoid AND at.attnum = de.objsubid)
WHERE at.attnum > 0 AND NOT at.attisdropped AND cl.oid = $1 ORDER BY at.attnum
@q [144815346]
SELECT co.oid, co.*, cl.relname AS tabrelname, rc.relnamespace AS refnamespace, de.description,
CASE WHEN co.contype = 'c' THEN "substring"(pg_get_constraintdef(co.oid), 7) ELSE NULL END checked
FROM pg_catalog.pg_constraint co
INNER JOIN pg_catalog.pg_class cl ON cl.oid = co.conrelid
LEFT OUTER JOIN pg_catalog.pg_class rc ON rc.oid = co.confrelid
LEFT OUTER JOIN pg_catalog.pg_description de ON de.objoid = co.oid AND de.objsubid = 0 AND de.classoid = 'pg_constraint'::regclass
WHERE co.conrelid = $1 ORDER BY co.oid
@q [144815346]
SELECT DISTINCT connamespace FROM pg_catalog.pg_constraint WHERE confrelid = $1
@q [144815346]
SELECT pg_catalog.pg_get_constraintdef($1)
@q [144815346]
SELECT ix.*, ix.indkey AS keys, cl.relname, cl.relnamespace, cl.relam, cl.reltablespace, tc.relname AS tabrelname, de.description,
pg_catalog.pg_get_expr(ix.indpred, ix.indrelid) AS pred_expr, pg_catalog.pg_get_expr(ix.indexprs, ix.indrelid, true) AS expr,
pg_catalog.pg_relation_size(ix.indexrelid) AS index_rel_size, pg_catalog.pg_stat_get_numscans(ix.indexrelid) AS index_num_scans
FROM pg_catalog.pg_index ix
INNER JOIN pg_catalog.pg_class cl ON cl.oid = ix.indexrelid
INNER JOIN pg_catalog.pg_class tc ON tc.oid = ix.indrelid
LEFT OUTER JOIN pg_catalog.pg_description de ON ix.indexrelid = de.objoid
WHERE ix.indrelid = $1 ORDER BY cl.relname
@q [144815346, 1]
SELECT pg_catalog.pg_get_indexdef($1, $2, true)
@q [144815346]
SELECT pg_catalog.pg_get_indexdef($1)
@q [767628650]
SELECT cl.oid, pg_catalog.pg_total_relation_size(cl.oid) AS total_rel_size, pg_catalog.pg_relation_size(cl.oid) AS rel_size FROM pg_class cl
WHERE cl.relnamespace = $1
@q [144815346, 144815346]
SELECT pg_catalog.pg_total_relation_size($1) AS total_rel_size, pg_catalog.pg_relation_size($2) AS rel_size
@q [767628650]
SELECT * FROM pg_default_acl WHERE defaclnamespace = $1
@q [767628650]
SELECT ih.inhrelid relid, up.relnamespace parent_ns, up.oid parent_oid, ih.inhseqno FROM pg_catalog.pg_inherits ih, pg_class ch, pg_class up
WHERE ch.oid = ih.inhrelid AND ch.relnamespace = $1 AND up.oid = ih.inhparent
@q [144815346]
SELECT ih.*, cl.relnamespace FROM pg_catalog.pg_inherits ih, pg_catalog.pg_class cl WHERE ih.inhrelid = $1 AND cl.oid = ih.inhparent ORDER BY ih.inhseqno
@q ["orders", 767628650]
SELECT pg_get_expr(cl.relpartbound, cl.oid, true) AS partition_range FROM "pg_catalog".pg_class cl WHERE relname = $1 AND relnamespace = $2
@q [767628650]
SELECT pr.oid AS poid, pr.*, pg_catalog.pg_get_expr(pr.proargdefaults, 0) AS arg_defaults, de.description FROM pg_catalog.pg_proc pr
LEFT OUTER JOIN pg_catalog.pg_description de ON de.objoid = pr.oid AND de.classoid = 'pg_proc'::regclass AND de.objsubid = 0
WHERE pr.pronamespace = $1 ORDER BY pr.proname
@q [767628650]
SELECT pr.oid AS proc_oid, pr.proname AS proc_name, ag.* FROM pg_catalog.pg_aggregate ag, pg_catalog.pg_proc pr
WHERE pr.oid = ag.aggfnoid AND pr.pronamespace = $1 ORDER BY pr.proname
@q ["shop", "orders"]
SELECT * FROM pg_catalog.pg_policies WHERE schemaname = $1 AND tablename = $2
@q ["shop", "orders"]
SELECT * FROM pg_catalog.pg_sequences WHERE schemaname = $1 AND sequencename = $2
@q [144815346]
SELECT * FROM pg_catalog.pg_foreign_table WHERE ftrelid = $1
@q [144815346]
SELECT tg.oid, tg.*, pr.pronamespace AS func_schema_id, de.description FROM pg_catalog.pg_trigger tg
LEFT OUTER JOIN pg_catalog.pg_proc pr ON pr.oid = tg.tgfoid
LEFT OUTER JOIN pg_catalog.pg_description de ON de.objoid = tg.oid AND de.objsubid = 0
WHERE tg.tgrelid = $1 AND NOT tg.tgisinternal
@q
SELECT ru.oid, ru.*, pg_get_ruledef(ru.oid) AS definition FROM pg_rewrite ru WHERE ru.ev_class = 144815346 AND ru.rulename <> '_RETURN'::name
@q
SELECT pg_get_viewdef(144815346, true)
@q [767628650, "orders", 767628650, "orders"]
SELECT oid, relkind, reltype FROM pg_catalog.pg_class WHERE relnamespace = $1 AND relname = $2
UNION ALL
SELECT oid, 'c', oid FROM pg_catalog.pg_type WHERE typnamespace = $3 AND typname = $4
@q ["%ord%", "%ord%", "%ord%", 767628650]
SELECT cl.oid, cl.relname, cl.relnamespace, cl.relkind FROM pg_catalog.pg_class cl
WHERE cl.relkind IN ('r', 'v', 'm', 'f', 'p') AND (cl.relname ILIKE $1 OR obj_description(cl.oid, 'pg_class') ILIKE $2
OR (cl.relkind = 'v' AND pg_get_viewdef(cl."oid") ILIKE $3)) AND cl.relnamespace IN ($4) ORDER BY cl.relname LIMIT 100
@q ["%amo%", "%amo%", 767628650]
SELECT at.attname, at.attrelid, at.atttypid, cl.relnamespace FROM pg_catalog.pg_attribute at, pg_catalog.pg_class cl
WHERE cl.oid = at.attrelid AND (at.attname ILIKE $1 OR col_description(cl.oid, at.attnum) ILIKE $2) AND cl.relnamespace IN ($3) ORDER BY at.attname LIMIT 100
@q ["%key%", "%key%", 767628650]
SELECT co.oid, co.conname, co.connamespace FROM pg_catalog.pg_constraint co
WHERE (co.conname LIKE $1 OR (pg_get_constraintdef(co."oid") LIKE $2)) AND co.connamespace IN ($3) ORDER BY co.conname LIMIT 100
@q ["%sum%", "%sum%"]
SELECT pr.oid AS poid, pr.* FROM pg_catalog.pg_proc pr WHERE (pr.proname ILIKE $1 OR obj_description(pr.oid, 'pg_proc') ILIKE $2) ORDER BY pr.proname LIMIT 100
@q [144815346]
SELECT DISTINCT dp.deptype, dp.classid, dp.objid, cl.relkind, ca.attname, pg_get_expr(df.adbin, df.adrelid) adefval,
CASE WHEN cl.relkind IS NOT NULL THEN cl.relkind::text || COALESCE(dp.objsubid::text, '')::text
  WHEN tg.oid IS NOT NULL THEN 'T'::text WHEN ty.oid IS NOT NULL THEN 'y'::text WHEN ns.oid IS NOT NULL THEN 'n'::text WHEN pr.oid IS NOT NULL THEN 'p'::text
  WHEN la.oid IS NOT NULL THEN 'l'::text WHEN ru.oid IS NOT NULL THEN 'R'::text WHEN co.oid IS NOT NULL THEN 'C'::text || contype::text
  WHEN df.oid IS NOT NULL THEN 'A'::text ELSE '' END AS type,
COALESCE(cc.relname, rc.relname, tc.relname) AS ownertable,
CASE WHEN cl.relname IS NOT NULL AND at.attname IS NOT NULL THEN cl.relname || '.' || at.attname
  ELSE COALESCE(cl.relname, co.conname, pr.proname, tg.tgname, ty.typname, la.lanname, ru.rulename, ns.nspname) END AS refname,
COALESCE(n1.nspname, n2.nspname, n3.nspname, n4.nspname, n5.nspname, n6.nspname) AS nspname
FROM pg_depend dp
LEFT JOIN pg_class cl ON dp.objid = cl.oid
LEFT JOIN pg_attribute at ON dp.objid = at.attrelid AND dp.objsubid = at.attnum
LEFT JOIN pg_namespace n1 ON cl.relnamespace = n1.oid
LEFT JOIN pg_proc pr ON dp.objid = pr.oid
LEFT JOIN pg_namespace n3 ON pr.pronamespace = n3.oid
LEFT JOIN pg_trigger tg ON dp.objid = tg.oid
LEFT JOIN pg_class tc ON tg.tgrelid = tc.oid
LEFT JOIN pg_namespace n6 ON tc.relnamespace = n6.oid
LEFT JOIN pg_type ty ON dp.objid = ty.oid
LEFT JOIN pg_namespace n4 ON ty.typnamespace = n4.oid
LEFT JOIN pg_constraint co ON dp.objid = co.oid
LEFT JOIN pg_class cc ON co.conrelid = cc.oid
LEFT JOIN pg_namespace n2 ON co.connamespace = n2.oid
LEFT JOIN pg_rewrite ru ON dp.objid = ru.oid
LEFT JOIN pg_class rc ON rc.oid = ru.ev_class
LEFT JOIN pg_namespace n5 ON rc.relnamespace = n5.oid
LEFT JOIN pg_language la ON dp.objid = la.oid
LEFT JOIN pg_namespace ns ON dp.objid = ns.oid
LEFT JOIN pg_attrdef df ON df.oid = dp.objid
LEFT JOIN pg_attribute ca ON ca.attrelid = df.adrelid AND ca.attnum = df.adnum
WHERE dp.refobjid = $1 ORDER BY type
@q
SELECT sa.* FROM pg_catalog.pg_stat_activity sa
@q [1]
SELECT coalesce(lk.locktype, '') AS locktype, coalesce(lk.relation::regclass::varchar, '') AS relation, coalesce(lk.mode, '') AS mode,
coalesce(lk.transactionid::varchar, '') AS tid, lk.page AS page, lk.tuple AS tuple, lk.pid AS pid, lk.granted
FROM pg_catalog.pg_locks lk LEFT JOIN pg_catalog.pg_database da ON da.oid = lk.database WHERE lk.pid = $1
@q ["shop", "orders"]
SELECT description FROM pg_catalog.pg_description
JOIN pg_catalog.pg_class ON pg_description.objoid = pg_class.oid JOIN pg_catalog.pg_namespace ON pg_class.relnamespace = pg_namespace.oid
WHERE pg_namespace.nspname = $1 AND pg_class.relname = $2
@@ Metabase
Of 2025 (its Postgres driver at 008fd667): connecting, the sync of tables, columns, keys and indexes, rights, enums, the probe of a table.
@q
show timezone
@q
SET SESSION TIMEZONE TO 'UTC'
@q
SET ROLE NONE
@q ["shop"]
SELECT "ns"."nspname" AS "schema", "cl"."relname" AS "name",
CASE "cl"."relkind" WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'PARTITIONED TABLE' WHEN 'v' THEN 'VIEW' WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'm' THEN 'MATERIALIZED VIEW'
ELSE NULL END AS "type", "de"."description" AS "description", "st"."n_live_tup" AS "estimated_row_count"
FROM "pg_catalog"."pg_class" AS "cl"
INNER JOIN "pg_catalog"."pg_namespace" AS "ns" ON "cl"."relnamespace" = "ns"."oid"
LEFT JOIN "pg_catalog"."pg_description" AS "de" ON ("cl"."oid" = "de"."objoid") AND ("de"."objsubid" = 0) AND ("de"."classoid" = 'pg_class'::regclass)
LEFT JOIN "pg_stat_user_tables" AS "st" ON ("ns"."nspname" = "st"."schemaname") AND ("cl"."relname" = "st"."relname")
WHERE ("cl"."relnamespace" = "ns"."oid") AND ("ns"."nspname" !~ '^pg_') AND ("ns"."nspname" <> 'information_schema')
AND cl.relkind in ('r', 'p', 'v', 'f', 'm') AND ("ns"."nspname" IN ($1)) ORDER BY "type" ASC, "schema" ASC, "name" ASC
@q ["shop"]
SELECT "c"."column_name" AS "name",
CASE WHEN "c"."udt_schema" IN ('public', 'pg_catalog') THEN FORMAT('%s', "c"."udt_name") ELSE FORMAT('"%s"."%s"', "c"."udt_schema", "c"."udt_name") END AS "database-type",
"c"."ordinal_position" - 1 AS "database-position", "c"."table_schema" AS "table-schema", "c"."table_name" AS "table-name", "k"."column_name" IS NOT NULL AS "pk?",
COL_DESCRIPTION(CAST(CAST(FORMAT('%I.%I', CAST("c"."table_schema" AS TEXT), CAST("c"."table_name" AS TEXT)) AS REGCLASS) AS OID), "c"."ordinal_position") AS "field-comment",
(("column_default" IS NULL) OR (LOWER("column_default") = 'null')) AND ("is_nullable" = 'NO')
AND NOT ((("column_default" IS NOT NULL) AND ("column_default" LIKE '%nextval(%')) OR ("is_identity" <> 'NO')) AS "database-required",
(("column_default" IS NOT NULL) AND ("column_default" LIKE '%nextval(%')) OR ("is_identity" <> 'NO') AS "database-is-auto-increment"
FROM "information_schema"."columns" AS "c"
LEFT JOIN (SELECT "t"."table_schema", "t"."table_name", "u"."column_name" FROM "information_schema"."table_constraints" AS "t"
  INNER JOIN "information_schema"."key_column_usage" AS "u" ON ("t"."constraint_name" = "u"."constraint_name") AND ("t"."table_schema" = "u"."table_schema")
  AND ("t"."table_name" = "u"."table_name") WHERE "t"."constraint_type" = 'PRIMARY KEY') AS "k"
ON ("c"."table_schema" = "k"."table_schema") AND ("c"."table_name" = "k"."table_name") AND ("c"."column_name" = "k"."column_name")
WHERE c.table_schema !~ '^information_schema|catalog_history|pg_' AND ("c"."table_schema" IN ($1))
UNION ALL
SELECT "a"."attname" AS "name",
CASE WHEN "n2"."nspname" IN ('public', 'pg_catalog') THEN FORMAT('%s', "t"."typname") ELSE FORMAT('"%s"."%s"', "n2"."nspname", "t"."typname") END AS "database-type",
"a"."attnum" - 1 AS "database-position", "n"."nspname" AS "table-schema", "cl"."relname" AS "table-name", FALSE AS "pk?", NULL AS "field-comment",
FALSE AS "database-required", FALSE AS "database-is-auto-increment"
FROM "pg_catalog"."pg_class" AS "cl"
INNER JOIN "pg_catalog"."pg_namespace" AS "n" ON "n"."oid" = "cl"."relnamespace"
INNER JOIN "pg_catalog"."pg_attribute" AS "a" ON "a"."attrelid" = "cl"."oid"
INNER JOIN "pg_catalog"."pg_type" AS "t" ON "t"."oid" = "a"."atttypid"
INNER JOIN "pg_catalog"."pg_namespace" AS "n2" ON "n2"."oid" = "t"."typnamespace"
WHERE ("cl"."relkind" = 'm') AND ("a"."attnum" >= 1) AND ("n"."nspname" IN ('shop'))
ORDER BY "table-schema" ASC, "table-name" ASC, "database-position" ASC
@q ["shop"]
SELECT "fn"."nspname" AS "fk-table-schema", "ft"."relname" AS "fk-table-name", "fa"."attname" AS "fk-column-name", "pn"."nspname" AS "pk-table-schema",
"pt"."relname" AS "pk-table-name", "pa"."attname" AS "pk-column-name"
FROM "pg_constraint" AS "c" INNER JOIN "pg_class" AS "ft" ON "c"."conrelid" = "ft"."oid"
INNER JOIN "pg_namespace" AS "fn" ON "c"."connamespace" = "fn"."oid"
INNER JOIN "pg_attribute" AS "fa" ON "c"."conrelid" = "fa"."attrelid"
INNER JOIN "pg_class" AS "pt" ON "c"."confrelid" = "pt"."oid"
INNER JOIN "pg_namespace" AS "pn" ON "pt"."relnamespace" = "pn"."oid"
INNER JOIN "pg_attribute" AS "pa" ON "c"."confrelid" = "pa"."attrelid"
WHERE fn.nspname !~ '^information_schema|catalog_history|pg_' AND ("c"."contype" = 'f'::char) AND ("fa"."attnum" = ANY(c.conkey))
AND ("pa"."attnum" = ANY(c.confkey)) AND ("fn"."nspname" IN ($1)) ORDER BY "fk-table-schema" ASC, "fk-table-name" ASC
@q
SELECT "found"."table-schema", "found"."table-name", TRIM(BOTH '"' FROM PG_CATALOG.PG_GET_INDEXDEF("found"."of", "found"."pos", FALSE)) AS "field-name"
FROM (SELECT "n"."nspname" AS "table-schema", "t"."relname" AS "table-name", "x"."oid" AS "of", (INFORMATION_SCHEMA._PG_EXPANDARRAY("i"."indkey"))."n" AS "pos"
  FROM "pg_catalog"."pg_class" AS "t" INNER JOIN "pg_catalog"."pg_namespace" AS "n" ON "t"."relnamespace" = "n"."oid"
  INNER JOIN "pg_catalog"."pg_index" AS "i" ON "t"."oid" = "i"."indrelid" INNER JOIN "pg_catalog"."pg_class" AS "x" ON "x"."oid" = "i"."indexrelid"
  WHERE (PG_CATALOG.PG_GET_EXPR("i"."indpred", "i"."indrelid") IS NULL) AND n.nspname !~ '^information_schema|catalog_history|pg_') AS "found"
WHERE "found"."pos" = 1
@q
with rights as (
 select NULL as role, o.schemaname as schema, o.objectname as table,
   pg_catalog.has_any_column_privilege(current_user, '"' || replace(o.schemaname, '"', '""') || '"' || '.' || '"' || replace(o.objectname, '"', '""') || '"', 'update') as update,
   pg_catalog.has_any_column_privilege(current_user, '"' || replace(o.schemaname, '"', '""') || '"' || '.' || '"' || replace(o.objectname, '"', '""') || '"', 'select') as select,
   pg_catalog.has_any_column_privilege(current_user, '"' || replace(o.schemaname, '"', '""') || '"' || '.' || '"' || replace(o.objectname, '"', '""') || '"', 'insert') as insert,
   pg_catalog.has_table_privilege(current_user, '"' || replace(o.schemaname, '"', '""') || '"' || '.' || '"' || replace(o.objectname, '"', '""') || '"', 'delete') as delete
 from (select schemaname, tablename as objectname from pg_catalog.pg_tables
   union select schemaname, viewname as objectname from pg_catalog.pg_views
   union select schemaname, matviewname as objectname from pg_catalog.pg_matviews) o
 where o.schemaname !~ '^pg_' and o.schemaname <> 'information_schema' and pg_catalog.has_schema_privilege(current_user, o.schemaname, 'usage')
)
select r.* from rights r
@q
SELECT nspname, typname FROM pg_type ty JOIN pg_namespace ns ON ns.oid = ty.typnamespace WHERE ty.oid IN (SELECT DISTINCT enumtypid FROM pg_enum en)
@q
SELECT TRUE AS "_" FROM "shop"."orders" WHERE 1 <> 1 LIMIT 0
@q
SELECT * FROM "shop"."orders" WHERE 1 <> 1 LIMIT 0
@q
SELECT "shop"."customers"."email" AS "email", "shop"."customers"."country" AS "country" FROM "shop"."customers" LIMIT 10000
@q
SELECT SUBSTRING("shop"."customers"."email", 1, 1234) AS "substring1" FROM "shop"."customers" LIMIT 10000
@@ Grafana
13 (its Postgres data source at 12f912ab and 043dd88a): the version, the query builder's tables and columns, the schema for its own SQL.
@q
SELECT 1
@q
SELECT current_setting('server_version_num')::int/100 AS number
@q
SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'
@q
SELECT schema_name AS "one" FROM information_schema.schemata WHERE schema_name NOT IN ('information_schema', 'pg_catalog', 'pg_toast', 'timescaledb_information')
ORDER BY schema_name
@q
SELECT quote_ident(table_name) AS "one" FROM information_schema.tables WHERE quote_ident(table_schema) = 'shop' ORDER BY 1
@q
SELECT CASE WHEN quote_ident(table_schema) IN (
    SELECT CASE WHEN trim(p[i]) = '"$user"' THEN user ELSE trim(p[i]) END
    FROM generate_series(array_lower(string_to_array(current_setting('search_path'), ','), 1), array_upper(string_to_array(current_setting('search_path'), ','), 1)) AS i,
    string_to_array(current_setting('search_path'), ',') p)
  THEN quote_ident(table_name) ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS "one"
FROM information_schema.tables WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog', 'timescaledb_information')
ORDER BY CASE WHEN quote_ident(table_schema) IN (
    SELECT CASE WHEN trim(p[i]) = '"$user"' THEN user ELSE trim(p[i]) END
    FROM generate_series(array_lower(string_to_array(current_setting('search_path'), ','), 1), array_upper(string_to_array(current_setting('search_path'), ','), 1)) AS i,
    string_to_array(current_setting('search_path'), ',') p)
  THEN 0 ELSE 1 END, 1
@q
SELECT quote_ident(column_name) AS "one", data_type AS "two" FROM information_schema.columns
WHERE CASE WHEN array_length(parse_ident('shop.orders'), 1) = 2
  THEN quote_ident(table_schema) = (parse_ident('shop.orders'))[1] AND quote_ident(table_name) = (parse_ident('shop.orders'))[2]
  ELSE quote_ident(table_name) = 'shop.orders' AND quote_ident(table_schema) IN (
    SELECT CASE WHEN trim(p[i]) = '"$user"' THEN user ELSE trim(p[i]) END
    FROM generate_series(array_lower(string_to_array(current_setting('search_path'), ','), 1), array_upper(string_to_array(current_setting('search_path'), ','), 1)) AS i,
    string_to_array(current_setting('search_path'), ',') p)
  END
@q
SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT LIKE 'pg_%' AND schema_name != 'information_schema' ORDER BY schema_name
@q ["shop"]
SELECT table_name FROM information_schema.tables WHERE table_schema = $1 AND table_type IN ('BASE TABLE', 'VIEW') ORDER BY table_name
@q ["shop", "orders"]
SELECT column_name, data_type, udt_name, numeric_precision, numeric_scale FROM information_schema.columns
WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position
@q
SELECT 'email' AS col_name, "email"::text AS val FROM (SELECT DISTINCT "email" FROM "shop"."customers" WHERE "email" IS NOT NULL ORDER BY "email" LIMIT 100) one
UNION ALL SELECT 'country' AS col_name, "country"::text AS val FROM (SELECT DISTINCT "country" FROM "shop"."customers" WHERE "country" IS NOT NULL ORDER BY "country" LIMIT 100) two
