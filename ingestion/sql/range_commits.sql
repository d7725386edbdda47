-- One row per segment of a replay in place: nothing was received, lines moved from one outcome to another.
select
    $batch_id as batch_id,
    segment,
    min(line) as first_line,
    max(line) as last_line,
    cast(0 as bigint) as end_byte,
    cast(0 as bigint) as received,
    count(*) filter (where outcome_after = 'accepted')
    - count(*) filter (where outcome_before = 'accepted') as accepted,
    count(*) filter (where outcome_after = 'duplicate')
    - count(*) filter (where outcome_before = 'duplicate') as duplicates,
    count(*) filter (where outcome_after = 'quarantined')
    - count(*) filter (where outcome_before = 'quarantined') as quarantined,
    cast($now as timestamp) as loaded_at,
from {schema}.changes
group by segment
order by segment
