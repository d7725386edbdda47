-- How many lines are in quarantine, by reason and event.
select
    code,
    coalesce(event_name, '') as event_name,
    coalesce(source_system, '') as source_system,
    count(*) as lines,
    min(received_at) as first_received_at,
    max(received_at) as last_received_at,
from raw.events_quarantined
where ($code is null or code = $code)
    and (segment || ':' || line in (select place from discarded)) = $is_discarded
group by code, event_name, source_system
order by lines desc, code, event_name, source_system
