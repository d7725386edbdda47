-- Links held for review, by the rule that is against them.
select
    reason,
    tier,
    count(*) as links,
    min(first_seen_at) as first_seen_at
from intermediate.int_identity_links_held
group by all
order by all
