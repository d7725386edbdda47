-- The next lines of quarantine that are selected, in the order of the log.
select
    segment,
    line,
    event_id,
    event_name,
    received_at,
    source_system,
    code,
    path,
    expected,
    found,
    contract_version,
    batch_id,
    raw_line,
    raw_encoding,
    note,
from raw.events_quarantined
where ($code is null or code = $code)
    and ($event_name is null or event_name = $event_name)
    and ($source_system is null or source_system = $source_system)
    and ($segment is null or segment = $segment)
    and ($line is null or line = $line)
    and ($line is not null or segment || ':' || line not in (select place from discarded))
    and (segment > $after_segment or (segment = $after_segment and line > $after_line))
order by segment, line
limit $most
