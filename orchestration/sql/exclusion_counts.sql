-- One row per audience, channel and reason for which eligible people were kept out.
select
    audience_name,
    channel,
    reason,
    count(*) as people
from marts.audience_exclusions
group by audience_name, channel, reason
order by audience_name, channel, people desc, reason
