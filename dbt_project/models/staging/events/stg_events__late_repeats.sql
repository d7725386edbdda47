{{ config(materialized='table') }}

-- ingestion finds a repeat within 30 days; one that comes later is found here, once for each build
with events as (

    select
        event_id,
        event_name,
        segment,
        line,
        received_at
    from {{ source('raw', 'events') }}

),

repeated_ids as (

    select event_id
    from events
    group by event_id
    having count(*) > 1

),

numbered as (

    select
        events.event_id,
        events.event_name,
        events.segment,
        events.line,
        events.received_at,
        row_number() over (
            partition by events.event_id
            order by events.received_at, events.segment, events.line
        ) as arrival
    from events
    inner join repeated_ids on events.event_id = repeated_ids.event_id

)

select
    event_id,
    event_name,
    segment,
    line,
    received_at
from numbered
where arrival > 1
