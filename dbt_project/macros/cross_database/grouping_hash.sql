{# Something that equal texts share and few others do, sooner grouped than the text itself where the engine has such a thing. #}
{% macro grouping_hash(column) -%}
    {{ return(adapter.dispatch('grouping_hash', 'cdp')(column)) }}
{%- endmacro %}

{% macro default__grouping_hash(column) -%}
    {{ column }}
{%- endmacro %}

{% macro duckdb__grouping_hash(column) -%}
    hash({{ column }})
{%- endmacro %}
