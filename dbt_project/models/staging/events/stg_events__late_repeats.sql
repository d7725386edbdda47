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

-- numbers are grouped sooner than texts: few ids are left to look at
repeated_hashes as (

    select {{ grouping_hash('event_id') }} as id_hash
    from events
    group by {{ grouping_hash('event_id') }}
    having count(*) > 1

),

repeated_ids as (

    select event_id
    from events
    where {{ is_touched('repeated_hashes', [grouping_hash('event_id')], touched_column='id_hash') }}
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
    inner join repeated_ids
        on events.event_id = repeated_ids.event_id

)

select
    event_id,
    event_name,
    segment,
    line,
    received_at
from numbered
where arrival > 1
