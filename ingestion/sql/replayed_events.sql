-- The lines that leave quarantine, with the reason that they were in it for and what they are now.
select
    accepted.event_id,
    accepted.event_name,
    accepted.received_at,
    accepted.source_system,
    lines.code,
    lines.path,
    lines.expected,
    lines.found,
    lines.contract_version,
    accepted.segment,
    accepted.line,
    lines.batch_id as quarantined_in,
    case when duplicates.position is null then 'accepted' else 'duplicate' end as outcome,
    cast($now as timestamp) as replayed_at,
    $batch_id as batch_id,
from accepted
inner join lines
    on accepted.segment = lines.segment
    and accepted.line = lines.line
left join duplicates on accepted.position = duplicates.position
