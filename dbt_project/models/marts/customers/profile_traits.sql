with traits_chosen as (

    select * from {{ ref('int_profile_traits_chosen') }}

),

profile_traits as (

    select
        canonical_id,
        trait,
        trait_value,
        source_system,
        event_id,
        given_at,
        survivor_rule,
        given_count,
        value_count
    from traits_chosen

)

select * from profile_traits
