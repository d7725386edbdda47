{{ config(meta={
    'description': 'People worth at least 1,000 pounds, net of cancellations, who have not ordered for 90 days.',
    'owner': 'lifecycle-marketing',
    'purpose': 'marketing',
    'channels': ['email'],
}) }}

with profiles as (

    select * from {{ ref('profiles') }}

),

valuable_and_quiet as (

    select canonical_id
    from profiles
    where
        lifetime_value >= 1000
        and last_order_at < {{ days_before_as_of(90) }}

)

select * from valuable_and_quiet
