with events as (

    select * from {{ ref('stg_events__events') }}

),

parsed as (

    select
        -- ids
        event_id,

        -- strings
        {{ json_text('properties', 'decision') }} as decision,
        {{ json_text('properties', 'from_type') }} as from_type,
        {{ json_text('properties', 'from_identifier') }} as from_value,
        {{ json_text('properties', 'to_type') }} as to_type,
        {{ json_text('properties', 'to_identifier') }} as to_value,
        {{ json_text('properties', 'reason') }} as reason,
        {{ json_text('properties', 'decided_by') }} as decided_by,

        -- where the decision stands in the event log
        segment,
        line,

        -- timestamps
        occurred_at as decided_at,
        received_at
    from events
    where
        event_name = 'identity_decided'
        and source_system = 'operator'

)

select * from parsed
