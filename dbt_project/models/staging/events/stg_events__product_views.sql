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
        {{ json_text('properties', 'sku') }} as sku,

        -- strings
        {{ json_text('properties', 'name') }} as product_name,

        -- numerics
        {{ json_number('properties', 'price') }} as price,

        -- timestamps
        occurred_at as viewed_at,
        received_at
    from events
    where event_name = 'product_viewed'

)

select * from parsed
