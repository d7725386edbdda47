-- Whether an identifier was seen; why it is nobody's: blocked, or seen with too many of another type.
select
    identifiers.identifier_key,
    identifiers.refused_because,
    shared.seen_with_type,
    shared.seen_count,
    shared.most
from intermediate.int_identifiers_checked as identifiers
left join intermediate.int_identifiers_shared as shared
    on identifiers.identifier_key = shared.identifier_key
where
    identifiers.identifier_type = $identifier_type
    and identifiers.identifier_value = $identifier_value
order by shared.seen_with_type
limit 1
