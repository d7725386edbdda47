-- One row per reason for which events were set aside, loaded since $since.
select
    code,
    count(*) as events
from raw.events_quarantined
where batch_id in (select batch_id from raw.event_batches where loaded_at >= $since)
group by code
order by events desc, code
