with eligible as (

    select
        audiences_eligible.audience_name,
        audiences_eligible.canonical_id,
        audiences_declared.channel
    from {{ ref('int_audiences_eligible') }} as audiences_eligible
    inner join {{ ref('int_audiences_declared') }} as audiences_declared
        on audiences_eligible.audience_name = audiences_declared.audience_name

),

outcomes as (

    select
        audience_name,
        canonical_id,
        channel
    from {{ ref('audience_memberships') }}
    union all
    select
        audience_name,
        canonical_id,
        channel
    from {{ ref('audience_exclusions') }}
    where reason is not null

)

select
    eligible.audience_name,
    eligible.canonical_id,
    eligible.channel,
    count(outcomes.canonical_id) as outcome_count
from eligible
left join outcomes
    on
        eligible.audience_name = outcomes.audience_name
        and eligible.canonical_id = outcomes.canonical_id
        and eligible.channel = outcomes.channel
group by eligible.audience_name, eligible.canonical_id, eligible.channel
having count(outcomes.canonical_id) <> 1
