-- The columns of PostgreSQL 15's system catalogs and information schema, in DuckDB's types. Rows are put in for what a session can see; the other
-- tables are there to be empty. `hw_pg` stands for pg_catalog and `hw_is` for information_schema, which DuckDB has of its own.
CREATE SCHEMA hw_pg;
CREATE SCHEMA hw_is;
CREATE TABLE hw_pg.pg_namespace ("oid" UINTEGER DEFAULT 0, "nspname" VARCHAR, "nspowner" UINTEGER DEFAULT 0, "nspacl" VARCHAR[]);
CREATE TABLE hw_pg.pg_class ("oid" UINTEGER DEFAULT 0, "relname" VARCHAR, "relnamespace" UINTEGER DEFAULT 0, "reltype" UINTEGER DEFAULT 0,
  "reloftype" UINTEGER DEFAULT 0, "relowner" UINTEGER DEFAULT 0, "relam" UINTEGER DEFAULT 0, "relfilenode" UINTEGER DEFAULT 0,
  "reltablespace" UINTEGER DEFAULT 0, "relpages" INTEGER DEFAULT 0, "reltuples" FLOAT DEFAULT 0, "relallvisible" INTEGER DEFAULT 0,
  "reltoastrelid" UINTEGER DEFAULT 0, "relhasindex" BOOLEAN DEFAULT false, "relisshared" BOOLEAN DEFAULT false, "relpersistence" VARCHAR,
  "relkind" VARCHAR, "relnatts" SMALLINT DEFAULT 0, "relchecks" SMALLINT DEFAULT 0, "relhasrules" BOOLEAN DEFAULT false,
  "relhastriggers" BOOLEAN DEFAULT false, "relhassubclass" BOOLEAN DEFAULT false, "relrowsecurity" BOOLEAN DEFAULT false,
  "relforcerowsecurity" BOOLEAN DEFAULT false, "relispopulated" BOOLEAN DEFAULT false, "relreplident" VARCHAR,
  "relispartition" BOOLEAN DEFAULT false, "relrewrite" UINTEGER DEFAULT 0, "relfrozenxid" BIGINT DEFAULT 0, "relminmxid" BIGINT DEFAULT 0,
  "relacl" VARCHAR[], "reloptions" VARCHAR[], "relpartbound" VARCHAR);
CREATE TABLE hw_pg.pg_attribute ("attrelid" UINTEGER DEFAULT 0, "attname" VARCHAR, "atttypid" UINTEGER DEFAULT 0,
  "attstattarget" INTEGER DEFAULT 0, "attlen" SMALLINT DEFAULT 0, "attnum" SMALLINT DEFAULT 0, "attndims" INTEGER DEFAULT 0,
  "attcacheoff" INTEGER DEFAULT 0, "atttypmod" INTEGER DEFAULT 0, "attbyval" BOOLEAN DEFAULT false, "attalign" VARCHAR, "attstorage" VARCHAR,
  "attcompression" VARCHAR, "attnotnull" BOOLEAN DEFAULT false, "atthasdef" BOOLEAN DEFAULT false, "atthasmissing" BOOLEAN DEFAULT false,
  "attidentity" VARCHAR, "attgenerated" VARCHAR, "attisdropped" BOOLEAN DEFAULT false, "attislocal" BOOLEAN DEFAULT false,
  "attinhcount" INTEGER DEFAULT 0, "attcollation" UINTEGER DEFAULT 0, "attacl" VARCHAR[], "attoptions" VARCHAR[], "attfdwoptions" VARCHAR[],
  "attmissingval" VARCHAR);
CREATE TABLE hw_pg.pg_type ("oid" UINTEGER DEFAULT 0, "typname" VARCHAR, "typnamespace" UINTEGER DEFAULT 0, "typowner" UINTEGER DEFAULT 0,
  "typlen" SMALLINT DEFAULT 0, "typbyval" BOOLEAN DEFAULT false, "typtype" VARCHAR, "typcategory" VARCHAR, "typispreferred" BOOLEAN DEFAULT false,
  "typisdefined" BOOLEAN DEFAULT false, "typdelim" VARCHAR, "typrelid" UINTEGER DEFAULT 0, "typsubscript" VARCHAR, "typelem" UINTEGER DEFAULT 0,
  "typarray" UINTEGER DEFAULT 0, "typinput" VARCHAR, "typoutput" VARCHAR, "typreceive" VARCHAR, "typsend" VARCHAR, "typmodin" VARCHAR,
  "typmodout" VARCHAR, "typanalyze" VARCHAR, "typalign" VARCHAR, "typstorage" VARCHAR, "typnotnull" BOOLEAN DEFAULT false,
  "typbasetype" UINTEGER DEFAULT 0, "typtypmod" INTEGER DEFAULT 0, "typndims" INTEGER DEFAULT 0, "typcollation" UINTEGER DEFAULT 0,
  "typdefaultbin" VARCHAR, "typdefault" VARCHAR, "typacl" VARCHAR[]);
CREATE TABLE hw_pg.pg_constraint ("oid" UINTEGER DEFAULT 0, "conname" VARCHAR, "connamespace" UINTEGER DEFAULT 0, "contype" VARCHAR,
  "condeferrable" BOOLEAN DEFAULT false, "condeferred" BOOLEAN DEFAULT false, "convalidated" BOOLEAN DEFAULT false, "conrelid" UINTEGER DEFAULT 0,
  "contypid" UINTEGER DEFAULT 0, "conindid" UINTEGER DEFAULT 0, "conparentid" UINTEGER DEFAULT 0, "confrelid" UINTEGER DEFAULT 0,
  "confupdtype" VARCHAR, "confdeltype" VARCHAR, "confmatchtype" VARCHAR, "conislocal" BOOLEAN DEFAULT false, "coninhcount" INTEGER DEFAULT 0,
  "connoinherit" BOOLEAN DEFAULT false, "conkey" SMALLINT[], "confkey" SMALLINT[], "conpfeqop" UINTEGER[], "conppeqop" UINTEGER[],
  "conffeqop" UINTEGER[], "confdelsetcols" SMALLINT[], "conexclop" UINTEGER[], "conbin" VARCHAR);
CREATE TABLE hw_pg.pg_index ("indexrelid" UINTEGER DEFAULT 0, "indrelid" UINTEGER DEFAULT 0, "indnatts" SMALLINT DEFAULT 0,
  "indnkeyatts" SMALLINT DEFAULT 0, "indisunique" BOOLEAN DEFAULT false, "indnullsnotdistinct" BOOLEAN DEFAULT false,
  "indisprimary" BOOLEAN DEFAULT false, "indisexclusion" BOOLEAN DEFAULT false, "indimmediate" BOOLEAN DEFAULT false,
  "indisclustered" BOOLEAN DEFAULT false, "indisvalid" BOOLEAN DEFAULT false, "indcheckxmin" BOOLEAN DEFAULT false,
  "indisready" BOOLEAN DEFAULT false, "indislive" BOOLEAN DEFAULT false, "indisreplident" BOOLEAN DEFAULT false, "indkey" SMALLINT[],
  "indcollation" UINTEGER[], "indclass" UINTEGER[], "indoption" SMALLINT[], "indexprs" VARCHAR, "indpred" VARCHAR);
CREATE TABLE hw_pg.pg_attrdef ("oid" UINTEGER DEFAULT 0, "adrelid" UINTEGER DEFAULT 0, "adnum" SMALLINT DEFAULT 0, "adbin" VARCHAR);
CREATE TABLE hw_pg.pg_description ("objoid" UINTEGER DEFAULT 0, "classoid" UINTEGER DEFAULT 0, "objsubid" INTEGER DEFAULT 0, "description" VARCHAR);
CREATE TABLE hw_pg.pg_database ("oid" UINTEGER DEFAULT 0, "datname" VARCHAR, "datdba" UINTEGER DEFAULT 0, "encoding" INTEGER DEFAULT 0,
  "datlocprovider" VARCHAR, "datistemplate" BOOLEAN DEFAULT false, "datallowconn" BOOLEAN DEFAULT false, "datconnlimit" INTEGER DEFAULT 0,
  "datfrozenxid" BIGINT DEFAULT 0, "datminmxid" BIGINT DEFAULT 0, "dattablespace" UINTEGER DEFAULT 0, "datcollate" VARCHAR, "datctype" VARCHAR,
  "daticulocale" VARCHAR, "datcollversion" VARCHAR, "datacl" VARCHAR[]);
CREATE TABLE hw_pg.pg_roles ("rolname" VARCHAR, "rolsuper" BOOLEAN, "rolinherit" BOOLEAN, "rolcreaterole" BOOLEAN, "rolcreatedb" BOOLEAN,
  "rolcanlogin" BOOLEAN, "rolreplication" BOOLEAN, "rolconnlimit" INTEGER, "rolpassword" VARCHAR, "rolvaliduntil" TIMESTAMPTZ,
  "rolbypassrls" BOOLEAN, "rolconfig" VARCHAR[], "oid" UINTEGER);
CREATE TABLE hw_pg.pg_user ("usename" VARCHAR, "usesysid" UINTEGER, "usecreatedb" BOOLEAN, "usesuper" BOOLEAN, "userepl" BOOLEAN,
  "usebypassrls" BOOLEAN, "passwd" VARCHAR, "valuntil" TIMESTAMPTZ, "useconfig" VARCHAR[]);
CREATE TABLE hw_pg.pg_auth_members ("roleid" UINTEGER DEFAULT 0, "member" UINTEGER DEFAULT 0, "grantor" UINTEGER DEFAULT 0,
  "admin_option" BOOLEAN DEFAULT false);
CREATE TABLE hw_pg.pg_proc ("oid" UINTEGER DEFAULT 0, "proname" VARCHAR, "pronamespace" UINTEGER DEFAULT 0, "proowner" UINTEGER DEFAULT 0,
  "prolang" UINTEGER DEFAULT 0, "procost" FLOAT DEFAULT 0, "prorows" FLOAT DEFAULT 0, "provariadic" UINTEGER DEFAULT 0, "prosupport" VARCHAR,
  "prokind" VARCHAR, "prosecdef" BOOLEAN DEFAULT false, "proleakproof" BOOLEAN DEFAULT false, "proisstrict" BOOLEAN DEFAULT false,
  "proretset" BOOLEAN DEFAULT false, "provolatile" VARCHAR, "proparallel" VARCHAR, "pronargs" SMALLINT DEFAULT 0,
  "pronargdefaults" SMALLINT DEFAULT 0, "prorettype" UINTEGER DEFAULT 0, "proargtypes" UINTEGER[], "proallargtypes" UINTEGER[],
  "proargmodes" VARCHAR[], "proargnames" VARCHAR[], "proargdefaults" VARCHAR, "protrftypes" UINTEGER[], "prosrc" VARCHAR, "probin" VARCHAR,
  "prosqlbody" VARCHAR, "proconfig" VARCHAR[], "proacl" VARCHAR[]);
CREATE TABLE hw_pg.pg_settings ("name" VARCHAR, "setting" VARCHAR, "unit" VARCHAR, "category" VARCHAR, "short_desc" VARCHAR, "extra_desc" VARCHAR,
  "context" VARCHAR, "vartype" VARCHAR, "source" VARCHAR, "min_val" VARCHAR, "max_val" VARCHAR, "enumvals" VARCHAR[], "boot_val" VARCHAR,
  "reset_val" VARCHAR, "sourcefile" VARCHAR, "sourceline" INTEGER, "pending_restart" BOOLEAN);
CREATE TABLE hw_pg.pg_tables ("schemaname" VARCHAR, "tablename" VARCHAR, "tableowner" VARCHAR, "tablespace" VARCHAR, "hasindexes" BOOLEAN,
  "hasrules" BOOLEAN, "hastriggers" BOOLEAN, "rowsecurity" BOOLEAN);
CREATE TABLE hw_pg.pg_views ("schemaname" VARCHAR, "viewname" VARCHAR, "viewowner" VARCHAR, "definition" VARCHAR);
CREATE TABLE hw_pg.pg_matviews ("schemaname" VARCHAR, "matviewname" VARCHAR, "matviewowner" VARCHAR, "tablespace" VARCHAR, "hasindexes" BOOLEAN,
  "ispopulated" BOOLEAN, "definition" VARCHAR);
CREATE TABLE hw_pg.pg_am ("oid" UINTEGER DEFAULT 0, "amname" VARCHAR, "amhandler" VARCHAR, "amtype" VARCHAR);
CREATE TABLE hw_pg.pg_collation ("oid" UINTEGER DEFAULT 0, "collname" VARCHAR, "collnamespace" UINTEGER DEFAULT 0, "collowner" UINTEGER DEFAULT 0,
  "collprovider" VARCHAR, "collisdeterministic" BOOLEAN DEFAULT false, "collencoding" INTEGER DEFAULT 0, "collcollate" VARCHAR,
  "collctype" VARCHAR, "colliculocale" VARCHAR, "collversion" VARCHAR);
CREATE TABLE hw_pg.pg_inherits ("inhrelid" UINTEGER DEFAULT 0, "inhparent" UINTEGER DEFAULT 0, "inhseqno" INTEGER DEFAULT 0,
  "inhdetachpending" BOOLEAN DEFAULT false);
CREATE TABLE hw_pg.pg_policy ("oid" UINTEGER DEFAULT 0, "polname" VARCHAR, "polrelid" UINTEGER DEFAULT 0, "polcmd" VARCHAR,
  "polpermissive" BOOLEAN DEFAULT false, "polroles" UINTEGER[], "polqual" VARCHAR, "polwithcheck" VARCHAR);
CREATE TABLE hw_pg.pg_trigger ("oid" UINTEGER DEFAULT 0, "tgrelid" UINTEGER DEFAULT 0, "tgparentid" UINTEGER DEFAULT 0, "tgname" VARCHAR,
  "tgfoid" UINTEGER DEFAULT 0, "tgtype" SMALLINT DEFAULT 0, "tgenabled" VARCHAR, "tgisinternal" BOOLEAN DEFAULT false,
  "tgconstrrelid" UINTEGER DEFAULT 0, "tgconstrindid" UINTEGER DEFAULT 0, "tgconstraint" UINTEGER DEFAULT 0, "tgdeferrable" BOOLEAN DEFAULT false,
  "tginitdeferred" BOOLEAN DEFAULT false, "tgnargs" SMALLINT DEFAULT 0, "tgattr" SMALLINT[], "tgargs" BLOB, "tgqual" VARCHAR, "tgoldtable" VARCHAR,
  "tgnewtable" VARCHAR);
CREATE TABLE hw_pg.pg_rewrite ("oid" UINTEGER DEFAULT 0, "rulename" VARCHAR, "ev_class" UINTEGER DEFAULT 0, "ev_type" VARCHAR,
  "ev_enabled" VARCHAR, "is_instead" BOOLEAN DEFAULT false, "ev_qual" VARCHAR, "ev_action" VARCHAR);
CREATE TABLE hw_pg.pg_enum ("oid" UINTEGER DEFAULT 0, "enumtypid" UINTEGER DEFAULT 0, "enumsortorder" FLOAT DEFAULT 0, "enumlabel" VARCHAR);
CREATE TABLE hw_pg.pg_range ("rngtypid" UINTEGER DEFAULT 0, "rngsubtype" UINTEGER DEFAULT 0, "rngmultitypid" UINTEGER DEFAULT 0,
  "rngcollation" UINTEGER DEFAULT 0, "rngsubopc" UINTEGER DEFAULT 0, "rngcanonical" VARCHAR, "rngsubdiff" VARCHAR);
CREATE TABLE hw_pg.pg_extension ("oid" UINTEGER DEFAULT 0, "extname" VARCHAR, "extowner" UINTEGER DEFAULT 0, "extnamespace" UINTEGER DEFAULT 0,
  "extrelocatable" BOOLEAN DEFAULT false, "extversion" VARCHAR, "extconfig" UINTEGER[], "extcondition" VARCHAR[]);
CREATE TABLE hw_pg.pg_foreign_table ("ftrelid" UINTEGER DEFAULT 0, "ftserver" UINTEGER DEFAULT 0, "ftoptions" VARCHAR[]);
CREATE TABLE hw_pg.pg_foreign_server ("oid" UINTEGER DEFAULT 0, "srvname" VARCHAR, "srvowner" UINTEGER DEFAULT 0, "srvfdw" UINTEGER DEFAULT 0,
  "srvtype" VARCHAR, "srvversion" VARCHAR, "srvacl" VARCHAR[], "srvoptions" VARCHAR[]);
CREATE TABLE hw_pg.pg_foreign_data_wrapper ("oid" UINTEGER DEFAULT 0, "fdwname" VARCHAR, "fdwowner" UINTEGER DEFAULT 0,
  "fdwhandler" UINTEGER DEFAULT 0, "fdwvalidator" UINTEGER DEFAULT 0, "fdwacl" VARCHAR[], "fdwoptions" VARCHAR[]);
CREATE TABLE hw_pg.pg_user_mapping ("oid" UINTEGER DEFAULT 0, "umuser" UINTEGER DEFAULT 0, "umserver" UINTEGER DEFAULT 0, "umoptions" VARCHAR[]);
CREATE TABLE hw_pg.pg_depend ("classid" UINTEGER DEFAULT 0, "objid" UINTEGER DEFAULT 0, "objsubid" INTEGER DEFAULT 0,
  "refclassid" UINTEGER DEFAULT 0, "refobjid" UINTEGER DEFAULT 0, "refobjsubid" INTEGER DEFAULT 0, "deptype" VARCHAR);
CREATE TABLE hw_pg.pg_shdescription ("objoid" UINTEGER DEFAULT 0, "classoid" UINTEGER DEFAULT 0, "description" VARCHAR);
CREATE TABLE hw_pg.pg_shdepend ("dbid" UINTEGER DEFAULT 0, "classid" UINTEGER DEFAULT 0, "objid" UINTEGER DEFAULT 0, "objsubid" INTEGER DEFAULT 0,
  "refclassid" UINTEGER DEFAULT 0, "refobjid" UINTEGER DEFAULT 0, "deptype" VARCHAR);
CREATE TABLE hw_pg.pg_tablespace ("oid" UINTEGER DEFAULT 0, "spcname" VARCHAR, "spcowner" UINTEGER DEFAULT 0, "spcacl" VARCHAR[],
  "spcoptions" VARCHAR[]);
CREATE TABLE hw_pg.pg_stat_user_tables ("relid" UINTEGER, "schemaname" VARCHAR, "relname" VARCHAR, "seq_scan" BIGINT, "seq_tup_read" BIGINT,
  "idx_scan" BIGINT, "idx_tup_fetch" BIGINT, "n_tup_ins" BIGINT, "n_tup_upd" BIGINT, "n_tup_del" BIGINT, "n_tup_hot_upd" BIGINT,
  "n_live_tup" BIGINT, "n_dead_tup" BIGINT, "n_mod_since_analyze" BIGINT, "n_ins_since_vacuum" BIGINT, "last_vacuum" TIMESTAMPTZ,
  "last_autovacuum" TIMESTAMPTZ, "last_analyze" TIMESTAMPTZ, "last_autoanalyze" TIMESTAMPTZ, "vacuum_count" BIGINT, "autovacuum_count" BIGINT,
  "analyze_count" BIGINT, "autoanalyze_count" BIGINT);
CREATE TABLE hw_pg.pg_stat_all_tables ("relid" UINTEGER, "schemaname" VARCHAR, "relname" VARCHAR, "seq_scan" BIGINT, "seq_tup_read" BIGINT,
  "idx_scan" BIGINT, "idx_tup_fetch" BIGINT, "n_tup_ins" BIGINT, "n_tup_upd" BIGINT, "n_tup_del" BIGINT, "n_tup_hot_upd" BIGINT,
  "n_live_tup" BIGINT, "n_dead_tup" BIGINT, "n_mod_since_analyze" BIGINT, "n_ins_since_vacuum" BIGINT, "last_vacuum" TIMESTAMPTZ,
  "last_autovacuum" TIMESTAMPTZ, "last_analyze" TIMESTAMPTZ, "last_autoanalyze" TIMESTAMPTZ, "vacuum_count" BIGINT, "autovacuum_count" BIGINT,
  "analyze_count" BIGINT, "autoanalyze_count" BIGINT);
CREATE TABLE hw_pg.pg_stat_activity ("datid" UINTEGER, "datname" VARCHAR, "pid" INTEGER, "leader_pid" INTEGER, "usesysid" UINTEGER,
  "usename" VARCHAR, "application_name" VARCHAR, "client_addr" VARCHAR, "client_hostname" VARCHAR, "client_port" INTEGER,
  "backend_start" TIMESTAMPTZ, "xact_start" TIMESTAMPTZ, "query_start" TIMESTAMPTZ, "state_change" TIMESTAMPTZ, "wait_event_type" VARCHAR,
  "wait_event" VARCHAR, "state" VARCHAR, "backend_xid" BIGINT, "backend_xmin" BIGINT, "query_id" BIGINT, "query" VARCHAR, "backend_type" VARCHAR);
CREATE TABLE hw_pg.pg_statistic_ext ("oid" UINTEGER DEFAULT 0, "stxrelid" UINTEGER DEFAULT 0, "stxname" VARCHAR, "stxnamespace" UINTEGER DEFAULT 0,
  "stxowner" UINTEGER DEFAULT 0, "stxstattarget" INTEGER DEFAULT 0, "stxkeys" SMALLINT[], "stxkind" VARCHAR[], "stxexprs" VARCHAR);
CREATE TABLE hw_pg.pg_publication ("oid" UINTEGER DEFAULT 0, "pubname" VARCHAR, "pubowner" UINTEGER DEFAULT 0,
  "puballtables" BOOLEAN DEFAULT false, "pubinsert" BOOLEAN DEFAULT false, "pubupdate" BOOLEAN DEFAULT false, "pubdelete" BOOLEAN DEFAULT false,
  "pubtruncate" BOOLEAN DEFAULT false, "pubviaroot" BOOLEAN DEFAULT false);
CREATE TABLE hw_pg.pg_publication_rel ("oid" UINTEGER DEFAULT 0, "prpubid" UINTEGER DEFAULT 0, "prrelid" UINTEGER DEFAULT 0, "prqual" VARCHAR,
  "prattrs" SMALLINT[]);
CREATE TABLE hw_pg.pg_publication_namespace ("oid" UINTEGER DEFAULT 0, "pnpubid" UINTEGER DEFAULT 0, "pnnspid" UINTEGER DEFAULT 0);
CREATE TABLE hw_pg.pg_publication_tables ("pubname" VARCHAR, "schemaname" VARCHAR, "tablename" VARCHAR, "attnames" VARCHAR[], "rowfilter" VARCHAR);
CREATE TABLE hw_pg.pg_sequence ("seqrelid" UINTEGER DEFAULT 0, "seqtypid" UINTEGER DEFAULT 0, "seqstart" BIGINT DEFAULT 0,
  "seqincrement" BIGINT DEFAULT 0, "seqmax" BIGINT DEFAULT 0, "seqmin" BIGINT DEFAULT 0, "seqcache" BIGINT DEFAULT 0,
  "seqcycle" BOOLEAN DEFAULT false);
CREATE TABLE hw_pg.pg_sequences ("schemaname" VARCHAR, "sequencename" VARCHAR, "sequenceowner" VARCHAR, "data_type" VARCHAR, "start_value" BIGINT,
  "min_value" BIGINT, "max_value" BIGINT, "increment_by" BIGINT, "cycle" BOOLEAN, "cache_size" BIGINT, "last_value" BIGINT);
CREATE TABLE hw_pg.pg_indexes ("schemaname" VARCHAR, "tablename" VARCHAR, "indexname" VARCHAR, "tablespace" VARCHAR, "indexdef" VARCHAR);
CREATE TABLE hw_pg.pg_language ("oid" UINTEGER DEFAULT 0, "lanname" VARCHAR, "lanowner" UINTEGER DEFAULT 0, "lanispl" BOOLEAN DEFAULT false,
  "lanpltrusted" BOOLEAN DEFAULT false, "lanplcallfoid" UINTEGER DEFAULT 0, "laninline" UINTEGER DEFAULT 0, "lanvalidator" UINTEGER DEFAULT 0,
  "lanacl" VARCHAR[]);
CREATE TABLE hw_pg.pg_operator ("oid" UINTEGER DEFAULT 0, "oprname" VARCHAR, "oprnamespace" UINTEGER DEFAULT 0, "oprowner" UINTEGER DEFAULT 0,
  "oprkind" VARCHAR, "oprcanmerge" BOOLEAN DEFAULT false, "oprcanhash" BOOLEAN DEFAULT false, "oprleft" UINTEGER DEFAULT 0,
  "oprright" UINTEGER DEFAULT 0, "oprresult" UINTEGER DEFAULT 0, "oprcom" UINTEGER DEFAULT 0, "oprnegate" UINTEGER DEFAULT 0, "oprcode" VARCHAR,
  "oprrest" VARCHAR, "oprjoin" VARCHAR);
CREATE TABLE hw_pg.pg_partitioned_table ("partrelid" UINTEGER DEFAULT 0, "partstrat" VARCHAR, "partnatts" SMALLINT DEFAULT 0,
  "partdefid" UINTEGER DEFAULT 0, "partattrs" SMALLINT[], "partclass" UINTEGER[], "partcollation" UINTEGER[], "partexprs" VARCHAR);
CREATE TABLE hw_pg.pg_event_trigger ("oid" UINTEGER DEFAULT 0, "evtname" VARCHAR, "evtevent" VARCHAR, "evtowner" UINTEGER DEFAULT 0,
  "evtfoid" UINTEGER DEFAULT 0, "evtenabled" VARCHAR, "evttags" VARCHAR[]);
CREATE TABLE hw_pg.pg_available_extensions ("name" VARCHAR, "default_version" VARCHAR, "installed_version" VARCHAR, "comment" VARCHAR);
CREATE TABLE hw_pg.pg_locks ("locktype" VARCHAR, "database" UINTEGER, "relation" UINTEGER, "page" INTEGER, "tuple" SMALLINT, "virtualxid" VARCHAR,
  "transactionid" BIGINT, "classid" UINTEGER, "objid" UINTEGER, "objsubid" SMALLINT, "virtualtransaction" VARCHAR, "pid" INTEGER, "mode" VARCHAR,
  "granted" BOOLEAN, "fastpath" BOOLEAN, "waitstart" TIMESTAMPTZ);
CREATE TABLE hw_pg.pg_cast ("oid" UINTEGER DEFAULT 0, "castsource" UINTEGER DEFAULT 0, "casttarget" UINTEGER DEFAULT 0,
  "castfunc" UINTEGER DEFAULT 0, "castcontext" VARCHAR, "castmethod" VARCHAR);
CREATE TABLE hw_pg.pg_aggregate ("aggfnoid" VARCHAR, "aggkind" VARCHAR, "aggnumdirectargs" SMALLINT DEFAULT 0, "aggtransfn" VARCHAR,
  "aggfinalfn" VARCHAR, "aggcombinefn" VARCHAR, "aggserialfn" VARCHAR, "aggdeserialfn" VARCHAR, "aggmtransfn" VARCHAR, "aggminvtransfn" VARCHAR,
  "aggmfinalfn" VARCHAR, "aggfinalextra" BOOLEAN DEFAULT false, "aggmfinalextra" BOOLEAN DEFAULT false, "aggfinalmodify" VARCHAR,
  "aggmfinalmodify" VARCHAR, "aggsortop" UINTEGER DEFAULT 0, "aggtranstype" UINTEGER DEFAULT 0, "aggtransspace" INTEGER DEFAULT 0,
  "aggmtranstype" UINTEGER DEFAULT 0, "aggmtransspace" INTEGER DEFAULT 0, "agginitval" VARCHAR, "aggminitval" VARCHAR);
CREATE TABLE hw_pg.pg_conversion ("oid" UINTEGER DEFAULT 0, "conname" VARCHAR, "connamespace" UINTEGER DEFAULT 0, "conowner" UINTEGER DEFAULT 0,
  "conforencoding" INTEGER DEFAULT 0, "contoencoding" INTEGER DEFAULT 0, "conproc" VARCHAR, "condefault" BOOLEAN DEFAULT false);
CREATE TABLE hw_pg.pg_opclass ("oid" UINTEGER DEFAULT 0, "opcmethod" UINTEGER DEFAULT 0, "opcname" VARCHAR, "opcnamespace" UINTEGER DEFAULT 0,
  "opcowner" UINTEGER DEFAULT 0, "opcfamily" UINTEGER DEFAULT 0, "opcintype" UINTEGER DEFAULT 0, "opcdefault" BOOLEAN DEFAULT false,
  "opckeytype" UINTEGER DEFAULT 0);
CREATE TABLE hw_pg.pg_db_role_setting ("setdatabase" UINTEGER DEFAULT 0, "setrole" UINTEGER DEFAULT 0, "setconfig" VARCHAR[]);
CREATE TABLE hw_pg.pg_seclabel ("objoid" UINTEGER DEFAULT 0, "classoid" UINTEGER DEFAULT 0, "objsubid" INTEGER DEFAULT 0, "provider" VARCHAR,
  "label" VARCHAR);
CREATE TABLE hw_pg.pg_seclabels ("objoid" UINTEGER, "classoid" UINTEGER, "objsubid" INTEGER, "objtype" VARCHAR, "objnamespace" UINTEGER,
  "objname" VARCHAR, "provider" VARCHAR, "label" VARCHAR);
CREATE TABLE hw_pg.pg_policies ("schemaname" VARCHAR, "tablename" VARCHAR, "policyname" VARCHAR, "permissive" VARCHAR, "roles" VARCHAR[],
  "cmd" VARCHAR, "qual" VARCHAR, "with_check" VARCHAR);
CREATE TABLE hw_pg.pg_rules ("schemaname" VARCHAR, "tablename" VARCHAR, "rulename" VARCHAR, "definition" VARCHAR);
CREATE TABLE hw_pg.pg_group ("groname" VARCHAR, "grosysid" UINTEGER, "grolist" UINTEGER[]);
CREATE TABLE hw_pg.pg_subscription ("oid" UINTEGER DEFAULT 0, "subdbid" UINTEGER DEFAULT 0, "subskiplsn" VARCHAR, "subname" VARCHAR,
  "subowner" UINTEGER DEFAULT 0, "subenabled" BOOLEAN DEFAULT false, "subbinary" BOOLEAN DEFAULT false, "substream" BOOLEAN DEFAULT false,
  "subtwophasestate" VARCHAR, "subdisableonerr" BOOLEAN DEFAULT false, "subconninfo" VARCHAR, "subslotname" VARCHAR, "subsynccommit" VARCHAR,
  "subpublications" VARCHAR[]);
CREATE TABLE hw_pg.pg_subscription_rel ("srsubid" UINTEGER DEFAULT 0, "srrelid" UINTEGER DEFAULT 0, "srsubstate" VARCHAR, "srsublsn" VARCHAR);
CREATE TABLE hw_pg.pg_stats ("schemaname" VARCHAR, "tablename" VARCHAR, "attname" VARCHAR, "inherited" BOOLEAN, "null_frac" FLOAT,
  "avg_width" INTEGER, "n_distinct" FLOAT, "most_common_vals" VARCHAR, "most_common_freqs" FLOAT[], "histogram_bounds" VARCHAR,
  "correlation" FLOAT, "most_common_elems" VARCHAR, "most_common_elem_freqs" FLOAT[], "elem_count_histogram" FLOAT[]);
CREATE TABLE hw_pg.pg_statio_user_tables ("relid" UINTEGER, "schemaname" VARCHAR, "relname" VARCHAR, "heap_blks_read" BIGINT,
  "heap_blks_hit" BIGINT, "idx_blks_read" BIGINT, "idx_blks_hit" BIGINT, "toast_blks_read" BIGINT, "toast_blks_hit" BIGINT,
  "tidx_blks_read" BIGINT, "tidx_blks_hit" BIGINT);
CREATE TABLE hw_pg.pg_stat_database ("datid" UINTEGER, "datname" VARCHAR, "numbackends" INTEGER, "xact_commit" BIGINT, "xact_rollback" BIGINT,
  "blks_read" BIGINT, "blks_hit" BIGINT, "tup_returned" BIGINT, "tup_fetched" BIGINT, "tup_inserted" BIGINT, "tup_updated" BIGINT,
  "tup_deleted" BIGINT, "conflicts" BIGINT, "temp_files" BIGINT, "temp_bytes" BIGINT, "deadlocks" BIGINT, "checksum_failures" BIGINT,
  "checksum_last_failure" TIMESTAMPTZ, "blk_read_time" DOUBLE, "blk_write_time" DOUBLE, "session_time" DOUBLE, "active_time" DOUBLE,
  "idle_in_transaction_time" DOUBLE, "sessions" BIGINT, "sessions_abandoned" BIGINT, "sessions_fatal" BIGINT, "sessions_killed" BIGINT,
  "stats_reset" TIMESTAMPTZ);
CREATE TABLE hw_pg.pg_timezone_names ("name" VARCHAR, "abbrev" VARCHAR, "utc_offset" INTERVAL, "is_dst" BOOLEAN);
CREATE TABLE hw_pg.pg_cursors ("name" VARCHAR, "statement" VARCHAR, "is_holdable" BOOLEAN, "is_binary" BOOLEAN, "is_scrollable" BOOLEAN,
  "creation_time" TIMESTAMPTZ);
CREATE TABLE hw_pg.pg_init_privs ("objoid" UINTEGER DEFAULT 0, "classoid" UINTEGER DEFAULT 0, "objsubid" INTEGER DEFAULT 0, "privtype" VARCHAR,
  "initprivs" VARCHAR[]);
CREATE TABLE hw_pg.pg_default_acl ("oid" UINTEGER DEFAULT 0, "defaclrole" UINTEGER DEFAULT 0, "defaclnamespace" UINTEGER DEFAULT 0,
  "defaclobjtype" VARCHAR, "defaclacl" VARCHAR[]);
CREATE TABLE hw_pg.pg_amop ("oid" UINTEGER DEFAULT 0, "amopfamily" UINTEGER DEFAULT 0, "amoplefttype" UINTEGER DEFAULT 0,
  "amoprighttype" UINTEGER DEFAULT 0, "amopstrategy" SMALLINT DEFAULT 0, "amoppurpose" VARCHAR, "amopopr" UINTEGER DEFAULT 0,
  "amopmethod" UINTEGER DEFAULT 0, "amopsortfamily" UINTEGER DEFAULT 0);
CREATE TABLE hw_pg.pg_amproc ("oid" UINTEGER DEFAULT 0, "amprocfamily" UINTEGER DEFAULT 0, "amproclefttype" UINTEGER DEFAULT 0,
  "amprocrighttype" UINTEGER DEFAULT 0, "amprocnum" SMALLINT DEFAULT 0, "amproc" VARCHAR);
CREATE TABLE hw_pg.pg_opfamily ("oid" UINTEGER DEFAULT 0, "opfmethod" UINTEGER DEFAULT 0, "opfname" VARCHAR, "opfnamespace" UINTEGER DEFAULT 0,
  "opfowner" UINTEGER DEFAULT 0);
CREATE TABLE hw_pg.pg_ts_config ("oid" UINTEGER DEFAULT 0, "cfgname" VARCHAR, "cfgnamespace" UINTEGER DEFAULT 0, "cfgowner" UINTEGER DEFAULT 0,
  "cfgparser" UINTEGER DEFAULT 0);
CREATE TABLE hw_pg.pg_ts_dict ("oid" UINTEGER DEFAULT 0, "dictname" VARCHAR, "dictnamespace" UINTEGER DEFAULT 0, "dictowner" UINTEGER DEFAULT 0,
  "dicttemplate" UINTEGER DEFAULT 0, "dictinitoption" VARCHAR);
CREATE TABLE hw_pg.pg_transform ("oid" UINTEGER DEFAULT 0, "trftype" UINTEGER DEFAULT 0, "trflang" UINTEGER DEFAULT 0, "trffromsql" VARCHAR,
  "trftosql" VARCHAR);
CREATE TABLE hw_pg.pg_replication_slots ("slot_name" VARCHAR, "plugin" VARCHAR, "slot_type" VARCHAR, "datoid" UINTEGER, "database" VARCHAR,
  "temporary" BOOLEAN, "active" BOOLEAN, "active_pid" INTEGER, "xmin" BIGINT, "catalog_xmin" BIGINT, "restart_lsn" VARCHAR,
  "confirmed_flush_lsn" VARCHAR, "wal_status" VARCHAR, "safe_wal_size" BIGINT, "two_phase" BOOLEAN);
CREATE TABLE hw_is.schemata ("catalog_name" VARCHAR, "schema_name" VARCHAR, "schema_owner" VARCHAR, "default_character_set_catalog" VARCHAR,
  "default_character_set_schema" VARCHAR, "default_character_set_name" VARCHAR, "sql_path" VARCHAR);
CREATE TABLE hw_is.tables ("table_catalog" VARCHAR, "table_schema" VARCHAR, "table_name" VARCHAR, "table_type" VARCHAR,
  "self_referencing_column_name" VARCHAR, "reference_generation" VARCHAR, "user_defined_type_catalog" VARCHAR, "user_defined_type_schema" VARCHAR,
  "user_defined_type_name" VARCHAR, "is_insertable_into" VARCHAR, "is_typed" VARCHAR, "commit_action" VARCHAR);
CREATE TABLE hw_is.columns ("table_catalog" VARCHAR, "table_schema" VARCHAR, "table_name" VARCHAR, "column_name" VARCHAR,
  "ordinal_position" INTEGER, "column_default" VARCHAR, "is_nullable" VARCHAR, "data_type" VARCHAR, "character_maximum_length" INTEGER,
  "character_octet_length" INTEGER, "numeric_precision" INTEGER, "numeric_precision_radix" INTEGER, "numeric_scale" INTEGER,
  "datetime_precision" INTEGER, "interval_type" VARCHAR, "interval_precision" INTEGER, "character_set_catalog" VARCHAR,
  "character_set_schema" VARCHAR, "character_set_name" VARCHAR, "collation_catalog" VARCHAR, "collation_schema" VARCHAR, "collation_name" VARCHAR,
  "domain_catalog" VARCHAR, "domain_schema" VARCHAR, "domain_name" VARCHAR, "udt_catalog" VARCHAR, "udt_schema" VARCHAR, "udt_name" VARCHAR,
  "scope_catalog" VARCHAR, "scope_schema" VARCHAR, "scope_name" VARCHAR, "maximum_cardinality" INTEGER, "dtd_identifier" VARCHAR,
  "is_self_referencing" VARCHAR, "is_identity" VARCHAR, "identity_generation" VARCHAR, "identity_start" VARCHAR, "identity_increment" VARCHAR,
  "identity_maximum" VARCHAR, "identity_minimum" VARCHAR, "identity_cycle" VARCHAR, "is_generated" VARCHAR, "generation_expression" VARCHAR,
  "is_updatable" VARCHAR);
CREATE TABLE hw_is.views ("table_catalog" VARCHAR, "table_schema" VARCHAR, "table_name" VARCHAR, "view_definition" VARCHAR, "check_option" VARCHAR,
  "is_updatable" VARCHAR, "is_insertable_into" VARCHAR, "is_trigger_updatable" VARCHAR, "is_trigger_deletable" VARCHAR,
  "is_trigger_insertable_into" VARCHAR);
CREATE TABLE hw_is.table_constraints ("constraint_catalog" VARCHAR, "constraint_schema" VARCHAR, "constraint_name" VARCHAR,
  "table_catalog" VARCHAR, "table_schema" VARCHAR, "table_name" VARCHAR, "constraint_type" VARCHAR, "is_deferrable" VARCHAR,
  "initially_deferred" VARCHAR, "enforced" VARCHAR, "nulls_distinct" VARCHAR);
CREATE TABLE hw_is.key_column_usage ("constraint_catalog" VARCHAR, "constraint_schema" VARCHAR, "constraint_name" VARCHAR, "table_catalog" VARCHAR,
  "table_schema" VARCHAR, "table_name" VARCHAR, "column_name" VARCHAR, "ordinal_position" INTEGER, "position_in_unique_constraint" INTEGER);
CREATE TABLE hw_is.constraint_column_usage ("table_catalog" VARCHAR, "table_schema" VARCHAR, "table_name" VARCHAR, "column_name" VARCHAR,
  "constraint_catalog" VARCHAR, "constraint_schema" VARCHAR, "constraint_name" VARCHAR);
CREATE TABLE hw_is.referential_constraints ("constraint_catalog" VARCHAR, "constraint_schema" VARCHAR, "constraint_name" VARCHAR,
  "unique_constraint_catalog" VARCHAR, "unique_constraint_schema" VARCHAR, "unique_constraint_name" VARCHAR, "match_option" VARCHAR,
  "update_rule" VARCHAR, "delete_rule" VARCHAR);
CREATE TABLE hw_is.table_privileges ("grantor" VARCHAR, "grantee" VARCHAR, "table_catalog" VARCHAR, "table_schema" VARCHAR, "table_name" VARCHAR,
  "privilege_type" VARCHAR, "is_grantable" VARCHAR, "with_hierarchy" VARCHAR);
CREATE TABLE hw_is.role_table_grants ("grantor" VARCHAR, "grantee" VARCHAR, "table_catalog" VARCHAR, "table_schema" VARCHAR, "table_name" VARCHAR,
  "privilege_type" VARCHAR, "is_grantable" VARCHAR, "with_hierarchy" VARCHAR);
CREATE TABLE hw_is.column_privileges ("grantor" VARCHAR, "grantee" VARCHAR, "table_catalog" VARCHAR, "table_schema" VARCHAR, "table_name" VARCHAR,
  "column_name" VARCHAR, "privilege_type" VARCHAR, "is_grantable" VARCHAR);
CREATE TABLE hw_is.routines ("specific_catalog" VARCHAR, "specific_schema" VARCHAR, "specific_name" VARCHAR, "routine_catalog" VARCHAR,
  "routine_schema" VARCHAR, "routine_name" VARCHAR, "routine_type" VARCHAR, "module_catalog" VARCHAR, "module_schema" VARCHAR,
  "module_name" VARCHAR, "udt_catalog" VARCHAR, "udt_schema" VARCHAR, "udt_name" VARCHAR, "data_type" VARCHAR, "character_maximum_length" INTEGER,
  "character_octet_length" INTEGER, "character_set_catalog" VARCHAR, "character_set_schema" VARCHAR, "character_set_name" VARCHAR,
  "collation_catalog" VARCHAR, "collation_schema" VARCHAR, "collation_name" VARCHAR, "numeric_precision" INTEGER,
  "numeric_precision_radix" INTEGER, "numeric_scale" INTEGER, "datetime_precision" INTEGER, "interval_type" VARCHAR, "interval_precision" INTEGER,
  "type_udt_catalog" VARCHAR, "type_udt_schema" VARCHAR, "type_udt_name" VARCHAR, "scope_catalog" VARCHAR, "scope_schema" VARCHAR,
  "scope_name" VARCHAR, "maximum_cardinality" INTEGER, "dtd_identifier" VARCHAR, "routine_body" VARCHAR, "routine_definition" VARCHAR,
  "external_name" VARCHAR, "external_language" VARCHAR, "parameter_style" VARCHAR, "is_deterministic" VARCHAR, "sql_data_access" VARCHAR,
  "is_null_call" VARCHAR, "sql_path" VARCHAR, "schema_level_routine" VARCHAR, "max_dynamic_result_sets" INTEGER, "is_user_defined_cast" VARCHAR,
  "is_implicitly_invocable" VARCHAR, "security_type" VARCHAR, "to_sql_specific_catalog" VARCHAR, "to_sql_specific_schema" VARCHAR,
  "to_sql_specific_name" VARCHAR, "as_locator" VARCHAR, "created" TIMESTAMPTZ, "last_altered" TIMESTAMPTZ, "new_savepoint_level" VARCHAR,
  "is_udt_dependent" VARCHAR, "result_cast_from_data_type" VARCHAR, "result_cast_as_locator" VARCHAR, "result_cast_char_max_length" INTEGER,
  "result_cast_char_octet_length" INTEGER, "result_cast_char_set_catalog" VARCHAR, "result_cast_char_set_schema" VARCHAR,
  "result_cast_char_set_name" VARCHAR, "result_cast_collation_catalog" VARCHAR, "result_cast_collation_schema" VARCHAR,
  "result_cast_collation_name" VARCHAR, "result_cast_numeric_precision" INTEGER, "result_cast_numeric_precision_radix" INTEGER,
  "result_cast_numeric_scale" INTEGER, "result_cast_datetime_precision" INTEGER, "result_cast_interval_type" VARCHAR,
  "result_cast_interval_precision" INTEGER, "result_cast_type_udt_catalog" VARCHAR, "result_cast_type_udt_schema" VARCHAR,
  "result_cast_type_udt_name" VARCHAR, "result_cast_scope_catalog" VARCHAR, "result_cast_scope_schema" VARCHAR, "result_cast_scope_name" VARCHAR,
  "result_cast_maximum_cardinality" INTEGER, "result_cast_dtd_identifier" VARCHAR);
CREATE TABLE hw_is.parameters ("specific_catalog" VARCHAR, "specific_schema" VARCHAR, "specific_name" VARCHAR, "ordinal_position" INTEGER,
  "parameter_mode" VARCHAR, "is_result" VARCHAR, "as_locator" VARCHAR, "parameter_name" VARCHAR, "data_type" VARCHAR,
  "character_maximum_length" INTEGER, "character_octet_length" INTEGER, "character_set_catalog" VARCHAR, "character_set_schema" VARCHAR,
  "character_set_name" VARCHAR, "collation_catalog" VARCHAR, "collation_schema" VARCHAR, "collation_name" VARCHAR, "numeric_precision" INTEGER,
  "numeric_precision_radix" INTEGER, "numeric_scale" INTEGER, "datetime_precision" INTEGER, "interval_type" VARCHAR, "interval_precision" INTEGER,
  "udt_catalog" VARCHAR, "udt_schema" VARCHAR, "udt_name" VARCHAR, "scope_catalog" VARCHAR, "scope_schema" VARCHAR, "scope_name" VARCHAR,
  "maximum_cardinality" INTEGER, "dtd_identifier" VARCHAR, "parameter_default" VARCHAR);
CREATE TABLE hw_is.sequences ("sequence_catalog" VARCHAR, "sequence_schema" VARCHAR, "sequence_name" VARCHAR, "data_type" VARCHAR,
  "numeric_precision" INTEGER, "numeric_precision_radix" INTEGER, "numeric_scale" INTEGER, "start_value" VARCHAR, "minimum_value" VARCHAR,
  "maximum_value" VARCHAR, "increment" VARCHAR, "cycle_option" VARCHAR);
CREATE TABLE hw_is.triggers ("trigger_catalog" VARCHAR, "trigger_schema" VARCHAR, "trigger_name" VARCHAR, "event_manipulation" VARCHAR,
  "event_object_catalog" VARCHAR, "event_object_schema" VARCHAR, "event_object_table" VARCHAR, "action_order" INTEGER, "action_condition" VARCHAR,
  "action_statement" VARCHAR, "action_orientation" VARCHAR, "action_timing" VARCHAR, "action_reference_old_table" VARCHAR,
  "action_reference_new_table" VARCHAR, "action_reference_old_row" VARCHAR, "action_reference_new_row" VARCHAR, "created" TIMESTAMPTZ);
CREATE TABLE hw_is.domains ("domain_catalog" VARCHAR, "domain_schema" VARCHAR, "domain_name" VARCHAR, "data_type" VARCHAR,
  "character_maximum_length" INTEGER, "character_octet_length" INTEGER, "character_set_catalog" VARCHAR, "character_set_schema" VARCHAR,
  "character_set_name" VARCHAR, "collation_catalog" VARCHAR, "collation_schema" VARCHAR, "collation_name" VARCHAR, "numeric_precision" INTEGER,
  "numeric_precision_radix" INTEGER, "numeric_scale" INTEGER, "datetime_precision" INTEGER, "interval_type" VARCHAR, "interval_precision" INTEGER,
  "domain_default" VARCHAR, "udt_catalog" VARCHAR, "udt_schema" VARCHAR, "udt_name" VARCHAR, "scope_catalog" VARCHAR, "scope_schema" VARCHAR,
  "scope_name" VARCHAR, "maximum_cardinality" INTEGER, "dtd_identifier" VARCHAR);
CREATE TABLE hw_is.enabled_roles ("role_name" VARCHAR);
CREATE TABLE hw_is.applicable_roles ("grantee" VARCHAR, "role_name" VARCHAR, "is_grantable" VARCHAR);
CREATE TABLE hw_is.character_sets ("character_set_catalog" VARCHAR, "character_set_schema" VARCHAR, "character_set_name" VARCHAR,
  "character_repertoire" VARCHAR, "form_of_use" VARCHAR, "default_collate_catalog" VARCHAR, "default_collate_schema" VARCHAR,
  "default_collate_name" VARCHAR);
CREATE TABLE hw_is.check_constraints ("constraint_catalog" VARCHAR, "constraint_schema" VARCHAR, "constraint_name" VARCHAR, "check_clause" VARCHAR);
CREATE TABLE hw_is.element_types ("object_catalog" VARCHAR, "object_schema" VARCHAR, "object_name" VARCHAR, "object_type" VARCHAR,
  "collection_type_identifier" VARCHAR, "data_type" VARCHAR, "character_maximum_length" INTEGER, "character_octet_length" INTEGER,
  "character_set_catalog" VARCHAR, "character_set_schema" VARCHAR, "character_set_name" VARCHAR, "collation_catalog" VARCHAR,
  "collation_schema" VARCHAR, "collation_name" VARCHAR, "numeric_precision" INTEGER, "numeric_precision_radix" INTEGER, "numeric_scale" INTEGER,
  "datetime_precision" INTEGER, "interval_type" VARCHAR, "interval_precision" INTEGER, "domain_default" VARCHAR, "udt_catalog" VARCHAR,
  "udt_schema" VARCHAR, "udt_name" VARCHAR, "scope_catalog" VARCHAR, "scope_schema" VARCHAR, "scope_name" VARCHAR, "maximum_cardinality" INTEGER,
  "dtd_identifier" VARCHAR);
CREATE TABLE hw_is.constraint_table_usage ("table_catalog" VARCHAR, "table_schema" VARCHAR, "table_name" VARCHAR, "constraint_catalog" VARCHAR,
  "constraint_schema" VARCHAR, "constraint_name" VARCHAR);
CREATE TABLE hw_is.view_table_usage ("view_catalog" VARCHAR, "view_schema" VARCHAR, "view_name" VARCHAR, "table_catalog" VARCHAR,
  "table_schema" VARCHAR, "table_name" VARCHAR);
CREATE TABLE hw_is.view_column_usage ("view_catalog" VARCHAR, "view_schema" VARCHAR, "view_name" VARCHAR, "table_catalog" VARCHAR,
  "table_schema" VARCHAR, "table_name" VARCHAR, "column_name" VARCHAR);
CREATE TABLE hw_is.information_schema_catalog_name ("catalog_name" VARCHAR);
CREATE TABLE hw_is.role_column_grants ("grantor" VARCHAR, "grantee" VARCHAR, "table_catalog" VARCHAR, "table_schema" VARCHAR, "table_name" VARCHAR,
  "column_name" VARCHAR, "privilege_type" VARCHAR, "is_grantable" VARCHAR);
CREATE TABLE hw_is.routine_privileges ("grantor" VARCHAR, "grantee" VARCHAR, "specific_catalog" VARCHAR, "specific_schema" VARCHAR,
  "specific_name" VARCHAR, "routine_catalog" VARCHAR, "routine_schema" VARCHAR, "routine_name" VARCHAR, "privilege_type" VARCHAR,
  "is_grantable" VARCHAR);
CREATE TABLE hw_is.udt_privileges ("grantor" VARCHAR, "grantee" VARCHAR, "udt_catalog" VARCHAR, "udt_schema" VARCHAR, "udt_name" VARCHAR,
  "privilege_type" VARCHAR, "is_grantable" VARCHAR);
CREATE TABLE hw_is.usage_privileges ("grantor" VARCHAR, "grantee" VARCHAR, "object_catalog" VARCHAR, "object_schema" VARCHAR,
  "object_name" VARCHAR, "object_type" VARCHAR, "privilege_type" VARCHAR, "is_grantable" VARCHAR);
CREATE TABLE hw_is.user_defined_types ("user_defined_type_catalog" VARCHAR, "user_defined_type_schema" VARCHAR, "user_defined_type_name" VARCHAR,
  "user_defined_type_category" VARCHAR, "is_instantiable" VARCHAR, "is_final" VARCHAR, "ordering_form" VARCHAR, "ordering_category" VARCHAR,
  "ordering_routine_catalog" VARCHAR, "ordering_routine_schema" VARCHAR, "ordering_routine_name" VARCHAR, "reference_type" VARCHAR,
  "data_type" VARCHAR, "character_maximum_length" INTEGER, "character_octet_length" INTEGER, "character_set_catalog" VARCHAR,
  "character_set_schema" VARCHAR, "character_set_name" VARCHAR, "collation_catalog" VARCHAR, "collation_schema" VARCHAR, "collation_name" VARCHAR,
  "numeric_precision" INTEGER, "numeric_precision_radix" INTEGER, "numeric_scale" INTEGER, "datetime_precision" INTEGER, "interval_type" VARCHAR,
  "interval_precision" INTEGER, "source_dtd_identifier" VARCHAR, "ref_dtd_identifier" VARCHAR);
CREATE TABLE hw_is.column_udt_usage ("udt_catalog" VARCHAR, "udt_schema" VARCHAR, "udt_name" VARCHAR, "table_catalog" VARCHAR,
  "table_schema" VARCHAR, "table_name" VARCHAR, "column_name" VARCHAR);
CREATE TABLE hw_is.data_type_privileges ("object_catalog" VARCHAR, "object_schema" VARCHAR, "object_name" VARCHAR, "object_type" VARCHAR,
  "dtd_identifier" VARCHAR);
CREATE TABLE hw_is.domain_constraints ("constraint_catalog" VARCHAR, "constraint_schema" VARCHAR, "constraint_name" VARCHAR,
  "domain_catalog" VARCHAR, "domain_schema" VARCHAR, "domain_name" VARCHAR, "is_deferrable" VARCHAR, "initially_deferred" VARCHAR);
CREATE TABLE hw_is.collations ("collation_catalog" VARCHAR, "collation_schema" VARCHAR, "collation_name" VARCHAR, "pad_attribute" VARCHAR);
