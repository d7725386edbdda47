-- One row per segment of a replay: nothing new was received, lines moved from quarantine to the others.
-- $batch_id and $now name the replay.
select
    $batch_id as batch_id,
    accepted.segment,
    min(accepted.line) as first_line,
    max(accepted.line) as last_line,
    cast(0 as bigint) as end_byte,
    cast(0 as bigint) as received,
    count(*) filter (where duplicates.position is null) as accepted,
    count(*) filter (where duplicates.position is not null) as duplicates,
    -count(*) as quarantined,
    cast($now as timestamp) as loaded_at,
from accepted
left join duplicates on accepted.position = duplicates.position
group by accepted.segment
order by accepted.segment
