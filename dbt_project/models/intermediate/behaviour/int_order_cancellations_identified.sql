with cancellations as (

    select * from {{ ref('stg_events__order_cancellations') }}

),

events_identified as (

    select * from {{ ref('int_events_identified') }}

),

identified as (

    select
        cancellations.event_id,
        cancellations.cancellation_id,
        events_identified.canonical_id,
        cancellations.currency,
        cast(round(cancellations.refunded_total * 100) as bigint) as refunded_pence,
        cancellations.cancelled_at
    from cancellations
    inner join events_identified
        on cancellations.event_id = events_identified.event_id

)

select * from identified
