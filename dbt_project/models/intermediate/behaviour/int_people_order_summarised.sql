with orders as (

    select * from {{ ref('int_orders_identified') }}
    where order_pence > 0

),

cancellations as (

    select * from {{ ref('int_order_cancellations_identified') }}

),

orders_by_person as (

    select
        canonical_id,
        count(*) as order_count,
        sum(order_pence) as ordered_pence,
        min(ordered_at) as first_order_at,
        max(ordered_at) as last_order_at
    from orders
    where canonical_id is not null
    group by canonical_id

),

cancellations_by_person as (

    select
        canonical_id,
        count(*) as cancellation_count,
        sum(refunded_pence) as refunded_pence
    from cancellations
    where canonical_id is not null
    group by canonical_id

),

summarised as (

    select
        coalesce(orders_by_person.canonical_id, cancellations_by_person.canonical_id)
            as canonical_id,
        coalesce(orders_by_person.order_count, 0) as order_count,
        coalesce(cancellations_by_person.cancellation_count, 0) as cancellation_count,
        coalesce(orders_by_person.ordered_pence, 0)
        - coalesce(cancellations_by_person.refunded_pence, 0) as lifetime_pence,
        orders_by_person.first_order_at,
        orders_by_person.last_order_at
    from orders_by_person
    full outer join cancellations_by_person
        on orders_by_person.canonical_id = cancellations_by_person.canonical_id

)

select * from summarised
