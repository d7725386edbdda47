with event_batches as (

    select * from {{ ref('stg_ingestion__event_batches') }}

),

late_repeats as (

    select
        substring(segment, 1, 10) as received_date,
        cast(count(*) as bigint) as late_repeats
    from {{ ref('stg_events__late_repeats') }}
    group by substring(segment, 1, 10)

),

received as (

    select
        substring(segment, 1, 10) as received_date,
        cast(sum(received_events) as bigint) as received_events,
        cast(sum(accepted_events) as bigint) as accepted_events,
        cast(sum(duplicated_events) as bigint) as duplicated_events,
        cast(sum(quarantined_events) as bigint) as quarantined_events
    from event_batches
    group by substring(segment, 1, 10)

),

event_accounting as (

    select
        received.received_date,
        received.received_events,
        received.accepted_events,
        received.duplicated_events,
        received.quarantined_events,
        coalesce(late_repeats.late_repeats, 0) as late_repeated_events
    from received
    left join late_repeats on received.received_date = late_repeats.received_date

)

select * from event_accounting
