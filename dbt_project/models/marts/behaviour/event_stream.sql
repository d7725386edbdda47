with events as (

    select * from {{ ref('stg_events__events') }}

),

events_identified as (

    select
        event_id,
        canonical_id
    from {{ ref('int_events_identified') }}

),

event_stream as (

    select
        events.event_id,
        events_identified.canonical_id,
        events.event_name,
        events.contract_version,
        events.source_system,
        events.channel,
        events.user_id,
        events.account_id,
        events.anonymous_id,
        events.session_id,
        events.campaign_id,
        events.properties,
        events.occurred_at,
        events.received_at
    from events
    left join events_identified
        on events.event_id = events_identified.event_id

)

select * from event_stream
