-- Links held for review, with both ends; each with the record behind it that was seen first. Suspicions come with
-- their score, the strongest first; their evidence is what agreed.
with first_evidence as (
    select
        least(from_key, to_key) as from_key,
        greatest(from_key, to_key) as to_key,
        arg_min(source_system, (first_seen_at, identity_edge_id)) as source_system,
        arg_min(evidence_id, (first_seen_at, identity_edge_id)) as evidence_id,
        cast(sum(observation_count) as bigint) as observation_count,
        score is not null as is_suspicion
    from intermediate.int_identity_edges
    group by all
)

select
    held.identity_link_id,
    held.reason,
    held.tier,
    held.score,
    held.from_key,
    held.to_key,
    from_nodes.identifier_type as from_type,
    from_nodes.identifier_value as from_value,
    from_people.canonical_id as from_canonical_id,
    held.from_identifier_count,
    to_nodes.identifier_type as to_type,
    to_nodes.identifier_value as to_value,
    to_people.canonical_id as to_canonical_id,
    held.to_identifier_count,
    first_evidence.source_system,
    first_evidence.evidence_id,
    first_evidence.observation_count,
    held.first_seen_at,
    held.last_seen_at
from intermediate.int_identity_links_held as held
inner join intermediate.int_identity_nodes as from_nodes
    on held.from_key = from_nodes.identifier_key
inner join intermediate.int_identity_nodes as to_nodes
    on held.to_key = to_nodes.identifier_key
inner join marts.identity_graph as from_people
    on held.from_key = from_people.identifier_key
inner join marts.identity_graph as to_people
    on held.to_key = to_people.identifier_key
left join first_evidence
    on held.from_key = first_evidence.from_key
    and held.to_key = first_evidence.to_key
    and (held.reason = 'suspected') = first_evidence.is_suspicion
where
    ($link is null or held.identity_link_id = $link)
    and (
        $one is null
        or (from_people.canonical_id = $one and to_people.canonical_id = $other)
        or (from_people.canonical_id = $other and to_people.canonical_id = $one)
    )
order by held.reason, held.score desc nulls last, held.first_seen_at, held.identity_link_id
