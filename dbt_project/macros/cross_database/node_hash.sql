{# Something that orders nodes otherwise in every round. #}
{% macro node_hash(node, round) -%}
    {{ return(adapter.dispatch('node_hash', 'cdp')(node, round)) }}
{%- endmacro %}

{% macro default__node_hash(node, round) -%}
    hash({{ node }}, {{ round }})
{%- endmacro %}

{# Not xxhash64: Sail 0.7 fails where the statistics of a file say that the column has one value only. #}
{% macro spark__node_hash(node, round) -%}
    md5(concat(cast({{ node }} as string), '/{{ round }}'))
{%- endmacro %}
