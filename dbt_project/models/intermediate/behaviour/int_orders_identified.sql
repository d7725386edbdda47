with orders as (

    select * from {{ ref('stg_events__orders') }}

),

events_identified as (

    select * from {{ ref('int_events_identified') }}

),

identified as (

    select
        orders.event_id,
        orders.order_id,
        events_identified.canonical_id,
        orders.currency,
        orders.country_code,
        -- money is summed in whole pence: the sum of doubles depends on the order of rows
        cast(round(orders.order_total * 100) as bigint) as order_pence,
        orders.ordered_at
    from orders
    inner join events_identified
        on orders.event_id = events_identified.event_id

)

select * from identified
