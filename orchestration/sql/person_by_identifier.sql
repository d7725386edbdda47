-- The person that an identifier belongs to.
select
    canonical_id,
    identifier_key
from marts.identity_graph
where
    identifier_type = $identifier_type
    and identifier_value = $identifier_value
