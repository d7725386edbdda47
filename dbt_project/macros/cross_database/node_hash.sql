{% macro node_hash(node, round) -%}
    {{ return(adapter.dispatch('node_hash', 'cdp')(node, round)) }}
{%- endmacro %}

{% macro default__node_hash(node, round) -%}
    hash({{ node }}, {{ round }})
{%- endmacro %}

{% macro spark__node_hash(node, round) -%}
    xxhash64({{ node }}, {{ round }})
{%- endmacro %}
