{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=false
) }}

{% set touched = ref('int_identifiers_named_again') %}
{% set by_delta = is_delta() %}

with identifiers_resolved as (

    select * from {{ ref('int_identifiers_resolved') }}
    where {{ touched_only(by_delta, touched, ['identifier_key']) }}

),

-- a component that is not named again keeps what its last naming said of its anchor; none of its
-- identifiers is looked at here
components_named as (

    select * from {{ ref('int_identity_components_named') }}
    where is_new_anchor

),

ever_published as (

    {{ published_before() }}

),

published as (

    select * from ever_published
    where {{ touched_only(by_delta, touched, ['identifier_key']) }}

),

current_assignments as (

    {{ deduplicate('published', 'identifier_key', 'build_number desc') }}

),

assigned as (

    select
        coalesce(identifiers_resolved.identifier_key, current_assignments.identifier_key)
            as identifier_key,
        identifiers_resolved.canonical_id,
        current_assignments.canonical_id as former_canonical_id,
        components_named.anchor_key is not null as is_anchor,
        components_named.anchor_received_at
    from identifiers_resolved
    full join current_assignments
        on identifiers_resolved.identifier_key = current_assignments.identifier_key
    left join components_named
        on
            identifiers_resolved.identifier_key = components_named.anchor_key
            and identifiers_resolved.canonical_id = components_named.canonical_id

),

-- what is new at this moment; an identifier that is nobody's any more has no id
changed as (

    select
        identifier_key,
        canonical_id,
        is_anchor,
        anchor_received_at,
        {{ as_of() }} as assigned_at,
        cast({{ next_build_number() }} as bigint) as build_number,
        '{{ invocation_id }}' as build_id
    from assigned
    where
        (
            is_anchor
            or coalesce(canonical_id, '') <> coalesce(former_canonical_id, '')
        )
        and {{ '1 = 1' if is_newest_moment('assigned_at') else '1 = 0' }}

)

select * from changed
