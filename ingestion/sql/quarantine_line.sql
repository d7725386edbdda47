-- One line in quarantine, as it came.
select
    segment || ':' || line as place,
    received_at,
    source_system,
    event_id,
    event_name,
    contract_version,
    code,
    reasons,
    raw_line,
    raw_encoding,
    note,
from raw.events_quarantined
where segment = $segment and line = $line
