-- Shared identifiers that both of two people were seen with: they link nobody.
with neighbours as (
    select from_key as shared_key, to_key as identifier_key
    from intermediate.int_identity_edges
    where
        score is null
        and from_key in (select identifier_key from intermediate.int_identifiers_shared)
    union all
    select to_key, from_key
    from intermediate.int_identity_edges
    where
        score is null
        and to_key in (select identifier_key from intermediate.int_identifiers_shared)
),

seen_with as (
    select distinct
        neighbours.shared_key,
        identity_graph.canonical_id
    from neighbours
    inner join marts.identity_graph
        on neighbours.identifier_key = identity_graph.identifier_key
    where identity_graph.canonical_id in ($one, $other)
),

between_both as (
    select shared_key
    from seen_with
    group by shared_key
    having count(*) = 2
)

select
    shared.identifier_type,
    checked.identifier_value,
    shared.seen_with_type,
    shared.seen_count,
    shared.most
from between_both
inner join intermediate.int_identifiers_shared as shared
    on between_both.shared_key = shared.identifier_key
inner join (select distinct identifier_key, identifier_value from intermediate.int_identifiers_checked) as checked
    on shared.identifier_key = checked.identifier_key
order by all
