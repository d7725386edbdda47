{{ config(materialized='maintained', touched_by=['canonical_id']) }}

{% set touched = ref('int_identity_ids_touched') %}
-- depends_on: {{ ref('int_identity_build_begun') }}
{% set by_delta = is_delta() %}

with components as (

    select * from {{ ref('int_identity_components') }}

),

published as (

    {{ published_before() }}

),

{% if by_delta %}
published_since as (

    {{ published_by_last_build() }}

),

-- the ids that are placed again, and everything ever published of the identifiers that ever had one of them
published_of_touched as (

    select * from published
    where {{ is_touched(touched, ['canonical_id'], touched_column='canonical_id') }}

),

published_to_place as (

    select * from published
    where {{ is_touched('published_of_touched', ['identifier_key']) }}

),
{% else %}
published_of_touched as (

    select * from published
    where canonical_id is not null

),

published_to_place as (

    select * from published

),
{% endif %}

-- the identifier that an id was given for, or the one that took its place
anchors as (

    {{ deduplicate(
        '(select * from published_of_touched where is_anchor) as anchor_rows',
        'canonical_id',
        'build_number desc, identifier_key'
    ) }}

),

-- whoever gives an id gives it an anchor
first_published as (

    select
        canonical_id,
        min(build_number) as first_published_in
    from published_of_touched
    where is_anchor
    group by canonical_id

),

current_assignments as (

    {{ deduplicate('published_to_place', 'identifier_key', 'build_number desc') }}

),

anchors_with_component as (

    select
        anchors.canonical_id,
        anchors.identifier_key as anchor_key,
        anchors.anchor_received_at,
        first_published.first_published_in,
        components.component
    from anchors
    inner join first_published
        on anchors.canonical_id = first_published.canonical_id
    left join components
        on anchors.identifier_key = components.node

),

ever_assigned as (

    select distinct
        canonical_id,
        identifier_key
    from published_of_touched

),

-- the anchor is gone (erased, blocked, shared by now): the id stays with most of its identifiers
places_without_anchor as (

    select
        anchors_with_component.canonical_id,
        components.component,
        sum(
            case
                when current_assignments.canonical_id = anchors_with_component.canonical_id then 1
                else 0
            end
        ) as current_count,
        count(*) as ever_count
    from anchors_with_component
    inner join ever_assigned
        on anchors_with_component.canonical_id = ever_assigned.canonical_id
    inner join components
        on ever_assigned.identifier_key = components.node
    inner join current_assignments
        on ever_assigned.identifier_key = current_assignments.identifier_key
    where anchors_with_component.component is null
    group by anchors_with_component.canonical_id, components.component

),

best_places_without_anchor as (

    {{ deduplicate(
        'places_without_anchor', 'canonical_id', 'current_count desc, ever_count desc, component'
    ) }}

),

-- an id of which nothing is left has no component
placed as (

    select
        anchors_with_component.canonical_id,
        coalesce(anchors_with_component.component, best_places_without_anchor.component)
            as component,
        anchors_with_component.anchor_key,
        anchors_with_component.anchor_received_at,
        anchors_with_component.first_published_in,
        anchors_with_component.component is null as is_anchor_gone
    from anchors_with_component
    left join best_places_without_anchor
        on anchors_with_component.canonical_id = best_places_without_anchor.canonical_id
    {% if by_delta %}
    union all
    -- the ids that the last build gave have a place only now; one to which it gave another anchor is placed above
    select
        published_since.canonical_id,
        components.component,
        published_since.identifier_key as anchor_key,
        published_since.anchor_received_at,
        published_since.build_number as first_published_in,
        false as is_anchor_gone
    from published_since
    inner join components
        on published_since.identifier_key = components.node
    where
        published_since.is_anchor
        and not {{ is_touched(touched, ['published_since.canonical_id'], touched_column='canonical_id') }}
    {% endif %}

)

select * from placed
