-- What is known of one identifier: its key, whose it is, and why it is nobody's where it is nobody's.
with checked as (
    select
        identifier_key,
        identifier_type,
        identifier_value,
        min(refused_because) as refused_because,
        min(received_at) as received_at
    from intermediate.int_identifiers_checked
    where
        identifier_type = $identifier_type
        and coalesce(identifier_value, raw_value) = $identifier_value
    group by all
),

shared as (
    select
        identifier_key,
        string_agg(
            'seen with ' || seen_count || ' of type ' || seen_with_type || ', at most ' || most || ' allowed'
            || coalesce(' within ' || within_days || ' days', ''),
            '; ' order by seen_with_type
        ) as shared_because
    from intermediate.int_identifiers_shared
    group by identifier_key
)

select
    checked.identifier_key,
    checked.identifier_type,
    checked.identifier_value,
    checked.refused_because,
    checked.received_at,
    shared.shared_because,
    identity_graph.canonical_id,
    identity_graph.identity_tier
from checked
left join shared
    on checked.identifier_key = shared.identifier_key
left join marts.identity_graph
    on checked.identifier_key = identity_graph.identifier_key
order by identity_graph.canonical_id nulls last
limit 1
