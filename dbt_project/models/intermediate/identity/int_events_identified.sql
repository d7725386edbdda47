{{ config(
    materialized='maintained',
    touched='int_events_identified_again',
    touched_by=['event_id'],
    touched_column='event_id'
) }}

{% set touched = ref('int_events_identified_again') %}
{% set by_delta = is_delta() %}

{% set types = identity_rules().types %}

with events_with_identifiers as (

    select * from {{ ref('int_events_with_identifiers') }}
    where {{ touched_only(by_delta, touched, ['event_id'], touched_column='event_id') }}

),

keys_carried as (

    {% for type in types if type.envelope or type.property %}
    select key_{{ type.name }} as identifier_key from events_with_identifiers
    {% if not loop.last %}
    union
    {% endif %}
    {% endfor %}

),

identifiers_resolved as (

    select * from {{ ref('int_identifiers_resolved') }}
    where {{ touched_only(by_delta, 'keys_carried', ['identifier_key']) }}

),

-- the strongest identifier that is known and not shared says whose event it is
identified as (

    select
        events_with_identifiers.event_id,
        events_with_identifiers.event_name,
        events_with_identifiers.source_system,
        events_with_identifiers.occurred_at,
        events_with_identifiers.received_at,
        coalesce(
            {% for type in types if type.envelope or type.property %}
            by_{{ type.name }}.canonical_id,
            {% endfor %}
            null
        ) as canonical_id
    from events_with_identifiers
    {% for type in types if type.envelope or type.property %}
    left join identifiers_resolved as by_{{ type.name }}
        on events_with_identifiers.key_{{ type.name }} = by_{{ type.name }}.identifier_key
    {% endfor %}

)

select * from identified
