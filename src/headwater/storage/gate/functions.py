"""The functions that a reader may call: a list that is complete by being closed. What it doesn't name is refused.

A function is on it when its result depends on its arguments alone (or on the clock, or on chance): it reads no file, no catalog, no setting and
no statistics, leaves nothing behind in the session, and calls no other function by a name made of data. The functions of the engine that are
not on it stand in `REFUSED`, each group with its reason: a test compares both with what the engine has, so that a new one is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_ALLOWED: Final[Mapping[str, str]] = {
    "operators": """
        !__postfix !~~ !~~* % & && * ** + - ->> / // <-> << <=> <@ >> @ @> ^ ^@ | || ~ ~~ ~~* ~~~
        add subtract multiply divide mod xor -> ! <> = < > <= >=
        like_escape not_like_escape ilike_escape not_ilike_escape
    """,
    "numbers": """
        abs acos acosh asin asinh atan atan2 atanh bit_count cbrt ceil ceiling cos cosh cot degrees even exp factorial fdiv floor fmod gamma gcd
        greatest greatest_common_divisor isfinite isinf isnan lcm least least_common_multiple lgamma ln log log10 log2 nextafter pi pow power radians
        round round_even roundbankers sign signbit sin sinh sqrt tan tanh trunc
    """,
    "chance": "random gen_random_uuid uuid uuidv4 uuidv7",
    "texts": """
        array_to_string array_to_string_comma_default ascii bar base64 bin bit_length char_length character_length chr concat concat_ws contains
        damerau_levenshtein decode editdist3 encode ends_with format formatReadableDecimalSize formatReadableSize format_bytes from_base64 from_binary
        from_hex hamming hex instr jaccard jaro_similarity jaro_winkler_similarity lcase left left_grapheme length length_grapheme levenshtein lower
        lpad ltrim mismatches nfc_normalize octet_length ord parse_dirname parse_dirpath parse_filename parse_formatted_bytes parse_path
        pg_size_pretty position prefix printf regexp_escape regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace
        regexp_split_to_array regexp_split_to_table repeat replace reverse right right_grapheme rpad rtrim split split_part starts_with str_split
        str_split_regex string_split string_split_regex string_to_array strip_accents strlen strpos substr substring substring_grapheme suffix
        to_base to_base64 to_binary to_hex translate trim ucase unbin unhex unicode upper url_decode url_encode
    """,
    "digests": "hash md5 md5_number md5_number_lower md5_number_upper murmur3_32 sha1 sha256",
    "bits and bytes": "bit_position bitstring get_bit set_bit",
    "times": """
        age ago century current_date current_localtime current_localtimestamp date_add date_diff date_part date_sub date_trunc datediff datepart
        datesub datetrunc day dayname dayofmonth dayofweek dayofyear days_in_month decade epoch epoch_ms epoch_ns epoch_us era get_current_time
        get_current_timestamp hour isodow isoyear julian last_day make_date make_time make_timestamp make_timestamp_ms make_timestamp_ns
        make_timestamptz microsecond millennium millisecond minute month monthname nanosecond normalized_interval now quarter second strftime strptime
        time_bucket timetz_byte_comparable timezone timezone_hour timezone_minute to_centuries to_days to_decades to_hours to_microseconds
        to_millennia to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp to_weeks to_years today transaction_timestamp
        try_strptime uuid_extract_timestamp week weekday weekofyear year yearweek
    """,
    "conditions": "constant_or_null nullif error coalesce if ifnull switch",
    "types of values": "can_cast_implicitly enum_code enum_first enum_last enum_range enum_range_boundary pg_typeof typeof uuid_extract_version",
    "lists": """
        apply array_aggr array_aggregate array_append array_apply array_cat array_concat array_contains array_cosine_distance array_cosine_similarity
        array_cross_product array_distance array_distinct array_dot_product array_extract array_filter array_grade_up array_has array_has_all
        array_has_any array_indexof array_inner_product array_intersect array_length array_negative_dot_product array_negative_inner_product
        array_pop_back array_pop_front array_position array_prepend array_push_back array_push_front array_reduce array_resize array_reverse
        array_reverse_sort array_select array_slice array_sort array_transform array_unique array_value array_where array_zip aggregate
        equi_width_bins filter flatten generate_series generate_subscripts grade_up is_histogram_other_bin len list_aggr list_aggregate list_any_value
        list_append list_apply list_approx_count_distinct list_avg list_bit_and list_bit_or list_bit_xor list_bool_and list_bool_or list_cat
        list_concat list_contains list_cosine_distance list_cosine_similarity list_count list_distance list_distinct list_dot_product list_element
        list_entropy list_extract list_filter list_first list_grade_up list_has list_has_all list_has_any list_histogram list_indexof
        list_inner_product list_intersect list_kurtosis list_kurtosis_pop list_last list_mad list_max list_median list_min list_mode
        list_negative_dot_product list_negative_inner_product list_pack list_position list_prepend list_product list_reduce list_resize list_reverse
        list_reverse_sort list_select list_sem list_skewness list_slice list_sort list_stddev_pop list_stddev_samp list_string_agg list_sum
        list_transform list_unique list_value list_var_pop list_var_samp list_where list_zip range reduce unpivot_list unnest element_at
    """,
    "structs, maps, unions": """
        cardinality map map_concat map_contains map_contains_entry map_contains_value map_entries map_extract map_extract_value map_from_entries
        map_keys map_values row struct_concat struct_contains struct_extract struct_extract_at struct_has struct_indexof struct_insert
        struct_pack struct_position struct_update struct_values union_extract union_tag union_value
    """,
    "documents": """
        array_to_json from_json from_json_strict json json_array json_array_length json_contains json_exists json_extract json_extract_path
        json_extract_path_text json_extract_string json_group_array json_group_object json_group_structure json_keys json_merge_patch json_object
        json_pretty json_quote json_structure json_transform json_transform_strict json_type json_valid json_value row_to_json to_json
        variant_extract variant_typeof
    """,
    "shapes": "st_asbinary st_astext st_aswkb st_aswkt st_geomfromwkb st_intersects_extent",
    "aggregates": """
        any_value approx_count_distinct approx_quantile approx_top_k arbitrary arg_max arg_max_null arg_max_nulls_last arg_min arg_min_null
        arg_min_nulls_last argmax argmin array_agg avg bit_and bit_or bit_xor bitstring_agg bool_and bool_or corr count count_if count_star countif
        covar_pop covar_samp entropy favg first fsum geomean geometric_mean group_concat histogram histogram_exact kahan_sum kurtosis kurtosis_pop
        last list listagg mad max max_by mean median min min_by mode product quantile quantile_cont quantile_disc regr_avgx regr_avgy regr_count
        regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy reservoir_quantile sem skewness stddev stddev_pop stddev_samp string_agg sum
        sum_no_overflow sumkahan var_pop var_samp variance wavg weighted_avg
    """,
    "windows": "cume_dist dense_rank fill first_value lag last_value lead nth_value ntile percent_rank rank rank_dense row_number",
    "who asks (answered by the gate itself)": "current_user session_user user current_role current_groups",
}

#: The engine's functions that nobody but the owner may call.
_REFUSED: Final[Mapping[str, str]] = {
    "they look into the engine: its session, settings, catalog, log or plan": """
        current_catalog current_connection_id current_database current_query current_query_id current_schema current_schemas current_setting
        current_transaction_id currval getvariable get_block_size in_search_path inet_client_addr inet_client_port inet_server_addr inet_server_port
        json_deserialize_sql json_serialize_plan json_serialize_sql nextval parse_duckdb_log_message pg_conf_load_time pg_postmaster_start_time
        setseed txid_current version write_log
    """,
    "they tell how rows are stored, those a filter hides among them": "alias stats vector_type",
    "they do nothing but wait": "pg_sleep sleep_ms",
    "the engine's own fault: over rows in memory it reads beyond them, takes all memory there is, or dies": "struct_keys",
    "they read the engine's catalog": """
        col_description format_pg_type format_type has_any_column_privilege has_column_privilege has_database_privilege
        has_foreign_data_wrapper_privilege has_function_privilege has_language_privilege has_schema_privilege has_sequence_privilege
        has_server_privilege has_table_privilege has_tablespace_privilege map_to_pg_oid obj_description pg_collation_is_visible
        pg_conversion_is_visible pg_function_is_visible pg_get_constraintdef pg_get_expr pg_get_viewdef pg_has_role pg_is_other_temp_schema
        pg_my_temp_schema pg_opclass_is_visible pg_operator_is_visible pg_opfamily_is_visible pg_table_is_visible pg_ts_config_is_visible
        pg_ts_dict_is_visible pg_ts_parser_is_visible pg_ts_template_is_visible pg_type_is_visible shobj_description
    """,
    "they are made by the engine for itself": """
        cast_to_type combine create_sort_key finalize get_type icu_sort_key make_type remap_struct replace_type st_crs st_setcrs
        variant_bytes_to_variant variant_normalize variant_to_parquet_variant
    """,
}
#: Families of the engine's own, named by how they begin.
REFUSED_PREFIXES: Final = ("__internal_", "icu_collate_", "postgres_")

ALLOWED: Final = frozenset(name for names in _ALLOWED.values() for name in names.lower().split())
REFUSED: Final = frozenset(name for names in _REFUSED.values() for name in names.split())
AGGREGATES: Final = frozenset(_ALLOWED["aggregates"].split())

#: They call an aggregate by its name, which must then be a constant and stand in `AGGREGATES`.
CALL_BY_NAME: Final = frozenset({"aggregate", "list_aggr", "list_aggregate", "array_aggr", "array_aggregate"})

#: Refused where a row filter applies: the engine takes them to be safe and computes them for rows that the filter has already left out, so that
#: their error (or `error`'s own) tells of a hidden row.
UNSAFE_ON_FILTERED: Final = frozenset(
    {
        "chr",
        "epoch_ms",
        "epoch_ns",
        "epoch_us",
        "error",
        "json_group_object",
        "json_object",
        "make_timestamp_ms",
        "make_timestamp_ns",
        "to_base",
        "to_timestamp",
    }
)

#: Table functions that read nothing but their arguments.
TABLE_FUNCTIONS: Final = frozenset(
    {
        "range",
        "generate_series",
        "unnest",
        "json_each",
        "json_tree",
        "repeat",
        "repeat_row",
        "generate_subscripts",
        "regexp_split_to_table",
    }
)
#: Those that the owner may call besides.
OWNERS_TABLE_FUNCTIONS: Final = frozenset({"summary"})

#: Types that a value may be cast to.
_TYPES: Final = """
    bigint bignum bit bitstring blob bool boolean bpchar bytea char date datetime dec decimal double enum float float4 float8 geometry guid
    hugeint int int1 int128 int16 int2 int32 int4 int64 int8 integer integral interval json list logical long map nvarchar numeric oid real
    row short signed smallint string struct text time timestamp timestamp_ms timestamp_ns timestamp_s timestamp_us timestamptz timetz
    time_ns tinyint ubigint uhugeint uint128 uint16 uint32 uint64 uint8 uinteger union usmallint utinyint uuid varbinary varchar varint
    variant binary array
"""
TYPES: Final = frozenset(_TYPES.split()) | {"timestamp with time zone", "time with time zone", "null"}
