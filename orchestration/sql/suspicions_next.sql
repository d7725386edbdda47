-- What is suspected from now on: the pairs of `found`, each since when it was suspected first.
create or replace temp table suspicions_next as
select
    found.from_key,
    found.to_key,
    found.score,
    found.agreement,
    $rules_hash as rules_hash,
    coalesce(former.suspected_at, cast($at as timestamp)) as suspected_at,
    cast($at as timestamp) as matched_at,
    former.from_key is not null as was_suspected
from found
left join raw.identity_suspicions as former
    on found.from_key = former.from_key
    and found.to_key = former.to_key
