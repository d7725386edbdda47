-- One row per event name: when the newest was received, by the moment that is decided for.
select
    event_name,
    max(received_at) as newest_received_at,
from raw.events
where received_at <= $as_of
group by event_name
