with event_batches as (

    select * from {{ ref('stg_ingestion__event_batches') }}

),

event_accounting as (

    select
        substring(segment, 1, 10) as received_date,
        cast(sum(received_events) as bigint) as received_events,
        cast(sum(accepted_events) as bigint) as accepted_events,
        cast(sum(duplicated_events) as bigint) as duplicated_events,
        cast(sum(quarantined_events) as bigint) as quarantined_events
    from event_batches
    group by substring(segment, 1, 10)

)

select * from event_accounting
