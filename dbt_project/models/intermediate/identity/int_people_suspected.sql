with links_held as (

    select * from {{ ref('int_identity_links_held') }}
    where reason = 'suspected'

),

components_named as (

    select * from {{ ref('int_identity_components_named') }}

),

people_suspected as (

    select
        from_people.canonical_id as from_canonical_id,
        to_people.canonical_id as to_canonical_id,
        max(links_held.score) as score
    from links_held
    inner join components_named as from_people
        on links_held.from_component = from_people.component
    inner join components_named as to_people
        on links_held.to_component = to_people.component
    group by from_people.canonical_id, to_people.canonical_id

)

select * from people_suspected
