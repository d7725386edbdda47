-- The places and reasons of all selected lines that are not discarded yet, in the order of the log.
select
    segment || ':' || line as place,
    code,
from raw.events_quarantined
where ($code is null or code = $code)
    and ($event_name is null or event_name = $event_name)
    and ($source_system is null or source_system = $source_system)
    and ($segment is null or segment = $segment)
    and ($line is null or line = $line)
    and segment || ':' || line not in (select place from discarded)
order by segment, line
