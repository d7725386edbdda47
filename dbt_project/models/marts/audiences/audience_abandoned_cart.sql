{{ config(meta={
    'description': 'People who filled a cart in the last 7 days and have not ordered since.',
    'owner': 'lifecycle-marketing',
    'purpose': 'marketing',
    'channels': ['email', 'sms'],
}) }}

with profiles as (

    select * from {{ ref('profiles') }}

),

left_a_cart as (

    select canonical_id
    from profiles
    where
        last_cart_at >= {{ days_before_as_of(7) }}
        and last_cart_at <= {{ as_of() }}
        and (last_order_at is null or last_order_at < last_cart_at)

)

select * from left_a_cart
