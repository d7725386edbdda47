-- I2: nobody is a member at a channel through an address that consent, policy or suppression denies
with memberships as (

    select * from {{ ref('audience_memberships') }}

),

contact_points as (

    select * from {{ ref('contact_points') }}

),

suppressions as (

    select * from {{ ref('suppressions') }}

)

select
    memberships.audience_name,
    memberships.canonical_id,
    memberships.channel
from memberships
left join contact_points
    on
        memberships.canonical_id = contact_points.canonical_id
        and memberships.channel = contact_points.channel
        and memberships.purpose = contact_points.purpose
        and memberships.identifier_key = contact_points.identifier_key
left join suppressions
    on
        memberships.identifier_key = suppressions.identifier_key
        and memberships.channel = suppressions.channel
where
    contact_points.decision is null
    or contact_points.decision <> 'allow'
    or suppressions.identifier_key is not null
