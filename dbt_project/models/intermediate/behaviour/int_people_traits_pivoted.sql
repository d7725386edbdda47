with traits as (

    select * from {{ ref('int_profile_traits_chosen') }}

),

one_row_per_person as (

    select
        canonical_id,
        max(case when trait = 'country_code' then trait_value end) as country_code,
        max(case when trait = 'first_name' then trait_value end) as first_name,
        max(case when trait = 'last_name' then trait_value end) as last_name
    from traits
    group by canonical_id

)

select * from one_row_per_person
