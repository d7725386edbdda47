{{ config(materialized='maintained', touched_by=['canonical_id']) }}

{% set named_again = ref('int_identifiers_named_again') %}
{% set ids_touched = ref('int_identity_ids_touched') %}
{% set by_delta = is_delta() %}
{% set id_column = 'canonical_id' %}

with assignments as (

    select * from {{ ref('int_identity_assignments') }}

),

ids_placed as (

    select * from {{ ref('int_identity_ids_placed') }}

),

components_named as (

    select * from {{ ref('int_identity_components_named') }}

),

-- an id's answer is another only if its place is, or the name of the component there
ids_again as (

    select canonical_id from {{ ids_touched }}
    union
    select canonical_id
    from ids_placed
    where {{ is_touched(named_again, ['component']) }}
    union
    select canonical_id
    from components_named
    where {{ is_touched(named_again, ['component']) }}

),

published_ids as (

    select
        canonical_id,
        min(assigned_at) as first_published_at,
        min(build_number) as first_published_in
    from assignments
    where
        canonical_id is not null
        and {{ touched_only(by_delta, 'ids_again', ['canonical_id'], touched_column=id_column) }}
    group by canonical_id

),

-- an id given at this moment has no place from before
standing_ids as (

    select canonical_id
    from components_named
    where {{ touched_only(by_delta, 'ids_again', ['canonical_id'], touched_column=id_column) }}

),

places as (

    select
        canonical_id,
        component
    from ids_placed
    where {{ touched_only(by_delta, 'ids_again', ['canonical_id'], touched_column=id_column) }}

),

identity_redirects as (

    select
        published_ids.canonical_id,
        coalesce(standing_ids.canonical_id, components_named.canonical_id) as current_canonical_id,
        case
            when standing_ids.canonical_id is not null then 'current'
            when components_named.canonical_id is not null then 'merged'
            else 'gone'
        end as status,
        published_ids.first_published_at,
        published_ids.first_published_in
    from published_ids
    left join standing_ids
        on published_ids.canonical_id = standing_ids.canonical_id
    left join places
        on published_ids.canonical_id = places.canonical_id
    left join components_named
        on places.component = components_named.component

)

select * from identity_redirects
