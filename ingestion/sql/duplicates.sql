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

loaded as (
    select known.event_id
    from known_events as known
    semi join accepted on known.event_id = accepted.event_id
    anti join reread_places as reread
        on known.segment = reread.segment
        and known.line = reread.line
        and not known.is_reread
    where known.received_at >= (select min(accepted.received_at) - interval 30 days from accepted)
)

select accepted.position
from accepted
semi join loaded on accepted.event_id = loaded.event_id
union
select later.position
from later
where later.occurrence > 1
