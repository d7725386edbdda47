with events as (

    select * from {{ source('raw', 'events') }}

),

late_repeats as (

    select * from {{ ref('stg_events__late_repeats') }}

),

renamed as (

    select
        -- ids
        events.event_id,
        events.user_id,
        events.account_id,
        events.anonymous_id,
        events.session_id,
        events.campaign_id,

        -- strings
        events.event_name,
        events.version as contract_version,
        events.source_system,
        events.channel,
        events.consent,
        events.properties,

        -- where the event stands in the event log
        events.segment,
        events.line,
        events.batch_id,

        -- timestamps
        events.occurred_at,
        events.received_at
    from events
    left join late_repeats
        on
            events.segment = late_repeats.segment
            and events.line = late_repeats.line
    where
        events.received_at <= {{ as_of() }}
        and late_repeats.event_id is null

)

select * from renamed
