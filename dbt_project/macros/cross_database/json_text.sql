{% macro json_text(column, key) -%}
    {{ return(adapter.dispatch('json_text', 'cdp')(column, key)) }}
{%- endmacro %}

{% macro default__json_text(column, key) -%}
    json_extract_string({{ column }}, '$.{{ key }}')
{%- endmacro %}

{% macro spark__json_text(column, key) -%}
    get_json_object({{ column }}, '$.{{ key }}')
{%- endmacro %}

{% macro json_number(column, key) -%}
    try_cast({{ json_text(column, key) }} as double)
{%- endmacro %}
