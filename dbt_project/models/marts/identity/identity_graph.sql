{{ config(
    materialized='maintained',
    touched='int_identifiers_named_again',
    touched_by=['identifier_key']
) }}

{% set touched = ref('int_identifiers_named_again') %}
{% set by_delta = is_delta() %}

with identifiers_resolved as (

    select * from {{ ref('int_identifiers_resolved') }}
    where {{ touched_only(by_delta, touched, ['identifier_key']) }}

),

identifiers_seen as (

    select * from {{ ref('int_identifiers_seen') }}
    where {{ touched_only(by_delta, touched, ['identifier_key']) }}

),

identity_graph as (

    select
        identifiers_resolved.canonical_id,
        identifiers_resolved.identifier_type,
        identifiers_resolved.identifier_key,
        identifiers_resolved.identifier_value,
        identifiers_resolved.identity_tier,
        cast(identifiers_seen.observation_count as bigint) as observation_count,
        cast(identifiers_seen.source_count as bigint) as source_count,
        identifiers_seen.first_seen_at,
        identifiers_seen.last_seen_at
    from identifiers_resolved
    inner join identifiers_seen
        on identifiers_resolved.identifier_key = identifiers_seen.identifier_key

)

select * from identity_graph
