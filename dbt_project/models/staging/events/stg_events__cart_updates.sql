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
        {{ json_text('properties', 'cart_id') }} as cart_id,

        -- strings
        {{ json_text('properties', 'currency') }} as currency,

        -- numerics
        {{ json_number('properties', 'total') }} as cart_total,

        -- timestamps
        occurred_at as updated_at,
        received_at
    from events
    where event_name = 'cart_updated'

)

select * from parsed
