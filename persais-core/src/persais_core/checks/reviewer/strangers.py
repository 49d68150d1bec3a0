"""Attributes that objects of the bot and of what may be imported have, so that nobody may set them on just anything.

A function may set an attribute on what it is given when the attribute is one that a class of the same file has, and no
stranger: then it either is of that class, or nothing comes of it. `tests/checks/test_imports.py` holds the list against
what there is.
"""

from __future__ import annotations

_WORDS = """
A ASCII Comparator DEBUG DOTALL Exception I IGNORECASE JSONElementType JSONIndexType JSONIntIndexType JSONPathType
JSONStrIndexType L LOCALE M MULTILINE NOFLAG NULL S T TDComparatorContainer TEMPLATE U UNICODE VERBOSE VERSION X a
aclose acquire adapt adapt_emulated_to_native adapt_native_to_emulated adapt_to_emulated add address_exclude agent
alias_generator all_ allow_inf_nan allow_nan allows_lambda anon_key_label anon_label any_ append append_foreign_key
arbitrary_types_allowed args argument_for as_generic as_integer_ratio as_uuid asc ascii_only asdecimal asend ask
athrow attachment attrname autoincrement autojunk b b2j base_columns before betavariate between bind_expression
bind_processor bitwise_and bitwise_lshift bitwise_not bitwise_or bitwise_rshift bitwise_xor bjunk bool_op bpopular
braceidpattern break_long_words break_on_hyphens broadcast_address budget build buttons bytes bytes_le c cache_ok
cache_strings callback called cancel cast cdf charjunk chat check_circular choice choices clear clock_seq
clock_seq_hi_variant clock_seq_low close coerce_compared_value coerce_numbers_to_str coerce_to_is_types collate
collation collation_schema colno column_expression columns command comment comparator comparator_factory compare
compare_networks compare_values compile compiler_flag compressed computed concat config confirm conjugate constraints
construct contains contains_column context convert_to_aliases copy copy_value copy_with count create create_constraint
create_drop_stringify_dialect create_task create_type created_at created_by data database day day_precision days
ddl_if decimal_return_scale decode default defer_build deferrable delimiter denominator desc description dialect
dialect_impl dialect_kwargs dialect_options dialogue dict dim dims disabled dispatch distinct doc done doublequote
drop drop_whitespace dst elements emoji empty encode encoded_string end_col_offset end_lineno endswith ensure_ascii
ensure_kwarg enter_async_context enter_context enter_result entity_namespace epoch error_count errors escapechar
evaluates_none expand_tabs exploded expovariate expr expression expressions extend extra extrasaction fget field_name
field_title_generator fieldnames fields file fill filters find_longest_match firstweekday fix_sentence_endings flags
fold foreign_keys format formatday formatmonth formatmonthname formatweek formatweekday formatweekheader formatyear
fragment from_attributes from_decimal from_exception_data from_float from_orm from_samples fromkeys fromtimestamp
frozen full fullbcount func gammavariate gauss gauss_next generic_visit get getMandatoryRelease getOptionalRelease
get_children get_col_spec get_dbapi_type get_dialect_option get_grouped_opcodes get_identifiers get_matching_blocks
get_nowait get_opcodes get_ready getfirstweekday getrandbits getstate geturl handlers has_asked hashable hex
hide_input_in_errors history host hostmask hostname hosts hour icontains id identity idpattern iendswith ignored_types
ilike imag impl impl_instance in_ indent index info inherit_cache inherit_schema initial_indent initially insert int
inv_cdf ip ipv4_mapped is_ is_active is_admin is_clause_element is_column_level is_deleted is_distinct_from is_dml
is_forwarded is_global is_link_local is_literal is_loopback is_multicast is_not is_not_distinct_from is_private
is_reserved is_safe is_selectable is_set is_site_local is_unspecified is_valid isdisjoint isjunk isnot
isnot_distinct_from isoformat istartswith item_separator items iterencode itermonthdates itermonthdays itermonthdays2
itermonthdays3 itermonthdays4 iterweekdays join json json_encoders json_schema_extra json_schema_input_type
json_schema_mode_override json_schema_serialization_defaults_required key key_separator keys keywords kind kwargs
label language length level like limit_denominator line_num linejunk lineno lineterminator literal_processor
load_dialect_impl loc_by_alias lock locked lognormvariate manager mandatory maps match matching_blocks max_length
max_lines max_prefixlen maxsize mean median memo memoized_attribute memoized_instancemethod memory metadata
microsecond microseconds min_length minute mode model model_computed_fields model_config model_construct model_copy
model_dump model_dump_json model_extra model_fields model_fields_set model_json_schema model_parametrized_name
model_post_init model_rebuild model_title_generator model_validate model_validate_json model_validate_strings models
month monthdatescalendar monthdays2calendar monthdayscalendar most_common msg n n_fields n_sequence_fields
n_unnamed_fields name native native_uuid negation_clause netloc netmask network_address new_child node none_as_null
normalvariate not_ilike not_in not_like notify notify_all notilike notin_ notlike nullable nulls_first nulls_last
nullsfirst nullslast num_addresses numerator object_hook object_pairs_hook onupdate op opcodes operate
operator_classes optional overlap overlaps packed params parent parents paretovariate parse_array parse_constant
parse_file parse_float parse_int parse_obj parse_object parse_raw parse_string password path pattern pdf placeholder
plain plugin_settings polymorphic_serialization pop pop_all popitem populate_by_name port pos precision prefixlen
prepare primary_key prmonth process_bind_param process_literal_param process_result_value progress prompt propagate
protected_namespaces proxy_set prweek pryear purpose push push_async_callback push_async_exit put put_nowait
python_type qsize quantiles query query_params questions quick_ratio quotechar quoting randbytes randint random
randrange ratio raw_decode reader real real_quick_ratio records references reflect_only_elements regex_engine
regexp_match regexp_replace release remind reminders remove render_bind_cast render_literal_cast replace
replace_whitespace reply reply_to repr_struct restkey restval result_processor return_type revalidate_instances
reverse reverse_operate reverse_pointer root s safe_substitute sample samples scale scan_once schedule schema
schema_generator schema_json scheme scope_id second second_precision seconds seed self_group send sent_at
sentence_end_re ser_json_bytes ser_json_inf_nan ser_json_temporal ser_json_timedelta serialize_by_alias serialize_url
server_default server_onupdate session set set_seq1 set_seq2 set_seqs setdefault setfirstweekday setstate settings
shares_lineage should_evaluate_none shuffle sixtofour skipinitialspace skipkeys sort sort_key_function sort_keys
sqlmodel_update startswith state static_order stdev store stores str_max_length str_min_length str_strip_whitespace
str_to_lower str_to_upper strftime strict string_bind_processor string_literal_processor stringify_dialect
strip_whitespace subnet_of subnets subsequent_indent substitute subtract supernet supernet_of supports_execution
surroundings system table tabsize task_done template teredo text thing throw time time_hi_version time_low time_mid
timers timetuple timezone title tm_gmtoff tm_hour tm_isdst tm_mday tm_min tm_mon tm_sec tm_wday tm_yday tm_year
tm_zone to_lower to_upper tool tools toordinal total triangular turn type type_engine typing tzinfo tzname
unicode_host unicode_string unicode_whitespace_trans uniform unique unique_params update update_forward_refs
updated_at url_preserve_empty_path urn usage use_attribute_docstrings use_enum_values user username users
uses_inspection utc utcfromtimestamp utcoffset val_json_bytes val_temporal_unit validate validate_assignment
validate_by_alias validate_by_name validate_default validate_return validation_error_cause value values variance
variant version visit visit_Constant vonmisesvariate wait wait_for weibullvariate when_used width with_hostmask
with_netmask with_prefixlen with_variant wordsep_re wordsep_simple_re wrap writeheader writer writerow writerows year
yeardatescalendar yeardays2calendar yeardayscalendar zscore addressee
"""
NAMES = frozenset(_WORDS.split())
