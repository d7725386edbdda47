-- The newest lines in quarantine, without what they say.
select
    segment || ':' || line as place,
    received_at,
    code,
    coalesce(event_name, '') as event_name,
    path,
    expected,
    found,
from raw.events_quarantined
where ($code is null or code = $code)
    and (segment || ':' || line in (select place from discarded)) = $is_discarded
order by received_at desc, segment desc, line desc
limit $most
