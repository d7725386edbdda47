with events as (

    select * from {{ ref('stg_events__events') }}

),

parsed as (

    select
        -- ids
        event_id,
        user_id,
        anonymous_id,
        {{ json_text('properties', 'order_id') }} as cancellation_id,

        -- strings
        {{ json_text('properties', 'currency') }} as currency,

        -- numerics
        {{ json_number('properties', 'total') }} as refunded_total,

        -- timestamps
        occurred_at as cancelled_at,
        received_at
    from events
    where event_name = 'order_cancelled'

)

select * from parsed
