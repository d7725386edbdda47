-- Whether an identifier was seen, and if it is shared, with how many customers.
select
    identifiers.identifier_key,
    shared.user_id_count,
    shared.max_user_ids
from raw.identifiers as identifiers
left join intermediate.int_identifiers_shared as shared
    on identifiers.identifier_key = shared.identifier_key
where
    identifiers.identifier_type = $identifier_type
    and identifiers.normalised_value = $identifier_value
limit 1
