{{ config(
    materialized='maintained',
    touched='int_identifiers_touched',
    touched_by=['identifier_key']
) }}

{% set touched = ref('int_identifiers_touched') %}
{% set by_delta = is_delta() %}
{% set types = identity_rules().types %}

with observations as (

    select * from {{ ref('int_identity_observations_grouped') }}

),

sightings as (

    {% for type in types %}
    select
        key_{{ type.name }} as identifier_key,
        source_system,
        observation_count,
        first_seen_at,
        last_seen_at
    from observations
    where
        key_{{ type.name }} is not null
        and {{ touched_only(by_delta, touched, ['key_' ~ type.name]) }}
    {% if not loop.last %}
    union all
    {% endif %}
    {% endfor %}

),

seen as (

    select
        identifier_key,
        sum(observation_count) as observation_count,
        count(distinct source_system) as source_count,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from sightings
    group by identifier_key

)

select * from seen
