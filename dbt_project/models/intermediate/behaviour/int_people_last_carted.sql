with cart_updates as (

    select * from {{ ref('stg_events__cart_updates') }}
    where cart_total > 0

),

events_identified as (

    select * from {{ ref('int_events_identified') }}
    where canonical_id is not null

),

carts_identified as (

    select
        events_identified.canonical_id,
        cart_updates.event_id,
        cart_updates.cart_id,
        cart_updates.cart_total,
        cart_updates.updated_at
    from cart_updates
    inner join events_identified
        on cart_updates.event_id = events_identified.event_id

),

last_carts as (

    {{ deduplicate('carts_identified', 'canonical_id', 'updated_at desc, event_id desc') }}

)

select
    canonical_id,
    cart_id as last_cart_id,
    cart_total as last_cart_total,
    updated_at as last_cart_at
from last_carts
