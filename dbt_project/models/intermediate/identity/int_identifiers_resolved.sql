with components as (

    select * from {{ ref('int_identity_components') }}

),

components_named as (

    select * from {{ ref('int_identity_components_named') }}

),

nodes as (

    select * from {{ ref('int_identity_nodes') }}

),

resolved as (

    select
        components_named.canonical_id,
        nodes.identifier_key,
        nodes.identifier_type,
        nodes.identifier_value,
        components.tier as identity_tier
    from components
    inner join components_named
        on components.component = components_named.component
    inner join nodes
        on components.node = nodes.identifier_key

)

select * from resolved
