{{ config(
    materialized='maintained',
    touched='int_identifiers_touched',
    touched_by=['from_key', 'to_key'],
    touched_all_of=true
) }}

{% set touched = ref('int_identifiers_touched') %}
{% set by_delta = is_delta() %}
{% set rules = identity_rules() %}
{% set pairs = [] %}
{% for from_type in rules.types %}
{% for to_type in rules.types[loop.index:] %}
{% do pairs.append((from_type.name, to_type.name)) %}
{% endfor %}
{% endfor %}

with observations as (

    select * from {{ ref('int_identity_observations_grouped') }}

),

decisions as (

    select * from {{ ref('int_identity_decisions') }}

),

suspicions as (

    select * from {{ ref('int_identity_suspicions') }}

),

identifiers as (

    select * from {{ ref('int_identifiers_checked') }}

),

identifier_types as (

    select
        identifier_key,
        min(identifier_type) as identifier_type
    from identifiers
    where
        refused_because is null
        and {{ touched_only(by_delta, touched, ['identifier_key']) }}
    group by identifier_key

),

-- every two identifiers that one observation carries are one person, says that observation
pairs as (

    {% for from_type, to_type in pairs %}
    select
        key_{{ from_type }} as from_key,
        '{{ from_type }}' as from_type,
        key_{{ to_type }} as to_key,
        '{{ to_type }}' as to_type,
        {{ tier_of_pair(rules, 'source_system', from_type, to_type) }} as tier,
        source_system,
        observation_count,
        evidence_id,
        first_seen_at,
        last_seen_at
    from observations
    where
        key_{{ from_type }} is not null
        and key_{{ to_type }} is not null
        and {{ touched_only(
            by_delta, touched, ['key_' ~ from_type, 'key_' ~ to_type], all_of=true
        ) }}
    {% if not loop.last %}
    union all
    {% endif %}
    {% endfor %}

),

observed_edges as (

    select
        from_key,
        from_type,
        to_key,
        to_type,
        tier,
        source_system,
        sum(observation_count) as observation_count,
        min(evidence_id) as evidence_id,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        cast(null as double) as score
    from pairs
    group by
        from_key,
        from_type,
        to_key,
        to_type,
        tier,
        source_system

),

decided_edges as (

    select
        decisions.from_key,
        from_types.identifier_type as from_type,
        decisions.to_key,
        to_types.identifier_type as to_type,
        'operator' as tier,
        'operator' as source_system,
        1 as observation_count,
        decisions.event_id as evidence_id,
        decisions.decided_at as first_seen_at,
        decisions.decided_at as last_seen_at,
        cast(null as double) as score
    from decisions
    inner join identifier_types as from_types
        on decisions.from_key = from_types.identifier_key
    inner join identifier_types as to_types
        on decisions.to_key = to_types.identifier_key
    where
        decisions.decision = 'join'
        and {{ touched_only(
            by_delta, touched, ['decisions.from_key', 'decisions.to_key'], all_of=true
        ) }}

),

-- no rule makes a suspicion surer; what agreed is its evidence
suspected_edges as (

    select
        from_key,
        from_type,
        to_key,
        to_type,
        'loose' as tier,
        'splink' as source_system,
        1 as observation_count,
        agreement as evidence_id,
        suspected_at as first_seen_at,
        suspected_at as last_seen_at,
        score
    from suspicions
    where {{ touched_only(by_delta, touched, ['from_key', 'to_key'], all_of=true) }}

),

all_edges as (

    select * from observed_edges
    union all
    select * from decided_edges
    union all
    select * from suspected_edges

),

edges as (

    select
        {{ dbt.hash("from_key || '>' || to_key || '>' || source_system || '>' || tier") }}
            as identity_edge_id,
        from_key,
        from_type,
        to_key,
        to_type,
        tier,
        source_system,
        cast(observation_count as bigint) as observation_count,
        evidence_id,
        first_seen_at,
        last_seen_at,
        score
    from all_edges

)

select * from edges
