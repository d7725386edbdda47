-- every line that came in is accounted for, by the loads' own counts and by the rows in the tables
with event_batches as (

    select * from {{ ref('stg_ingestion__event_batches') }}

),

quarantined_events as (

    select count(*) as row_count from {{ ref('stg_ingestion__quarantined_events') }}

),

duplicated_events as (

    select count(*) as row_count from {{ ref('stg_ingestion__duplicated_events') }}

),

accepted_events as (

    select count(*) as row_count from {{ source('raw', 'events') }}

),

counted as (

    select
        coalesce(sum(received_events), 0) as received,
        coalesce(sum(accepted_events), 0) as accepted,
        coalesce(sum(duplicated_events), 0) as duplicated,
        coalesce(sum(quarantined_events), 0) as quarantined
    from event_batches

)

select
    counted.received,
    counted.accepted,
    counted.duplicated,
    counted.quarantined,
    accepted_events.row_count as accepted_rows,
    duplicated_events.row_count as duplicated_rows,
    quarantined_events.row_count as quarantined_rows
from counted
cross join accepted_events
cross join duplicated_events
cross join quarantined_events
where
    counted.received <> counted.accepted + counted.duplicated + counted.quarantined
    or counted.accepted <> accepted_events.row_count
    or counted.duplicated <> duplicated_events.row_count
    or counted.quarantined <> quarantined_events.row_count
