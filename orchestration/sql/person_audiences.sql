-- For each audience and channel whose rule one person matches: member, or kept out and why.
select
    audience_name,
    channel,
    true as is_member,
    identifier_value,
    consent_rule as reason
from marts.audience_memberships
where canonical_id = $canonical_id

union all

select
    audience_name,
    channel,
    false as is_member,
    cast(null as varchar) as identifier_value,
    reason
from marts.audience_exclusions
where canonical_id = $canonical_id
order by audience_name, channel
