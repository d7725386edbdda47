-- What each changed line was before, with the reason if it was in quarantine, and what it is now.
select
    changes.event_id,
    changes.event_name,
    coalesce(events.received_at, duplicated.received_at, quarantined.received_at) as received_at,
    coalesce(events.source_system, duplicated.source_system, quarantined.source_system) as source_system,
    quarantined.code,
    quarantined.path,
    quarantined.expected,
    quarantined.found,
    quarantined.contract_version,
    changes.segment,
    changes.line,
    quarantined.batch_id as quarantined_in,
    changes.outcome_after as outcome,
    cast($now as timestamp) as replayed_at,
    $batch_id as batch_id,
from {schema}.changes as changes
left join raw.events as events using (segment, line)
left join raw.events_duplicated as duplicated using (segment, line)
left join raw.events_quarantined as quarantined using (segment, line)
