{{ config(
    materialized='maintained',
    touched='int_events_changed',
    touched_by=['event_id'],
    touched_column='event_id'
) }}

{% set types = identity_rules().types %}

with events_changed as (

    select * from {{ ref('int_events_changed') }}
    where not is_removed

),

events as (

    select * from {{ ref('stg_events__events') }}

),

identifiers as (

    select * from {{ ref('int_identifiers_checked') }}
    where refused_because is null

),

{% if is_delta() %}
keyed as (

    select
        event_id,
        event_name,
        source_system,
        {% for type in types %}
        key_{{ type.name }},
        {% endfor %}
        batch_id,
        line,
        occurred_at,
        received_at
    from events_changed

)
{% else %}
events_with_values as (

    {{ events_with_raw_values(types, 'events') }}

),

keyed as (

    {{ events_keyed(types, 'events_with_values', 'identifiers') }}

)
{% endif %}

select * from keyed
