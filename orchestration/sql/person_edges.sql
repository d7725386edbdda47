-- What joined the identifiers of one person: each source and tier by itself, with one piece of evidence; and what
-- was suspected of them, with a score, which joined nothing.
with identities as (
    select
        identifier_key,
        identifier_type || ' ' || identifier_value as identifier
    from marts.identity_graph
    where canonical_id = $canonical_id
)

select
    edges.from_key,
    from_identities.identifier as from_identifier,
    edges.to_key,
    to_identities.identifier as to_identifier,
    edges.tier,
    edges.source_system,
    edges.observation_count,
    edges.evidence_id,
    edges.first_seen_at,
    edges.last_seen_at,
    edges.score
from intermediate.int_identity_edges as edges
inner join identities as from_identities
    on edges.from_key = from_identities.identifier_key
inner join identities as to_identities
    on edges.to_key = to_identities.identifier_key
order by edges.first_seen_at, from_identifier, to_identifier, edges.source_system, edges.tier
