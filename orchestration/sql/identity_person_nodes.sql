-- The identifiers of one person, the anchor first: the strongest, the first received among equals.
select
    nodes.identifier_key,
    nodes.identifier_type,
    nodes.identifier_value,
    identity_graph.identity_tier,
    nodes.received_at,
    nodes.first_seen_at,
    nodes.last_seen_at
from marts.identity_graph
inner join intermediate.int_identity_nodes as nodes
    on identity_graph.identifier_key = nodes.identifier_key
where identity_graph.canonical_id = $canonical_id
order by nodes.priority, nodes.received_at, nodes.identifier_key
