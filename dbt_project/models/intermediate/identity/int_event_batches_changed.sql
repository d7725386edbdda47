{#- the events as the last build left them -#}
{%- set events_built = identity_table('int_events_with_identifiers') -%}
{%- set former_events = load_relation(events_built) if execute else none -%}

with events as (

    select * from {{ ref('stg_events__events') }}

),

changed as (

    {{ batches_changed(
        'events', former_events, ['sum(line)', 'sum(' ~ epoch_microseconds('received_at') ~ ' % 1000000007)']
    ) }}

)

select * from changed
