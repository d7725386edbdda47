-- An identifier of the person of an address under which an event about them can be sent.
with person as (
    select canonical_id
    from marts.identity_graph
    where
        identifier_type = $identifier_type
        and identifier_value = $identifier_value
)

select
    identifier_type,
    identifier_value
from marts.identity_graph
where
    canonical_id in (select canonical_id from person)
    and identifier_type in ('user_id', 'anonymous_id')
order by identifier_type desc, identifier_key
limit 1
