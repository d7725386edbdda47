{#- identifiers about which something came or went since the last build; none in a full one -#}
{% set types = identity_rules().types %}
{% set by_delta = is_delta() %}
{% set applied = identity_table('int_identity_decisions_applied') %}
{% set former_decisions = load_relation(applied) if by_delta else none %}
{% set former_edges = identity_table('int_identity_edges') %}

with observations_changed as (

    select * from {{ ref('int_identity_observations_changed') }}

),

decisions as (

    select
        from_key,
        to_key,
        decision,
        event_id,
        decided_at
    from {{ ref('int_identity_decisions') }}

),

decisions_before as (

    {% if former_decisions %}
    select
        from_key,
        to_key,
        decision,
        event_id,
        decided_at
    from {{ former_decisions }}
    {% else %}
    select * from decisions
    {% endif %}

),

decisions_changed as (

    (
        select * from decisions
        {{ dbt.except() }}
        select * from decisions_before
    )
    union all
    (
        select * from decisions_before
        {{ dbt.except() }}
        select * from decisions
    )

),

suspicions as (

    select
        from_key,
        to_key,
        score,
        agreement,
        suspected_at
    from {{ ref('int_identity_suspicions') }}

),

-- as the last build took them into the edges
suspicions_before as (

    {% if by_delta %}
    select
        from_key,
        to_key,
        score,
        evidence_id as agreement,
        first_seen_at as suspected_at
    from {{ former_edges }}
    where score is not null
    {% else %}
    select * from suspicions
    {% endif %}

),

suspicions_changed as (

    (
        select * from suspicions
        {{ dbt.except() }}
        select * from suspicions_before
    )
    union all
    (
        select * from suspicions_before
        {{ dbt.except() }}
        select * from suspicions
    )

),

touched as (

    {% for type in types %}
    select key_{{ type.name }} as identifier_key
    from observations_changed
    where key_{{ type.name }} is not null
    union
    {% endfor %}
    select from_key as identifier_key from decisions_changed
    union
    select to_key as identifier_key from decisions_changed
    union
    select from_key as identifier_key from suspicions_changed
    union
    select to_key as identifier_key from suspicions_changed

)

select * from touched
