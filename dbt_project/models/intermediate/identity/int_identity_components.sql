{{ config(materialized='connected_components') }}

with edges as (

    select * from {{ ref('int_identity_edges') }}

),

observations as (

    select * from {{ ref('int_identity_observations_grouped') }}

),

shared_identifiers as (

    select * from {{ ref('int_identifiers_shared') }}

),

-- an identifier that was never seen beside another one is a person of its own
single_identifiers as (

    select user_key as identifier_key from observations
    union
    select subscriber_key as identifier_key from observations
    union
    select email_key as identifier_key from observations
    union
    select phone_key as identifier_key from observations
    union
    select anonymous_key as identifier_key from observations

),

pairs as (

    select
        from_key as from_node,
        to_key as to_node
    from edges
    union
    select
        identifier_key as from_node,
        identifier_key as to_node
    from single_identifiers
    where identifier_key is not null

),

pairs_that_link as (

    select
        pairs.from_node,
        pairs.to_node
    from pairs
    left join shared_identifiers as shared_from
        on pairs.from_node = shared_from.identifier_key
    left join shared_identifiers as shared_to
        on pairs.to_node = shared_to.identifier_key
    where
        shared_from.identifier_key is null
        and shared_to.identifier_key is null

)

select * from pairs_that_link
