-- How many members of one audience are also in each other one, at the same channel.
select
    others.audience_name,
    others.channel,
    count(*) as people
from marts.audience_memberships as members
inner join marts.audience_memberships as others
    on
        members.canonical_id = others.canonical_id
        and members.channel = others.channel
        and members.audience_name <> others.audience_name
where members.audience_name = $audience
group by others.audience_name, others.channel
order by people desc, others.audience_name, others.channel
