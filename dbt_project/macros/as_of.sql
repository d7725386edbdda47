{% macro as_of() -%}
    {%- set moment = var('as_of', run_started_at.strftime('%Y-%m-%d %H:%M:%S')) -%}
    cast('{{ moment | replace("T", " ") | replace("Z", "") }}' as timestamp)
{%- endmacro %}

{% macro days_before_as_of(days) -%}
    {{ as_of() }} - interval '{{ days }}' day
{%- endmacro %}
