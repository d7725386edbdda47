-- One row: what arrived and what became of it. `received` is counted on arrival, the others in their own
-- tables, so that a difference would show. $since limits to what was loaded from then on.
with batches as (
    select
        batch_id,
        received
    from raw.event_batches
    where loaded_at >= $since
),

accepted as (
    select count(*) as events
    from raw.events
    where batch_id in (select batch_id from batches)
),

duplicated as (
    select count(*) as events
    from raw.events_duplicated
    where batch_id in (select batch_id from batches)
),

quarantined as (
    select count(*) as events
    from raw.events_quarantined
    where batch_id in (select batch_id from batches)
)

select
    cast(coalesce((select sum(received) from batches), 0) as bigint) as received,
    (select events from accepted) as accepted,
    (select events from duplicated) as duplicates,
    (select events from quarantined) as quarantined
