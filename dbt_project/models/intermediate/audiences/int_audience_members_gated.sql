with audiences_eligible as (

    select * from {{ ref('int_audiences_eligible') }}

),

audiences_declared as (

    select * from {{ ref('int_audiences_declared') }}

),

contact_points as (

    select * from {{ ref('int_contact_points_decided') }}

),

exclusion_reasons as (

    select * from {{ ref('exclusion_reasons') }}

),

-- per person, channel and purpose: the address to use, or the weightiest reason against
reachability as (

    select
        contact_points.canonical_id,
        contact_points.channel,
        contact_points.purpose,
        max(
            case when contact_points.decision = 'allow' and contact_points.preference_rank = 1
                    then contact_points.identifier_key
            end
        ) as chosen_identifier_key,
        min(exclusion_reasons.precedence) as first_reason_precedence
    from contact_points
    left join exclusion_reasons
        on contact_points.rule = exclusion_reasons.reason
    group by
        contact_points.canonical_id,
        contact_points.channel,
        contact_points.purpose

),

gated as (

    select
        audiences_eligible.audience_name,
        audiences_eligible.canonical_id,
        audiences_declared.channel,
        audiences_declared.purpose,
        reachability.chosen_identifier_key,
        case
            when reachability.chosen_identifier_key is not null then null
            when reachability.canonical_id is null then 'no_address'
            else exclusion_reasons.reason
        end as exclusion_reason
    from audiences_eligible
    inner join audiences_declared
        on audiences_eligible.audience_name = audiences_declared.audience_name
    left join reachability
        on
            audiences_eligible.canonical_id = reachability.canonical_id
            and audiences_declared.channel = reachability.channel
            and audiences_declared.purpose = reachability.purpose
    left join exclusion_reasons
        on reachability.first_reason_precedence = exclusion_reasons.precedence

)

select * from gated
