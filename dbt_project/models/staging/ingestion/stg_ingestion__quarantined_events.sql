with events_quarantined as (

    select * from {{ source('raw', 'events_quarantined') }}

),

renamed as (

    select
        -- ids
        event_id,
        batch_id,

        -- strings
        event_name,
        source_system,
        code,
        path,
        expected,
        found,
        contract_version,
        reasons,
        segment,

        -- numerics
        line,

        -- timestamps
        received_at
    from events_quarantined

)

select * from renamed
