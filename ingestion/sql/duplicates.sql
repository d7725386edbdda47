-- The positions of the accepted rows whose event_id was loaded in the horizon or stands earlier in the log.
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
    select events.event_id
    from raw.events
    semi join accepted on events.event_id = accepted.event_id
    where events.received_at >= (select min(accepted.received_at) - interval 30 days from accepted)
)

select accepted.position
from accepted
semi join loaded on accepted.event_id = loaded.event_id
union
select later.position
from later
where later.occurrence > 1
