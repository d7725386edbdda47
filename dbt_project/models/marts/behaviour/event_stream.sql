with events as (

    select * from {{ ref('stg_events__events') }}

),

event_stream as (

    select
        event_id,
        event_name,
        contract_version,
        source_system,
        channel,
        user_id,
        account_id,
        anonymous_id,
        session_id,
        campaign_id,
        properties,
        occurred_at,
        received_at
    from events

)

select * from event_stream
