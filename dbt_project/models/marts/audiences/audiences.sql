with audiences_declared as (

    select * from {{ ref('int_audiences_declared') }}

),

audiences_eligible as (

    select * from {{ ref('int_audiences_eligible') }}

),

members_gated as (

    select * from {{ ref('int_audience_members_gated') }}

),

eligible_by_audience as (

    select
        audience_name,
        count(*) as eligible_people
    from audiences_eligible
    group by audience_name

),

gated_by_audience_and_channel as (

    select
        audience_name,
        channel,
        sum(case when chosen_identifier_key is not null then 1 else 0 end) as members,
        sum(case when chosen_identifier_key is null then 1 else 0 end) as excluded
    from members_gated
    group by audience_name, channel

),

audiences as (

    select
        audiences_declared.audience_name,
        audiences_declared.channel,
        audiences_declared.description,
        audiences_declared.owner,
        audiences_declared.purpose,
        coalesce(eligible_by_audience.eligible_people, 0) as eligible_people,
        coalesce(gated_by_audience_and_channel.members, 0) as members,
        coalesce(gated_by_audience_and_channel.excluded, 0) as excluded
    from audiences_declared
    left join eligible_by_audience
        on audiences_declared.audience_name = eligible_by_audience.audience_name
    left join gated_by_audience_and_channel
        on
            audiences_declared.audience_name = gated_by_audience_and_channel.audience_name
            and audiences_declared.channel = gated_by_audience_and_channel.channel

)

select
    audience_name,
    channel,
    description,
    owner,
    purpose,
    cast(eligible_people as bigint) as eligible_people,
    cast(members as bigint) as members,
    cast(excluded as bigint) as excluded
from audiences
