{% set audiences = audience_definitions() %}

{% for audience in audiences %}
{%- set relation = ref('audience_' ~ audience.name) -%}
{{ require_canonical_id(relation, audience.name) }}
select distinct
    '{{ audience.name }}' as audience_name,
    canonical_id
from {{ relation }}
where canonical_id is not null
{% if not loop.last %}
union all
{% endif %}
{% endfor %}
