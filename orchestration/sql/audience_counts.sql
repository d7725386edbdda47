-- One row per audience and channel: who matches the rule, who is in, who was kept out.
select
    audience_name,
    channel,
    description,
    owner,
    purpose,
    eligible_people,
    members,
    excluded
from marts.audiences
order by audience_name, channel
