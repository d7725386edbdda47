with events as (

    select * from {{ ref('stg_events__events') }}

),

parsed as (

    select
        -- ids
        event_id,
        user_id,
        anonymous_id,

        -- strings
        {{ json_text('properties', 'channel') }} as channel,
        {{ json_text('properties', 'purpose') }} as purpose,
        {{ json_text('properties', 'status') }} as consent_status,
        {{ json_text('properties', 'capture_method') }} as capture_method,
        {{ json_text('properties', 'identifier_type') }} as identifier_type,
        {{ json_text('properties', 'identifier') }} as raw_identifier,
        {{ json_text('properties', 'policy_version') }} as policy_version,
        source_system,

        -- timestamps
        occurred_at as consent_changed_at,
        received_at
    from events
    where event_name = 'consent_changed'

)

select * from parsed
