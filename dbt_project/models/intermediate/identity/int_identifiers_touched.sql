{#- identifiers about which something came or went since the last build; none in a full one -#}
{% set types = identity_rules().types %}
{% set by_delta = is_delta() %}
{% set applied = identity_table('int_identity_decisions_applied') %}
{% set former_decisions = load_relation(applied) if by_delta else none %}

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

)

select * from touched
