{# A number for each row of a query, dense or not, another one each time: a name for within one build. #}
{% macro row_id() -%}
    {{ return(adapter.dispatch('row_id', 'cdp')()) }}
{%- endmacro %}

{% macro default__row_id() -%}
    {{ return('row_number() over ()') }}
{%- endmacro %}

{% macro spark__row_id() -%}
    {{ return('monotonically_increasing_id()') }}
{%- endmacro %}

{# A timestamp as microseconds since 1970. #}
{% macro epoch_microseconds(column) -%}
    {{ return(adapter.dispatch('epoch_microseconds', 'cdp')(column)) }}
{%- endmacro %}

{% macro default__epoch_microseconds(column) -%}
    {{ return('epoch_us(' ~ column ~ ')') }}
{%- endmacro %}

{% macro spark__epoch_microseconds(column) -%}
    {{ return('unix_micros(' ~ column ~ ')') }}
{%- endmacro %}
