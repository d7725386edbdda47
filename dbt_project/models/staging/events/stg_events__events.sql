with events as (

    select * from {{ source('raw', 'events') }}

),

renamed as (

    select
        -- ids
        event_id,
        user_id,
        account_id,
        anonymous_id,
        session_id,
        campaign_id,

        -- strings
        event_name,
        version as contract_version,
        source_system,
        channel,
        consent,
        properties,

        -- where the event stands in the event log
        segment,
        line,

        -- timestamps
        occurred_at,
        received_at
    from events
    where received_at <= {{ as_of() }}

)

select * from renamed
