-- The profile of one person.
select *
from marts.profiles
where canonical_id = $canonical_id
