-- One row per slice of the log in this load, with what became of its lines.
with outcomes as (
    select batch_id, segment, 'accepted' as outcome from accepted anti join duplicates using (position)
    union all
    select batch_id, segment, 'duplicate' as outcome from accepted semi join duplicates using (position)
    union all
    select batch_id, segment, 'quarantined' as outcome from quarantined
)

select
    slices.batch_id,
    slices.segment,
    slices.first_line,
    slices.last_line,
    slices.end_byte,
    slices.last_line - slices.first_line + 1 as received,
    count(*) filter (where outcomes.outcome = 'accepted') as accepted,
    count(*) filter (where outcomes.outcome = 'duplicate') as duplicates,
    count(*) filter (where outcomes.outcome = 'quarantined') as quarantined,
    $loaded_at as loaded_at,
from slices
left join outcomes
    on slices.batch_id = outcomes.batch_id
    and slices.segment = outcomes.segment
group by all
order by slices.segment, slices.first_line
