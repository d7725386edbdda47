with event_batches as (

    select * from {{ source('raw', 'event_batches') }}

),

renamed as (

    select
        -- ids
        batch_id,

        -- strings
        segment,

        -- numerics
        first_line,
        last_line,
        end_byte,
        received as received_events,
        accepted as accepted_events,
        duplicates as duplicated_events,
        quarantined as quarantined_events,

        -- timestamps
        loaded_at
    from event_batches

)

select * from renamed
