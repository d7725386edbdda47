-- Shared identifiers by the limit that they broke.
select
    identifier_type,
    seen_with_type,
    most,
    within_days,
    count(*) as identifiers,
    max(seen_count) as seen_with_at_most
from intermediate.int_identifiers_shared
group by all
order by all
