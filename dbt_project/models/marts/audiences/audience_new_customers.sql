{{ config(meta={
    'description': 'People whose first order came in the last 30 days.',
    'owner': 'lifecycle-marketing',
    'purpose': 'marketing',
    'channels': ['email', 'sms'],
}) }}

with profiles as (

    select * from {{ ref('profiles') }}

),

first_ordered_recently as (

    select canonical_id
    from profiles
    where
        first_order_at >= {{ days_before_as_of(30) }}
        and first_order_at <= {{ as_of() }}

)

select * from first_ordered_recently
