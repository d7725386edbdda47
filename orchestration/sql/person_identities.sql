-- Every identifier of one person.
select
    identifier_type,
    identifier_value,
    identifier_key,
    observation_count,
    first_seen_at,
    last_seen_at
from marts.identity_graph
where canonical_id = $canonical_id
order by identifier_type, identifier_value
