-- The largest people: how many identifiers of each type, and since when.
select
    identity_graph.canonical_id,
    count(*) as identifier_count,
    string_agg(distinct identity_graph.identifier_type, ', ' order by identity_graph.identifier_type) as types,
    min(identity_graph.first_seen_at) as first_seen_at,
    max(identity_graph.last_seen_at) as last_seen_at
from marts.identity_graph
group by identity_graph.canonical_id
order by identifier_count desc, identity_graph.canonical_id
limit $most
