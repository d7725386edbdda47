-- The positions of the accepted rows whose event_id was loaded in the horizon or stands earlier in the log.
with candidates as (
    select
        accepted.position,
        accepted.event_id,
        row_number() over (
            partition by accepted.event_id
            order by accepted.segment, accepted.line
        ) as occurrence,
    from accepted
),

loaded as (
    select distinct events.event_id
    from raw.events
    semi join accepted on events.event_id = accepted.event_id
    where events.received_at >= (select min(accepted.received_at) - interval 30 days from accepted)
)

select candidates.position
from candidates
left join loaded on candidates.event_id = loaded.event_id
where candidates.occurrence > 1 or loaded.event_id is not null
