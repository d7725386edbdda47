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
        {{ json_text('properties', 'method') }} as sign_up_method,

        -- timestamps
        occurred_at as signed_up_at,
        received_at
    from events
    where event_name = 'signed_up'

)

select * from parsed
