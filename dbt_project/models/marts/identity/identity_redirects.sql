with assignments as (

    select * from {{ ref('int_identity_assignments') }}

),

ids_placed as (

    select * from {{ ref('int_identity_ids_placed') }}

),

components_named as (

    select * from {{ ref('int_identity_components_named') }}

),

published_ids as (

    select
        canonical_id,
        min(assigned_at) as first_published_at
    from assignments
    where canonical_id is not null
    group by canonical_id

),

-- an id given at this moment has no place from before
standing_ids as (

    select
        canonical_id,
        component
    from components_named

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
        published_ids.first_published_at
    from published_ids
    left join standing_ids
        on published_ids.canonical_id = standing_ids.canonical_id
    left join ids_placed
        on published_ids.canonical_id = ids_placed.canonical_id
    left join components_named
        on ids_placed.component = components_named.component

)

select * from identity_redirects
