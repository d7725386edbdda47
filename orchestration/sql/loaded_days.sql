-- One row per day of receipt that was loaded since $since, with what became of its events.
select
    substring(segment, 1, 10) as day,
    cast(sum(received) as bigint) as received,
    cast(sum(accepted) as bigint) as accepted,
    cast(sum(duplicates) as bigint) as duplicates,
    cast(sum(quarantined) as bigint) as quarantined,
from raw.event_batches
where loaded_at >= $since
group by day
order by day
