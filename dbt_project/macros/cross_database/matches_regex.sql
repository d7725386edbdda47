{# Whether the whole of a text has this form; a pattern of the subset that RE2 and Java read alike. #}
{% macro matches_regex(column, pattern) -%}
    {{ return(adapter.dispatch('matches_regex', 'cdp')(column, pattern)) }}
{%- endmacro %}

{% macro default__matches_regex(column, pattern) -%}
    {{ return('regexp_full_match(' ~ column ~ ", '" ~ (pattern | replace("'", "''")) ~ "')") }}
{%- endmacro %}

{% macro spark__matches_regex(column, pattern) -%}
    {{ return(column ~ " rlike '^(?:" ~ (pattern | replace("\\", "\\\\") | replace("'", "\\'")) ~ ")$'") }}
{%- endmacro %}
