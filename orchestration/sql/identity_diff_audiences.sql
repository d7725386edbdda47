-- Members of each audience and channel, by address: who would leave and who would come.
with pairs as (
    select
        coalesce(now_members.audience_name, then_members.audience_name) as audience_name,
        coalesce(now_members.channel, then_members.channel) as channel,
        now_members.identifier_key as now_key,
        then_members.identifier_key as then_key
    from standing.marts.audience_memberships as now_members
    full join trial.marts.audience_memberships as then_members
        on now_members.audience_name = then_members.audience_name
        and now_members.channel = then_members.channel
        and now_members.identifier_key = then_members.identifier_key
)

select
    audience_name,
    channel,
    count(now_key) as members_now,
    count(then_key) as members_then,
    count(*) filter (where now_key is null) as come,
    count(*) filter (where then_key is null) as leave
from pairs
group by all
order by all
