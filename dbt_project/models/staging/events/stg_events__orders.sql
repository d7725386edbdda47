with events as (

    select * from {{ ref('stg_events__events') }}

),

parsed as (

    select
        -- ids
        event_id,
        user_id,
        anonymous_id,
        session_id,
        {{ json_text('properties', 'order_id') }} as order_id,

        -- strings
        {{ json_text('properties', 'currency') }} as currency,
        {{ json_text('properties', 'country') }} as country_code,
        {{ json_text('properties', 'email') }} as raw_email,

        -- numerics
        {{ json_number('properties', 'total') }} as order_total,

        -- timestamps
        occurred_at as ordered_at,
        received_at
    from events
    where event_name = 'order_completed'

)

select * from parsed
