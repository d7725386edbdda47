-- How many pairs are suspected now, before, and no longer; before the table is replaced.
select
    count(*) as pairs,
    count(*) filter (not was_suspected) as new_pairs,
    (select count(*) from raw.identity_suspicions) - count(*) filter (was_suspected) as gone_pairs
from suspicions_next
