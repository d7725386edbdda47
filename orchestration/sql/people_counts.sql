-- One row: people, the identifiers they are made of, and how many joins made them.
with people as (
    select
        count(distinct canonical_id) as people,
        count(*) as identifiers
    from marts.identity_graph
),

shared as (
    select count(distinct identifier_key) as identifiers
    from intermediate.int_identifiers_shared
)

select
    people.people,
    people.identifiers,
    people.identifiers - people.people as merges,
    shared.identifiers as shared_identifiers
from people
cross join shared
