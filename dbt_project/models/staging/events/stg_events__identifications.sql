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
        {{ json_text('properties', 'email') }} as raw_email,
        {{ json_text('properties', 'phone') }} as raw_phone,
        {{ json_text('properties', 'first_name') }} as first_name,
        {{ json_text('properties', 'last_name') }} as last_name,
        {{ json_text('properties', 'country') }} as country_code,

        -- timestamps
        occurred_at as identified_at,
        received_at
    from events
    where event_name = 'identified'

)

select * from parsed
