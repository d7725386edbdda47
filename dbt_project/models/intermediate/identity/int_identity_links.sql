{{ config(
    materialized='maintained',
    touched='int_identifiers_touched',
    touched_by=['from_key', 'to_key']
) }}

{% set touched = ref('int_identifiers_touched') %}
{% set by_delta = is_delta() %}

with edges as (

    select * from {{ ref('int_identity_edges') }}

),

shared_identifiers as (

    select distinct identifier_key
    from {{ ref('int_identifiers_shared') }}

),

edges_ranked as (

    select
        edges.*,
        {{ tier_rank('edges.tier') }} as tier_rank
    from edges

),

-- the evidence of all sources about two identifiers, as one link of its surest tier;
-- what an operator decided about them is a link of its own, and a link is suspected only where
-- nothing but suspicions speaks for it
links as (

    select
        least(edges.from_key, edges.to_key) as from_key,
        greatest(edges.from_key, edges.to_key) as to_key,
        edges.tier = 'operator' as is_decided,
        count(edges.score) = count(*) as is_suspected,
        coalesce(
            min(case when edges.score is null then edges.tier_rank end), min(edges.tier_rank)
        ) as tier_rank,
        max(edges.score) as score,
        coalesce(
            min(case when edges.score is null then edges.first_seen_at end),
            min(edges.first_seen_at)
        ) as first_seen_at,
        coalesce(
            max(case when edges.score is null then edges.last_seen_at end),
            max(edges.last_seen_at)
        ) as last_seen_at
    from edges_ranked as edges
    left join shared_identifiers as shared_from
        on edges.from_key = shared_from.identifier_key
    left join shared_identifiers as shared_to
        on edges.to_key = shared_to.identifier_key
    where
        (
            edges.tier = 'operator'
            or (shared_from.identifier_key is null and shared_to.identifier_key is null)
        )
        and {{ touched_only(by_delta, touched, ['edges.from_key', 'edges.to_key']) }}
    group by
        least(edges.from_key, edges.to_key),
        greatest(edges.from_key, edges.to_key),
        edges.tier = 'operator'

)

select * from links
