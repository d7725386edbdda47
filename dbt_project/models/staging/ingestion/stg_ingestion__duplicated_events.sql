with events_duplicated as (

    select * from {{ source('raw', 'events_duplicated') }}

),

renamed as (

    select
        -- ids
        event_id,
        batch_id,

        -- strings
        event_name,
        source_system,
        segment,

        -- numerics
        line,

        -- timestamps
        received_at
    from events_duplicated

)

select * from renamed
