{% set audiences = audience_definitions() %}

{% for audience in audiences %}
{%- set last_audience = loop.last -%}
{% for channel in audience.channels %}
select
    '{{ audience.name }}' as audience_name,
    '{{ audience.description | replace("'", "''") }}' as description,
    '{{ audience.owner | replace("'", "''") }}' as owner,
    '{{ audience.purpose }}' as purpose,
    '{{ channel }}' as channel
{% if not (last_audience and loop.last) %}
union all
{% endif %}
{% endfor %}
{% endfor %}
