-- The positions of the accepted rows whose event_id was loaded in the horizon or stands earlier in the log.
-- What a replay reads again (reread_places) counts as the replay judged it so far, not as it was loaded.
with repeated as (
    select event_id
    from accepted
    group by event_id
    having count(*) > 1
),

later as (
    select
        accepted.position,
        row_number() over (
            partition by accepted.event_id
            order by accepted.segment, accepted.line
        ) as occurrence,
    from accepted
    semi join repeated on accepted.event_id = repeated.event_id
),

known as materialized (
    select
        known_events.event_id,
        known_events.segment,
        known_events.line,
        known_events.is_reread,
    from known_events
    semi join accepted on known_events.event_id = accepted.event_id
    where known_events.received_at >= (select min(accepted.received_at) - interval 30 days from accepted)
),

-- in two halves, because a join with a condition beside its keys compares every row with every other
loaded as (
    select event_id
    from known
    where is_reread
    union all
    select event_id
    from (from known where not is_reread)
    anti join reread_places using (segment, line)
)

select accepted.position
from accepted
semi join loaded on accepted.event_id = loaded.event_id
union
select later.position
from later
where later.occurrence > 1
