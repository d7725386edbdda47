{% macro parse_us_timestamp(column) -%}
    {{ return(adapter.dispatch('parse_us_timestamp', 'cdp')(column)) }}
{%- endmacro %}

{% macro default__parse_us_timestamp(column) -%}
    try_strptime({{ column }}, '%m/%d/%Y %I:%M:%S %p')
{%- endmacro %}

{% macro spark__parse_us_timestamp(column) -%}
    try_to_timestamp({{ column }}, 'M/d/yyyy h:mm:ss a')
{%- endmacro %}

{% macro sfmc_timestamp(column) -%}
    {{ parse_us_timestamp(column) }} - interval '{{ var("sfmc_utc_offset_hours") }}' hour
{%- endmacro %}
