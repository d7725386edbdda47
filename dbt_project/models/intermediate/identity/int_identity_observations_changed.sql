{#- groups of observations that came or went since the last build; none in a full one -#}
{% set types = identity_rules().types %}

with observations_changed as (

    select
        source_system,
        {% for type in types %}
        key_{{ type.name }},
        {% endfor %}
        event_id as observation_id,
        occurred_at as observed_at,
        is_removed
    from {{ ref('int_events_changed') }}
    union all
    select
        source_system,
        {% for type in types %}
        key_{{ type.name }},
        {% endfor %}
        row_id as observation_id,
        observed_at,
        is_removed
    from {{ ref('int_sfmc_subscribers_changed') }}

),

grouped as (

    select
        source_system,
        {% for type in types %}
        key_{{ type.name }},
        {% endfor %}
        sum(case when is_removed then 0 else 1 end) as added_count,
        sum(case when is_removed then 1 else 0 end) as removed_count,
        min(case when not is_removed then observation_id end) as evidence_id,
        min(case when not is_removed then observed_at end) as first_seen_at,
        max(case when not is_removed then observed_at end) as last_seen_at
    from observations_changed
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
        cast(added_count as bigint) as added_count,
        cast(removed_count as bigint) as removed_count,
        evidence_id,
        first_seen_at,
        last_seen_at
    from grouped

)

select * from named
