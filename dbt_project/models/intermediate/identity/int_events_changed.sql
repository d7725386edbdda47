{#- what came and what went since the last build; nothing in a full one -#}
{%- set types = identity_rules().types -%}
{%- set former_events = identity_table('int_events_with_identifiers') -%}
-- depends_on: {{ ref('int_identity_build_begun') }}
{% set by_delta = is_delta() %}

with batches_changed as (

    select batch_id
    from {{ ref('int_event_batches_changed') }}
    where {{ '1 = 1' if by_delta else '1 = 0' }}

),

events as (

    select * from {{ ref('stg_events__events') }}
    where {{ is_touched('batches_changed', ['batch_id'], touched_column='batch_id') }}

),

events_with_values as (

    {{ events_with_raw_values(types, 'events') }}

),

raw_values as (

    {{ raw_values_of(types, 'events_with_values') }}

),

identifiers as (

    select * from {{ ref('int_identifiers_checked') }}
    where
        refused_because is null
        and {{ is_touched('raw_values', ['raw_value'], touched_column='raw_value') }}

),

events_now as (

    {{ events_keyed(types, 'events_with_values', 'identifiers') }}

),

events_before as (

    {% if by_delta %}
    select * from {{ former_events }}
    where {{ is_touched('batches_changed', ['batch_id'], touched_column='batch_id') }}
    {% else %}
    select * from events_now
    where 1 = 0
    {% endif %}

),

changed as (

    select
        events_now.*,
        false as is_removed
    from events_now
    left join events_before
        on
            events_now.event_id = events_before.event_id
            and events_now.batch_id = events_before.batch_id
            and events_now.received_at = events_before.received_at
    where events_before.event_id is null
    union all
    select
        events_before.*,
        true as is_removed
    from events_before
    left join events_now
        on
            events_before.event_id = events_now.event_id
            and events_before.batch_id = events_now.batch_id
            and events_before.received_at = events_now.received_at
    where events_now.event_id is null

)

select * from changed
