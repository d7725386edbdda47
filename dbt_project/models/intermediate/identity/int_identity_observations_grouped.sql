{{ config(
    materialized='maintained',
    touched='int_identity_observations_changed',
    touched_by=['observation_group_id'],
    touched_column='observation_group_id'
) }}

{% set types = identity_rules().types %}
{% set changes = ref('int_identity_observations_changed') %}
{% set by_delta = is_delta() %}
{#- what goes has its group counted again; what only comes is added to what was counted -#}
{% set counts_again = not by_delta
    or number_of('select sum(removed_count) as removed_count from ' ~ changes) > 0 %}

with events_with_identifiers as (

    select * from {{ ref('int_events_with_identifiers') }}

),

sfmc_subscribers as (

    select * from {{ ref('int_sfmc_subscribers_with_identifiers') }}

),

observations as (

    {% if counts_again %}
    select
        source_system,
        {% for type in types %}
        key_{{ type.name }},
        {% endfor %}
        1 as observation_count,
        event_id as evidence_id,
        occurred_at as first_seen_at,
        occurred_at as last_seen_at
    from events_with_identifiers
    union all
    select
        source_system,
        {% for type in types %}
        key_{{ type.name }},
        {% endfor %}
        1 as observation_count,
        row_id as evidence_id,
        observed_at as first_seen_at,
        observed_at as last_seen_at
    from sfmc_subscribers
    {% else %}
    select
        source_system,
        {% for type in types %}
        key_{{ type.name }},
        {% endfor %}
        observation_count,
        evidence_id,
        first_seen_at,
        last_seen_at
    from {{ this }}
    where observation_group_id in (select observation_group_id from {{ changes }})
    union all
    select
        source_system,
        {% for type in types %}
        key_{{ type.name }},
        {% endfor %}
        added_count as observation_count,
        evidence_id,
        first_seen_at,
        last_seen_at
    from {{ changes }}
    {% endif %}

),

{% if by_delta and counts_again %}
observations_to_count as (

    select observations.*
    from observations
    inner join {{ changes }} as changes
        on
            {% for type in types %}
            coalesce(observations.key_{{ type.name }}, '') = coalesce(changes.key_{{ type.name }}, '')
            and
            {% endfor %}
            observations.source_system = changes.source_system

),
{% else %}
observations_to_count as (

    select * from observations

),
{% endif %}

grouped as (

    select
        source_system,
        {% for type in types %}
        key_{{ type.name }},
        {% endfor %}
        sum(observation_count) as observation_count,
        min(evidence_id) as evidence_id,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from observations_to_count
    group by
        {% for type in types %}
        key_{{ type.name }},
        {% endfor %}
        source_system

),

named as (

    select
        {{ observation_group_id(types) }} as observation_group_id,
        source_system,
        {% for type in types %}
        key_{{ type.name }},
        {% endfor %}
        cast(observation_count as bigint) as observation_count,
        evidence_id,
        first_seen_at,
        last_seen_at
    from grouped

)

select * from named
